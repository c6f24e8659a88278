/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Members of a broadcast: the peers of the instance, their windows, what became of
 * them.
 *
 * Invariant: a member is ready from READY until its queue pair fails or a copy to it
 * does; its window is what it announced since it became ready.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <rte_string_fns.h>

#include "bcast_impl.h"
#include "phca_bcast.h"

struct member *bcast_member(const struct bcast *b, const struct phca_pqp *q)
{
	for (unsigned int i = 0; i < b->nb_members; i++)
		if (b->members[i].pqp == q)
			return &b->members[i];
	return NULL;
}

int bcast_peer(struct phca_offload *o, struct phca_pqp *q, const char *name)
{
	struct bcast *b = phca_offload_priv(o);
	struct member *m = bcast_member(b, NULL); /* one that is free again */

	if (m == NULL) {
		if (b->nb_members == b->max_members)
			return -ENOSPC;
		m = &b->members[b->nb_members];
	}
	*m = (struct member){ .pqp = NULL };
	rte_strscpy(m->name, name, sizeof(m->name));
	__atomic_store_n(&m->pqp, q, __ATOMIC_RELEASE);
	if (m == &b->members[b->nb_members])
		__atomic_store_n(&b->nb_members, b->nb_members + 1, __ATOMIC_RELEASE);
	return 0;
}

void bcast_member_drop(struct bcast *b, struct member *m)
{
	if (!m->ready)
		return;
	__atomic_store_n(&m->ready, false, __ATOMIC_RELAXED);
	__atomic_store_n(&m->window_len, 0, __ATOMIC_RELAXED);
	PHCA_STAT_ADD(m->drops, 1);
	PHCA_STAT_ADD(b->dropped, 1);
}

void bcast_qp_event(struct phca_offload *o, struct phca_pqp *q, enum phca_pqp_event ev, uint64_t now_ns)
{
	struct bcast *b = phca_offload_priv(o);
	struct member *m = bcast_member(b, q);

	(void)now_ns;
	if (m == NULL)
		return;
	switch (ev) {
	case PHCA_PQP_READY:
		__atomic_store_n(&m->ready, true, __ATOMIC_RELAXED);
		if (PHCA_STAT_GET(m->drops) > 0)
			PHCA_STAT_ADD(b->rejoined, 1);
		break;
	case PHCA_PQP_ERROR:
		bcast_member_drop(b, m);
		break;
	case PHCA_PQP_GONE:
		__atomic_store_n(&m->ready, false, __ATOMIC_RELAXED);
		__atomic_store_n(&m->pqp, NULL, __ATOMIC_RELAXED);
		break;
	}
}

void bcast_announced(struct bcast *b, struct phca_offload_req *req)
{
	struct member *m = bcast_member(b, req->pqp);
	struct phca_bcast_announce a;
	uint64_t va, len;

	if (req->len != sizeof(a) || phca_offload_read(req, 0, &a, sizeof(a)) != (int)sizeof(a) ||
			le32toh(a.magic) != PHCA_BCAST_MAGIC || le16toh(a.version) != PHCA_BCAST_VERSION ||
			le64toh(a.va) + le64toh(a.length) < le64toh(a.va)) {
		PHCA_STAT_ADD(b->bad_announcements, 1);
		return;
	}
	va = le64toh(a.va);
	len = le64toh(a.length);
	m->window_va = va;
	m->window_rkey = le32toh(a.rkey);
	__atomic_store_n(&m->window_len, len, __ATOMIC_RELAXED);
	PHCA_STAT_ADD(b->announcements, 1);
}

/* A member's figures, named "MEMBER.figure". */
static int show_member(const struct member *m, int (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct { const char *name; uint64_t value; } v[] = {
		{ "ready", __atomic_load_n(&m->ready, __ATOMIC_RELAXED) },
		{ "acked", PHCA_STAT_GET(m->acked) },
		{ "failed", PHCA_STAT_GET(m->failed) },
		{ "missed", PHCA_STAT_GET(m->missed) },
		{ "dropped", PHCA_STAT_GET(m->drops) },
		{ "window_bytes", __atomic_load_n(&m->window_len, __ATOMIC_RELAXED) },
	};
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < RTE_DIM(v); i++) {
		char name[MEMBER_NAME + 16];

		snprintf(name, sizeof(name), "%s.%s", m->name, v[i].name);
		rc = emit(arg, name, v[i].value);
	}
	return rc;
}

int bcast_show(const struct phca_offload *o, int (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct bcast *b = phca_offload_priv(o);
	unsigned int n = __atomic_load_n(&b->nb_members, __ATOMIC_ACQUIRE), ready = 0;
	int rc;

	for (unsigned int i = 0; i < n; i++)
		ready += __atomic_load_n(&b->members[i].ready, __ATOMIC_RELAXED);
	rc = emit(arg, "ready", ready);
	if (rc == 0)
		rc = emit(arg, "under_way", __atomic_load_n(&b->under_way, __ATOMIC_RELAXED));
	if (rc == 0)
		rc = emit(arg, "waiting", __atomic_load_n(&b->waiting, __ATOMIC_RELAXED));
#define EMIT(f) \
	if (rc == 0) \
		rc = emit(arg, #f, PHCA_STAT_GET(b->f));
	BCAST_COUNTERS(EMIT)
#undef EMIT
	for (unsigned int i = 0; rc == 0 && i < n; i++)
		if (__atomic_load_n(&b->members[i].pqp, __ATOMIC_ACQUIRE) != NULL)
			rc = show_member(&b->members[i], emit, arg);
	return rc;
}
