/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptors of clients whose close waits for the client: the server does not. A TCP
 * socket that lingers with bytes which its peer does not take is one; while the server
 * has the last reference, only this test can let it go.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

#define LINGER_S 20 /* longer than the watchdog waits */
#define PATIENCE_MS 5000

/* A connection, one side of which cannot be closed at once. */
struct slow {
	int stuck, peer;
	pthread_t watchdog;
	int wake[2];
	bool late; /* the watchdog had to let it go */
};

/* Reset the connection: who waits in close goes on. */
static void let_go(struct slow *s)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(s->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(s->peer);
}

static void *watch(void *arg)
{
	struct slow *s = arg;
	struct pollfd p = { .fd = s->wake[0], .events = POLLIN };

	s->late = poll(&p, 1, PATIENCE_MS) == 0;
	let_go(s);
	return NULL;
}

static void slow_open(struct slow *s)
{
	const struct linger wait = { .l_onoff = 1, .l_linger = LINGER_S };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int lst = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 4096;
	socklen_t len = sizeof(a);
	static char bytes[65536];

	memset(s, 0, sizeof(*s));
	setsockopt(lst, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	CU_ASSERT_EQUAL_FATAL(bind(lst, (struct sockaddr *)&a, sizeof(a)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(lst, 1), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(lst, (struct sockaddr *)&a, &len), 0);
	s->stuck = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(connect(s->stuck, (struct sockaddr *)&a, sizeof(a)), 0);
	s->peer = accept4(lst, NULL, NULL, SOCK_CLOEXEC);
	CU_ASSERT_FATAL(s->peer >= 0);
	close(lst);
	while (send(s->stuck, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	CU_ASSERT_EQUAL_FATAL(setsockopt(s->stuck, SOL_SOCKET, SO_LINGER, &wait, sizeof(wait)), 0);
	CU_ASSERT_EQUAL_FATAL(pipe2(s->wake, O_CLOEXEC), 0);
}

/* From here on somebody looks at how long it takes. */
static void slow_watch(struct slow *s)
{
	CU_ASSERT_EQUAL_FATAL(pthread_create(&s->watchdog, NULL, watch, s), 0);
}

static void slow_close(struct slow *s)
{
	CU_ASSERT_EQUAL(write(s->wake[1], "x", 1), 1);
	pthread_join(s->watchdog, NULL);
	CU_ASSERT(!s->late);
	close(s->wake[0]);
	close(s->wake[1]);
}

/* The closers end when everything is closed. */
static void fds_settle(unsigned int want)
{
	for (unsigned int i = 0; i < 5000 && rig_fds() > want; i++)
		usleep(1000);
}

/* Send without reading an answer, and without the server being polled. */
static void send_fd(int sock, const void *msg, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec io = { (void *)(uintptr_t)msg, len };
	struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };

	control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	CU_ASSERT_EQUAL_FATAL(sendmsg(sock, &h, MSG_NOSIGNAL), (ssize_t)len);
}

PHCA_TEST(drop, a_received_descriptor_keeps_nobody_waiting)
{
	struct rig *r = rig_open(NULL);
	struct peer p;
	struct slow s;

	peer_open(r, &p);
	slow_open(&s);
	send_fd(p.fd, "nonsense", 8, s.stuck);
	close(s.stuck);
	slow_watch(&s);
	rig_poll(r); /* receives it, closes it, and the connection */
	slow_close(&s);
	CU_ASSERT_EQUAL(rig_stats(r).bad_messages, 1);
	peer_close(&p);
	fds_settle(r->fds + 4); /* socket, epoll, timer, spare */
	rig_close(r);
}

PHCA_TEST(drop, an_unread_descriptor_keeps_nobody_waiting)
{
	struct rig *r = rig_open(NULL);
	struct peer p;
	struct slow s;

	peer_open(r, &p);
	slow_open(&s);
	CU_ASSERT_EQUAL(send(p.fd, "nonsense", 8, MSG_NOSIGNAL), 8);
	CU_ASSERT_EQUAL(send(p.fd, "", 0, MSG_NOSIGNAL), 0);
	send_fd(p.fd, "behind", 6, s.stuck);
	close(s.stuck);
	slow_watch(&s);
	rig_poll(r); /* the first message ends the connection */
	slow_close(&s);
	CU_ASSERT_EQUAL(rig_stats(r).clients, 0);
	peer_close(&p);
	fds_settle(r->fds + 4);
	rig_close(r);
}

PHCA_TEST(drop, descriptors_of_those_never_accepted_keep_nobody_waiting)
{
	struct rig *r = rig_open(NULL);
	struct peer p;
	struct slow s;

	CU_ASSERT_FATAL(peer_connect(r, &p));
	slow_open(&s);
	send_fd(p.fd, "hello", 5, s.stuck);
	close(s.stuck);
	slow_watch(&s);
	phca_host_destroy(r->host);
	r->host = NULL;
	slow_close(&s);
	close(p.fd);
	fds_settle(r->fds);
	rig_close(r);
}

PHCA_TEST(drop, more_descriptors_than_a_message_may_have)
{
	struct rig *r = rig_open(NULL);
	int fds[PHCA_ADMIN_FDS_MAX + 8];
	struct peer p;

	peer_open(r, &p);
	for (unsigned int i = 0; i < RTE_DIM(fds); i++)
		fds[i] = p.arena;
	CU_ASSERT_EQUAL(peer_send(&p, "nonsense", 8, fds, RTE_DIM(fds)), -EPIPE);
	CU_ASSERT_EQUAL(rig_stats(r).bad_messages, 1);
	peer_close(&p);
	rig_close(r);
}
