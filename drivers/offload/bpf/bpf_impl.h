/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver bpf: an instance, and one run of its program. All of it is the proxy lcore's. */
#ifndef BPF_IMPL_H
#define BPF_IMPL_H

#include "phca_offload_helpers.h"
#include "phca_proxy.h"

/* Counters of an instance. X(name, what) */
#define BPF_COUNTERS(X) \
	X(runs, "calls of the program") \
	X(done, "it said done") \
	X(errors, "it said done with an error") \
	X(passed_on, "it said pass on, and deliver") \
	X(again, "it said again, or the driver did for lack of a buffer") \
	X(bad_return, "it said something else, or what cannot be") \
	X(over_budget, "it used up the budget") \
	X(helper_calls, "calls of helpers of the driver") \
	X(helper_bytes, "bytes that they copied") \
	X(refused_access, "accesses to memory that a key, its rights or bounds refused") \
	X(no_child, "children that were not free") \
	X(no_message, "outgoing messages that were not free")

struct bpf_counters {
#define BPF_CTR(name, what) uint64_t name;
	BPF_COUNTERS(BPF_CTR)
#undef BPF_CTR
};

/* A buffer of outgoing bytes, of the run that wrote it and the children that send it. */
struct message {
	struct message *next; /* free ones */
	uint32_t len, users;
	uint8_t data[];
};

struct peer {
	struct phca_pqp *q; /* NULL: gone */
	char name[64];
};

#define BPF_SCRATCH 4096 /* bytes copied at a time for answers */

struct bpf {
	struct phca_filter_slot *slot; /* the program */
	struct phca_filter_env env;
	uint64_t budget_bytes;
	uint32_t budget_calls, insns_max;
	uint32_t nb_children, children_out;
	uint32_t message_bytes;
	struct message *free;          /* outgoing messages that nobody has */
	void *messages;                /* their memory */
	struct phca_offload_req *again, *again_last; /* to be run again, first to run first */
	unsigned int nb_again;
	unsigned int nb_peers;         /* 1 + the last one that was ever there */
	struct peer peers[PHCA_OFFLOAD_PEERS_MAX];
	struct bpf_counters c;
	uint8_t scratch[BPF_SCRATCH];
};

/* One run. Helpers get the address of the context. */
struct run {
	struct phca_offload_ctx ctx;
	struct bpf *b;
	struct phca_offload *o;
	struct phca_offload_req *req;
	const struct phca_mem *mem;
	struct message *out; /* the outgoing message; NULL: none yet */
	bool sealed;         /* a child has it: what is written next is another one */
	bool over;           /* of the budget */
	uint32_t calls_left;
	uint64_t bytes_left;
};

/* What a request keeps in drv[] while it waits to be run again. */
static inline struct phca_offload_req **req_next(struct phca_offload_req *req)
{
	return (struct phca_offload_req **)(void *)&req->drv[0];
}

/* ctx.c: what the program sees, as far as it looks; bit i of words: 8 bytes at 8i. */
void ctx_fill(struct run *r, uint32_t words, uint64_t now_ns, uint32_t calls);

/* helpers.c */
extern const struct phca_filter_kind bpf_kind;
/* One user less. */
void message_put(struct bpf *b, struct message *m);

#endif
