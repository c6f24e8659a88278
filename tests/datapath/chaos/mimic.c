/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An offload that does what the HCA would have done, in all ways that an offload has:
 * it gives requests back at once or later, issues a child that is the same work request
 * on the same queue pair, delivers the bytes that came, executes READs and atomics or
 * leaves them to the proxy. So an application must not notice it: the model of a plain
 * queue pair is right. With some seeds it also fails posted requests, now and then.
 *
 * Invariant: its random numbers are its own, seeded by the world, so a run can be repeated.
 */
#include <errno.h>
#include <string.h>

#include "mimic.h"

#define HELD 512
#define CHILDREN 256
#define LATE_NS 300000

struct mimic {
	uint64_t rnd;
	bool fails;
	unsigned int nb_held;
	struct held { struct phca_offload_req *req; uint64_t due_ns; } held[HELD];
	uint64_t passed, late, children, delivered, failed;
	uint8_t buf[MIMIC_MSG_MAX];
};

static uint32_t rnd(struct mimic *m, uint32_t n)
{
	return (uint32_t)(phca_test_rand(&m->rnd) % n);
}

static int mimic_init(struct phca_offload *o, const struct phca_setting_value *v, char *err, size_t err_len)
{
	struct mimic *m = phca_offload_priv(o);

	(void)err, (void)err_len;
	m->rnd = v[0].u;
	m->fails = v[0].u / 2 % MIMIC_FAILS_EVERY == 0;
	phca_offload_ordered_set(o, 1u << PHCA_DIR_SEND | 1u << PHCA_DIR_RECV);
	return phca_child_pool(o, CHILDREN);
}

/* The same work request once more. @return whether there was a child */
static bool reissue(struct phca_offload *o, struct phca_offload_req *req)
{
	const struct mimic *m = phca_offload_priv(o);
	bool shared = m->rnd & 4;
	struct phca_child *c = shared ? phca_child_get_shared(o, req->wr) : phca_child_get(o);

	if (c == NULL)
		return false;
	if (!shared) {
		c->wr = *req->wr;
		c->wr.wqe.wr_id = ~0ull; /* nobody may see it */
	}
	if (phca_child_post(req->pqp, c, req) != 0) {
		phca_child_put(c);
		return false;
	}
	return true;
}

static bool wants_answer(const struct phca_offload_req *req)
{
	return req->op == PHCA_OP_READ_REQ || req->op == PHCA_OP_CMP_SWAP || req->op == PHCA_OP_FETCH_ADD;
}

static void pass(struct mimic *m, struct phca_offload_req *req)
{
	m->passed++;
	CU_ASSERT_EQUAL(phca_offload_pass(req), 0);
}

/* It is over for the driver, in one way or the other. */
static void decide(struct phca_offload *o, struct phca_offload_req *req)
{
	struct mimic *m = phca_offload_priv(o);

	if (m->fails && req->dir == PHCA_DIR_SEND && rnd(m, 50) == 0) {
		m->failed++;
		phca_offload_done(req, MIMIC_FAILS);
		return;
	}
	if (req->dir == PHCA_DIR_SEND && rnd(m, 2) == 0 && reissue(o, req)) {
		m->children++;
		phca_offload_done(req, PHCA_WC_SUCCESS);
		return;
	}
	if (req->dir == PHCA_DIR_RECV && req->op == PHCA_OP_SEND && rnd(m, 2) == 0 &&
	    req->len <= sizeof(m->buf) && phca_offload_read(req, 0, m->buf, req->len) == (int)req->len &&
	    phca_offload_deliver(req, m->buf, req->len) == 0) {
		m->delivered++;
		return;
	}
	pass(m, req);
}

static int mimic_submit(struct phca_offload *o, struct phca_offload_req *req, uint64_t now_ns)
{
	struct mimic *m = phca_offload_priv(o);

	CU_ASSERT_TRUE(req->ordered);
	if (wants_answer(req) && req->dir == PHCA_DIR_RECV) {
		pass(m, req); /* in the order of the requests, as the HCA executes them */
		return 0;
	}
	if (m->nb_held < HELD && rnd(m, 2) == 0) {
		m->held[m->nb_held++] = (struct held){ req, now_ns + rnd(m, LATE_NS) };
		m->late++;
		return 0;
	}
	decide(o, req);
	return 0;
}

static unsigned int mimic_poll(struct phca_offload *o, uint64_t now_ns)
{
	struct mimic *m = phca_offload_priv(o);
	unsigned int done = 0;

	for (unsigned int i = 0; i < m->nb_held;) {
		struct phca_offload_req *req = m->held[i].req;

		if (m->held[i].due_ns > now_ns) {
			i++;
			continue;
		}
		m->held[i] = m->held[--m->nb_held];
		decide(o, req);
		done++;
	}
	return done;
}

static int mimic_cancel(struct phca_offload *o, struct phca_offload_req *req)
{
	struct mimic *m = phca_offload_priv(o);

	for (unsigned int i = 0; i < m->nb_held; i++) {
		if (m->held[i].req != req)
			continue;
		m->held[i] = m->held[--m->nb_held];
		return 0;
	}
	CU_FAIL("cancelled what it does not have");
	return 0;
}

static const struct phca_setting settings[] = {
	{ "seed", PHCA_SETTING_UINT, 0, UINT64_MAX, 1, NULL, "of its random numbers" },
	{ .name = NULL },
};

static const struct phca_offload_ops ops = {
	.name = "mimic", .help = "does what the HCA would do", .settings = settings,
	.priv_size = sizeof(struct mimic), .init = mimic_init, .submit = mimic_submit,
	.cancel = mimic_cancel, .poll = mimic_poll,
};

const struct phca_offload_ops *mimic_ops(void)
{
	return &ops;
}

bool mimic_fails(const struct phca_offload *o)
{
	return ((const struct mimic *)phca_offload_priv(o))->fails;
}

void mimic_add(const struct phca_offload *o, struct mimic_counts *c)
{
	const struct mimic *m = phca_offload_priv(o);

	c->passed += m->passed;
	c->late += m->late;
	c->children += m->children;
	c->delivered += m->delivered;
	c->failed += m->failed;
}
