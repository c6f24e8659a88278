/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients of other processes: where rings lie, whose events they are. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "outside.h"

PHCA_TEST(outside, rings_lie_where_the_client_says)
{
	struct lab *l = lab_open(NULL);
	struct outside o;
	struct phca_wc wc[4];

	outside_open(&o, l, false);
	CU_ASSERT_EQUAL(o.nb_live, 1 + 3); /* doorbells, CQ, SQ, RQ */
	CU_ASSERT_PTR_EQUAL(phca_client_priv(o.c), &o);
	CU_ASSERT_PTR_EQUAL(phca_qp_client(o.qp), o.c);
	CU_ASSERT_PTR_EQUAL(phca_cq_client(o.cq), o.c);
	for (unsigned int i = 0; i < 100; i++) {
		outside_post(&o, 2, PHCA_SEND_SIGNALED);
		lab_turn(l, 4);
		CU_ASSERT_EQUAL_FATAL(phca_cq_poll(&o.cqr, wc, 4), 4);
		for (unsigned int k = 0; k < 4; k++)
			CU_ASSERT_EQUAL(wc[k].status, PHCA_WC_SUCCESS);
		CU_ASSERT_EQUAL(memcmp(o.buf + PHCA_GRH_LEN, "outside", 8), 0);
	}
	outside_close(&o);
	lab_close(l);
}

/* A queue pair with an SRQ has no receive ring; what is destroyed is given back. */
PHCA_TEST(outside, rings_are_given_back)
{
	struct lab *l = lab_open(NULL);
	struct outside o;
	struct phca_srq_init si = { .pd = l->pd, .max_wr = 16, .max_sge = 1 };
	struct phca_qp_init i = { .type = PHCA_QPT_RC, .pd = l->pd, .max_send_wr = 4 };
	struct phca_ring_mem sq, rq, srq_mem, none;
	struct phca_ring view;
	struct phca_srq *srq;
	struct phca_qp *qp;

	outside_open(&o, l, false);
	CU_ASSERT_FATAL(phca_srq_create(o.c, &si, &srq) == 0);
	CU_ASSERT_PTR_EQUAL(phca_srq_client(srq), o.c);
	phca_srq_ring(srq, &srq_mem);
	outside_attach(&o, &view, &srq_mem, PHCA_RING_RQ);
	CU_ASSERT_EQUAL(phca_ring_size(&view), 16);
	i.send_cq = i.recv_cq = o.cq;
	i.srq = srq;
	CU_ASSERT_FATAL(phca_qp_create(o.c, &i, &qp) == 0);
	CU_ASSERT_EQUAL(o.nb_live, 4 + 2);
	phca_qp_rings(qp, &sq, &rq);
	CU_ASSERT(sq.bytes == phca_ring_bytes(4, phca_send_stride(0, 0)));
	CU_ASSERT(rq.mem == NULL && rq.bytes == 0);
	phca_client_db(o.c, 1, &none);
	CU_ASSERT(none.mem == NULL);
	CU_ASSERT_EQUAL(phca_qp_destroy(qp), 0);
	CU_ASSERT_EQUAL(phca_srq_destroy(srq), 0);
	CU_ASSERT_EQUAL(o.nb_live, 4);
	i.srq = NULL;
	i.max_send_wr = i.max_recv_wr = PHCA_QP_DEPTH_MAX; /* more than the arena has */
	CU_ASSERT_EQUAL(phca_qp_create(o.c, &i, &qp), -ENOMEM);
	si.max_wr = PHCA_QP_DEPTH_MAX;
	si.max_sge = PHCA_SGE_MAX;
	CU_ASSERT_EQUAL(phca_srq_create(o.c, &si, &srq), -ENOMEM);
	CU_ASSERT_EQUAL(phca_cq_create(o.c, PHCA_CQE_MAX, &(struct phca_cq *){ NULL }), -ENOMEM);
	CU_ASSERT_EQUAL(o.nb_live, 4);
	outside_close(&o);
	lab_close(l);
}

/* Armed, a completion makes one note, whichever lcore writes the CQ. */
static void notes_of(bool proxy)
{
	struct lab *l = lab_open(NULL);
	struct phca_cq_info info;
	struct phca_wc wc[8];
	struct outside o;
	int fd[2];

	outside_open(&o, l, false);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
	CU_ASSERT_EQUAL(phca_cq_notify_set(o.cq, fd[1]), 0);
	outside_post(&o, 1, PHCA_SEND_SIGNALED);
	lab_turn(l, 4);
	CU_ASSERT_EQUAL(outside_notes(fd[0], o.cq), 0); /* not armed */
	if (proxy)
		CU_ASSERT_EQUAL(phca_qp_proxy_attach(o.qp, NULL, 0, 64), 0);
	CU_ASSERT_EQUAL(phca_cq_poll(&o.cqr, wc, 8), 2);
	for (unsigned int i = 0; i < 100; i++) {
		phca_cq_arm(&o.cqr, false);
		CU_ASSERT_EQUAL(phca_cq_poll(&o.cqr, wc, 8), 0);
		outside_post(&o, 2, PHCA_SEND_SIGNALED);
		lab_turn(l, 4);
		CU_ASSERT_EQUAL(outside_notes(fd[0], o.cq), 1);
		CU_ASSERT_EQUAL_FATAL(phca_cq_poll(&o.cqr, wc, 8), 4);
	}
	phca_cq_arm(&o.cqr, true);
	outside_post(&o, 1, PHCA_SEND_SIGNALED);
	lab_turn(l, 4);
	CU_ASSERT_EQUAL(outside_notes(fd[0], o.cq), 0);
	outside_post(&o, 1, PHCA_SEND_SIGNALED | PHCA_SEND_SOLICITED);
	lab_turn(l, 4);
	CU_ASSERT_EQUAL(outside_notes(fd[0], o.cq), 1);
	phca_cq_info_get(o.cq, &info);
	CU_ASSERT_EQUAL(info.notes, 101);
	CU_ASSERT_EQUAL(info.proxy_owned, proxy);
	phca_cq_arm(&o.cqr, false);
	CU_ASSERT_EQUAL(phca_cq_notify_set(o.cq, -1), 0);
	outside_post(&o, 1, PHCA_SEND_SIGNALED);
	lab_turn(l, 4);
	CU_ASSERT_EQUAL(outside_notes(fd[0], o.cq), 0);
	CU_ASSERT_EQUAL(phca_cq_notify_set(o.cq, fd[1]), 0);
	lab_turn(l, 1);
	CU_ASSERT_EQUAL(outside_notes(fd[0], o.cq), 1); /* it was armed before that one came */
	outside_close(&o);
	close(fd[0]);
	close(fd[1]);
	lab_close(l);
}

PHCA_TEST(outside, notes_of_the_hca)
{
	notes_of(false);
}

PHCA_TEST(outside, notes_of_the_proxy)
{
	notes_of(true);
}

/* Those that found no room follow the CQ to its new owner, and go with it. */
PHCA_TEST(outside, notes_that_are_owed_follow_the_cq)
{
	struct lab *l = lab_open(NULL);
	unsigned int armed = 0, got = 0;
	struct phca_cq_info info;
	struct phca_wc wc[8];
	struct outside o;
	int fd[2];

	outside_open(&o, l, false);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
	CU_ASSERT_EQUAL(phca_cq_notify_set(o.cq, fd[1]), 0);
	do {
		phca_cq_arm(&o.cqr, false);
		outside_post(&o, 1, PHCA_SEND_SIGNALED);
		lab_turn(l, 4);
		CU_ASSERT_EQUAL_FATAL(phca_cq_poll(&o.cqr, wc, 8), 2);
		armed++;
		phca_cq_info_get(o.cq, &info);
	} while (info.notes == armed && armed < 100000);
	CU_ASSERT_EQUAL(info.notes, armed - 1);
	CU_ASSERT_EQUAL(phca_qp_proxy_attach(o.qp, NULL, 0, 64), 0);
	CU_ASSERT_PTR_NULL(phca_proxy_cqs(l->proxy)->owing);
	lab_turn_proxy(l, 1);
	CU_ASSERT_PTR_NOT_NULL(phca_proxy_cqs(l->proxy)->owing);
	got = outside_notes(fd[0], o.cq);
	for (unsigned int i = 0; i < 4; i++) {
		lab_turn(l, 200);
		got += outside_notes(fd[0], o.cq);
	}
	CU_ASSERT_EQUAL(got, armed);
	do { /* and now it is destroyed while it owes */
		phca_cq_arm(&o.cqr, false);
		outside_post(&o, 1, PHCA_SEND_SIGNALED);
		lab_turn(l, 4);
		CU_ASSERT_EQUAL_FATAL(phca_cq_poll(&o.cqr, wc, 8), 2);
		armed++;
		phca_cq_info_get(o.cq, &info);
	} while (info.notes == armed && armed < 100000);
	outside_close(&o);
	lab_turn(l, 4);
	close(fd[0]);
	close(fd[1]);
	lab_close(l);
}

/* A CQ that overran tells its consumer; so does an HCA lcore that drops completions. */
PHCA_TEST(outside, overrun_makes_a_note)
{
	struct lab *l = lab_open(NULL);
	struct phca_cq_info info;
	struct outside o;
	int fd[2];

	outside_open(&o, l, false);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
	CU_ASSERT_EQUAL(phca_cq_notify_set(o.cq, fd[1]), 0);
	for (unsigned int i = 0; i < 8; i++) { /* 8 x 64: as many as there are slots */
		outside_post(&o, 32, PHCA_SEND_SIGNALED);
		lab_turn(l, 40);
	}
	phca_cq_info_get(o.cq, &info);
	CU_ASSERT_FALSE(info.overrun);
	phca_cq_arm(&o.cqr, true);
	outside_post(&o, 1, PHCA_SEND_SIGNALED);
	lab_turn(l, 4);
	phca_cq_info_get(o.cq, &info);
	CU_ASSERT_TRUE(info.overrun);
	CU_ASSERT_EQUAL(outside_notes(fd[0], o.cq), 1);
	outside_close(&o);
	close(fd[0]);
	close(fd[1]);
	lab_close(l);
}

static void *run(void *loop)
{
	phca_loop_run(loop);
	return NULL;
}

/* The lcore sleeps for real here: whoever rings is told, and wakes it. */
PHCA_TEST(outside, sleeping_lcore_is_woken)
{
	const struct lab_opts opts = { .sleeps = true };
	struct lab *l = lab_open(&opts);
	const uint64_t one = 1;
	struct phca_loop_stats st;
	unsigned int told = 0, rounds = 0;
	struct phca_wc wc[8];
	struct outside o;
	pthread_t t;

	outside_open(&o, l, true);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, run, l->hca_loop), 0);
	while (told < 20 && rounds++ < 10000) {
		int n = 0;

		for (unsigned int i = 0; i < 5000; i++) {
			if (__atomic_load_n(&o.db.hdr->armed, __ATOMIC_RELAXED) != 0)
				break;
			usleep(20);
		}
		if (outside_post(&o, 1, PHCA_SEND_SIGNALED)) {
			CU_ASSERT_EQUAL(write(o.wake_fd, &one, sizeof(one)), (ssize_t)sizeof(one));
			told++;
		}
		for (unsigned int i = 0; i < 100000 && n < 2; i++) {
			int m = phca_cq_poll(&o.cqr, wc, 8);

			CU_ASSERT_FATAL(m >= 0);
			n += m;
			if (m == 0)
				usleep(20);
		}
		CU_ASSERT_EQUAL_FATAL(n, 2);
	}
	CU_ASSERT_EQUAL(told, 20);
	/* one that writes all the time keeps it awake, and that is all */
	for (unsigned int i = 0; i < 1000; i++)
		CU_ASSERT_EQUAL_FATAL(write(o.wake_fd, &one, sizeof(one)), (ssize_t)sizeof(one));
	phca_loop_stop(l->hca_loop);
	pthread_join(t, NULL);
	phca_loop_stats_get(l->hca_loop, &st);
	CU_ASSERT(st.wakes > 0);
	CU_ASSERT_EQUAL(o.db.hdr->armed, 0); /* nobody is to wake it */
	outside_close(&o);
	lab_close(l);
}

PHCA_TEST(outside, what_is_refused)
{
	struct lab *l = lab_open(NULL);
	struct phca_client_conf c = { .name = NULL, .max_qp = 1 };
	int fd[2], null = open("/dev/null", O_WRONLY);
	struct phca_cq *cq;

	CU_ASSERT_EQUAL_FATAL(phca_cq_create(l->client, 4, &cq), 0);
	CU_ASSERT_EQUAL(phca_cq_notify_set(cq, null), -EINVAL);
	CU_ASSERT_EQUAL(phca_cq_notify_set(cq, 9999), -EBADF);
	CU_ASSERT_EQUAL_FATAL(pipe(fd), 0);
	CU_ASSERT_EQUAL(phca_cq_notify_set(cq, fd[1]), -EINVAL); /* would block */
	CU_ASSERT_EQUAL(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0);
	CU_ASSERT_EQUAL(phca_cq_notify_set(cq, fd[1]), 0);
	CU_ASSERT_EQUAL(phca_cq_destroy(cq), 0);
	close(fd[0]);
	close(fd[1]);
	c = (struct phca_client_conf){ .name = "c", .max_qp = 1, .wake_fds = &null };
	CU_ASSERT_PTR_NULL(phca_client_open_conf(l->hca, &c)); /* cannot be waited for */
	close(null);
	c = (struct phca_client_conf){ .name = NULL, .max_qp = 1 };

	CU_ASSERT_PTR_NULL(phca_client_open_conf(l->hca, &c));
	c.name = "c";
	c.max_qp = 0;
	CU_ASSERT_PTR_NULL(phca_client_open_conf(l->hca, &c));
	c.max_qp = (1u << 20) + 1;
	CU_ASSERT_PTR_NULL(phca_client_open_conf(l->hca, &c));
	lab_close(l);
}
