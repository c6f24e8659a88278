/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A message to each of several members: posted by the application once for each, or once,
 * with the offload bcast or wal_mirror in front of its queue pair. The members' queue pairs are
 * on the other HCA and take receives from one SRQ. As in bench-offload both HCAs share a thread;
 * the application and the proxy have the other core.
 *
 *   bench-bcast [KIND=each|bcast|wal] [OP=send|write] [LEN=64] [DEPTH=32] [MEMBERS=8] [MS=1000]
 *
 * bcast only SENDs. wal has two members, the queue pair's own peer and the mirror; its WRITEs go to
 * a log and to the copy. Prints one line of JSON: messages a second that all members have
 * acknowledged. PHCA_FILTERS and PHCA_OFFLOADS are the folders of the compiled filters and offloads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pair.h"
#include "phca_drivers.h"

#define MEMBERS_MAX 32
#define COPY (BUFFER / 2) /* where the mirror's copy begins */
#define BURST 32

enum kind { EACH, BCAST, WAL };
static const char *const kinds[] = { "each", "bcast", "wal" };
static const char *const ops[] = { "send", "write" };

static struct {
	uint32_t kind, write, len, depth, members, ms;
} o = { .len = 64, .depth = 32, .members = 8, .ms = 1000 };
static struct phca_qp *to[MEMBERS_MAX]; /* that the application posts on; the first one with bcast */
static unsigned int nb_to;
static struct phca_srq *srq;
static uint32_t posted[MEMBERS_MAX];
static uint64_t done;                   /* completions; the application's, others read it */

static void args(int argc, char **argv)
{
	const struct pair_arg a[] = {
		{ "KIND=", &o.kind, 0, WAL, kinds }, { "OP=", &o.write, 0, 1, ops },
		{ "LEN=", &o.len, 1, COPY, NULL }, { "DEPTH=", &o.depth, 1, 256, NULL },
		{ "MEMBERS=", &o.members, 1, MEMBERS_MAX, NULL }, { "MS=", &o.ms, 1, 3600000, NULL },
	};

	pair_args(argc, argv, a, RTE_DIM(a));
	if (o.kind == BCAST && o.write)
		die("KIND=bcast OP=write", EINVAL);
	if (o.kind == WAL)
		o.members = 2;
}

/* The offload, in front of the queue pair that the application posts on. */
static struct phca_offload *offload_open(void)
{
	const struct phca_setting_arg set[] = {
		{ "max_members", PHCA_SETTING_UINT, o.members, NULL },
		{ "outstanding", PHCA_SETTING_UINT, o.depth, NULL },
	};
	static struct phca_filter_slot slot;
	struct phca_rule rule = { .name = "all", .filter = &slot, .send = true };
	char key[16], log[128], err[PHCA_FILTER_ERR_MAX] = "";

	pair_filter(&slot, "all", NULL, 0);
	if (o.kind == BCAST) {
		rule.offload = pair_offload(&ends[0], &phca_offload_bcast, NULL, set, RTE_DIM(set));
	} else {
		rule.offload = pair_offload(&ends[0], &phca_offload_bpf, "wal_mirror", NULL, 0);
		snprintf(key, sizeof(key), "%u", ends[1].key);
		snprintf(log, sizeof(log), "{va=%p,mirror=%p,rkey=%u,rsvd=0}", (void *)ends[1].buf,
			(void *)(ends[1].buf + COPY), ends[1].key);
		if (phca_filter_map_set(phca_offload_program(rule.offload)->cur, "logs", key, log, err,
				sizeof(err)) != 0)
			die(err, EINVAL);
	}
	to[nb_to++] = pair_qp(&ends[0], o.depth, NULL);
	pair_connect(to[0], pair_qp(&ends[1], 1, srq)); /* of bcast the own peer gets nothing */
	ok("attach", phca_qp_proxy_attach(to[0], &rule, 1, 0));
	return rule.offload;
}

/* The members' ends, and who sends to them. */
static void open_all(void)
{
	struct phca_srq_init si = { .pd = ends[1].pd, .max_wr = RECEIVES, .max_sge = 1 };
	struct phca_rule peer = { .name = "peer", .inbound = true };
	char name[16];

	ok("srq", phca_srq_create(ends[1].client, &si, &srq));
	if (o.kind != EACH)
		peer.offload = offload_open();
	for (unsigned int i = o.kind == WAL; i < o.members; i++) {
		struct phca_qp *qp = pair_qp(&ends[0], o.depth, NULL);

		pair_connect(qp, pair_qp(&ends[1], 1, srq));
		if (o.kind == EACH) {
			to[nb_to++] = qp;
			continue;
		}
		snprintf(name, sizeof(name), "m[%u]", i);
		ok("attach", phca_qp_proxy_attach(qp, &peer, 1, 0));
		ok("peer", phca_offload_peer_add(peer.offload, phca_qp_pqp(qp), name));
	}
}

/* On each queue pair as many as may be outstanding. */
static void post(void)
{
	struct phca_sge sge = { (uintptr_t)ends[0].buf, o.len, ends[0].key };
	struct phca_send_wr wr = {
		.sge = &sge, .num_sge = 1, .opcode = o.write ? PHCA_WR_RDMA_WRITE : PHCA_WR_SEND,
		.flags = PHCA_SEND_SIGNALED, .remote_addr = (uintptr_t)ends[1].buf, .rkey = ends[1].key,
	};

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
		pair_receives(&ends[1], srq, o.len, (unsigned int)k);
	return (unsigned int)(n + k);
}

int main(int argc, char **argv)
{
	uint64_t begun, n;
	double s;

	args(argc, argv);
	pair_eal("bench-bcast", true);
	pair_open(&(struct pair_opts){ .proxy_side = 0 });
	open_all();
	pair_receives(&ends[1], srq, o.len, RECEIVES);
	post();
	pair_start(app_turn);
	pair_run(100000000, &done, NULL);
	begun = phca_loop_now_ns();
	n = pair_run(o.ms * 1000000ull, &done, NULL);
	s = (double)(phca_loop_now_ns() - begun) / 1e9;
	pair_stop();
	if (o.write && (memcmp(ends[1].buf, ends[0].buf, o.len) != 0 ||
			(o.kind == WAL && memcmp(ends[1].buf + COPY, ends[0].buf, o.len) != 0)))
		die("what was written is not there", EIO);
	printf("{\"kind\": \"%s\", \"op\": \"%s\", \"len\": %u, \"depth\": %u, \"members\": %u, \"mps\": %.0f}\n",
		kinds[o.kind], ops[o.write], o.len, o.depth, o.members, (double)n / nb_to / s);
	return 0;
}
