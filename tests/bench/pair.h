/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two HCAs joined by two rings, and a proxy for one of them: what the benchmarks of offloads
 * begin with. One thread turns both HCAs, the proxy's loop runs where the caller puts it.
 */
#ifndef PAIR_H
#define PAIR_H

#include "phca_hca.h"
#include "phca_proxy.h"

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
/* EAL with two lcores: 0 is this thread, which turns the HCAs, 1 is the proxy's. */
void pair_eal(const char *name);
/* Both ends, after pair_eal; the proxy is of ends[proxy_side]. */
void pair_open(unsigned int proxy_side);
/* A queue pair with its completions in the end's CQ; receives of its own, or of the SRQ. */
struct phca_qp *pair_qp(struct end *e, uint32_t depth, struct phca_srq *srq);
/* Connect both; RC, path MTU 4096. */
void pair_connect(struct phca_qp *a, struct phca_qp *b);
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
