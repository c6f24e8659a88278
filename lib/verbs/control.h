/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files with control verbs offer each other: operations that the context's
 * table points to, and conversions.
 */
#ifndef VERBS_CONTROL_H
#define VERBS_CONTROL_H

#include <errno.h>
#include <stdlib.h>

#include "verbs_impl.h"

/* Symbols of libibverbs, for which verbs.h has macros or inline functions of that name. */
#undef ibv_get_device_list
#undef ibv_query_port
#undef ibv_reg_mr
#undef ibv_reg_mr_iova

/* device.c: a device that was found before. @return NULL: none has this name */
struct vdev *vdev_by_name(const char *name, size_t len);

/* query.c */
int verbs_query_port(struct ibv_context *c, uint8_t port, struct ibv_port_attr *attr, size_t len);
int verbs_query_device_ex(struct ibv_context *c, const struct ibv_query_device_ex_input *in,
	struct ibv_device_attr_ex *attr, size_t len);
int verbs_query_rt_values(struct ibv_context *c, struct ibv_values_ex *values);
/* Of the port's link, in bits per second. @return 0 or positive errno */
int verbs_port_bps(struct ibv_context *c, uint32_t port, uint64_t *bps);
uint32_t mtu_to_bytes(enum ibv_mtu mtu); /* 0: no such */
enum ibv_mtu bytes_to_mtu(uint32_t bytes);

/* cq.c, qp.c, srq.c */
struct ibv_cq_ex *verbs_create_cq_ex(struct ibv_context *c, struct ibv_cq_init_attr_ex *attr);
struct ibv_qp *verbs_create_qp_ex(struct ibv_context *c, struct ibv_qp_init_attr_ex *attr);
struct ibv_srq *verbs_create_srq_ex(struct ibv_context *c, struct ibv_srq_init_attr_ex *attr);
int verbs_get_srq_num(struct ibv_srq *srq, uint32_t *num);
int verbs_close_xrcd(struct ibv_xrcd *xrcd);

/* qp.c: the locks of both CQs, in their order. Under vctx.objs_lock. */
void vqp_lock_cqs(struct vqp *qp);
void vqp_unlock_cqs(struct vqp *qp);

/* mw.c */
struct ibv_mw *verbs_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type);
int verbs_dealloc_mw(struct ibv_mw *mw);

/*
 * ah.c: an address of verbs as the HCA takes it, without MAC.
 * @return 0; EINVAL: no GRH, another port, a GID index that does not fit
 */
int av_from_attr(const struct ibv_ah_attr *attr, struct phca_av *av);
void av_to_attr(const struct phca_av *av, struct ibv_ah_attr *attr);
/* Wait until the appliance knows the MAC of av's destination, 3 s at most. @return 0 or negative errno */
int av_resolve(struct vctx *ctx, const struct phca_av *av, uint8_t mac[6]);

/* Free memory and set errno. @return NULL */
static inline void *fail(void *obj, int neg_errno)
{
	free(obj);
	errno = -neg_errno;
	return NULL;
}

#endif
