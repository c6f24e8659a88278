/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message to each of several members: posted by the application once for each, or once,
 * with the offload bcast in front of its queue pair. The members' queue pairs are on the other
 * HCA and take receives from one SRQ. As in bench-offload both HCAs share a thread; the
 * application and the proxy have the other core.
 *
 *   bench-bcast KIND=each|bcast [LEN=64] [DEPTH=32] [MEMBERS=8] [MS=1000]
 *
 * prints one line of JSON: messages a second that all members have acknowledged.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_cycles.h>
#include <rte_errno.h>

#include "pair.h"
#include "phca_drivers.h"

#define MEMBERS_MAX 32
#define BURST 32

static struct { uint32_t bcast, len, depth, members, ms; } o = { .len = 64, .depth = 32, .members = 8, .ms = 1000 };
static struct phca_qp *to[MEMBERS_MAX]; /* that the application posts on; the first one with bcast */
static unsigned int nb_to;
static struct phca_srq *srq;
static uint32_t posted[MEMBERS_MAX];
static uint64_t done;                   /* completions; the application's, others read it */

static void args(int argc, char **argv)
{
	static const struct { const char *name; uint32_t *at, max; } n[] = {
		{ "LEN=", &o.len, BUFFER }, { "DEPTH=", &o.depth, 256 }, { "MEMBERS=", &o.members, MEMBERS_MAX },
		{ "MS=", &o.ms, 3600000 },
	};

	for (int i = 1; i < argc; i++) {
		bool known = strcmp(argv[i], "KIND=each") == 0 || strcmp(argv[i], "KIND=bcast") == 0;

		o.bcast |= strcmp(argv[i], "KIND=bcast") == 0;
		for (unsigned int k = 0; !known && k < RTE_DIM(n); k++) {
			size_t len = strlen(n[k].name);

			if (strncmp(argv[i], n[k].name, len) != 0)
				continue;
			*n[k].at = (uint32_t)strtoul(argv[i] + len, NULL, 0);
			known = *n[k].at <= n[k].max && *n[k].at > 0;
		}
		if (!known)
			die(argv[i], EINVAL);
	}
}

/* The members' ends, and who sends to them. */
static void open_all(void)
{
	struct phca_srq_init si = { .pd = ends[1].pd, .max_wr = RECEIVES, .max_sge = 1 };
	const struct phca_setting_arg set[] = {
		{ "max_members", PHCA_SETTING_UINT, o.members, NULL },
		{ "outstanding", PHCA_SETTING_UINT, o.depth, NULL },
	};
	struct phca_offload_conf oc = { .name = "bcast", .ops = phca_offload_driver_find("bcast"),
		.args = set, .nb_args = RTE_DIM(set) };
	struct phca_rule peer = { .name = "peer", .inbound = true };
	static struct phca_filter_slot slot;
	struct phca_rule rule = { .name = "all", .filter = &slot, .send = true };
	char err[256] = "", name[16];

	ok("srq", phca_srq_create(ends[1].client, &si, &srq));
	if (o.bcast) {
		pair_filter(&slot, "all", NULL, 0);
		rule.offload = peer.offload = phca_offload_create(ends[0].proxy, &oc, err, sizeof(err));
		if (rule.offload == NULL)
			die(err, rte_errno);
		to[nb_to++] = pair_qp(&ends[0], o.depth, NULL);
		pair_connect(to[0], pair_qp(&ends[1], 1, srq)); /* its own peer gets nothing */
		ok("attach", phca_qp_proxy_attach(to[0], &rule, 1, 0));
	}
	for (unsigned int i = 0; i < o.members; i++) {
		struct phca_qp *qp = pair_qp(&ends[0], o.depth, NULL);

		pair_connect(qp, pair_qp(&ends[1], 1, srq));
		if (!o.bcast) {
			to[nb_to++] = qp;
			continue;
		}
		snprintf(name, sizeof(name), "m[%u]", i);
		ok("attach", phca_qp_proxy_attach(qp, &peer, 1, 0));
		ok("peer", phca_offload_peer_add(peer.offload, phca_qp_pqp(qp), name));
	}
}

static void recv_fill(unsigned int n)
{
	struct phca_sge sge = { (uintptr_t)ends[1].buf, o.len, ends[1].key };
	struct phca_recv_wr wr[BURST];

	for (unsigned int i = 0; i < BURST; i++)
		wr[i] = (struct phca_recv_wr){ i, &sge, 1 };
	while (n > 0) {
		int k = phca_post_srq_recv(srq, wr, RTE_MIN(n, (unsigned int)BURST));

		ok("post_srq_recv", k);
		if (k == 0)
			return;
		n -= (unsigned int)k;
	}
}

/* On each queue pair as many as may be outstanding. */
static void post(void)
{
	struct phca_sge sge = { (uintptr_t)ends[0].buf, o.len, ends[0].key };
	struct phca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED };

	for (unsigned int i = 0; i < nb_to; i++)
		for (wr.wr_id = i; posted[i] < o.depth && phca_post_send(to[i], &wr, 1) == 1;)
			posted[i]++;
}

static unsigned int app_turn(void *arg, uint64_t now_ns)
{
	struct phca_wc wc[BURST];
	int n = phca_poll_cq(ends[0].cq, RTE_DIM(wc), wc), k;

	RTE_SET_USED(arg);
	RTE_SET_USED(now_ns);
	ok("poll", n);
	for (int i = 0; i < n; i++) {
		if (wc[i].status != PHCA_WC_SUCCESS)
			die(phca_wc_status_str(wc[i].status), EIO);
		posted[wc[i].wr_id]--;
	}
	if (n > 0) {
		__atomic_store_n(&done, done + (unsigned int)n, __ATOMIC_RELAXED);
		post();
	}
	k = phca_poll_cq(ends[1].cq, RTE_DIM(wc), wc);
	ok("poll", k);
	for (int i = 0; i < k; i++)
		if (wc[i].status != PHCA_WC_SUCCESS)
			die(phca_wc_status_str(wc[i].status), EIO);
	if (k > 0)
		recv_fill((unsigned int)k);
	return (unsigned int)(n + k);
}

/* @return completions */
static uint64_t run(uint64_t ns)
{
	uint64_t end = phca_loop_now_ns() + ns, from = __atomic_load_n(&done, __ATOMIC_RELAXED), now;

	do {
		for (unsigned int k = 0; k < 256; k++) {
			now = phca_loop_now_ns();
			phca_loop_turn(ends[0].loop, now);
			phca_loop_turn(ends[1].loop, now);
		}
	} while (now < end);
	return __atomic_load_n(&done, __ATOMIC_RELAXED) - from;
}

static int proxy_main(void *loop)
{
	return phca_loop_run(loop);
}

int main(int argc, char **argv)
{
	char *eal[] = {
		(char[]){ "bench-bcast" }, (char[]){ "--no-huge" }, (char[]){ "-m" }, (char[]){ "512" },
		(char[]){ "--no-pci" }, (char[]){ "--no-shconf" }, (char[]){ "--no-telemetry" },
		(char[]){ "--lcores" }, (char[]){ "0@0,1@1" }, (char[]){ "--log-level=4" }, NULL,
	};
	uint64_t begun, n;
	double s;

	args(argc, argv);
	if (rte_eal_init(RTE_DIM(eal) - 1, eal) < 0)
		die("EAL", rte_errno);
	pair_open(0);
	open_all();
	recv_fill(RECEIVES);
	post();
	ok("loop", phca_loop_add(proxy_loop, "app", app_turn, NULL));
	ok("lcore", rte_eal_remote_launch(proxy_main, proxy_loop, 1));
	run(100000000);
	begun = phca_loop_now_ns();
	n = run(o.ms * 1000000ull);
	s = (double)(phca_loop_now_ns() - begun) / 1e9;
	phca_loop_stop(proxy_loop);
	rte_eal_mp_wait_lcore();
	printf("{\"kind\": \"%s\", \"len\": %u, \"depth\": %u, \"members\": %u, \"mps\": %.0f}\n",
		o.bcast ? "bcast" : "each", o.len, o.depth, o.members, (double)n / nb_to / s);
	return 0;
}
