/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Kinds of addresses: IPv4 and IPv6 with and without prefix, and MAC. Text is
 * read by inet_pton; the patterns of the schema accept the same texts. A GID is
 * always 16 bytes, IPv4 as ::ffff:a.b.c.d.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_impl.h"

#define D8 "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define IP4 D8 "(\\." D8 "){3}"
#define H "[0-9a-fA-F]{1,4}"
#define IP6 "((" H ":){7}" H "|(" H ":){1,7}:|(" H ":){1,6}:" H "|(" H ":){1,5}(:" H "){1,2}" \
	"|(" H ":){1,4}(:" H "){1,3}|(" H ":){1,3}(:" H "){1,4}|(" H ":){1,2}(:" H "){1,5}" \
	"|" H ":(:" H "){1,6}|:((:" H "){1,7}|:)" \
	"|(" H ":){6}" IP4 "|::(" H ":){0,5}" IP4 "|" H "::(" H ":){0,4}" IP4 \
	"|(" H ":){2}:(" H ":){0,3}" IP4 "|(" H ":){3}:(" H ":){0,2}" IP4 \
	"|(" H ":){4}:(" H ":)?" IP4 "|(" H ":){5}:" IP4 ")"
#define PREFIX4 "/(3[0-2]|[12]?[0-9])"
#define PREFIX6 "/(12[0-8]|1[01][0-9]|[1-9]?[0-9])"
#define MAC "^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$"

/* An address that one host has: neither none, all nor many. */
static const char *not_unicast(const uint8_t gid[16])
{
	static const uint8_t zero[16];

	if (memcmp(gid, zero, 16) == 0 || (phca_gid_is_ip4(gid) && memcmp(gid + 12, zero, 4) == 0))
		return "is the unspecified address";
	if (phca_gid_is_multicast(gid))
		return "is a multicast address";
	if (phca_gid_is_ip4(gid) && gid[12] == 255 && gid[13] == 255 && gid[14] == 255 && gid[15] == 255)
		return "is the broadcast address";
	return NULL;
}

/* Text to GID, with what an IPv6 text may not say. */
static int gid_read(struct loader *l, const char *s, uint8_t gid[16], bool *ip6)
{
	const char *why;
	char word[64];
	uint8_t ip4[4];

	cfg_clean(word, sizeof(word), s);
	if (inet_pton(AF_INET, s, ip4) == 1) {
		phca_gid_from_ip4(gid, ip4);
		*ip6 = false;
	} else if (inet_pton(AF_INET6, s, gid) == 1) {
		*ip6 = true;
		if (phca_gid_is_ip4(gid))
			return cfg_fail(l, "\"%s\" is an IPv4 address; write it as %u.%u.%u.%u", word,
				gid[12], gid[13], gid[14], gid[15]);
	} else {
		return cfg_fail(l, "\"%s\" is no IP address; give one as \"192.0.2.1\" or \"2001:db8::1\"", word);
	}
	why = not_unicast(gid);
	if (why != NULL)
		return cfg_fail(l, "\"%s\" %s; give a unicast address", word, why);
	return 0;
}

static const char *gid_text(const uint8_t gid[16], char buf[INET6_ADDRSTRLEN])
{
	if (phca_gid_is_ip4(gid))
		return inet_ntop(AF_INET, gid + 12, buf, INET6_ADDRSTRLEN);
	return inet_ntop(AF_INET6, gid, buf, INET6_ADDRSTRLEN);
}

static int gid_json(const uint8_t gid[16], json_t **out)
{
	char buf[INET6_ADDRSTRLEN];

	*out = json_string(gid_text(gid, buf));
	return *out != NULL ? 0 : -ENOMEM;
}

static int need_string(struct loader *l, const json_t *v)
{
	return json_is_string(v) ? 0 : cfg_fail(l, "is %s; give a string", cfg_type_str(v));
}

/* ----------------------------------------------------- one address, no prefix */

static int gid_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	bool ip6;
	int rc = need_string(l, v);

	return rc != 0 ? rc : gid_read(l, json_string_value(v), cfg_member(obj, k), &ip6);
}

static int gid_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	(void)c;
	return gid_json(cfg_cmember(obj, k), out);
}

static json_t *gid_schema(const struct key *k)
{
	(void)k;
	return cfg_schema_text("^(" IP4 "|" IP6 ")$");
}

const struct kind kind_gid = { gid_parse, gid_print, gid_schema, "IP address" };

static int gw_parse(struct loader *l, const struct key *k, const json_t *v, void *obj, bool want6)
{
	bool ip6;
	int rc = gid_parse(l, k, v, obj);

	if (rc != 0)
		return rc;
	ip6 = !phca_gid_is_ip4(cfg_member(obj, k));
	if (ip6 != want6)
		return cfg_fail(l, "\"%s\" is an IPv%c address; give an IPv%c address, or use key \"gateway%c\"",
			json_string_value(v), ip6 ? '6' : '4', want6 ? '6' : '4', ip6 ? '6' : '4');
	*((bool *)obj + k->aux) = true;
	return 0;
}

static int gw4_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	return gw_parse(l, k, v, obj, false);
}

static int gw6_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	return gw_parse(l, k, v, obj, true);
}

static int gw_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	return *((const bool *)obj + k->aux) ? gid_print(c, k, obj, out) : 0;
}

static json_t *gw4_schema(const struct key *k)
{
	(void)k;
	return cfg_schema_text("^" IP4 "$");
}

static json_t *gw6_schema(const struct key *k)
{
	(void)k;
	return cfg_schema_text("^" IP6 "$");
}

const struct kind kind_gw4 = { gw4_parse, gw_print, gw4_schema, "IPv4 address" };
const struct kind kind_gw6 = { gw6_parse, gw_print, gw6_schema, "IPv6 address" };

/* The peer of a QP: part of its address vector. */
static int peer_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	struct phca_config_qp *qp = obj;

	qp->attr_mask |= PHCA_QP_AV;
	return gid_parse(l, k, v, obj);
}

static int peer_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_config_qp *qp = obj;

	return (qp->attr_mask & PHCA_QP_AV) != 0 ? gid_print(c, k, obj, out) : 0;
}

const struct kind kind_peer = { peer_parse, peer_print, gid_schema, "IP address" };

/* ------------------------------------------------- addresses with their prefixes */

static bool prefix_read(const char *s, unsigned int max, uint8_t *out)
{
	unsigned long n;

	/* 1..3 digits, no leading zero */
	if (strspn(s, "0123456789") != strlen(s) || *s == '\0' || strlen(s) > 3 || (*s == '0' && s[1] != '\0'))
		return false;
	n = strtoul(s, NULL, 10);
	*out = (uint8_t)n;
	return n <= max;
}

static int addr_read(struct loader *l, const char *s, struct phca_net_addr *a)
{
	char host[INET6_ADDRSTRLEN + 1], word[64];
	const char *slash = strchr(s, '/');
	int rc;

	cfg_clean(word, sizeof(word), s);
	if (slash == NULL)
		return cfg_fail(l, "\"%s\" has no prefix length; give one as \"192.0.2.1/24\" or \"2001:db8::1/64\"",
			word);
	if ((size_t)(slash - s) >= sizeof(host))
		return cfg_fail(l, "\"%s\" is no IP address; give one as \"192.0.2.1/24\"", word);
	memcpy(host, s, (size_t)(slash - s));
	host[slash - s] = '\0';
	rc = gid_read(l, host, a->gid, &a->ip6);
	if (rc != 0)
		return rc;
	if (!prefix_read(slash + 1, a->ip6 ? 128 : 32, &a->prefix_len))
		return cfg_fail(l, "\"%s\" has no good prefix length; give 0..%u", word, a->ip6 ? 128 : 32);
	return 0;
}

static int addrs_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	size_t n = json_array_size(v);
	struct phca_net_addr *list;

	if (!json_is_array(v))
		return cfg_fail(l, "is %s; give an array of strings", cfg_type_str(v));
	if (n < k->min || n > k->max)
		return cfg_fail(l, "has %zu elements; give %u..%u", n, (unsigned int)k->min, (unsigned int)k->max);
	list = cfg_alloc(l, n * sizeof(*list));
	if (list == NULL)
		return cfg_fail_mem(l);
	for (size_t i = 0; i < n; i++) {
		int rc;

		cfg_push_idx(l, i);
		rc = need_string(l, json_array_get(v, i));
		if (rc == 0)
			rc = addr_read(l, json_string_value(json_array_get(v, i)), &list[i]);
		for (size_t j = 0; rc == 0 && j < i; j++)
			if (memcmp(list[j].gid, list[i].gid, 16) == 0)
				rc = cfg_fail(l, "\"%s\" is the address of [%zu] again; remove one",
					json_string_value(json_array_get(v, i)), j);
		if (rc != 0)
			return rc;
		cfg_pop(l);
	}
	*(struct phca_net_addr **)cfg_member(obj, k) = list;
	*(unsigned int *)((char *)obj + k->aux) = (unsigned int)n;
	return 0;
}

static int addrs_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_net_addr *list = *(struct phca_net_addr *const *)cfg_cmember(obj, k);
	unsigned int n = *(const unsigned int *)((const char *)obj + k->aux);

	(void)c;
	*out = json_array();
	for (unsigned int i = 0; i < n; i++) {
		char buf[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];

		snprintf(text, sizeof(text), "%s/%u", gid_text(list[i].gid, buf), list[i].prefix_len);
		if (json_array_append_new(*out, json_string(text)) != 0)
			return -ENOMEM;
	}
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *addrs_schema(const struct key *k)
{
	return json_pack("{s:s, s:i, s:i, s:o}", "type", "array", "minItems", (int)k->min,
		"maxItems", (int)k->max, "items",
		cfg_schema_text("^(" IP4 PREFIX4 "|" IP6 PREFIX6 ")$"));
}

const struct kind kind_addrs = { addrs_parse, addrs_print, addrs_schema, "array of IP addresses with prefix" };

/* --------------------------------------------------- an address or a prefix */

/* Any address: 0.0.0.0/0 is all of IPv4. */
static int prefix_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	struct phca_net_addr *a = cfg_member(obj, k);
	const char *s = json_string_value(v), *slash;
	char host[INET6_ADDRSTRLEN + 1], word[64];
	uint8_t ip4[4];

	if (s == NULL)
		return cfg_fail(l, "is %s; give a string", cfg_type_str(v));
	cfg_clean(word, sizeof(word), s);
	slash = strchrnul(s, '/');
	snprintf(host, sizeof(host), "%.*s", (int)RTE_MIN((size_t)(slash - s), sizeof(host)), s);
	a->ip6 = inet_pton(AF_INET, host, ip4) != 1;
	if (!a->ip6)
		phca_gid_from_ip4(a->gid, ip4);
	else if (inet_pton(AF_INET6, host, a->gid) != 1)
		return cfg_fail(l, "\"%s\" is no IP address or prefix; give one as \"192.0.2.0/24\" or "
			"\"2001:db8::1\"", word);
	else if (phca_gid_is_ip4(a->gid))
		return cfg_fail(l, "\"%s\" is an IPv4 address; write it as %u.%u.%u.%u", word,
			a->gid[12], a->gid[13], a->gid[14], a->gid[15]);
	a->prefix_len = a->ip6 ? 128 : 32;
	if (*slash != '\0' && !prefix_read(slash + 1, a->prefix_len, &a->prefix_len))
		return cfg_fail(l, "\"%s\" has no good prefix length; give 0..%u", word, a->ip6 ? 128 : 32);
	*((bool *)obj + k->aux) = true;
	return 0;
}

static int prefix_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_net_addr *a = cfg_cmember(obj, k);
	char buf[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 8];

	(void)c;
	if (!*((const bool *)obj + k->aux))
		return 0;
	snprintf(text, sizeof(text), "%s/%u", gid_text(a->gid, buf), a->prefix_len);
	*out = json_string(text);
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *prefix_schema(const struct key *k)
{
	(void)k;
	return cfg_schema_text("^(" IP4 "(" PREFIX4 ")?|" IP6 "(" PREFIX6 ")?)$");
}

const struct kind kind_prefix = { prefix_parse, prefix_print, prefix_schema, "IP address, with prefix or not" };

/* ------------------------------------------------------- multicast groups */

static int group_read(struct loader *l, const json_t *v, uint8_t gid[16])
{
	const char *s = json_string_value(v);
	char word[64];
	uint8_t ip4[4];
	bool ok = true;

	if (s == NULL)
		return cfg_fail(l, "is %s; give a string", cfg_type_str(v));
	if (inet_pton(AF_INET, s, ip4) == 1)
		phca_gid_from_ip4(gid, ip4);
	else
		ok = inet_pton(AF_INET6, s, gid) == 1;
	if (!ok || !phca_gid_is_multicast(gid))
		return cfg_fail(l, "\"%s\" is no multicast address; give one as \"239.1.1.1\" or \"ff15::1\"",
			cfg_clean(word, sizeof(word), s));
	return 0;
}

static int mcast_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	struct phca_config_qp *qp = obj;
	size_t n = json_array_size(v);

	if (!json_is_array(v))
		return cfg_fail(l, "is %s; give an array of strings", cfg_type_str(v));
	if (n > k->max)
		return cfg_fail(l, "has %zu elements; give 0..%u", n, (unsigned int)k->max);
	qp->mcast = cfg_alloc(l, (n + 1) * sizeof(*qp->mcast));
	if (qp->mcast == NULL)
		return cfg_fail_mem(l);
	for (size_t i = 0; i < n; i++) {
		int rc;

		cfg_push_idx(l, i);
		rc = group_read(l, json_array_get(v, i), qp->mcast[i]);
		for (size_t j = 0; rc == 0 && j < i; j++)
			if (memcmp(qp->mcast[j], qp->mcast[i], 16) == 0)
				rc = cfg_fail(l, "is there twice; remove one");
		if (rc != 0)
			return rc;
		cfg_pop(l);
		qp->nb_mcast++;
	}
	return 0;
}

static int mcast_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const struct phca_config_qp *qp = obj;

	(void)c;
	(void)k;
	if (qp->nb_mcast == 0)
		return 0;
	*out = json_array();
	for (unsigned int i = 0; i < qp->nb_mcast; i++) {
		char buf[INET6_ADDRSTRLEN];

		if (json_array_append_new(*out, json_string(gid_text(qp->mcast[i], buf))) != 0)
			return -ENOMEM;
	}
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *mcast_schema(const struct key *k)
{
	return json_pack("{s:s, s:I, s:o}", "type", "array", "maxItems", (json_int_t)k->max, "items",
		cfg_schema_text("^(" IP4 "|" IP6 ")$"));
}

const struct kind kind_mcast = { mcast_parse, mcast_print, mcast_schema, "array of IP addresses" };

/* -------------------------------------------------------------------- MAC */

static int mac_parse(struct loader *l, const struct key *k, const json_t *v, void *obj)
{
	static const uint8_t zero[6];
	uint8_t *mac = cfg_member(obj, k);
	const char *s = json_string_value(v);
	char word[40];
	bool ok = s != NULL && strlen(s) == 17;

	for (unsigned int i = 0; ok && i < 17; i++)
		ok = i % 3 == 2 ? s[i] == ':' : strchr("0123456789abcdefABCDEF", s[i]) != NULL;
	if (!ok)
		return cfg_fail(l, "\"%s\" is no MAC address; give one as \"02:00:00:00:00:02\"",
			s != NULL ? cfg_clean(word, sizeof(word), s) : cfg_type_str(v));
	for (unsigned int i = 0; i < 6; i++)
		mac[i] = (uint8_t)strtoul(s + 3 * i, NULL, 16);
	if ((mac[0] & 1) != 0 || memcmp(mac, zero, 6) == 0)
		return cfg_fail(l, "\"%s\" is %s; give the address of one interface", s,
			(mac[0] & 1) != 0 ? "a multicast address" : "no address");
	if (k->aux != 0)
		*((bool *)obj + k->aux) = true;
	return 0;
}

static int mac_print(const struct phca_config *c, const struct key *k, const void *obj, json_t **out)
{
	const uint8_t *m = cfg_cmember(obj, k);
	char buf[24];

	(void)c;
	if (k->aux != 0 && !*((const bool *)obj + k->aux))
		return 0;
	snprintf(buf, sizeof(buf), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
	*out = json_string(buf);
	return *out != NULL ? 0 : -ENOMEM;
}

static json_t *mac_schema(const struct key *k)
{
	(void)k;
	return cfg_schema_text(MAC);
}

const struct kind kind_mac = { mac_parse, mac_print, mac_schema, "MAC address" };
