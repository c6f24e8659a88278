/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The null offload: every request succeeds at once, untouched. The measure of
 * what an offload costs at least, and the example of doc/offloads.md.
 *
 * Invariant: no request is ever held, so there is nothing to poll or to cancel.
 */
#include "phca_drivers.h"

static int null_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	(void)o;
	(void)now_ns;
	phca_offload_done(req, PHCA_WC_SUCCESS);
	return 0;
}

const struct phca_offload_ops phca_offload_null = {
	.name = "null",
	.help = "finishes every request at once, with success",
	.submit = null_submit,
};
