/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protection domains, memory regions and windows of clients.
 *
 * Invariant: memory stays mapped until lib/mem has said that no lcore uses the
 * region any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>

#include "host_impl.h"

#define PAGE ((uint64_t)4096)
#define TOUCH_NOW (UINT64_C(4) << 20) /* bytes; larger ones are touched in steps, all clients' one after the other */
#define TOUCH_STEP (UINT64_C(64) << 20) /* bytes that others wait for */

int op_pd_alloc(struct client *c, struct msg *m)
{
	int ret = client_room(c, PHCA_HOST_PD);
	struct obj_pd *o;

	if (ret != 0)
		return ret;
	o = malloc(sizeof(*o));
	if (o == NULL)
		return -ENOMEM;
	o->pd = phca_pd_alloc(c->host->conf.mem);
	if (o->pd == 0) {
		free(o);
		return -rte_errno;
	}
	m->out.ans.u.handle[0] = client_add(c, PHCA_HOST_PD, o);
	return 0;
}

int op_pd_free(struct client *c, struct msg *m)
{
	const uint32_t *q = m->in.req.u.handle;
	struct obj_pd *o = client_obj(c, PHCA_HOST_PD, q[0]);
	int ret;

	if (o == NULL || q[1] != 0)
		return -EINVAL;
	ret = phca_pd_free(c->host->conf.mem, o->pd);
	if (ret != 0)
		return ret;
	client_remove(c, PHCA_HOST_PD, q[0]);
	free(o);
	return 0;
}

int op_mem_share(struct client *c, struct msg *m)
{
	const struct phca_admin_mem_share *q = &m->in.req.u.mem_share;
	const uint32_t all = PHCA_ADMIN_MEM_SWAP | PHCA_ADMIN_MEM_HUGE;

	if (q->rsvd != 0 || q->which == 0 || q->which & ~all)
		return -EINVAL;
	if ((unsigned int)__builtin_popcount(q->which) != m->nb_fds)
		return BAD_MESSAGE;
	return regions_share(c->regions, q->which, m->fds);
}

static unsigned int nb_files(const struct phca_admin_seg *segs, uint32_t n)
{
	unsigned int files = 0;

	for (uint32_t i = 0; i < n; i++)
		files += segs[i].kind == PHCA_ADMIN_SEG_FILE;
	return files;
}

/* Pages that a region holds; the sum cannot wrap, lengths are limited first. */
static uint64_t mr_bytes(const struct phca_admin_mr_reg *q)
{
	return RTE_ALIGN((q->addr & (PAGE - 1)) + q->length, PAGE);
}

static int mr_add(struct client *c, struct msg *m)
{
	struct pending *p = &c->pending;
	const struct phca_admin_mr_reg *q = &p->reg;
	struct phca_mem *mem = c->host->conf.mem;
	int ret;

	if (p->view.base != NULL)
		ret = phca_mr_reg(mem, p->pd, p->view.base, q->length, q->iova, q->access, &p->mr->key);
	else
		ret = phca_mr_reg_io(mem, p->pd, p->view.io, p->view.arg, q->length, q->iova, q->access, &p->mr->key);
	if (ret != 0)
		return ret;
	p->mr->bytes = mr_bytes(q);
	c->info.mem_bytes += p->mr->bytes;
	m->out.ans.u.handle[0] = client_add(c, PHCA_HOST_MR, p->mr);
	m->out.ans.u.handle[1] = p->mr->key;
	return 0;
}

static void mr_reg_drop(struct client *c)
{
	region_close(c->pending.mr->region);
	free(c->pending.mr);
}

/* Some pages more; with the last ones it is a memory region. */
static int mr_reg_step(struct client *c, struct msg *m)
{
	int ret = region_touch(c->pending.mr->region, TOUCH_STEP);

	if (ret > 0)
		return MORE;
	if (ret == 0)
		ret = mr_add(c, m);
	if (ret != 0)
		mr_reg_drop(c);
	return ret;
}

static int mr_open(struct client *c, struct msg *m, uint32_t pd, struct obj_mr *o)
{
	const struct phca_admin_mr_reg *q = &m->in.req.u.mr_reg;
	const struct phca_admin_seg *segs = (const void *)(m->in.bytes +
		phca_admin_req_len(PHCA_ADMIN_MR_REG));
	struct pending p = { .step = mr_reg_step, .drop = mr_reg_drop, .pd = pd, .mr = o, .reg = *q };
	int ret;

	if (nb_files(segs, q->nb_segs) != m->nb_fds)
		return BAD_MESSAGE;
	ret = region_open(c->regions, q, segs, m->fds, &o->region, &p.view);
	if (ret == 0)
		c->pending = p;
	return ret;
}

int op_mr_reg(struct client *c, struct msg *m)
{
	const struct phca_admin_mr_reg *q = &m->in.req.u.mr_reg;
	const struct obj_pd *pd = client_obj(c, PHCA_HOST_PD, q->pd);
	uint64_t limit = c->host->conf.limits.mem_bytes;
	struct obj_mr *o;
	int ret;

	if (pd == NULL || q->rsvd != 0 || q->access & ~(uint32_t)PHCA_ACCESS_ALL || q->length == 0 ||
	    q->nb_segs == 0)
		return -EINVAL;
	if (q->length > limit || mr_bytes(q) > limit - c->info.mem_bytes)
		return -ENOMEM;
	ret = client_room(c, PHCA_HOST_MR);
	if (ret != 0)
		return ret;
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return -ENOMEM;
	ret = mr_open(c, m, pd->pd, o);
	if (ret != 0) {
		free(o);
		return ret;
	}
	if (q->length > TOUCH_NOW)
		return MORE;
	ret = mr_reg_step(c, m);
	memset(&c->pending, 0, sizeof(c->pending));
	return ret;
}

static int mr_dereg(struct client *c, uint32_t handle, struct obj_mr *o)
{
	int ret = phca_mr_dereg(c->host->conf.mem, o->key);

	if (ret != 0)
		return ret;
	region_close(o->region);
	c->info.mem_bytes -= o->bytes;
	client_remove(c, PHCA_HOST_MR, handle);
	free(o);
	return 0;
}

int op_mr_dereg(struct client *c, struct msg *m)
{
	const uint32_t *q = m->in.req.u.handle;
	struct obj_mr *o = client_obj(c, PHCA_HOST_MR, q[0]);

	if (o == NULL || q[1] != 0)
		return -EINVAL;
	return mr_dereg(c, q[0], o);
}

int op_mw_alloc(struct client *c, struct msg *m)
{
	const struct phca_admin_mw_alloc *q = &m->in.req.u.mw_alloc;
	const struct obj_pd *pd = client_obj(c, PHCA_HOST_PD, q->pd);
	int ret = client_room(c, PHCA_HOST_MW);
	struct obj_mw *o;

	if (pd == NULL || (q->type != PHCA_MW_TYPE_1 && q->type != PHCA_MW_TYPE_2))
		return -EINVAL;
	o = ret == 0 ? malloc(sizeof(*o)) : NULL;
	if (o == NULL)
		return ret != 0 ? ret : -ENOMEM;
	ret = phca_mw_alloc(c->host->conf.mem, pd->pd, (enum phca_mw_type)q->type, &o->rkey);
	if (ret != 0) {
		free(o);
		return ret;
	}
	m->out.ans.u.handle[0] = client_add(c, PHCA_HOST_MW, o);
	m->out.ans.u.handle[1] = o->rkey;
	return 0;
}

static int mw_dealloc(struct client *c, uint32_t handle, struct obj_mw *o)
{
	int ret = phca_mw_dealloc(c->host->conf.mem, o->rkey);

	if (ret != 0)
		return ret;
	client_remove(c, PHCA_HOST_MW, handle);
	free(o);
	return 0;
}

int op_mw_dealloc(struct client *c, struct msg *m)
{
	const uint32_t *q = m->in.req.u.handle;
	struct obj_mw *o = client_obj(c, PHCA_HOST_MW, q[0]);

	if (o == NULL || q[1] != 0)
		return -EINVAL;
	return mw_dealloc(c, q[0], o);
}

bool memory_broken(const struct client *c)
{
	const struct obj_mr *o;

	for (uint32_t i = 0; (o = table_next(&c->tables[PHCA_HOST_MR], &i)) != NULL; i++)
		if (region_broken(o->region))
			return true;
	return false;
}

/* It cannot be freed, which cannot be: better lost than tried for ever. */
static void stays(struct client *c, enum phca_host_kind k, uint32_t handle, const char *what)
{
	HOST_LOG(ERR, "client %u: %s %u stays\n", c->info.id, what, handle);
	client_remove(c, k, handle);
}

/* Nothing refers to a window now, and then nothing to a region, and then to a domain. */
int memory_close(struct client *c, const struct span *t)
{
	void *o;

	for (uint32_t i = 0; (o = table_next(&c->tables[PHCA_HOST_MW], &i)) != NULL; i++) {
		if (span_over(t))
			return MORE;
		if (mw_dealloc(c, i, o) != 0)
			stays(c, PHCA_HOST_MW, i, "memory window");
	}
	for (uint32_t i = 0; (o = table_next(&c->tables[PHCA_HOST_MR], &i)) != NULL; i++) {
		if (span_over(t))
			return MORE;
		if (mr_dereg(c, i, o) != 0)
			stays(c, PHCA_HOST_MR, i, "memory region");
	}
	for (uint32_t i = 0; (o = table_next(&c->tables[PHCA_HOST_PD], &i)) != NULL; i++) {
		if (phca_pd_free(c->host->conf.mem, ((struct obj_pd *)o)->pd) != 0)
			HOST_LOG(ERR, "client %u: protection domain %u stays\n", c->info.id, i);
		client_remove(c, PHCA_HOST_PD, i);
		free(o);
	}
	return 0;
}
