/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory regions: the memory is made reachable (vmem.h), then the appliance is told where.
 *
 * Invariant: what vmem registered is given back after the appliance let go of it, never
 * before. Where memory cannot be shared the region is one segment that the appliance
 * reaches through the kernel.
 */
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "vmem.h"

#define PAGE UINT64_C(4096)
#define RIGHTS (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | \
	IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND)
#define OPTIONAL ((unsigned int)IBV_ACCESS_OPTIONAL_RANGE | IBV_ACCESS_HUGETLB)
#define WRITES (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC | \
	IBV_ACCESS_MW_BIND)

/* What goes to the appliance with one registration. */
struct layout {
	struct phca_admin_seg seg[PHCA_ADMIN_SEGS_MAX];
	uint32_t nb_segs;
	int fds[PHCA_ADMIN_FDS_MAX];
	uint32_t nb_fds;
	uint32_t which;  /* PHCA_ADMIN_MEM_* that it names */
	bool in_vmem;
};

/* --------------------------------------------------------------- where memory is */

/* The whole region in one segment that is not shared. */
static void layout_remote(struct layout *l, uint64_t addr, uint64_t len, bool writable)
{
	uint64_t first = addr & ~(PAGE - 1), end = (addr + len + PAGE - 1) & ~(PAGE - 1);

	memset(l, 0, sizeof(*l));
	l->nb_segs = 1;
	l->seg[0].va = first;
	l->seg[0].length = end - first;
	l->seg[0].kind = PHCA_ADMIN_SEG_REMOTE;
	l->seg[0].writable = writable;
}

/* @return false: the message has no room for its descriptor, or it is not shared */
static bool add_seg(struct layout *l, const struct vmem_seg *v)
{
	struct phca_admin_seg *s = &l->seg[l->nb_segs++];

	*s = (struct phca_admin_seg){ .va = v->va, .length = v->len, .offset = 0,
		.writable = v->writable };
	switch (v->kind) {
	case VMEM_SWAP:
		s->kind = PHCA_ADMIN_SEG_SWAP;
		l->which |= PHCA_ADMIN_MEM_SWAP;
		return true;
	case VMEM_HUGE:
		s->kind = PHCA_ADMIN_SEG_HUGE;
		l->which |= PHCA_ADMIN_MEM_HUGE;
		return true;
	case VMEM_SYSV:
		s->kind = PHCA_ADMIN_SEG_SYSV;
		s->offset = v->offset;
		s->shmid = (uint32_t)v->shmid;
		return true;
	case VMEM_FILE:
		s->offset = v->offset;
		if (v->fd < 0) {
			s->kind = PHCA_ADMIN_SEG_MAPPED;
			s->vma_start = v->vma_start;
			s->vma_end = v->vma_end;
			return true;
		}
		s->kind = PHCA_ADMIN_SEG_FILE;
		if (l->nb_fds == PHCA_ADMIN_FDS_MAX)
			return false;
		l->fds[l->nb_fds++] = v->fd;
		return true;
	case VMEM_REMOTE:
	default:
		return false;
	}
}

static void layout_close(struct layout *l)
{
	for (uint32_t i = 0; i < l->nb_fds; i++)
		close(l->fds[i]);
	l->nb_fds = 0;
}

/* Ask vmem for a region's segments. @return 0 or negative errno; with 0 l->in_vmem says what is owed */
static int layout_make(struct layout *l, void *addr, size_t len, bool write)
{
	struct vmem_seg v[PHCA_ADMIN_SEGS_MAX];
	unsigned int n = 0, i;
	bool ok = true;
	int rc;

	memset(l, 0, sizeof(*l));
	rc = vmem_reg(addr, len, write, v, PHCA_ADMIN_SEGS_MAX, &n);
	if (rc == -EACCES || rc == -EFAULT)
		return -EFAULT; /* as when the kernel cannot pin pages */
	if (rc == -ENOMEM)
		return rc;
	if (rc != 0) {
		verbs_debug("phca: memory at %p of %zu bytes is not shared: %s", addr, len, strerror(-rc));
		layout_remote(l, (uintptr_t)addr, len, write);
		return 0;
	}
	for (i = 0; i < n && ok; i++)
		ok = add_seg(l, &v[i]);
	if (ok) {
		l->in_vmem = true;
		return 0;
	}
	layout_close(l);
	for (; i < n; i++)
		if (v[i].fd >= 0)
			close(v[i].fd);
	vmem_dereg(addr, len);
	layout_remote(l, (uintptr_t)addr, len, write);
	return 0;
}

/* The appliance gets each memory object once for each connection. */
static int share(struct vctx *ctx, uint32_t which)
{
	const uint32_t kinds[] = { PHCA_ADMIN_MEM_SWAP, PHCA_ADMIN_MEM_HUGE };
	struct phca_admin_req req;
	int rc = 0;

	pthread_mutex_lock(&ctx->share_lock);
	for (unsigned int i = 0; i < 2 && rc == 0; i++) {
		int fd = kinds[i] == PHCA_ADMIN_MEM_SWAP ? vmem_fd() : vmem_huge_fd();

		if (!(which & kinds[i] & ~ctx->shared))
			continue;
		admin_req(&req, PHCA_ADMIN_MEM_SHARE);
		req.u.mem_share.which = kinds[i];
		rc = fd < 0 ? -EBADF : admin_call_fds(ctx, &req, NULL, 0, &fd, 1, NULL, NULL, 0);
		if (rc == 0)
			ctx->shared |= kinds[i];
	}
	pthread_mutex_unlock(&ctx->share_lock);
	return rc;
}

/* ------------------------------------------------------------------ registration */

static int ask(struct vmr *mr, struct layout *l)
{
	struct vctx *ctx = to_vctx(mr->mr.context);
	struct phca_admin_req req;
	struct phca_admin_ans ans;
	int rc = share(ctx, l->which);

	if (rc != 0)
		return rc;
	admin_req(&req, PHCA_ADMIN_MR_REG);
	req.u.mr_reg = (struct phca_admin_mr_reg){ .addr = (uintptr_t)mr->mr.addr,
		.length = mr->mr.length, .iova = mr->iova, .pd = mr->mr.pd->handle,
		.access = mr->access, .nb_segs = l->nb_segs };
	rc = admin_call_fds(ctx, &req, l->seg, l->nb_segs * (uint32_t)sizeof(l->seg[0]), l->fds,
		l->nb_fds, &ans, NULL, 0);
	if (rc == 0) {
		mr->mr.handle = ans.u.handle[0];
		mr->mr.lkey = mr->mr.rkey = ans.u.handle[1];
	}
	return rc;
}

/* The appliance did not get at shared memory, for rights that it lacks: it may reach it otherwise. */
static bool worth_another_way(const struct layout *l, int rc)
{
	if (rc != -EPERM && rc != -EACCES && rc != -EOPNOTSUPP && rc != -ENOENT)
		return false;
	for (uint32_t i = 0; i < l->nb_segs; i++)
		if (l->seg[i].kind != PHCA_ADMIN_SEG_SWAP && l->seg[i].kind != PHCA_ADMIN_SEG_REMOTE)
			return true;
	return false;
}

/* mr has pd, addr, length, iova, access. */
static int reg(struct vmr *mr)
{
	bool write = (mr->access & WRITES) != 0;
	struct layout *l = malloc(sizeof(*l));
	int rc;

	if (l == NULL)
		return -ENOMEM;
	rc = layout_make(l, mr->mr.addr, mr->mr.length, write);
	if (rc != 0)
		goto out;
	rc = ask(mr, l);
	if (rc != 0 && worth_another_way(l, rc)) {
		layout_close(l);
		vmem_dereg(mr->mr.addr, mr->mr.length);
		layout_remote(l, (uintptr_t)mr->mr.addr, mr->mr.length, write);
		rc = ask(mr, l);
	}
	mr->in_vmem = rc == 0 && l->in_vmem;
	if (rc != 0 && l->in_vmem)
		vmem_dereg(mr->mr.addr, mr->mr.length);
	layout_close(l);
out:
	free(l);
	return rc;
}

/* @return 0 and *rights; negative errno */
static int rights_of(unsigned int access, uint32_t *rights)
{
	if (access & IBV_ACCESS_ON_DEMAND)
		return -EOPNOTSUPP;
	*rights = access & RIGHTS;
	return (access & ~(RIGHTS | OPTIONAL | IBV_ACCESS_ZERO_BASED)) ? -EINVAL : 0;
}

static struct ibv_mr *reg_mr(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
	unsigned int access)
{
	struct vmr *mr = calloc(1, sizeof(*mr));
	int rc;

	if (mr == NULL)
		return fail(mr, -ENOMEM);
	rc = rights_of(access, &mr->access);
	if (rc != 0 || length == 0 || (uintptr_t)addr > UINTPTR_MAX - length)
		return fail(mr, rc != 0 ? rc : -EINVAL);
	mr->mr.context = pd->context;
	mr->mr.pd = pd;
	mr->mr.addr = addr;
	mr->mr.length = length;
	mr->iova = access & IBV_ACCESS_ZERO_BASED ? 0 : iova;
	rc = reg(mr);
	return rc != 0 ? fail(mr, rc) : &mr->mr;
}

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
	return reg_mr(pd, addr, length, (uintptr_t)addr, (unsigned int)access);
}

struct ibv_mr *ibv_reg_mr_iova(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova, int access)
{
	return reg_mr(pd, addr, length, iova, (unsigned int)access);
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
	unsigned int access)
{
	return reg_mr(pd, addr, length, iova, access);
}

/* Let go of what mr stands for. @return 0 or negative errno: it still stands */
static int dereg(struct vmr *mr)
{
	int rc = admin_free(to_vctx(mr->mr.context), PHCA_ADMIN_MR_DEREG, mr->mr.handle);

	if (rc == 0 && mr->in_vmem)
		vmem_dereg(mr->mr.addr, mr->mr.length);
	return rc;
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
	int rc = dereg(to_vmr(mr));

	if (rc != 0)
		return -rc;
	free(to_vmr(mr));
	return 0;
}

/* A new region takes the place of the old one, which stands until the new one does. */
int ibv_rereg_mr(struct ibv_mr *mr, int flags, struct ibv_pd *pd, void *addr, size_t length, int access)
{
	struct vmr *old = to_vmr(mr), new = *old;
	int rc = 0;

	if ((flags & ~IBV_REREG_MR_FLAGS_SUPPORTED) || flags == 0 ||
	    ((flags & IBV_REREG_MR_CHANGE_TRANSLATION) && (length == 0 || addr == NULL ||
			(uintptr_t)addr > UINTPTR_MAX - length)) ||
	    ((flags & IBV_REREG_MR_CHANGE_PD) && pd == NULL) ||
	    ((flags & IBV_REREG_MR_CHANGE_ACCESS) && rights_of((unsigned int)access, &new.access) != 0)) {
		errno = EINVAL;
		return IBV_REREG_MR_ERR_INPUT;
	}
	if (flags & IBV_REREG_MR_CHANGE_PD)
		new.mr.pd = pd;
	if (flags & IBV_REREG_MR_CHANGE_TRANSLATION) {
		new.mr.addr = addr;
		new.mr.length = length;
		new.iova = (uintptr_t)addr;
	}
	rc = reg(&new);
	if (rc == 0) {
		rc = dereg(old);
		if (rc != 0)
			dereg(&new);
	}
	if (rc != 0) {
		errno = -rc;
		return IBV_REREG_MR_ERR_CMD;
	}
	*old = new;
	return 0;
}
