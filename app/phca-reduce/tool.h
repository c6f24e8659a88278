/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * phca-reduce: a verbs program whose contributors SEND vectors and whose application gets
 * their sum (or whatever), with the reduce offload in front of it or without.
 */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniband/verbs.h>

#include "phca_reduce.h"

#define RANKS_MAX 1024
#define DEPTH_MAX 1024
#define COUNT_MAX (1u << 28)

/* What is reduced: the contributors say it, and the application hears it of them. */
struct job {
	uint32_t op, type, flags;
	uint32_t nb_ranks, count, depth, group;
	uint64_t rounds;
	bool check;
};

struct options {
	bool serve, self;
	const char *device, *host;
	int gid_index;            /* -1: chosen */
	uint16_t port;
	uint32_t wait_s;          /* serve: for all ranks; 0: for ever */
	uint32_t first, here;     /* contribute: ranks of this process */
	struct job job;
};

/* A message is bad or a call failed: say so and end. */
void fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* --- data.c */

static inline size_t job_bytes(const struct job *j)
{
	return (size_t)j->count * phca_reduce_size((uint8_t)j->type);
}

/* A message with its header, rounded up to a cache line. */
static inline size_t job_stride(const struct job *j)
{
	return (PHCA_REDUCE_HDR_LEN + job_bytes(j) + 63) & ~(size_t)63;
}

const char *op_name(uint32_t op);
const char *type_name(uint32_t type);
const char *status_name(uint32_t status);
/* @return -1: there is none of that name */
int op_find(const char *name);
int type_find(const char *name);
void header_fill(const struct job *j, struct phca_reduce_hdr *h, uint32_t rank, uint64_t round);
/* What a rank contributes in the rounds that are slot modulo depth. */
void vector_fill(const struct job *j, void *to, uint32_t rank, uint32_t slot);
/* What comes out of all ranks, element by element in their order: depth vectors. */
uint8_t *expected_make(const struct job *j);
/* Ends the program unless the message is the result (or with TELL: the header) of a round. @return the round */
uint64_t result_check(const struct job *j, const struct phca_reduce_hdr *h, uint32_t len, bool vector,
		const uint8_t *expected, const char *who);
/* Start and end of the measured time. */
double now_s(void);
void figures_print(const struct job *j, const char *who, uint32_t ranks, double seconds);

/* --- meet.c: TCP */

/* One side of a queue pair, and the job; a line of text. */
struct hello {
	uint32_t rank, qpn, psn, mtu;
	union ibv_gid gid;
	struct job job;
};
int meet_listen(uint16_t port);
/* Wait some seconds for a server that is being started. */
int meet_connect(const char *host, uint16_t port);
void hello_send(int fd, const struct hello *h);
void hello_receive(int fd, struct hello *h);
void word_send(int fd, const char *word);
void word_receive(int fd, const char *word);
/* @return whether the peer has said a word or closed */
bool word_waits(int fd);

/* --- qp.c: verbs */

struct device {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_mr *mr;
	uint8_t *buf;
	union ibv_gid gid;
	int gid_index;
	enum ibv_mtu mtu;
};
void device_open(struct device *d, const struct options *o);
/* A CQ of nb_cqe entries and registered memory. */
void device_memory(struct device *d, int nb_cqe, size_t bytes);
struct ibv_qp *qp_make(struct device *d, uint32_t nb_send, uint32_t nb_recv);
void qp_connect(const struct device *d, struct ibv_qp *qp, const struct hello *mine, const struct hello *peer);
void qp_recv(const struct device *d, struct ibv_qp *qp, uint64_t id, void *to, size_t len);
void qp_send(const struct device *d, struct ibv_qp *qp, uint64_t id, const void *from, size_t len);
/* Poll once. Ends the program on a completion with an error. @return completions */
int cq_poll(const struct device *d, struct ibv_wc *wc, int n);
void device_close(struct device *d, struct ibv_qp **qps, uint32_t n);

int serve(const struct options *o);
int contribute(const struct options *o);

#endif
