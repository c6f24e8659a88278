/* SPDX-License-Identifier: BSD-3-Clause */
/* The bcast driver: who gets what, when it completes, and members that fail and come back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>

#include "offload/bcast/phca_bcast.h"
#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define GONE PHCA_WC_RETRY_EXC_ERR
#define FLUSH PHCA_WC_WR_FLUSH_ERR
#define SEND PHCA_DIR_SEND
#define MEMBERS 3
#define NUM(n, v) { n, PHCA_SETTING_UINT, v, NULL }
#define BOOL(n, v) { n, PHCA_SETTING_BOOL, v, NULL }
#define WORD(n, v) { n, PHCA_SETTING_STRING, 0, v }
#define COPY 256 /* copy_max_bytes */

static struct rig r;
static struct rig_cq cq, peers_cq;
static struct phca_mem *mem;
static struct rte_rcu_qsbr *qsbr;
static uint32_t pd, lkey;
static uint8_t memory[4096];
static struct phca_offload *o;
static struct phca_pqp *q, *member[MEMBERS];
static struct phca_offload_wr wr[64];
static struct phca_sge sge[64];
static uint32_t next_seq;
static struct phca_child *out[MEMBERS + 1]; /* of the last broadcast: by member; the last: own peer */

static struct phca_offload *bcast_make(const struct phca_setting_arg *args, unsigned int n)
{
	struct phca_offload_conf conf = {
		.name = "b", .ops = phca_offload_driver_find("bcast"), .args = args, .nb_args = n,
	};
	char err[256] = "";
	struct phca_offload *made = phca_offload_create(r.p, &conf, err, sizeof(err));

	if (made == NULL)
		printf("  %s\n", err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(made);
	return made;
}

static void setup(const struct phca_setting_arg *args, unsigned int n)
{
	struct phca_setting_arg all[8] = { NUM("copy_max_bytes", COPY) };

	if (n > 0)
		memcpy(&all[1], args, n * sizeof(*args));
	memset(wr, 0, sizeof(wr));
	next_seq = 0;
	qsbr = aligned_alloc(64, RTE_CACHE_LINE_ROUNDUP(rte_rcu_qsbr_get_memsize(1)));
	rte_rcu_qsbr_init(qsbr, 1);
	mem = phca_mem_create(16, qsbr);
	pd = phca_pd_alloc(mem);
	for (unsigned int i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)(i * 7 + (i >> 8));
	CU_ASSERT_EQUAL_FATAL(phca_mr_reg(mem, pd, memory, sizeof(memory), (uintptr_t)memory, 0, &lkey), 0);
	rig_init_mem(&r, 1024, mem);
	rig_cq_init(&cq, 192, 64);
	rig_cq_init(&peers_cq, 192, 64);
	o = bcast_make(all, n + 1);
	for (unsigned int i = 0; i < MEMBERS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "m[%u]", i);
		member[i] = rig_pqp_rc(&r, 0x10 + i, 16, &peers_cq, &o, 1, 0);
		CU_ASSERT_EQUAL_FATAL(phca_offload_peer_add(o, member[i], name), 0);
	}
	q = rig_pqp_rc(&r, 1, 64, &cq, &o, 1, pd);
	rig_turn(&r);
}

static void teardown(void)
{
	struct phca_offload_stats st;

	if (q != NULL)
		rig_pqp_end(&r, q);
	for (unsigned int i = 0; i < MEMBERS; i++)
		if (member[i] != NULL)
			rig_pqp_end(&r, member[i]);
	phca_offload_stats_get(o, &st);
	CU_ASSERT_EQUAL(st.in_flight, 0);
	CU_ASSERT_EQUAL(phca_offload_destroy(o), 0);
	rig_fini(&r);
	rig_cq_fini(&cq);
	rig_cq_fini(&peers_cq);
	phca_mr_dereg(mem, lkey);
	phca_pd_free(mem, pd);
	phca_mem_destroy(mem);
	free(qsbr);
}

struct found { const char *name; uint64_t value; bool there; };

static int find(void *arg, const char *name, uint64_t value)
{
	struct found *f = arg;

	if (strcmp(name, f->name) == 0) {
		f->value = value;
		f->there = true;
	}
	return 0;
}

/* A figure of show. */
static uint64_t figure(const char *name)
{
	struct found f = { .name = name };

	phca_offload_ops(o)->show(o, find, &f);
	CU_ASSERT_TRUE(f.there);
	return f.value;
}

/* Which of the driver's queue pairs; MEMBERS: the application's. */
static unsigned int whose(const struct phca_child *c)
{
	return c->pqp == q ? MEMBERS : phca_pqp_qpn(c->pqp) - 0x10;
}

/* The copies that came since the last time, as bits; at most one for each. */
static unsigned int collect(void)
{
	unsigned int bits = 0;
	struct phca_child *c;

	while ((c = rig_child(&r)) != NULL) {
		unsigned int i = whose(c);

		CU_ASSERT_FALSE(bits & 1u << i);
		bits |= 1u << i;
		out[i] = c;
	}
	return bits;
}

/* Post `len` bytes of memory at `from`; wr_id is 100 and the place. */
static struct phca_offload_wr *post_raw(uint8_t opcode, uint32_t from, uint32_t len)
{
	uint32_t seq = next_seq++;
	struct phca_offload_wr *w = &wr[seq % 64];
	struct phca_pmsg m = {
		.kind = PHCA_PMSG_OFFLOAD, .dir = SEND, .seq = seq, .pqp = q, .wr = w,
		.flags = phca_offload_ordered(o) ? PHCA_PMSG_F_ORDERED : 0,
	};

	sge[seq % 64] = (struct phca_sge){ (uintptr_t)memory + from, len, lkey };
	w->wqe.opcode = opcode;
	w->wqe.num_sge = 1;
	w->wqe.wr_id = 100 + seq;
	w->sge = &sge[seq % 64];
	w->len = len;
	w->pd = pd;
	rig_send(&r, &m);
	return w;
}

static unsigned int post(uint8_t opcode, uint32_t from, uint32_t len)
{
	post_raw(opcode, from, len);
	rig_turn(&r);
	return collect();
}

static void over(unsigned int i, enum phca_wc_status status)
{
	rig_child_over(&r, out[i], status);
	rig_turn(&r);
}

/* A member's queue pair fails: what it had is flushed. */
static void fail(unsigned int i)
{
	rig_kind(&r, PHCA_PMSG_QP_ERROR, member[i]);
}

static void restart(unsigned int i)
{
	struct phca_pmsg m = { .kind = PHCA_PMSG_ATTACH, .pqp = member[i] };

	rig_kind(&r, PHCA_PMSG_DETACH, member[i]);
	rig_settle(&r);
	rig_send(&r, &m);
	rig_turn(&r);
}

static void announce(unsigned int i, uint32_t seq, uint32_t rkey, uint64_t va, uint64_t length)
{
	struct phca_bcast_announce a;
	struct rig_in in = { .seq = seq, .opcode = PHCA_RC_SEND_ONLY, .data = &a, .len = sizeof(a) };

	phca_bcast_announce_fill(&a, rkey, va, length);
	rig_message_in(&r, member[i], &in);
	rig_turn(&r);
}

PHCA_TEST(bcast, every_member_gets_it_and_all_must_acknowledge)
{
	setup(NULL, 0);
	CU_ASSERT_EQUAL(figure("ready"), 3);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 5, 100), 7);
	for (unsigned int i = 0; i < MEMBERS; i++) {
		CU_ASSERT_EQUAL(out[i]->wr.wqe.opcode, PHCA_WR_SEND);
		CU_ASSERT_EQUAL_FATAL(out[i]->wr.len, 100);
		CU_ASSERT_EQUAL(memcmp(out[i]->wr.inline_data, memory + 5, 100), 0);
	}
	over(2, OK);
	over(0, OK);
	rig_cq_expect_empty(&cq);
	CU_ASSERT_EQUAL(figure("under_way"), 1);
	over(1, OK);
	rig_cq_expect(&cq, 100, OK);
	CU_ASSERT_EQUAL(figure("under_way"), 0);
	CU_ASSERT_EQUAL(figure("copies"), 3);
	CU_ASSERT_EQUAL(figure("m[2].acked"), 1);
	teardown();
}

PHCA_TEST(bcast, immediate_inline_empty_solicited_unsignaled)
{
	static const uint8_t text[] = "inline";
	struct phca_offload_wr *w = &wr[0];
	struct phca_pmsg m = {
		.kind = PHCA_PMSG_OFFLOAD, .dir = SEND, .pqp = q, .wr = w, .flags = PHCA_PMSG_F_NO_CQE,
	};

	setup(NULL, 0);
	m.pqp = q;
	w->wqe.opcode = PHCA_WR_SEND_WITH_IMM;
	w->wqe.flags = PHCA_SEND_INLINE | PHCA_SEND_SOLICITED | PHCA_SEND_FENCE;
	w->wqe.imm = 0x01020304;
	w->wqe.inline_len = w->len = sizeof(text);
	w->inline_data = text;
	rig_send(&r, &m);
	rig_turn(&r);
	next_seq = 1;
	CU_ASSERT_EQUAL(collect(), 7);
	for (unsigned int i = 0; i < MEMBERS; i++) {
		CU_ASSERT(out[i]->wr.wqe.opcode == PHCA_WR_SEND_WITH_IMM && out[i]->wr.wqe.imm == 0x01020304);
		CU_ASSERT_EQUAL(out[i]->wr.wqe.flags, PHCA_SEND_SOLICITED);
		CU_ASSERT(out[i]->wr.len == sizeof(text) && memcmp(out[i]->wr.inline_data, text, sizeof(text)) == 0);
		over(i, OK);
	}
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 0), 7);
	CU_ASSERT(out[1]->wr.len == 0 && out[1]->wr.inline_data == NULL && out[1]->wr.wqe.num_sge == 0);
	for (unsigned int i = 0; i < MEMBERS; i++)
		over(i, OK);
	rig_cq_expect(&cq, 101, OK); /* the first was unsignaled */
	rig_cq_expect_empty(&cq);
	teardown();
}

/* What is copied may change as soon as it was posted; what is not stays the application's. */
PHCA_TEST(bcast, short_payload_is_copied_and_long_is_not)
{
	uint8_t was;

	setup(NULL, 0);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, COPY), 7);
	was = memory[COPY - 1]++;
	for (unsigned int i = 0; i < MEMBERS; i++) {
		CU_ASSERT(out[i]->wr.wqe.num_sge == 0 && out[i]->wr.inline_data[COPY - 1] == was);
		over(i, OK);
	}
	rig_cq_expect(&cq, 100, OK);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, COPY + 1), 7);
	for (unsigned int i = 0; i < MEMBERS; i++) {
		CU_ASSERT(out[i]->wr.wqe.num_sge == 1 && out[i]->wr.sge == wr[1].sge && out[i]->wr.pd == pd);
		CU_ASSERT_PTR_NULL(out[i]->wr.inline_data);
		CU_ASSERT_PTR_NOT_NULL(out[i]->parent);
		over(i, OK);
	}
	rig_cq_expect(&cq, 101, OK);
	teardown();
}

/* So no member depends on memory that an application may take away. */
PHCA_TEST(bcast, copy_only_refuses_long_payload)
{
	const struct phca_setting_arg args[] = { BOOL("copy_only", 1) };

	setup(args, 1);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, COPY), 7);
	for (unsigned int i = 0; i < MEMBERS; i++)
		over(i, OK);
	rig_cq_expect(&cq, 100, OK);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, COPY + 1), 0);
	rig_settle(&r);
	rig_cq_expect(&cq, 101, PHCA_WC_LOC_LEN_ERR);
	CU_ASSERT(figure("under_way") == 0 && figure("ready") == 3);
	teardown();
}

/* A bad key is the application's fault and no member's. */
PHCA_TEST(bcast, a_bad_key_fails_the_request_alone)
{
	for (uint32_t len = 8; len < 2 * COPY; len += COPY) {
		setup(NULL, 0);
		lkey ^= 0x55;
		CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, len), 0);
		lkey ^= 0x55;
		rig_settle(&r);
		rig_cq_expect(&cq, 100, PHCA_WC_LOC_PROT_ERR);
		CU_ASSERT(figure("ready") == 3 && figure("under_way") == 0);
		teardown();
	}
}

PHCA_TEST(bcast, a_member_that_fails_is_dropped_and_comes_back)
{
	setup(NULL, 0);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 7);
	over(0, OK);
	over(1, GONE);
	fail(1);
	rig_cq_expect_empty(&cq);
	over(2, OK);
	rig_cq_expect(&cq, 100, OK);
	CU_ASSERT(figure("ready") == 2 && figure("dropped") == 1 && figure("m[1].ready") == 0);
	CU_ASSERT(figure("m[1].failed") == 1 && figure("m[1].dropped") == 1 && figure("m[0].dropped") == 0);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 5);
	over(0, OK);
	over(2, OK);
	rig_cq_expect(&cq, 101, OK);
	restart(1);
	CU_ASSERT(figure("ready") == 3 && figure("rejoined") == 1);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 7);
	for (unsigned int i = 0; i < MEMBERS; i++)
		over(i, OK);
	rig_cq_expect(&cq, 102, OK);
	teardown();
}

PHCA_TEST(bcast, nobody_left_is_an_error)
{
	setup(NULL, 0);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 7);
	for (unsigned int i = 0; i < MEMBERS; i++)
		over(i, i == 0 ? GONE : FLUSH);
	rig_settle(&r);
	rig_cq_expect(&cq, 100, GONE);
	teardown();
	setup(NULL, 0);
	for (unsigned int i = 0; i < MEMBERS; i++)
		fail(i);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 0);
	rig_settle(&r);
	rig_cq_expect(&cq, 100, GONE);
	teardown();
}

PHCA_TEST(bcast, on_failure_fail_fails_the_request_at_once)
{
	const struct phca_setting_arg args[] = { WORD("on_failure", "fail") };

	for (unsigned int big = 0; big < 2; big++) {
		setup(args, 1);
		CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, big ? 1000 : 10), 7);
		over(0, OK);
		over(1, GONE);
		rig_settle(&r);
		rig_cq_expect(&cq, 100, GONE);
		/* memory that a copy still refers to stays: its place is not free */
		CU_ASSERT_EQUAL(rig_credit(&r, (void *)1, SEND, 0), big ? 0 : 1);
		over(2, OK);
		rig_settle(&r);
		CU_ASSERT_EQUAL(rig_credit(&r, (void *)1, SEND, 0), 1);
		CU_ASSERT_EQUAL(figure("under_way"), 0);
		rig_cq_expect_empty(&cq);
		teardown();
	}
	setup(args, 1); /* one that is out already */
	fail(2);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 0);
	rig_settle(&r);
	rig_cq_expect(&cq, 100, GONE);
	teardown();
}

PHCA_TEST(bcast, a_quorum_completes_it_and_stragglers_run_on)
{
	const struct phca_setting_arg args[] = { NUM("quorum", 2) };

	setup(args, 1);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 7);
	over(2, OK);
	rig_cq_expect_empty(&cq);
	over(0, OK);
	rig_cq_expect(&cq, 100, OK);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_credit(&r, (void *)1, SEND, 0), 1); /* the application may go on with its memory */
	memset(memory, 0, 10);
	CU_ASSERT(figure("stragglers") == 1 && figure("under_way") == 1);
	CU_ASSERT_EQUAL(out[1]->wr.inline_data[1], 7);
	over(1, OK);
	CU_ASSERT_EQUAL(figure("under_way"), 0);
	/* one may fail, two may not */
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 7);
	over(1, GONE);
	over(0, OK);
	over(2, OK);
	rig_cq_expect(&cq, 101, OK);
	fail(1);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 5);
	over(0, GONE);
	rig_settle(&r);
	rig_cq_expect(&cq, 102, GONE);
	over(2, OK);
	teardown();
}

/* Payload that is not copied: the quorum decides, the last copy completes. */
PHCA_TEST(bcast, a_quorum_of_long_payload_waits_for_the_stragglers)
{
	const struct phca_setting_arg args[] = { NUM("quorum", 1) };

	setup(args, 1);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 1000), 7);
	over(1, OK);
	over(0, GONE);
	rig_cq_expect_empty(&cq);
	over(2, GONE);
	rig_settle(&r);
	rig_cq_expect(&cq, 100, OK);
	teardown();
}

PHCA_TEST(bcast, what_finds_no_room_waits_in_its_order)
{
	const struct phca_setting_arg args[] = { NUM("outstanding", 2), NUM("max_members", 3) };

	setup(args, 2);
	for (unsigned int i = 0; i < 5; i++)
		post_raw(PHCA_WR_SEND, 16 * i, 16);
	rig_turn(&r);
	CU_ASSERT(figure("under_way") == 2 && figure("waiting") == 3);
	for (unsigned int i = 0; i < 5; i++) {
		for (unsigned int k = 0; k < MEMBERS; k++) {
			struct phca_child *c = rig_child(&r);

			CU_ASSERT_PTR_NOT_NULL_FATAL(c);
			CU_ASSERT_EQUAL(memcmp(c->wr.inline_data, memory + 16 * i, 16), 0);
			rig_child_over(&r, c, OK);
		}
		rig_turn(&r);
		rig_cq_expect(&cq, 100 + i, OK);
	}
	CU_ASSERT_PTR_NULL(rig_child(&r));
	teardown();
}

/* Ended while copies are under way and others wait: nothing is left, whatever the members do. */
PHCA_TEST(bcast, an_application_that_ends_in_the_middle)
{
	for (unsigned int quorum = 0; quorum < 2; quorum++) {
		const struct phca_setting_arg args[] = { NUM("outstanding", 2), NUM("quorum", quorum) };

		setup(args, 2);
		post_raw(PHCA_WR_SEND, 0, 10);
		post_raw(PHCA_WR_SEND, 0, 1000);
		post_raw(PHCA_WR_SEND, 0, 10);
		rig_turn(&r);
		rig_kind(&r, PHCA_PMSG_DETACH, q);
		rig_settle(&r);
		/* the second one's memory is in use */
		CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_DETACHED, (void *)1), 0);
		CU_ASSERT_EQUAL(figure("waiting"), 0);
		for (struct phca_child *c; (c = rig_child(&r)) != NULL;)
			rig_child_over(&r, c, OK);
		rig_settle(&r);
		CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_DETACHED, (void *)1), 1);
		CU_ASSERT_EQUAL(figure("under_way"), 0);
		phca_pqp_destroy(q);
		q = NULL;
		teardown();
	}
}

/* Members that are destroyed first, as at the end of the appliance. */
PHCA_TEST(bcast, members_that_go_in_the_middle)
{
	setup(NULL, 0);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 7);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 1000), 7);
	for (unsigned int i = 0; i < MEMBERS; i++) {
		rig_pqp_end(&r, member[i]);
		member[i] = NULL;
	}
	rig_settle(&r);
	rig_cq_expect(&cq, 100, FLUSH);
	rig_cq_expect(&cq, 101, FLUSH);
	teardown();
}

PHCA_TEST(bcast, the_own_peer_gets_it_too_in_order)
{
	const struct phca_setting_arg args[] = { BOOL("own_peer", 1) };

	setup(args, 1);
	CU_ASSERT_EQUAL(phca_offload_ordered(o), 1u << SEND);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 15);
	CU_ASSERT_EQUAL(memcmp(out[MEMBERS]->wr.inline_data, memory, 10), 0);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_RESUME, (void *)1), 1); /* later ones may go */
	for (unsigned int i = 0; i < MEMBERS; i++)
		over(i, OK);
	rig_cq_expect_empty(&cq);
	over(MEMBERS, OK);
	rig_cq_expect(&cq, 100, OK);
	for (unsigned int i = 0; i < MEMBERS; i++)
		fail(i);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 1000), 8); /* no member is left: to its peer all the same */
	over(MEMBERS, OK);
	rig_cq_expect(&cq, 101, OK);
	CU_ASSERT_EQUAL(post(PHCA_WR_SEND, 0, 10), 8);
	over(MEMBERS, GONE);
	rig_settle(&r);
	rig_cq_expect(&cq, 102, GONE);
	teardown();
}

/* A datagram to the address that was posted, and to the members, who have their own. */
PHCA_TEST(bcast, a_datagram_and_its_own_peer)
{
	const struct phca_setting_arg args[] = { BOOL("own_peer", 1) };
	struct phca_pqp *rc;
	struct phca_offload_wr *w;

	setup(args, 1);
	rc = q;
	q = rig_pqp(&r, 2, 64, &peers_cq, &cq, &o, 1, 0);
	w = post_raw(PHCA_WR_SEND, 0, 10);
	w->wqe.u.ud.remote_qpn = 0x123;
	w->wqe.u.ud.av.dgid[15] = 9;
	rig_turn(&r);
	CU_ASSERT_EQUAL(collect(), 15);
	CU_ASSERT(out[MEMBERS]->wr.wqe.u.ud.remote_qpn == 0x123 && out[MEMBERS]->wr.wqe.u.ud.av.dgid[15] == 9);
	for (unsigned int i = 0; i < MEMBERS; i++) {
		CU_ASSERT_EQUAL(out[i]->wr.wqe.u.ud.remote_qpn, 0);
		over(i, OK);
	}
	over(MEMBERS, OK);
	rig_cq_expect(&peers_cq, 100, OK);
	rig_pqp_end(&r, rc);
	teardown();
}

PHCA_TEST(bcast, a_write_goes_to_the_same_place_of_each_window)
{
	const struct phca_setting_arg args[] = { NUM("write_base", 0x1000) };
	struct phca_offload_wr *w;

	setup(args, 1);
	announce(0, 0, 0xa0, 0x10000, 64);
	announce(1, 0, 0xa1, 0x20000, 65);
	CU_ASSERT_EQUAL(figure("m[1].window_bytes"), 65);
	w = post_raw(PHCA_WR_RDMA_WRITE_WITH_IMM, 0, 60);
	w->wqe.u.rdma.remote_addr = 0x1005;
	w->wqe.imm = 77;
	rig_turn(&r);
	CU_ASSERT_EQUAL(collect(), 2); /* m[0]'s window is too short, m[2] has none */
	CU_ASSERT(out[1]->wr.wqe.u.rdma.remote_addr == 0x20005 && out[1]->wr.wqe.u.rdma.rkey == 0xa1);
	CU_ASSERT(out[1]->wr.wqe.opcode == PHCA_WR_RDMA_WRITE_WITH_IMM && out[1]->wr.wqe.imm == 77);
	CU_ASSERT(figure("missed") == 2 && figure("m[0].missed") == 1 && figure("m[2].missed") == 1);
	CU_ASSERT_EQUAL(figure("ready"), 3);
	over(1, OK);
	rig_cq_expect(&cq, 100, OK);
	announce(0, 1, 0xb0, 0x30000, 1u << 20);
	w = post_raw(PHCA_WR_RDMA_WRITE, 0, 10);
	w->wqe.u.rdma.remote_addr = 0x1000;
	rig_turn(&r);
	CU_ASSERT_EQUAL(collect(), 3);
	CU_ASSERT(out[0]->wr.wqe.u.rdma.remote_addr == 0x30000 && out[0]->wr.wqe.u.rdma.rkey == 0xb0);
	over(0, OK);
	over(1, OK);
	rig_cq_expect(&cq, 101, OK);
	/* in front of the base, and a member that came back has to announce again */
	fail(0);
	restart(0);
	CU_ASSERT_EQUAL(figure("m[0].window_bytes"), 0);
	w = post_raw(PHCA_WR_RDMA_WRITE, 0, 10);
	w->wqe.u.rdma.remote_addr = 0xfff;
	rig_turn(&r);
	CU_ASSERT_EQUAL(collect(), 0);
	rig_settle(&r);
	rig_cq_expect(&cq, 102, PHCA_WC_REM_ACCESS_ERR);
	teardown();
}

PHCA_TEST(bcast, announcements_are_looked_at_before_they_are_believed)
{
	struct phca_bcast_announce a;
	struct rig_in in = { .opcode = PHCA_RC_SEND_ONLY, .data = &a };

	setup(NULL, 0);
	for (uint32_t i = 0; i < 5; i++) {
		phca_bcast_announce_fill(&a, 1, i == 3 ? UINT64_MAX - 8 : 0x1000, i == 3 ? 9 : 64);
		a.magic ^= i == 0;
		a.version ^= i == 1;
		in.len = i == 2 ? sizeof(a) - 1 : sizeof(a);
		in.seq = i;
		rig_message_in(&r, member[0], &in);
		rig_turn(&r);
		CU_ASSERT_EQUAL(figure("bad_announcements"), i < 4 ? i + 1 : 4);
		CU_ASSERT_EQUAL(figure("m[0].window_bytes"), i < 4 ? 0 : 64);
	}
	CU_ASSERT_EQUAL(figure("announcements"), 1);
	announce(0, 5, 1, 0x1000, 0); /* withdrawn */
	CU_ASSERT_EQUAL(figure("m[0].window_bytes"), 0);
	teardown();
}

PHCA_TEST(bcast, what_it_cannot_do_it_refuses)
{
	static const uint8_t no[] = { PHCA_WR_RDMA_READ, PHCA_WR_ATOMIC_FETCH_AND_ADD, PHCA_WR_SEND_WITH_INV,
		PHCA_WR_LOCAL_INV, PHCA_WR_BIND_MW };
	struct rig_in in = { .opcode = PHCA_RC_SEND_ONLY, .data = memory, .len = 8 };

	for (unsigned int i = 0; i < RTE_DIM(no); i++) {
		setup(NULL, 0);
		CU_ASSERT_EQUAL(post(no[i], 0, 8), 0);
		rig_settle(&r);
		rig_cq_expect(&cq, 100, PHCA_WC_LOC_QP_OP_ERR);
		teardown();
	}
	setup(NULL, 0); /* inbound, of a queue pair that is no member */
	rig_message_in(&r, q, &in);
	rig_settle(&r);
	CU_ASSERT_EQUAL(rig_count(&r, PHCA_PREPLY_ERROR, (void *)1), 1);
	teardown();
}

PHCA_TEST(bcast, settings_that_cannot_be)
{
	const struct phca_setting_arg bad[][2] = {
		{ WORD("on_failure", "ignore"), NUM("quorum", 1) }, { NUM("max_members", 2), NUM("quorum", 3) },
		{ NUM("outstanding", 4097), NUM("quorum", 0) },
	};
	static const char *const text[] = {
		"setting on_failure: \"ignore\" is neither \"drop\" nor \"fail\"",
		"setting quorum: 3 is more than max_members, 2", "setting outstanding: 4097",
	};
	const struct phca_setting_arg few[] = { NUM("max_members", MEMBERS) };
	struct phca_offload_conf conf = { .name = "x", .ops = phca_offload_driver_find("bcast"), .nb_args = 2 };
	struct phca_pqp *more;
	char err[256];

	setup(few, 1);
	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		conf.args = bad[i];
		CU_ASSERT_PTR_NULL(phca_offload_create(r.p, &conf, err, sizeof(err)));
		CU_ASSERT_PTR_NOT_NULL(strstr(err, text[i]));
	}
	more = rig_pqp_rc(&r, 0x20, 16, &peers_cq, &o, 1, 0);
	CU_ASSERT_EQUAL(phca_offload_peer_add(o, more, "m[3]"), -ENOSPC);
	rig_pqp_end(&r, member[1]); /* its slot is free again */
	CU_ASSERT_EQUAL(phca_offload_peer_add(o, more, "m[3]"), 0);
	CU_ASSERT(figure("ready") == 3 && figure("m[3].ready") == 1);
	member[1] = more;
	teardown();
}
