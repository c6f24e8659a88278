/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients: from accept to the last byte that was theirs.
 *
 * Invariant: what a client has is in its tables and members, so that one function
 * takes it all back, however far it got and whenever it ends. The order is that of
 * use: queue pairs, windows, regions, queues, channels, domains, memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_errno.h>

#include "host_impl.h"

#define HELLO_NS (10 * UINT64_C(1000000000)) /* time to say it */
#define STUCK_NS (10 * UINT64_C(1000000000)) /* time for drivers to let go of what was a client's */
#define STEP_NS 5000000 /* others wait while clients are closed */
#define WAIT_NS 1000000 /* of it, for proxies that let go of queue pairs */
#define LINE_BYTES (1 << 20)
#define MORE_CONNECTED 32 /* connections beyond clients: those that probe */

/* ------------------------------------------------------------------ who */

/* Text of others into ours. */
static void text_set(char *dst, size_t size, const char *src)
{
	size_t n = 0;

	for (; src[n] != '\0' && n + 1 < size; n++)
		dst[n] = src[n] >= 0x20 && src[n] < 0x7f && src[n] != '"' && src[n] != '\\' ? src[n] : '?';
	dst[n] = '\0';
}

static void exe_find(struct phca_host_info *i)
{
	static const char deleted[] = " (deleted)";
	char name[64], path[512];
	ssize_t n;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/exe", (int)i->pid);
	n = readlink(name, path, sizeof(path) - 1);
	if (n > 0) {
		const char *slash;

		path[n] = '\0';
		if ((size_t)n > strlen(deleted) && strcmp(path + n - strlen(deleted), deleted) == 0)
			path[(size_t)n - strlen(deleted)] = '\0';
		slash = strrchr(path, '/');
		text_set(i->exe, sizeof(i->exe), slash != NULL ? slash + 1 : path);
		return;
	}
	snprintf(name, sizeof(name), "/proc/%d/comm", (int)i->pid);
	f = fopen(name, "re");
	if (f == NULL)
		return;
	if (fgets(path, sizeof(path), f) != NULL) {
		path[strcspn(path, "\n")] = '\0';
		text_set(i->exe, sizeof(i->exe), path);
	}
	fclose(f);
}

/* Of the file alone: a name service may take its time, and all others would wait. */
static void user_find(struct phca_host_info *i)
{
	FILE *f = fopen("/etc/passwd", "re");
	struct passwd pw, *got = NULL;
	char buf[1024];

	snprintf(i->user, sizeof(i->user), "%u", (unsigned int)i->uid);
	if (f == NULL)
		return;
	while (fgetpwent_r(f, &pw, buf, sizeof(buf), &got) == 0) {
		if (got->pw_uid != i->uid)
			continue;
		text_set(i->user, sizeof(i->user), got->pw_name);
		break;
	}
	fclose(f);
}

/* --------------------------------------------------------------- accept */

static void refuse(struct phca_host *h, int fd)
{
	h->st.refused_limit++;
	connection_close(fd);
}

/* No descriptor left: take the connection with the spare one, so that it does not wait for ever. */
static void accept_spare(struct phca_host *h)
{
	int fd;

	if (h->spare_fd < 0)
		return;
	close(h->spare_fd);
	fd = accept4(h->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		refuse(h, fd);
	h->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int client_new(struct phca_host *h, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = c };
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (c == NULL)
		return -ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 ||
	    epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
		free(c);
		return -errno;
	}
	c->host = h;
	c->fd = fd;
	c->since_ns = phca_loop_now_ns();
	c->arena.fd = c->events.ours = c->events.theirs = -1;
	for (unsigned int i = 0; i < PHCA_SHARD_MAX; i++)
		c->wake_fds[i] = -1;
	c->info = (struct phca_host_info){
		.id = ++h->next_id, .pid = cred.pid, .uid = cred.uid, .gid = cred.gid, .exe = "?",
	};
	TAILQ_INSERT_TAIL(&h->clients, c, listed);
	h->nb_connected++;
	h->st.accepted++;
	return 0;
}

void client_accept(struct phca_host *h)
{
	int fd = accept4(h->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			accept_spare(h);
		return;
	}
	if (h->nb_connected >= h->conf.limits.clients + MORE_CONNECTED || client_new(h, fd) != 0)
		refuse(h, fd);
}

/* ----------------------------------------------------------------- open */

/* What the client could write to ours is refused, so that nothing of it waits here. */
int line_open(struct line *l)
{
	const int bytes = LINE_BYTES;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0)
		return -errno;
	*l = (struct line){ fd[0], fd[1] };
	/* more room is better; who may not have it gets what there is */
	if (setsockopt(fd[0], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0)
		(void)setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	if (shutdown(fd[0], SHUT_RD) == 0 && fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0)
		return 0;
	line_close(l);
	return -EIO;
}

void line_close(struct line *l)
{
	if (l->ours >= 0) {
		close(l->ours);
		close(l->theirs);
	}
	*l = (struct line){ -1, -1 };
}

static int wakes_open(struct client *c)
{
	for (unsigned int i = 0; i < phca_hca_nb_shards(c->host->conf.hca); i++) {
		c->wake_fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (c->wake_fds[i] < 0)
			return -errno;
	}
	return 0;
}

static int hca_open(struct client *c)
{
	char name[PHCA_HOST_EXE_MAX + 16];
	const struct phca_client_conf conf = {
		.name = name, .max_qp = c->host->conf.limits.objects[PHCA_HOST_QP],
		.ring_alloc = arena_alloc, .ring_free = arena_free, .arg = &c->arena,
		.priv = c, .wake_fds = c->wake_fds, .one_shard = true,
	};

	snprintf(name, sizeof(name), "%s:%d", c->info.exe, (int)c->info.pid);
	c->hca = phca_client_open_conf(c->host->conf.hca, &conf);
	return c->hca != NULL ? 0 : -rte_errno;
}

/* Its end is the client's, whoever has inherited the connection. */
static int process_watch(struct client *c)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uintptr_t)c | OF_PROCESS };

	return epoll_ctl(c->host->epoll_fd, EPOLL_CTL_ADD, regions_process(c->regions), &ev) == 0 ? 0 : -errno;
}

/* All but the tables' objects. */
static void client_fini(struct client *c)
{
	for (unsigned int k = 0; k < PHCA_HOST_KIND_COUNT; k++)
		table_free(&c->tables[k]);
	regions_destroy(c->regions);
	c->regions = NULL;
	arena_close(&c->arena);
	line_close(&c->events);
	events_end(c);
	for (unsigned int i = 0; i < PHCA_SHARD_MAX; i++) {
		if (c->wake_fds[i] >= 0)
			close(c->wake_fds[i]);
		c->wake_fds[i] = -1;
	}
}

int client_open(struct client *c, unsigned int port)
{
	struct phca_host *h = c->host;
	const struct phca_host_limits *l = &h->conf.limits;
	const struct region_limits max = { .bytes = l->mem_bytes, .count = l->objects[PHCA_HOST_MR],
		.remote = l->remote };
	const struct ucred who = { .pid = c->info.pid, .uid = c->info.uid, .gid = c->info.gid };
	int ret;

	if (h->nb_clients >= l->clients) {
		h->st.refused_limit++;
		return -EUSERS;
	}
	exe_find(&c->info);
	user_find(&c->info);
	c->info.port = port;
	for (unsigned int k = 0; k < PHCA_HOST_KIND_COUNT; k++)
		c->tables[k] = (struct table){ .limit = l->objects[k] };
	c->regions = regions_create(&who, &max);
	ret = c->regions != NULL ? arena_open(&c->arena, l->arena_bytes) : -rte_errno;
	if (ret == 0)
		ret = line_open(&c->events);
	if (ret == 0)
		ret = wakes_open(c);
	if (ret == 0)
		ret = process_watch(c);
	if (ret == 0)
		ret = hca_open(c);
	if (ret != 0) {
		client_fini(c);
		return ret;
	}
	c->state = CLIENT_OPEN;
	h->nb_clients++;
	h->st.clients_opened++;
	HOST_LOG(INFO, "client %u: pid %d, user %s, %s, port %u\n", c->info.id, (int)c->info.pid,
		c->info.user, c->info.exe, port);
	return 0;
}

/* ---------------------------------------------------------------- close */

void client_kill(struct client *c)
{
	if (!c->dead && c->fd >= 0)
		epoll_ctl(c->host->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	if (!c->dead && c->regions != NULL)
		epoll_ctl(c->host->epoll_fd, EPOLL_CTL_DEL, regions_process(c->regions), NULL);
	c->dead = true;
}

static void hang_up(struct client *c)
{
	if (c->fd < 0)
		return;
	connection_close(c->fd);
	c->fd = -1;
	c->host->nb_connected--;
}

/*
 * A client that hears that it is cut off flushes what has not completed: nothing may complete
 * any more by then, and what did must be there. So its queue pairs go first, and its rings
 * stay as they are.
 */
int client_end(struct client *c, const struct span *t)
{
	int ret = 0;

	client_kill(c);
	pending_drop(c);
	if (c->state == CLIENT_OPEN) {
		c->state = CLIENT_LEAVING;
		c->since_ns = phca_loop_now_ns();
		c->info.leaving = true;
		c->arena.keep = true;
	}
	if (c->state == CLIENT_LEAVING) {
		ret = qps_close(c, t);
		if (ret == MORE)
			return MORE;
	}
	if (ret == 0 || t->wait_ns >= STUCK_NS || phca_loop_now_ns() - c->since_ns >= STUCK_NS)
		hang_up(c);
	return ret;
}

int client_close(struct client *c, const struct span *t)
{
	struct phca_host *h = c->host;
	int ret = client_end(c, t);

	if (ret != 0)
		return ret;
	if (c->state == CLIENT_LEAVING) {
		ret = queues_close(c, t);
		if (ret == 0)
			ret = memory_close(c, t);
		if (ret != 0)
			return ret;
		phca_client_close(c->hca);
		client_fini(c);
		h->nb_clients--;
		h->st.clients_closed++;
		HOST_LOG(INFO, "client %u: closed\n", c->info.id);
		if (h->conf.cb.client_gone != NULL)
			h->conf.cb.client_gone(h->conf.cb.arg, &c->info);
	}
	TAILQ_REMOVE(&h->clients, c, listed);
	free(c);
	return 0;
}

/* A step of closing it. @return whether it waits for a driver, and not for too long already */
static bool close_step(struct client *c, uint64_t now_ns, uint64_t until_ns, bool *more)
{
	const struct span t = { .until_ns = until_ns, .wait_ns = c->state == CLIENT_LEAVING ? 0 : WAIT_NS };
	int ret = client_close(c, &t);

	if (ret != WAITS) {
		*more |= ret == MORE;
		return false;
	}
	if (now_ns - c->since_ns < STUCK_NS || now_ns < c->since_ns)
		return true;
	if (!c->stuck)
		HOST_LOG(WARNING, "client %u (pid %d, %s): gone, but a driver holds a request of it; "
			"tried again each second\n", c->info.id, (int)c->info.pid, c->info.exe);
	c->stuck = true;
	return false;
}

void clients_reap(struct phca_host *h, uint64_t now_ns, bool *more, bool *waits)
{
	const uint64_t until_ns = now_ns + STEP_NS;
	struct client *c, *next;

	for (c = TAILQ_FIRST(&h->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, listed);
		if (!c->dead && c->state != CLIENT_OPEN && now_ns - c->since_ns >= HELLO_NS) {
			h->st.silent++;
			client_kill(c);
		}
		if (c->dead)
			*waits |= close_step(c, now_ns, until_ns, more);
	}
}
