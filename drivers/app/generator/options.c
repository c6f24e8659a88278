/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Settings of the generator: "operation" and "size" are lists with weights, the
 * rest are numbers. What is said is checked here as far as no queue pair is
 * needed for it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generator_impl.h"

#define SIZE_MAX_BYTES (1u << 30)
#define WEIGHT_MAX 1000000u

enum { SET_OPERATION, SET_SIZE, SET_DEPTH, SET_MESSAGES, SET_RATE, SET_SIGNAL_EVERY, SET_INLINE_MAX, SET_READBACK,
	SET_VERIFY, SET_ECHO, SET_ECHO_TIMEOUT, SET_SEED, SET_PEER, SET_PEER_QPN, SET_PEER_QKEY,
	SET_REMOTE_ADDR, SET_REMOTE_BYTES, SET_RKEY };

const struct phca_setting gen_settings[] = {
	{ "operation", PHCA_SETTING_STRING, 0, 0, 0, "send",
	  "send, send_imm, write, write_imm, read, cas, fetch_add; or a mix with weights: \"send:3,read:1\"" },
	{ "size", PHCA_SETTING_STRING, 0, 0, 0, "64",
	  "bytes of a message: \"64\", \"1-4096\" (uniform), or a list with weights: \"64:7,576:4,1024-4096:1\"" },
	{ "depth", PHCA_SETTING_UINT, 1, 16384, 16, NULL, "messages of a QP that are under way at most" },
	{ "messages", PHCA_SETTING_UINT, 0, INT64_MAX, 0, NULL, "messages of each QP; 0: for ever" },
	{ "rate", PHCA_SETTING_UINT, 0, 1000000000, 0, NULL,
	  "messages a second of all QPs; 0: as fast as possible" },
	{ "signal_every", PHCA_SETTING_UINT, 1, 16384, 1, NULL, "every so many sends are signaled" },
	{ "inline_max", PHCA_SETTING_UINT, 0, PHCA_INLINE_MAX, 0, NULL,
	  "messages of up to so many bytes are sent inline; 0: none" },
	{ "readback", PHCA_SETTING_UINT, 0, 1u << 30, 1, NULL,
	  "RC with verify: every so many WRITEs are read back and compared; 0: none" },
	{ "verify", PHCA_SETTING_BOOL, 0, 1, 1, NULL, "fill messages with a pattern and check what comes back" },
	{ "echo", PHCA_SETTING_BOOL, 0, 1, 0, NULL, "the peer sends every SEND back, as the application echo does" },
	{ "echo_timeout_us", PHCA_SETTING_UINT, 1, 3600000000u, 100000, NULL,
	  "UC and UD: an echo that has not come by then is lost, us" },
	{ "seed", PHCA_SETTING_UINT, 0, INT64_MAX, 1, NULL, "of pattern, mix and sizes" },
	{ "peer", PHCA_SETTING_STRING, 0, 0, 0, "", "UD: address of the peer, or a multicast group" },
	{ "peer_qpn", PHCA_SETTING_UINT, 0, 0xfffffe, 0, NULL,
	  "UD: QP number of the peer; of the first, the application's QP i sends to this + i" },
	{ "peer_qkey", PHCA_SETTING_UINT, 0, UINT32_MAX, 0x80000000u, NULL,
	  "UD: Q_Key of the peer; 2147483648: that of the QP itself" },
	{ "remote_addr", PHCA_SETTING_UINT, 0, INT64_MAX, 0, NULL,
	  "address of the peer's memory, for a peer that cannot be asked" },
	{ "remote_bytes", PHCA_SETTING_UINT, 0, 1ull << 40, 0, NULL,
	  "bytes of that memory for each QP; 0: the peer is asked for its memory" },
	{ "rkey", PHCA_SETTING_UINT, 0, UINT32_MAX, 0, NULL, "rkey of that memory" },
	{ .name = NULL },
};

static int bad(char *err, size_t err_len, const char *setting, const char *text, const char *mend)
{
	snprintf(err, err_len, "setting %s: \"%s\": %s", setting, text, mend);
	return -EINVAL;
}

/* A number at *s, which moves on. */
static bool number(const char **s, uint32_t max, uint32_t *out)
{
	char *end;
	unsigned long v;

	if (**s < '0' || **s > '9')
		return false;
	errno = 0;
	v = strtoul(*s, &end, 10);
	if (errno != 0 || v > max)
		return false;
	*out = (uint32_t)v;
	*s = end;
	return true;
}

/* ":WEIGHT" if it is there, then a comma or the end. */
static bool weight(const char **s, uint32_t *out)
{
	*out = 1;
	if (**s == ':') {
		(*s)++;
		if (!number(s, WEIGHT_MAX, out) || *out == 0)
			return false;
	}
	if (**s == ',')
		return *++*s != '\0';
	return **s == '\0';
}

static int op_find(const char *s, size_t n)
{
	static const char *const names[] = {
#define GEN_NAME(e, name, opcode, kind) name,
		GEN_OPS_LIST(GEN_NAME)
#undef GEN_NAME
	};

	for (int i = 0; i < GEN_OPS; i++)
		if (strlen(names[i]) == n && strncmp(names[i], s, n) == 0)
			return i;
	return -1;
}

static int operations(struct gen_conf *c, const char *text, char *err, size_t err_len)
{
	const char *s = text;

	do {
		size_t n = strcspn(s, ":,");
		int op = op_find(s, n);
		uint32_t w;

		if (op < 0)
			return bad(err, err_len, "operation", s, "is none of send, send_imm, write, write_imm, read, "
				"cas, fetch_add");
		s += n;
		if (!weight(&s, &w))
			return bad(err, err_len, "operation", text, "give operations, each with :WEIGHT or without, "
				"weights 1..1000000, commas between");
		if (c->weight[op] != 0)
			return bad(err, err_len, "operation", text, "names one twice; remove one");
		c->weight[op] = w;
		c->op_total += w;
	} while (*s != '\0');
	return 0;
}

static int sizes(struct gen_conf *c, const char *text, char *err, size_t err_len)
{
	const char *s = text;

	do {
		struct gen_size *z = &c->size[c->nb_sizes];

		if (c->nb_sizes == SIZES_MAX)
			return bad(err, err_len, "size", text, "has more than 16 entries");
		if (!number(&s, SIZE_MAX_BYTES, &z->lo))
			return bad(err, err_len, "size", text, "give numbers of bytes, 0..1073741824");
		z->hi = z->lo;
		if (*s == '-') {
			s++;
			if (!number(&s, SIZE_MAX_BYTES, &z->hi) || z->hi < z->lo)
				return bad(err, err_len, "size", text, "a range is LOW-HIGH, up to 1073741824");
		}
		if (!weight(&s, &z->weight))
			return bad(err, err_len, "size", text, "give sizes, each with :WEIGHT or without, weights "
				"1..1000000, commas between");
		c->size_total += z->weight;
		c->max_size = z->hi > c->max_size ? z->hi : c->max_size;
		c->nb_sizes++;
	} while (*s != '\0');
	return 0;
}

static int peer(struct gen_conf *c, const char *text, char *err, size_t err_len)
{
	if (text[0] == '\0')
		return 0;
	c->has_peer = true;
	c->peer[10] = c->peer[11] = 0xff;
	if (inet_pton(AF_INET, text, c->peer + 12) == 1 || inet_pton(AF_INET6, text, c->peer) == 1)
		return 0;
	return bad(err, err_len, "peer", text, "is no IP address");
}

int gen_options(struct gen_conf *c, const struct phca_setting_value *v, char *err, size_t err_len)
{
	int ret;

	c->depth = (uint32_t)v[SET_DEPTH].u;
	c->messages = v[SET_MESSAGES].u;
	c->rate = v[SET_RATE].u;
	c->signal_every = (uint32_t)v[SET_SIGNAL_EVERY].u;
	c->inline_max = (uint32_t)v[SET_INLINE_MAX].u;
	c->verify = v[SET_VERIFY].u;
	c->readback = c->verify ? (uint32_t)v[SET_READBACK].u : 0;
	c->echo = v[SET_ECHO].u;
	c->echo_timeout_ns = v[SET_ECHO_TIMEOUT].u * 1000;
	c->seed = v[SET_SEED].u;
	c->peer_qpn = (uint32_t)v[SET_PEER_QPN].u;
	c->peer_qkey = (uint32_t)v[SET_PEER_QKEY].u;
	c->remote_addr = v[SET_REMOTE_ADDR].u;
	c->remote_len = v[SET_REMOTE_BYTES].u;
	c->rkey = (uint32_t)v[SET_RKEY].u;
	ret = operations(c, v[SET_OPERATION].s, err, err_len);
	if (ret == 0)
		ret = sizes(c, v[SET_SIZE].s, err, err_len);
	return ret != 0 ? ret : peer(c, v[SET_PEER].s, err, err_len);
}
