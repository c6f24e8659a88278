/* SPDX-License-Identifier: BSD-3-Clause */
/* phca-kv: a key-value server and its client over plain verbs, with kv_get in front of it or without. */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniband/verbs.h>

#include "kv.h"

#define DEPTH 16          /* messages under way each way, on a connection */
#define MESSAGE_MAX 1088  /* bytes of a request or an answer */
#define CLIENTS_MAX 64

struct options {
	const char *device;   /* NULL: the first */
	int gid_index;
	uint16_t port;        /* TCP */
	uint32_t buckets;     /* server: of the table, a power of two */
	uint64_t keys;        /* server: keys 1..keys are there from the start */
	bool wait;            /* client: for a line of input, once it is connected */
};

/* What the two sides tell each other over TCP before they talk. */
struct hello {
	uint32_t magic, qpn, psn, mtu;
	uint8_t gid[16];
	uint64_t table, keys;     /* of the server */
	uint32_t rkey, buckets;
};

/* A device with one CQ; memory for messages of `connections` connections. */
struct device {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_comp_channel *events;
	struct ibv_cq *cq;
	struct ibv_mr *mr;
	uint8_t *buf;             /* of connection i: DEPTH to receive into, DEPTH to send from */
	union ibv_gid gid;
	int gid_index;
	uint32_t mtu;
};

/* Say what failed and end. */
void fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* link.c */
void device_open(struct device *d, const struct options *o, uint32_t connections);
/* @return NULL: errno says why */
struct ibv_qp *link_make(struct device *d);
/* Exchange hellos over TCP and connect. *peer: what the other side said. @return NULL; else what is wrong */
const char *link_connect(struct device *d, struct ibv_qp *qp, int fd, const struct hello *about, struct hello *peer);
uint8_t *link_message(const struct device *d, uint32_t connection, uint32_t i, bool send);
/* @return 0 or errno, both */
int link_recv(const struct device *d, struct ibv_qp *qp, uint32_t connection, uint32_t i);
int link_send(const struct device *d, struct ibv_qp *qp, uint32_t connection, uint32_t i, uint32_t len);
int tcp_listen(uint16_t port);
int tcp_connect(const char *host, uint16_t port);

/* What is in the value of a key that was there from the start: its length, byte i of it. */
static inline uint32_t first_len(uint64_t key) { return 16 + (uint32_t)(key * 37 % 900); }
static inline uint8_t first_byte(uint64_t key, uint32_t i) { return (uint8_t)(key * 131 + i); }

int serve(const struct options *o);
int client(const struct options *o, const char *what, const char *host, uint64_t n, const char *value);

#endif
