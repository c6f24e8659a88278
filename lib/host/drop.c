/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Closing what came from clients. close(2) of the last reference can wait for whoever
 * made the descriptor: a socket that lingers, a file of a FUSE file system, a terminal
 * that drains. That also holds for those that wait unread in a connection which is closed.
 *
 * Invariant: a control thread closes only what cannot wait; all else is closed by threads
 * that end when there is nothing more to close, and of which there are a few at most.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host_impl.h"
#include "region_impl.h"

#define CLOSERS_MAX 16
#define MEM_MAJOR 1 /* /dev/null and its like */

struct dropped {
	STAILQ_ENTRY(dropped) next;
	int fd;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static STAILQ_HEAD(, dropped) queue = STAILQ_HEAD_INITIALIZER(queue);
static unsigned int nb_closers;

static struct dropped *next_or_end(void)
{
	struct dropped *d;

	pthread_mutex_lock(&lock);
	d = STAILQ_FIRST(&queue);
	if (d != NULL)
		STAILQ_REMOVE_HEAD(&queue, next);
	else
		nb_closers--;
	pthread_mutex_unlock(&lock);
	return d;
}

static void *closer_main(void *arg)
{
	const struct linger off = { .l_onoff = 0 };
	struct dropped *d;

	(void)arg;
	while ((d = next_or_end()) != NULL) {
		int fd = d->fd;

		free(d);
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off)); /* a client may undo it */
		close(fd);
	}
	return NULL;
}

/* Whether close does nothing but give back memory of this kernel. */
static bool harmless(int fd)
{
	struct region_object o;
	struct statx x;

	if (region_fd_check(fd, &o) == 0)
		return true;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &x) != 0)
		return false;
	return S_ISFIFO(x.stx_mode) || (S_ISCHR(x.stx_mode) && x.stx_rdev_major == MEM_MAJOR);
}

void fd_drop(int fd)
{
	struct dropped *d;
	pthread_attr_t attr;
	pthread_t t;

	if (harmless(fd)) {
		close(fd);
		return;
	}
	d = malloc(sizeof(*d));
	if (d == NULL)
		return; /* it stays open: better than to wait */
	d->fd = fd;
	pthread_mutex_lock(&lock);
	STAILQ_INSERT_TAIL(&queue, d, next);
	if (nb_closers < CLOSERS_MAX && pthread_attr_init(&attr) == 0) {
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		nb_closers += pthread_create(&t, &attr, closer_main, NULL) == 0;
		pthread_attr_destroy(&attr);
	}
	pthread_mutex_unlock(&lock);
}

unsigned int fds_take(struct msghdr *h, int *fds, unsigned int max)
{
	unsigned int nb = 0;

	for (struct cmsghdr *k = CMSG_FIRSTHDR(h); k != NULL; k = CMSG_NXTHDR(h, k)) {
		unsigned int n = (unsigned int)((k->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		if (k->cmsg_level != SOL_SOCKET || k->cmsg_type != SCM_RIGHTS)
			continue;
		for (unsigned int i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(k) + i * sizeof(int), sizeof(int));
			if (nb < max)
				fds[nb] = fd;
			else
				fd_drop(fd);
			nb++;
		}
	}
	return nb;
}

void connection_close(int fd)
{
	const int on = 1;
	union fd_control control;
	char byte;

	(void)shutdown(fd, SHUT_RDWR); /* nothing is added any more, and the client knows */
	/* a message without bytes differs from the end by its credentials */
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	for (;;) {
		struct iovec io = { &byte, sizeof(byte) };
		struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes,
			.msg_controllen = sizeof(control.bytes) };
		ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ECONNRESET) /* said once */
			continue;
		if (n < 0 || (n == 0 && h.msg_controllen == 0))
			break;
		fds_take(&h, NULL, 0);
	}
	close(fd);
}
