/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Byte for byte what scapy would answer (golden.py): ARP, neighbour discovery,
 * echo, groups, the port's own questions and announcements, with and without VLAN.
 */
#include <stdio.h>
#include <stdlib.h>

#include "net_lab.h"

enum kind { ANSWER, RESOLVE, ANNOUNCE, JOIN, LEAVE, QUERY, OLD_LEAVE };

/* RECORD of golden.py. */
struct golden {
	uint8_t kind, vlan, gid[16];
	uint16_t in_len, out_len;
} __attribute__((packed));

static void expect(const struct golden *g, unsigned int no, const uint8_t *got, uint32_t got_len,
		const uint8_t *want)
{
	if (got_len == g->out_len && memcmp(got, want, got_len) == 0)
		return;
	printf("  record %u, kind %u: %u bytes, not %u, or they differ:\n   ", no, g->kind, got_len,
		g->out_len);
	for (uint32_t i = 0; i < got_len; i++)
		printf("%s%02x%s", i == g->out_len || got[i] != want[i] ? " *" : " ", got[i],
			i + 1 == got_len ? "\n" : "");
	CU_FAIL("not what scapy makes");
}

/* What the port says of its groups; in: a router's query. */
static void check_group(struct net_lab *l, const struct golden *g, unsigned int no, uint8_t *in,
		const uint8_t *want)
{
	uint32_t n = g->in_len;
	uint8_t out[2048];

	lab_quiet(l);
	CU_ASSERT_EQUAL(phca_net_mcast_join(l->net, g->gid), 0);
	if (g->kind != JOIN)
		lab_quiet(l);
	if (n > 0) {
		CU_ASSERT_EQUAL(lab_input(l, in, &n), PHCA_V_GROUP_QUERY);
		CU_ASSERT_EQUAL(n, 0);
		l->now_ns += 100 * S_NS; /* longer than any query allows; an older router is remembered */
	}
	if (g->kind == OLD_LEAVE)
		lab_quiet(l);
	if (g->kind == LEAVE || g->kind == OLD_LEAVE)
		CU_ASSERT_EQUAL(phca_net_mcast_leave(l->net, g->gid), 0);
	n = lab_poll(l, out);
	expect(g, no, out, n, want);
}

static void check(struct net_lab *l, const struct golden *g, unsigned int no, uint8_t *in,
		const uint8_t *want)
{
	uint32_t n = g->in_len;
	uint8_t out[2048], mac[6];

	switch (g->kind) {
	case ANSWER:
		(void)lab_input(l, in, &n);
		expect(g, no, in, n, want);
		break;
	case RESOLVE:
		CU_ASSERT_EQUAL(lab_resolve(l, g->gid, mac), PHCA_NEIGH_PENDING);
		n = lab_poll(l, out);
		expect(g, no, out, n, want);
		break;
	case JOIN: case LEAVE: case QUERY: case OLD_LEAVE:
		check_group(l, g, no, in, want);
		break;
	default:
		n = lab_poll(l, out);
		expect(g, no, out, n, want);
	}
}

PHCA_TEST(golden, the_port_says_what_scapy_says)
{
	const char *name = getenv("PHCA_NET_GOLDEN");
	FILE *f = fopen(name != NULL ? name : "tests/datapath/net/net_golden.bin", "rb");
	struct net_lab *l = NULL;
	static uint8_t in[2048], out[2048];
	struct golden g;
	unsigned int no = 0;
	int vlan = -1, kind = -1;

	if (f == NULL)
		CU_FAIL_FATAL("no golden frames: run in the build folder, or set PHCA_NET_GOLDEN");
	while (fread(&g, sizeof(g), 1, f) == 1) {
		CU_ASSERT_FATAL(g.in_len <= sizeof(in) && g.out_len <= sizeof(out));
		CU_ASSERT_EQUAL_FATAL(fread(in, 1, g.in_len, f), g.in_len);
		CU_ASSERT_EQUAL_FATAL(fread(out, 1, g.out_len, f), g.out_len);
		/* fresh tables for each kind: the askers were learnt */
		if (g.vlan != vlan || g.kind != kind || g.kind >= JOIN) {
			if (l != NULL)
				lab_close(l);
			l = lab_open(&(struct net_lab_opts){ .vlan = g.vlan, .no_start = true });
			CU_ASSERT_EQUAL(phca_net_start(l->net), 0);
			if (g.kind != ANNOUNCE) {
				phca_net_stop(l->net);
				CU_ASSERT_EQUAL(phca_net_start(l->net), 0);
				CU_ASSERT_EQUAL(lab_drain(l), 4);
			}
			vlan = g.vlan;
			kind = g.kind;
		}
		check(l, &g, no++, in, out);
	}
	if (l != NULL)
		lab_close(l);
	fclose(f);
	CU_ASSERT(no > 300);
}
