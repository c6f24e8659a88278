/* SPDX-License-Identifier: BSD-3-Clause */
/* A lock core whose tables are arrays of the test, and whose answers are collected. */
#ifndef WORLD_H
#define WORLD_H

#include "core.h"

#define WORLD_TABLES 2
#define WORLD_LOCKS 64
#define WORLD_DOMAIN 7
#define WORLD_RKEY 0x1100
#define WORLD_VA 0x10000000ull

struct world {
	struct lock_core *c;
	void *mem;
	struct { struct phca_lock_table h; struct phca_lock_entry e[WORLD_LOCKS]; } t[WORLD_TABLES];
	bool gone[WORLD_TABLES]; /* as if deregistered */
	uint64_t now_ns, next_id;
};

struct lock_conf world_conf(void);
void world_init(struct world *w, const struct lock_conf *conf);
void world_fini(struct world *w);
struct phca_lock_req world_req(struct world *w, enum phca_lock_op op, uint64_t session, uint32_t lock,
		enum phca_lock_mode mode);
/* One request of table 0. @return its id */
uint64_t world_ask(struct world *w, struct lock_peer *p, enum phca_lock_op op, uint64_t session, uint32_t lock,
		enum phca_lock_mode mode);
/* The next answer for the requester is the one to `id` and has that status. @return it */
struct phca_lock_answer world_expect(struct world *w, struct lock_peer *p, uint64_t id, enum phca_lock_status status);
void world_expect_none(struct world *w, struct lock_peer *p);
/* As the application sees it. */
struct phca_lock_entry world_entry(const struct world *w, uint32_t table, uint32_t lock);

#endif
