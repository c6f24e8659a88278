/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client whose appliance goes. One thread polls under traffic, one sleeps in
 * ibv_get_cq_event with receives that nobody answers, one in ibv_get_async_event.
 * Each has to be told; each request completes once; nothing new can be had; all can be
 * destroyed. Then the program opens the device of the appliance that comes next, in the
 * same process.
 *
 *   gone ROUNDS [DEVICE]
 *
 * Prints "ready N" when traffic runs, "told N" when round N is over. It has no limit of
 * time itself: whoever runs it has.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pair.h"
#include "torture.h"

#define WARM 2000 /* messages before "ready" */

static struct ibv_context *ctx;
static struct pair polled, slept;
static struct ibv_srq *srq;

static void must(bool ok, const char *what)
{
	if (!ok)
		die(EXIT_CALL, "gone: %s: failed: %s\n", what, strerror(errno));
}

static void say(const char *what, unsigned int round)
{
	printf("%s %u\n", what, round);
	fflush(stdout);
}

static void *poll_until_told(void *arg)
{
	(void)arg;
	while (polled.flushed[0] == 0 && polled.flushed[1] == 0)
		pair_poll(&polled);
	while (pair_outstanding(&polled) > 0)
		pair_poll(&polled);
	return NULL;
}

/* Its receives are never answered: it wakes when the device fails, and only then. */
static void *sleep_until_told(void *arg)
{
	struct ibv_cq *cq;
	void *context;

	(void)arg;
	must(ibv_get_cq_event(slept.ch, &cq, &context) == 0 && cq == slept.cq, "ibv_get_cq_event");
	ibv_ack_cq_events(cq, 1);
	while (pair_outstanding(&slept) > 0)
		must(pair_poll(&slept) > 0, "flushed completions when the event came");
	if (slept.flushed[1] != PAIR_DEPTH || slept.posted[1] != PAIR_DEPTH)
		die(EXIT_CALL, "%llu of %llu receives were flushed\n", (unsigned long long)slept.flushed[1],
			(unsigned long long)slept.posted[1]);
	return NULL;
}

static void *wait_until_told(void *arg)
{
	struct ibv_async_event e;

	(void)arg;
	do {
		must(ibv_get_async_event(ctx, &e) == 0, "ibv_get_async_event");
		ibv_ack_async_event(&e);
	} while (e.event_type != IBV_EVENT_DEVICE_FATAL);
	return NULL;
}

/* @return 0, or the errno of what was not made */
static int made(const void *object)
{
	return object == NULL ? errno : 0;
}

/* A call that needs the appliance. */
static void must_fail(int error, const char *what)
{
	if (error != EIO)
		die(EXIT_CALL, "%s on a dead device: %s, not EIO\n", what, strerror(error));
}

static void nothing_new(void)
{
	struct ibv_qp_init_attr a = { .qp_type = IBV_QPT_RC, .send_cq = polled.cq, .recv_cq = polled.cq,
		.cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 } };
	struct ibv_srq_init_attr sa = { .attr = { .max_wr = 4, .max_sge = 1 } };
	struct ibv_qp_attr qa = { .qp_state = IBV_QPS_ERR };
	struct ibv_qp_init_attr init;
	static uint8_t memory[4096];

	must_fail(made(ibv_alloc_pd(ctx)), "ibv_alloc_pd");
	must_fail(made(ibv_reg_mr(polled.pd, memory, sizeof(memory), 0)), "ibv_reg_mr");
	must_fail(made(ibv_create_comp_channel(ctx)), "ibv_create_comp_channel");
	must_fail(made(ibv_create_cq(ctx, 16, NULL, NULL, 0)), "ibv_create_cq");
	must_fail(made(ibv_create_srq(polled.pd, &sa)), "ibv_create_srq");
	must_fail(made(ibv_create_qp(polled.pd, &a)), "ibv_create_qp");
	errno = ibv_modify_qp(polled.qp[0], &qa, IBV_QP_STATE);
	must_fail(errno, "ibv_modify_qp");
	errno = ibv_query_qp(polled.qp[0], &qa, IBV_QP_STATE, &init);
	must_fail(errno, "ibv_query_qp");
	errno = ibv_resize_cq(polled.cq, 128);
	must_fail(errno, "ibv_resize_cq");
}

/* What is posted now completes, too: once, flushed. */
static void post_to_the_dead(void)
{
	uint64_t before[2] = { polled.flushed[0], polled.flushed[1] };

	for (unsigned int i = 0; i < PAIR_DEPTH; i++) {
		must(pair_send(&polled, i) == 0, "ibv_post_send on a dead device");
		must(pair_recv(&polled, i) == 0, "ibv_post_recv on a dead device");
	}
	for (int n = 1; n > 0;)
		n = pair_poll(&polled);
	if (polled.flushed[0] - before[0] != PAIR_DEPTH || polled.flushed[1] - before[1] != PAIR_DEPTH)
		die(EXIT_CALL, "of %u each, %llu sends and %llu receives were flushed\n", PAIR_DEPTH,
			(unsigned long long)(polled.flushed[0] - before[0]),
			(unsigned long long)(polled.flushed[1] - before[1]));
}

static void make(const char *device)
{
	struct ibv_srq_init_attr sa = { .attr = { .max_wr = PAIR_DEPTH, .max_sge = 1 } };

	/* the next appliance may take its time */
	while ((ctx = device_open(device)) == NULL)
		usleep(20000);
	pair_make(&polled, ctx, false);
	pair_make(&slept, ctx, true);
	srq = ibv_create_srq(polled.pd, &sa);
	must(srq != NULL, "ibv_create_srq");
	must(ibv_req_notify_cq(slept.cq, 0) == 0, "ibv_req_notify_cq");
	for (unsigned int i = 0; i < PAIR_DEPTH; i++)
		must(pair_recv(&slept, i) == 0, "ibv_post_recv");
	pair_start(&polled);
	pair_run(&polled, WARM);
}

static void round_of(const char *device, unsigned int round)
{
	pthread_t t[3];

	make(device);
	must(pthread_create(&t[0], NULL, sleep_until_told, NULL) == 0 &&
		pthread_create(&t[1], NULL, wait_until_told, NULL) == 0 &&
		pthread_create(&t[2], NULL, poll_until_told, NULL) == 0, "threads");
	say("ready", round);
	for (unsigned int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	nothing_new();
	post_to_the_dead();
	errno = ibv_destroy_srq(srq);
	must(errno == 0, "ibv_destroy_srq");
	pair_destroy(&polled);
	pair_destroy(&slept);
	must(ibv_close_device(ctx) == 0, "ibv_close_device");
	say("told", round);
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 0) : 1;

	for (unsigned int i = 1; i <= rounds; i++)
		round_of(argc > 2 ? argv[2] : NULL, i);
	return 0;
}
