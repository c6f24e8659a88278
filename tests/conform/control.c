/* SPDX-License-Identifier: BSD-3-Clause */
/* Cases of control verbs: what is answered, what is refused and how, what cannot be destroyed. */
#include "conform.h"

/* -------------------------------------------------------------------- queries */

static void query_device(void)
{
	struct ibv_device_attr_ex ex;

	CHECK(dev.phys_port_cnt == 1 && dev.max_qp > 0 && dev.max_qp_wr > 0 && dev.max_sge > 0);
	CHECK(dev.max_cq > 0 && dev.max_cqe > 0 && dev.max_mr > 0 && dev.max_pd > 0 && dev.max_ah > 0);
	CHECK(dev.max_srq > 0 && dev.max_srq_wr > 0 && dev.max_srq_sge > 0 && dev.max_mr_size > 0);
	CHECK(dev.max_qp_rd_atom > 0 && dev.max_qp_init_rd_atom > 0 && dev.max_pkeys == 1);
	CHECK(dev.node_guid != 0 && dev.node_guid == ibv_get_device_guid(ctx->device) && dev.fw_ver[0] != '\0');
	CHECK(dev.page_size_cap & 4096);
	CHECK(ibv_query_device_ex(ctx, NULL, &ex) == 0);
	CHECK(memcmp(&ex.orig_attr, &dev, sizeof(dev)) == 0);
	CHECK(ex.completion_timestamp_mask != 0 && ex.hca_core_clock != 0);
}

static void query_port(void)
{
	struct ibv_port_attr a;

	memset(&a, 0xff, sizeof(a));
	CHECK(ibv_query_port(ctx, 1, &a) == 0);
	CHECK(a.state == IBV_PORT_ACTIVE && a.phys_state == 5 && a.link_layer == IBV_LINK_LAYER_ETHERNET);
	CHECK(a.max_mtu >= a.active_mtu && a.active_mtu >= IBV_MTU_1024 && a.max_msg_sz >= 1u << 30);
	CHECK(a.gid_tbl_len > gid_index && a.pkey_tbl_len == 1 && a.lid == 0 && a.flags == 0);
	CHECK(ibv_query_port(ctx, 0, &a) == EINVAL);
	CHECK(ibv_query_port(ctx, 2, &a) == EINVAL);
}

static void query_tables(void)
{
	struct ibv_gid_entry e[64];
	struct ibv_port_attr a;
	union ibv_gid g;
	__be16 pkey;
	ssize_t n;

	CHECK(ibv_query_port(ctx, 1, &a) == 0);
	CHECK(ibv_query_gid(ctx, 1, a.gid_tbl_len, &g) == -1);
	CHECK(ibv_query_gid(ctx, 2, 0, &g) == -1);
	CHECK(ibv_query_gid(ctx, 1, -1, &g) == -1);
	CHECK(ibv_query_gid_ex(ctx, 1, (uint32_t)gid_index, e, 0) == 0);
	CHECK(memcmp(&e[0].gid, &gid, sizeof(gid)) == 0 && e[0].gid_type == IBV_GID_TYPE_ROCE_V2);
	CHECK(e[0].gid_index == (uint32_t)gid_index && e[0].port_num == 1);
	CHECK(ibv_query_gid_ex(ctx, 1, (uint32_t)a.gid_tbl_len, e, 0) == EINVAL);
	n = ibv_query_gid_table(ctx, e, 64, 0);
	CHECK(n > 0 && n <= a.gid_tbl_len);
	CHECK(ibv_query_gid_table(ctx, e, (size_t)n - 1, 0) == -EINVAL);
	CHECK(ibv_query_pkey(ctx, 1, 0, &pkey) == 0 && pkey == 0xffff && ibv_get_pkey_index(ctx, 1, pkey) == 0);
	CHECK(ibv_query_pkey(ctx, 1, 1, &pkey) == -1 && ibv_get_pkey_index(ctx, 1, 0x1234) == -1);
}

/* ----------------------------------------------------- what is in use stays */

static void busy(void)
{
	union ibv_gid mgid = { .raw = { 0xff, 0x0e, [15] = 0x77 } };
	struct pair_opts o = { .srq = true, .channel = true };
	struct pair p;

	CHECK(pair_make(&p, IBV_QPT_RC, &o));
	CHECK(ibv_dealloc_pd(p.pd[0]) == EBUSY);
	CHECK(ibv_destroy_cq(p.cq[0]) == EBUSY && ibv_destroy_cq(p.cq[1]) == EBUSY);
	CHECK(ibv_destroy_srq(p.srq) == EBUSY);
	CHECK(ibv_destroy_comp_channel(p.ch) == EBUSY);
	CHECK(works(&p, 0, 100)); /* nothing was lost */
	CHECK(pair_free(&p));
	CHECK(pair_make(&p, IBV_QPT_UD, NULL));
	CHECK(ibv_attach_mcast(p.qp[1], &mgid, 0) == 0);
	CHECK(ibv_detach_mcast(p.qp[1], &mgid, 0) == 0);
	CHECK(ibv_detach_mcast(p.qp[1], &mgid, 0) == EINVAL);
	CHECK(pair_free(&p));
}

/* --------------------------------------------------------- limits, arguments */

static struct ibv_qp *try_qp(struct ibv_pd *pd, struct ibv_cq *cq, struct ibv_qp_cap cap)
{
	struct ibv_qp_init_attr a = { .send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC, .cap = cap };
	struct ibv_qp *qp;

	errno = 0;
	qp = ibv_create_qp(pd, &a);
	if (qp != NULL && (a.cap.max_send_wr < cap.max_send_wr || a.cap.max_recv_wr < cap.max_recv_wr ||
			a.cap.max_send_sge < cap.max_send_sge || a.cap.max_recv_sge < cap.max_recv_sge ||
			a.cap.max_inline_data < cap.max_inline_data)) {
		ibv_destroy_qp(qp);
		return NULL;
	}
	return qp;
}

static void limits(void)
{
	uint32_t wr = (uint32_t)dev.max_qp_wr, sge = (uint32_t)dev.max_sge;
	struct ibv_cq *cq = ibv_create_cq(ctx, dev.max_cqe, NULL, NULL, 0);
	struct ibv_pd *pd = ibv_alloc_pd(ctx);
	struct ibv_qp *qp;

	CHECK(pd != NULL && cq != NULL && cq->cqe >= dev.max_cqe);
	CHECK(ibv_create_cq(ctx, dev.max_cqe + 1, NULL, NULL, 0) == NULL && errno == EINVAL);
	CHECK(ibv_create_cq(ctx, 0, NULL, NULL, 0) == NULL && errno == EINVAL);
	CHECK(ibv_create_cq(ctx, 1, NULL, NULL, ctx->num_comp_vectors) == NULL && errno == EINVAL);
	qp = try_qp(pd, cq, (struct ibv_qp_cap){ wr, wr, sge, sge, 0 });
	CHECK(qp != NULL && ibv_destroy_qp(qp) == 0);
	CHECK(try_qp(pd, cq, (struct ibv_qp_cap){ wr + 1, 1, 1, 1, 0 }) == NULL && errno == EINVAL);
	CHECK(try_qp(pd, cq, (struct ibv_qp_cap){ 1, wr + 1, 1, 1, 0 }) == NULL && errno == EINVAL);
	CHECK(try_qp(pd, cq, (struct ibv_qp_cap){ 1, 1, sge + 1, 1, 0 }) == NULL && errno == EINVAL);
	CHECK(try_qp(pd, cq, (struct ibv_qp_cap){ 1, 1, 1, sge + 1, 0 }) == NULL && errno == EINVAL);
	CHECK(try_qp(pd, cq, (struct ibv_qp_cap){ 1, 1, 1, 1, 1 << 20 }) == NULL && errno == EINVAL);
	qp = try_qp(pd, cq, (struct ibv_qp_cap){ 0, 0, 0, 0, 0 }); /* some send only, or not at all */
	CHECK(qp != NULL && ibv_destroy_qp(qp) == 0);
	CHECK(ibv_destroy_cq(cq) == 0 && ibv_dealloc_pd(pd) == 0);
}

static void regions(void)
{
	struct ibv_pd *pd = ibv_alloc_pd(ctx);
	static uint8_t mem[10000];
	struct ibv_mr *mr;

	CHECK(ibv_reg_mr(pd, mem, sizeof(mem), IBV_ACCESS_REMOTE_WRITE) == NULL && errno == EINVAL);
	CHECK(ibv_reg_mr(pd, mem, sizeof(mem), IBV_ACCESS_REMOTE_ATOMIC) == NULL && errno == EINVAL);
	CHECK(ibv_reg_mr(pd, mem, 0, IBV_ACCESS_LOCAL_WRITE) == NULL && errno == EINVAL);
	CHECK(ibv_reg_mr(pd, (void *)4096, 100, IBV_ACCESS_LOCAL_WRITE) == NULL && errno == EFAULT);
	CHECK(ibv_reg_mr(pd, (void *)(uintptr_t)"constant", 4, IBV_ACCESS_LOCAL_WRITE) == NULL && errno == EFAULT);
	mr = ibv_reg_mr(pd, (void *)(uintptr_t)"constant", 4, IBV_ACCESS_REMOTE_READ);
	CHECK(mr != NULL && ibv_dereg_mr(mr) == 0);
	mr = ibv_reg_mr(pd, mem + 1, 9, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_RELAXED_ORDERING);
	CHECK(mr != NULL && mr->addr == mem + 1 && mr->length == 9 && mr->pd == pd && mr->context == ctx);
	CHECK(ibv_rereg_mr(mr, 1 << 20, pd, mem, 1, 0) == IBV_REREG_MR_ERR_INPUT);
	CHECK(ibv_dereg_mr(mr) == 0 && ibv_dealloc_pd(pd) == 0);
}

/* ---------------------------------------------------------------- states */

static void modify_refuses(void)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1 };
	struct ibv_qp_init_attr ia;
	struct ibv_cq *cq = ibv_create_cq(ctx, 10, NULL, NULL, 0);
	struct ibv_pd *pd = ibv_alloc_pd(ctx);
	struct ibv_qp *qp = try_qp(pd, cq, (struct ibv_qp_cap){ 1, 1, 1, 1, 0 });
	const int init = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS;

	CHECK(qp != NULL && qp->state == IBV_QPS_RESET);
	CHECK(!to_rts(qp) && !to_state(qp, IBV_QPS_RTR) && qp->state == IBV_QPS_RESET);
	CHECK(ibv_modify_qp(qp, &a, init & ~IBV_QP_PORT) == EINVAL);
	CHECK(ibv_modify_qp(qp, &a, init & ~IBV_QP_PKEY_INDEX) == EINVAL);
	CHECK(ibv_modify_qp(qp, &a, init & ~IBV_QP_ACCESS_FLAGS) == EINVAL);
	CHECK(ibv_modify_qp(qp, &a, init | IBV_QP_QKEY) == EINVAL); /* not of RC */
	a.port_num = 2;
	CHECK(ibv_modify_qp(qp, &a, init) == EINVAL);
	a.port_num = 1;
	a.pkey_index = 1;
	CHECK(ibv_modify_qp(qp, &a, init) == EINVAL);
	a.pkey_index = 0;
	a.cur_qp_state = IBV_QPS_RTS;
	CHECK(ibv_modify_qp(qp, &a, init | IBV_QP_CUR_STATE) == EINVAL);
	CHECK(ibv_query_qp(qp, &a, IBV_QP_STATE, &ia) == 0 && a.qp_state == IBV_QPS_RESET);
	CHECK(to_init(qp) && qp->state == IBV_QPS_INIT && !to_rts(qp) && to_init(qp));
	CHECK(to_rtr(qp, 0x123) && !to_init(qp) && qp->state == IBV_QPS_RTR && to_rts(qp));
	CHECK(to_state(qp, IBV_QPS_ERR) && !to_rts(qp) && to_state(qp, IBV_QPS_RESET) && to_init(qp));
	CHECK(ibv_destroy_qp(qp) == 0 && ibv_destroy_cq(cq) == 0 && ibv_dealloc_pd(pd) == 0);
}

static void query_qp(void)
{
	struct pair_opts o = { .srq = true };
	struct ibv_qp_init_attr ia;
	struct ibv_qp_attr a;
	struct pair p;

	CHECK(pair_make(&p, IBV_QPT_RC, &o));
	memset(&a, 0xff, sizeof(a));
	memset(&ia, 0xff, sizeof(ia));
	CHECK(ibv_query_qp(p.qp[1], &a, IBV_QP_STATE, &ia) == 0);
	CHECK(a.qp_state == IBV_QPS_RTS && a.cur_qp_state == IBV_QPS_RTS && a.path_mtu == IBV_MTU_1024);
	CHECK(a.dest_qp_num == p.qp[0]->qp_num && a.rq_psn == 5 && a.sq_psn == 5 && a.port_num == 1);
	CHECK(a.timeout == 14 && a.retry_cnt == 7 && a.rnr_retry == 7 && a.min_rnr_timer == 1);
	CHECK(a.max_rd_atomic == 4 && a.max_dest_rd_atomic == 4 && a.pkey_index == 0 && !a.sq_draining);
	CHECK((a.qp_access_flags & IBV_ACCESS_REMOTE_READ) && a.ah_attr.is_global && a.ah_attr.port_num == 1);
	CHECK(memcmp(&a.ah_attr.grh.dgid, &gid, sizeof(gid)) == 0 && a.ah_attr.grh.sgid_index == gid_index);
	CHECK(ia.send_cq == p.cq[1] && ia.recv_cq == p.cq[1] && ia.srq == p.srq && ia.qp_type == IBV_QPT_RC);
	CHECK(ia.cap.max_send_wr >= 16 && ia.cap.max_send_sge >= 2 && a.cap.max_send_wr == ia.cap.max_send_wr);
	CHECK(pair_free(&p));
}

static void addresses(void)
{
	struct ibv_ah_attr a = { .port_num = 1, .grh = { .dgid = gid, .sgid_index = (uint8_t)gid_index } };
	struct ibv_pd *pd = ibv_alloc_pd(ctx);
	struct ibv_ah *ah;

	CHECK(ibv_create_ah(pd, &a) == NULL && errno == EINVAL); /* RoCE needs a GRH */
	a.is_global = 1;
	a.grh.sgid_index = 200;
	CHECK(ibv_create_ah(pd, &a) == NULL && errno == EINVAL);
	a.grh.sgid_index = (uint8_t)gid_index;
	a.port_num = 2;
	CHECK(ibv_create_ah(pd, &a) == NULL && errno == EINVAL);
	a.port_num = 1;
	ah = ibv_create_ah(pd, &a);
	CHECK(ah != NULL && ah->pd == pd && ah->context == ctx);
	CHECK(ibv_destroy_ah(ah) == 0 && ibv_dealloc_pd(pd) == 0);
}

static void ece(void)
{
	struct ibv_ece e = { .vendor_id = 0x15b3, .options = 1 };
	struct pair p;

	CHECK(pair_make(&p, IBV_QPT_RC, NULL));
	CHECK(ibv_set_ece(p.qp[0], &e) == EOPNOTSUPP);
	CHECK(ibv_query_ece(p.qp[0], &e) == 0 && e.vendor_id == 0 && e.options == 0 && e.comp_mask == 0);
	CHECK(pair_free(&p));
}

static void srq_arguments(void)
{
	struct ibv_srq_init_attr ia = { .attr = { .max_wr = 10, .max_sge = 1 } };
	struct ibv_pd *pd = ibv_alloc_pd(ctx);
	struct ibv_srq *srq = ibv_create_srq(pd, &ia);
	struct ibv_srq_attr a = { .srq_limit = 3 };

	CHECK(srq != NULL && ia.attr.max_wr >= 10 && ia.attr.max_sge >= 1);
	CHECK(ibv_modify_srq(srq, &a, IBV_SRQ_LIMIT) == 0);
	CHECK(ibv_query_srq(srq, &a) == 0 && a.max_wr == ia.attr.max_wr && a.srq_limit == 3);
	a.srq_limit = a.max_wr + 1;
	CHECK(ibv_modify_srq(srq, &a, IBV_SRQ_LIMIT) == EINVAL);
	CHECK(ibv_modify_srq(srq, &a, IBV_SRQ_MAX_WR) != 0); /* IBV_DEVICE_SRQ_RESIZE is not there */
	ia.attr.max_wr = (uint32_t)dev.max_srq_wr + 1;
	CHECK(ibv_create_srq(pd, &ia) == NULL && errno == EINVAL);
	CHECK(ibv_destroy_srq(srq) == 0 && ibv_dealloc_pd(pd) == 0);
}

const struct conform_case control_cases[] = {
	CASE(query_device), CASE(query_port), CASE(query_tables), CASE(busy), CASE(limits), CASE(regions),
	CASE(modify_refuses), CASE(query_qp), CASE(addresses), CASE(ece), CASE(srq_arguments), { NULL, NULL },
};
