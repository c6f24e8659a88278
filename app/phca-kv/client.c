/* SPDX-License-Identifier: BSD-3-Clause */
/* The client: one GET, one PUT, or many GETs of random keys whose values are checked. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

struct session {
	struct device d;
	struct ibv_qp *qp;
	struct hello server;
	uint64_t asked, answered;
	int fd;                    /* TCP; closed when the server ends */
};
#define IDLE_POLLS 4096 /* between looks at it */

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(int rc, const char *what)
{
	if (rc != 0)
		fail("%s: %s", what, strerror(rc));
}

static void ask(struct session *s, enum kv_op op, uint64_t key, const char *value)
{
	uint32_t at = (uint32_t)(s->asked % DEPTH), len = value != NULL ? (uint32_t)strlen(value) : 0;
	struct kv_request *req = (struct kv_request *)(void *)link_message(&s->d, 0, at, true);

	if (len > KV_VALUE_MAX)
		fail("the value is longer than %d bytes", KV_VALUE_MAX);
	*req = (struct kv_request){ .magic = KV_MAGIC, .op = (uint8_t)op, .id = (uint32_t)s->asked, .key = key,
		.table = s->server.table, .rkey = s->server.rkey, .buckets = s->server.buckets, .len = len };
	if (len > 0)
		memcpy(req + 1, value, len);
	s->asked++;
	must(link_send(&s->d, s->qp, 0, at, (uint32_t)sizeof(*req) + len), "ibv_post_send");
}

/* The next answer; it is valid until the next call. */
static const struct kv_reply *answer(struct session *s)
{
	static uint8_t copy[MESSAGE_MAX];
	struct ibv_wc wc;
	uint32_t at;
	char byte;
	int n;

	for (uint32_t idle = 1;; idle++) {
		n = ibv_poll_cq(s->d.cq, 1, &wc);
		if (n < 0)
			fail("ibv_poll_cq: %s", strerror(errno));
		if (n > 0 && wc.status != IBV_WC_SUCCESS)
			fail("%s", ibv_wc_status_str(wc.status));
		if (n > 0 && (wc.wr_id & 0x8000) == 0)
			break;
		/* what it had accepted it will not answer any more */
		if (idle % IDLE_POLLS == 0 && recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
			fail("the server has closed the connection");
	}
	at = wc.wr_id & 0x7fff;
	memcpy(copy, link_message(&s->d, 0, at, false), wc.byte_len);
	if (wc.byte_len < sizeof(struct kv_reply) || ((struct kv_reply *)(void *)copy)->magic != KV_REPLY ||
			((struct kv_reply *)(void *)copy)->len != wc.byte_len - sizeof(struct kv_reply))
		fail("a malformed answer of %u bytes", wc.byte_len);
	s->answered++;
	must(link_recv(&s->d, s->qp, 0, at), "ibv_post_recv");
	return (const struct kv_reply *)(void *)copy;
}

static int get(struct session *s, uint64_t key)
{
	const struct kv_reply *r;

	ask(s, KV_GET, key, NULL);
	r = answer(s);
	if (r->status != 0) {
		printf("key %" PRIu64 ": %s\n", key, strerror(-r->status));
		return 1;
	}
	fwrite(r + 1, 1, r->len, stdout);
	putchar('\n');
	return 0;
}

static int put(struct session *s, uint64_t key, const char *value)
{
	const struct kv_reply *r;

	ask(s, KV_PUT, key, value);
	r = answer(s);
	printf("key %" PRIu64 ": %s\n", key, r->status == 0 ? "written" : strerror(-r->status));
	return r->status != 0;
}

/* A value as it was from the start. */
static void check(const struct session *s, const struct kv_reply *r)
{
	const uint8_t *v = (const uint8_t *)(r + 1);

	if (r->status != 0 || r->key == 0 || r->key > s->server.keys || r->len != first_len(r->key))
		fail("key %" PRIu64 ": status %d, %u bytes", r->key, r->status, r->len);
	for (uint32_t i = 0; i < r->len; i++)
		if (v[i] != first_byte(r->key, i))
			fail("key %" PRIu64 ": byte %u is 0x%02x, not 0x%02x", r->key, i, v[i], first_byte(r->key, i));
}

static int bench(struct session *s, uint64_t count)
{
	double begin = now_s();
	uint64_t x = 88172645463325252u;

	if (s->server.keys == 0)
		fail("the server has no keys to begin with; give it some with -n");
	while (s->answered < count) {
		while (s->asked < count && s->asked - s->answered < DEPTH / 2) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			ask(s, KV_GET, 1 + x % s->server.keys, NULL);
		}
		check(s, answer(s));
	}
	printf("%" PRIu64 " GETs, %.0f a second\n", count, (double)count / (now_s() - begin));
	return 0;
}

int client(const struct options *o, const char *what, const char *host, uint64_t n, const char *value)
{
	static struct session s;
	const struct hello about = { .magic = 0 };
	const char *wrong;
	int rc;

	s.fd = tcp_connect(host, o->port);
	device_open(&s.d, o, 1);
	s.qp = link_make(&s.d);
	must(s.qp == NULL ? errno : 0, "queue pair");
	for (uint32_t i = 0; i < DEPTH; i++)
		must(link_recv(&s.d, s.qp, 0, i), "ibv_post_recv");
	wrong = link_connect(&s.d, s.qp, s.fd, &about, &s.server);
	if (wrong != NULL)
		fail("%s port %u: %s", host, o->port, wrong);
	if (o->wait) {
		puts("connected; Enter goes on");
		fflush(stdout);
		getchar();
	}
	if (strcmp(what, "put") == 0)
		rc = put(&s, n, value);
	else
		rc = strcmp(what, "get") == 0 ? get(&s, n) : bench(&s, n);
	ibv_destroy_qp(s.qp);
	close(s.fd);
	return rc;
}
