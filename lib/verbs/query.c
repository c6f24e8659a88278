/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the device and its port are like, in the words of verbs.
 *
 * Invariant: an answer is never longer than what the caller has room for; programs are
 * older and newer than this file.
 */
#include <arpa/inet.h>
#include <string.h>

#include "control.h"

#define PKEY 0xffff /* the only one: full member of the default partition */
#define PHYS_DISABLED 3
#define PHYS_LINK_UP 5

uint32_t mtu_to_bytes(enum ibv_mtu mtu)
{
	return mtu >= IBV_MTU_256 && mtu <= IBV_MTU_4096 ? 128u << mtu : 0;
}

enum ibv_mtu bytes_to_mtu(uint32_t bytes)
{
	enum ibv_mtu mtu = IBV_MTU_256;

	while (mtu < IBV_MTU_4096 && mtu_to_bytes(mtu) < bytes)
		mtu++;
	return mtu;
}

/* -------------------------------------------------------------------- device */

static void fill_device(const struct vctx *ctx, struct ibv_device_attr *a)
{
	const struct phca_admin_device *d = &ctx->caps;

	memset(a, 0, sizeof(*a));
	memcpy(a->fw_ver, d->fw_ver, sizeof(d->fw_ver));
	a->node_guid = a->sys_image_guid = ctx->dev->guid;
	a->max_mr_size = d->max_mr_size;
	a->page_size_cap = ~UINT64_C(4095);
	a->vendor_id = d->vendor_id;
	a->vendor_part_id = d->vendor_part_id;
	a->hw_ver = d->hw_ver;
	a->max_qp = (int)d->max_qp;
	a->max_qp_wr = (int)d->max_qp_wr;
	a->device_cap_flags = IBV_DEVICE_CURR_QP_STATE_MOD | IBV_DEVICE_SYS_IMAGE_GUID |
		IBV_DEVICE_RC_RNR_NAK_GEN | IBV_DEVICE_PORT_ACTIVE_EVENT;
	if (d->max_mw != 0)
		a->device_cap_flags |= IBV_DEVICE_MEM_WINDOW | IBV_DEVICE_MEM_WINDOW_TYPE_2B |
			IBV_DEVICE_MEM_MGT_EXTENSIONS;
	a->max_sge = a->max_sge_rd = (int)d->max_sge;
	a->max_cq = (int)d->max_cq;
	a->max_cqe = (int)d->max_cqe;
	a->max_mr = (int)d->max_mr;
	a->max_pd = (int)d->max_pd;
	a->max_qp_rd_atom = a->max_qp_init_rd_atom = (int)d->max_rd_atomic;
	a->max_res_rd_atom = (int)(d->max_rd_atomic * d->max_qp);
	a->atomic_cap = IBV_ATOMIC_GLOB; /* the CPU's instructions, in memory that both map */
	a->max_mw = (int)d->max_mw;
	a->max_mcast_grp = (int)d->max_mcast_grp;
	a->max_mcast_qp_attach = (int)d->max_mcast_qp_attach;
	a->max_total_mcast_qp_attach = (int)(d->max_mcast_grp * d->max_mcast_qp_attach);
	a->max_ah = (int)d->max_qp;
	a->max_srq = (int)d->max_srq;
	a->max_srq_wr = (int)d->max_srq_wr;
	a->max_srq_sge = (int)d->max_srq_sge;
	a->max_pkeys = 1;
	a->local_ca_ack_delay = 15; /* 4.096 us << 15 = 134 ms */
	a->phys_port_cnt = 1;
}

int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attr)
{
	struct vctx *ctx = to_vctx(context);

	if (vctx_dead(ctx))
		return EIO;
	fill_device(ctx, attr);
	return 0;
}

int verbs_query_device_ex(struct ibv_context *c, const struct ibv_query_device_ex_input *in,
	struct ibv_device_attr_ex *attr, size_t len)
{
	struct vctx *ctx = to_vctx(c);
	struct ibv_device_attr_ex a = { .comp_mask = 0 };

	if (in != NULL && in->comp_mask != 0)
		return EINVAL;
	if (len < offsetof(struct ibv_device_attr_ex, comp_mask) + sizeof(a.comp_mask))
		return EINVAL;
	if (vctx_dead(ctx))
		return EIO;
	fill_device(ctx, &a.orig_attr);
	a.completion_timestamp_mask = UINT64_MAX;
	a.hca_core_clock = 1000000; /* kHz: timestamps are nanoseconds */
	a.device_cap_flags_ex = a.orig_attr.device_cap_flags;
	a.phys_port_cnt_ex = 1;
	memset(attr, 0, len);
	memcpy(attr, &a, len < sizeof(a) ? len : sizeof(a));
	return 0;
}

/* The clock of completion timestamps, as other providers give it: its count in tv_nsec. */
int verbs_query_rt_values(struct ibv_context *c, struct ibv_values_ex *values)
{
	struct phca_admin_req req;
	struct phca_admin_ans ans;
	uint32_t got = 0;
	int rc;

	if (values->comp_mask & IBV_VALUES_MASK_RAW_CLOCK) {
		admin_req(&req, PHCA_ADMIN_CLOCK);
		rc = admin_call(to_vctx(c), &req, &ans);
		if (rc != 0)
			return -rc;
		values->raw_clock.tv_sec = 0;
		values->raw_clock.tv_nsec = (long)ans.u.now_ns;
		got |= IBV_VALUES_MASK_RAW_CLOCK;
	}
	values->comp_mask = got;
	return 0;
}

/* ---------------------------------------------------------------------- port */

/* Rates of Ethernet in InfiniBand's words; the first one that is as fast. */
static const struct speed {
	uint64_t bps;
	uint8_t width; /* 1, 2, 8: 1X, 4X, 8X; 16: 2X */
	uint8_t speed; /* 1 SDR 2.5 Gb/s, 2 DDR, 4 QDR, 8 FDR10, 16 FDR, 32 EDR, 64 HDR, 128 NDR */
} speeds[] = {
	{ UINT64_C(1000000000), 1, 1 },
	{ UINT64_C(5000000000), 1, 2 },
	{ UINT64_C(10000000000), 1, 8 },
	{ UINT64_C(25000000000), 1, 32 },
	{ UINT64_C(40000000000), 2, 8 },
	{ UINT64_C(50000000000), 1, 64 },
	{ UINT64_C(100000000000), 2, 32 },
	{ UINT64_C(200000000000), 2, 64 },
	{ UINT64_C(400000000000), 2, 128 },
};
#define NB_SPEEDS (sizeof(speeds) / sizeof(speeds[0]))

#define UNKNOWN_BPS UINT64_C(10000000000) /* virtual: 10 Gb/s */

static uint64_t port_bps(const struct phca_admin_port *p)
{
	return p->speed_bps != 0 ? p->speed_bps : UNKNOWN_BPS;
}

static void fill_port(const struct phca_admin_port *p, struct ibv_port_attr *a)
{
	unsigned int i = 0;

	memset(a, 0, sizeof(*a));
	a->state = (enum ibv_port_state)p->state;
	a->max_mtu = bytes_to_mtu(p->max_mtu);
	a->active_mtu = bytes_to_mtu(p->active_mtu);
	a->gid_tbl_len = p->gid_tbl_len < PHCA_ADMIN_GIDS_MAX ? (int)p->gid_tbl_len
		: PHCA_ADMIN_GIDS_MAX;
	a->port_cap_flags = IBV_PORT_CM_SUP | IBV_PORT_IP_BASED_GIDS;
	a->max_msg_sz = p->max_msg_sz;
	a->pkey_tbl_len = 1;
	a->max_vl_num = 1;
	while (i < NB_SPEEDS - 1 && speeds[i].bps < port_bps(p))
		i++;
	a->active_width = speeds[i].width;
	a->active_speed = speeds[i].speed;
	a->phys_state = p->state == IBV_PORT_ACTIVE ? PHYS_LINK_UP : PHYS_DISABLED;
	a->link_layer = IBV_LINK_LAYER_ETHERNET;
}

/* @return 0 or positive errno */
static int ask_port(struct ibv_context *c, uint32_t port, struct phca_admin_port *p)
{
	struct phca_admin_req req;
	struct phca_admin_ans ans;
	int rc;

	if (port != 1)
		return EINVAL;
	admin_req(&req, PHCA_ADMIN_PORT_QUERY);
	rc = admin_call(to_vctx(c), &req, &ans);
	if (rc == 0)
		*p = ans.u.port;
	return -rc;
}

int verbs_port_bps(struct ibv_context *c, uint32_t port, uint64_t *bps)
{
	struct phca_admin_port p;
	int rc = ask_port(c, port, &p);

	if (rc == 0)
		*bps = port_bps(&p);
	return rc;
}

int verbs_query_port(struct ibv_context *c, uint8_t port, struct ibv_port_attr *attr, size_t len)
{
	struct phca_admin_port p;
	struct ibv_port_attr a;
	int rc = ask_port(c, port, &p);

	if (rc != 0)
		return rc;
	fill_port(&p, &a);
	memset(attr, 0, len);
	memcpy(attr, &a, len < sizeof(a) ? len : sizeof(a));
	return 0;
}

/* The symbol is of programs whose struct ends with link_layer. */
int ibv_query_port(struct ibv_context *context, uint8_t port_num, struct _compat_ibv_port_attr *attr)
{
	struct phca_admin_port p;
	struct ibv_port_attr a;
	int rc = ask_port(context, port_num, &p);

	if (rc != 0)
		return rc;
	fill_port(&p, &a);
	memcpy(attr, &a, offsetof(struct ibv_port_attr, flags));
	return 0;
}

int ibv_query_pkey(struct ibv_context *context, uint8_t port_num, int index, __be16 *pkey)
{
	(void)context;
	if (port_num != 1 || index != 0) {
		errno = EINVAL;
		return -1;
	}
	*pkey = htons(PKEY);
	return 0;
}

int ibv_get_pkey_index(struct ibv_context *context, uint8_t port_num, __be16 pkey)
{
	__be16 have;

	if (ibv_query_pkey(context, port_num, 0, &have) != 0)
		return -1;
	if (have == pkey)
		return 0;
	errno = EINVAL;
	return -1;
}
