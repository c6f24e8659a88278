/* SPDX-License-Identifier: BSD-3-Clause */
/* The offloads of config/offloads do what the comments in them say, request by request. */
#include <stdio.h>
#include <string.h>

#include "bpf_rig.h"

#include "kv.h"

#define BUCKETS 2u

static struct kv_slot *slot(uint64_t key, unsigned int way)
{
	return (struct kv_slot *)(void *)bpf.memory + kv_bucket(key, BUCKETS) * KV_WAYS % 8 + way;
}

static void slot_set(uint64_t key, unsigned int way, const char *value)
{
	struct kv_slot *s = slot(key, way);

	s->head = (struct kv_slot_head){ .version = 2, .len = (uint32_t)strlen(value), .key = key };
	memcpy(s->value, value, strlen(value));
}

static void get(uint32_t seq, uint64_t key, uint32_t rkey)
{
	const struct kv_request req = { .magic = KV_MAGIC, .op = KV_GET, .id = 7 + seq, .rkey = rkey, .key = key,
		.table = IOVA, .buckets = BUCKETS };

	bpf_send_in(seq, ORD, &req, sizeof(req));
	rig_turn(&bpf.r);
}

/* The next reply. */
static void reply(uint32_t id, int32_t status, const char *value)
{
	struct phca_child *c = rig_child(&bpf.r);
	struct kv_reply r;

	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	CU_ASSERT_EQUAL_FATAL(c->wr.len, sizeof(r) + strlen(value));
	memcpy(&r, c->wr.inline_data, sizeof(r));
	CU_ASSERT_EQUAL(r.magic, KV_REPLY);
	CU_ASSERT_EQUAL(r.id, id);
	CU_ASSERT_EQUAL(r.status, status);
	CU_ASSERT_EQUAL(r.len, strlen(value));
	CU_ASSERT_EQUAL(memcmp(c->wr.inline_data + sizeof(r), value, strlen(value)), 0);
	CU_ASSERT_PTR_EQUAL(c->pqp, bpf.q);
	rig_child_over(&bpf.r, c, OK);
	rig_turn(&bpf.r);
}

static unsigned int passes(void)
{
	return rig_count(&bpf.r, PHCA_PREPLY_PASS, (void *)1);
}

PHCA_TEST(bpf_shipped, kv_get)
{
	const struct kv_request put = { .magic = KV_MAGIC, .op = KV_PUT, .key = 5 };
	char value[KV_VALUE_MAX + 1];

	bpf_setup("kv_get.", NULL, 0, NULL, 0);
	memset(bpf.memory, 0, BYTES);
	memset(value, 'v', KV_VALUE_MAX);
	value[KV_VALUE_MAX] = '\0';
	slot_set(5, 0, "five");
	slot_set(6, 3, value); /* the last way, as long as can be */
	get(0, 5, bpf.read_only);
	reply(7, 0, "five");
	get(1, 6, bpf.read_only);
	reply(8, 0, value);
	get(2, 99, bpf.read_only);
	reply(9, -2, "");
	CU_ASSERT_EQUAL(passes(), 0);
	slot(5, 0)->head.version = 3; /* it is being written */
	get(3, 5, bpf.read_only);
	CU_ASSERT_EQUAL(passes(), 1);
	slot(5, 0)->head.version = 4;
	get(4, 5, bpf.local); /* the peer has no right to read it */
	CU_ASSERT_EQUAL(passes(), 2);
	slot(5, 0)->head.len = KV_VALUE_MAX + 1; /* an application that is wrong */
	get(5, 5, bpf.read_only);
	CU_ASSERT_EQUAL(passes(), 3);
	bpf_send_in(6, ORD, &put, sizeof(put));
	bpf_send_in(7, ORD, "short", 5);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(passes(), 5);
	CU_ASSERT_STRING_EQUAL(bpf_entry("stats", "0"), "2");
	CU_ASSERT_STRING_EQUAL(bpf_entry("stats", "1"), "1");
	CU_ASSERT_STRING_EQUAL(bpf_entry("stats", "2"), "1");
	CU_ASSERT_STRING_EQUAL(bpf_entry("stats", "3"), "2");
	for (uint32_t seq = 3; seq < 8; seq++)
		rig_complete(&bpf.r, bpf.q, PHCA_DIR_RECV, seq, seq, OK, 0);
	bpf_teardown();
}

PHCA_TEST(bpf_shipped, kv_get_where_the_operator_says)
{
	char text[128], err[PHCA_FILTER_ERR_MAX];

	bpf_setup("kv_get.", NULL, 0, NULL, 0);
	memset(bpf.memory, 0, BYTES);
	slot_set(5, 1, "five");
	snprintf(text, sizeof(text), "{va=%u,buckets=%u,rkey=%u}", IOVA, BUCKETS, bpf.rkey);
	CU_ASSERT_EQUAL(phca_filter_map_set(bpf.slot.cur, "table", "0", text, err, sizeof(err)), 0);
	get(0, 5, 0);
	reply(7, 0, "five");
	bpf_teardown();
}

PHCA_TEST(bpf_shipped, access_log)
{
	const struct phca_filter_param p = { .name = "key_offset", .kind = PHCA_FV_UINT, .u = 2 };
	struct rig_in in = { .seq = 2, .flags = ORD, .opcode = PHCA_RC_WRITE_ONLY_IMM, .data = "1234", .len = 4,
		.va = IOVA + 4096, .rkey = 0 };

	bpf_setup("access_log.", &p, 1, NULL, 0);
	bpf.r.now_ns = 5000;
	bpf_send_in(0, ORD, "--\1\0\0\0\0\0\0\0", 10);
	bpf_send_in(1, ORD, "--\1\0\0\0\0\0\0\0 and more", 19);
	in.rkey = bpf.rkey;
	rig_message_in(&bpf.r, bpf.q, &in);
	bpf_post(0, PHCA_WR_SEND, 1);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(passes(), 4);
	CU_ASSERT_STRING_EQUAL(bpf_entry("peers", "{gid=::ffff:0.0.0.0,qpn=1,opcode=0,direction=1}"),
		"{requests=2,bytes=29}");
	CU_ASSERT_STRING_EQUAL(bpf_entry("peers", "{gid=::ffff:0.0.0.0,qpn=1,opcode=1,direction=1}"),
		"{requests=1,bytes=4}");
	CU_ASSERT_STRING_EQUAL(bpf_entry("peers", "{gid=::,qpn=1,opcode=0,direction=0}"), "{requests=1,bytes=32}");
	CU_ASSERT_STRING_EQUAL(bpf_entry("keys", "1"), "2");
	CU_ASSERT_STRING_EQUAL(bpf_entry("keys", "257"), "1"); /* IOVA + 4096, without 12 bits */
	CU_ASSERT_STRING_EQUAL(bpf_global("recorded"), "4");
	CU_ASSERT_STRING_EQUAL(bpf_global("lost"), "0");
	CU_ASSERT_STRING_EQUAL(bpf_entry("last", "2"), "{time_ns=5000,key=257,qpn=1,len=4,opcode=1,direction=1}");
	rig_complete(&bpf.r, bpf.q, PHCA_DIR_SEND, 0, 1, OK, 0);
	for (uint32_t seq = 0; seq < 3; seq++)
		rig_complete(&bpf.r, bpf.q, PHCA_DIR_RECV, seq, seq, OK, 0);
	bpf_teardown();
}

/* A WRITE of the log, or of other memory. */
static void log_write(uint32_t seq, uint64_t wr_id, uint32_t rkey)
{
	bpf_post(seq, PHCA_WR_RDMA_WRITE, wr_id);
	bpf.wr[seq].wqe.u.rdma.remote_addr = 0x5040;
	bpf.wr[seq].wqe.u.rdma.rkey = rkey;
	rig_turn(&bpf.r);
}

PHCA_TEST(bpf_shipped, wal_mirror)
{
	char err[PHCA_FILTER_ERR_MAX];
	struct phca_child *a, *b;
	struct phca_pqp *mirror;

	bpf_setup("wal_mirror.", NULL, 0, NULL, 0);
	mirror = rig_pqp_rc(&bpf.r, 2, 64, &bpf.cq2, &bpf.o, 1, 0);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(phca_offload_peer_add(bpf.o, mirror, "mirror"), 0);
	CU_ASSERT_EQUAL(phca_filter_map_set(bpf.slot.cur, "logs", "9", "{va=0x5000,mirror=0x8000,rkey=0x77,rsvd=0}",
		err, sizeof(err)), 0);
	log_write(0, 1, 9);
	a = rig_child(&bpf.r);
	b = rig_child(&bpf.r);
	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	CU_ASSERT_PTR_EQUAL(a->pqp, bpf.q);
	CU_ASSERT_EQUAL(a->wr.wqe.u.rdma.remote_addr, 0x5040);
	CU_ASSERT_PTR_EQUAL(b->pqp, mirror);
	CU_ASSERT_EQUAL(b->wr.wqe.opcode, PHCA_WR_RDMA_WRITE);
	CU_ASSERT_EQUAL(b->wr.wqe.u.rdma.remote_addr, 0x8040);
	CU_ASSERT_EQUAL(b->wr.wqe.u.rdma.rkey, 0x77);
	CU_ASSERT_PTR_EQUAL(b->wr.sge, &bpf.sge[0]);
	rig_child_over(&bpf.r, a, OK);
	rig_settle(&bpf.r);
	rig_cq_expect_empty(&bpf.cq); /* not yet in both places */
	rig_child_over(&bpf.r, b, OK);
	rig_settle(&bpf.r);
	rig_cq_expect(&bpf.cq, 1, OK);
	log_write(1, 2, 10); /* other memory goes on unchanged */
	CU_ASSERT_EQUAL(passes(), 1);
	rig_complete(&bpf.r, bpf.q, PHCA_DIR_SEND, 1, 2, OK, 0);
	rig_settle(&bpf.r);
	rig_cq_expect(&bpf.cq, 2, OK);
	bpf_post(2, PHCA_WR_SEND_WITH_IMM, 3);
	bpf.wr[2].wqe.imm = 0xbeef;
	rig_turn(&bpf.r);
	a = rig_child(&bpf.r);
	b = rig_child(&bpf.r);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	CU_ASSERT_EQUAL(b->wr.wqe.opcode, PHCA_WR_SEND_WITH_IMM);
	CU_ASSERT_EQUAL(b->wr.wqe.imm, 0xbeef);
	rig_child_over(&bpf.r, a, OK);
	rig_child_over(&bpf.r, b, PHCA_WC_RETRY_EXC_ERR); /* the mirror does not answer */
	rig_settle(&bpf.r);
	rig_cq_expect(&bpf.cq, 3, PHCA_WC_RETRY_EXC_ERR);
	CU_ASSERT_STRING_EQUAL(bpf_global("mirrored"), "2");
	rig_pqp_end(&bpf.r, mirror);
	bpf_teardown();
}

PHCA_TEST(bpf_shipped, wal_mirror_without_its_mirror)
{
	const struct phca_filter_param alone = { .name = "alone", .kind = PHCA_FV_BOOL, .u = 1 };

	bpf_setup("wal_mirror.", &alone, 1, NULL, 0);
	bpf_post(0, PHCA_WR_SEND, 1);
	rig_turn(&bpf.r);
	CU_ASSERT_EQUAL(passes(), 1);
	CU_ASSERT_STRING_EQUAL(bpf_global("unmirrored"), "1");
	rig_complete(&bpf.r, bpf.q, PHCA_DIR_SEND, 0, 1, OK, 0);
	bpf_teardown();
	bpf_setup("wal_mirror.", NULL, 0, NULL, 0);
	bpf_post(0, PHCA_WR_SEND, 1);
	rig_settle(&bpf.r);
	rig_cq_expect(&bpf.cq, 1, PHCA_WC_REM_ABORT_ERR);
	bpf_teardown();
}
