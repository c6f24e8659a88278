/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that sink and echo lend to a generator, and how the generator learns of
 * it: over the queue pair itself.
 *
 * The generator SENDs a request of APP_ASK_LEN bytes, the target answers with a
 * SEND of APP_ANSWER_LEN bytes. Numbers are big endian. doc/applications.md has
 * the same as tables.
 *
 *   request  0 "PHCAmem?"  8 version (1)  12 zero  16 nonce  24 zero
 *   answer   0 "PHCAmem!"  8 version (1)  12 depth of the receive queue
 *           16 the nonce   24 address     32 bytes in all    40 rkey  44 zero
 *           48 read area: offset, 56 bytes   64 write area: offset, 72 bytes
 *           80 seed of the read area         88 QP number of the target
 *
 * The first 64 bytes are for atomics: words that the answer sets to 0. The read area never
 * changes: the pattern of the seed, the target's QP number and kind "read". The
 * write area is the generator's.
 */
#ifndef TARGET_H
#define TARGET_H

#include "pattern.h"
#include "rxq.h"

#define APP_ASK "PHCAmem?"
#define APP_ANSWER "PHCAmem!"
#define APP_ASK_LEN 32
#define APP_ANSWER_LEN 96
#define APP_MEM_VERSION 1
#define APP_MEM_UNIT 64 /* areas and slots begin at multiples of it */

struct app_target {
	const struct phca_app_conf *conf;
	const struct app_rx *rx;
	uint8_t *mem, *answers;
	bool *owed;          /* an answer that found no room, by QP */
	unsigned int nb_owed;
	uint64_t bytes;      /* for each QP; 0: none is lent */
	uint64_t iova;
	uint64_t read_len, write_off;
	uint64_t seed;
	uint32_t rkey, lkey;
	uint64_t answered;   /* counter */
};

/**
 * @param bytes  for each QP; 0: none, requests are answered so
 * @param iova   address of the first byte as requesters name it; 0: where it is
 * @return 0; negative errno, app_target_fini frees what there is
 */
int app_target_init(struct app_target *t, const struct phca_app_conf *c, const struct app_rx *rx, uint64_t bytes,
		uint64_t iova, uint64_t seed);
void app_target_fini(struct app_target *t);
/** @return whether a message is a request. */
static inline bool app_target_asked(const uint8_t *payload, uint32_t len)
{
	return len == APP_ASK_LEN && memcmp(payload, APP_ASK, 8) == 0;
}
/** Answer it on QP @p i, now or in a later turn. */
void app_target_answer(struct app_target *t, unsigned int i, const uint8_t *request);
/** Send what is owed. @return how much was done */
unsigned int app_target_turn(struct app_target *t);
/** @return the write area of QP @p i; its length is written. */
static inline const uint8_t *app_target_written(const struct app_target *t, unsigned int i, uint64_t *len)
{
	*len = t->bytes > 0 ? t->bytes - t->write_off : 0;
	return t->mem + i * t->bytes + t->write_off;
}

#endif
