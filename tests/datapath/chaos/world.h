/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two HCAs in this thread, each with a proxy, joined by a pair of net_impair
 * devices that spoil what each receives. Time is a variable: a turn of all takes
 * a microsecond, and while nothing happens time runs faster, so that timeouts
 * cost nothing. One seed decides all, so a failure can be run again.
 *
 * world_close asserts what must hold in the end: received packets are the sum of
 * the verdicts at both ends, and no buffer is missing.
 */
#ifndef WORLD_H
#define WORLD_H

#include <rte_mbuf.h>

#include "mimic.h"
#include "phca_hca.h"
#include "phca_test.h"


struct end {
	struct phca_loop *loop, *proxy_loop;
	struct phca_proxy *proxy;
	struct phca_mem *mem;
	struct phca_net *net;
	struct phca_hca *hca;
	struct phca_client *client;
	uint32_t pd;
	uint16_t port;
	uint8_t gid[16];
	char impair[32];      /* name of its device */
	struct phca_filter_slot slot[16];
	unsigned int nb_slots;
	struct phca_offload *null, *delay, *mimic;
};

struct world {
	uint64_t seed, rnd, now_ns;
	uint16_t mtu;         /* 256 to 4096, by the seed */
	uint64_t step_ns, idle_ns; /* of the next turn; since something was done */
	struct rte_mempool *pool;
	struct rte_rcu_qsbr *qsbr;
	struct end end[2];
};

/* How the network spoils packets, in thousandths of all. */
struct weather {
	const char *name;
	unsigned int drop, dup, reorder, corrupt, delay;
	unsigned int ecn; /* with it, congestion control is on */
};

struct world *world_open(uint64_t seed, const struct weather *weather);
void world_close(struct world *w);
/* Print what became of the packets, when something went wrong. */
void world_tell(const struct world *w);
/* One turn of everything. @return whether anything was done */
bool world_turn(struct world *w);
/* A random number below n. */
uint32_t world_rnd(struct world *w, uint32_t n);
/* A rule for a proxy QP of an end, with an example filter. */
struct phca_rule world_rule(struct end *e, const char *filter, const struct phca_filter_param *params,
		unsigned int nb_params, struct phca_offload *offload, bool send, bool inbound);
/* Packets that the network spoiled on their way to either end. */
uint64_t world_spoiled(const struct world *w);
/* CNPs that either end received for its queue pairs. */
uint64_t world_cnps(const struct world *w);

#endif
