/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection of a requester, and the commands that use one: lock, try, unlock, query and
 * the shell. What a connection holds is given back when it ends.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool.h"

void link_open(struct link *l, struct device *d, const struct options *o, struct phca_lock_client_conf *conf)
{
	struct hello mine = { .psn = (uint32_t)(now_ns() >> 10) & 0xffffff, .gid = d->gid }, peer;
	uint32_t n;
	int rc;

	if (conf->extra == 0)
		conf->extra = CLIENT_EXTRA;
	n = conf->depth + conf->extra;
	l->dev = d;
	l->cq = ibv_create_cq(d->ctx, (int)(2 * n), NULL, NULL, 0);
	if (l->cq == NULL)
		fail("a completion queue of %u: %s", 2 * n, strerror(errno));
	l->qp = qp_make(d, l->cq, n, n);
	if (l->qp == NULL)
		fail("a queue pair of %u work requests: %s", n, strerror(errno));
	mine.qpn = l->qp->qp_num;
	l->fd = tcp_connect(o);
	if (hello_write(l->fd, &mine) != 0 || hello_read(l->fd, &peer) != 0)
		fail("%s port %s: that is no phca-lock serve, or it has too many clients", o->host, o->port);
	rc = qp_init(l->qp);
	if (rc == 0)
		rc = qp_connect(l->qp, d, &mine, &peer);
	if (rc != 0)
		fail("the queue pair is not connected: %s; GIDs of one kind at both ends? (-g)", strerror(rc));
	conf->qp = l->qp;
	conf->table_va = peer.va;
	conf->table_rkey = peer.rkey;
	l->nb_locks = peer.nb_locks;
	l->c = phca_lock_client_create(conf);
	if (l->c == NULL)
		fail("client: %s", strerror(errno));
}

void link_close(struct link *l)
{
	ibv_destroy_qp(l->qp);
	phca_lock_client_destroy(l->c);
	ibv_destroy_cq(l->cq);
	close(l->fd);
}

static void check(struct link *l, int rc)
{
	if (rc < 0 && rc != -EAGAIN)
		fail("the connection failed: %s", rc == -EIO ?
			ibv_wc_status_str(phca_lock_client_status(l->c)) : strerror(-rc));
}

void link_flush(struct link *l)
{
	check(l, phca_lock_client_flush(l->c));
}

#define IDLE_POLLS 4096 /* between looks at the TCP connection */

int link_poll(struct link *l)
{
	char byte;
	int n = phca_lock_client_poll(l->c);

	check(l, n);
	/* a server whose queue pair failed answers nothing, and closes */
	if (n == 0 && ++l->idle % IDLE_POLLS == 0 && recv(l->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		fail("the server has closed the connection");
	return n;
}

/* ---------------------------------------------------------------- commands */

#define SESSION 1

static struct phca_lock_answer call(struct link *l, enum phca_lock_op op, enum phca_lock_mode mode, uint32_t lock,
		uint32_t wait_us)
{
	const struct phca_lock_ask ask = { .op = op, .mode = mode, .session = SESSION, .lock = lock,
		.wait_us = wait_us };
	struct phca_lock_answer a;
	int rc = phca_lock_client_call(l->c, &ask, 60000, &a);

	if (rc == -ETIMEDOUT)
		fail("no answer within a minute: does a rule with the filter lock take the server's queue pairs, "
			"or does it serve --self?");
	check(l, rc);
	return a;
}

static const char *mode_str(unsigned int mode)
{
	return mode == PHCA_LOCK_EXCLUSIVE ? "exclusive" : mode == PHCA_LOCK_SHARED ? "shared" : "free";
}

static void say(const struct phca_lock_answer *a)
{
	printf("%s %u: %s", phca_lock_op_str(a->op), a->lock, phca_lock_status_str(a->status));
	if (a->status == PHCA_LOCK_GRANTED)
		printf(", %s, token %" PRIu64, mode_str(a->mode), a->token);
	else if (a->status == PHCA_LOCK_OK && a->op == PHCA_LOCK_OP_QUERY)
		printf(", %s, %u holders, %u waiters, token %" PRIu64, mode_str(a->mode), PHCA_LOCK_HOLDERS(a->count),
			PHCA_LOCK_WAITERS(a->count), a->token);
	else if (a->status == PHCA_LOCK_OK && a->op == PHCA_LOCK_OP_RELEASE)
		printf(", %u locks", a->count);
	printf("\n");
	fflush(stdout);
}

static void one(struct link *l, struct device *d, const struct options *o)
{
	struct phca_lock_client_conf conf = { .depth = 4 };

	device_open(d, o);
	link_open(l, d, o, &conf);
	if (o->lock >= l->nb_locks)
		fail("lock %u: the table has %u", o->lock, l->nb_locks);
}

static void end(struct link *l, struct device *d)
{
	link_close(l);
	device_close(d);
}

static volatile pid_t command_pid;

/* A terminal interrupts the command, too; who wants this program to end wants the command to. */
static void on_signal(int sig)
{
	stop = true;
	if (sig == SIGTERM && command_pid > 0)
		kill(command_pid, SIGTERM);
}

/* @return its exit status, as a shell gives it */
static int run(char **command)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		signal_set(SIGPIPE, SIG_DFL); /* those that are caught are the default's again by themselves */
		execvp(command[0], command);
		fprintf(stderr, "phca-lock: %s: %s\n", command[0], strerror(errno));
		_exit(127);
	}
	if (child < 0) {
		fprintf(stderr, "phca-lock: %s: %s\n", command[0], strerror(errno));
		return 1;
	}
	command_pid = child;
	if (stop) /* just before */
		kill(child, SIGTERM);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	command_pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* With the lock: run the command, or wait for the end of the input. @return exit status */
static int with_lock(const struct options *o)
{
	char buf[256];

	signal_set(SIGINT, on_signal);
	signal_set(SIGTERM, on_signal);
	if (o->command != NULL)
		return run(o->command);
	while (!stop && read(0, buf, sizeof(buf)) > 0)
		;
	return 0;
}

int do_lock(const struct options *o, bool try)
{
	struct phca_lock_answer a;
	struct device d;
	struct link l;
	int rc = 3; /* not granted */

	one(&l, &d, o);
	a = call(&l, try ? PHCA_LOCK_OP_TRY : PHCA_LOCK_OP_LOCK, o->mode, o->lock, try ? 0 : o->wait_us);
	say(&a);
	if (a.status == PHCA_LOCK_GRANTED) {
		rc = with_lock(o);
		a = call(&l, PHCA_LOCK_OP_UNLOCK, 0, o->lock, 0);
		say(&a);
	}
	end(&l, &d);
	return rc;
}

int do_unlock(const struct options *o)
{
	struct phca_lock_answer a;
	struct device d;
	struct link l;

	one(&l, &d, o);
	a = call(&l, PHCA_LOCK_OP_UNLOCK, 0, o->lock, 0);
	say(&a);
	end(&l, &d);
	return a.status == PHCA_LOCK_OK ? 0 : 3;
}

int do_query(const struct options *o)
{
	struct phca_lock_answer a;
	struct device d;
	struct link l;

	one(&l, &d, o);
	a = call(&l, PHCA_LOCK_OP_QUERY, 0, o->lock, 0);
	say(&a);
	end(&l, &d);
	return a.status == PHCA_LOCK_OK ? 0 : 3;
}

/* @return whether it is a number up to UINT32_MAX */
static bool number(const char *word, uint32_t *n)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = word != NULL ? strtoull(word, &end, 0) : 0;
	if (word == NULL || errno != 0 || *end != '\0' || end == word || word[0] == '-' || v > UINT32_MAX)
		return false;
	*n = (uint32_t)v;
	return true;
}

/* The words behind the operation. @return whether they are understood */
static bool shell_words(enum phca_lock_op op, char **save, enum phca_lock_mode *mode, uint32_t *lock, uint32_t *wait_us)
{
	const bool takes = op == PHCA_LOCK_OP_LOCK || op == PHCA_LOCK_OP_TRY;
	char *word = strtok_r(NULL, " \t\n", save);

	*mode = takes ? PHCA_LOCK_EXCLUSIVE : PHCA_LOCK_FREE;
	*lock = *wait_us = 0;
	if (op == PHCA_LOCK_OP_RELEASE)
		return word == NULL;
	if (!number(word, lock))
		return false;
	word = strtok_r(NULL, " \t\n", save);
	if (takes && word != NULL && (strcmp(word, "shared") == 0 || strcmp(word, "exclusive") == 0)) {
		*mode = word[0] == 's' ? PHCA_LOCK_SHARED : PHCA_LOCK_EXCLUSIVE;
		word = strtok_r(NULL, " \t\n", save);
	}
	if (op == PHCA_LOCK_OP_LOCK && word != NULL) {
		if (!number(word, wait_us))
			return false;
		word = strtok_r(NULL, " \t\n", save);
	}
	return word == NULL;
}

/* @return whether the line was understood */
static bool shell_line(struct link *l, char *line)
{
	char *save, *word = strtok_r(line, " \t\n", &save);
	struct phca_lock_answer a;
	enum phca_lock_mode mode;
	uint32_t lock, wait_us;
	unsigned int op;

	if (word == NULL)
		return true;
	for (op = PHCA_LOCK_OP_NONE + 1; op < PHCA_LOCK_OP_COUNT && strcmp(word, phca_lock_op_str(op)) != 0; op++)
		;
	if (op == PHCA_LOCK_OP_COUNT) {
		printf("%s: unknown (known: lock, try, unlock, release, query)\n", word);
		return false;
	}
	if (!shell_words(op, &save, &mode, &lock, &wait_us)) {
		printf("%s: lock N [shared|exclusive] [WAIT_US]; try N [shared|exclusive]; unlock N; query N; "
			"release\n", word);
		return false;
	}
	a = call(l, op, mode, lock, wait_us);
	say(&a);
	return true;
}

int do_shell(const struct options *o)
{
	struct device d;
	struct link l;
	char line[128];
	bool ok = true;

	one(&l, &d, o);
	while (!stop && fgets(line, sizeof(line), stdin) != NULL)
		ok = shell_line(&l, line) && ok;
	end(&l, &d);
	return ok ? 0 : 1;
}
