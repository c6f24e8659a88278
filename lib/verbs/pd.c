/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protection domains, and multicast membership of queue pairs: what is nothing but a
 * request to the appliance.
 */
#include <string.h>

#include "control.h"

struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	struct vpd *pd = calloc(1, sizeof(*pd));
	struct phca_admin_req req;
	struct phca_admin_ans ans;
	int rc;

	if (pd == NULL)
		return fail(pd, -ENOMEM);
	admin_req(&req, PHCA_ADMIN_PD_ALLOC);
	rc = admin_call(to_vctx(context), &req, &ans);
	if (rc != 0)
		return fail(pd, rc);
	pd->pd.context = context;
	pd->pd.handle = ans.u.handle[0];
	return &pd->pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
	int rc = admin_free(to_vctx(pd->context), PHCA_ADMIN_PD_FREE, pd->handle);

	if (rc != 0)
		return -rc;
	free(to_vpd(pd));
	return 0;
}

static int mcast(struct ibv_qp *qp, const union ibv_gid *gid, uint32_t op)
{
	struct phca_admin_req req;

	if (qp->qp_type != IBV_QPT_UD)
		return EINVAL;
	admin_req(&req, op);
	req.u.mcast.qp = qp->handle;
	memcpy(req.u.mcast.mgid, gid->raw, sizeof(req.u.mcast.mgid));
	return -admin_call(to_vctx(qp->context), &req, NULL);
}

int ibv_attach_mcast(struct ibv_qp *qp, const union ibv_gid *gid, uint16_t lid)
{
	(void)lid; /* RoCE has none */
	return mcast(qp, gid, PHCA_ADMIN_MCAST_ATTACH);
}

int ibv_detach_mcast(struct ibv_qp *qp, const union ibv_gid *gid, uint16_t lid)
{
	int rc = mcast(qp, gid, PHCA_ADMIN_MCAST_DETACH);

	(void)lid;
	return rc == EIO && vctx_dead(to_vctx(qp->context)) ? 0 : rc;
}
