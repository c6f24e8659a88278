/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A proxy, its CQs and the HCA's side of its rings, turned by hand with a clock
 * that is a variable. Asserts on its own that nothing is missing at the end.
 */
#ifndef RIG_H
#define RIG_H

#include <rte_mempool.h>

#include "phca_drivers.h"
#include "phca_filter.h"
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
	unsigned int child_at;                   /* rig_child has looked at those before */
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
/* The same of RC, in protection domain pd. */
struct phca_pqp *rig_pqp_rc(struct rig *r, uint32_t qpn, uint32_t window, struct rig_cq *cq,
		struct phca_offload *const *offloads, unsigned int nb_rules, uint32_t pd);
/* DETACH, turn until DETACHED, destroy. */
void rig_pqp_end(struct rig *r, struct phca_pqp *q);

/* Messages, as the HCA sends them. They assert that the ring has room. */
void rig_send(struct rig *r, const struct phca_pmsg *m);
void rig_complete(struct rig *r, struct phca_pqp *q, enum phca_dir dir, uint32_t seq, uint64_t wr_id,
		enum phca_wc_status status, uint8_t flags);
/* An inbound UD SEND of `len` bytes 0, 1, 2...; peer QPN 0x123456. */
void rig_offload_in(struct rig *r, struct phca_pqp *q, uint32_t seq, uint8_t rule, uint32_t len);
/* An inbound RC message: opcode of its first packet, a RETH with va and rkey when that has one; ImmDt 0x01020304. */
struct rig_in {
	uint32_t seq;
	uint8_t rule, flags, opcode;
	const void *data;
	uint32_t len, mtu;    /* payload of a packet at most; 0: one packet. With several, opcode is a FIRST */
	uint64_t va;
	uint32_t rkey, tag;   /* READs and atomics */
};
void rig_message_in(struct rig *r, struct phca_pqp *q, const struct rig_in *in);
/* The HCA's part of children: the next that came as a reply; NULL: none. */
struct phca_child *rig_child(struct rig *r);
/* It is over. */
void rig_child_over(struct rig *r, struct phca_child *c, enum phca_wc_status status);
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
	int (*on_submit)(struct phca_offload *o, struct phca_offload_req *req);  /* instead of holding it */
	void (*on_cancel)(struct phca_offload *o, struct phca_offload_req *req); /* first */
	void (*on_child)(struct phca_offload *o, struct phca_child *c, enum phca_wc_status status);
	unsigned int nb_children;       /* that are over: */
	uint64_t child[MANUAL_MAX * 4]; /* their drv[0], */
	uint8_t child_status[MANUAL_MAX * 4];
	bool orphan[MANUAL_MAX * 4];    /* no parent was shown */
	char events[64];                /* a letter each: Error, Gone, Ready */
	struct phca_pqp *event_qp;      /* of the last one */
	struct phca_pqp *peers[4];
	unsigned int nb_peers;
	char peer_name[16];             /* of the last one */
	bool pass_all, deliver_all;     /* in submit */
};
#define MANUAL_POOL 128 /* children */
/* limit_ns 0: none. no_cancel: the driver has no cancel callback. */
struct phca_offload *rig_manual(struct rig *r, const char *name, uint64_t limit_ns, bool no_cancel);
/* One whose requests are ordered, in both directions. */
struct phca_offload *rig_manual_ordered(struct rig *r, const char *name, uint64_t limit_ns);
/* The request that it holds for a place. */
struct phca_offload_req *rig_manual_req(struct phca_offload *o, enum phca_dir dir, uint32_t seq);
/* The driver gives it up otherwise than by rig_manual_done. */
void rig_manual_forget(struct phca_offload *o, const struct phca_offload_req *req);
/* Post a SEND with drv[0] = id and payload of 8 bytes. @return what phca_child_post said */
int rig_manual_child(struct phca_offload *o, struct phca_pqp *q, struct phca_offload_req *parent, uint64_t id);
struct manual *rig_manual_state(struct phca_offload *o);
/* Finish the request of a place. */
void rig_manual_done(struct phca_offload *o, enum phca_dir dir, uint32_t seq, enum phca_wc_status status);
/* An instance of a driver; settings as name, number pairs that end with NULL. */
struct phca_offload *rig_offload(struct rig *r, const char *driver, const char *name, uint64_t limit_ns,
		const struct phca_setting_arg *args, unsigned int nb_args);

#endif
