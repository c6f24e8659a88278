/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The phases of datacheck. In each the active end posts messages whose kind, length, place
 * and bytes follow from the phase's key and the message's number; the passive end works out
 * the same. RC runs freely: receives that are late are a case to be tested. UC and UD lose
 * what finds no receive, so there both ends meet after every DC_DEPTH messages.
 */
#include "datacheck.h"

#include <arpa/inet.h>
#include <string.h>

#define STALLED_MS 30000

/* One message, as both ends know it. */
struct message {
	uint64_t key;
	uint32_t bytes;
	uint32_t offset;	/* in the target */
	bool imm;
};

static struct message
message_of(const struct dc *d, uint32_t number)
{
	uint64_t r = dc_random(d->key, number), place = dc_random(d->key ^ 0x706c616365, number);
	const uint32_t edges[] = {0, 1, 3, 64, d->mtu_bytes - 1, d->mtu_bytes, d->mtu_bytes + 1,
				  d->max_bytes};
	struct message m = {.key = r, .imm = number % 4 == 3};

	/* half of them at the edges of what a packet holds */
	m.bytes = r & 1 ? edges[(r >> 1) % 8] : (uint32_t)((r >> 8) % (d->max_bytes + 1));
	if (m.bytes > d->max_bytes)
		m.bytes = d->max_bytes;
	m.offset = DC_ATOMICS + (uint32_t)(place % (DC_TARGET - DC_ATOMICS - d->max_bytes));
	return m;
}

void
dc_receives(struct dc *d, uint32_t count)
{
	struct ibv_sge sge[2];
	struct ibv_recv_wr wr = {.sg_list = sge, .num_sge = 2}, *bad;
	uint32_t first;
	uint8_t *slot;
	int rc;

	while (count-- > 0) {
		slot = d->recv + (size_t)d->next_recv * d->room;
		wr.wr_id = d->next_recv;
		/* in two pieces; where they meet differs from slot to slot */
		first = DC_GRH + (d->next_recv * 37) % (d->room - DC_GRH);
		sge[0] = (struct ibv_sge){(uintptr_t)slot, first, d->recv_mr->lkey};
		sge[1] = (struct ibv_sge){(uintptr_t)slot + first, d->room - first,
					  d->recv_mr->lkey};
		rc = ibv_post_recv(d->qp, &wr, &bad);
		if (rc)
			dc_fail("post a receive: %s", strerror(rc));
		d->next_recv = (d->next_recv + 1) % DC_RECEIVES;
	}
}

static void
post(struct dc *d, struct ibv_send_wr *wr, uint32_t bytes)
{
	uint8_t *slot = d->send + (size_t)(d->posted % DC_DEPTH) * d->room;
	bool halves = bytes > 1 && wr->opcode != IBV_WR_ATOMIC_CMP_AND_SWP &&
		      wr->opcode != IBV_WR_ATOMIC_FETCH_AND_ADD;
	uint32_t first = halves ? 1 + bytes / 3 : bytes;
	struct ibv_sge sge[2] = {
		{(uintptr_t)slot, first, d->send_mr->lkey},
		{(uintptr_t)slot + first, bytes - first, d->send_mr->lkey},
	};
	struct ibv_send_wr *bad;
	int rc;

	wr->wr_id = DC_RECEIVES + d->posted;
	wr->sg_list = sge;
	wr->num_sge = halves ? 2 : bytes != 0;
	wr->send_flags = IBV_SEND_SIGNALED;
	if (d->type == IBV_QPT_UD) {
		wr->wr.ud.ah = d->ah;
		wr->wr.ud.remote_qpn = d->theirs.qpn;
		wr->wr.ud.remote_qkey = DC_QKEY;
	}
	rc = ibv_post_send(d->qp, wr, &bad);
	if (rc)
		dc_fail("post send %u: %s", d->posted, strerror(rc));
	d->posted++;
}

/* What the passive end has to do with a receive that is complete. */
static void
check_received(struct dc *d, const struct ibv_wc *wc)
{
	uint32_t number = d->received++, skip = d->type == IBV_QPT_UD ? DC_GRH : 0;
	const uint8_t *slot = d->recv + (size_t)wc->wr_id * d->room;
	bool write = wc->opcode == IBV_WC_RECV_RDMA_WITH_IMM;
	struct message m;
	uint8_t *wanted = d->wanted;

	/* a WRITE is received when it has an immediate: every fourth is */
	if (write)
		number = number * 4 + 3;
	m = message_of(d, number);
	if (wc->byte_len != m.bytes + skip)
		dc_fail("receive %u has %u bytes, should have %u", number, wc->byte_len,
			m.bytes + skip);
	if (!!(wc->wc_flags & IBV_WC_WITH_IMM) != m.imm)
		dc_fail("receive %u: flags 0x%x, an immediate should%s be there", number,
			wc->wc_flags, m.imm ? "" : " not");
	if (m.imm && ntohl(wc->imm_data) != number)
		dc_fail("receive %u has the immediate %u", number, ntohl(wc->imm_data));
	if (d->type == IBV_QPT_UD && wc->src_qp != d->theirs.qpn)
		dc_fail("receive %u is from QP 0x%x", number, wc->src_qp);
	if (!write) {
		dc_fill(wanted, m.bytes, m.key);
		dc_same("receive", number, slot + skip, wanted, m.bytes);
		d->checked++;
		d->checked_bytes += m.bytes;
	}
	dc_receives(d, 1);
}

/* What the active end has to do with a READ or an atomic that is complete. */
typedef void (*answered)(struct dc *d, uint32_t number, const uint8_t *slot);

/* Take completions until one of the two is reached. */
static void
progress(struct dc *d, uint32_t done, uint32_t received, answered answer)
{
	uint64_t since = dc_now_ms();
	struct ibv_wc wc;
	int n;

	while (d->done < done || d->received < received) {
		n = ibv_poll_cq(d->cq, 1, &wc);
		if (n < 0)
			dc_fail("poll: %d", n);
		if (n == 0) {
			if (dc_now_ms() - since > STALLED_MS)
				dc_fail("stalled: %u of %u sends done, %u of %u received", d->done,
					done, d->received, received);
			continue;
		}
		since = dc_now_ms();
		if (wc.status != IBV_WC_SUCCESS)
			dc_fail("%s %" PRIu64 ": %s", wc.wr_id < DC_RECEIVES ? "receive" : "send",
				wc.wr_id, ibv_wc_status_str(wc.status));
		if (wc.wr_id < DC_RECEIVES) {
			check_received(d, &wc);
			continue;
		}
		if (wc.wr_id != DC_RECEIVES + d->done)
			dc_fail("send %" PRIu64 " completes, should be %u", wc.wr_id - DC_RECEIVES,
				d->done);
		if (answer)
			answer(d, d->done, d->send + (size_t)(d->done % DC_DEPTH) * d->room);
		d->done++;
	}
}

static void
begin(struct dc *d, const char *name, bool active)
{
	d->key = dc_random(d->seed ^ (active == d->client), (uint64_t)name[0] << 8 | (uint8_t)name[1]);
	d->posted = d->done = d->received = 0;
	dc_meet(d, name);
}

/* After so many messages both ends of UC and UD are in step. */
static bool
in_step(const struct dc *d, uint32_t number)
{
	return d->type != IBV_QPT_RC && number % DC_DEPTH == 0;
}

/* -------------------------------------------------------- SEND and WRITE */

static void
push_active(struct dc *d, bool write)
{
	struct ibv_send_wr wr;
	struct message m;
	uint32_t i;

	for (i = 0; i < d->messages; i++) {
		progress(d, i < DC_DEPTH ? 0 : i + 1 - DC_DEPTH, 0, NULL);
		if (in_step(d, i)) {
			progress(d, i, 0, NULL);
			dc_meet(d, "step");
		}
		m = message_of(d, i);
		dc_fill(d->send + (size_t)(i % DC_DEPTH) * d->room, m.bytes, m.key);
		memset(&wr, 0, sizeof(wr));
		if (write) {
			wr.opcode = m.imm ? IBV_WR_RDMA_WRITE_WITH_IMM : IBV_WR_RDMA_WRITE;
			wr.wr.rdma.remote_addr = d->theirs.addr + m.offset;
			wr.wr.rdma.rkey = d->theirs.rkey;
		} else {
			wr.opcode = m.imm ? IBV_WR_SEND_WITH_IMM : IBV_WR_SEND;
		}
		if (m.imm)
			wr.imm_data = htonl(i);
		post(d, &wr, m.bytes);
	}
	progress(d, d->messages, 0, NULL);
}

/* So many of the first messages of the phase are received: those with an immediate, of WRITEs. */
static uint32_t
receives_of(bool write, uint32_t messages)
{
	return write ? messages / 4 : messages;
}

static void
push_passive(struct dc *d, bool write)
{
	uint32_t i;

	for (i = 0; i < d->messages; i++)
		if (in_step(d, i)) {
			progress(d, 0, receives_of(write, i), NULL);
			dc_meet(d, "step");
		}
	progress(d, 0, receives_of(write, d->messages), NULL);
}

static void
phase_send(struct dc *d, bool active)
{
	begin(d, "SEND", active);
	if (active)
		push_active(d, false);
	else
		push_passive(d, false);
	dc_meet(d, "SEND end");
}

static void
phase_write(struct dc *d, bool active)
{
	struct message m;
	uint32_t i;

	memset(d->target, 0, DC_TARGET);
	begin(d, "WRITE", active);
	if (active)
		push_active(d, true);
	else
		push_passive(d, true);
	dc_meet(d, "WRITE end");
	if (active)
		return;
	/* In order, each over what was there before. */
	memset(d->wanted, 0, DC_TARGET);
	for (i = 0; i < d->messages; i++) {
		m = message_of(d, i);
		dc_fill(d->wanted + m.offset, m.bytes, m.key);
		d->checked++;
		d->checked_bytes += m.bytes;
	}
	dc_same("target", 0, d->target, d->wanted, DC_TARGET);
}

/* ------------------------------------------------------------------ READ */

static void
check_read(struct dc *d, uint32_t number, const uint8_t *slot)
{
	struct message m = message_of(d, number);

	dc_same("READ", number, slot, d->wanted + m.offset, m.bytes);
	d->checked++;
	d->checked_bytes += m.bytes;
}

static void
phase_read(struct dc *d, bool active)
{
	struct ibv_send_wr wr;
	struct message m;
	uint32_t i;

	dc_fill(active ? d->wanted : d->target, DC_TARGET, d->seed ^ active ^ !d->client);
	begin(d, "READ", active);
	for (i = 0; active && i < d->messages; i++) {
		progress(d, i < DC_DEPTH ? 0 : i + 1 - DC_DEPTH, 0, check_read);
		m = message_of(d, i);
		memset(d->send + (size_t)(i % DC_DEPTH) * d->room, 0xee, d->room);
		memset(&wr, 0, sizeof(wr));
		wr.opcode = IBV_WR_RDMA_READ;
		wr.wr.rdma.remote_addr = d->theirs.addr + m.offset;
		wr.wr.rdma.rkey = d->theirs.rkey;
		post(d, &wr, m.bytes);
	}
	if (active)
		progress(d, d->messages, 0, check_read);
	dc_meet(d, "READ end");
}

/* --------------------------------------------------------------- atomics */

/* Atomic operation of a number on words in host byte order: the word it is on, before it. */
static uint32_t
atomic_of(const struct dc *d, uint32_t number, const uint64_t *words, struct ibv_send_wr *wr)
{
	uint64_t r = dc_random(d->key, number);
	uint32_t word = (uint32_t)(r % (DC_ATOMICS / 8));

	memset(wr, 0, sizeof(*wr));
	wr->wr.atomic.remote_addr = d->theirs.addr + word * 8;
	wr->wr.atomic.rkey = d->theirs.rkey;
	if (number % 2 == 0) {
		wr->opcode = IBV_WR_ATOMIC_FETCH_AND_ADD;
		wr->wr.atomic.compare_add = r;
	} else {
		wr->opcode = IBV_WR_ATOMIC_CMP_AND_SWP;
		/* one in eight does not match */
		wr->wr.atomic.compare_add = words[word] + (number % 8 == 1);
		wr->wr.atomic.swap = r;
	}
	return word;
}

static void
atomic_apply(uint64_t *word, const struct ibv_send_wr *wr)
{
	if (wr->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD)
		*word += wr->wr.atomic.compare_add;
	else if (*word == wr->wr.atomic.compare_add)
		*word = wr->wr.atomic.swap;
}

static void
check_atomic(struct dc *d, uint32_t number, const uint8_t *slot)
{
	uint64_t *words = (uint64_t *)d->wanted;
	struct ibv_send_wr wr;
	uint32_t word = atomic_of(d, number, words, &wr);

	dc_same("atomic", number, slot, (const uint8_t *)&words[word], 8);
	atomic_apply(&words[word], &wr);
	d->checked++;
	d->checked_bytes += 8;
}

static void
phase_atomic(struct dc *d, bool active)
{
	uint64_t ahead[DC_ATOMICS / 8] = {0};
	struct ibv_send_wr wr;
	uint32_t i, word;

	memset(d->wanted, 0, DC_ATOMICS);
	memset(d->target, 0, DC_ATOMICS);
	begin(d, "ATOMIC", active);
	for (i = 0; i < d->messages; i++) {
		word = atomic_of(d, i, ahead, &wr);
		atomic_apply(&ahead[word], &wr);
		if (!active)
			continue;
		progress(d, i < DC_DEPTH ? 0 : i + 1 - DC_DEPTH, 0, check_atomic);
		post(d, &wr, 8);
	}
	if (active)
		progress(d, d->messages, 0, check_atomic);
	dc_meet(d, "ATOMIC end");
	if (!active)
		dc_same("words", 0, d->target, (const uint8_t *)ahead, DC_ATOMICS);
}

void
dc_phases(struct dc *d, bool active)
{
	phase_send(d, active);
	if (d->type != IBV_QPT_UD)
		phase_write(d, active);
	if (d->type == IBV_QPT_RC) {
		phase_read(d, active);
		if (d->attr.atomic_cap != IBV_ATOMIC_NONE)
			phase_atomic(d, active);
	}
}
