/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server: socket, event loop, and what is known of all clients.
 *
 * Invariant: clients are freed at the end of a batch of events, never within it,
 * so that every event's client exists.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_errno.h>

#include "host_impl.h"

RTE_LOG_REGISTER(phca_host_logtype, phca.host, NOTICE)

#define BACKLOG 128 /* connections that wait to be accepted */
#define BATCH 32   /* events handled at once; one request of each client */
#define TICK_NS UINT64_C(1000000000)
#define DRIVERS_NS UINT64_C(10000000000) /* at the end, drivers may hold what is a client's */
#define MIB (UINT64_C(1) << 20)
#define MEM_MAX (UINT64_C(1) << 46)

/* A limit beyond it would be none: what is registered is touched. */
static uint64_t memory_of_machine(void)
{
	const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_C(1) << 30;

	return RTE_MIN(RTE_MAX(RTE_ALIGN_FLOOR(bytes, MIB), MIB), MEM_MAX);
}

void phca_host_limits_default(struct phca_host_limits *l)
{
	memset(l, 0, sizeof(*l)); /* padding, too: they are compared */
	l->clients = 64;
	l->mem_bytes = memory_of_machine();
	l->remote = true;
	l->arena_bytes = UINT64_C(4) << 30;
#define DEFAULT(e, f, d, h) l->objects[PHCA_HOST_##e] = d;
	PHCA_HOST_KINDS(DEFAULT)
#undef DEFAULT
}

static int fail(char *err, size_t err_len, int error, const char *path, const char *what)
{
	snprintf(err, err_len, "host: socket %.200s: %s: %s", path, what, strerror(error));
	return -error;
}

/* --------------------------------------------------------------- create */

static bool limits_ok(const struct phca_host_limits *l)
{
	for (unsigned int k = 0; k < PHCA_HOST_KIND_COUNT; k++)
		if (l->objects[k] < 1 || l->objects[k] > 1u << 20)
			return false;
	return l->clients >= 1 && l->clients <= PHCA_HOST_CLIENTS_MAX && l->mem_bytes >= 1 &&
		l->mem_bytes <= MEM_MAX && l->arena_bytes >= UINT64_C(1) << 20 &&
		l->arena_bytes <= UINT64_C(1) << 40 && l->arena_bytes % (UINT64_C(1) << 16) == 0;
}

static bool device_ok(const char *name)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

	return n > 0 && n < PHCA_HOST_NAME_MAX && name[n] == '\0';
}

static int conf_take(struct phca_host *h, const struct phca_host_conf *conf, char *err, size_t err_len)
{
	int n;

	if (!device_ok(conf->device) || !limits_ok(&conf->limits) || conf->mode > 0777) {
		snprintf(err, err_len, "host: device '%.64s', mode 0%o, or a limit is out of range", conf->device,
			conf->mode);
		return -EINVAL;
	}
	h->conf = *conf;
	snprintf(h->device, sizeof(h->device), "%s", conf->device);
	snprintf(h->version, sizeof(h->version), "%s", conf->version);
	h->conf.device = h->device;
	h->conf.version = h->version;
	if (conf->path != NULL)
		n = asprintf(&h->path, "%s", conf->path);
	else
		n = asprintf(&h->path, "%s/%s%s", PHCA_ADMIN_DIR, conf->device, PHCA_ADMIN_SUFFIX);
	if (n < 0) {
		h->path = NULL;
		snprintf(err, err_len, "host: no memory");
		return -ENOMEM;
	}
	h->conf.path = h->path;
	if (h->path[0] != '\0' && strlen(h->path) < sizeof(((struct sockaddr_un *)0)->sun_path))
		return 0;
	snprintf(err, err_len, "host: socket '%.200s': a path of 1..%zu characters expected", h->path,
		sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	return -EINVAL;
}

/* Make the last folder of the path; the others must be there. */
static int folder_make(const char *path, char *err, size_t err_len)
{
	const char *slash = strrchr(path, '/');
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];

	if (slash == NULL || slash == path)
		return 0;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	if (mkdir(dir, 0755) == 0 || errno == EEXIST)
		return 0;
	return fail(err, err_len, errno, path, "its folder was not made; make it, or choose another path");
}

/* What lies at the path: nothing, a socket that nobody listens on (removed), or what stays. */
static int path_clear(const struct sockaddr_un *sa, char *err, size_t err_len)
{
	struct stat st;
	int fd, ret;

	if (lstat(sa->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : fail(err, err_len, errno, sa->sun_path, "not looked at");
	if (!S_ISSOCK(st.st_mode))
		return fail(err, err_len, EEXIST, sa->sun_path, "something else is there; choose another path");
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(err, err_len, errno, sa->sun_path, "not tried");
	ret = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ? 0 : errno;
	close(fd);
	if (ret != ECONNREFUSED)
		return fail(err, err_len, EADDRINUSE, sa->sun_path, "another appliance serves it; end that one, or "
			"choose another path or device");
	if (unlink(sa->sun_path) != 0 && errno != ENOENT)
		return fail(err, err_len, errno, sa->sun_path, "what a dead appliance left was not removed");
	return 0;
}

static int socket_make(struct phca_host *h, char *err, size_t err_len)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct stat st;
	int ret;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", h->path);
	if ((ret = folder_make(h->path, err, err_len)) != 0 || (ret = path_clear(&sa, err, err_len)) != 0)
		return ret;
	h->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (h->listen_fd < 0)
		return fail(err, err_len, errno, h->path, "not made");
	/* nobody gets in before mode and group are set */
	if (fchmod(h->listen_fd, 0) != 0 || bind(h->listen_fd, (struct sockaddr *)&sa, sizeof(sa)) != 0)
		return fail(err, err_len, errno, h->path, "not bound");
	if (lstat(h->path, &st) == 0) {
		h->dev = st.st_dev;
		h->ino = st.st_ino;
	}
	if (h->conf.set_group && lchown(h->path, (uid_t)-1, h->conf.gid) != 0)
		return fail(err, err_len, errno, h->path, "not given to its group");
	if (listen(h->listen_fd, BACKLOG) != 0)
		return fail(err, err_len, errno, h->path, "not listened on");
	if (chmod(h->path, h->conf.mode) != 0)
		return fail(err, err_len, errno, h->path, "mode not set");
	return 0;
}

static int poll_make(struct phca_host *h, char *err, size_t err_len)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	struct epoll_event timer = { .events = EPOLLIN, .data.ptr = h };

	h->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	h->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (h->timer_fd >= 0 && h->epoll_fd >= 0 &&
	    epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->listen_fd, &ev) == 0 &&
	    epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->timer_fd, &timer) == 0)
		return 0;
	return fail(err, err_len, errno, h->path, "not waited on");
}

/* Clients' memory may go while lcores use it. */
static int guard_make(struct phca_host *h, char *err, size_t err_len)
{
	int ret = region_guard_init();

	if (ret < 0)
		return fail(err, err_len, -ret, h->path, "SIGBUS not taken");
	h->guarded = true;
	return 0;
}

struct phca_host *phca_host_create(const struct phca_host_conf *conf, char *err, size_t err_len)
{
	struct phca_host *h = calloc(1, sizeof(*h));
	int ret;

	if (h == NULL) {
		snprintf(err, err_len, "host: no memory");
		rte_errno = ENOMEM;
		return NULL;
	}
	TAILQ_INIT(&h->clients);
	TAILQ_INIT(&h->pending);
	h->listen_fd = h->epoll_fd = h->spare_fd = h->timer_fd = -1;
	if ((ret = conf_take(h, conf, err, err_len)) != 0 || (ret = guard_make(h, err, err_len)) != 0 ||
	    (ret = socket_make(h, err, err_len)) != 0 || (ret = poll_make(h, err, err_len)) != 0) {
		phca_host_destroy(h);
		rte_errno = -ret;
		return NULL;
	}
	HOST_LOG(NOTICE, "%s: %u device(s) on %s\n", h->device, phca_hca_nb_ports(conf->hca), h->path);
	return h;
}

static void fd_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Another server may have the path by now. */
static void socket_remove(struct phca_host *h)
{
	struct stat st;
	int fd;

	if (h->path != NULL && h->ino != 0 && lstat(h->path, &st) == 0 && st.st_ino == h->ino && st.st_dev == h->dev)
		unlink(h->path);
	/* those who were not accepted: no more than were waiting can be there */
	for (unsigned int i = 0; h->listen_fd >= 0 && i <= BACKLOG; i++) {
		fd = accept4(h->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			break;
		connection_close(fd);
	}
	fd_close(h->listen_fd);
}

void phca_host_destroy(struct phca_host *h)
{
	const struct span t = { .until_ns = UINT64_MAX, .wait_ns = DRIVERS_NS }, no_more = { .until_ns = UINT64_MAX };
	struct client *c, *next;

	if (h == NULL)
		return;
	socket_remove(h);
	TAILQ_FOREACH(c, &h->clients, listed)
		client_end(c, &t); /* none is told long after its peers were */
	for (c = TAILQ_FIRST(&h->clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, listed);
		if (client_close(c, &no_more) != 0)
			HOST_LOG(ERR, "client %u (pid %d, %s): a driver holds a request of it; its memory stays\n",
				c->info.id, (int)c->info.pid, c->info.exe);
	}
	if (h->guarded && TAILQ_EMPTY(&h->clients)) /* lcores may use what stays */
		region_guard_fini();
	fd_close(h->epoll_fd);
	fd_close(h->timer_fd);
	fd_close(h->spare_fd);
	free(h->path);
	free(h);
}

/* ----------------------------------------------------------------- poll */

int phca_host_fd(const struct phca_host *h)
{
	return h->epoll_fd;
}

/* A client whose memory has gone gets zeros in its place, but is not served any more. */
static void broken_end(struct phca_host *h)
{
	struct region_stats rs;
	struct client *c;

	region_stats_get(&rs);
	if (rs.client_memory_lost == h->lost)
		return;
	h->lost = rs.client_memory_lost;
	TAILQ_FOREACH(c, &h->clients, listed) {
		if (c->state != CLIENT_OPEN || c->dead || !memory_broken(c))
			continue;
		h->st.broken++;
		HOST_LOG(WARNING, "client %u (pid %d, %s): memory that it had registered has gone, most likely a file "
			"that was truncated; disconnected\n", c->info.id, (int)c->info.pid, c->info.exe);
		client_kill(c);
	}
}

/* @return whether it was something of a client */
static bool event_handle(struct phca_host *h, const struct epoll_event *ev)
{
	struct client *c = (struct client *)(uintptr_t)(ev->data.u64 & ~(uint64_t)OF_PROCESS);

	if (ev->data.ptr == h) /* the timer: what is under way goes on in any case */
		return false;
	if (c == NULL)
		client_accept(h);
	else if (ev->data.u64 & OF_PROCESS || c->pending.step != NULL)
		client_kill(c); /* of one that is served all that is told is its end */
	else if (!c->dead)
		message_serve(c);
	return true;
}

unsigned int phca_host_poll(struct phca_host *h)
{
	struct epoll_event ev[BATCH];
	int n = epoll_wait(h->epoll_fd, ev, BATCH, 0);
	bool more = false, waits = false;
	unsigned int done = 0;
	uint64_t now_ns;

	for (int i = 0; i < n; i++)
		done += event_handle(h, &ev[i]);
	done += pending_run(h);
	events_flush(h);
	now_ns = phca_loop_now_ns(); /* not before any connection was made */
	if (n > 0 || done > 0 || h->timer_armed || now_ns - h->tick_ns >= TICK_NS) {
		h->tick_ns = now_ns;
		broken_end(h);
		clients_reap(h, now_ns, &more, &waits);
		pending_arm(h, more, waits);
	}
	return done + more;
}

/* ----------------------------------------------------------------- show */

const char *phca_host_path(const struct phca_host *h)
{
	return h->path;
}

const char *phca_host_device(const struct phca_host *h, unsigned int port, char *buf)
{
	if (port == 0)
		snprintf(buf, 32, "%s", h->device);
	else
		snprintf(buf, 32, "%s_%u", h->device, port % 1000);
	return buf;
}

static bool has_objects(const struct client *c)
{
	return c->state == CLIENT_OPEN || c->state == CLIENT_LEAVING;
}

static void info_get(const struct client *c, struct phca_host_info *info)
{
	*info = c->info;
	info->arena_used = c->arena.used;
	info->events_waiting = c->backlog.nb;
}

int phca_host_each(const struct phca_host *h, int (*fn)(void *arg, const struct phca_host_info *info), void *arg)
{
	struct phca_host_info info;
	struct client *c;

	TAILQ_FOREACH(c, &h->clients, listed) {
		int ret;

		if (!has_objects(c))
			continue;
		info_get(c, &info);
		ret = fn(arg, &info);
		if (ret != 0)
			return ret;
	}
	return 0;
}

int phca_host_qp_owner(const struct phca_host *h, const struct phca_qp *qp, struct phca_host_info *info)
{
	const struct phca_client *owner = phca_qp_client(qp);
	struct client *c;

	TAILQ_FOREACH(c, &h->clients, listed) {
		if (!has_objects(c) || c->hca != owner)
			continue;
		info_get(c, info);
		return 0;
	}
	return -ENOENT;
}

const struct phca_host_limits *phca_host_limits_get(const struct phca_host *h)
{
	return &h->conf.limits;
}

void phca_host_stats_get(const struct phca_host *h, struct phca_host_stats *st)
{
	struct region_stats rs;
	struct client *c;

	*st = h->st;
	region_stats_get(&rs);
	st->client_memory_lost = rs.client_memory_lost;
	st->client_copies_failed = rs.client_copies_failed;
	st->connected = h->nb_connected;
	st->clients = h->nb_clients;
	TAILQ_FOREACH(c, &h->clients, listed) {
		st->mem_bytes += c->info.mem_bytes;
		st->arena_used += c->arena.used;
	}
}
