/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A proxy, its CQs and the HCA's side of its rings, turned by hand with a clock
 * that is a variable. Asserts on its own that nothing is missing at the end.
 */
#ifndef RIG_H
#define RIG_H

#include <rte_mempool.h>

#include "phca_drivers.h"
#include "phca_proxy.h"
#include "phca_test.h"

#define RIG_REPLIES 4096

/* A completion queue with both its sides. */
struct rig_cq {
	void *mem;
	struct phca_cqw w;     /* the proxy's */
	struct phca_ring app;  /* the application's */
};

struct rig {
	struct phca_loop *loop;
	struct phca_proxy *p;
	struct phca_proxy_chan *chan; /* the first */
	struct rte_mempool *pool;
	uint64_t now_ns;
	struct phca_preply replies[RIG_REPLIES]; /* all that came, in order */
	unsigned int nb_replies;
};

void rig_init(struct rig *r, uint32_t ring_size);
/* The same with tables of memory, and the rig's pool for answers. */
void rig_init_mem(struct rig *r, uint32_t ring_size, const struct phca_mem *mem);
/* Takes the proxy down; asserts that all mbufs are back. */
void rig_fini(struct rig *r);

/* cqe entries, noop_room more slots: their sum is a power of two. */
void rig_cq_init(struct rig_cq *c, uint32_t cqe, uint32_t noop_room);
void rig_cq_fini(struct rig_cq *c);
/* Poll one completion. @return whether there was one */
bool rig_cq_poll(struct rig_cq *c, struct phca_wc *wc);
/* Poll one completion and compare wr_id and status. */
void rig_cq_expect(struct rig_cq *c, uint64_t wr_id, enum phca_wc_status status);
void rig_cq_expect_empty(struct rig_cq *c);

/* A proxy QP with windows of `window` places, attached with sequences from seq. */
struct phca_pqp *rig_pqp(struct rig *r, uint32_t qpn, uint32_t window, struct rig_cq *send,
		struct rig_cq *recv, struct phca_offload *const *offloads, unsigned int nb_rules,
		uint32_t seq);
/* DETACH, turn until DETACHED, destroy. */
void rig_pqp_end(struct rig *r, struct phca_pqp *q);

/* Messages, as the HCA sends them. They assert that the ring has room. */
void rig_send(struct rig *r, const struct phca_pmsg *m);
void rig_complete(struct rig *r, struct phca_pqp *q, enum phca_dir dir, uint32_t seq, uint64_t wr_id,
		enum phca_wc_status status, uint8_t flags);
/* An inbound UD SEND of `len` bytes 0, 1, 2...; peer QPN 0x123456. */
void rig_offload_in(struct rig *r, struct phca_pqp *q, uint32_t seq, uint8_t rule, uint32_t len);
/* A posted SEND; wr belongs to the caller until its place is free. */
void rig_offload_out(struct rig *r, struct phca_pqp *q, uint32_t seq, uint8_t rule,
		struct phca_offload_wr *wr, uint64_t wr_id, uint8_t flags);
void rig_kind(struct rig *r, enum phca_pmsg_kind kind, void *arg);

/* One turn, then the replies are collected. @return how much was done */
unsigned int rig_turn(struct rig *r);
/* Turns until an idle one, then one more: all that can be told was told. */
void rig_settle(struct rig *r);
/* @return the last CREDIT for cookie and dir; def when there was none */
uint32_t rig_credit(const struct rig *r, const void *cookie, enum phca_dir dir, uint32_t def);
/* @return how many replies of that kind for that cookie */
unsigned int rig_count(const struct rig *r, enum phca_preply_kind kind, const void *cookie);
struct phca_proxy_stats rig_stats(const struct rig *r);

/* --- a driver that does what a test says */

#define MANUAL_MAX 64
enum manual_cancel { MANUAL_FORGET, MANUAL_BUSY, MANUAL_DONE_IN_CANCEL };
struct manual {
	struct phca_offload_req *held[MANUAL_MAX];
	unsigned int nb_held;      /* those cancelled with FORGET are gone from it */
	unsigned int cancels;
	int refuse;                /* errno that submit returns; 0: none */
	enum manual_cancel cancel;
};
/* limit_ns 0: none. no_cancel: the driver has no cancel callback. */
struct phca_offload *rig_manual(struct rig *r, const char *name, uint64_t limit_ns, bool no_cancel);
struct manual *rig_manual_state(struct phca_offload *o);
/* Finish the request of a place. */
void rig_manual_done(struct phca_offload *o, enum phca_dir dir, uint32_t seq, enum phca_wc_status status);
/* An instance of a driver; settings as name, number pairs that end with NULL. */
struct phca_offload *rig_offload(struct rig *r, const char *driver, const char *name, uint64_t limit_ns,
		const struct phca_setting_arg *args, unsigned int nb_args);

#endif
