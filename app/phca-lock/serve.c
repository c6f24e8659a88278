/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * phca-lock serve: an application with a table of locks in registered memory, which
 * echoes what it receives. Of lock requests it sees nothing when a proxy takes them;
 * with --self it carries them out.
 *
 * Invariant: a received message stays in its slot until it was echoed or carried out, then the
 * slot is posted again; messages of a client are handled in order.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve.h"

#define BURST 32
#define RECV_BIT (1ull << 62)
#define CQE_MAX 32768
#define FIXED 3    /* descriptors besides those of clients */
#define SPINS 2000 /* turns without work before it sleeps */

/* ---------------------------------------------------------------- slots */

static int conn_recv(struct conn *c, uint32_t slot)
{
	struct ibv_sge s = { (uintptr_t)(c->block + (SENDS + slot) * (size_t)SLOT_BYTES), SLOT_BYTES, c->mr->lkey };
	struct ibv_recv_wr *bad, w = { .wr_id = RECV_BIT | (uint64_t)c->index << 32 | slot, .sg_list = &s,
		.num_sge = 1 };

	return ibv_post_recv(c->qp, &w, &bad);
}

uint8_t *conn_send_slot(struct conn *c)
{
	if (c->busy[c->next_send])
		return NULL;
	return c->block + c->next_send * (size_t)SLOT_BYTES;
}

void conn_send(struct conn *c, uint32_t len, bool solicited)
{
	const uint32_t slot = c->next_send;
	struct ibv_sge s = { (uintptr_t)(c->block + slot * (size_t)SLOT_BYTES), len, c->mr->lkey };
	struct ibv_send_wr *bad, w = { .wr_id = (uint64_t)c->index << 32 | slot, .sg_list = &s, .num_sge = 1,
		.opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED | (solicited ? IBV_SEND_SOLICITED : 0) };

	if (ibv_post_send(c->qp, &w, &bad) != 0) {
		c->failed = true;
		return;
	}
	c->busy[slot] = true;
	c->sending++;
	c->next_send = (slot + 1) % SENDS;
}

/* ---------------------------------------------------------------- clients */

static void conn_end(struct conn *c)
{
	struct server *s = c->s;

	if (s->core != NULL)
		self_gone(c);
	if (c->qp != NULL)
		ibv_destroy_qp(c->qp);
	if (c->mr != NULL)
		ibv_dereg_mr(c->mr);
	if (c->fd >= 0)
		close(c->fd);
	free(c->block);
	free(c->held);
	memset(c, 0, sizeof(*c));
	s->nb_conns--;
	s->ended++;
}

/* @return whether it stands; what was made is conn_end's else */
static bool conn_setup(struct conn *c, const struct hello *peer)
{
	struct server *s = c->s;
	struct hello mine = { .psn = (uint32_t)(now_ns() >> 10) & 0xffffff, .gid = s->d.gid, .va = (uintptr_t)s->table,
		.rkey = s->mr->rkey, .nb_locks = s->o->nb_locks };
	size_t bytes = (SENDS + (size_t)s->o->receives) * SLOT_BYTES;

	c->block = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
	c->held = calloc(s->o->receives, sizeof(c->held[0]));
	if (c->block == NULL || c->held == NULL)
		return false;
	c->mr = ibv_reg_mr(s->d.pd, c->block, bytes, IBV_ACCESS_LOCAL_WRITE);
	c->qp = qp_make(&s->d, s->cq, SENDS, s->o->receives);
	if (c->mr == NULL || c->qp == NULL || qp_init(c->qp) != 0)
		return false;
	for (uint32_t i = 0; i < s->o->receives; i++)
		if (conn_recv(c, i) != 0)
			return false;
	mine.qpn = c->qp->qp_num;
	return qp_connect(c->qp, &s->d, &mine, peer) == 0 && hello_write(c->fd, &mine) == 0;
}

static void accept_one(struct server *s)
{
	struct hello peer;
	struct conn *c = NULL;
	int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (uint32_t i = 0; i < CLIENTS_MAX && c == NULL; i++)
		if (s->conns[i].s == NULL)
			c = &s->conns[i];
	/* The completion queue holds what all clients may have outstanding. */
	if (c == NULL || (s->nb_conns + 1) * (SENDS + s->o->receives) > s->cqe || hello_read(fd, &peer) != 0) {
		close(fd);
		return;
	}
	c->s = s;
	c->fd = fd;
	c->index = (uint32_t)(c - s->conns);
	s->nb_conns++;
	s->accepted++;
	if (!conn_setup(c, &peer)) {
		fprintf(stderr, "phca-lock: a client is refused: %s\n", strerror(errno));
		conn_end(c);
	}
}

/* A TCP connection that ended. */
static void hung_up(struct conn *c)
{
	char byte;

	if (recv(c->fd, &byte, 1, MSG_DONTWAIT) > 0)
		return;
	if (!c->s->o->keep) {
		conn_end(c);
		return;
	}
	close(c->fd);
	c->fd = -1;
}

/* ---------------------------------------------------------------- messages */

static bool echo(struct conn *c, const uint8_t *data, uint32_t len)
{
	uint8_t *slot = conn_send_slot(c);

	if (slot == NULL)
		return false;
	memcpy(slot, data, len);
	conn_send(c, len, false);
	c->s->echoed++;
	return true;
}

static bool handle(struct conn *c, uint32_t slot, uint32_t len, uint64_t now)
{
	const uint8_t *data = c->block + (SENDS + slot) * (size_t)SLOT_BYTES;
	bool request = len >= 4 && memcmp(data, &(uint32_t){ PHCA_LOCK_MAGIC }, 4) == 0;

	if (!request)
		return echo(c, data, len);
	if (c->s->core != NULL)
		return self_message(c, data, len, now);
	if (c->s->strays++ == 0)
		fprintf(stderr, "phca-lock: a lock request reached the application: no rule with the filter lock takes "
			"its queue pair; see app_proxy, or serve with --self\n");
	return true;
}

static void go_on(struct conn *c, uint64_t now)
{
	const uint32_t n = c->s->o->receives;

	while (c->nb_held > 0 && !c->failed) {
		uint32_t slot = c->held[c->held_first].slot;

		if (!handle(c, slot, c->held[c->held_first].len, now))
			return;
		c->held_first = (c->held_first + 1) % n;
		c->nb_held--;
		if (conn_recv(c, slot) != 0)
			c->failed = true;
	}
}

static void complete(struct server *s, const struct ibv_wc *wc, uint64_t now)
{
	struct conn *c = &s->conns[wc->wr_id >> 32 & (CLIENTS_MAX - 1)];
	uint32_t slot = (uint32_t)wc->wr_id;

	if (c->qp == NULL || c->qp->qp_num != wc->qp_num)
		return; /* of one that was ended */
	if (wc->status != IBV_WC_SUCCESS) {
		c->failed = true;
		return;
	}
	if (wc->wr_id & RECV_BIT) {
		uint32_t at = (c->held_first + c->nb_held) % s->o->receives;

		c->held[at].slot = slot;
		c->held[at].len = wc->byte_len;
		c->nb_held++;
	} else {
		c->busy[slot] = false;
		c->sending--;
		if (s->core != NULL)
			self_answers(c);
	}
	go_on(c, now);
}

static int turn(struct server *s)
{
	struct ibv_wc wc[BURST];
	int n = ibv_poll_cq(s->cq, BURST, wc);
	uint64_t now = s->core != NULL ? now_ns() : 0;

	if (n < 0)
		fail("ibv_poll_cq failed");
	for (int i = 0; i < n; i++)
		complete(s, &wc[i], now);
	if (s->core != NULL)
		self_turn(s, now);
	for (uint32_t i = 0; n > 0 && i < CLIENTS_MAX; i++)
		if (s->conns[i].failed)
			conn_end(&s->conns[i]);
	return n;
}

/* ---------------------------------------------------------------- the table, as the application sees it */

static void show(const struct server *s)
{
	uint32_t held = 0, shared = 0, waiters = 0;

	for (uint32_t i = 0; i < s->o->nb_locks; i++) {
		struct phca_lock_entry e;

		if (phca_lock_entry_read(phca_lock_entry_at(s->table, i), &e) != 0)
			continue;
		held += e.mode != PHCA_LOCK_FREE;
		shared += e.mode == PHCA_LOCK_SHARED;
		waiters += e.waiters;
		if (e.mode != PHCA_LOCK_FREE && held <= 4)
			printf("  lock %u: %s, holders %u, waiters %u, queue pair 0x%x, session %" PRIu64 ", token %"
				PRIu64 "\n", i, e.mode == PHCA_LOCK_SHARED ? "shared" : "exclusive", e.holders,
				e.waiters, e.owner_qpn, e.owner_session, e.token);
	}
	printf("locks %u: held %u (%u shared), waiters %u; clients %u, messages echoed %" PRIu64 "\n", s->o->nb_locks,
		held, shared, waiters, s->nb_conns, s->echoed);
	fflush(stdout);
}

/* ---------------------------------------------------------------- the server */

/* Its table is nobody's when the device went: there is nothing left to serve. */
static void device_news(struct server *s)
{
	struct ibv_async_event e;

	if (ibv_get_async_event(s->d.ctx, &e) != 0)
		return;
	ibv_ack_async_event(&e);
	if (e.event_type == IBV_EVENT_DEVICE_FATAL)
		fail("the device %s is gone: its appliance ended", ibv_get_device_name(s->d.ctx->device));
}

/* Sleep until there is something to do. */
static void wait_for_news(struct server *s, int timeout_ms)
{
	struct pollfd fds[CLIENTS_MAX + FIXED] = { { s->listener, POLLIN, 0 }, { s->ch->fd, POLLIN, 0 },
		{ s->d.ctx->async_fd, POLLIN, 0 } };
	struct conn *of[CLIENTS_MAX + FIXED];
	nfds_t n = FIXED;

	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		if (s->conns[i].s == NULL || s->conns[i].fd < 0)
			continue;
		of[n] = &s->conns[i];
		fds[n++] = (struct pollfd){ s->conns[i].fd, POLLIN, 0 };
	}
	if (poll(fds, n, timeout_ms) <= 0)
		return;
	if (fds[1].revents != 0) {
		struct ibv_cq *cq;
		void *arg;

		if (ibv_get_cq_event(s->ch, &cq, &arg) == 0)
			ibv_ack_cq_events(cq, 1);
	}
	if (fds[2].revents != 0)
		device_news(s);
	for (nfds_t i = FIXED; i < n; i++)
		if (fds[i].revents != 0)
			hung_up(of[i]);
	if (fds[0].revents != 0)
		accept_one(s);
}

static void run(struct server *s)
{
	const uint64_t every = (uint64_t)s->o->interval_ms * 1000000;
	uint64_t next = now_ns() + every;
	unsigned int idle = 0;

	while (!stop && !(s->o->once && s->accepted > 0 && s->nb_conns == 0)) {
		bool self_waits = s->core != NULL && lock_core_stats(s->core)->waiting > 0;

		if (every != 0 && idle % 64 == 0 && now_ns() >= next) {
			show(s);
			next += every;
		}
		if (turn(s) > 0) {
			idle = 0;
			continue;
		}
		if (++idle % SPINS == SPINS / 2)
			wait_for_news(s, 0);
		if (idle < SPINS)
			continue;
		/* Armed, then looked once more: nothing is missed. */
		if (ibv_req_notify_cq(s->cq, 0) != 0)
			fail("ibv_req_notify_cq failed");
		if (turn(s) == 0)
			wait_for_news(s, self_waits ? 1 : 100);
		idle = SPINS - 100;
	}
}

static void serve_start(struct server *s)
{
	size_t bytes = phca_lock_table_size(s->o->nb_locks);
	struct ibv_device_attr attr;

	device_open(&s->d, s->o);
	if (ibv_query_device(s->d.ctx, &attr) != 0)
		fail("ibv_query_device: %s", strerror(errno));
	s->cqe = attr.max_cqe < CQE_MAX ? (uint32_t)attr.max_cqe : CQE_MAX;
	s->table = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
	if (s->table == NULL)
		fail("a table of %u locks: no memory", s->o->nb_locks);
	memset(s->table, 0, bytes);
	phca_lock_table_format(s->table, s->o->nb_locks);
	s->mr = ibv_reg_mr(s->d.pd, s->table, bytes, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE |
		IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC);
	s->ch = ibv_create_comp_channel(s->d.ctx);
	s->cq = s->ch != NULL ? ibv_create_cq(s->d.ctx, (int)s->cqe, NULL, s->ch, 0) : NULL;
	if (s->mr == NULL || s->cq == NULL)
		fail("memory or completion queue: %s", strerror(errno));
	if (s->o->self)
		self_init(s);
	s->listener = tcp_listen(s->o);
	printf("phca-lock: %u locks at %p on %s, TCP port %s%s\n", s->o->nb_locks, (void *)s->table,
		ibv_get_device_name(s->d.ctx->device), s->o->port, s->o->self ? ", carried out here" : "");
	fflush(stdout);
}

int do_serve(const struct options *o)
{
	static struct server s;

	s.o = o;
	serve_start(&s);
	run(&s);
	show(&s);
	for (uint32_t i = 0; i < CLIENTS_MAX; i++)
		if (s.conns[i].s != NULL)
			conn_end(&s.conns[i]);
	if (o->self)
		self_fini(&s);
	close(s.listener);
	ibv_destroy_cq(s.cq);
	ibv_destroy_comp_channel(s.ch);
	ibv_dereg_mr(s.mr);
	free(s.table);
	device_close(&s.d);
	return s.strays == 0 ? 0 : 1;
}
