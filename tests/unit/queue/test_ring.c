/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings: what may be formatted and attached, indices that wrap, full and empty,
 * what a hostile other side can do, and two threads that pass a sequence.
 */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "phca_queue.h"
#include "phca_test.h"

#define SIZE 8u
#define STRIDE 16u

/* A ring and both sides' views of it. */
struct both {
	void *mem;
	size_t len;
	struct phca_ring prod, cons;
};

static void both_make(struct both *b, enum phca_ring_type type, uint32_t size, uint32_t stride)
{
	b->len = phca_ring_bytes(size, stride);
	CU_ASSERT_NOT_EQUAL_FATAL(b->len, 0);
	b->mem = aligned_alloc(PHCA_CACHE_LINE, (b->len + PHCA_CACHE_LINE - 1) & ~(size_t)(PHCA_CACHE_LINE - 1));
	CU_ASSERT_PTR_NOT_NULL_FATAL(b->mem);
	CU_ASSERT_EQUAL_FATAL(phca_ring_format(b->mem, type, size, stride), 0);
	CU_ASSERT_EQUAL_FATAL(phca_ring_attach(&b->prod, b->mem, b->len, type), 0);
	CU_ASSERT_EQUAL_FATAL(phca_ring_attach(&b->cons, b->mem, b->len, type), 0);
}

/* Let both sides start at an index, as after that many slots. */
static void both_start_at(struct both *b, uint32_t index)
{
	b->prod.own = b->prod.other = b->cons.own = b->cons.other = index;
	b->prod.hdr->prod = b->prod.hdr->cons = index;
}

PHCA_TEST(ring, bytes_of_shapes)
{
	CU_ASSERT_EQUAL(phca_ring_bytes(1, 4), sizeof(struct phca_ring_hdr) + 4);
	CU_ASSERT_EQUAL(phca_ring_bytes(PHCA_QUEUE_SIZE_MAX, 65536),
		sizeof(struct phca_ring_hdr) + (size_t)PHCA_QUEUE_SIZE_MAX * 65536);
	CU_ASSERT_EQUAL(phca_ring_bytes(0, 16), 0);
	CU_ASSERT_EQUAL(phca_ring_bytes(3, 16), 0);
	CU_ASSERT_EQUAL(phca_ring_bytes(PHCA_QUEUE_SIZE_MAX * 2, 16), 0);
	CU_ASSERT_EQUAL(phca_ring_bytes(8, 0), 0);
	CU_ASSERT_EQUAL(phca_ring_bytes(8, 6), 0);
	CU_ASSERT_EQUAL(phca_ring_bytes(8, 65540), 0);
}

PHCA_TEST(ring, strides_hold_what_they_shall)
{
	CU_ASSERT_EQUAL(phca_send_stride(0, 0), sizeof(struct phca_send_wqe));
	for (uint32_t sge = 0; sge <= 32; sge++) {
		for (uint32_t inl = 0; inl <= 512; inl += 31) {
			uint32_t s = phca_send_stride(sge, inl);

			CU_ASSERT_EQUAL(s % 32, 0);
			CU_ASSERT_TRUE(s >= sizeof(struct phca_send_wqe) + sge * sizeof(struct phca_sge));
			CU_ASSERT_TRUE(s >= sizeof(struct phca_send_wqe) + inl);
			CU_ASSERT_NOT_EQUAL(phca_ring_bytes(2, s), 0);
		}
		CU_ASSERT_EQUAL(phca_recv_stride(sge), 16 + 16 * sge);
	}
}

PHCA_TEST(ring, sges_lie_behind_the_request)
{
	struct { struct phca_send_wqe w; struct phca_sge sge[2]; } send;
	struct { struct phca_recv_wqe w; struct phca_sge sge[2]; } recv;

	CU_ASSERT_PTR_EQUAL(phca_send_sge(&send.w), send.sge);
	CU_ASSERT_PTR_EQUAL(phca_recv_sge(&recv.w), recv.sge);
}

PHCA_TEST(ring, format_refuses_bad_shapes)
{
	_Alignas(PHCA_CACHE_LINE) uint8_t mem[1024];

	CU_ASSERT_EQUAL(phca_ring_format(mem, PHCA_RING_SQ, 5, STRIDE), -EINVAL);
	CU_ASSERT_EQUAL(phca_ring_format(mem, PHCA_RING_SQ, SIZE, 3), -EINVAL);
	CU_ASSERT_EQUAL(phca_ring_format(mem + 8, PHCA_RING_SQ, SIZE, STRIDE), -EINVAL);
	CU_ASSERT_EQUAL(phca_ring_format(mem, PHCA_RING_SQ, SIZE, STRIDE), 0);
}

/* The view is what was asked for, whatever is in the header by then. */
PHCA_TEST(ring, init_does_not_read_the_header)
{
	_Alignas(PHCA_CACHE_LINE) uint8_t mem[1024];
	struct phca_ring r, other;

	CU_ASSERT_EQUAL(phca_ring_init(&r, mem + 8, PHCA_RING_RQ, SIZE, STRIDE), -EINVAL);
	CU_ASSERT_EQUAL(phca_ring_init(&r, mem, PHCA_RING_RQ, 5, STRIDE), -EINVAL);
	CU_ASSERT_EQUAL(phca_ring_init(&r, mem, PHCA_RING_RQ, SIZE, STRIDE), 0);
	CU_ASSERT_EQUAL(phca_ring_size(&r), SIZE);
	CU_ASSERT_EQUAL(phca_ring_avail(&r), 0);
	CU_ASSERT_PTR_EQUAL(phca_ring_slot(&r, 1), mem + sizeof(struct phca_ring_hdr) + STRIDE);
	CU_ASSERT_EQUAL(phca_ring_attach(&other, mem, sizeof(mem), PHCA_RING_RQ), 0);
	CU_ASSERT_EQUAL(other.mask, r.mask);
	CU_ASSERT_EQUAL(other.stride, r.stride);
}

PHCA_TEST(ring, attach_checks_the_header)
{
	struct phca_ring r;
	struct both b;

	both_make(&b, PHCA_RING_CQ, SIZE, STRIDE);
	CU_ASSERT_EQUAL(phca_ring_attach(&r, b.mem, b.len, PHCA_RING_CQ), 0);
	CU_ASSERT_EQUAL(phca_ring_size(&r), SIZE);
	CU_ASSERT_EQUAL(phca_ring_attach(&r, b.mem, b.len, PHCA_RING_SQ), -EINVAL);
	CU_ASSERT_EQUAL(phca_ring_attach(&r, b.mem, b.len - 1, PHCA_RING_CQ), -EINVAL);
	CU_ASSERT_EQUAL(phca_ring_attach(&r, b.mem, 8, PHCA_RING_CQ), -EINVAL);
	CU_ASSERT_EQUAL(phca_ring_attach(&r, (uint8_t *)b.mem + 4, b.len - 4, PHCA_RING_CQ), -EINVAL);
	b.cons.hdr->size = 2 * SIZE;
	CU_ASSERT_EQUAL(phca_ring_attach(&r, b.mem, b.len, PHCA_RING_CQ), -EINVAL);
	b.cons.hdr->size = SIZE + 1;
	CU_ASSERT_EQUAL(phca_ring_attach(&r, b.mem, b.len, PHCA_RING_CQ), -EINVAL);
	b.cons.hdr->size = SIZE;
	b.cons.hdr->stride = 0;
	CU_ASSERT_EQUAL(phca_ring_attach(&r, b.mem, b.len, PHCA_RING_CQ), -EINVAL);
	b.cons.hdr->stride = STRIDE;
	b.cons.hdr->abi++;
	CU_ASSERT_EQUAL(phca_ring_attach(&r, b.mem, b.len, PHCA_RING_CQ), -EPROTO);
	b.cons.hdr->abi--;
	b.cons.hdr->magic ^= 1;
	CU_ASSERT_EQUAL(phca_ring_attach(&r, b.mem, b.len, PHCA_RING_CQ), -EPROTO);
	free(b.mem);
}

/* Fill and empty a whole ring once, from wherever both sides stand. */
static void round_trip(struct both *b)
{
	CU_ASSERT_EQUAL(phca_ring_avail(&b->cons), 0);
	for (uint32_t i = 0; i < SIZE; i++) {
		CU_ASSERT_EQUAL(phca_ring_free(&b->prod, SIZE - i), SIZE - i);
		*(uint32_t *)phca_ring_next(&b->prod) = i + 100;
		CU_ASSERT_EQUAL(phca_ring_avail(&b->cons), 0); /* not published */
	}
	CU_ASSERT_EQUAL(phca_ring_free(&b->prod, 1), 0);
	phca_ring_publish(&b->prod);
	for (uint32_t i = 0; i < SIZE; i++) {
		CU_ASSERT_EQUAL(phca_ring_avail(&b->cons), (int32_t)(SIZE - i));
		CU_ASSERT_EQUAL(*(uint32_t *)phca_ring_head(&b->cons), i + 100);
		phca_ring_take(&b->cons, 1);
		CU_ASSERT_EQUAL(phca_ring_free(&b->prod, 1), 0); /* not released */
	}
	phca_ring_release(&b->cons);
	CU_ASSERT_EQUAL(phca_ring_free(&b->prod, SIZE), SIZE);
}

PHCA_TEST(ring, fills_and_empties_at_every_index)
{
	static const uint32_t starts[] = { 0, 1, SIZE - 1, INT32_MAX, UINT32_MAX - 3, UINT32_MAX };
	struct both b;

	both_make(&b, PHCA_RING_DB, SIZE, STRIDE);
	for (unsigned int i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		both_start_at(&b, starts[i]);
		round_trip(&b);
		round_trip(&b);
	}
	free(b.mem);
}

PHCA_TEST(ring, asks_the_other_side_only_when_it_must)
{
	struct both b;

	both_make(&b, PHCA_RING_DB, SIZE, STRIDE);
	phca_ring_next(&b.prod);
	phca_ring_publish(&b.prod);
	CU_ASSERT_EQUAL(phca_ring_avail(&b.cons), 1);
	phca_ring_next(&b.prod);
	phca_ring_publish(&b.prod);
	CU_ASSERT_EQUAL(phca_ring_avail(&b.cons), 1);       /* one is known: not asked again */
	CU_ASSERT_EQUAL(phca_ring_avail_fresh(&b.cons), 2);
	phca_ring_take(&b.cons, 2);
	phca_ring_release(&b.cons);
	CU_ASSERT_EQUAL(phca_ring_free(&b.prod, SIZE - 2), SIZE - 2); /* enough is known */
	CU_ASSERT_EQUAL(phca_ring_free(&b.prod, SIZE), SIZE);
	free(b.mem);
}

PHCA_TEST(ring, nonsense_from_the_other_side_is_corruption)
{
	struct both b;

	both_make(&b, PHCA_RING_SQ, SIZE, STRIDE);
	both_start_at(&b, 100);
	for (uint32_t bad = SIZE + 1; bad != 0; bad = bad << 1) { /* too far, and far behind */
		b.cons.hdr->prod = 100 + bad;
		CU_ASSERT_EQUAL(phca_ring_avail(&b.cons), -EIO);
		CU_ASSERT_EQUAL(phca_ring_avail_fresh(&b.cons), -EIO);
	}
	b.cons.hdr->prod = 99;
	CU_ASSERT_EQUAL(phca_ring_avail(&b.cons), -EIO);
	CU_ASSERT_EQUAL(phca_ring_avail_fresh(&b.cons), -EIO);
	b.cons.hdr->prod = 100 + SIZE;
	CU_ASSERT_EQUAL(phca_ring_avail(&b.cons), (int32_t)SIZE);

	/* A producer that is told nonsense takes the ring for full. */
	for (uint32_t i = 0; i < SIZE; i++)
		phca_ring_next(&b.prod);
	b.prod.hdr->cons = 100 + SIZE + 1;
	CU_ASSERT_EQUAL(phca_ring_free(&b.prod, 1), 0);
	b.prod.hdr->cons = 100 + 3;
	CU_ASSERT_EQUAL(phca_ring_free(&b.prod, 1), 3);
	free(b.mem);
}

PHCA_TEST(ring, slots_stay_inside_whatever_the_header_says_later)
{
	struct both b;
	const uint8_t *first, *end;

	both_make(&b, PHCA_RING_SQ, SIZE, STRIDE);
	first = (const uint8_t *)b.mem + sizeof(struct phca_ring_hdr);
	end = (const uint8_t *)b.mem + b.len;
	b.cons.hdr->size = UINT32_MAX;
	b.cons.hdr->stride = UINT32_MAX;
	for (uint64_t i = 0; i <= UINT32_MAX; i += 0x01000193) {
		const uint8_t *s = phca_ring_slot(&b.cons, (uint32_t)i);

		CU_ASSERT_TRUE(s >= first && s + STRIDE <= end);
	}
	CU_ASSERT_EQUAL(phca_ring_size(&b.cons), SIZE);
	free(b.mem);
}

#define PASS_SIZE 1024u
#define PASS_COUNT 100000u

static void *pass_produce(void *arg)
{
	struct phca_ring *r = arg;
	uint64_t n = 0;

	while (n < PASS_COUNT) {
		uint32_t room = phca_ring_free(r, 1);

		for (uint32_t i = 0; i < room && n < PASS_COUNT; i++)
			*(uint64_t *)phca_ring_next(r) = n++;
		phca_ring_publish(r);
		if (room == 0)
			sched_yield();
	}
	return NULL;
}

PHCA_TEST(ring, two_threads_pass_a_sequence)
{
	uint64_t want = 0, wrong = 0;
	pthread_t producer;
	struct both b;

	both_make(&b, PHCA_RING_SQ, PASS_SIZE, 8);
	both_start_at(&b, UINT32_MAX - PASS_COUNT / 2); /* indices wrap under way */
	CU_ASSERT_EQUAL_FATAL(pthread_create(&producer, NULL, pass_produce, &b.prod), 0);
	while (want < PASS_COUNT) {
		int32_t n = phca_ring_avail(&b.cons);

		CU_ASSERT_TRUE_FATAL(n >= 0 && n <= (int32_t)PASS_SIZE);
		for (int32_t i = 0; i < n; i++) {
			wrong += *(uint64_t *)phca_ring_head(&b.cons) != want++;
			phca_ring_take(&b.cons, 1);
		}
		phca_ring_release(&b.cons);
		if (n == 0)
			sched_yield();
	}
	pthread_join(producer, NULL);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(phca_ring_avail_fresh(&b.cons), 0);
	free(b.mem);
}

/* ------------------------------------------------ completions, doorbells */

static void complete(struct phca_ring *cq, uint64_t id, uint32_t flags)
{
	struct phca_cqe *e;

	CU_ASSERT_NOT_EQUAL_FATAL(phca_ring_free(cq, 1), 0);
	e = phca_ring_next(cq);
	memset(e, 0, sizeof(*e));
	e->wc.wr_id = id;
	e->flags = flags;
	phca_ring_publish(cq);
}

PHCA_TEST(cq, poll_skips_noops_and_frees_their_slots)
{
	struct phca_wc wc[SIZE];
	struct both b;

	both_make(&b, PHCA_RING_CQ, SIZE, sizeof(struct phca_cqe));
	CU_ASSERT_EQUAL(phca_cq_poll(&b.cons, wc, SIZE), 0);
	for (uint64_t i = 0; i < SIZE; i++)
		complete(&b.prod, i, i % 3 == 0 ? PHCA_CQE_NOOP : 0);
	CU_ASSERT_EQUAL(phca_cq_poll(&b.cons, wc, 3), 3);
	CU_ASSERT_EQUAL(wc[0].wr_id, 1);
	CU_ASSERT_EQUAL(wc[1].wr_id, 2);
	CU_ASSERT_EQUAL(wc[2].wr_id, 4);
	CU_ASSERT_EQUAL(phca_ring_free(&b.prod, SIZE), 5); /* 0..4 are free again */
	CU_ASSERT_EQUAL(phca_cq_poll(&b.cons, wc, SIZE), 2);
	CU_ASSERT_EQUAL(wc[0].wr_id, 5);
	CU_ASSERT_EQUAL(wc[1].wr_id, 7);
	CU_ASSERT_EQUAL(phca_ring_free(&b.prod, SIZE), SIZE);
	complete(&b.prod, 9, PHCA_CQE_NOOP);
	CU_ASSERT_EQUAL(phca_cq_poll(&b.cons, wc, SIZE), 0); /* nothing but no-ops */
	CU_ASSERT_EQUAL(phca_ring_free(&b.prod, SIZE), SIZE);
	free(b.mem);
}

PHCA_TEST(cq, poll_reports_corruption)
{
	struct phca_wc wc[2];
	struct both b;

	both_make(&b, PHCA_RING_CQ, SIZE, sizeof(struct phca_cqe));
	b.cons.hdr->prod = SIZE + 1;
	CU_ASSERT_EQUAL(phca_cq_poll(&b.cons, wc, 2), -EIO);
	free(b.mem);
}

PHCA_TEST(doorbell, rings_once_until_it_is_answered)
{
	struct both db, sq;

	both_make(&db, PHCA_RING_DB, SIZE, sizeof(uint32_t));
	both_make(&sq, PHCA_RING_SQ, SIZE, phca_send_stride(1, 0));
	phca_db_ring(&db.prod, &sq.prod, 0x1234);
	phca_db_ring(&db.prod, &sq.prod, 0x1234);
	CU_ASSERT_EQUAL(phca_ring_avail(&db.cons), 1);
	CU_ASSERT_EQUAL(*(uint32_t *)phca_ring_head(&db.cons), 0x1234);
	phca_ring_take(&db.cons, 1);
	phca_ring_release(&db.cons);
	__atomic_store_n(&sq.cons.hdr->db_pending, 0, __ATOMIC_SEQ_CST);
	phca_db_ring(&db.prod, &sq.prod, 0x1234);
	CU_ASSERT_EQUAL(phca_ring_avail(&db.cons), 1);
	free(db.mem);
	free(sq.mem);
}

PHCA_TEST(doorbell, full_ring_is_left_alone)
{
	struct both db, sq;

	both_make(&db, PHCA_RING_DB, SIZE, sizeof(uint32_t));
	both_make(&sq, PHCA_RING_SQ, SIZE, phca_send_stride(1, 0));
	for (uint32_t i = 0; i < SIZE; i++) {
		*(uint32_t *)phca_ring_next(&db.prod) = i;
		phca_ring_publish(&db.prod);
	}
	phca_db_ring(&db.prod, &sq.prod, 0x1234);
	CU_ASSERT_EQUAL(phca_ring_avail(&db.cons), (int32_t)SIZE);
	CU_ASSERT_EQUAL(*(uint32_t *)phca_ring_head(&db.cons), 0);
	free(db.mem);
	free(sq.mem);
}

PHCA_TEST(ring, prefetch_for_writing_changes_nothing_and_takes_any_address)
{
	uint8_t line[PHCA_CACHE_LINE] = { 1, 2, 3 };
	const void *volatile nobodys = (const void *)(uintptr_t)8;

	phca_prefetch_write(line);
	phca_prefetch_write(nobodys); /* a hint does not fault */
	CU_ASSERT_EQUAL(line[0] + line[1] + line[2], 6);
}
