/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two HCAs joined by two rings, and a proxy for one of them: what the benchmarks of connections
 * and of offloads begin with. One thread turns both HCAs, the proxy's loop runs on another lcore.
 */
#ifndef PAIR_H
#define PAIR_H

#include "phca_hca.h"
#include "phca_proxy.h"

#define CABLE 4096
#define RECEIVES 2048
#define BUFFER (1u << 20)
#define WINDOW 4096

struct end {
	struct phca_loop *loop;
	struct phca_mem *mem;
	struct phca_net *net;
	struct phca_hca *hca;
	struct phca_client *client;
	struct phca_cq *cq;
	struct phca_qp *qp;
	struct phca_proxy *proxy;
	uint16_t port;
	uint32_t pd, key;
	uint8_t *buf;
	uint8_t gid[16];
};

extern struct rte_rcu_qsbr *qsbr;
extern struct phca_loop *proxy_loop;
extern struct end ends[2];

/* What failed, and the errno; exit 1. */
void die(const char *what, int err) __attribute__((noreturn));
/* Die if rc is negative. */
void ok(const char *what, int rc);
/* Die with rte_errno if there is nothing. @return p */
void *have(const char *what, void *p);
/* An argument "NAME=value": a number from least to most, or one of the words, as its index. */
struct pair_arg {
	const char *name;            /* with the = */
	uint32_t *at, least, most;
	const char *const *words;    /* NULL: a number; most + 1 of them */
};
/* Read the arguments of the command; die of one that is none of these. */
void pair_args(int argc, char **argv, const struct pair_arg *a, unsigned int n);
/* EAL with lcore 0, this thread, which turns the HCAs; with a proxy, lcore 1 is for that. */
void pair_eal(const char *name, bool proxy);

/* How to open both ends; zero members mean the defaults. */
struct pair_opts {
	bool no_proxy;
	unsigned int proxy_side; /* whose it is */
	size_t buffer;           /* BUFFER: bytes at each end */
	uint32_t cqe;            /* 2 * WINDOW: of each end's CQ */
	uint32_t max_qp;         /* 64 */
	uint16_t mtu;            /* 4096: path MTU of connections */
	uint8_t timeout;         /* 18: of local ACKs, 4.096 us x 2^timeout */
	void (*ports)(void);     /* makes ends[].port; NULL: of two rings */
};
/* Both ends, after pair_eal. */
void pair_open(const struct pair_opts *o);
/* A queue pair with its completions in the end's CQ; receives of its own, or of the SRQ. */
struct phca_qp *pair_qp(struct end *e, uint32_t depth, struct phca_srq *srq);
/* Connect both, RC. */
void pair_connect(struct phca_qp *a, struct phca_qp *b);
/* Post n receives of len bytes, all of them the end's buffer, to its SRQ or, NULL, its qp; fewer when it is full. */
void pair_receives(struct end *e, struct phca_srq *srq, uint32_t len, unsigned int n);
/* An example filter, of the folder PHCA_FILTERS. */
void pair_filter(struct phca_filter_slot *slot, const char *name, const struct phca_filter_param *p, unsigned int n);
/* An instance of a driver on the end's proxy; of bpf with the shipped program of the folder PHCA_OFFLOADS. */
struct phca_offload *pair_offload(struct end *e, const struct phca_offload_ops *ops, const char *program,
		const struct phca_setting_arg *args, unsigned int n);
/* Run the proxy's loop on the other lcore, with the application if it is not NULL; stop it. */
void pair_start(phca_turn_fn app);
void pair_stop(void);
/* Turn both HCAs, and the application if it is not NULL. @return by how much *done grew */
uint64_t pair_run(uint64_t ns, const uint64_t *done, phca_turn_fn app);

#endif
