/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing CQs: no-ops never take the room of completions, whoever consumes when. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "phca_proxy.h"
#include "phca_test.h"

struct cq {
	void *mem;
	struct phca_cqw w;
	struct phca_ring app;
};

static void cq_init(struct cq *c, uint32_t cqe, uint32_t room)
{
	size_t len = phca_ring_bytes(cqe + room, sizeof(struct phca_cqe));

	memset(c, 0, sizeof(*c));
	c->mem = aligned_alloc(64, len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c->mem);
	CU_ASSERT_EQUAL_FATAL(phca_ring_format(c->mem, PHCA_RING_CQ, cqe + room, sizeof(struct phca_cqe)), 0);
	phca_ring_attach(&c->w.ring, c->mem, len, PHCA_RING_CQ);
	phca_ring_attach(&c->app, c->mem, len, PHCA_RING_CQ);
	c->w.noop_room = room;
}

static int put(struct cq *c, uint64_t wr_id)
{
	struct phca_wc wc = { .wr_id = wr_id };

	return phca_cqw_put(&c->w, &wc, false, 5);
}

PHCA_TEST(cqw, staged_is_invisible_before_flush)
{
	struct phca_wc wc;
	struct cq c;

	cq_init(&c, 12, 4);
	CU_ASSERT_EQUAL(put(&c, 1), 0);
	CU_ASSERT_EQUAL(phca_cq_poll(&c.app, &wc, 1), 0);
	c.w.dirty = true;
	phca_cqw_flush(&c.w);
	CU_ASSERT_FALSE(c.w.dirty);
	CU_ASSERT_EQUAL(phca_cq_poll(&c.app, &wc, 1), 1);
	CU_ASSERT_EQUAL(wc.wr_id, 1);
	CU_ASSERT_EQUAL(((struct phca_cqe *)phca_ring_slot(&c.app, 0))->timestamp_ns, 5);
	CU_ASSERT_EQUAL(c.w.written, 1);
	free(c.mem);
}

PHCA_TEST(cqw, neighbouring_noops_share_a_slot)
{
	struct phca_cqe *e;
	struct phca_wc wc[4];
	struct cq c;

	cq_init(&c, 12, 4);
	phca_cqw_noop(&c.w, 1);
	phca_cqw_noop(&c.w, 2);
	phca_cqw_noop(&c.w, 3);
	CU_ASSERT_EQUAL(put(&c, 7), 0);
	phca_cqw_noop(&c.w, 4);
	phca_cqw_flush(&c.w);
	phca_cqw_noop(&c.w, 5); /* the one before it is visible: not touched any more */
	phca_cqw_flush(&c.w);
	CU_ASSERT_EQUAL(c.w.noops, 5);
	CU_ASSERT_EQUAL(c.w.ring.own, 4);
	e = phca_ring_slot(&c.app, 0);
	CU_ASSERT_EQUAL(e->flags, PHCA_CQE_NOOP);
	CU_ASSERT_EQUAL(e->count, 3);
	e = phca_ring_slot(&c.app, 3);
	CU_ASSERT_EQUAL(e->count, 1);
	CU_ASSERT_EQUAL(phca_cq_poll(&c.app, wc, 4), 1);
	CU_ASSERT_EQUAL(wc[0].wr_id, 7);
	free(c.mem);
}

PHCA_TEST(cqw, overrun_is_for_good)
{
	struct phca_wc wc[16];
	struct cq c;

	cq_init(&c, 12, 4);
	for (uint64_t i = 0; i < 16; i++)
		CU_ASSERT_EQUAL(put(&c, i), 0);
	CU_ASSERT_EQUAL(put(&c, 16), -ENOSPC);
	CU_ASSERT_TRUE(c.w.overrun);
	phca_cqw_flush(&c.w);
	CU_ASSERT_EQUAL(phca_cq_poll(&c.app, wc, 16), 16);
	CU_ASSERT_EQUAL(wc[15].wr_id, 15);
	CU_ASSERT_EQUAL(put(&c, 17), -ENOSPC);
	phca_cqw_noop(&c.w, 1);
	phca_cqw_flush(&c.w);
	CU_ASSERT_EQUAL(phca_cq_poll(&c.app, wc, 16), 0);
	CU_ASSERT_EQUAL(c.w.lost, 2);
	CU_ASSERT_EQUAL(c.w.noops_elided, 1);
	free(c.mem);
}

PHCA_TEST(cqw, no_room_for_noops_elides_all)
{
	struct cq c;

	cq_init(&c, 16, 0);
	phca_cqw_noop(&c.w, 1);
	CU_ASSERT_EQUAL(c.w.noops_elided, 1);
	for (uint64_t i = 0; i < 16; i++)
		CU_ASSERT_EQUAL(put(&c, i), 0);
	free(c.mem);
}

/*
 * An application that never leaves more than cqe completions unconsumed, with
 * no-ops thrown in wildly: no completion is ever refused, all arrive in order.
 */
static void random_consumer(uint32_t cqe, uint32_t room, uint64_t seed, unsigned int noop_of_8)
{
	uint64_t next = 0, seen = 0, refused = 0, disorder = 0;
	struct phca_wc wc[64];
	struct cq c;

	cq_init(&c, cqe, room);
	for (int step = 0; step < 200000; step++) {
		uint64_t x = phca_test_rand(&seed);
		unsigned int kind = x % 16;

		if (kind == 0) {
			phca_cqw_flush(&c.w);
		} else if (kind == 1) {
			int n = phca_cq_poll(&c.app, wc, 1 + (x >> 8) % 64);

			for (int i = 0; i < n; i++)
				disorder += wc[i].wr_id != seen++;
		} else if ((x >> 16) % 8 < noop_of_8) {
			phca_cqw_noop(&c.w, 0);
		} else if (next - seen < cqe) {
			refused += put(&c, next++) != 0;
		}
	}
	phca_cqw_flush(&c.w);
	for (int n; (n = phca_cq_poll(&c.app, wc, 64)) > 0;)
		for (int i = 0; i < n; i++)
			disorder += wc[i].wr_id != seen++;
	CU_ASSERT_EQUAL(refused, 0);
	CU_ASSERT_EQUAL(disorder, 0);
	CU_ASSERT_EQUAL(seen, next);
	CU_ASSERT_TRUE(next > 1000);
	CU_ASSERT_TRUE(c.w.noops > 0);
	if (room < cqe)
		CU_ASSERT_TRUE(c.w.noops_elided > 0);
	free(c.mem);
}

PHCA_TEST(cqw, noops_never_take_the_room_of_completions)
{
	random_consumer(12, 4, 1, 4);
	random_consumer(1, 1, 2, 4);
	random_consumer(1, 31, 3, 7);
	random_consumer(31, 1, 4, 1);
	random_consumer(64, 64, 5, 6);
	random_consumer(100, 28, 6, 2);
}

PHCA_TEST(cqw, nonsense_from_the_application_is_a_full_queue)
{
	struct cq c;
	int rc = 0;

	cq_init(&c, 12, 4);
	for (uint32_t i = 0; i < 200 && rc == 0; i++) {
		c.app.hdr->cons = 0x80000000u + i;
		phca_cqw_noop(&c.w, 0);
		rc = put(&c, i);
	}
	CU_ASSERT_EQUAL(rc, -ENOSPC);
	CU_ASSERT_TRUE(c.w.written + c.w.noops <= 16);
	free(c.mem);
}

PHCA_TEST(cqw, next_is_filled_in_place_until_the_cq_overruns)
{
	struct phca_wc *wc, got;
	struct phca_cqe *e;
	struct cq c;

	cq_init(&c, 4, 0);
	for (uint64_t i = 0; i < 4; i++) {
		wc = phca_cqw_next(&c.w, i == 2, 100 + i);
		CU_ASSERT_PTR_NOT_NULL_FATAL(wc);
		memset(wc, 0, sizeof(*wc));
		wc->wr_id = i;
	}
	CU_ASSERT_PTR_NULL(phca_cqw_next(&c.w, false, 200));
	CU_ASSERT_TRUE(c.w.overrun);
	CU_ASSERT_EQUAL(c.w.written, 4);
	CU_ASSERT_EQUAL(c.w.lost, 1);
	phca_cqw_flush(&c.w);
	for (uint64_t i = 0; i < 4; i++) {
		e = phca_ring_slot(&c.app, (uint32_t)i);
		CU_ASSERT_EQUAL(e->timestamp_ns, 100 + i);
		CU_ASSERT_EQUAL(e->flags, i == 2 ? PHCA_CQE_SOLICITED : 0);
		CU_ASSERT_EQUAL(phca_cq_poll(&c.app, &got, 1), 1);
		CU_ASSERT_EQUAL(got.wr_id, i);
	}
	CU_ASSERT_PTR_NULL(phca_cqw_next(&c.w, false, 300)); /* overrun is for good */
	free(c.mem);
}
