/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preloaded into a client: it dies by SIGKILL at the n-th message that it sends or
 * receives on a SOCK_SEQPACKET socket, before the call (n odd) or right after it
 * (n even). PHCA_KILL_AT=n.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int left = -1;

__attribute__((constructor)) static void init(void)
{
	const char *at = getenv("PHCA_KILL_AT");

	if (at != NULL)
		left = (int)strtol(at, NULL, 10);
}

static int seqpacket(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

static void tick(int fd)
{
	if (left > 0 && seqpacket(fd) && __atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST) == 0)
		kill(getpid(), SIGKILL);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
	ssize_t n;

	tick(fd);
	n = real(fd, m, flags);
	tick(fd);
	return n;
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t (*real)(int, struct msghdr *, int) = dlsym(RTLD_NEXT, "recvmsg");
	ssize_t n;

	tick(fd);
	n = real(fd, m, flags);
	tick(fd);
	return n;
}
