/* SPDX-License-Identifier: BSD-3-Clause */
/* CQs that get another size while completions come: none is lost, all stay in order. */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "outside.h"

struct fx {
	struct lab *l;
	bool threads;            /* both lcores run; else the test turns them */
	pthread_t lcore[2];
	struct outside o;
	struct phca_ring next;   /* where the consumer goes on when cqr is empty */
	bool moves;
	uint64_t seen[2];        /* completions of sends and receives */
	int fd[2];
};

static void *run(void *loop)
{
	phca_loop_run(loop);
	return NULL;
}

static void threads_start(struct fx *x)
{
	struct phca_loop *loop[2] = { x->l->hca_loop, x->l->proxy_loop };

	x->threads = true;
	for (unsigned int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL_FATAL(pthread_create(&x->lcore[i], NULL, run, loop[i]), 0);
		while (!phca_loop_is_running(loop[i]))
			usleep(100);
	}
}

static void threads_stop(struct fx *x)
{
	x->threads = false;
	phca_loop_stop(x->l->hca_loop);
	phca_loop_stop(x->l->proxy_loop);
	for (unsigned int i = 0; i < 2; i++)
		pthread_join(x->lcore[i], NULL);
}

static void turn(struct fx *x, unsigned int n)
{
	if (x->threads)
		usleep(n);
	else
		lab_turn(x->l, n);
}

static void fx_open(struct fx *x, bool proxy)
{
	const struct lab_opts o = { .sleeps = true };

	x->l = lab_open(&o);
	x->threads = false;
	x->moves = false;
	x->seen[0] = x->seen[1] = 0;
	outside_open(&x->o, x->l, false);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, x->fd), 0);
	CU_ASSERT_EQUAL(phca_cq_notify_set(x->o.cq, x->fd[1]), 0);
	if (proxy)
		CU_ASSERT_EQUAL(phca_qp_proxy_attach(x->o.qp, NULL, 0, 64), 0);
}

static void fx_close(struct fx *x)
{
	outside_close(&x->o);
	close(x->fd[0]);
	close(x->fd[1]);
	lab_close(x->l);
}

/* Take up to n; each is the next of its kind. @return how many */
static unsigned int take(struct fx *x, unsigned int n)
{
	unsigned int got = 0;
	struct phca_wc wc;

	while (got < n) {
		if (phca_cq_poll(&x->o.cqr, &wc, 1) != 1) {
			if (!x->moves)
				break;
			x->o.cqr = x->next;
			x->moves = false;
			CU_ASSERT_EQUAL(phca_cq_resize_done(x->o.cq), 0);
			continue;
		}
		CU_ASSERT_EQUAL(wc.status, PHCA_WC_SUCCESS);
		CU_ASSERT_EQUAL(wc.wr_id, x->seen[wc.opcode == PHCA_WC_RECV]);
		x->seen[wc.opcode == PHCA_WC_RECV]++;
		got++;
	}
	return got;
}

static int resize(struct fx *x, uint32_t cqe)
{
	struct phca_ring_mem m;
	int ret = phca_cq_resize(x->o.cq, cqe);

	if (ret != 0)
		return ret;
	phca_cq_ring(x->o.cq, &m);
	outside_attach(&x->o, &x->next, &m, PHCA_RING_CQ);
	x->moves = true;
	return 0;
}

static void under_traffic(bool proxy, bool threads)
{
	unsigned int rings = 0, left = 0;
	uint64_t rnd = 7, posted = 0;
	struct fx x;

	fx_open(&x, proxy);
	if (threads)
		threads_start(&x);
	for (unsigned int round = 0; round < 2000; round++) {
		unsigned int n = 1 + (unsigned int)(phca_test_rand(&rnd) >> 20) % 8;

		if (left + 2 * n <= 48) {
			outside_post(&x.o, n, PHCA_SEND_SIGNALED);
			posted += n;
			left += 2 * n;
		}
		turn(&x, 3);
		if (round % 3 == 0)
			phca_cq_arm(&x.o.cqr, round & 1);
		if (round % 20 == 0)
			CU_ASSERT_EQUAL(phca_cq_notify_set(x.o.cq, round % 40 == 0 ? x.fd[1] : -1), 0);
		outside_notes(x.fd[0], x.o.cq);
		if (!x.moves && round % 50 == 49) {
			CU_ASSERT_EQUAL_FATAL(resize(&x, 48 + (uint32_t)(phca_test_rand(&rnd) >> 20) % 64), 0);
			rings++;
			CU_ASSERT_EQUAL(x.o.nb_live, 1 + 3 + 1);
		}
		left -= take(&x, (unsigned int)(phca_test_rand(&rnd) >> 20) % 12);
	}
	for (unsigned int i = 0; i < 10000 && x.seen[0] + x.seen[1] < 2 * posted; i++) {
		turn(&x, 10);
		take(&x, 100);
	}
	if (threads)
		threads_stop(&x);
	CU_ASSERT_EQUAL(x.seen[0], posted);
	CU_ASSERT_EQUAL(x.seen[1], posted);
	CU_ASSERT(rings > 20 && posted > 1000);
	CU_ASSERT_EQUAL(x.o.nb_live, 1 + 3);
	CU_ASSERT_EQUAL(resize(&x, 300), 0); /* closed before the consumer knows */
	fx_close(&x);
}

PHCA_TEST(resize, under_traffic_of_the_hca)
{
	under_traffic(false, false);
	under_traffic(false, true);
}

PHCA_TEST(resize, under_traffic_of_the_proxy)
{
	under_traffic(true, false);
	under_traffic(true, true);
}

/* Armed stays armed: in the old ring before, in the new one, and in the old one after it. */
static void armed_stays(bool proxy)
{
	struct phca_cq_info info;
	struct fx x;

	fx_open(&x, proxy);
	phca_cq_arm(&x.o.cqr, false);
	CU_ASSERT_EQUAL(resize(&x, 64), 0);
	CU_ASSERT_EQUAL(outside_notes(x.fd[0], x.o.cq), 0);
	outside_post(&x.o, 1, PHCA_SEND_SIGNALED);
	lab_turn(x.l, 4);
	CU_ASSERT_EQUAL(outside_notes(x.fd[0], x.o.cq), 1);
	/* the consumer knows the old ring only: arms it, looks, sees nothing */
	phca_cq_arm(&x.o.cqr, true);
	CU_ASSERT_EQUAL(phca_ring_avail_fresh(&x.o.cqr), 0);
	CU_ASSERT_EQUAL(take(&x, 8), 2); /* says that it has the new one */
	CU_ASSERT_EQUAL(outside_notes(x.fd[0], x.o.cq), 1);
	/* nothing came since: no note */
	CU_ASSERT_EQUAL(resize(&x, 32), 0);
	phca_cq_arm(&x.o.cqr, false);
	CU_ASSERT_EQUAL(take(&x, 8), 0);
	CU_ASSERT_EQUAL(outside_notes(x.fd[0], x.o.cq), 0);
	outside_post(&x.o, 1, PHCA_SEND_SIGNALED);
	lab_turn(x.l, 4);
	CU_ASSERT_EQUAL(outside_notes(x.fd[0], x.o.cq), 1);
	phca_cq_info_get(x.o.cq, &info);
	CU_ASSERT_EQUAL(info.cqe, 32);
	CU_ASSERT_EQUAL(info.proxy_owned, proxy);
	fx_close(&x);
}

PHCA_TEST(resize, armed_stays_armed)
{
	armed_stays(false);
	armed_stays(true);
}

/* As many as asked for fit, no more than the ring has do; what is in it sets the limit. */
PHCA_TEST(resize, what_is_refused)
{
	struct phca_cq_info info;
	struct fx x;

	fx_open(&x, false);
	outside_post(&x.o, 5, PHCA_SEND_SIGNALED);
	lab_turn(x.l, 4);
	CU_ASSERT_EQUAL(resize(&x, 9), -EINVAL);
	CU_ASSERT_EQUAL(resize(&x, 0), -EINVAL);
	CU_ASSERT_EQUAL(resize(&x, PHCA_CQE_MAX + 1), -EINVAL);
	CU_ASSERT_EQUAL(resize(&x, PHCA_CQE_MAX), -ENOMEM); /* the arena has no room */
	CU_ASSERT_EQUAL(x.o.nb_live, 1 + 3);
	CU_ASSERT_EQUAL(phca_cq_resize_done(x.o.cq), 0);
	CU_ASSERT_EQUAL(resize(&x, 10), 0);
	CU_ASSERT_EQUAL(take(&x, 100), 10);
	for (unsigned int i = 0; i < 5; i++) { /* the ring has 32 slots */
		outside_post(&x.o, 5, PHCA_SEND_SIGNALED);
		lab_turn(x.l, 4);
	}
	phca_cq_info_get(x.o.cq, &info);
	CU_ASSERT_TRUE(info.overrun);
	CU_ASSERT_EQUAL(resize(&x, 100), -EINVAL);
	fx_close(&x);
}

/* A resident application just polls on. */
PHCA_TEST(resize, resident_application_polls_on)
{
	struct lab *l = lab_open(NULL);
	struct lab_qp q = lab_qp(l, PHCA_QPT_UD, 0x20);
	struct phca_wire_hdr h = lab_hdr(l, PHCA_UD_SEND_ONLY, 0x20, 0);
	struct phca_wc wc;

	lab_post(&q, 20);
	for (unsigned int i = 0; i < 20; i++) {
		if (i % 5 == 4)
			CU_ASSERT_EQUAL(phca_cq_resize(q.cq, 50 + i), 0);
		lab_send(l, &h, 8, (uint8_t)i);
		lab_turn(l, 2);
		if (i % 5 != 4)
			continue; /* four of each five lie in the old ring, one in the new one */
		CU_ASSERT_EQUAL(phca_cq_resize(q.cq, 50), -EBUSY);
		CU_ASSERT_EQUAL(phca_cq_resize_done(q.cq), -EBUSY);
		for (unsigned int k = i - 4; k <= i; k++)
			CU_ASSERT_TRUE(lab_poll(&q, &wc) && wc.wr_id == k);
		CU_ASSERT_FALSE(lab_poll(&q, &wc));
		CU_ASSERT_EQUAL(phca_cq_resize_done(q.cq), 0);
	}
	lab_qp_free(l, &q);
	lab_close(l);
}
