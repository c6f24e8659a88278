/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that are other processes, for tests of regions. */
#ifndef REGION_KID_H
#define REGION_KID_H

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "phca_test.h"

#define NOBODY 65534 /* who they are when this process is root */

/* A client: says so when it is ready, and goes on when it is told. */
struct kid {
	pid_t pid;
	uid_t uid;
	int to, from;
};

static inline struct kid kid_start(void (*run)(struct kid *k, void *arg), void *arg)
{
	struct kid k = { .uid = geteuid() == 0 ? NOBODY : geteuid() };
	int a[2], b[2];
	char c;

	CU_ASSERT_FATAL(pipe(a) == 0 && pipe(b) == 0);
	fflush(stdout);
	k.pid = fork();
	CU_ASSERT_FATAL(k.pid >= 0);
	if (k.pid == 0) {
		k.to = b[1];
		k.from = a[0];
		close(a[1]);
		close(b[0]);
		if (geteuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
			_exit(99);
		prctl(PR_SET_DUMPABLE, 1);
		run(&k, arg);
		_exit(0);
	}
	k.to = a[1];
	k.from = b[0];
	close(a[0]);
	close(b[1]);
	CU_ASSERT_EQUAL_FATAL(read(k.from, &c, 1), 1);
	return k;
}

/* In the kid. */
static inline void kid_ready(struct kid *k)
{
	char c;

	if (write(k->to, "r", 1) != 1 || read(k->from, &c, 1) != 1)
		_exit(98);
}

static inline void kid_go(struct kid *k)
{
	CU_ASSERT_EQUAL(write(k->to, "g", 1), 1);
}

/* @return the wait status */
static inline int kid_end(struct kid *k, int sig)
{
	int st = -1;

	if (sig != 0)
		kill(k->pid, sig);
	CU_ASSERT_EQUAL(waitpid(k->pid, &st, 0), k->pid);
	close(k->to);
	close(k->from);
	return st;
}

#endif
