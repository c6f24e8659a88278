/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Resident applications, found by name and turned by hand: sink takes everything
 * and would see a completion out of order, echo answers, both refuse what they
 * cannot do, and neither ever sees a no-op.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>

#include "lab.h"
#include "phca_drivers.h"

#define QPS 2

/* An application on QPs of the lab. */
struct stage {
	struct lab *l;
	struct lab_qp q[QPS];
	struct phca_app *app;
	struct phca_offload *offload; /* of the proxy QPs; or NULL */
};

static struct phca_app *app_make(struct stage *s, const char *driver,
		const struct phca_setting_arg *args, unsigned int nb_args, char *err)
{
	struct phca_qp *qps[QPS] = { s->q[0].qp, s->q[1].qp };
	struct phca_cq *cqs[QPS] = { s->q[0].cq, s->q[1].cq };
	uint32_t depths[QPS] = { LAB_DEPTH, LAB_DEPTH };
	const struct phca_app_conf c = {
		.name = "stage", .ops = phca_app_driver_find(driver), .args = args, .nb_args = nb_args,
		.client = s->l->client, .pd = s->l->pd, .mem = s->l->mem, .qps = qps, .cqs = cqs,
		.depths = depths, .nb_qps = QPS,
	};

	CU_ASSERT_FATAL(c.ops != NULL);
	return phca_app_create(&c, err, 256);
}

static void stage_open(struct stage *s, const char *driver, enum phca_qp_type type)
{
	char err[256] = "";

	*s = (struct stage){ .l = lab_open(NULL) };
	for (unsigned int i = 0; i < QPS; i++)
		s->q[i] = lab_qp(s->l, type, 0x40 + i);
	s->app = app_make(s, driver, NULL, 0, err);
	if (s->app == NULL)
		printf("stage: %s\n", err);
	CU_ASSERT_FATAL(s->app != NULL);
	CU_ASSERT_EQUAL(phca_loop_add(s->l->proxy_loop, "app", phca_app_turn, s->app), 0);
}

static void stage_close(struct stage *s)
{
	if (s->app != NULL) {
		CU_ASSERT_EQUAL(phca_loop_remove(s->l->proxy_loop, phca_app_turn, s->app), 0);
		phca_app_destroy(s->app);
	}
	for (unsigned int i = 0; i < QPS; i++)
		lab_qp_free(s->l, &s->q[i]);
	if (s->offload != NULL)
		CU_ASSERT_EQUAL(phca_offload_destroy(s->offload), 0);
	lab_close(s->l);
}

/* What show is asked for, and its answer. */
struct wanted { const char *name; uint64_t value; bool found; };

static int wanted_emit(void *arg, const char *name, uint64_t value)
{
	struct wanted *w = arg;

	if (strcmp(name, w->name) == 0) {
		w->value = value;
		w->found = true;
	}
	return 0;
}

static uint64_t counter(const struct stage *s, const char *name)
{
	struct wanted w = { .name = name };

	CU_ASSERT_EQUAL(phca_app_ops(s->app)->show(s->app, wanted_emit, &w), 0);
	CU_ASSERT_TRUE(w.found);
	return w.value;
}

PHCA_TEST(apps, drivers_are_found_by_name_and_number)
{
	const struct phca_app_ops *o;
	unsigned int n = 0;

	while ((o = phca_app_driver_at(n)) != NULL) {
		CU_ASSERT_PTR_EQUAL(phca_app_driver_find(o->name), o);
		CU_ASSERT_PTR_NOT_NULL(o->help);
		CU_ASSERT_PTR_NOT_NULL(o->turn);
		n++;
	}
	CU_ASSERT_TRUE(n >= 2);
	CU_ASSERT_PTR_NULL(phca_app_driver_at(n));
	CU_ASSERT_PTR_NULL(phca_app_driver_find("nobody"));
	CU_ASSERT_PTR_NULL(phca_app_driver_find(""));
}

PHCA_TEST(apps, configuration_is_copied)
{
	struct stage s;

	stage_open(&s, "sink", PHCA_QPT_UD);
	CU_ASSERT_STRING_EQUAL(phca_app_conf(s.app)->name, "stage");
	CU_ASSERT_EQUAL(phca_app_conf(s.app)->nb_qps, QPS);
	CU_ASSERT_PTR_EQUAL(phca_app_conf(s.app)->qps[1], s.q[1].qp);
	CU_ASSERT_STRING_EQUAL(phca_app_ops(s.app)->name, "sink");
	CU_ASSERT_PTR_NOT_NULL(phca_app_priv(s.app));
	stage_close(&s);
}

PHCA_TEST(apps, sink_takes_all_in_order_and_sees_no_noop)
{
	struct phca_filter_param n = { .name = "n", .kind = PHCA_FV_UINT, .i = 3, .u = 3 };
	struct stage s;
	struct phca_rule rule = { .name = "third", .inbound = true };
	uint64_t ooo = 99;

	stage_open(&s, "sink", PHCA_QPT_UD);
	s.offload = lab_offload(s.l, "null", phca_offload_driver_find("null"), NULL, 0, 0);
	rule.filter = lab_filter(s.l, "one_in_n", &n, 1);
	rule.offload = s.offload;
	CU_ASSERT_EQUAL(phca_qp_proxy_attach(s.q[1].qp, &rule, 1, 0), 0);
	for (unsigned int i = 0; i < 10 * LAB_DEPTH; i++) { /* the queue is kept filled */
		struct phca_wire_hdr h = lab_hdr(s.l, PHCA_UD_SEND_ONLY, s.q[i % QPS].qpn, i);

		lab_send(s.l, &h, 64, (uint8_t)i);
		lab_turn(s.l, 2);
	}
	lab_turn(s.l, 10);
	CU_ASSERT_EQUAL(lab_info(&s.q[0]).stats.rx_direct, 5 * LAB_DEPTH);
	CU_ASSERT_EQUAL(lab_info(&s.q[1]).stats.rx_messages, 5 * LAB_DEPTH);
	CU_ASSERT_EQUAL(lab_info(&s.q[1]).stats.rx_offloaded, 5 * LAB_DEPTH / 3);
	CU_ASSERT_EQUAL(counter(&s, "completions"), 10 * LAB_DEPTH - 5 * LAB_DEPTH / 3);
	CU_ASSERT_EQUAL(counter(&s, "violations"), 0);
	CU_ASSERT_EQUAL(counter(&s, "errors"), 0);
	CU_ASSERT_EQUAL(counter(&s, "strays"), 0);
	for (unsigned int i = 0; i < QPS; i++) {
		CU_ASSERT_EQUAL(phca_app_ops(s.app)->qp_out_of_order(s.app, s.q[i].qpn, &ooo), 0);
		CU_ASSERT_EQUAL(ooo, 0);
	}
	CU_ASSERT_NOT_EQUAL(phca_app_ops(s.app)->qp_out_of_order(s.app, 0x999, &ooo), 0);
	stage_close(&s);
}

PHCA_TEST(apps, echo_answers_with_the_same_payload)
{
	struct stage s;

	stage_open(&s, "echo", PHCA_QPT_UD);
	for (unsigned int i = 0; i < 3 * LAB_DEPTH; i++) {
		bool imm = i % 2;
		struct phca_wire_hdr h = lab_hdr(s.l, imm ? PHCA_UD_SEND_ONLY_IMM : PHCA_UD_SEND_ONLY,
			s.q[i % QPS].qpn, i);
		uint32_t len = i * 5 % (LAB_MTU + 1);
		struct phca_pkt pkt;
		struct rte_mbuf *m;

		h.imm = i;
		lab_send(s.l, &h, len, (uint8_t)i);
		lab_turn(s.l, 4);
		m = lab_capture(s.l);
		CU_ASSERT_FATAL(m != NULL);
		CU_ASSERT_EQUAL(phca_wire_parse(rte_pktmbuf_mtod(m, void *), m->data_len,
			PHCA_PARSE_ICRC, &pkt), PHCA_V_OK);
		CU_ASSERT_EQUAL(pkt.dqpn, LAB_PEER_QPN);
		CU_ASSERT_EQUAL(pkt.payload_len, len);
		CU_ASSERT_EQUAL(pkt.opcode, h.opcode);
		CU_ASSERT(lab_is(rte_pktmbuf_mtod_offset(m, uint8_t *, pkt.payload_off), len, (uint8_t)i));
		rte_pktmbuf_free(m);
	}
	CU_ASSERT_EQUAL(counter(&s, "received"), 3 * LAB_DEPTH);
	CU_ASSERT_EQUAL(counter(&s, "sent"), 3 * LAB_DEPTH);
	CU_ASSERT_EQUAL(counter(&s, "unanswerable"), 0);
	stage_close(&s);
}

PHCA_TEST(apps, what_they_cannot_do_is_refused)
{
	const struct phca_setting_arg colour = { .name = "colour" }, both[] = {
		{ .name = "verify", .kind = PHCA_SETTING_BOOL, .u = 1 },
		{ .name = "shared_buffer", .kind = PHCA_SETTING_BOOL, .u = 1 },
	};
	char err[256] = "";
	struct stage s = { .app = NULL };

	s.l = lab_open(NULL);
	for (unsigned int i = 0; i < QPS; i++)
		s.q[i] = lab_qp(s.l, PHCA_QPT_UC, 0);
	rte_errno = 0;
	CU_ASSERT_PTR_NULL(app_make(&s, "sink", both, 2, err)); /* one buffer, and reading it */
	CU_ASSERT_EQUAL(rte_errno, EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "verify"));
	err[0] = '\0';
	CU_ASSERT_PTR_NULL(app_make(&s, "sink", &colour, 1, err));
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "colour"));
	stage_close(&s);
}
