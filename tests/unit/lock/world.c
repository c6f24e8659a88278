/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables of the test for the lock core: found by name, written only within their bounds. */
#include <errno.h>
#include <stdlib.h>

#include "phca_test.h"
#include "world.h"

static int table_at(const struct world *w, const struct lock_name *n)
{
	uint64_t i = n->va - WORLD_VA;

	if (n->domain != WORLD_DOMAIN || n->rkey != WORLD_RKEY || i >= WORLD_TABLES * 0x10000 || i % 0x10000 != 0)
		return -1;
	i /= 0x10000;
	return w->gone[i] ? -1 : (int)i;
}

static int world_header(void *user, const struct lock_peer *p, const struct lock_name *n, struct phca_lock_table *h)
{
	struct world *w = user;
	int i = table_at(w, n);

	(void)p;
	if (i < 0)
		return -EACCES;
	*h = w->t[i].h;
	return 0;
}

static int world_check(void *user, const struct lock_peer *p, const struct lock_name *n, uint32_t lock)
{
	(void)p;
	return table_at(user, n) < 0 || lock >= WORLD_LOCKS ? -EACCES : 0;
}

static int world_store(void *user, const struct lock_name *n, uint32_t lock, const struct phca_lock_entry *e)
{
	struct world *w = user;
	int i = table_at(w, n);

	if (i < 0)
		return -EACCES;
	CU_ASSERT_FATAL(lock < WORLD_LOCKS);
	CU_ASSERT_EQUAL(e->seq % 2, 0);
	phca_lock_entry_write(&w->t[i].e[lock], e);
	return 0;
}

static int world_reserve(void *user, const struct lock_name *n, uint64_t token)
{
	struct world *w = user;
	int i = table_at(w, n);

	if (i < 0)
		return -EACCES;
	w->t[i].h.token_reserved = token;
	return 0;
}

struct lock_conf world_conf(void)
{
	return (struct lock_conf){ .max_peers = 16, .max_tables = 4, .max_locks = 256, .max_sessions = 256,
		.max_claims = 1024, .max_waiters = 512, .peer_claims = 512, .peer_waiters = 256,
		.deadlock_steps = 100000 };
}

void world_init(struct world *w, const struct lock_conf *conf)
{
	const struct lock_ops ops = { world_header, world_check, world_store, world_reserve };

	memset(w, 0, sizeof(*w));
	for (unsigned int i = 0; i < WORLD_TABLES; i++)
		CU_ASSERT_PTR_NOT_NULL_FATAL(phca_lock_table_format(&w->t[i], WORLD_LOCKS));
	w->mem = aligned_alloc(64, (lock_core_size(conf) + 63) / 64 * 64);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w->mem);
	memset(w->mem, 0, lock_core_size(conf));
	w->c = lock_core_init(w->mem, conf, &ops, w);
	w->now_ns = 1000;
}

void world_fini(struct world *w)
{
	free(w->mem);
}

struct phca_lock_req world_req(struct world *w, enum phca_lock_op op, uint64_t session, uint32_t lock,
		enum phca_lock_mode mode)
{
	return (struct phca_lock_req){ .magic = PHCA_LOCK_MAGIC, .version = PHCA_LOCK_VERSION, .op = (uint8_t)op,
		.mode = (uint8_t)mode, .id = ++w->next_id, .session = session, .table_va = WORLD_VA,
		.table_rkey = WORLD_RKEY, .lock = lock };
}

uint64_t world_ask(struct world *w, struct lock_peer *p, enum phca_lock_op op, uint64_t session, uint32_t lock,
		enum phca_lock_mode mode)
{
	struct phca_lock_req r = world_req(w, op, session, lock, mode);

	CU_ASSERT_TRUE_FATAL(lock_peer_room(p, 1));
	lock_request(w->c, p, &r, w->now_ns);
	return r.id;
}

struct phca_lock_answer world_expect(struct world *w, struct lock_peer *p, uint64_t id, enum phca_lock_status status)
{
	struct phca_lock_answer a = { .id = 0 };

	CU_ASSERT_EQUAL(lock_take(w->c, p, &a, 1), 1);
	CU_ASSERT_EQUAL(a.magic, PHCA_LOCK_ANSWER_MAGIC);
	CU_ASSERT_EQUAL(a.version, PHCA_LOCK_VERSION);
	CU_ASSERT_EQUAL(a.id, id);
	CU_ASSERT_STRING_EQUAL(phca_lock_status_str(a.status), phca_lock_status_str(status));
	return a;
}

void world_expect_none(struct world *w, struct lock_peer *p)
{
	struct phca_lock_answer a;

	CU_ASSERT_EQUAL(lock_take(w->c, p, &a, 1), 0);
}

struct phca_lock_entry world_entry(const struct world *w, uint32_t table, uint32_t lock)
{
	struct phca_lock_entry e;

	CU_ASSERT_EQUAL_FATAL(phca_lock_entry_read(&w->t[table].e[lock], &e), 0);
	return e;
}
