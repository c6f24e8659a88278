/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Arming completion queues, and doorbells of a consumer that sleeps, which is
 * played here by a thread: whoever rings wakes it, or it sees the doorbell.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "phca_queue.h"
#include "phca_test.h"

#define ROUNDS 100000

static struct phca_ring ring(enum phca_ring_type type, uint32_t size, uint32_t stride)
{
	void *mem = aligned_alloc(PHCA_CACHE_LINE, (phca_ring_bytes(size, stride) + 63) & ~(size_t)63);
	struct phca_ring r;

	CU_ASSERT_FATAL(mem != NULL);
	CU_ASSERT_EQUAL_FATAL(phca_ring_init(&r, mem, type, size, stride), 0);
	return r;
}

PHCA_TEST(arm, is_never_weakened)
{
	struct phca_ring cq = ring(PHCA_RING_CQ, 16, sizeof(struct phca_cqe));

	phca_cq_arm(&cq, true);
	CU_ASSERT_EQUAL(cq.hdr->armed, PHCA_CQ_ARMED_SOLICITED);
	phca_cq_arm(&cq, true);
	CU_ASSERT_EQUAL(cq.hdr->armed, PHCA_CQ_ARMED_SOLICITED);
	phca_cq_arm(&cq, false);
	CU_ASSERT_EQUAL(cq.hdr->armed, PHCA_CQ_ARMED_NEXT);
	phca_cq_arm(&cq, true);
	CU_ASSERT_EQUAL(cq.hdr->armed, PHCA_CQ_ARMED_NEXT);
	free(cq.hdr);
}

PHCA_TEST(arm, sleeping_consumer_is_woken_once)
{
	struct phca_ring db = ring(PHCA_RING_DB, 4, sizeof(uint32_t));
	struct phca_ring sq[2] = { ring(PHCA_RING_SQ, 4, 96), ring(PHCA_RING_SQ, 4, 96) };

	CU_ASSERT_FALSE(phca_db_ring(&db, &sq[0], 2)); /* it polls */
	db.hdr->armed = 1;
	CU_ASSERT_FALSE(phca_db_ring(&db, &sq[0], 2)); /* waits there already, so the consumer sees it */
	CU_ASSERT_TRUE(phca_db_ring(&db, &sq[1], 3));
	CU_ASSERT_EQUAL(db.hdr->armed, 0);
	sq[1].hdr->db_pending = 0;
	CU_ASSERT_FALSE(phca_db_ring(&db, &sq[1], 3)); /* somebody wakes it already */
	CU_ASSERT_EQUAL(db.hdr->prod, 3);
	db.hdr->armed = 0xdead;
	for (unsigned int i = 0; i < 6; i++) { /* full, and nonsense: no harm */
		sq[0].hdr->db_pending = 0;
		phca_db_ring(&db, &sq[0], 2);
	}
	CU_ASSERT_EQUAL(db.hdr->prod, 4);
	free(db.hdr);
	free(sq[0].hdr);
	free(sq[1].hdr);
}

struct race {
	struct phca_ring app_db, app_sq; /* the application's views */
	struct phca_ring db, sq;
	int fd;
	uint64_t naps;
	uint32_t done;
	bool lost;
};

/* One look, as an HCA lcore's turn. @return whether there was something */
static bool look(struct race *r)
{
	bool did = false;

	if (phca_ring_avail_fresh(&r->db) > 0) {
		phca_ring_take(&r->db, 1);
		phca_ring_release(&r->db);
		__atomic_exchange_n(&r->sq.hdr->db_pending, 0, __ATOMIC_SEQ_CST);
		did = true;
	}
	if (!did)
		return false;
	while (phca_ring_avail_fresh(&r->sq) > 0) {
		phca_ring_take(&r->sq, 1);
		phca_ring_release(&r->sq);
		__atomic_store_n(&r->done, r->done + 1, __ATOMIC_RELEASE);
	}
	return true;
}

static void *sleeper(void *arg)
{
	struct race *r = arg;

	while (r->done < ROUNDS) {
		struct pollfd p = { .fd = r->fd, .events = POLLIN };
		uint64_t count;

		if (look(r))
			continue;
		__atomic_store_n(&r->db.hdr->armed, 1, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (!look(r)) {
			r->naps++;
			if (poll(&p, 1, 20000) != 1) {
				r->lost = true;
				break;
			}
			if (read(r->fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
				r->lost = true;
		}
		__atomic_store_n(&r->db.hdr->armed, 0, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&r->done, ROUNDS, __ATOMIC_RELEASE);
	return NULL;
}

PHCA_TEST(arm, no_doorbell_is_slept_through)
{
	static struct race r;
	const uint64_t one = 1;
	uint32_t sent = 0;
	pthread_t t;

	r.db = r.app_db = ring(PHCA_RING_DB, 4, sizeof(uint32_t));
	r.sq = r.app_sq = ring(PHCA_RING_SQ, 8, 96);
	r.fd = eventfd(0, EFD_NONBLOCK);
	CU_ASSERT_FATAL(r.fd >= 0 && pthread_create(&t, NULL, sleeper, &r) == 0);
	while (sent < ROUNDS) {
		uint32_t done = __atomic_load_n(&r.done, __ATOMIC_ACQUIRE);

		if (done == ROUNDS)
			break;
		if (sent - done > sent % 3 || phca_ring_free(&r.app_sq, 1) == 0)
			continue;
		memset(phca_ring_next(&r.app_sq), 0, 96);
		phca_ring_publish(&r.app_sq);
		sent++;
		if (phca_db_ring(&r.app_db, &r.app_sq, 2))
			CU_ASSERT_EQUAL_FATAL(write(r.fd, &one, sizeof(one)), (ssize_t)sizeof(one));
	}
	pthread_join(t, NULL);
	CU_ASSERT_FALSE(r.lost);
	CU_ASSERT_EQUAL(sent, ROUNDS);
	CU_ASSERT(r.naps > 0);
	close(r.fd);
	free(r.db.hdr);
	free(r.sq.hdr);
}
