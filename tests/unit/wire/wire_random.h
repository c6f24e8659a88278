/* SPDX-License-Identifier: BSD-3-Clause */
/* Random but valid packets, from a seed: for round trips and mutations. */
#ifndef WIRE_RANDOM_H
#define WIRE_RANDOM_H

#include <string.h>

#include "phca_test.h"
#include "phca_wire.h"

#define WIRE_FRAME_MAX (PHCA_WIRE_HDR_MAX + PHCA_MTU_MAX + 3 + PHCA_ICRC_LEN)

static inline void wire_random_bytes(uint64_t *seed, void *to, size_t n)
{
	uint8_t *p = to;

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)phca_test_rand(seed);
}

/* The n-th (modulo their number) of the opcodes that have a row. */
static inline uint8_t wire_nth_opcode(uint64_t n)
{
	unsigned int rows = 0;

	for (unsigned int i = 0; i < 256; i++)
		rows += phca_opcode_table[i].name != NULL;
	n %= rows;
	for (unsigned int i = 0; i < 256; i++)
		if (phca_opcode_table[i].name != NULL && n-- == 0)
			return (uint8_t)i;
	return 0;
}

static inline void wire_random_hdr(uint64_t *seed, struct phca_wire_hdr *h)
{
	memset(h, 0, sizeof(*h));
	wire_random_bytes(seed, h->dmac, 6);
	wire_random_bytes(seed, h->smac, 6);
	wire_random_bytes(seed, h->sgid, 16);
	wire_random_bytes(seed, h->dgid, 16);
	h->vlan = phca_test_rand(seed) & 1;
	h->ip6 = phca_test_rand(seed) & 1;
	h->vlan_tci = (uint16_t)phca_test_rand(seed);
	h->tclass = (uint8_t)phca_test_rand(seed);
	h->hop_limit = (uint8_t)phca_test_rand(seed);
	h->flow_label = phca_test_rand(seed) & 0xfffff;
	h->udp_sport = (uint16_t)(0xc000 | phca_test_rand(seed));
	h->pkey = (uint16_t)phca_test_rand(seed);
	h->opcode = wire_nth_opcode(phca_test_rand(seed) >> 32);
	h->solicited = phca_test_rand(seed) & 1;
	h->ackreq = phca_test_rand(seed) & 1;
	h->migreq = phca_test_rand(seed) & 1;
	h->dqpn = phca_test_rand(seed) & PHCA_QPN_MAX;
	h->psn = phca_psn((uint32_t)phca_test_rand(seed));
	h->qkey = (uint32_t)phca_test_rand(seed);
	h->sqpn = phca_test_rand(seed) & PHCA_QPN_MAX;
	h->va = phca_test_rand(seed);
	h->rkey = (uint32_t)phca_test_rand(seed);
	h->dma_len = (uint32_t)phca_test_rand(seed);
	h->swap_add = phca_test_rand(seed);
	h->cmp = phca_test_rand(seed);
	h->syndrome = (uint8_t)phca_test_rand(seed);
	h->msn = phca_test_rand(seed) & 0xffffff;
	h->imm = (uint32_t)phca_test_rand(seed);
	h->inv_rkey = (uint32_t)phca_test_rand(seed);
}

/* A payload length that the opcode allows. */
static inline uint32_t wire_random_len(uint64_t *seed, uint8_t opcode, uint32_t max)
{
	uint8_t flags = phca_opcode_table[opcode].flags;
	uint32_t len = (uint32_t)(phca_test_rand(seed) % (max + 1));

	if ((flags & PHCA_OPF_PAYLOAD) == 0)
		return 0;
	return (flags & PHCA_OPF_LAST) != 0 ? len : len & ~3u;
}

/* Build h with a random payload of len bytes. Returns the frame's length. */
static inline uint32_t wire_random_frame(uint64_t *seed, const struct phca_wire_hdr *h,
		uint32_t len, uint8_t *frame)
{
	uint32_t hdr_len = phca_wire_build(frame, h, len);

	wire_random_bytes(seed, frame + hdr_len, len);
	return phca_wire_finish(frame, h, len);
}

#endif
