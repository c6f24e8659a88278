/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients that are killed: a process of its own makes objects, one request after
 * another, and gets SIGKILL while the server serves it. Whatever it had goes.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"

#define ROUNDS 60

/* In the child: nothing of the rig but its path. One of each, over and over; answers are not looked at. */
static void child(const char *path)
{
	static const enum phca_admin_op ops[] = {
		PHCA_ADMIN_PD_ALLOC, PHCA_ADMIN_CHANNEL_CREATE, PHCA_ADMIN_CQ_CREATE, PHCA_ADMIN_SRQ_CREATE,
		PHCA_ADMIN_QP_CREATE, PHCA_ADMIN_MW_ALLOC, PHCA_ADMIN_QP_MODIFY, PHCA_ADMIN_GIDS_QUERY,
	};
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	union rig_msg m;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		_exit(1);
	for (unsigned int i = 0;; i++) {
		enum phca_admin_op op = i == 0 ? PHCA_ADMIN_HELLO : ops[(i - 1) % RTE_DIM(ops)];

		memset(&m, 0, sizeof(m));
		m.req = (struct phca_admin_req){
			.magic = PHCA_ADMIN_MAGIC, .op = (uint16_t)op, .len = (uint16_t)phca_admin_req_len(op),
		};
		if (op == PHCA_ADMIN_HELLO)
			m.req.u.hello = (struct phca_admin_hello){ PHCA_ADMIN_VERSION, PHCA_QUEUE_ABI, 0, 0 };
		else if (op == PHCA_ADMIN_CQ_CREATE)
			m.req.u.cq_create = (struct phca_admin_cq_create){ 16, 0 };
		else if (op == PHCA_ADMIN_SRQ_CREATE)
			m.req.u.srq_create = (struct phca_admin_srq_create){ .max_wr = 4 };
		else if (op == PHCA_ADMIN_QP_CREATE)
			m.req.u.qp_create = (struct phca_admin_qp_create){
				.type = 4, .srq = i & 8 ? 0 : PHCA_ADMIN_NONE };
		else if (op == PHCA_ADMIN_MW_ALLOC)
			m.req.u.mw_alloc = (struct phca_admin_mw_alloc){ 0, 1 };
		else if (op == PHCA_ADMIN_QP_MODIFY)
			m.req.u.qp_modify = (struct phca_admin_qp_modify){ .handle = i / RTE_DIM(ops), .mask = 0x71,
				.attr = { .state = 1, .port_num = 1 } };
		if (send(fd, &m, m.req.len, MSG_NOSIGNAL) < 0 || recv(fd, &m, sizeof(m), 0) <= 0)
			_exit(0);
	}
}

PHCA_TEST(kill, in_the_middle_of_anything)
{
	struct rig *r = rig_open(NULL);
	unsigned int fds = rig_fds(), maps = rig_maps();
	uint64_t opened = 0, objects = 0;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		pid_t pid = fork();
		int status;

		CU_ASSERT_FATAL(pid >= 0);
		if (pid == 0)
			child(r->path);
		/* so many requests are served before it dies */
		while (rig_stats(r).accepted == round || rig_stats(r).requests < opened + round)
			phca_host_poll(r->host);
		opened = rig_stats(r).requests;
		objects += rig_stats(r).arena_used;
		kill(pid, SIGKILL);
		if (round % 2 != 0)
			phca_host_poll(r->host);
		CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
		CU_ASSERT(WIFSIGNALED(status));
		rig_poll(r);
		CU_ASSERT_EQUAL(rig_stats(r).connected, 0);
		CU_ASSERT_EQUAL(rig_stats(r).clients, 0);
		CU_ASSERT_EQUAL(rig_stats(r).arena_used, 0);
		CU_ASSERT_EQUAL(rig_fds(), fds);
		CU_ASSERT_EQUAL(rig_maps(), maps);
		CU_ASSERT_EQUAL(r->created, r->qps_gone);
		opened = rig_stats(r).requests;
	}
	CU_ASSERT(objects > 0 && r->created > ROUNDS);
	CU_ASSERT_EQUAL(rig_stats(r).bad_messages, 0);
	CU_ASSERT_EQUAL(rig_stats(r).clients_opened, rig_stats(r).clients_closed);
	rig_close(r);
}

/* Its end is the end of its process: a child that inherited the connection keeps nothing alive. */
PHCA_TEST(kill, connection_that_somebody_else_holds)
{
	const struct phca_admin_hello hello = { .version = PHCA_ADMIN_VERSION, .queue_abi = PHCA_QUEUE_ABI };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct rig *r = rig_open(NULL);
	struct peer p = { .r = r, .mem = -1, .arena = -1, .events = -1, .wake = -1 };
	int status;
	pid_t pid;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", r->path);
	p.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		if (connect(p.fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
			_exit(1);
		for (;;)
			pause();
	}
	while (rig_stats(r).accepted == 0)
		phca_host_poll(r->host);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_HELLO, &hello, sizeof(hello)), 0);
	CU_ASSERT_EQUAL(peer_call(&p, PHCA_ADMIN_PD_ALLOC, NULL, 0), 0);
	CU_ASSERT_EQUAL(rig_stats(r).clients, 1);
	kill(pid, SIGKILL);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	rig_poll(r);
	CU_ASSERT_EQUAL(rig_stats(r).clients, 0);
	CU_ASSERT_EQUAL(r->gone, 1);
	CU_ASSERT_EQUAL(r->who.pid, pid);
	CU_ASSERT_EQUAL(peer_answer(&p), -EPIPE);
	peer_close(&p);
	rig_close(r);
}
