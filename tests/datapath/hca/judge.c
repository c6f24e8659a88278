/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The offload of judge.h. Requests that are cancelled are forgotten, so that what it
 * holds is what the proxy thinks it does.
 */
#include <stdlib.h>
#include <string.h>

#include "judge.h"

static struct judge judge;

static int judge_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	enum judge_verdict v = judge.policy ? judge.policy(req) : JUDGE_WAIT;

	(void)o, (void)now_ns;
	judge.submitted++;
	if (v == JUDGE_PASS) {
		CU_ASSERT_EQUAL(phca_offload_pass(req), 0);
	} else if (v == JUDGE_DONE) {
		phca_offload_done(req, PHCA_WC_SUCCESS);
	} else {
		CU_ASSERT_FATAL(judge.n < JUDGE_MAX);
		judge.req[judge.n++] = req;
	}
	return 0;
}

static struct phca_offload_req *take(struct judge *j, unsigned int i)
{
	struct phca_offload_req *r;

	CU_ASSERT_FATAL(i < j->n);
	r = j->req[i];
	j->n--;
	memmove(&j->req[i], &j->req[i + 1], (j->n - i) * sizeof(j->req[0]));
	return r;
}

static int judge_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	(void)o;
	for (unsigned int i = 0; i < judge.n; i++)
		if (judge.req[i] == req) {
			take(&judge, i);
			return 0;
		}
	CU_FAIL("cancelled, but it is not there");
	return 0;
}

static const struct phca_offload_ops judge_ops = {
	.name = "judge", .submit = judge_submit, .cancel = judge_cancel, .ordered = 1u << PHCA_DIR_RECV,
};

struct judge *judge_open(struct lab *l, bool answers)
{
	struct phca_filter_param key[] = {
		{ .name = "mask", .kind = PHCA_FV_UINT, .u = 0xf0ull << 56 },
		{ .name = "value", .kind = PHCA_FV_UINT, .u = (uint64_t)JUDGE_MARK << 56 },
	};
	struct phca_filter_param op[] = {
		{ .name = "send", .kind = PHCA_FV_BOOL, .u = false },
		{ .name = "read", .kind = PHCA_FV_BOOL, .u = true },
		{ .name = "atomic", .kind = PHCA_FV_BOOL, .u = true },
	};

	judge = (struct judge){ .n = 0 };
	judge.o = lab_offload(l, "judge", &judge_ops, NULL, 0, 0);
	CU_ASSERT_EQUAL(phca_offload_ordered(judge.o), 1u << PHCA_DIR_RECV);
	for (unsigned int i = 0; i < 1u + answers; i++) {
		judge.rule[i] = (struct phca_rule){ .name = i ? "answers" : "marked", .inbound = true };
		judge.rule[i].offload = judge.o;
		judge.rule[i].filter = i ? lab_filter(l, "by_opcode", op, RTE_DIM(op)) :
			lab_filter(l, "by_payload_key", key, RTE_DIM(key));
	}
	return &judge;
}

void judge_close(struct judge *j)
{
	CU_ASSERT_EQUAL(j->n, 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(j->o), 0);
}

enum judge_verdict judge_pass_all(const struct phca_offload_req *req)
{
	(void)req;
	return JUDGE_PASS;
}

enum judge_verdict judge_done_all(const struct phca_offload_req *req)
{
	(void)req;
	return JUDGE_DONE;
}

void judge_pass(struct lab *l, struct judge *j, unsigned int i)
{
	CU_ASSERT_EQUAL(phca_offload_pass(take(j, i)), 0);
	lab_turn(l, 3);
}

void judge_done(struct lab *l, struct judge *j, unsigned int i)
{
	phca_offload_done(take(j, i), PHCA_WC_SUCCESS);
	lab_turn(l, 3);
}

void judge_deliver(struct lab *l, struct judge *j, unsigned int i, uint32_t n, uint8_t seed)
{
	uint8_t *data = malloc(n + 1);

	for (uint32_t k = 0; k < n; k++)
		data[k] = (uint8_t)(seed + k);
	CU_ASSERT_EQUAL(phca_offload_deliver(take(j, i), data, n), 0);
	free(data);
	lab_turn(l, 3);
}
