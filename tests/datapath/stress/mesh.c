/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the ends of a connection post, and the model; see mesh.h.
 *
 * Invariant: a work request is known by its wr_id alone, life and number: what
 * comes back with another one, twice, or too early is wrong. The data of a message
 * follows from its number, so that the two ends share no model.
 */
#include <stdio.h>
#include <string.h>

#include "mesh.h"

/* An end's memory: what it sends, where answers land, receives, what its peer may reach. */
#define SEND_OFF 0
#define LAND_OFF (SEND_OFF + MESH_DEPTH * MESH_MSG)
#define RECV_OFF (LAND_OFF + MESH_DEPTH * MESH_MSG)
#define SLOT_OFF (RECV_OFF + MESH_RECVS * MESH_MSG)
#define KEEP_OFF (SLOT_OFF + MESH_SLOTS * MESH_MSG)
#define FIXED_OFF (KEEP_OFF + MESH_MSG)
#define COUNTER_OFF (FIXED_OFF + MESH_MSG)
#define BYTES (COUNTER_OFF + 8)
#define TAKEN UINT64_MAX /* the number of a message that a proxy takes */

size_t mesh_bytes(void)
{
	return BYTES;
}

void mesh_wrong(struct link *l, const char *what, uint64_t a, uint64_t b)
{
	if (__atomic_fetch_add(l->wrong, 1, __ATOMIC_RELAXED) < 10)
		printf("  wrong: %s (qp %x, life %u%s): %" PRIu64 ", %" PRIu64 "\n", what, phca_qp_num(l->side[0].qp),
			l->life, l->proxied ? ", proxied" : "", a, b);
}

static uint32_t below(struct link *l, uint32_t n)
{
	return (uint32_t)(phca_test_rand(&l->rnd) >> 20) % n;
}

static void content(uint8_t *p, uint32_t len, uint64_t seed, uint64_t number)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + number * 0xff51afd7ed558ccdu;

	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(x >> (i & 7) * 8) + (uint8_t)(i >> 3);
}

static bool is_content(const uint8_t *p, uint32_t len, uint64_t seed, uint64_t number)
{
	uint8_t want[MESH_MSG];

	content(want, len, seed, number);
	return memcmp(p, want, len) == 0;
}

void mesh_fill(struct side *s)
{
	content(s->mem + FIXED_OFF, MESH_MSG, s->seed, 0);
}

void mesh_begin(struct link *l)
{
	l->life++;
	for (unsigned int i = 0; i < 2; i++) {
		struct side *s = &l->side[i];

		s->posted = s->completed = s->rposted = s->rgot = 0;
		s->sent = s->received = s->writes = s->adds = 0;
		s->back = s->failed = s->rfailed = false;
		memset(s->mem + COUNTER_OFF, 0, 8);
	}
}

/* -------------------------------------------------------------- posting */

static uint64_t id(const struct link *l, uint32_t n)
{
	return (uint64_t)l->life << 32 | n;
}

static uint32_t pick_len(struct link *l, uint32_t max)
{
	return 1 + below(l, below(l, 2) ? 64 : max);
}

/* A SEND, or a WRITE with immediate data. */
static void fill_message(struct link *l, struct side *s, const struct side *peer, struct mesh_wr *r,
		struct phca_send_wr *wr)
{
	bool write = below(l, 3) == 0;

	wr->opcode = write ? PHCA_WR_RDMA_WRITE_WITH_IMM : below(l, 2) ? PHCA_WR_SEND : PHCA_WR_SEND_WITH_IMM;
	r->len = pick_len(l, write && l->proxied ? MESH_IN_BIG - 1 : MESH_MSG);
	r->number = l->proxied && r->len >= MESH_IN_BIG ? TAKEN : s->sent++;
	if (write) {
		wr->imm = s->writes++ % MESH_SLOTS;
		wr->remote_addr = (uintptr_t)peer->mem + SLOT_OFF + wr->imm * MESH_MSG;
	}
}

static void fill_wr(struct link *l, struct side *s, const struct side *peer, struct mesh_wr *r,
		struct phca_send_wr *wr)
{
	const struct mesh_wr *before = &s->wr[(s->posted - 1) % MESH_DEPTH];

	wr->rkey = peer->key;
	if (s->back) { /* READ what the WRITE in front left there */
		s->back = false;
		wr->opcode = PHCA_WR_RDMA_READ;
		wr->remote_addr = (uintptr_t)peer->mem + KEEP_OFF;
		r->len = before->len;
		r->number = before->number;
		return;
	}
	switch (below(l, 6)) {
	case 0:
		wr->opcode = PHCA_WR_RDMA_WRITE;
		wr->remote_addr = (uintptr_t)peer->mem + KEEP_OFF;
		r->len = pick_len(l, l->proxied ? MESH_IN_BIG - 1 : MESH_MSG);
		r->number = 1 + s->posted;
		wr->flags = PHCA_SEND_FENCE; /* not before the last READ has read */
		s->back = true;
		break;
	case 1:
		wr->opcode = PHCA_WR_RDMA_READ;
		wr->remote_addr = (uintptr_t)peer->mem + FIXED_OFF;
		r->len = pick_len(l, l->proxied ? MESH_SEND_BIG - 1 : MESH_MSG);
		r->number = 0;
		break;
	case 2:
		wr->opcode = PHCA_WR_ATOMIC_FETCH_AND_ADD;
		wr->remote_addr = (uintptr_t)peer->mem + COUNTER_OFF;
		wr->compare_add = 1;
		r->len = 8;
		r->number = s->adds++;
		break;
	default:
		fill_message(l, s, peer, r, wr);
	}
}

static bool brings_back(uint8_t opcode)
{
	return opcode == PHCA_WR_RDMA_READ || opcode == PHCA_WR_ATOMIC_FETCH_AND_ADD;
}

static bool post_one(struct link *l, struct side *s, const struct side *peer, bool last)
{
	struct mesh_wr *r = &s->wr[s->posted % MESH_DEPTH];
	uint8_t *data = s->mem + s->posted % MESH_DEPTH * MESH_MSG;
	struct phca_send_wr wr = { .wr_id = id(l, s->posted) };
	struct phca_sge sge = { .lkey = s->key };

	fill_wr(l, s, peer, r, &wr);
	r->opcode = (uint8_t)wr.opcode;
	r->signaled = last || below(l, 3) > 0;
	data += brings_back(r->opcode) ? LAND_OFF : SEND_OFF;
	if (!brings_back(r->opcode))
		content(data, r->len, s->seed, r->number);
	sge.addr = (uintptr_t)data;
	sge.length = r->len;
	wr.sge = &sge;
	wr.num_sge = 1;
	wr.flags |= (r->signaled ? PHCA_SEND_SIGNALED : 0) | (below(l, 8) == 0 ? PHCA_SEND_FENCE : 0);
	if (phca_post_send(s->qp, &wr, 1) != 1)
		mesh_wrong(l, "a post was refused", s->posted, s->completed);
	PHCA_STAT_ADD(s->posted, 1);
	return true;
}

static void pond_post(struct link *l, struct pond *p)
{
	while (p->nb_free > 0) {
		uint16_t slot = p->free[p->nb_free - 1];
		struct phca_sge sge = { (uintptr_t)p->mem + (size_t)slot * MESH_MSG, MESH_MSG, p->key };
		struct phca_recv_wr wr = { slot, &sge, 1 };

		if (phca_post_srq_recv(p->srq, &wr, 1) != 1)
			return;
		if (p->posted[slot])
			mesh_wrong(l, "a receive is free and posted", slot, 0);
		p->posted[slot] = true;
		p->nb_free--;
	}
}

static void post_recvs(struct link *l, struct side *s)
{
	uint32_t n = below(l, MESH_RECVS); /* not always all, so that the peer meets RNR */

	if (s->pond != NULL) {
		pond_post(l, s->pond);
		return;
	}
	while (n-- > 0 && s->rposted - s->rgot < MESH_RECVS) {
		struct phca_sge sge = { (uintptr_t)s->mem + RECV_OFF + s->rposted % MESH_RECVS * MESH_MSG, MESH_MSG,
			s->key };
		struct phca_recv_wr wr = { id(l, s->rposted), &sge, 1 };

		if (phca_post_recv(s->qp, &wr, 1) != 1)
			mesh_wrong(l, "a receive was refused", s->rposted, s->rgot);
		PHCA_STAT_ADD(s->rposted, 1);
	}
}

/* --------------------------------------------------------------- seeing */

/*
 * Of one queue: nothing succeeds behind a failure. Two queues have no order between
 * them: a receive may be seen flushed before a SEND that succeeded.
 * @return whether it was a success
 */
static bool success(struct link *l, bool *failed, const struct phca_wc *wc)
{
	if (wc->status == PHCA_WC_SUCCESS) {
		if (*failed)
			mesh_wrong(l, "success behind a failure", wc->wr_id, wc->opcode);
		return true;
	}
	if (!l->ends)
		mesh_wrong(l, phca_wc_status_str(wc->status), wc->wr_id, wc->vendor_err);
	*failed = true;
	return false;
}

static void back(struct link *l, const struct side *s, const struct side *peer, uint32_t n)
{
	const struct mesh_wr *r = &s->wr[n % MESH_DEPTH];
	const uint8_t *land = s->mem + LAND_OFF + n % MESH_DEPTH * MESH_MSG;
	uint64_t value;

	switch (r->opcode) {
	case PHCA_WR_RDMA_READ:
		if (!is_content(land, r->len, r->number == 0 ? peer->seed : s->seed, r->number))
			mesh_wrong(l, "a READ brought other data", n, r->number);
		break;
	case PHCA_WR_ATOMIC_FETCH_AND_ADD:
		memcpy(&value, land, 8);
		if (value != r->number)
			mesh_wrong(l, "an atomic brought another value", value, r->number);
		break;
	default:
		break;
	}
}

static void completion(struct link *l, struct side *s, const struct side *peer, const struct phca_wc *wc)
{
	uint32_t n = s->completed;
	bool ok = success(l, &s->failed, wc);

	while (ok && n != s->posted && !s->wr[n % MESH_DEPTH].signaled)
		n++;
	/* one that is flushed tells, signaled or not; those in front that are not signaled may have succeeded */
	while (!ok && n != s->posted && id(l, n) != wc->wr_id && !s->wr[n % MESH_DEPTH].signaled)
		n++;
	if (n == s->posted || wc->wr_id != id(l, n)) {
		mesh_wrong(l, "a completion out of order, or twice", wc->wr_id, id(l, n));
		return;
	}
	for (uint32_t i = s->completed; ok && i <= n; i++)
		back(l, s, peer, i);
	PHCA_STAT_ADD(s->completed, n + 1 - s->completed);
}

/* What was received is the next message that no proxy takes. */
static void message(struct link *l, struct side *s, const struct side *from, const struct phca_wc *wc,
		const uint8_t *buf)
{
	if (wc->opcode == PHCA_WC_RECV_RDMA_WITH_IMM)
		buf = s->mem + SLOT_OFF + wc->imm % MESH_SLOTS * MESH_MSG;
	if (wc->byte_len > MESH_MSG)
		mesh_wrong(l, "a message is too long", wc->byte_len, 0);
	else if (l->proxied && wc->byte_len >= MESH_IN_BIG)
		mesh_wrong(l, "a proxy did not take a message", wc->byte_len, 0);
	else if (!is_content(buf, wc->byte_len, from->seed, s->received++))
		mesh_wrong(l, "a message out of order, twice, or other data", s->received, wc->byte_len);
}

static void receive(struct link *l, struct side *s, const struct side *from, const struct phca_wc *wc)
{
	bool ok = success(l, &s->rfailed, wc);
	struct pond *p = s->pond;
	const uint8_t *buf;

	if (p == NULL) {
		if (wc->wr_id != id(l, s->rgot) || s->rgot == s->rposted)
			mesh_wrong(l, "a receive out of order, or twice", wc->wr_id, id(l, s->rgot));
		buf = s->mem + RECV_OFF + s->rgot % MESH_RECVS * MESH_MSG;
		PHCA_STAT_ADD(s->rgot, 1);
	} else {
		if (wc->wr_id >= MESH_SRQ_SLOTS || !p->posted[wc->wr_id]) {
			mesh_wrong(l, "a receive that was not posted", wc->wr_id, 0);
			return;
		}
		buf = p->mem + wc->wr_id * MESH_MSG;
	}
	if (ok)
		message(l, s, from, wc, buf);
	if (p != NULL) {
		p->posted[wc->wr_id] = false;
		p->free[p->nb_free++] = (uint16_t)wc->wr_id;
	}
}

unsigned int mesh_poll(struct link *l, unsigned int side)
{
	struct side *s = &l->side[side], *peer = &l->side[!side];
	struct phca_wc wc[16];
	int n, m;

	n = phca_poll_cq(s->scq, 16, wc);
	for (int i = 0; i < n; i++)
		completion(l, s, peer, &wc[i]);
	m = phca_poll_cq(s->rcq, 16, wc);
	for (int i = 0; i < m; i++)
		receive(l, s, peer, &wc[i]);
	if (n < 0 || m < 0)
		mesh_wrong(l, "a completion queue is in error", (uint64_t)-n, (uint64_t)-m);
	n = RTE_MAX(n, 0) + RTE_MAX(m, 0);
	PHCA_STAT_ADD(l->done, (uint64_t)n);
	return (unsigned int)n;
}

unsigned int mesh_turn(struct link *l)
{
	unsigned int done = 0;

	for (unsigned int i = 0; i < 2 && l->phase != LINK_PAUSED; i++) {
		struct side *s = &l->side[i];
		uint32_t n = below(l, 4);

		done += mesh_poll(l, i);
		if (l->phase != LINK_RUNS)
			continue;
		post_recvs(l, s);
		n = RTE_MIN(n, MESH_DEPTH - (s->posted - s->completed));
		while (n-- > 0)
			post_one(l, s, &l->side[!i], n == 0);
	}
	return done;
}
