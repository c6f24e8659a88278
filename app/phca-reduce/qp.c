/* SPDX-License-Identifier: BSD-3-Clause */
/* Verbs as any program uses them: a device, one CQ, one memory region, RC queue pairs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define GIDS_MAX 64

static void must(bool ok, const char *what)
{
	if (!ok)
		fail("%s: %s", what, strerror(errno));
}

/* Without --gid the last address that is not link-local: of IPv4, if there is one. */
static void gid_choose(struct device *d, const struct options *o)
{
	static const union ibv_gid none;
	int found = -1, last = o->gid_index >= 0 ? o->gid_index : GIDS_MAX - 1;

	for (int i = o->gid_index >= 0 ? o->gid_index : 0; i <= last; i++) {
		union ibv_gid g;

		if (ibv_query_gid(d->ctx, 1, i, &g) != 0)
			continue;
		if (o->gid_index < 0 && (g.raw[0] == 0xfe || memcmp(&g, &none, sizeof(g)) == 0))
			continue;
		if (found >= 0 && d->gid.global.subnet_prefix == 0 && g.global.subnet_prefix != 0)
			continue;
		d->gid = g;
		found = i;
	}
	if (found < 0)
		fail("%s has no GID to use; name one with --gid", ibv_get_device_name(d->ctx->device));
	d->gid_index = found;
}

void device_open(struct device *d, const struct options *o)
{
	struct ibv_port_attr attr;
	struct ibv_device **list;
	int n = 0;

	memset(d, 0, sizeof(*d));
	list = ibv_get_device_list(&n);
	for (int i = 0; list != NULL && i < n && d->ctx == NULL; i++)
		if (o->device == NULL || strcmp(o->device, ibv_get_device_name(list[i])) == 0)
			d->ctx = ibv_open_device(list[i]);
	if (list != NULL)
		ibv_free_device_list(list);
	if (d->ctx == NULL)
		fail("no RDMA device %s; ibv_devices lists them", o->device != NULL ? o->device : "");
	errno = ibv_query_port(d->ctx, 1, &attr);
	must(errno == 0, "ibv_query_port");
	d->mtu = attr.active_mtu;
	gid_choose(d, o);
	d->pd = ibv_alloc_pd(d->ctx);
	must(d->pd != NULL, "ibv_alloc_pd");
}

void device_memory(struct device *d, int nb_cqe, size_t bytes)
{
	d->cq = ibv_create_cq(d->ctx, nb_cqe, NULL, NULL, 0);
	must(d->cq != NULL, "ibv_create_cq");
	d->buf = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095);
	must(d->buf != NULL, "memory");
	memset(d->buf, 0, bytes);
	d->mr = ibv_reg_mr(d->pd, d->buf, bytes, IBV_ACCESS_LOCAL_WRITE);
	must(d->mr != NULL, "ibv_reg_mr");
}

struct ibv_qp *qp_make(struct device *d, uint32_t nb_send, uint32_t nb_recv)
{
	struct ibv_qp_init_attr a = { .qp_type = IBV_QPT_RC, .send_cq = d->cq, .recv_cq = d->cq, .sq_sig_all = 1,
		.cap = { .max_send_wr = nb_send, .max_recv_wr = nb_recv, .max_send_sge = 1, .max_recv_sge = 1 } };
	struct ibv_qp_attr init = { .qp_state = IBV_QPS_INIT, .port_num = 1 };
	struct ibv_qp *qp = ibv_create_qp(d->pd, &a);

	must(qp != NULL, "ibv_create_qp");
	errno = ibv_modify_qp(qp, &init, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	must(errno == 0, "ibv_modify_qp to INIT");
	return qp;
}

void qp_connect(const struct device *d, struct ibv_qp *qp, const struct hello *mine, const struct hello *peer)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_RTR, .dest_qp_num = peer->qpn, .rq_psn = peer->psn,
		.path_mtu = peer->mtu < mine->mtu ? (enum ibv_mtu)peer->mtu : (enum ibv_mtu)mine->mtu,
		.max_dest_rd_atomic = 1, .min_rnr_timer = 1,
		.ah_attr = { .is_global = 1, .port_num = 1,
			.grh = { .dgid = peer->gid, .sgid_index = (uint8_t)d->gid_index, .hop_limit = 64 } } };

	errno = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
		IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	must(errno == 0, "ibv_modify_qp to RTR");
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTS, .sq_psn = mine->psn, .timeout = 14, .retry_cnt = 7,
		.rnr_retry = 7, .max_rd_atomic = 1 };
	errno = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
		IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
	must(errno == 0, "ibv_modify_qp to RTS");
}

void qp_recv(const struct device *d, struct ibv_qp *qp, uint64_t id, void *to, size_t len)
{
	struct ibv_sge s = { (uintptr_t)to, (uint32_t)len, d->mr->lkey };
	struct ibv_recv_wr w = { .wr_id = id, .sg_list = &s, .num_sge = 1 }, *bad;

	errno = ibv_post_recv(qp, &w, &bad);
	must(errno == 0, "ibv_post_recv");
}

void qp_send(const struct device *d, struct ibv_qp *qp, uint64_t id, const void *from, size_t len)
{
	struct ibv_sge s = { (uintptr_t)from, (uint32_t)len, d->mr->lkey };
	struct ibv_send_wr w = { .wr_id = id, .sg_list = &s, .num_sge = 1, .opcode = IBV_WR_SEND }, *bad;

	errno = ibv_post_send(qp, &w, &bad);
	must(errno == 0, "ibv_post_send");
}

int cq_poll(const struct device *d, struct ibv_wc *wc, int n)
{
	int got = ibv_poll_cq(d->cq, n, wc);

	must(got >= 0, "ibv_poll_cq");
	for (int i = 0; i < got; i++)
		if (wc[i].status != IBV_WC_SUCCESS)
			fail("QP 0x%x: %s (status %d)", wc[i].qp_num, ibv_wc_status_str(wc[i].status), wc[i].status);
	return got;
}

void device_close(struct device *d, struct ibv_qp **qps, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		errno = ibv_destroy_qp(qps[i]);
		must(errno == 0, "ibv_destroy_qp");
	}
	errno = ibv_dereg_mr(d->mr);
	must(errno == 0, "ibv_dereg_mr");
	errno = ibv_destroy_cq(d->cq);
	must(errno == 0, "ibv_destroy_cq");
	errno = ibv_dealloc_pd(d->pd);
	must(errno == 0, "ibv_dealloc_pd");
	errno = ibv_close_device(d->ctx);
	must(errno == 0, "ibv_close_device");
	free(d->buf);
}
