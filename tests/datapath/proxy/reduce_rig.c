/* SPDX-License-Identifier: BSD-3-Clause */
/* The rig of the reduce offload's tests: what reduce_rig.h says. */
#include <string.h>

#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>

#include "reduce_rig.h"

#define OK PHCA_WC_SUCCESS
#define RECV PHCA_DIR_RECV

struct rig rr;
struct rig_cq rr_cq;
struct phca_offload *rr_offload;
struct phca_pqp *rr_qp[RR_PEERS];
uint32_t rr_seq[RR_PEERS];
static struct phca_mem *mem;
static struct rte_rcu_qsbr *qsbr;
static unsigned int replies_at;

void rr_peer_begin(uint32_t i)
{
	rr_qp[i] = rig_pqp_rc(&rr, i + 1, 64, &rr_cq, &rr_offload, 1, i == RR_PEERS - 1 ? 2 : 1);
	rr_seq[i] = 0;
}

void rr_setup(const struct phca_setting_arg *args, unsigned int nb_args, uint64_t limit_ns)
{
	qsbr = rte_zmalloc(NULL, rte_rcu_qsbr_get_memsize(1), RTE_CACHE_LINE_SIZE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(qsbr);
	rte_rcu_qsbr_init(qsbr, 1);
	mem = phca_mem_create(64, qsbr);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mem);
	rig_init_mem(&rr, 1024, mem);
	rig_cq_init(&rr_cq, 4032, 64);
	rr_offload = rig_offload(&rr, "reduce", "sum", limit_ns, args, nb_args);
	for (uint32_t i = 0; i < RR_PEERS; i++)
		rr_peer_begin(i);
	replies_at = 0;
}

void rr_peer_end(uint32_t i)
{
	rig_pqp_end(&rr, rr_qp[i]);
	rr_qp[i] = NULL;
}

void rr_teardown(void)
{
	for (uint32_t i = 0; i < RR_PEERS; i++)
		if (rr_qp[i] != NULL)
			rr_peer_end(i);
	CU_ASSERT_EQUAL(phca_offload_destroy(rr_offload), 0);
	rig_fini(&rr);
	rig_cq_fini(&rr_cq);
	phca_mem_destroy(mem);
	rte_free(qsbr);
}

/* --- figures */

struct figure {
	const char *name;
	uint64_t value;
	bool found;
};

static int emit(void *arg, const char *name, uint64_t value)
{
	struct figure *f = arg;

	if (strcmp(f->name, name) == 0) {
		f->value = value;
		f->found = true;
	}
	return 0;
}

uint64_t rr_figure(const char *name)
{
	struct figure f = { .name = name };

	CU_ASSERT_EQUAL(phca_offload_ops(rr_offload)->show(rr_offload, emit, &f), 0);
	CU_ASSERT_TRUE(f.found);
	return f.value;
}

uint64_t rr_in_flight(void)
{
	struct phca_offload_stats st;

	phca_offload_stats_get(rr_offload, &st);
	return st.in_flight;
}

/* --- messages */

struct phca_reduce_hdr rr_header(unsigned int op, unsigned int type, uint8_t flags, uint16_t n, uint64_t round,
		uint32_t count)
{
	return (struct phca_reduce_hdr){
		.magic = { 'P', 'H', 'R', 'D' }, .version = 1, .op = (uint8_t)op, .type = (uint8_t)type, .flags = flags,
		.group = 7, .nb_ranks = n, .round = round, .count = count,
	};
}

/* As many bytes as the header says, or one less or more. */
void rr_contribute_bytes(uint32_t peer, const struct phca_reduce_hdr *h, uint16_t rank, const void *vector,
		uint32_t bytes, uint32_t mtu)
{
	uint8_t data[PHCA_REDUCE_HDR_LEN + RR_BYTES_MAX + 8];
	struct phca_reduce_hdr mine = *h;
	struct rig_in in = {
		.seq = rr_seq[peer]++, .flags = PHCA_PMSG_F_ORDERED, .data = data, .len = PHCA_REDUCE_HDR_LEN + bytes,
		.mtu = mtu, .opcode = PHCA_RC_SEND_ONLY,
	};

	if (mtu != 0 && in.len > mtu)
		in.opcode = PHCA_RC_SEND_FIRST;
	else if (in.len > 400) {
		in.mtu = 400;
		in.opcode = PHCA_RC_SEND_FIRST;
	}
	mine.rank = rank;
	memcpy(data, &mine, sizeof(mine));
	memcpy(data + sizeof(mine), vector, bytes);
	rig_message_in(&rr, rr_qp[peer], &in);
}

void rr_contribute(uint32_t peer, const struct phca_reduce_hdr *h, uint16_t rank, const void *vector, uint32_t mtu)
{
	rr_contribute_bytes(peer, h, rank, vector, h->count * phca_reduce_size(h->type), mtu);
}

/* One element of int32. */
void rr_contribute_one(uint32_t peer, uint16_t n, uint64_t round, uint8_t flags, int32_t value)
{
	struct phca_reduce_hdr h = rr_header(PHCA_REDUCE_SUM, PHCA_REDUCE_INT32, flags, n, round, 1);

	rr_contribute(peer, &h, (uint16_t)peer, &value, 0);
}

/* --- what comes out */

/* The next child: @return its answer, or NULL. It stays on its way. */
struct phca_child *rr_answer(uint32_t *peer, struct phca_reduce_hdr *h)
{
	struct phca_child *c = rig_child(&rr);

	if (c == NULL)
		return NULL;
	*peer = phca_pqp_qpn(c->pqp) - 1;
	CU_ASSERT_EQUAL(c->wr.wqe.opcode, PHCA_WR_SEND);
	CU_ASSERT_TRUE_FATAL(c->wr.len >= sizeof(*h) && c->wr.inline_data != NULL);
	memcpy(h, c->wr.inline_data, sizeof(*h));
	CU_ASSERT_EQUAL(memcmp(h->magic, "PHRD", 4), 0);
	CU_ASSERT_TRUE(h->flags & PHCA_REDUCE_F_RESULT);
	return c;
}

/* An answer with this status comes, to this peer, is taken. */
void rr_expect_answer(uint32_t peer, enum phca_reduce_status status)
{
	struct phca_reduce_hdr h;
	struct phca_child *c;
	uint32_t to;

	c = rr_answer(&to, &h);
	CU_ASSERT_PTR_NOT_NULL(c);
	if (c == NULL)
		return;
	CU_ASSERT_EQUAL(to, peer);
	CU_ASSERT_EQUAL(h.status, (uint32_t)status);
	rig_child_over(&rr, c, OK);
	rig_turn(&rr);
}

void rr_expect_no_answer(void)
{
	CU_ASSERT_PTR_NULL(rig_child(&rr));
}

/* The next request that was given back; NULL: none. Its bytes are copied to data. */
const struct phca_preply *rr_delivered(uint8_t *data, uint32_t *len)
{
	while (replies_at < rr.nb_replies) {
		const struct phca_preply *p = &rr.replies[replies_at++];

		if (p->kind != PHCA_PREPLY_PASS)
			continue;
		*len = 0;
		if (p->data != NULL) {
			*len = rte_pktmbuf_pkt_len(p->data);
			for (uint32_t at = 0; at < *len; at++)
				data[at] = *(const uint8_t *)rte_pktmbuf_read(p->data, at, 1, &data[at]);
			rte_pktmbuf_free(p->data);
		}
		rig_complete(&rr, rr_qp[phca_pqp_qpn(p->req->pqp) - 1], RECV, p->seq, 1000 + p->seq, OK, 0);
		return p;
	}
	return NULL;
}

/* The HCA forgets what was said so far. */
void rr_replies_clear(void)
{
	rr.nb_replies = rr.child_at = replies_at = 0;
}

/* The result of one element is delivered, nothing else. */
void rr_expect_delivered(uint64_t round, int32_t value)
{
	uint8_t data[1024];
	struct phca_reduce_hdr h;
	uint32_t len;
	int32_t got;

	CU_ASSERT_PTR_NOT_NULL(rr_delivered(data, &len));
	CU_ASSERT_EQUAL(len, sizeof(h) + 4);
	memcpy(&h, data, sizeof(h));
	memcpy(&got, data + sizeof(h), sizeof(got));
	CU_ASSERT_EQUAL(h.round, round);
	CU_ASSERT_EQUAL(h.rank, PHCA_REDUCE_NOBODY);
	CU_ASSERT_EQUAL(h.status, PHCA_REDUCE_OK);
	CU_ASSERT_EQUAL(got, value);
	rig_turn(&rr);
}

void rr_expect_nothing_delivered(void)
{
	uint8_t data[1024];
	uint32_t len;

	CU_ASSERT_PTR_NULL(rr_delivered(data, &len));
}

void rr_time_goes(uint64_t ms)
{
	rr.now_ns += ms * 1000000;
	rig_settle(&rr);
}

unsigned int rr_errors_of(uint32_t peer)
{
	return rig_count(&rr, PHCA_PREPLY_ERROR, (void *)(uintptr_t)(peer + 1));
}
