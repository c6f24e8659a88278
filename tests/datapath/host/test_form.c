/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The form of messages: what is no message of the protocol ends the connection,
 * and the descriptors that came along are closed; what has wrong values gets an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

static const struct phca_admin_hello hello = { .version = PHCA_ADMIN_VERSION, .queue_abi = PHCA_QUEUE_ABI };

/* Send n bytes of m on a connection that said HELLO. @return whether it was closed */
static bool closes(struct rig *r, const union rig_msg *m, size_t n, const int *fds, unsigned int nb_fds)
{
	uint64_t bad = rig_stats(r).bad_messages;
	unsigned int before;
	struct peer p;
	bool ended;

	peer_open(r, &p);
	before = rig_fds();
	ended = peer_send(&p, m, n, fds, nb_fds) == -EPIPE;
	if (ended) {
		CU_ASSERT(rig_stats(r).bad_messages == bad + 1);
		CU_ASSERT(rig_fds() < before); /* the server's ends are closed, too */
		CU_ASSERT_EQUAL(r->gone, rig_stats(r).clients_closed);
	}
	peer_close(&p);
	return ended;
}

static union rig_msg *message(enum phca_admin_op op)
{
	static union rig_msg m;

	memset(&m, 0, sizeof(m));
	m.req.magic = PHCA_ADMIN_MAGIC;
	m.req.op = (uint16_t)op;
	m.req.len = (uint16_t)phca_admin_req_len(op);
	return &m;
}

PHCA_TEST(form, every_op_has_one_length)
{
	struct rig *r = rig_open(NULL);

	for (uint32_t op = PHCA_ADMIN_PORT_QUERY; op < 64; op++) {
		uint32_t len = phca_admin_req_len(op);
		union rig_msg *m;

		if (len == 0) {
			m = message((enum phca_admin_op)op);
			m->req.len = PHCA_ADMIN_REQ_HDR;
			CU_ASSERT(closes(r, m, PHCA_ADMIN_REQ_HDR, NULL, 0));
			continue;
		}
		m = message((enum phca_admin_op)op);
		CU_ASSERT(!closes(r, m, len, NULL, 0));
		m = message((enum phca_admin_op)op);
		m->req.len = (uint16_t)(len + 4);
		CU_ASSERT(closes(r, m, len + 4, NULL, 0)); /* too long, and says so */
		m = message((enum phca_admin_op)op);
		CU_ASSERT(closes(r, m, len - 1, NULL, 0)); /* shorter than it says */
		m->req.len = (uint16_t)(len - 1);
		CU_ASSERT(closes(r, m, len - 1, NULL, 0));
	}
	rig_close(r);
}

PHCA_TEST(form, nonsense_ends_the_connection)
{
	struct rig *r = rig_open(NULL);
	union rig_msg *m = message(PHCA_ADMIN_CLOCK);
	uint32_t len = phca_admin_req_len(PHCA_ADMIN_MR_REG);

	CU_ASSERT(closes(r, m, 1, NULL, 0));
	CU_ASSERT(closes(r, m, PHCA_ADMIN_REQ_HDR - 1, NULL, 0));
	m->req.magic++;
	CU_ASSERT(closes(r, m, PHCA_ADMIN_REQ_HDR, NULL, 0));
	m = message(PHCA_ADMIN_HELLO); /* a second one */
	m->req.u.hello = hello;
	CU_ASSERT(closes(r, m, m->req.len, NULL, 0));
	m = message(PHCA_ADMIN_MR_REG); /* segments that are not there, and too many */
	m->req.u.mr_reg.nb_segs = 2;
	CU_ASSERT(closes(r, m, len, NULL, 0));
	m->req.u.mr_reg.nb_segs = UINT32_MAX;
	CU_ASSERT(closes(r, m, len, NULL, 0));
	m->req.u.mr_reg.nb_segs = PHCA_ADMIN_SEGS_MAX + 1;
	m->req.len = (uint16_t)(len + (PHCA_ADMIN_SEGS_MAX + 1) * sizeof(struct phca_admin_seg));
	CU_ASSERT(closes(r, m, m->req.len, NULL, 0));
	CU_ASSERT(closes(r, m, sizeof(*m), NULL, 0));
	rig_close(r);
}

/* More than a message may have; then some where none belong, and others than it says. */
PHCA_TEST(form, descriptors_are_as_said_and_never_stay)
{
	struct rig *r = rig_open(NULL);
	union rig_msg *m = message(PHCA_ADMIN_CLOCK);
	int fds[PHCA_ADMIN_FDS_MAX + 8];
	unsigned int n;

	for (unsigned int i = 0; i < RTE_DIM(fds); i++)
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	n = rig_fds();
	CU_ASSERT(closes(r, m, m->req.len, fds, RTE_DIM(fds)));
	CU_ASSERT(closes(r, m, m->req.len, fds, 1));
	m->req.nb_fds = 1;
	CU_ASSERT(closes(r, m, m->req.len, fds, 1)); /* an op that takes none */
	CU_ASSERT(closes(r, m, m->req.len, NULL, 0));
	m = message(PHCA_ADMIN_MEM_SHARE);
	m->req.u.mem_share.which = PHCA_ADMIN_MEM_SWAP;
	CU_ASSERT(closes(r, m, m->req.len, NULL, 0)); /* one is missing */
	m->req.nb_fds = 2;
	CU_ASSERT(closes(r, m, m->req.len, fds, 2)); /* one too many */
	m->req.nb_fds = 1;
	CU_ASSERT(!closes(r, m, m->req.len, fds, 1)); /* no memory object */
	m = message(PHCA_ADMIN_MR_REG); /* a file's, and no such segment */
	m->req.u.mr_reg = (struct phca_admin_mr_reg){ .addr = RIG_VA, .length = 1, .nb_segs = 0 };
	m->req.nb_fds = 3;
	CU_ASSERT(closes(r, m, m->req.len, fds, 2));
	CU_ASSERT_EQUAL(rig_fds(), n);
	for (unsigned int i = 0; i < RTE_DIM(fds); i++)
		close(fds[i]);
	rig_close(r);
}

PHCA_TEST(form, hello_comes_first)
{
	struct rig *r = rig_open(NULL);
	struct phca_admin_hello h = hello;
	struct peer p;

	CU_ASSERT(peer_connect(r, &p));
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_CLOCK, NULL, 0), -EPIPE);
	peer_close(&p);
	CU_ASSERT(peer_connect(r, &p));
	h.flags = PHCA_ADMIN_HELLO_PROBE;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_HELLO, &h, sizeof(h)), 0);
	CU_ASSERT_EQUAL(p.nb_fds, 0);
	CU_ASSERT_STRING_EQUAL(p.ans.u.hello.device.name, "phcatest");
	h.port = 1;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_HELLO, &h, sizeof(h)), -ENODEV);
	CU_ASSERT_EQUAL(rig_stats(r).clients, 0);
	CU_ASSERT_EQUAL(rig_stats(r).connected, 1);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_PD_ALLOC, NULL, 0), -EPIPE);
	peer_close(&p);
	CU_ASSERT_EQUAL(rig_stats(r).connected, 0);
	CU_ASSERT_EQUAL(rig_stats(r).bad_messages, 2);
	rig_close(r);
}

PHCA_TEST(form, other_versions_are_told_ours)
{
	struct rig *r = rig_open(NULL);
	struct { struct phca_admin_hello h; uint8_t more[40]; } longer = { .h = { .version = 77 } };
	struct phca_admin_hello h = hello;
	struct peer p;

	CU_ASSERT(peer_connect(r, &p));
	h.version++;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_HELLO, &h, sizeof(h)), -EPROTO);
	CU_ASSERT_EQUAL(p.ans.u.hello.version, PHCA_ADMIN_VERSION);
	CU_ASSERT_EQUAL(p.ans.u.hello.queue_abi, PHCA_QUEUE_ABI);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_HELLO, &longer, sizeof(longer)), -EPROTO);
	h = hello;
	h.queue_abi--;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_HELLO, &h, sizeof(h)), -EPROTO);
	h = hello;
	h.flags = 0x80;
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_HELLO, &h, sizeof(h)), -EINVAL);
	CU_ASSERT_EQUAL(rig_stats(r).refused_version, 3);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_HELLO, &hello, sizeof(hello)), 0);
	peer_close(&p);
	rig_close(r);
}

/* One that asks and asks and never reads is closed; nobody waits for it. */
PHCA_TEST(form, who_does_not_read_is_closed)
{
	struct rig *r = rig_open(NULL);
	union rig_msg *m = message(PHCA_ADMIN_GIDS_QUERY);
	struct peer p, other;
	unsigned int i;

	peer_open(r, &p);
	peer_open(r, &other);
	for (i = 0; i < 100000; i++) {
		if (send(p.fd, m, m->req.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		rig_poll(r);
	}
	CU_ASSERT_EQUAL(rig_stats(r).stuck, 1);
	CU_ASSERT_EQUAL(rig_stats(r).clients, 1);
	CU_ASSERT_EQUAL(peer_call(&other, PHCA_ADMIN_CLOCK, NULL, 0), 0);
	peer_close(&p);
	peer_close(&other);
	rig_close(r);
}

/* Any bytes: seeded, mostly with the right magic and length. */
PHCA_TEST(form, random_messages)
{
	struct rig *r = rig_open(NULL);
	union rig_msg m;
	struct peer p;
	uint64_t s = 12345;

	peer_open(r, &p);
	for (unsigned int i = 0; i < 3000; i++) {
		uint32_t len;

		for (unsigned int b = 0; b < 256; b += 8) {
			s = s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			/* small numbers, as handles are */
			m.bytes[b] = (uint8_t)(s >> 33) & 7;
			memset(m.bytes + b + 1, s >> 40 & 1 ? 0 : (int)(s >> 50), 7);
		}
		m.req.op = (uint16_t)((s >> 20) % 37);
		len = phca_admin_req_len(m.req.op);
		m.req.magic = PHCA_ADMIN_MAGIC;
		m.req.len = (uint16_t)len;
		m.req.nb_fds = 0;
		if (m.req.op == PHCA_ADMIN_HELLO || len == 0 || m.req.op == PHCA_ADMIN_MEM_SHARE)
			continue;
		if (m.req.op == PHCA_ADMIN_MR_REG)
			m.req.u.mr_reg.nb_segs = 0;
		CU_ASSERT_NOT_EQUAL(peer_send(&p, &m, len, NULL, 0), -EPIPE);
		lab_turn(r->lab, 1);
	}
	CU_ASSERT_EQUAL(rig_stats(r).bad_messages, 0);
	CU_ASSERT(rig_stats(r).failed > 100 && rig_stats(r).failed < rig_stats(r).requests);
	peer_close(&p);
	rig_close(r);
}
