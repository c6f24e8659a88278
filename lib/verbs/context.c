/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening and closing a device: the connection to the appliance, the arena with the
 * queues, and a thread that notices when the appliance is gone.
 *
 * Invariant: an operation that the application can reach through the context without a
 * check (verbs.h has such) is never NULL. `dead` is set once and by vctx_set_dead only.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"

#define FDS_MAX (2 + PHCA_ADMIN_SHARDS_MAX) /* arena, events, wakers */
#define WATCHER_STACK (256 * 1024)
#define LOOK_MS 1000

/* ------------------------------------------------------------------- watcher */

void vctx_set_dead(struct vctx *ctx)
{
	const struct phca_admin_event fatal = { .type = IBV_EVENT_DEVICE_FATAL };

	if (atomic_exchange(&ctx->dead, true))
		return;
	verbs_debug("phca: %s: the appliance at %s is gone; the device is dead until it is opened "
		"again", ctx->dev->device.name, ctx->dev->path);
	if (write(ctx->async_wr_fd, &fatal, sizeof(fatal)) < 0)
		atomic_store(&ctx->fatal_due, true); /* the pipe is full */
	shutdown(ctx->sock, SHUT_RDWR); /* if it is not, it lets go of us now; and the watcher looks */
}

/* What the pipe did not take, as nobody reads. */
struct held {
	struct phca_admin_event e[16];
	size_t bytes;
};

/* @return whether the pipe takes no more */
static bool hand_on(struct vctx *ctx, struct held *h)
{
	if (h->bytes > 0 && write(ctx->async_wr_fd, h->e, h->bytes) < 0 && errno == EAGAIN)
		return true;
	h->bytes = 0;
	if (!atomic_load(&ctx->fatal_due))
		return false;
	h->e[0] = (struct phca_admin_event){ .type = IBV_EVENT_DEVICE_FATAL };
	h->bytes = sizeof(h->e[0]);
	atomic_store(&ctx->fatal_due, false);
	return hand_on(ctx, h);
}

static void read_events(struct vctx *ctx, struct held *h)
{
	ssize_t n = read(ctx->events_fd, h->e, sizeof(h->e));

	if (n > 0)
		h->bytes = (size_t)n - (size_t)n % sizeof(h->e[0]);
	else if (n == 0)
		vctx_set_dead(ctx);
}

/* While the pipe is full the appliance keeps what follows. */
static void *watch(void *arg)
{
	struct vctx *ctx = arg;
	struct held held = { .bytes = 0 };
	struct pollfd p[4] = {
		{ .fd = ctx->stop_fd, .events = POLLIN },
		{ .events = POLLRDHUP },
		{ .events = POLLIN },
		{ .events = POLLOUT },
	};
	bool looked = false; /* for what another thread that found the end had to say */
	int n;

	while (p[0].revents == 0) {
		bool dead = vctx_dead(ctx), full = hand_on(ctx, &held);

		p[1].fd = dead ? -1 : ctx->sock;
		p[2].fd = dead || full ? -1 : ctx->events_fd;
		p[3].fd = full ? ctx->async_wr_fd : -1;
		n = poll(p, sizeof(p) / sizeof(p[0]), dead && !looked ? LOOK_MS : -1);
		looked |= dead && n == 0;
		if (n <= 0)
			p[0].revents = 0; /* EINTR */
		if (n <= 0 || dead)
			continue;
		if (p[2].revents != 0)
			read_events(ctx, &held); /* what it said before it went */
		if (p[1].revents & (POLLRDHUP | POLLHUP | POLLERR))
			vctx_set_dead(ctx);
	}
	return NULL;
}

static int start_watcher(struct vctx *ctx)
{
	sigset_t all, old;
	pthread_attr_t a;
	int rc;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, WATCHER_STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&ctx->watcher, &a, watch, ctx);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&a);
	if (rc == 0) {
		pthread_setname_np(ctx->watcher, "phca-watch");
		ctx->watching = true;
	}
	return -rc;
}

/* ----------------------------------------------------------------- operations */

static void fill_ops(struct vctx *ctx)
{
	struct verbs_context *v = &ctx->v;
	struct ibv_context_ops *o = &v->context.ops;

	v->sz = sizeof(*v);
	v->query_port = verbs_query_port;
	v->query_device_ex = verbs_query_device_ex;
	v->query_rt_values = verbs_query_rt_values;
	v->create_cq_ex = verbs_create_cq_ex;
	v->create_qp_ex = verbs_create_qp_ex;
	v->create_srq_ex = verbs_create_srq_ex;
	v->get_srq_num = verbs_get_srq_num;
	v->close_xrcd = verbs_close_xrcd;

	o->_compat_query_device = ibv_query_device;
	o->_compat_query_port = ibv_query_port;
	o->alloc_mw = verbs_alloc_mw;
	o->bind_mw = vqp_bind_mw;
	o->dealloc_mw = verbs_dealloc_mw;
	o->poll_cq = vcq_poll;
	o->req_notify_cq = vcq_req_notify;
	o->post_srq_recv = vsrq_post_recv;
	o->post_send = vqp_post_send;
	o->post_recv = vqp_post_recv;
	v->context.abi_compat = __VERBS_ABI_IS_EXTENDED;
}

/* ------------------------------------------------------------- open and close */

static int attach_doorbells(struct vctx *ctx, const struct phca_admin_hello_ans *h, const int *wake)
{
	for (uint32_t i = 0; i < h->nb_shards; i++) {
		struct vdb *d = &ctx->db[i];

		if (admin_ring(ctx, &h->db[i], PHCA_RING_DB, &d->ring) != 0)
			return -EPROTO;
		pthread_spin_init(&d->lock, PTHREAD_PROCESS_PRIVATE);
		d->wake_fd = wake[i];
	}
	ctx->nb_shards = h->nb_shards;
	return 0;
}

static int map_arena(struct vctx *ctx, int fd, uint64_t bytes)
{
	ctx->arena = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ctx->arena == MAP_FAILED) {
		ctx->arena = NULL;
		return -errno;
	}
	ctx->arena_bytes = bytes;
	return 0;
}

/* The pipe that the application sees as async_fd; writing to it never waits. */
static int make_async(struct vctx *ctx)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	ctx->v.context.async_fd = p[0];
	ctx->async_wr_fd = p[1];
	if (fcntl(p[1], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	ctx->stop_fd = eventfd(0, EFD_CLOEXEC);
	return ctx->stop_fd < 0 ? -errno : 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void vctx_free(struct vctx *ctx)
{
	if (ctx->watching && ctx->pid == getpid()) {
		const uint64_t one = 1;

		if (write(ctx->stop_fd, &one, sizeof(one)) == sizeof(one))
			pthread_join(ctx->watcher, NULL);
	}
	if (ctx->arena != NULL)
		munmap(ctx->arena, ctx->arena_bytes);
	for (uint32_t i = 0; i < PHCA_ADMIN_SHARDS_MAX; i++)
		close_fd(ctx->db[i].wake_fd);
	close_fd(ctx->sock);
	close_fd(ctx->events_fd);
	close_fd(ctx->async_wr_fd);
	close_fd(ctx->v.context.async_fd);
	close_fd(ctx->stop_fd);
	vtable_fini(&ctx->qps);
	vtable_fini(&ctx->cqs);
	vtable_fini(&ctx->srqs);
	pthread_mutex_destroy(&ctx->admin_lock);
	pthread_mutex_destroy(&ctx->objs_lock);
	pthread_mutex_destroy(&ctx->share_lock);
	pthread_mutex_destroy(&ctx->v.context.mutex);
	free(ctx);
}

static struct vctx *vctx_new(struct vdev *dev)
{
	struct vctx *ctx = calloc(1, sizeof(*ctx));

	if (ctx == NULL)
		return NULL;
	ctx->dev = dev;
	ctx->pid = getpid();
	ctx->sock = ctx->events_fd = ctx->async_wr_fd = ctx->stop_fd = -1;
	ctx->v.context.async_fd = -1;
	for (uint32_t i = 0; i < PHCA_ADMIN_SHARDS_MAX; i++)
		ctx->db[i].wake_fd = -1;
	pthread_mutex_init(&ctx->admin_lock, NULL);
	pthread_mutex_init(&ctx->objs_lock, NULL);
	pthread_mutex_init(&ctx->share_lock, NULL);
	pthread_mutex_init(&ctx->v.context.mutex, NULL);
	LIST_INIT(&ctx->qp_list);
	LIST_INIT(&ctx->cq_list);
	LIST_INIT(&ctx->srq_list);
	ctx->v.context.device = &dev->device;
	ctx->v.context.num_comp_vectors = 1;
	fill_ops(ctx);
	return ctx;
}

/* With the descriptors of HELLO, which are the context's when this returns 0. */
static int set_up(struct vctx *ctx, const struct phca_admin_hello_ans *h, const int *fds, uint32_t nb)
{
	int rc;

	if (h->nb_shards < 1 || h->nb_shards > PHCA_ADMIN_SHARDS_MAX || nb != 2 + h->nb_shards)
		return -EPROTO;
	ctx->caps = h->device;
	ctx->sleeps = h->sleeps != 0;
	rc = map_arena(ctx, fds[0], h->arena_bytes);
	if (rc == 0)
		rc = attach_doorbells(ctx, h, fds + 2);
	if (rc != 0) {
		for (uint32_t i = 0; i < PHCA_ADMIN_SHARDS_MAX; i++)
			ctx->db[i].wake_fd = -1; /* the caller closes fds */
		return rc;
	}
	ctx->events_fd = fds[1];
	close(fds[0]); /* mapped */
	return 0;
}

static int open_ctx(struct vctx *ctx)
{
	struct phca_admin_hello_ans h;
	int fds[FDS_MAX], rc;
	uint32_t nb;

	rc = admin_hello(ctx->dev->path, ctx->dev->port, 0, &ctx->sock, &h, fds, FDS_MAX, &nb);
	if (rc != 0)
		return rc;
	rc = set_up(ctx, &h, fds, nb);
	if (rc != 0) {
		for (uint32_t i = 0; i < nb; i++)
			close(fds[i]);
		return rc;
	}
	rc = make_async(ctx);
	if (rc == 0)
		rc = start_watcher(ctx);
	ctx->v.context.cmd_fd = ctx->sock;
	return rc;
}

struct ibv_context *ibv_open_device(struct ibv_device *device)
{
	struct vctx *ctx = vctx_new(to_vdev(device));
	int rc;

	if (ctx == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	rc = open_ctx(ctx);
	if (rc != 0) {
		verbs_debug("phca: %s is not opened: %s", device->name, strerror(-rc));
		vctx_free(ctx);
		errno = -rc;
		return NULL;
	}
	return &ctx->v.context;
}

int ibv_close_device(struct ibv_context *context)
{
	vctx_free(to_vctx(context));
	return 0;
}
