/* SPDX-License-Identifier: BSD-3-Clause */
/* The rig of tests of the driver bpf: what bpf_rig.h says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf_rig.h"

struct bpf_rig bpf;

static const char *path(const char *env, const char *name)
{
	static char text[4096];

	snprintf(text, sizeof(text), "%s/%s.bpf.o", getenv(env) != NULL ? getenv(env) : ".", name);
	return text;
}

struct phca_filter *bpf_load(const char *program, const struct phca_filter_param *p, unsigned int nb,
		struct phca_filter *of)
{
	bool shipped = strchr(program, '.') != NULL;
	char name[64], err[PHCA_FILTER_ERR_MAX] = "";
	struct phca_filter_spec spec = {
		.name = program, .params = p, .nb_params = nb, .kind = phca_offload_bpf.program, .maps_of = of,
	};
	struct phca_filter *f;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(program, "."), program);
	spec.object = shipped ? path("PHCA_OFFLOADS", name) : path("PHCA_TEST_OFFLOADS", "programs");
	spec.program = name;
	f = phca_filter_load(&spec, err, sizeof(err));
	if (f == NULL)
		printf("  %s\n", err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT(phca_filter_is_jit(f));
	return f;
}

static uint32_t reg(uint32_t access)
{
	uint32_t key = 0;

	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(bpf.mem, bpf.pd, bpf.memory, BYTES, IOVA, access, &key), 0);
	return key;
}

static void memory_make(void)
{
	bpf.qsbr = aligned_alloc(64, RTE_CACHE_LINE_ROUNDUP(rte_rcu_qsbr_get_memsize(1)));
	CU_ASSERT_PTR_NOT_NULL_FATAL(bpf.qsbr);
	rte_rcu_qsbr_init(bpf.qsbr, 1);
	bpf.mem = phca_mem_create(16, bpf.qsbr);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bpf.mem);
	bpf.pd = phca_pd_alloc(bpf.mem);
	bpf.memory = aligned_alloc(4096, BYTES);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bpf.memory);
	for (unsigned int i = 0; i < BYTES; i++)
		bpf.memory[i] = (uint8_t)(i * 7 + (i >> 8));
	bpf.local = reg(PHCA_ACCESS_LOCAL_WRITE);
	bpf.read_only = reg(PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_READ);
	bpf.rkey = reg(PHCA_ACCESS_LOCAL_WRITE | PHCA_ACCESS_REMOTE_READ | PHCA_ACCESS_REMOTE_WRITE);
}

static void qp_make(void)
{
	struct phca_pqp_conf conf = {
		.qpn = 1, .transport = PHCA_TRANSPORT_RC, .cookie = (void *)1, .chan = bpf.r.chan, .pd = bpf.pd,
		.window = { 64, 64 }, .cq = { &bpf.cq.w, &bpf.cq.w }, .nb_rules = 1, .offloads = { bpf.o },
		.nb_tags = 16,
	};
	struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH };

	m.pqp = bpf.q = phca_pqp_create(bpf.r.p, &conf);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bpf.q);
	rig_send(&bpf.r, &m);
}

void bpf_setup(const char *program, const struct phca_filter_param *p, unsigned int nb,
		const struct phca_setting_arg *args, unsigned int nb_args)
{
	struct phca_offload_conf conf = {
		.name = "bpf", .ops = &phca_offload_bpf, .args = args, .nb_args = nb_args, .program = &bpf.slot,
	};
	char err[256] = "";

	memset(&bpf, 0, sizeof(bpf));
	memory_make();
	rig_init_mem(&bpf.r, 1024, bpf.mem);
	rig_cq_init(&bpf.cq, 192, 64);
	rig_cq_init(&bpf.cq2, 192, 64);
	bpf.slot.cur = bpf_load(program, p, nb, NULL);
	bpf.o = phca_offload_create(bpf.r.p, &conf, err, sizeof(err));
	if (bpf.o == NULL)
		printf("  %s\n", err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bpf.o);
	qp_make();
}

void bpf_teardown(void)
{
	struct phca_offload_stats st;

	rig_pqp_end(&bpf.r, bpf.q);
	phca_offload_stats_get(bpf.o, &st);
	CU_ASSERT_EQUAL(st.in_flight, 0);
	rig_fini(&bpf.r);
	rig_cq_fini(&bpf.cq);
	rig_cq_fini(&bpf.cq2);
	phca_filter_free(bpf.slot.cur);
	phca_mem_destroy(bpf.mem);
	free(bpf.qsbr);
	free(bpf.memory);
}

struct find { const char *key; char value[256]; };

static int find_entry(void *arg, const char *key, const char *value)
{
	struct find *f = arg;

	if (strcmp(key, f->key) == 0)
		snprintf(f->value, sizeof(f->value), "%s", value);
	return 0;
}

static int find_global(void *arg, const char *name, const char *value, bool is_param)
{
	(void)is_param;
	return find_entry(arg, name, value);
}

const char *bpf_entry(const char *map, const char *key)
{
	static struct find f;

	f = (struct find){ .key = key };
	CU_ASSERT_EQUAL(phca_filter_map_each(bpf.slot.cur, map, find_entry, &f), 0);
	return f.value;
}

const char *bpf_global(const char *name)
{
	static struct find f;

	f = (struct find){ .key = name };
	CU_ASSERT_EQUAL(phca_filter_global_each(bpf.slot.cur, find_global, &f), 0);
	return f.value;
}

uint64_t bpf_seen(unsigned int at)
{
	char key[16];

	snprintf(key, sizeof(key), "%u", at);
	return strtoull(bpf_entry("seen", key), NULL, 0);
}

void bpf_seen_words(void *to, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint64_t w = bpf_seen(i);

		memcpy((uint8_t *)to + 8 * i, &w, 8);
	}
}

struct counter { const char *name; uint64_t value; bool found; };

static int find_counter(void *arg, const char *name, uint64_t value)
{
	struct counter *c = arg;

	if (strcmp(name, c->name) == 0) {
		c->value = value;
		c->found = true;
	}
	return 0;
}

uint64_t bpf_counter(const char *name)
{
	struct counter c = { .name = name };

	phca_offload_bpf.show(bpf.o, find_counter, &c);
	CU_ASSERT_TRUE(c.found);
	return c.value;
}

uint64_t bpf_word(const char *text)
{
	uint64_t w;

	memcpy(&w, text, 8);
	return w;
}

void bpf_send_in(uint32_t seq, uint8_t flags, const void *data, uint32_t len)
{
	const struct rig_in in = { .seq = seq, .flags = flags, .opcode = PHCA_RC_SEND_ONLY, .data = data, .len = len };

	rig_message_in(&bpf.r, bpf.q, &in);
}

void bpf_post(uint32_t seq, enum phca_wr_opcode op, uint64_t wr_id)
{
	struct phca_offload_wr *wr = &bpf.wr[seq];

	bpf.sge[seq] = (struct phca_sge){ .addr = IOVA + 1024, .length = 32, .lkey = bpf.local };
	*wr = (struct phca_offload_wr){ .wqe = { .num_sge = 1 }, .pd = bpf.pd, .len = 32, .sge = &bpf.sge[seq] };
	rig_offload_out(&bpf.r, bpf.q, seq, 0, wr, wr_id, ORD);
	wr->wqe.opcode = op;
}
