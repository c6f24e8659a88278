/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that the proxy answers in the application's place: locks, GETs of a key-value store,
 * contributions to reductions; and, to compare with, requests that an application on the proxy's core
 * sends back. As in bench-offload both HCAs share a thread, the proxy and the applications of both
 * ends have the other core.
 *
 *   bench-served [KIND=echo|lock|kv|reduce] [LEN=64] [DEPTH=128] [RANKS=4] [MS=1000]
 *
 *   LEN    bytes of a request that comes back; of a value; of a vector of float64
 *   DEPTH  requests outstanding; reduce: on each of RANKS queue pairs a RANKSth of that
 *
 * Each answer is looked at: of the request, granted, the value of the key, the sum. Prints one
 * line of JSON: requests a second that were answered, and the time that it took. PHCA_FILTERS and
 * PHCA_OFFLOADS are the folders of the compiled filters and offloads.
 *
 * Invariant: a slot is ready or outstanding; what its request says is written when it gets ready.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"
#include "lat.h"
#include "pair.h"
#include "phca_drivers.h"
#include "phca_lock.h"
#include "phca_reduce.h"

#define SLOTS 256
#define REQUEST 1024          /* bytes of a slot's request, at the start of the client's buffer */
#define ANSWER 2048           /* of a receive, in the second half of either buffer */
#define BURST 32
#define BUCKETS 128u          /* of the store: half of the server's buffer */
#define KEYS 256u

enum kind { ECHO, LOCK, KV, REDUCE };
static const char *const kinds[] = { "echo", "lock", "kv", "reduce" };

struct slot {
	uint64_t t0, n;       /* TSC when it was posted; requests before this one */
};
struct client {
	struct phca_qp *qp;
	uint32_t ready[SLOTS], first, last; /* slots to be posted: a ring */
};

static struct {
	uint32_t kind, len, depth, ranks, ms;
} o = { .len = 64, .depth = 128, .ranks = 4, .ms = 1000 };
static struct client clients[SLOTS];
static struct slot slots[SLOTS];
static uint64_t keys[KEYS];
static struct phca_qp *server; /* echo */
static struct phca_srq *srq[2];
static uint64_t done;         /* answers; the application's, others read it */
static bool warm;             /* latencies count */

static void args(int argc, char **argv)
{
	const struct pair_arg a[] = {
		{ "KIND=", &o.kind, 0, REDUCE, kinds }, { "LEN=", &o.len, 8, 960, NULL },
		{ "DEPTH=", &o.depth, 1, SLOTS, NULL }, { "RANKS=", &o.ranks, 1, SLOTS, NULL },
		{ "MS=", &o.ms, 1, 3600000, NULL },
	};

	pair_args(argc, argv, a, RTE_DIM(a));
	if (o.kind != REDUCE)
		o.ranks = 1;
	o.depth /= o.ranks;
	if (o.depth == 0 || o.len % 8 != 0)
		die("LEN is no multiple of 8, or DEPTH less than RANKS", EINVAL);
}

/* ---------------------------------------------------------------- server */

/* Keys that find a place in their bucket, with a value that says which. */
static void store_fill(void)
{
	struct kv_slot *table = (struct kv_slot *)(void *)ends[1].buf;
	uint64_t key = 1;

	memset(table, 0, BUCKETS * KV_WAYS * sizeof(*table));
	for (unsigned int n = 0; n < KEYS; key++) {
		struct kv_slot *s = table + kv_bucket(key, BUCKETS) * KV_WAYS, *end = s + KV_WAYS;

		while (s < end && s->head.key != 0)
			s++;
		if (s == end)
			continue;
		s->head = (struct kv_slot_head){ .version = 2, .len = o.len, .key = key };
		memset(s->value, (uint8_t)key, o.len);
		keys[n++] = key;
	}
}

/* The offload in front of the server's queue pairs. */
static struct phca_rule rule_make(struct phca_filter_slot *filter)
{
	const struct phca_setting_arg set[] = { /* a round is over when its answers are acknowledged */
		{ "max_reductions", PHCA_SETTING_UINT, 2 * o.depth, NULL },
		{ "max_per_qp", PHCA_SETTING_UINT, 2 * o.depth, NULL },
		{ "max_ranks", PHCA_SETTING_UINT, o.ranks, NULL },
		{ "deliver", PHCA_SETTING_BOOL, 0, NULL },
	};
	const struct phca_filter_param gets[] = { /* "PKV1", GET */
		{ .name = "value", .kind = PHCA_FV_UINT, .u = 5785812914757697536u },
		{ .name = "mask", .kind = PHCA_FV_UINT, .u = 9223372036837998592u },
	};
	struct phca_rule rule = { .name = "bench", .filter = filter, .inbound = true };

	if (o.kind == LOCK) {
		pair_filter(filter, "lock", NULL, 0);
		rule.offload = pair_offload(&ends[1], &phca_offload_lock, NULL, NULL, 0);
		have("table", phca_lock_table_format(ends[1].buf, SLOTS));
	} else if (o.kind == KV) {
		pair_filter(filter, "by_payload_key", gets, RTE_DIM(gets));
		rule.offload = pair_offload(&ends[1], &phca_offload_bpf, "kv_get", NULL, 0);
		store_fill();
	} else {
		pair_filter(filter, "reduce", NULL, 0);
		rule.offload = pair_offload(&ends[1], &phca_offload_reduce, NULL, set, RTE_DIM(set));
	}
	return rule;
}

static void recv_post(unsigned int side, uint64_t id)
{
	struct phca_sge sge = { (uintptr_t)ends[side].buf + BUFFER / 2 + id * ANSWER, ANSWER, ends[side].key };
	struct phca_recv_wr wr = { id, &sge, 1 };

	if (phca_post_srq_recv(srq[side], &wr, 1) != 1)
		die("post_srq_recv", ENOSPC);
}

/* What came goes back from where it is; its receive is posted again when that is over. */
static void echo(const struct phca_wc *wc)
{
	struct phca_sge sge = { (uintptr_t)ends[1].buf + BUFFER / 2 + wc->wr_id * ANSWER, wc->byte_len, ends[1].key };
	struct phca_send_wr wr = {
		.wr_id = wc->wr_id, .sge = &sge, .num_sge = 1, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED,
	};

	if (wc->opcode != PHCA_WC_RECV)
		recv_post(1, wc->wr_id);
	else if (phca_post_send(server, &wr, 1) != 1)
		die("post_send", ENOSPC);
}

/* ---------------------------------------------------------------- client */

static void *request_of(uint32_t slot)
{
	return ends[0].buf + slot * REQUEST;
}

/* Write the slot's next request. @return its length */
static uint32_t request_make(uint32_t slot)
{
	const struct slot *s = &slots[slot];
	void *at = request_of(slot);

	if (o.kind == LOCK) {
		*(struct phca_lock_req *)at = (struct phca_lock_req){
			.magic = PHCA_LOCK_MAGIC, .version = PHCA_LOCK_VERSION, .lock = slot, .id = slot,
			.op = s->n % 2 == 0 ? PHCA_LOCK_OP_LOCK : PHCA_LOCK_OP_UNLOCK,
			.mode = s->n % 2 == 0 ? PHCA_LOCK_EXCLUSIVE : 0, .session = slot + 1u,
			.table_va = (uintptr_t)ends[1].buf, .table_rkey = ends[1].key,
		};
		return sizeof(struct phca_lock_req);
	}
	if (o.kind == KV) {
		*(struct kv_request *)at = (struct kv_request){
			.magic = KV_MAGIC, .op = KV_GET, .id = slot, .key = keys[(s->n * 31 + slot) % KEYS],
			.rkey = ends[1].key, .table = (uintptr_t)ends[1].buf, .buckets = BUCKETS,
		};
		return sizeof(struct kv_request);
	}
	if (o.kind == REDUCE) {
		uint32_t rank = slot / o.depth;
		double *v = (double *)(void *)((uint8_t *)at + PHCA_REDUCE_HDR_LEN);

		*(struct phca_reduce_hdr *)at = (struct phca_reduce_hdr){
			.magic = PHCA_REDUCE_MAGIC, .version = PHCA_REDUCE_VERSION, .op = PHCA_REDUCE_SUM,
			.type = PHCA_REDUCE_FLOAT64, .flags = PHCA_REDUCE_F_ANSWER, .rank = (uint16_t)rank,
			.nb_ranks = (uint16_t)o.ranks, .round = s->n * o.depth + slot % o.depth, .count = o.len / 8,
		};
		for (uint32_t i = 0; s->n == 0 && i < o.len / 8; i++)
			v[i] = rank + 1.0;
		return PHCA_REDUCE_HDR_LEN + o.len;
	}
	*(uint64_t *)at = slot;
	return o.len;
}

static void wrong(void)
{
	die("an answer is wrong", EPROTO);
}

/* The slot is answered: it gets ready again. */
static void answered(uint32_t slot, uint64_t now)
{
	struct client *c = &clients[slot / o.depth];

	if (__atomic_load_n(&warm, __ATOMIC_RELAXED))
		lat_add(now - slots[slot].t0);
	slots[slot].n++;
	c->ready[c->last++ % SLOTS] = slot;
	__atomic_store_n(&done, done + 1, __ATOMIC_RELAXED);
}

static uint32_t slot_of(uint64_t id)
{
	if (id >= o.depth * o.ranks)
		wrong();
	return (uint32_t)id;
}

static void lock_answers(const struct phca_lock_answer *a, uint32_t len, uint64_t now)
{
	for (uint32_t n = len / sizeof(*a); n > 0; n--, a++) {
		uint32_t slot = slot_of(a->id);

		if (a->magic != PHCA_LOCK_ANSWER_MAGIC || a->lock != slot ||
				a->status != (slots[slot].n % 2 == 0 ? PHCA_LOCK_GRANTED : PHCA_LOCK_OK))
			wrong();
		answered(slot, now);
	}
}

static uint32_t kv_answer(const struct kv_reply *r, uint32_t len)
{
	uint32_t slot = slot_of(r->id);
	uint64_t key = keys[(slots[slot].n * 31 + slot) % KEYS];

	if (r->magic != KV_REPLY || r->status != 0 || r->key != key || len != sizeof(*r) + o.len ||
			((const uint8_t *)(r + 1))[o.len - 1] != (uint8_t)key)
		wrong();
	return slot;
}

static uint32_t reduce_answer(const struct phca_reduce_hdr *h, uint32_t len, uint32_t qpn)
{
	const double *v = (const double *)(const void *)(h + 1);
	uint32_t rank = 0, slot;

	while (phca_qp_num(clients[rank].qp) != qpn)
		rank++;
	slot = rank * o.depth + (uint32_t)(h->round % o.depth);
	if (memcmp(h->magic, PHCA_REDUCE_MAGIC, 4) != 0 || !(h->flags & PHCA_REDUCE_F_RESULT) ||
			h->status != PHCA_REDUCE_OK || h->round != slots[slot].n * o.depth + slot % o.depth ||
			len != PHCA_REDUCE_HDR_LEN + o.len || v[o.len / 8 - 1] != o.ranks * (o.ranks + 1) / 2.0)
		wrong();
	return slot;
}

static void answer(const struct phca_wc *wc, uint64_t now)
{
	const void *at = ends[0].buf + BUFFER / 2 + wc->wr_id * ANSWER;

	if (o.kind == LOCK)
		lock_answers(at, wc->byte_len, now);
	else if (o.kind == KV)
		answered(kv_answer(at, wc->byte_len), now);
	else if (o.kind == REDUCE)
		answered(reduce_answer(at, wc->byte_len, wc->qp_num), now);
	else
		answered(slot_of(*(const uint64_t *)at), now);
	recv_post(0, wc->wr_id);
}

static void post(struct client *c)
{
	while (c->first != c->last) {
		uint32_t slot = c->ready[c->first % SLOTS];
		struct phca_sge sge = { (uintptr_t)request_of(slot), request_make(slot), ends[0].key };
		struct phca_send_wr wr = {
			.sge = &sge, .num_sge = 1, .opcode = PHCA_WR_SEND, .flags = PHCA_SEND_SIGNALED,
		};

		if (phca_post_send(c->qp, &wr, 1) != 1)
			return;
		slots[slot].t0 = rte_rdtsc();
		c->first++;
	}
}

static unsigned int app_turn(void *arg, uint64_t now_ns)
{
	struct phca_wc wc[BURST];
	unsigned int all = 0;

	RTE_SET_USED(arg);
	RTE_SET_USED(now_ns);
	for (unsigned int side = 0; side < 2; side++) {
		int n = phca_poll_cq(ends[side].cq, BURST, wc);
		uint64_t now = rte_rdtsc();

		ok("poll", n);
		for (int i = 0; i < n; i++) {
			if (wc[i].status != PHCA_WC_SUCCESS)
				die(phca_wc_status_str(wc[i].status), EIO);
			if (side == 1)
				echo(&wc[i]);
			else if (wc[i].opcode == PHCA_WC_RECV)
				answer(&wc[i], now);
		}
		all += (unsigned int)n;
	}
	for (uint32_t r = 0; r < o.ranks; r++)
		post(&clients[r]);
	return all;
}

static void open_all(void)
{
	static struct phca_filter_slot filter;
	struct phca_rule rule = { 0 };

	for (unsigned int side = 0; side < 2; side++) {
		struct phca_srq_init si = { .pd = ends[side].pd, .max_wr = SLOTS, .max_sge = 1 };

		ok("srq", phca_srq_create(ends[side].client, &si, &srq[side]));
		for (uint64_t id = 0; id < SLOTS; id++)
			recv_post(side, id);
	}
	if (o.kind != ECHO)
		rule = rule_make(&filter);
	for (uint32_t r = 0; r < o.ranks; r++) {
		clients[r].qp = pair_qp(&ends[0], 2 * o.depth, srq[0]);
		server = pair_qp(&ends[1], SLOTS, srq[1]);
		pair_connect(clients[r].qp, server);
		if (o.kind != ECHO)
			ok("attach", phca_qp_proxy_attach(server, &rule, 1, 0));
		for (uint32_t i = 0; i < o.depth; i++)
			clients[r].ready[clients[r].last++] = r * o.depth + i;
	}
}

int main(int argc, char **argv)
{
	uint64_t begun, n;
	double s;

	args(argc, argv);
	pair_eal("bench-served", true);
	pair_open(&(struct pair_opts){ .proxy_side = 1 });
	open_all();
	pair_start(app_turn);
	pair_run(100000000, &done, NULL);
	__atomic_store_n(&warm, true, __ATOMIC_RELAXED);
	begun = phca_loop_now_ns();
	n = pair_run(o.ms * 1000000ull, &done, NULL);
	s = (double)(phca_loop_now_ns() - begun) / 1e9;
	pair_stop();
	printf("{\"kind\": \"%s\", \"len\": %u, \"depth\": %u, \"ranks\": %u, \"mps\": %.0f, "
		"\"p50_ns\": %.0f, \"p99_ns\": %.0f}\n", kinds[o.kind], o.len, o.depth, o.ranks, (double)n / s,
		lat_ns(0.5), lat_ns(0.99));
	return 0;
}
