/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection of a requester, and the commands that use one: lock, try, unlock, query and
 * the shell. What a connection holds is given back when it ends.
 */
#include <errno.h>
#include <inttypes.h>
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

/* With the lock: run the command, or wait for the end of the input. @return exit status */
static int with_lock(const struct options *o)
{
	char buf[256];
	int status = 0;
	pid_t child;

	if (o->command == NULL) {
		while (!stop && read(0, buf, sizeof(buf)) > 0)
			;
		return 0;
	}
	child = fork();
	if (child == 0) {
		execvp(o->command[0], o->command);
		fail("%s: %s", o->command[0], strerror(errno));
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		fail("%s: %s", o->command[0], strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
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

/* A line of the shell: lock|try N [shared|exclusive] [WAIT_US]; unlock|query N; release */
static bool shell_line(struct link *l, char *line)
{
	char *save, *word = strtok_r(line, " \t\n", &save), *arg;
	enum phca_lock_mode mode = PHCA_LOCK_EXCLUSIVE;
	struct phca_lock_answer a;
	uint32_t lock = 0, wait_us = 0;
	unsigned int op;

	if (word == NULL)
		return true;
	for (op = PHCA_LOCK_OP_NONE + 1; op < PHCA_LOCK_OP_COUNT && strcmp(word, phca_lock_op_str(op)) != 0; op++)
		;
	if (op == PHCA_LOCK_OP_COUNT) {
		printf("%s: unknown (known: lock, try, unlock, release, query)\n", word);
		return false;
	}
	arg = strtok_r(NULL, " \t\n", &save);
	if (arg != NULL)
		lock = (uint32_t)strtoul(arg, NULL, 0);
	for (unsigned int i = 0; arg != NULL && i < 2; i++) {
		arg = strtok_r(NULL, " \t\n", &save);
		if (arg != NULL && arg[0] == 's')
			mode = PHCA_LOCK_SHARED;
		else if (arg != NULL && arg[0] != 'e')
			wait_us = (uint32_t)strtoul(arg, NULL, 0);
	}
	if (op != PHCA_LOCK_OP_LOCK && op != PHCA_LOCK_OP_TRY)
		mode = PHCA_LOCK_FREE;
	a = call(l, op, mode, op == PHCA_LOCK_OP_RELEASE ? 0 : lock, op == PHCA_LOCK_OP_LOCK ? wait_us : 0);
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
