/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory windows: allocated by the appliance, bound by requests of a send queue (post.c). */
#include "control.h"

struct ibv_mw *verbs_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type)
{
	struct vmw *mw = calloc(1, sizeof(*mw));
	struct phca_admin_req req;
	struct phca_admin_ans ans;
	int rc;

	if (mw == NULL)
		return fail(mw, -ENOMEM);
	admin_req(&req, PHCA_ADMIN_MW_ALLOC);
	req.u.mw_alloc = (struct phca_admin_mw_alloc){ .pd = pd->handle, .type = type };
	rc = admin_call(to_vctx(pd->context), &req, &ans);
	if (rc != 0)
		return fail(mw, rc);
	mw->mw = (struct ibv_mw){ .context = pd->context, .pd = pd, .handle = ans.u.handle[0],
		.rkey = ans.u.handle[1], .type = type };
	return &mw->mw;
}

int verbs_dealloc_mw(struct ibv_mw *mw)
{
	int rc = admin_free(to_vctx(mw->context), PHCA_ADMIN_MW_DEALLOC, mw->handle);

	if (rc != 0)
		return -rc;
	free(to_vmw(mw));
	return 0;
}
