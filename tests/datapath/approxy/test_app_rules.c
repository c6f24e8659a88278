/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Queue pairs of other processes get the rules of app_proxy: when they are created, or
 * when their peer is known; and rules that are given and taken one by one.
 */
#include <stdlib.h>
#include <string.h>

#include "../hca/lab.h"
#include "appliance.h"
#include "phca_drivers.h"

int app_logtype;

static const uint8_t peer_gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 2 };
static const struct qp_owner ann = { 100, 1000, "ann", "ib_send_bw" }, bob = { 200, 2000, "bob", "kv-server" };

struct box {
	struct lab *l;
	struct appliance a;
	struct filter_obj filter[2], *filters[2];
	struct offload_obj offload, *offloads[1];
};

#define TEXT(lists) "{\"filters\":[{\"name\":\"all\",\"object\":\"all.bpf.o\"}," \
	"{\"name\":\"size\",\"object\":\"by_size.bpf.o\"}]," \
	"\"offloads\":[{\"name\":\"o\",\"driver\":\"null\"}],\"app_proxy\":[" lists "]}"

static struct box *box_open(const char *text, unsigned int nb_proxies)
{
	static const char *const name[2] = { "all", "by_size" };
	struct box *b = calloc(1, sizeof(*b));
	char err[PHCA_CONFIG_ERR_MAX] = "";

	CU_ASSERT_FATAL(b != NULL);
	b->l = lab_open(&(struct lab_opts){ .nb_proxies = nb_proxies });
	b->a.cfg = phca_config_parse("test", text, strlen(text), NULL, NULL, err, sizeof(err));
	if (b->a.cfg == NULL)
		printf("  %s\n", err);
	CU_ASSERT_FATAL(b->a.cfg != NULL);
	b->a.hca = b->l->hca;
	b->a.nb_proxies = nb_proxies;
	for (unsigned int i = 0; i < nb_proxies; i++) {
		struct lab own = { .proxy = b->l->proxies[i] };

		b->a.proxies[i].proxy = b->l->proxies[i];
		b->offload.on[i] = lab_offload(&own, "o", phca_offload_driver_find("null"), NULL, 0, 0);
	}
	for (unsigned int i = 0; i < 2; i++) {
		b->filter[i].slot.cur = lab_filter(b->l, name[i], NULL, 0)->cur;
		b->filters[i] = &b->filter[i];
	}
	b->offloads[0] = &b->offload;
	b->offload.home = -1; /* has no peers */
	b->a.filters = b->filters;
	b->a.offloads = b->offloads;
	b->a.nb_filters = 2;
	b->a.nb_offloads = 1;
	return b;
}

static void box_close(struct box *b)
{
	app_rules_free(&b->a);
	for (unsigned int i = 0; i < b->a.nb_proxies; i++)
		CU_ASSERT_EQUAL(phca_offload_destroy(b->offload.on[i]), 0);
	phca_config_free(b->a.cfg);
	lab_close(b->l);
	free(b);
}

/* A queue pair that an application made; its CQ was asked to hold cqe. */
static struct lab_qp created(struct box *b, const struct qp_owner *who, enum phca_qp_type type, uint32_t cqe)
{
	struct lab_qp q = lab_qp(b->l, type, 0);

	app_rules_created(&b->a, who, q.qp, cqe);
	return q;
}

static void gone(struct box *b, struct lab_qp *q)
{
	app_rules_gone(&b->a, q->qp);
	CU_ASSERT_PTR_NULL(app_rules_find(&b->a, q->qpn));
	lab_qp_free(b->l, q);
}

/* What the queue pair is: NULL, a plain one; or from where its rules come. */
static void is(struct box *b, const struct lab_qp *q, const char *from, unsigned int nb_rules)
{
	const struct qp_obj *o = app_rules_find(&b->a, q->qpn);
	struct phca_qp_info info = lab_info(q);

	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	CU_ASSERT_EQUAL(info.proxy, from != NULL);
	CU_ASSERT_STRING_EQUAL(o->rules.from, from != NULL ? from : "");
	CU_ASSERT_EQUAL(info.nb_rules, nb_rules);
	CU_ASSERT_EQUAL(o->rules.n, nb_rules);
}

PHCA_TEST(app_rules, the_first_that_fits_when_it_is_created)
{
	struct box *b = box_open(TEXT("{\"name\":\"bw\",\"window\":128,"
		"\"match\":{\"exe\":\"ib_*\",\"transport\":\"UC\"},"
		"\"rules\":[{\"filter\":\"all\",\"offload\":\"o\"},{\"filter\":\"size\",\"offload\":\"o\"}]},"
		"{\"name\":\"bobs\",\"match\":{\"user\":2000,\"cq_depth\":{\"min\":65}}}"), 1);
	struct lab_qp uc = created(b, &ann, PHCA_QPT_UC, 64), rc = created(b, &ann, PHCA_QPT_RC, 64);
	struct lab_qp deep = created(b, &bob, PHCA_QPT_UD, 65), flat = created(b, &bob, PHCA_QPT_UD, 64);

	is(b, &uc, "app_proxy bw", 2);
	is(b, &rc, NULL, 0);
	is(b, &deep, "app_proxy bobs", 0);
	is(b, &flat, NULL, 0);
	CU_ASSERT_STRING_EQUAL(app_rules_find(&b->a, uc.qpn)->owner->user, "ann");
	CU_ASSERT_EQUAL(app_rules_find(&b->a, deep.qpn)->owner->pid, 200);
	CU_ASSERT(app_rules_list(&b->a, 0).taken == 1 && app_rules_list(&b->a, 1).taken == 1);
	CU_ASSERT_EQUAL(app_rules_list(&b->a, 0).failed, 0);
	gone(b, &rc);
	gone(b, &uc);
	is(b, &flat, NULL, 0);
	gone(b, &flat);
	gone(b, &deep);
	box_close(b);
}

PHCA_TEST(app_rules, a_peer_decides_when_it_is_known_and_once)
{
	static const uint8_t other[16] = { [10] = 0xff, 0xff, 192, 0, 9, 2 };
	struct box *b = box_open(TEXT("{\"name\":\"near\",\"match\":{\"peer\":\"192.0.2.0/24\"}},"
		"{\"name\":\"rest\",\"match\":{}}"), 1);
	struct lab_qp near = created(b, &ann, PHCA_QPT_RC, 64), far = created(b, &ann, PHCA_QPT_RC, 64);
	struct lab_qp ud = created(b, &ann, PHCA_QPT_UD, 64);

	is(b, &near, NULL, 0);
	is(b, &far, NULL, 0);
	is(b, &ud, "app_proxy rest", 0);
	app_rules_connected(&b->a, near.qp, peer_gid);
	app_rules_connected(&b->a, far.qp, other);
	app_rules_connected(&b->a, ud.qp, peer_gid);
	is(b, &near, "app_proxy near", 0);
	is(b, &far, "app_proxy rest", 0);
	is(b, &ud, "app_proxy rest", 0);
	app_rules_connected(&b->a, far.qp, peer_gid);
	is(b, &far, "app_proxy rest", 0);
	CU_ASSERT(app_rules_list(&b->a, 0).taken == 1 && app_rules_list(&b->a, 1).taken == 2);
	gone(b, &near);
	gone(b, &far);
	gone(b, &ud);
	box_close(b);
}

/* CQs with different proxies: it cannot be one. It works as it is, and that is counted. */
PHCA_TEST(app_rules, what_cannot_be_attached_stays_plain)
{
	struct box *b = box_open(TEXT("{\"name\":\"kv\",\"match\":{\"user\":1000},"
		"\"rules\":[{\"filter\":\"all\",\"offload\":\"o\"}]}"), 2);
	struct lab_qp one = created(b, &ann, PHCA_QPT_UC, 64), two = created(b, &ann, PHCA_QPT_UC, 64);
	struct phca_qp_init i = {
		.type = PHCA_QPT_UC, .pd = b->l->pd, .send_cq = one.cq, .recv_cq = two.cq, .max_send_wr = 4,
		.max_recv_wr = 4,
	};
	struct lab_qp q[3];

	is(b, &one, "app_proxy kv", 1);
	is(b, &two, "app_proxy kv", 1);
	CU_ASSERT_PTR_NOT_EQUAL(phca_qp_proxy(one.qp), phca_qp_proxy(two.qp)); /* in turn */
	for (unsigned int k = 0; k < 3; k++) {
		q[k] = (struct lab_qp){ .cq = two.cq };
		CU_ASSERT_EQUAL_FATAL(phca_qp_create(b->l->client, &i, &q[k].qp), 0);
		q[k].qpn = phca_qp_num(q[k].qp);
		app_rules_created(&b->a, &ann, q[k].qp, 64);
		is(b, &q[k], NULL, 0);
		CU_ASSERT_EQUAL(app_rules_list(&b->a, 0).failed, k + 1);
		i.recv_cq = one.cq;
		i.send_cq = two.cq;
	}
	CU_ASSERT_EQUAL(app_rules_list(&b->a, 0).last_error, -EXDEV);
	CU_ASSERT_EQUAL(app_rules_list(&b->a, 0).taken, 2);
	/* one that shares both its CQs goes to their proxy, whose turn it ever is */
	i.send_cq = i.recv_cq = two.cq;
	CU_ASSERT_EQUAL(phca_qp_destroy(q[2].qp), 0);
	app_rules_gone(&b->a, q[2].qp);
	CU_ASSERT_EQUAL_FATAL(phca_qp_create(b->l->client, &i, &q[2].qp), 0);
	q[2].qpn = phca_qp_num(q[2].qp);
	app_rules_created(&b->a, &ann, q[2].qp, 64);
	is(b, &q[2], "app_proxy kv", 1);
	CU_ASSERT_PTR_EQUAL(phca_qp_proxy(q[2].qp), phca_qp_proxy(two.qp));
	for (unsigned int k = 0; k < 3; k++) {
		app_rules_gone(&b->a, q[k].qp);
		CU_ASSERT_EQUAL(phca_qp_destroy(q[k].qp), 0);
	}
	gone(b, &one);
	gone(b, &two);
	box_close(b);
}

PHCA_TEST(app_rules, one_rule_more_and_one_less)
{
	struct box *b = box_open(TEXT("{\"name\":\"kv\",\"match\":{},"
		"\"rules\":[{\"name\":\"first\",\"filter\":\"size\",\"offload\":\"o\"}]}"), 1);
	struct lab_qp lq = created(b, &ann, PHCA_QPT_UC, 64);
	struct qp_obj *q = app_rules_find(&b->a, lq.qpn);
	struct phca_config_rule r = { .name = "more", .filter = 0, .offload = 0, .inbound = true };
	struct phca_rule_info ri;
	char err[ERR_MAX] = "";

	CU_ASSERT_EQUAL(rules_add(&b->a, q, &r, err, sizeof(err)), 0);
	is(b, &lq, "prompt", 2);
	CU_ASSERT(phca_qp_rule_info(lq.qp, 0, &ri) == 0 && strcmp(ri.name, "first") == 0 && ri.send);
	CU_ASSERT(phca_qp_rule_info(lq.qp, 1, &ri) == 0 && strcmp(ri.name, "more") == 0 && !ri.send);
	CU_ASSERT_EQUAL(rules_add(&b->a, q, &r, err, sizeof(err)), -EEXIST);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "(ib_send_bw): it has a rule more already"));
	CU_ASSERT_EQUAL(rules_remove(&b->a, q, "none", err, sizeof(err)), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "it has no rule none"));
	CU_ASSERT_EQUAL(rules_remove(&b->a, q, "first", err, sizeof(err)), 0);
	CU_ASSERT(phca_qp_rule_info(lq.qp, 0, &ri) == 0 && strcmp(ri.name, "more") == 0);
	CU_ASSERT_EQUAL(rules_remove(&b->a, q, NULL, err, sizeof(err)), 0);
	is(b, &lq, "prompt", 0);
	CU_ASSERT_EQUAL(rules_remove(&b->a, q, NULL, err, sizeof(err)), -ENOENT);
	for (unsigned int i = 0; i < PHCA_PROXY_RULE_MAX; i++) {
		char name[8];

		snprintf(name, sizeof(name), "r%u", i);
		r.name = name;
		CU_ASSERT_EQUAL(rules_add(&b->a, q, &r, err, sizeof(err)), 0);
	}
	r.name = "r16";
	CU_ASSERT_EQUAL(rules_add(&b->a, q, &r, err, sizeof(err)), -E2BIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(err, "16 are the most"));
	is(b, &lq, "prompt", PHCA_PROXY_RULE_MAX);
	gone(b, &lq);
	box_close(b);
}
