/* SPDX-License-Identifier: BSD-3-Clause */
/* The lock core, step by step: modes, queue, upgrade, limits, deadlock, death. */
#include <stdlib.h>

#include "phca_test.h"
#include "world.h"

#define X PHCA_LOCK_EXCLUSIVE
#define S PHCA_LOCK_SHARED
#define LOCK PHCA_LOCK_OP_LOCK
#define TRY PHCA_LOCK_OP_TRY
#define UNLOCK PHCA_LOCK_OP_UNLOCK
#define RELEASE PHCA_LOCK_OP_RELEASE
#define QUERY PHCA_LOCK_OP_QUERY

static struct world w;
static struct lock_peer *p[4];

static void begin(const struct lock_conf *conf)
{
	const struct lock_conf all = world_conf();

	world_init(&w, conf != NULL ? conf : &all);
	for (unsigned int i = 0; i < 4; i++) {
		p[i] = lock_peer_add(w.c, WORLD_DOMAIN, 0x40 + i);
		CU_ASSERT_PTR_NOT_NULL_FATAL(p[i]);
	}
}

static void end(void)
{
	const struct lock_stats *st = lock_core_stats(w.c);

	for (unsigned int i = 0; i < 4; i++) {
		lock_peer_kill(w.c, p[i]);
		CU_ASSERT_FALSE(lock_peer_busy(p[i]));
		lock_peer_put(w.c, p[i]);
	}
	CU_ASSERT_EQUAL(st->locks + st->held + st->waiting + st->sessions + st->peers + st->tables, 0);
	CU_ASSERT_PTR_NULL(lock_ready(w.c));
	world_fini(&w);
}

static struct phca_lock_answer done(unsigned int i, enum phca_lock_op op, uint64_t session, uint32_t lock,
		enum phca_lock_mode mode, enum phca_lock_status status)
{
	return world_expect(&w, p[i], world_ask(&w, p[i], op, session, lock, mode), status);
}

PHCA_TEST(core, exclusive_excludes_and_unlock_hands_over)
{
	struct phca_lock_answer a, b;
	struct phca_lock_entry e;
	uint64_t id;

	begin(NULL);
	a = done(0, LOCK, 1, 5, X, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(a.mode, X);
	CU_ASSERT_EQUAL(a.lock, 5);
	CU_ASSERT_EQUAL(a.count, 1);
	e = world_entry(&w, 0, 5);
	CU_ASSERT_EQUAL(e.mode, X);
	CU_ASSERT_EQUAL(e.owner_qpn, 0x40);
	CU_ASSERT_EQUAL(e.owner_session, 1);
	CU_ASSERT_EQUAL(e.token, a.token);
	id = world_ask(&w, p[1], LOCK, 1, 5, S);
	world_expect_none(&w, p[1]);
	CU_ASSERT_EQUAL(world_entry(&w, 0, 5).waiters, 1);
	CU_ASSERT_PTR_EQUAL(lock_ready(w.c), p[0]);
	CU_ASSERT_PTR_NULL(lock_ready(w.c));
	done(0, UNLOCK, 1, 5, 0, PHCA_LOCK_OK);
	CU_ASSERT_PTR_EQUAL(lock_ready(w.c), p[0]);
	CU_ASSERT_PTR_EQUAL(lock_ready(w.c), p[1]);
	b = world_expect(&w, p[1], id, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(b.mode, S);
	CU_ASSERT(b.token > a.token);
	done(0, UNLOCK, 1, 5, 0, PHCA_LOCK_NOT_HELD);
	done(1, UNLOCK, 1, 5, 0, PHCA_LOCK_OK);
	e = world_entry(&w, 0, 5);
	CU_ASSERT_EQUAL(e.mode | e.holders | e.waiters | e.owner_qpn, 0);
	end();
}

PHCA_TEST(core, shared_ones_do_not_overtake_an_exclusive_one)
{
	uint64_t x, s, s2;

	begin(NULL);
	done(0, LOCK, 1, 0, S, PHCA_LOCK_GRANTED);
	done(1, LOCK, 1, 0, S, PHCA_LOCK_GRANTED);
	x = world_ask(&w, p[2], LOCK, 1, 0, X);
	s = world_ask(&w, p[3], LOCK, 1, 0, S);
	s2 = world_ask(&w, p[3], LOCK, 2, 0, S);
	done(3, TRY, 3, 0, S, PHCA_LOCK_BUSY);
	world_expect_none(&w, p[3]);
	done(0, UNLOCK, 1, 0, 0, PHCA_LOCK_OK);
	world_expect_none(&w, p[2]);
	done(1, UNLOCK, 1, 0, 0, PHCA_LOCK_OK);
	world_expect(&w, p[2], x, PHCA_LOCK_GRANTED);
	world_expect_none(&w, p[3]);
	done(2, UNLOCK, 1, 0, 0, PHCA_LOCK_OK);
	world_expect(&w, p[3], s, PHCA_LOCK_GRANTED);
	world_expect(&w, p[3], s2, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(done(0, QUERY, 0, 0, 0, PHCA_LOCK_OK).count, 2);
	end();
}

PHCA_TEST(core, a_holder_counts_and_upgrades)
{
	struct phca_lock_answer a, b;
	uint64_t up;

	begin(NULL);
	a = done(0, LOCK, 1, 9, S, PHCA_LOCK_GRANTED);
	b = done(0, LOCK, 1, 9, S, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(b.token, a.token);
	CU_ASSERT_EQUAL(b.count, 2);
	done(1, LOCK, 1, 9, S, PHCA_LOCK_GRANTED);
	done(0, TRY, 1, 9, X, PHCA_LOCK_BUSY);
	up = world_ask(&w, p[0], LOCK, 1, 9, X);
	world_expect_none(&w, p[0]);
	done(0, LOCK, 1, 9, S, PHCA_LOCK_BUSY); /* it waits */
	done(1, LOCK, 1, 9, X, PHCA_LOCK_DEADLOCK);
	done(1, UNLOCK, 1, 9, 0, PHCA_LOCK_OK);
	b = world_expect(&w, p[0], up, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(b.mode, X);
	CU_ASSERT_EQUAL(b.count, 3);
	CU_ASSERT(b.token > a.token);
	CU_ASSERT_EQUAL(done(0, UNLOCK, 1, 9, 0, PHCA_LOCK_OK).count, 2);
	done(0, UNLOCK, 1, 9, 0, PHCA_LOCK_OK);
	done(1, TRY, 1, 9, S, PHCA_LOCK_BUSY);
	CU_ASSERT_EQUAL(done(0, UNLOCK, 1, 9, 0, PHCA_LOCK_OK).count, 0);
	done(1, TRY, 1, 9, S, PHCA_LOCK_GRANTED);
	end();
}

PHCA_TEST(core, an_upgrade_goes_before_the_queue)
{
	uint64_t x, up;

	begin(NULL);
	done(0, LOCK, 1, 9, S, PHCA_LOCK_GRANTED);
	done(1, LOCK, 1, 9, S, PHCA_LOCK_GRANTED);
	x = world_ask(&w, p[2], LOCK, 1, 9, X);
	up = world_ask(&w, p[1], LOCK, 1, 9, X);
	done(0, UNLOCK, 1, 9, 0, PHCA_LOCK_OK);
	world_expect(&w, p[1], up, PHCA_LOCK_GRANTED);
	world_expect_none(&w, p[2]);
	done(1, UNLOCK, 1, 9, 0, PHCA_LOCK_OK);
	done(1, UNLOCK, 1, 9, 0, PHCA_LOCK_OK);
	world_expect(&w, p[2], x, PHCA_LOCK_GRANTED);
	end();
}

PHCA_TEST(core, waits_end_by_time)
{
	struct lock_conf conf = world_conf();
	struct phca_lock_req r;
	uint64_t forever;

	conf.max_wait_ns = 50000;
	begin(&conf);
	done(0, LOCK, 1, 3, X, PHCA_LOCK_GRANTED);
	r = world_req(&w, LOCK, 1, 3, X);
	r.wait_us = 20;
	lock_request(w.c, p[1], &r, w.now_ns);
	forever = world_ask(&w, p[2], LOCK, 1, 3, S); /* the service's limit */
	CU_ASSERT_EQUAL(lock_tick(w.c, w.now_ns + 19999), 0);
	CU_ASSERT_EQUAL(lock_tick(w.c, w.now_ns + 20000), 1);
	world_expect(&w, p[1], r.id, PHCA_LOCK_TIMEOUT);
	CU_ASSERT_EQUAL(lock_tick(w.c, w.now_ns + 49999), 0);
	CU_ASSERT_EQUAL(lock_tick(w.c, w.now_ns + 50000), 1);
	world_expect(&w, p[2], forever, PHCA_LOCK_TIMEOUT);
	CU_ASSERT_EQUAL(lock_core_stats(w.c)->timeouts, 2);
	end();
}

PHCA_TEST(core, a_wait_that_ends_lets_those_behind_it_go)
{
	struct phca_lock_req r;
	uint64_t s;

	begin(NULL);
	done(0, LOCK, 1, 3, S, PHCA_LOCK_GRANTED);
	r = world_req(&w, LOCK, 1, 3, X);
	r.wait_us = 10;
	lock_request(w.c, p[1], &r, w.now_ns);
	s = world_ask(&w, p[2], LOCK, 1, 3, S);
	world_expect_none(&w, p[2]);
	lock_tick(w.c, w.now_ns + 10000);
	world_expect(&w, p[1], r.id, PHCA_LOCK_TIMEOUT);
	world_expect(&w, p[2], s, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(world_entry(&w, 0, 3).holders, 2);
	end();
}

PHCA_TEST(core, a_circle_is_a_deadlock_and_its_last_one_is_told)
{
	uint64_t a, b;

	begin(NULL);
	for (uint32_t i = 0; i < 3; i++)
		done(i, LOCK, 1, i, X, PHCA_LOCK_GRANTED);
	a = world_ask(&w, p[0], LOCK, 1, 1, X);
	b = world_ask(&w, p[1], LOCK, 1, 2, S);
	done(2, LOCK, 1, 0, S, PHCA_LOCK_DEADLOCK);
	done(2, RELEASE, 1, 0, 0, PHCA_LOCK_OK);
	world_expect(&w, p[1], b, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(done(1, RELEASE, 1, 0, 0, PHCA_LOCK_OK).count, 2);
	world_expect(&w, p[0], a, PHCA_LOCK_GRANTED);
	end();
}

PHCA_TEST(core, those_in_front_in_the_queue_count_for_deadlocks)
{
	uint64_t x;

	begin(NULL);
	done(0, LOCK, 1, 0, S, PHCA_LOCK_GRANTED);
	done(2, LOCK, 1, 1, X, PHCA_LOCK_GRANTED);
	x = world_ask(&w, p[1], LOCK, 1, 0, X); /* for session 0 */
	/* 2 would stand behind 1; 1 does not wait for it */
	world_ask(&w, p[2], LOCK, 1, 0, S);
	/* 0 for 2 who stands behind 1 who waits for 0 */
	done(0, LOCK, 1, 1, S, PHCA_LOCK_DEADLOCK);
	done(0, UNLOCK, 1, 0, 0, PHCA_LOCK_OK);
	world_expect(&w, p[1], x, PHCA_LOCK_GRANTED);
	end();
}

PHCA_TEST(core, without_search_only_time_helps)
{
	struct lock_conf conf = world_conf();

	conf.deadlock_steps = 0;
	conf.max_wait_ns = 1000;
	begin(&conf);
	done(0, LOCK, 1, 0, X, PHCA_LOCK_GRANTED);
	done(1, LOCK, 1, 1, X, PHCA_LOCK_GRANTED);
	world_ask(&w, p[0], LOCK, 1, 1, X);
	world_ask(&w, p[1], LOCK, 1, 0, X);
	CU_ASSERT_EQUAL(lock_core_stats(w.c)->waiting, 2);
	CU_ASSERT_EQUAL(lock_tick(w.c, w.now_ns + 1000), 2);
	end();
}

PHCA_TEST(core, a_search_ends_at_its_steps)
{
	struct lock_conf conf = world_conf();

	conf.deadlock_steps = 2;
	begin(&conf);
	for (uint32_t i = 0; i < 3; i++)
		done(i, LOCK, 1, i, X, PHCA_LOCK_GRANTED);
	for (uint32_t i = 0; i < 3; i++)
		world_ask(&w, p[i], LOCK, 1, (i + 1) % 3, X);
	CU_ASSERT_EQUAL(lock_core_stats(w.c)->searches_cut, 1);
	CU_ASSERT_EQUAL(lock_core_stats(w.c)->waiting, 3);
	end();
}

PHCA_TEST(core, unlock_and_release_withdraw_waits)
{
	uint64_t id, id2;

	begin(NULL);
	done(0, LOCK, 1, 4, X, PHCA_LOCK_GRANTED);
	id = world_ask(&w, p[1], LOCK, 1, 4, X);
	id2 = world_ask(&w, p[1], UNLOCK, 1, 4, 0);
	world_expect(&w, p[1], id2, PHCA_LOCK_OK);
	world_expect(&w, p[1], id, PHCA_LOCK_CANCELLED);
	id = world_ask(&w, p[1], LOCK, 2, 4, X);
	done(1, LOCK, 2, 6, X, PHCA_LOCK_GRANTED);
	id2 = world_ask(&w, p[1], RELEASE, 2, 0, 0);
	world_expect(&w, p[1], id, PHCA_LOCK_CANCELLED);
	CU_ASSERT_EQUAL(world_expect(&w, p[1], id2, PHCA_LOCK_OK).count, 1);
	CU_ASSERT_EQUAL(done(1, RELEASE, 2, 0, 0, PHCA_LOCK_OK).count, 0);
	/* not another session's, nor another requester's of the same number */
	done(0, UNLOCK, 2, 4, 0, PHCA_LOCK_NOT_HELD);
	done(1, UNLOCK, 1, 4, 0, PHCA_LOCK_NOT_HELD);
	CU_ASSERT_EQUAL(world_entry(&w, 0, 4).owner_qpn, 0x40);
	end();
}

PHCA_TEST(core, a_dead_requester_lets_go)
{
	uint64_t id;

	begin(NULL);
	done(0, LOCK, 1, 0, X, PHCA_LOCK_GRANTED);
	done(0, LOCK, 2, 1, X, PHCA_LOCK_GRANTED);
	done(1, LOCK, 1, 2, X, PHCA_LOCK_GRANTED);
	world_ask(&w, p[0], LOCK, 2, 2, X);
	id = world_ask(&w, p[2], LOCK, 1, 1, X);
	world_ask(&w, p[0], QUERY, 0, 0, 0); /* its answer is not fetched */
	lock_peer_kill(w.c, p[0]);
	world_expect_none(&w, p[0]);
	world_expect(&w, p[2], id, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(world_entry(&w, 0, 0).mode, PHCA_LOCK_FREE);
	CU_ASSERT_EQUAL(world_entry(&w, 0, 2).waiters, 0);
	CU_ASSERT_EQUAL(lock_core_stats(w.c)->dead_peers, 1);
	CU_ASSERT_EQUAL(lock_core_stats(w.c)->dead_locks, 2);
	world_ask(&w, p[0], LOCK, 1, 0, X); /* what still came on the way is not heard */
	CU_ASSERT_EQUAL(world_entry(&w, 0, 0).mode, PHCA_LOCK_FREE);
	end();
}

PHCA_TEST(core, malformed_requests_are_told)
{
	struct phca_lock_req bad[14], good;

	begin(NULL);
	good = world_req(&w, LOCK, 1, 0, X);
	for (unsigned int i = 0; i < 14; i++)
		bad[i] = good;
	bad[0].magic++;
	bad[1].version++;
	bad[2].op = 0;
	bad[3].op = PHCA_LOCK_OP_COUNT;
	bad[4].mode = 0;
	bad[5].mode = 3;
	bad[6].flags = 1;
	bad[7].rsvd = 1;
	bad[8].lock = WORLD_LOCKS;
	bad[9].table_va += 4;
	bad[10].op = UNLOCK;
	bad[11] = world_req(&w, TRY, 1, 0, X);
	bad[11].wait_us = 1;
	bad[12] = world_req(&w, RELEASE, 1, 1, 0);
	bad[13].op = 255;
	for (unsigned int i = 0; i < 14; i++) {
		lock_request(w.c, p[0], &bad[i], w.now_ns);
		world_expect(&w, p[0], bad[i].id, PHCA_LOCK_BAD);
	}
	CU_ASSERT_EQUAL(lock_core_stats(w.c)->bad_requests, 14);
	bad[0] = bad[1] = bad[2] = bad[3] = good;
	bad[0].table_rkey++;
	bad[1].table_va += 8;
	w.t[1].h.entry_size = 63;
	bad[2].table_va += 0x10000;
	w.gone[0] = true;
	for (unsigned int i = 0; i < 4; i++) {
		lock_request(w.c, p[0], &bad[i], w.now_ns);
		world_expect(&w, p[0], bad[i].id, PHCA_LOCK_REFUSED);
	}
	end();
}

PHCA_TEST(core, limits_are_told)
{
	struct lock_conf conf = { .max_peers = 4, .max_tables = 1, .max_locks = 3, .max_sessions = 3, .max_claims = 5,
		.max_waiters = 2, .peer_claims = 3, .peer_waiters = 1, .deadlock_steps = 100 };
	uint64_t wait[2];
	struct phca_lock_req r;

	begin(&conf);
	CU_ASSERT_PTR_NULL(lock_peer_add(w.c, WORLD_DOMAIN, 9));
	for (uint32_t i = 0; i < 3; i++)
		done(0, LOCK, 1, i, X, PHCA_LOCK_GRANTED);
	done(0, LOCK, 1, 3, X, PHCA_LOCK_LIMIT); /* locks */
	done(0, LOCK, 1, 0, X, PHCA_LOCK_GRANTED); /* again needs nothing */
	wait[0] = world_ask(&w, p[1], LOCK, 1, 0, X);
	done(1, LOCK, 1, 1, X, PHCA_LOCK_LIMIT); /* waits of the requester */
	wait[1] = world_ask(&w, p[2], LOCK, 1, 0, X);
	done(3, LOCK, 1, 0, X, PHCA_LOCK_LIMIT); /* claims, waits, sessions */
	r = world_req(&w, LOCK, 1, 0, X);
	r.table_va += 0x10000;
	lock_request(w.c, p[3], &r, w.now_ns);
	world_expect(&w, p[3], r.id, PHCA_LOCK_LIMIT); /* tables */
	done(0, RELEASE, 1, 0, 0, PHCA_LOCK_OK);
	world_expect(&w, p[1], wait[0], PHCA_LOCK_GRANTED);
	done(1, UNLOCK, 1, 0, 0, PHCA_LOCK_OK);
	world_expect(&w, p[2], wait[1], PHCA_LOCK_GRANTED);
	done(2, UNLOCK, 1, 0, 0, PHCA_LOCK_OK);
	lock_request(w.c, p[3], &r, w.now_ns); /* the idle one made room */
	world_expect(&w, p[3], r.id, PHCA_LOCK_GRANTED);
	end();
}

PHCA_TEST(core, a_session_is_granted_so_many_times_and_no_more)
{
	begin(NULL);
	for (uint32_t i = 1; i <= PHCA_LOCK_COUNT_MAX; i++)
		CU_ASSERT_EQUAL_FATAL(done(0, LOCK, 1, 0, S, PHCA_LOCK_GRANTED).count, i);
	done(0, LOCK, 1, 0, S, PHCA_LOCK_LIMIT);
	done(0, LOCK, 1, 0, X, PHCA_LOCK_LIMIT); /* an upgrade is one more, at once or later */
	done(1, LOCK, 1, 0, S, PHCA_LOCK_GRANTED);
	done(0, LOCK, 1, 0, X, PHCA_LOCK_LIMIT);
	CU_ASSERT_EQUAL(done(0, UNLOCK, 1, 0, 0, PHCA_LOCK_OK).count, PHCA_LOCK_COUNT_MAX - 1);
	done(0, LOCK, 1, 0, S, PHCA_LOCK_GRANTED);
	CU_ASSERT_EQUAL(lock_core_stats(w.c)->limits, 3);
	end();
}

PHCA_TEST(core, answers_of_waits_that_are_not_fetched_count_as_waits)
{
	struct lock_conf conf = world_conf();

	conf.peer_waiters = 8;
	conf.max_waiters = 8;
	begin(&conf);
	for (unsigned int i = 0; i < 100; i++) {
		done(0, LOCK, 1, 0, X, PHCA_LOCK_GRANTED);
		if (!lock_peer_room(p[1], 1))
			break;
		world_ask(&w, p[1], LOCK, 1, 0, X);
		done(0, UNLOCK, 1, 0, 0, PHCA_LOCK_OK);
		if (world_entry(&w, 0, 0).mode == PHCA_LOCK_FREE)
			continue; /* it was told: limit */
		world_ask(&w, p[1], UNLOCK, 1, 0, 0);
	}
	CU_ASSERT_FALSE(lock_peer_room(p[1], 1));
	CU_ASSERT(lock_core_stats(w.c)->limits > 0);
	end();
}

PHCA_TEST(core, the_application_spoils_its_own_view_only)
{
	uint64_t id;

	begin(NULL);
	done(0, LOCK, 1, 2, X, PHCA_LOCK_GRANTED);
	memset(w.t, 0xff, sizeof(w.t));
	done(1, TRY, 1, 2, X, PHCA_LOCK_BUSY);
	id = world_ask(&w, p[1], LOCK, 1, 2, X);
	w.gone[0] = true;
	done(0, UNLOCK, 1, 2, 0, PHCA_LOCK_OK);
	world_expect(&w, p[1], id, PHCA_LOCK_GRANTED);
	CU_ASSERT(lock_core_stats(w.c)->views_lost > 0);
	done(0, TRY, 1, 2, X, PHCA_LOCK_REFUSED);
	done(1, UNLOCK, 1, 2, 0, PHCA_LOCK_OK);
	end();
}

PHCA_TEST(core, tokens_go_on_when_the_service_begins_anew)
{
	struct phca_lock_table h;
	uint64_t token;

	begin(NULL);
	for (unsigned int i = 0; i < 3; i++) {
		token = done(0, LOCK, 1, 2, X, PHCA_LOCK_GRANTED).token;
		done(0, UNLOCK, 1, 2, 0, PHCA_LOCK_OK);
	}
	h = w.t[0].h;
	CU_ASSERT(h.token_reserved >= token);
	end();
	begin(NULL);
	w.t[0].h = h;
	CU_ASSERT(done(0, LOCK, 1, 2, X, PHCA_LOCK_GRANTED).token > h.token_reserved);
	CU_ASSERT_PTR_NOT_NULL(phca_lock_table_format(&w.t[0], WORLD_LOCKS));
	CU_ASSERT(w.t[0].h.token_reserved > h.token_reserved);
	end();
}

PHCA_TEST(core, a_header_moves_the_tokens_of_its_own_table_only)
{
	struct phca_lock_req r;

	begin(NULL);
	w.t[1].h.token_reserved = UINT64_MAX / 2;
	r = world_req(&w, LOCK, 1, 0, X);
	r.table_va += 0x10000;
	lock_request(w.c, p[1], &r, w.now_ns);
	CU_ASSERT(world_expect(&w, p[1], r.id, PHCA_LOCK_GRANTED).token > UINT64_MAX / 2);
	CU_ASSERT(done(0, LOCK, 1, 2, X, PHCA_LOCK_GRANTED).token < 1000);
	CU_ASSERT(w.t[0].h.token_reserved < 1000000); /* the next appliance takes it */
	lock_peer_kill(w.c, p[1]); /* that table is forgotten; it comes back with what is too much */
	lock_peer_put(w.c, p[1]);
	p[1] = lock_peer_add(w.c, WORLD_DOMAIN, 0x41);
	CU_ASSERT(w.t[1].h.token_reserved > UINT64_MAX / 2);
	lock_request(w.c, p[1], &r, w.now_ns);
	world_expect(&w, p[1], r.id, PHCA_LOCK_REFUSED); /* rather than tokens that were given before */
	end();
}

PHCA_TEST(core, an_entry_is_read_whole_or_not)
{
	struct phca_lock_entry e = { .seq = 8, .mode = X, .token = 77 }, out;
	struct phca_lock_table *t = calloc(1, phca_lock_table_size(2));

	CU_ASSERT_PTR_NULL(phca_lock_table_format(t, 0));
	CU_ASSERT_PTR_NULL(phca_lock_table_format((uint8_t *)t + 4, 1));
	CU_ASSERT_PTR_EQUAL(phca_lock_table_format(t, 2), t);
	phca_lock_entry_write(phca_lock_entry_at(t, 1), &e);
	CU_ASSERT_EQUAL(phca_lock_entry_read(phca_lock_entry_at(t, 1), &out), 0);
	CU_ASSERT_EQUAL(memcmp(&out, &e, sizeof(e)), 0);
	phca_lock_entry_at(t, 1)->seq = 9;
	CU_ASSERT_EQUAL(phca_lock_entry_read(phca_lock_entry_at(t, 1), &out), -EAGAIN);
	CU_ASSERT_STRING_EQUAL(phca_lock_op_str(PHCA_LOCK_OP_RELEASE), "release");
	CU_ASSERT_STRING_EQUAL(phca_lock_op_str(0), "?");
	CU_ASSERT_STRING_EQUAL(phca_lock_op_str(PHCA_LOCK_OP_COUNT), "?");
	CU_ASSERT_STRING_EQUAL(phca_lock_status_str(PHCA_LOCK_STATUS_COUNT), "?");
	free(t);
}
