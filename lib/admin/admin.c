/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Facts about the messages of the admin protocol, one row for each op: its name
 * and the lengths of request and answer. Both sides ask here.
 */
#include <stddef.h>

#include "phca_admin.h"

#define REQ(member) (PHCA_ADMIN_REQ_HDR + sizeof(((struct phca_admin_req *)0)->u.member))
#define ANS(member) (PHCA_ADMIN_ANS_HDR + sizeof(((struct phca_admin_ans *)0)->u.member))

struct row {
	uint16_t req, ans;
};

static const struct row rows[] = {
	[PHCA_ADMIN_HELLO] = { .req = REQ(hello), .ans = ANS(hello) },
	[PHCA_ADMIN_PORT_QUERY] = { .req = PHCA_ADMIN_REQ_HDR, .ans = ANS(port) },
	[PHCA_ADMIN_GIDS_QUERY] = { .req = PHCA_ADMIN_REQ_HDR, .ans = PHCA_ADMIN_ANS_HDR + 8 },
	[PHCA_ADMIN_CLOCK] = { .req = PHCA_ADMIN_REQ_HDR, .ans = ANS(now_ns) },
	[PHCA_ADMIN_RESOLVE] = { .req = REQ(resolve), .ans = ANS(mac) },
	[PHCA_ADMIN_PD_ALLOC] = { .req = PHCA_ADMIN_REQ_HDR, .ans = ANS(handle) },
	[PHCA_ADMIN_PD_FREE] = { .req = REQ(handle), .ans = PHCA_ADMIN_ANS_HDR },
	[PHCA_ADMIN_MEM_SHARE] = { .req = REQ(mem_share), .ans = PHCA_ADMIN_ANS_HDR },
	[PHCA_ADMIN_MR_REG] = { .req = REQ(mr_reg), .ans = ANS(handle) },
	[PHCA_ADMIN_MR_DEREG] = { .req = REQ(handle), .ans = PHCA_ADMIN_ANS_HDR },
	[PHCA_ADMIN_MW_ALLOC] = { .req = REQ(mw_alloc), .ans = ANS(handle) },
	[PHCA_ADMIN_MW_DEALLOC] = { .req = REQ(handle), .ans = PHCA_ADMIN_ANS_HDR },
	[PHCA_ADMIN_CHANNEL_CREATE] = { .req = PHCA_ADMIN_REQ_HDR, .ans = ANS(handle) },
	[PHCA_ADMIN_CHANNEL_DESTROY] = { .req = REQ(handle), .ans = PHCA_ADMIN_ANS_HDR },
	[PHCA_ADMIN_CQ_CREATE] = { .req = REQ(cq_create), .ans = ANS(cq) },
	[PHCA_ADMIN_CQ_RESIZE] = { .req = REQ(cq_resize), .ans = ANS(cq) },
	[PHCA_ADMIN_CQ_RESIZE_DONE] = { .req = REQ(handle), .ans = PHCA_ADMIN_ANS_HDR },
	[PHCA_ADMIN_CQ_DESTROY] = { .req = REQ(handle), .ans = PHCA_ADMIN_ANS_HDR },
	[PHCA_ADMIN_SRQ_CREATE] = { .req = REQ(srq_create), .ans = ANS(srq) },
	[PHCA_ADMIN_SRQ_ARM] = { .req = REQ(srq_arm), .ans = PHCA_ADMIN_ANS_HDR },
	[PHCA_ADMIN_SRQ_QUERY] = { .req = REQ(handle), .ans = ANS(srq) },
	[PHCA_ADMIN_SRQ_DESTROY] = { .req = REQ(handle), .ans = PHCA_ADMIN_ANS_HDR },
	[PHCA_ADMIN_QP_CREATE] = { .req = REQ(qp_create), .ans = ANS(qp) },
	[PHCA_ADMIN_QP_MODIFY] = { .req = REQ(qp_modify), .ans = ANS(attr) },
	[PHCA_ADMIN_QP_QUERY] = { .req = REQ(handle), .ans = ANS(attr) },
	[PHCA_ADMIN_QP_DESTROY] = { .req = REQ(handle), .ans = PHCA_ADMIN_ANS_HDR },
	[PHCA_ADMIN_MCAST_ATTACH] = { .req = REQ(mcast), .ans = PHCA_ADMIN_ANS_HDR },
	[PHCA_ADMIN_MCAST_DETACH] = { .req = REQ(mcast), .ans = PHCA_ADMIN_ANS_HDR },
};
#define NB_ROWS (sizeof(rows) / sizeof(rows[0]))

static const char *const names[NB_ROWS] = {
#define ROW(e, n, s) [n] = s,
	PHCA_ADMIN_OPS(ROW)
#undef ROW
};

uint32_t phca_admin_req_len(uint32_t op)
{
	return op < NB_ROWS ? rows[op].req : 0;
}

uint32_t phca_admin_ans_len(uint32_t op)
{
	return op < NB_ROWS ? rows[op].ans : 0;
}

const char *phca_admin_op_str(uint32_t op)
{
	return op < NB_ROWS && names[op] != NULL ? names[op] : "?";
}
