/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of phca-lock share. */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniband/verbs.h>

#include "phca_lock_client.h"

#define CLIENTS_MAX 256
#define CLIENT_EXTRA 16  /* ordinary messages on the way to a client */
#define MESSAGE_MAX 1024 /* bytes of an ordinary message */

struct options {
	const char *device;   /* NULL: the first */
	int gid_index;        /* -1: the last that is not link-local */
	const char *port;     /* TCP */
	uint8_t qp_timeout;   /* local ACK timeout */
	const char *host;
	uint32_t nb_locks, receives, interval_ms;
	bool self, keep, once;
	uint32_t clients, depth, sessions, first;
	double seconds;
	uint64_t seed;
	uint32_t wait_us;
	enum phca_lock_mode mode;
	const char *file;
	uint32_t lock;
	char **command;       /* of lock and try; NULL: none */
};

/* Set by SIGINT and SIGTERM. */
extern volatile bool stop;

/* Say what failed, and how; exit 1. */
void fail(const char *what, ...) __attribute__((format(printf, 1, 2), noreturn));
uint64_t now_ns(void);
/* A handler, SIG_IGN or SIG_DFL; the signal interrupts system calls. */
void signal_set(int sig, void (*handler)(int sig));

/* --- link.c: devices, and the meeting by TCP */

struct device {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	union ibv_gid gid;
	int gid_index;
	uint8_t qp_timeout;
};

/* What a side tells the other. */
struct hello {
	uint32_t qpn, psn, rkey, nb_locks;
	uint64_t va;
	union ibv_gid gid;
};

void device_open(struct device *d, const struct options *o);
void device_close(struct device *d);
struct ibv_qp *qp_make(struct device *d, struct ibv_cq *cq, uint32_t send, uint32_t recv);
/* To INIT; before receives are posted. */
int qp_init(struct ibv_qp *qp);
/* To RTR and RTS. @return 0 or errno */
int qp_connect(struct ibv_qp *qp, const struct device *d, const struct hello *mine, const struct hello *peer);
int hello_write(int fd, const struct hello *h);
/* @return 0; -1: no such line came within two seconds */
int hello_read(int fd, struct hello *h);
int tcp_listen(const struct options *o);
int tcp_connect(const struct options *o);

/* --- client.c: one connection of a requester */

struct link {
	struct device *dev;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct phca_lock_client *c;
	int fd;
	uint32_t nb_locks;
	uint32_t idle;        /* polls that found nothing */
};

/* Connect, or exit. conf: what is known: depth, done, other, arg */
void link_open(struct link *l, struct device *d, const struct options *o, struct phca_lock_client_conf *conf);
void link_close(struct link *l);
/* Send what was asked; exit when the connection failed. */
void link_flush(struct link *l);
/* Take what came; exit when the connection failed, or the server has closed it. */
int link_poll(struct link *l);

/* --- roles: exit status */

int do_serve(const struct options *o);
int do_lock(const struct options *o, bool try);
int do_unlock(const struct options *o);
int do_query(const struct options *o);
int do_shell(const struct options *o);
int do_bench(const struct options *o);
int do_torture(const struct options *o);

#endif
