/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What libibverbs has had since rdma-core 45: for programs that were linked with one of
 * those. What this device does not have says EOPNOTSUPP.
 *
 * The headers that this is built with may know these functions and their structs, or not.
 * So both have names of our own here, and the functions their real ones for the linker only.
 */
#include <stdlib.h>
#include <string.h>

#include "control.h"

#define EXPORTED(type, name, ...) \
	__attribute__((visibility("default"))) type newer_##name(__VA_ARGS__) __asm__(#name)

/* struct ibv_mr_init_attr; what is behind fd_offset is not looked at. */
struct newer_mr_attr {
	size_t length;
	int access;
	uint64_t comp_mask;
	uint64_t iova;
	void *addr;
	int fd;
	uint64_t fd_offset;
	void *dmah;
	struct newer_buf *buf; /* there with ATTR_BUF only: the struct was shorter once */
};
#define ATTR_IOVA      0x01u
#define ATTR_ADDR      0x02u
#define ATTR_FD        0x04u
#define ATTR_FD_OFFSET 0x08u
#define ATTR_DMAH      0x10u
#define ATTR_BUF       0x20u
#define ATTR_KNOWN     0x3fu

/* struct ibv_buf, which programs do not look into. */
struct newer_buf {
	struct ibv_pd *pd;
	uint8_t *addr;
	size_t size;
};

#define PAGE 4096
#define SPEED_UNIT UINT64_C(100000000) /* bits per second */

static int refuse(int err)
{
	errno = err;
	return err;
}

/* ------------------------------------------------------- 1.15: registration, DMA handles */

/* @return 0 or negative errno */
static int attr_check(const struct ibv_pd *pd, const struct newer_mr_attr *a)
{
	uintptr_t at = (uintptr_t)a->addr, base;

	if (a->comp_mask & ~(uint64_t)ATTR_KNOWN)
		return -EINVAL;
	if (!(a->comp_mask & ATTR_FD) == !(a->comp_mask & ATTR_ADDR) ||
	    !(a->comp_mask & ATTR_FD) != !(a->comp_mask & ATTR_FD_OFFSET))
		return -EINVAL;
	if (a->comp_mask & (ATTR_FD | ATTR_DMAH))
		return -EOPNOTSUPP; /* as ibv_reg_dmabuf_mr, ibv_alloc_dmah */
	if (!(a->comp_mask & ATTR_BUF))
		return 0;
	base = (uintptr_t)a->buf->addr;
	return pd == a->buf->pd && at >= base && at - base <= a->buf->size &&
		a->length <= a->buf->size - (at - base) ? 0 : -EINVAL;
}

EXPORTED(struct ibv_mr *, ibv_reg_mr_ex, struct ibv_pd *pd, struct newer_mr_attr *a);
struct ibv_mr *newer_ibv_reg_mr_ex(struct ibv_pd *pd, struct newer_mr_attr *a)
{
	int rc = attr_check(pd, a);

	if (rc != 0)
		return fail(NULL, rc);
	return ibv_reg_mr_iova2(pd, a->addr, a->length, a->comp_mask & ATTR_IOVA ? a->iova : (uintptr_t)a->addr,
		(unsigned int)a->access);
}

EXPORTED(void *, ibv_alloc_dmah, struct ibv_context *context, void *attr);
void *newer_ibv_alloc_dmah(struct ibv_context *context, void *attr)
{
	(void)context, (void)attr;
	return fail(NULL, -EOPNOTSUPP);
}

EXPORTED(int, ibv_dealloc_dmah, void *dmah);
int newer_ibv_dealloc_dmah(void *dmah)
{
	(void)dmah; /* none was ever allocated */
	return refuse(EOPNOTSUPP);
}

/* -------------------------------------------------------- 1.16: speed, device memory */

EXPORTED(int, ibv_query_port_speed, struct ibv_context *context, uint32_t port_num, uint64_t *port_speed);
int newer_ibv_query_port_speed(struct ibv_context *context, uint32_t port_num, uint64_t *port_speed)
{
	uint64_t bps;
	int rc = verbs_port_bps(context, port_num, &bps);

	if (rc == 0)
		*port_speed = bps / SPEED_UNIT;
	return rc;
}

EXPORTED(int, ibv_dm_export_dmabuf_fd, struct ibv_dm *dm);
int newer_ibv_dm_export_dmabuf_fd(struct ibv_dm *dm)
{
	(void)dm; /* none was ever allocated */
	errno = EOPNOTSUPP;
	return -1;
}

/* --------------------------------------------------- 1.17: buffers that the library chooses */

EXPORTED(void *, ibv_alloc_buf, struct ibv_pd *pd, size_t size, struct newer_buf **buf);
void *newer_ibv_alloc_buf(struct ibv_pd *pd, size_t size, struct newer_buf **buf)
{
	struct newer_buf *b = calloc(1, sizeof(*b));
	void *p;
	int err;

	if (b == NULL)
		return fail(b, -ENOMEM);
	err = posix_memalign(&p, PAGE, size);
	if (err != 0)
		return fail(b, -err);
	*b = (struct newer_buf){ .pd = pd, .addr = p, .size = size };
	*buf = b;
	return p;
}

EXPORTED(void, ibv_free_buf, struct newer_buf *buf);
void newer_ibv_free_buf(struct newer_buf *buf)
{
	free(buf->addr);
	free(buf);
}

EXPORTED(struct ibv_mr *, ibv_reg_buf_mr, struct ibv_pd *pd, struct newer_buf *buf, void *addr, size_t length,
	int access);
struct ibv_mr *newer_ibv_reg_buf_mr(struct ibv_pd *pd, struct newer_buf *buf, void *addr, size_t length, int access)
{
	struct newer_mr_attr a = { .length = length, .access = access, .comp_mask = ATTR_ADDR | ATTR_BUF,
		.addr = addr, .buf = buf };

	return newer_ibv_reg_mr_ex(pd, &a);
}

/* ----------------------------------------------- 1.18: the same as dma-buf, counters */

EXPORTED(int, ibv_export_buf_dmabuf_fd, struct newer_buf *buf);
int newer_ibv_export_buf_dmabuf_fd(struct newer_buf *buf)
{
	(void)buf;
	errno = ENODATA; /* it is plain memory */
	return -1;
}

EXPORTED(int, _ibv_query_comp_cntr_caps, struct ibv_context *context, void *caps, size_t caps_size);
int newer__ibv_query_comp_cntr_caps(struct ibv_context *context, void *caps, size_t caps_size)
{
	(void)context, (void)caps, (void)caps_size;
	return refuse(EOPNOTSUPP);
}

EXPORTED(void *, ibv_create_comp_cntr, struct ibv_context *context, void *attr);
void *newer_ibv_create_comp_cntr(struct ibv_context *context, void *attr)
{
	(void)context, (void)attr;
	return fail(NULL, -EOPNOTSUPP);
}

/* Those that take a counter: none was ever created. */
#define OF_COUNTER(name, ...) \
	EXPORTED(int, name, void *cntr, ##__VA_ARGS__); \
	int newer_##name(void *cntr, ##__VA_ARGS__)

OF_COUNTER(ibv_destroy_comp_cntr)
{
	(void)cntr;
	return refuse(EOPNOTSUPP);
}

OF_COUNTER(ibv_set_comp_cntr, uint64_t value)
{
	(void)cntr, (void)value;
	return refuse(EOPNOTSUPP);
}

OF_COUNTER(ibv_set_err_comp_cntr, uint64_t value)
{
	(void)cntr, (void)value;
	return refuse(EOPNOTSUPP);
}

OF_COUNTER(ibv_inc_comp_cntr, uint64_t amount)
{
	(void)cntr, (void)amount;
	return refuse(EOPNOTSUPP);
}

OF_COUNTER(ibv_inc_err_comp_cntr, uint64_t amount)
{
	(void)cntr, (void)amount;
	return refuse(EOPNOTSUPP);
}

OF_COUNTER(ibv_read_comp_cntr, uint64_t *value)
{
	(void)cntr, (void)value;
	return refuse(EOPNOTSUPP);
}

OF_COUNTER(ibv_read_err_comp_cntr, uint64_t *value)
{
	(void)cntr, (void)value;
	return refuse(EOPNOTSUPP);
}

EXPORTED(int, ibv_qp_attach_comp_cntr, struct ibv_qp *qp, void *cntr, void *attr);
int newer_ibv_qp_attach_comp_cntr(struct ibv_qp *qp, void *cntr, void *attr)
{
	(void)qp, (void)cntr, (void)attr;
	return refuse(EOPNOTSUPP);
}

/* ----------------------------------------------------------------------- words */

EXPORTED(const char *, ibv_wr_opcode_str, unsigned int opcode);
const char *newer_ibv_wr_opcode_str(unsigned int opcode)
{
	static const char *const words[] = {
		"rdma-write", "rdma-write-with-imm", "send", "send-with-imm", "rdma-read", "atomic-cmp-and-swp",
		"atomic-fetch-and-add", "local-inv", "bind-mw", "send-with-inv", "tso", "driver1",
		[14] = "flush", "atomic-write",
	};

	return opcode < sizeof(words) / sizeof(words[0]) && words[opcode] != NULL ? words[opcode] : "unknown";
}
