/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serve --self: the lock service in the application itself, what the proxy CPU would do.
 * The same core as the offload driver's, over receives and sends of the application.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

static bool is_ours(const struct server *s, const struct lock_name *n)
{
	return n->va == (uintptr_t)s->table && n->rkey == s->mr->rkey;
}

static int self_header(void *user, const struct lock_peer *p, const struct lock_name *n, struct phca_lock_table *h)
{
	const struct server *s = user;

	(void)p;
	if (!is_ours(s, n))
		return -EACCES;
	*h = *s->table;
	return 0;
}

static int self_check(void *user, const struct lock_peer *p, const struct lock_name *n, uint32_t lock)
{
	const struct server *s = user;

	(void)p;
	return is_ours(s, n) && lock < s->o->nb_locks ? 0 : -EACCES;
}

static int self_store(void *user, const struct lock_name *n, uint32_t lock, const struct phca_lock_entry *e)
{
	const struct server *s = user;

	(void)n;
	phca_lock_entry_write(phca_lock_entry_at(s->table, lock), e);
	return 0;
}

static int self_reserve(void *user, const struct lock_name *n, uint64_t token)
{
	const struct server *s = user;

	(void)n;
	s->table->token_reserved = token;
	return 0;
}

void self_init(struct server *s)
{
	/* The defaults of the driver. */
	static const struct lock_conf conf = { .max_peers = CLIENTS_MAX, .max_tables = 1, .max_locks = 16384,
		.max_sessions = 16384, .max_claims = 32768, .max_waiters = 8192, .peer_claims = 4096,
		.peer_waiters = 1024, .deadlock_steps = 1000, .max_wait_ns = 10000000000 };
	static const struct lock_ops ops = { self_header, self_check, self_store, self_reserve };
	size_t bytes = (lock_core_size(&conf) + 63) / 64 * 64;

	s->core_mem = aligned_alloc(64, bytes);
	if (s->core_mem == NULL)
		fail("%zu bytes for the lock service: no memory", bytes);
	memset(s->core_mem, 0, bytes);
	s->core = lock_core_init(s->core_mem, &conf, &ops, s);
}

void self_fini(struct server *s)
{
	free(s->core_mem);
}

bool self_message(struct conn *c, const void *data, uint32_t len, uint64_t now)
{
	struct phca_lock_req in[PHCA_LOCK_BATCH];
	uint32_t n = len / sizeof(in[0]);

	if (c->peer == NULL) {
		c->peer = lock_peer_add(c->s->core, 0, c->qp->qp_num);
		if (c->peer == NULL)
			return false;
		c->peer->drv[0] = (uintptr_t)c;
	}
	if (!lock_peer_room(c->peer, PHCA_LOCK_BATCH))
		return false;
	memset(in, 0, sizeof(in[0]));
	if (n == 0 || n > PHCA_LOCK_BATCH || len % sizeof(in[0]) != 0) {
		memcpy(in, data, len < sizeof(in[0]) ? len : sizeof(in[0]));
		in[0].version = 0;
		n = 1;
	} else {
		memcpy(in, data, len);
	}
	for (uint32_t i = 0; i < n; i++)
		lock_request(c->s->core, c->peer, &in[i], now);
	return true;
}

void self_answers(struct conn *c)
{
	while (c->peer != NULL && !c->failed && c->peer->first != NULL) {
		uint8_t *slot = conn_send_slot(c);
		unsigned int n;

		if (slot == NULL)
			return;
		n = lock_take(c->s->core, c->peer, (struct phca_lock_answer *)(void *)slot, PHCA_LOCK_ANSWERS);
		conn_send(c, n * sizeof(struct phca_lock_answer), true);
	}
}

void self_turn(struct server *s, uint64_t now)
{
	struct lock_peer *p;

	lock_tick(s->core, now);
	while ((p = lock_ready(s->core)) != NULL)
		self_answers((struct conn *)(uintptr_t)p->drv[0]);
}

void self_gone(struct conn *c)
{
	if (c->peer == NULL)
		return;
	lock_peer_kill(c->s->core, c->peer);
	lock_peer_put(c->s->core, c->peer);
	c->peer = NULL;
}
