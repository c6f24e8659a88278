/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server: the table in its memory, registered for remote reads, and requests as they
 * come. It sleeps until there is one. With kv_get in front of it no GET comes; it
 * cannot tell, and answers those that do. Only it writes the table.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tool.h"

struct client {
	int fd;             /* TCP; -1: free */
	struct ibv_qp *qp;
	uint32_t free_send; /* bit set: that message can be sent */
};

struct server {
	struct device d;
	struct kv_slot *table;
	struct ibv_mr *table_mr;
	uint32_t buckets;
	uint64_t keys, gets, puts;
	struct client clients[CLIENTS_MAX];
};

/* The key's slot, or with `take` a free one of its bucket. */
static struct kv_slot *find(const struct server *s, uint64_t key, bool take)
{
	struct kv_slot *bucket = &s->table[kv_bucket(key, s->buckets) * KV_WAYS], *empty = NULL;

	for (int i = KV_WAYS - 1; i >= 0; i--) {
		if (bucket[i].head.key == key)
			return &bucket[i];
		if (bucket[i].head.key == 0)
			empty = &bucket[i];
	}
	return take ? empty : NULL;
}

static int32_t put(struct server *s, uint64_t key, const uint8_t *value, uint32_t len)
{
	struct kv_slot *slot = find(s, key, true);
	uint32_t v;

	if (slot == NULL || key == 0 || len > KV_VALUE_MAX)
		return -ENOSPC;
	v = slot->head.version;
	__atomic_store_n(&slot->head.version, v + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	slot->head.len = len;
	memcpy(slot->value, value, len);
	slot->head.key = key;
	__atomic_store_n(&slot->head.version, v + 2, __ATOMIC_RELEASE);
	return 0;
}

static void fill(struct server *s)
{
	uint8_t value[KV_VALUE_MAX];
	uint64_t lost = 0;

	for (uint64_t key = 1; key <= s->keys; key++) {
		for (uint32_t i = 0; i < first_len(key); i++)
			value[i] = first_byte(key, i);
		lost += put(s, key, value, first_len(key)) != 0;
	}
	if (lost > 0)
		fail("%" PRIu64 " of %" PRIu64 " keys found no room; give more buckets with -b", lost, s->keys);
}

/* @return whether the client keeps to what a client does */
static bool answer(struct server *s, uint32_t c, const uint8_t *in, uint32_t len)
{
	struct client *client = &s->clients[c];
	struct kv_request req;
	struct kv_reply *reply;
	struct kv_slot *slot;
	uint32_t i;

	if (len < sizeof(req) || client->free_send == 0) {
		fprintf(stderr, "phca-kv: client %u: %s\n", c,
			len < sizeof(req) ? "a short request" : "more requests than it may send");
		return false;
	}
	memcpy(&req, in, sizeof(req));
	i = (uint32_t)__builtin_ctz(client->free_send);
	reply = (struct kv_reply *)(void *)link_message(&s->d, c, i, true);
	*reply = (struct kv_reply){ .magic = KV_REPLY, .id = req.id, .key = req.key };
	if (req.magic != KV_MAGIC || (req.op != KV_GET && req.op != KV_PUT) ||
			(req.op == KV_PUT && req.len > len - sizeof(req))) {
		reply->status = -EINVAL;
	} else if (req.op == KV_PUT) {
		s->puts++;
		reply->status = put(s, req.key, in + sizeof(req), req.len);
	} else {
		s->gets++;
		slot = req.key != 0 ? find(s, req.key, false) : NULL;
		reply->status = slot != NULL ? 0 : -ENOENT;
		reply->len = slot != NULL ? slot->head.len : 0;
		if (slot != NULL)
			memcpy(reply + 1, slot->value, reply->len);
	}
	client->free_send &= ~(1u << i);
	return link_send(&s->d, client->qp, c, i, (uint32_t)sizeof(*reply) + reply->len) == 0;
}

static void forget(struct server *s, uint32_t c)
{
	struct client *client = &s->clients[c];

	if (client->fd < 0)
		return;
	close(client->fd);
	ibv_destroy_qp(client->qp);
	client->fd = -1;
	printf("client %u left; %" PRIu64 " GETs and %" PRIu64 " PUTs came here\n", c, s->gets, s->puts);
	fflush(stdout);
}

static void completions(struct server *s)
{
	struct ibv_wc wc[DEPTH];
	int n;

	while ((n = ibv_poll_cq(s->d.cq, DEPTH, wc)) > 0) {
		for (int i = 0; i < n; i++) {
			uint32_t c = (uint32_t)(wc[i].wr_id >> 16), at = wc[i].wr_id & 0x7fff;

			if (s->clients[c].fd < 0)
				continue;
			if (wc[i].status != IBV_WC_SUCCESS) {
				forget(s, c);
			} else if ((wc[i].wr_id & 0x8000) != 0) {
				s->clients[c].free_send |= 1u << at;
			} else if (!answer(s, c, link_message(&s->d, c, at, false), wc[i].byte_len) ||
					link_recv(&s->d, s->clients[c].qp, c, at) != 0) {
				forget(s, c);
			}
		}
	}
}

/* @return NULL; else what is wrong with the client */
static const char *join(struct server *s, uint32_t c)
{
	const struct hello about = { .table = (uintptr_t)s->table, .rkey = s->table_mr->rkey,
		.buckets = s->buckets, .keys = s->keys };
	struct client *client = &s->clients[c];
	struct hello peer;

	for (uint32_t i = 0; i < DEPTH; i++)
		if (link_recv(&s->d, client->qp, c, i) != 0)
			return "ibv_post_recv failed";
	return link_connect(&s->d, client->qp, client->fd, &about, &peer);
}

/* Whoever connects may be no client, or say nothing: that ends the connection, and keeps the others for 2 s. */
static void welcome(struct server *s, int fd)
{
	const struct timeval limit = { .tv_sec = 2 };
	const char *wrong;
	uint32_t c = 0;

	if (fd < 0)
		return;
	while (c < CLIENTS_MAX && s->clients[c].fd >= 0)
		c++;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (c < CLIENTS_MAX)
		s->clients[c].qp = link_make(&s->d);
	if (c == CLIENTS_MAX || s->clients[c].qp == NULL) {
		fprintf(stderr, "phca-kv: a client is refused: %s\n", c == CLIENTS_MAX ? "too many" : strerror(errno));
		close(fd);
		return;
	}
	s->clients[c].fd = fd;
	s->clients[c].free_send = (1u << DEPTH) - 1;
	wrong = join(s, c);
	if (wrong == NULL)
		return;
	fprintf(stderr, "phca-kv: client %u: %s\n", c, wrong);
	forget(s, c);
}

/* Sleep until a client comes or goes, or a request is there. */
static void wait_for(struct server *s, int listener)
{
	struct pollfd p[CLIENTS_MAX + 2] = { { .fd = listener, .events = POLLIN },
		{ .fd = s->d.events->fd, .events = POLLIN } };
	struct ibv_cq *cq;
	void *arg;

	for (uint32_t c = 0; c < CLIENTS_MAX; c++)
		p[2 + c] = (struct pollfd){ .fd = s->clients[c].fd, .events = POLLIN };
	if (poll(p, CLIENTS_MAX + 2, -1) < 0)
		fail("poll: %s", strerror(errno));
	if (p[1].revents != 0 && ibv_get_cq_event(s->d.events, &cq, &arg) == 0) {
		ibv_ack_cq_events(cq, 1);
		ibv_req_notify_cq(s->d.cq, 0);
	}
	completions(s);
	if (p[0].revents != 0)
		welcome(s, accept(listener, NULL, NULL));
	for (uint32_t c = 0; c < CLIENTS_MAX; c++)
		if (p[2 + c].revents != 0)
			forget(s, c);
}

int serve(const struct options *o)
{
	static struct server s;
	size_t bytes = (size_t)o->buckets * KV_WAYS * sizeof(struct kv_slot);
	int listener;

	s.buckets = o->buckets;
	s.keys = o->keys;
	for (uint32_t c = 0; c < CLIENTS_MAX; c++)
		s.clients[c].fd = -1;
	device_open(&s.d, o, CLIENTS_MAX);
	s.table = aligned_alloc(4096, bytes);
	if (s.table == NULL)
		fail("no memory for %u buckets", o->buckets);
	memset(s.table, 0, bytes);
	fill(&s);
	s.table_mr = ibv_reg_mr(s.d.pd, s.table, bytes, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ);
	if (s.table_mr == NULL)
		fail("ibv_reg_mr: %s", strerror(errno));
	ibv_req_notify_cq(s.d.cq, 0);
	listener = tcp_listen(o->port);
	printf("table at 0x%" PRIxPTR ", rkey 0x%x, %u buckets, %" PRIu64 " keys\n", (uintptr_t)s.table,
		s.table_mr->rkey, s.buckets, s.keys);
	fflush(stdout);
	for (;;)
		wait_for(&s, listener);
}
