/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verbs that this device does not have, and those about fork, for which there is nothing
 * to do: registered memory becomes private again in a child (vmem_fork.c).
 */
#include "control.h"

static void *none(void)
{
	errno = EOPNOTSUPP;
	return NULL;
}

struct ibv_context *ibv_import_device(int cmd_fd)
{
	(void)cmd_fd;
	return none();
}

struct ibv_pd *ibv_import_pd(struct ibv_context *context, uint32_t pd_handle)
{
	(void)context, (void)pd_handle;
	return none();
}

void ibv_unimport_pd(struct ibv_pd *pd)
{
	(void)pd; /* none was imported */
}

struct ibv_mr *ibv_import_mr(struct ibv_pd *pd, uint32_t mr_handle)
{
	(void)pd, (void)mr_handle;
	return none();
}

void ibv_unimport_mr(struct ibv_mr *mr)
{
	(void)mr; /* none was imported */
}

struct ibv_dm *ibv_import_dm(struct ibv_context *context, uint32_t dm_handle)
{
	(void)context, (void)dm_handle;
	return none();
}

void ibv_unimport_dm(struct ibv_dm *dm)
{
	(void)dm; /* none was imported */
}

struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova,
	int fd, int access)
{
	(void)pd, (void)offset, (void)length, (void)iova, (void)fd, (void)access;
	return none();
}

/* ----------------------------------------------------------------------- fork */

int ibv_fork_init(void)
{
	return 0;
}

enum ibv_fork_status ibv_is_fork_initialized(void)
{
	return IBV_FORK_UNNEEDED;
}

#pragma GCC visibility push(default)
int ibv_dontfork_range(void *base, size_t size);
int ibv_dofork_range(void *base, size_t size);
#pragma GCC visibility pop

int ibv_dontfork_range(void *base, size_t size)
{
	(void)base, (void)size;
	return 0;
}

int ibv_dofork_range(void *base, size_t size)
{
	(void)base, (void)size;
	return 0;
}
