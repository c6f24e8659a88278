/* SPDX-License-Identifier: BSD-3-Clause */
/* A rig with one RC queue pair whose requests go to a program of bpf/ or config/offloads. */
#ifndef BPF_RIG_H
#define BPF_RIG_H

#include "phca_filter.h"
#include "phca_offload_ctx.h"

#include "rig.h"

#define OK PHCA_WC_SUCCESS
#define ORD PHCA_PMSG_F_ORDERED
#define BYTES 8192u
#define IOVA 0x100000u

struct bpf_rig {
	struct rig r;
	struct rig_cq cq, cq2;
	struct phca_filter_slot slot;
	struct phca_offload *o;
	struct phca_pqp *q;               /* number 1 */
	struct phca_mem *mem;
	struct rte_rcu_qsbr *qsbr;
	uint32_t pd;
	uint32_t rkey, read_only, local;  /* the same memory, with rights for the peer; only to read; none */
	uint8_t *memory;                  /* BYTES at IOVA; 1024: payload of posted requests */
	struct phca_offload_wr wr[64];
	struct phca_sge sge[64];
};
extern struct bpf_rig bpf;

struct phca_filter *bpf_load(const char *program, const struct phca_filter_param *p, unsigned int nb,
		struct phca_filter *of);
/* A program of bpf/programs.bpf.c, or with a dot at its end the shipped object "NAME." */
void bpf_setup(const char *program, const struct phca_filter_param *p, unsigned int nb,
		const struct phca_setting_arg *args, unsigned int nb_args);
void bpf_teardown(void);
/* The number that the program left in map seen. */
uint64_t bpf_seen(unsigned int at);
void bpf_seen_words(void *to, unsigned int n);
/* Text of an entry of a map, of a global. */
const char *bpf_entry(const char *map, const char *key);
const char *bpf_global(const char *name);
uint64_t bpf_counter(const char *name);
/* 8 characters as a number in memory. */
uint64_t bpf_word(const char *text);
/* An inbound SEND of one packet. */
void bpf_send_in(uint32_t seq, uint8_t flags, const void *data, uint32_t len);
/* A posted request of 32 bytes at memory + 1024, ordered; wr[seq] may be changed before the next turn. */
void bpf_post(uint32_t seq, enum phca_wr_opcode op, uint64_t wr_id);

#endif
