/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Completion channels, completion queues, shared receive queues of clients.
 *
 * Invariant: a channel's line outlives the queues that write to it.
 */
#include <errno.h>
#include <stdlib.h>

#include "host_impl.h"

int op_channel_create(struct client *c, struct msg *m)
{
	int ret = client_room(c, PHCA_HOST_CHANNEL);
	struct obj_channel *o;

	if (ret != 0)
		return ret;
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return -ENOMEM;
	ret = line_open(&o->line);
	if (ret != 0) {
		free(o);
		return ret;
	}
	m->out_fds[m->nb_out_fds++] = o->line.theirs;
	m->out.ans.u.handle[0] = client_add(c, PHCA_HOST_CHANNEL, o);
	return 0;
}

static void channel_free(struct client *c, uint32_t handle, struct obj_channel *o)
{
	client_remove(c, PHCA_HOST_CHANNEL, handle);
	line_close(&o->line);
	free(o);
}

int op_channel_destroy(struct client *c, struct msg *m)
{
	const uint32_t *q = m->in.req.u.handle;
	struct obj_channel *o = client_obj(c, PHCA_HOST_CHANNEL, q[0]);

	if (o == NULL || q[1] != 0)
		return -EINVAL;
	if (o->refs > 0)
		return -EBUSY;
	channel_free(c, q[0], o);
	return 0;
}

/* ------------------------------------------------------------------- CQ */

static void cq_answer(const struct client *c, const struct obj_cq *o, uint32_t handle, struct phca_admin_cq_ans *a)
{
	struct phca_ring_mem ring;
	struct phca_cq_info info;

	phca_cq_info_get(o->cq, &info);
	phca_cq_ring(o->cq, &ring);
	a->handle = handle;
	a->cqn = info.cqn;
	a->cqe = info.cqe;
	arena_ring(&c->arena, &ring, &a->ring);
}

static int cq_make(struct client *c, uint32_t cqe, struct obj_cq *o)
{
	int ret = phca_cq_create(c->hca, cqe, &o->cq);

	if (ret != 0 || o->channel == NULL)
		return ret;
	ret = phca_cq_notify_set(o->cq, o->channel->line.ours);
	if (ret != 0)
		phca_cq_destroy(o->cq);
	else
		o->channel->refs++;
	return ret;
}

int op_cq_create(struct client *c, struct msg *m)
{
	const struct phca_admin_cq_create *q = &m->in.req.u.cq_create;
	struct obj_channel *channel = client_obj(c, PHCA_HOST_CHANNEL, q->channel);
	int ret = client_room(c, PHCA_HOST_CQ);
	struct obj_cq *o;

	if (q->channel != PHCA_ADMIN_NONE && channel == NULL)
		return -EINVAL;
	o = ret == 0 ? calloc(1, sizeof(*o)) : NULL;
	if (o == NULL)
		return ret != 0 ? ret : -ENOMEM;
	o->channel = channel;
	ret = cq_make(c, q->cqe, o);
	if (ret != 0) {
		free(o);
		return ret;
	}
	cq_answer(c, o, client_add(c, PHCA_HOST_CQ, o), &m->out.ans.u.cq);
	return 0;
}

int op_cq_resize(struct client *c, struct msg *m)
{
	const struct phca_admin_cq_resize *q = &m->in.req.u.cq_resize;
	struct obj_cq *o = client_obj(c, PHCA_HOST_CQ, q->handle);
	int ret = o != NULL ? phca_cq_resize(o->cq, q->cqe) : -EINVAL;

	if (ret == 0)
		cq_answer(c, o, q->handle, &m->out.ans.u.cq);
	return ret;
}

int op_cq_resize_done(struct client *c, struct msg *m)
{
	const uint32_t *q = m->in.req.u.handle;
	struct obj_cq *o = client_obj(c, PHCA_HOST_CQ, q[0]);

	if (o == NULL || q[1] != 0)
		return -EINVAL;
	return phca_cq_resize_done(o->cq);
}

static int cq_destroy(struct client *c, uint32_t handle, struct obj_cq *o)
{
	int ret = phca_cq_destroy(o->cq);

	if (ret != 0)
		return ret;
	if (o->channel != NULL)
		o->channel->refs--;
	client_remove(c, PHCA_HOST_CQ, handle);
	free(o);
	return 0;
}

int op_cq_destroy(struct client *c, struct msg *m)
{
	const uint32_t *q = m->in.req.u.handle;
	struct obj_cq *o = client_obj(c, PHCA_HOST_CQ, q[0]);

	return o != NULL && q[1] == 0 ? cq_destroy(c, q[0], o) : -EINVAL;
}

/* ------------------------------------------------------------------ SRQ */

static void srq_answer(const struct client *c, const struct obj_srq *o, uint32_t handle,
		struct phca_admin_srq_ans *a)
{
	struct phca_ring_mem ring;
	struct phca_srq_info info;

	phca_srq_info_get(o->srq, &info);
	phca_srq_ring(o->srq, &ring);
	a->handle = handle;
	a->srqn = info.srqn;
	a->max_wr = info.max_wr;
	a->max_sge = info.max_sge;
	a->limit = info.limit;
	arena_ring(&c->arena, &ring, &a->ring);
}

int op_srq_create(struct client *c, struct msg *m)
{
	const struct phca_admin_srq_create *q = &m->in.req.u.srq_create;
	const struct obj_pd *pd = client_obj(c, PHCA_HOST_PD, q->pd);
	struct phca_srq_init init = { .max_wr = q->max_wr, .max_sge = q->max_sge, .limit = q->limit };
	int ret = client_room(c, PHCA_HOST_SRQ);
	struct obj_srq *o;

	if (pd == NULL)
		return -EINVAL;
	init.pd = pd->pd;
	o = ret == 0 ? calloc(1, sizeof(*o)) : NULL;
	if (o == NULL)
		return ret != 0 ? ret : -ENOMEM;
	ret = phca_srq_create(c->hca, &init, &o->srq);
	if (ret != 0) {
		free(o);
		return ret;
	}
	srq_answer(c, o, client_add(c, PHCA_HOST_SRQ, o), &m->out.ans.u.srq);
	return 0;
}

int op_srq_arm(struct client *c, struct msg *m)
{
	const struct phca_admin_srq_arm *q = &m->in.req.u.srq_arm;
	struct obj_srq *o = client_obj(c, PHCA_HOST_SRQ, q->handle);

	return o != NULL ? phca_srq_arm(o->srq, q->limit) : -EINVAL;
}

int op_srq_query(struct client *c, struct msg *m)
{
	const uint32_t *q = m->in.req.u.handle;
	struct obj_srq *o = client_obj(c, PHCA_HOST_SRQ, q[0]);

	if (o == NULL || q[1] != 0)
		return -EINVAL;
	srq_answer(c, o, q[0], &m->out.ans.u.srq);
	return 0;
}

static int srq_destroy(struct client *c, uint32_t handle, struct obj_srq *o)
{
	int ret = phca_srq_destroy(o->srq);

	if (ret != 0)
		return ret;
	client_remove(c, PHCA_HOST_SRQ, handle);
	free(o);
	return 0;
}

int op_srq_destroy(struct client *c, struct msg *m)
{
	const uint32_t *q = m->in.req.u.handle;
	struct obj_srq *o = client_obj(c, PHCA_HOST_SRQ, q[0]);

	return o != NULL && q[1] == 0 ? srq_destroy(c, q[0], o) : -EINVAL;
}

/* No queue pair uses them. */
int queues_close(struct client *c, const struct span *t)
{
	void *o;

	for (uint32_t i = 0; (o = table_next(&c->tables[PHCA_HOST_SRQ], &i)) != NULL; i++) {
		if (span_over(t))
			return MORE;
		if (srq_destroy(c, i, o) != 0) {
			HOST_LOG(ERR, "client %u: shared receive queue %u stays\n", c->info.id, i);
			client_remove(c, PHCA_HOST_SRQ, i);
		}
	}
	for (uint32_t i = 0; (o = table_next(&c->tables[PHCA_HOST_CQ], &i)) != NULL; i++) {
		if (span_over(t))
			return MORE;
		if (cq_destroy(c, i, o) != 0) {
			HOST_LOG(ERR, "client %u: completion queue %u stays\n", c->info.id, i);
			client_remove(c, PHCA_HOST_CQ, i);
		}
	}
	for (uint32_t i = 0; (o = table_next(&c->tables[PHCA_HOST_CHANNEL], &i)) != NULL; i++)
		channel_free(c, i, o);
	return 0;
}
