/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside net_impair. A lane is one queue in one direction, with all that bursts
 * on it need and write. A program is a set of rules with the state that each
 * lane has for each of them. Bursts own a lane while they hold its flag `busy`;
 * they try it once and never wait. Control threads wait for it, and so a program
 * that no lane points to any more is nobody's and can be freed.
 */
#ifndef IMPAIR_IMPL_H
#define IMPAIR_IMPL_H

#include <pthread.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "rules.h"

#define QUEUES_MAX 64       /* of each direction */
#define BURST 32            /* packets taken from the user or the lower port at once */
#define HOLD_DEFAULT 4096   /* packets that a lane holds at most */
#define HOLD_MIN 64
#define HOLD_MAX 65536
#define RING_DEFAULT 1024
#define HEADERS_LEN 128     /* what the parser reads of a frame at most */
#define FRAME_MAX 16384     /* longest frame that is forged, bytes */

extern int phca_impair_logtype;
#define IMPAIR_LOG(level, ...) rte_log(RTE_LOG_##level, phca_impair_logtype, "net_impair: " __VA_ARGS__)

/* Transmissions of PSNs: the last ones of each set, latest first. */
#define XMIT_SETS 512
#define XMIT_WAYS 8
struct xmit_table {
	uint64_t set[XMIT_SETS][XMIT_WAYS]; /* QPN, PSN, request or response, count */
} __rte_cache_aligned;

/* What a lane remembers of a rule. */
struct rule_state {
	uint64_t rng;       /* the rule's own random sequence in this lane */
	uint64_t matched, fired;
	uint64_t free_ns, free_rem; /* rate: when the link is free; remainder of the division */
	struct xmit_table *xmit;
} __rte_cache_aligned;

/* Rules in force. Written by control threads while no lane points to it. */
struct program {
	struct rules rules;
	unsigned int nb_lanes;
	uint8_t nb[PHCA_IMPAIR_DIRS];       /* rules of a direction, and which */
	uint8_t index[PHCA_IMPAIR_DIRS][PHCA_IMPAIR_RULES_MAX];
	bool parse[PHCA_IMPAIR_DIRS];       /* whether one of them looks into packets */
	uint16_t places[PHCA_IMPAIR_DIRS];  /* packets that one can become */
	struct rule_state *state;           /* [lane][rule] */
};

/* A packet that waits for a time. */
struct timed { uint64_t due_ns, seq, timeout_ns; struct rte_mbuf *m; uint16_t by; };
/* A packet that waits for later ones. */
struct passed { uint64_t after, deadline_ns; struct rte_mbuf *m; };

struct impair;

struct lane {
	uint32_t busy;           /* the flag: whoever set it owns all that follows */
	uint32_t held;           /* ready + timed + passed; others read it */
	uint32_t turns;          /* times the flag was given back; others read it */
	struct impair *dev;
	uint16_t queue, lower_queue;
	uint8_t dir;             /* enum phca_impair_dir */
	bool shared;             /* tx: other lanes use the same lower queue */
	const struct program *prog;
	struct rule_state *state;
	struct rte_mempool *pool; /* rx: of the queue; where copies come from */
	uint32_t hold;           /* most packets held */
	/* packets on their way out, in order: a ring of `hold` */
	struct rte_mbuf **ready;
	uint32_t ready_head, nb_ready;
	/* packets that wait for a time: a heap, earliest first */
	struct timed *timed;
	uint32_t nb_timed;
	uint64_t seq;
	/* packets that wait for others, in order of arrival */
	struct passed *passed;
	uint32_t nb_passed;
	uint64_t gone;           /* packets that became ready and did not wait for others */
	uint64_t next_after, next_deadline_ns; /* the earliest of passed[] */
	uint64_t next_ns;        /* others read: when something is due */
	struct phca_impair_counters st;
	uint8_t *frame;          /* FRAME_MAX bytes to work in */
} __rte_cache_aligned;

/* What is below: an ethdev, or two rings. */
struct lower {
	bool is_ring;
	bool gone;               /* the ethdev was destroyed by somebody else */
	uint16_t port_id;
	char name[RTE_ETH_NAME_MAX_LEN];
	struct rte_ring *ring[PHCA_IMPAIR_DIRS];
	uint16_t nb_rx, nb_tx;   /* queues in use */
	uint32_t tx_busy[QUEUES_MAX];
	struct rte_eth_dev_owner owner;
};

/* The arguments of a device. */
struct impair_args {
	char lower[RTE_ETH_NAME_MAX_LEN];
	char ring[PHCA_IMPAIR_DIRS][RTE_RING_NAMESIZE];
	uint32_t ring_size, hold;
	uint64_t seed;
	bool dir[PHCA_IMPAIR_DIRS]; /* of rules that name none */
	struct rules rules;
};

struct impair {
	uint16_t port_id;
	bool started;
	uint16_t nb[PHCA_IMPAIR_DIRS]; /* queues configured */
	uint64_t seed;
	uint32_t hold;
	bool dir[PHCA_IMPAIR_DIRS];
	struct lower lower;
	struct rules rules;      /* as set; programs are made of them */
	struct program *prog;    /* in force while started */
	struct lane *lane[PHCA_IMPAIR_DIRS][QUEUES_MAX];
	phca_impair_clock clock; /* NULL: TSC, or now_ns when fixed */
	void *clock_arg;
	bool fixed;
	uint64_t now_ns;
	double ns_per_cycle;
	struct impair *next;     /* of all devices; under impair_lock */
};

/* Guards the list of devices and what control threads do to them. */
extern pthread_mutex_t impair_lock;
/* The device of a port; NULL: it is none of ours. With impair_lock. */
struct impair *impair_find(uint16_t port_id);
/* Device i of all, from 0. With impair_lock. */
struct impair *impair_at(unsigned int i);

void impair_link(struct impair *dev);
void impair_unlink(struct impair *dev);

/* control.c: all lanes of the device get the program. With impair_lock. */
void impair_use(struct impair *dev, struct program *p);
/* Counters of a direction, of one queue or (queue < 0) all. With impair_lock. */
void impair_count(struct impair *dev, enum phca_impair_dir dir, int queue, struct phca_impair_counters *st);
void impair_reset(struct impair *dev);
/* Rule i and what it did. 0 or -ENOENT. With impair_lock. */
int impair_rule(const struct impair *dev, unsigned int i, struct phca_impair_rule_info *info);

/* The counters by name, in their order; each a uint64_t of the struct. */
#define IMPAIR_NB_COUNTERS (sizeof(struct phca_impair_counters) / sizeof(uint64_t))
extern const char *const impair_counter_names[IMPAIR_NB_COUNTERS];

/* args.c */
int args_parse(const char *name, const char *text, struct impair_args *a, char *err, size_t err_len);

/* lower.c */
int lower_open(struct impair *dev, const struct impair_args *a, const char *name, char *err, size_t err_len);
void lower_stop(struct lower *low);
void lower_close(struct lower *low);
uint16_t lower_rx(struct lower *low, uint16_t queue, struct rte_mbuf **m, uint16_t n);
uint16_t lower_tx(struct lower *low, uint16_t queue, struct rte_mbuf **m, uint16_t n);

/* program.c */
struct program *program_create(const struct impair *dev, const struct rules *rules);
void program_free(struct program *p);
uint64_t random_next(uint64_t *state);

/* lane.c */
struct lane *lane_create(struct impair *dev, enum phca_impair_dir dir, uint16_t queue, int socket);
void lane_free(struct lane *l);
void lane_drop_held(struct lane *l);
uint16_t lane_rx_burst(void *lane, struct rte_mbuf **m, uint16_t n);
uint16_t lane_tx_burst(void *lane, struct rte_mbuf **m, uint16_t n);

/* decide.c: what the rules make of one packet. */
struct decision {
	bool drop;
	uint8_t copies;
	uint16_t by;
	uint64_t timeout_ns, delay_ns, late_ns;
	uint64_t fired;             /* bits: rules to apply, by index in the program */
	uint64_t event[PHCA_IMPAIR_RULES_MAX]; /* a random number for each of them */
};
struct view {                       /* what is known of a packet */
	struct phca_pkt pkt;
	bool roce;
	uint32_t len;
};
void view_init(struct view *v, const struct rte_mbuf *m);
void decide(struct lane *l, const struct view *v, struct decision *d);

/* modify.c: they return the packet, which may be a copy in place of m. */
struct rte_mbuf *modify_corrupt(struct lane *l, struct rte_mbuf *m, const struct rule *r,
	const struct view *v, uint64_t event);
struct rte_mbuf *modify_ce(struct lane *l, struct rte_mbuf *m, const struct rule *r);
struct rte_mbuf *modify_copy(struct lane *l, const struct rte_mbuf *m);

/* A lane's flag. Who reads counters without it sees by flag and turns whether one had it meanwhile. */
static inline bool lane_try(struct lane *l)
{
	if (__atomic_exchange_n(&l->busy, 1, __ATOMIC_ACQUIRE) != 0)
		return false;
	__atomic_thread_fence(__ATOMIC_RELEASE); /* what is counted is seen after the flag */
	return true;
}
static inline void lane_leave(struct lane *l)
{
	__atomic_store_n(&l->turns, l->turns + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&l->busy, 0, __ATOMIC_RELEASE);
}
/* Control threads: bursts are short. */
void lane_enter(struct lane *l);

/* Counters have one writer, the owner of the flag, and any readers. */
#define COUNT(c, n) __atomic_store_n(&(c), (c) + (n), __ATOMIC_RELAXED)
#define COUNTED(c) __atomic_load_n(&(c), __ATOMIC_RELAXED)

#endif
