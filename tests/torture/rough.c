/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients that do not behave, or that do a lot, one kind a run:
 *
 *   rough run            checked traffic until SIGTERM
 *   rough exit           ends under traffic, and closes nothing
 *   rough close          closes the device under traffic, with all objects alive, and
 *                        opens it again; told by a line on standard input, ends
 *   rough unmap ROUNDS   memory is unmapped while WRITEs read it and write to it
 *   rough fork TIMES     forks and runs programs under checked traffic; some children
 *                        open the device and have traffic of their own
 *   rough many QPS CONN  has so many queue pairs, so many of them connected, and a few
 *                        more with traffic
 *
 * Says "ready" when traffic runs. Exit status as of the others.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pair.h"
#include "torture.h"

#define WARM 500
#define AREA ((size_t)256 << 10)
#define ACTIVE 8 /* queue pairs of many that have traffic */

static volatile sig_atomic_t ended;
static atomic_bool stop;

static void must(bool ok, const char *what)
{
	if (!ok)
		die(EXIT_CALL, "%s: failed: %s\n", what, strerror(errno));
}

static void say(const char *what)
{
	puts(what);
	fflush(stdout);
}

static struct ibv_context *open_any(void)
{
	struct ibv_context *ctx = device_open(NULL);

	must(ctx != NULL, "a device");
	return ctx;
}

static void make_busy(struct pair *p, struct ibv_context *ctx)
{
	pair_make(p, ctx, false);
	pair_start(p);
	pair_run(p, WARM);
}

/* --------------------------------------------------------------- run, exit, close */

static void on_term(int number)
{
	(void)number;
	ended = 1;
}

static void mode_run(void)
{
	const struct sigaction term = { .sa_handler = on_term };
	struct pair p;

	must(sigaction(SIGTERM, &term, NULL) == 0, "sigaction");
	make_busy(&p, open_any());
	say("ready");
	while (!ended)
		pair_run(&p, 1);
	printf("messages %llu\n", (unsigned long long)p.good[1]);
}

static void mode_exit(void)
{
	struct pair p;

	make_busy(&p, open_any());
	say("ready");
	pair_run(&p, WARM);
	_exit(0);
}

static void mode_close(void)
{
	struct ibv_context *ctx = open_any();
	struct pair p;

	make_busy(&p, ctx);
	must(ibv_close_device(ctx) == 0, "ibv_close_device");
	/* what the device had is no object any more; its memory is the program's as ever */
	memset(p.buf, 0x5a, 2 * PAIR_DEPTH * PAIR_BYTES);
	free(p.buf);
	say("closed");
	getchar();
	ctx = open_any();
	make_busy(&p, ctx);
	pair_destroy(&p);
	must(ibv_close_device(ctx) == 0, "ibv_close_device");
}

/* ------------------------------------------------------------------------- unmap */

static void write_once(struct pair *p, const struct ibv_mr *from, const struct ibv_mr *to)
{
	struct ibv_sge s = { (uintptr_t)from->addr, AREA, from->lkey };
	struct ibv_send_wr *bad, w = { .sg_list = &s, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE,
		.wr.rdma = { .remote_addr = (uintptr_t)to->addr, .rkey = to->rkey } };
	struct ibv_wc wc;
	int n;

	errno = ibv_post_send(p->qp[0], &w, &bad);
	must(errno == 0, "ibv_post_send");
	while ((n = ibv_poll_cq(p->cq, 1, &wc)) == 0)
		;
	if (n != 1 || wc.status != IBV_WC_SUCCESS)
		die(EXIT_CALL, "a WRITE of unmapped memory: %s\n", n == 1 ? ibv_wc_status_str(wc.status) : "corrupt");
}

static struct ibv_mr *area(struct pair *p, int value)
{
	uint8_t *mem = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *mr;

	must(mem != MAP_FAILED, "mmap");
	memset(mem, value, AREA);
	mr = ibv_reg_mr(p->pd, mem, AREA, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	must(mr != NULL, "ibv_reg_mr");
	return mr;
}

static void must_be(const void *mem, int value, const char *what)
{
	const uint8_t *m = mem;

	for (size_t i = 0; i < AREA; i++)
		if (m[i] != value)
			die(EXIT_MEMORY, "%s: byte %zu is %#x, not %#x\n", what, i, m[i], value);
}

static void *unmap_in_time(void *mem)
{
	static uint64_t seed = 1;

	usleep(rnd(&seed) % 300);
	must(munmap(mem, AREA) == 0, "munmap");
	return NULL;
}

/*
 * The appliance keeps the pages until they are deregistered, and what they held; what is
 * mapped at the same place afterwards is the program's alone.
 */
static void unmap_once(struct pair *p)
{
	struct ibv_mr *gone = area(p, 0x11), *stays = area(p, 0x22);
	void *again, *place = gone->addr;
	pthread_t t;

	must(pthread_create(&t, NULL, unmap_in_time, place) == 0, "a thread");
	for (unsigned int i = 0; i < 20; i++)
		write_once(p, gone, stays);
	pthread_join(t, NULL);
	must_be(stays->addr, 0x11, "written from memory that is unmapped");
	again = mmap(place, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	must(again == place, "mmap at the same place");
	memset(again, 0x33, AREA);
	memset(stays->addr, 0x44, AREA);
	write_once(p, stays, gone);
	must_be(again, 0x33, "memory that was mapped after the registration");
	errno = ibv_dereg_mr(gone);
	must(errno == 0, "ibv_dereg_mr of what is unmapped");
	must_be(again, 0x33, "the same after it was deregistered");
	must_be(stays->addr, 0x44, "the other one");
	munmap(again, AREA);
	again = stays->addr;
	errno = ibv_dereg_mr(stays);
	must(errno == 0, "ibv_dereg_mr");
	munmap(again, AREA);
}

static void mode_unmap(unsigned int rounds)
{
	struct pair p;

	pair_make(&p, open_any(), false);
	say("ready");
	for (unsigned int i = 0; i < rounds; i++)
		unmap_once(&p);
	pair_start(&p); /* it serves on */
	pair_run(&p, WARM);
}

/* -------------------------------------------------------------------------- fork */

static void *traffic(void *arg)
{
	struct pair *p = arg;

	while (!atomic_load(&stop))
		pair_run(p, 1);
	return NULL;
}

static void child_with_device(void)
{
	struct pair p;

	make_busy(&p, open_any());
	_exit(0);
}

static void wait_for(pid_t pid, const char *what)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		die(EXIT_CALL, "%s ended with %#x\n", what, (unsigned int)status);
}

static void mode_fork(unsigned int times)
{
	char *argv[] = { (char *)(uintptr_t)"true", NULL };
	uint64_t before;
	struct pair p;
	pthread_t t;

	make_busy(&p, open_any());
	before = p.good[1];
	say("ready");
	must(pthread_create(&t, NULL, traffic, &p) == 0, "a thread");
	for (unsigned int i = 0; i < times; i++) {
		pid_t pid;

		errno = posix_spawnp(&pid, "true", NULL, NULL, argv, environ); /* as system() does: shares all */
		must(errno == 0, "posix_spawnp");
		wait_for(pid, "a program");
		pid = fork();
		must(pid >= 0, "fork");
		if (pid == 0 && i % 8 == 0)
			child_with_device();
		if (pid == 0) {
			memset(p.buf, 0xff, 2 * PAIR_DEPTH * PAIR_BYTES); /* its own copy */
			execlp("true", "true", (char *)NULL);
			_exit(127);
		}
		wait_for(pid, "a child");
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	must(p.good[1] > before, "traffic in the meantime");
	pair_run(&p, WARM);
	pair_destroy(&p);
}

/* -------------------------------------------------------------------------- many */

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void mode_many(unsigned int n, unsigned int connected)
{
	struct ibv_qp_init_attr a = { .qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = 1, .max_recv_sge = 1 } };
	struct ibv_context *ctx = open_any();
	struct ibv_qp **qp = calloc(n, sizeof(*qp));
	struct pair p[ACTIVE];
	union ibv_gid gid;
	int index = device_gid(ctx, &gid);
	double at[6];

	must(qp != NULL && connected % 2 == 0 && connected <= n, "an even number");
	for (unsigned int i = 0; i < ACTIVE / 2; i++)
		pair_make(&p[i], ctx, false);
	a.send_cq = a.recv_cq = p[0].cq;
	at[0] = seconds();
	for (unsigned int i = 0; i < n; i++) {
		qp[i] = ibv_create_qp(p[0].pd, &a);
		must(qp[i] != NULL, "ibv_create_qp");
	}
	at[1] = seconds();
	for (unsigned int i = 0; i < connected; i++)
		qp_connect(qp[i], qp[i ^ 1]->qp_num, &gid, index);
	at[2] = seconds();
	for (unsigned int i = ACTIVE / 2; i < ACTIVE; i++)
		pair_make(&p[i], ctx, false);
	say("ready");
	for (unsigned int i = 0; i < ACTIVE; i++)
		pair_start(&p[i]);
	at[3] = seconds();
	for (unsigned int done = 0; done < ACTIVE;) {
		done = 0;
		for (unsigned int i = 0; i < ACTIVE; i++) {
			pair_poll(&p[i]);
			done += p[i].good[1] >= 5000;
		}
	}
	at[4] = seconds();
	for (unsigned int i = 0; i < n; i++) {
		errno = ibv_destroy_qp(qp[i]);
		must(errno == 0, "ibv_destroy_qp");
	}
	at[5] = seconds();
	printf("%u queue pairs: created in %.2f s, %u connected in %.2f s, all destroyed in %.2f s; "
		"5000 messages on each of %u others in %.2f s\n", n, at[1] - at[0], connected, at[2] - at[1],
		at[5] - at[4], ACTIVE, at[4] - at[3]);
	free(qp);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	unsigned int n = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : 10;

	if (strcmp(mode, "run") == 0)
		mode_run();
	else if (strcmp(mode, "exit") == 0)
		mode_exit();
	else if (strcmp(mode, "close") == 0)
		mode_close();
	else if (strcmp(mode, "unmap") == 0)
		mode_unmap(n);
	else if (strcmp(mode, "fork") == 0)
		mode_fork(n);
	else if (strcmp(mode, "many") == 0)
		mode_many(n, argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 0) : n);
	else
		die(EXIT_CALL, "run, exit, close, unmap, fork or many, not \"%s\"\n", mode);
	return 0;
}
