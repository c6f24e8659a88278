/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What resident applications put into messages and memory, so that the other end
 * can check every byte without a copy: words of a sequence that depends on a
 * seed, the stream (the generator's QP number), the kind of message and its
 * number. A message begins with its number, 64 bits little endian, as far as it
 * is long enough; the rest is the sequence.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>

#define APP_GOLDEN 0x9e3779b97f4a7c15ull

/* Streams of one QP pair that are numbered apart. */
enum app_kind { APP_KIND_SEND, APP_KIND_WRITE, APP_KIND_WRITE_IMM, APP_KIND_READ, APP_KIND_COUNT };

static inline uint64_t app_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static inline uint64_t app_key(uint64_t seed, uint32_t stream, enum app_kind kind, uint64_t seq)
{
	return app_mix(app_mix(seed + APP_GOLDEN) ^ ((uint64_t)stream << 8 | (uint64_t)kind)) + seq * APP_GOLDEN;
}

static inline uint64_t app_word(uint64_t key, uint64_t i)
{
	return rte_cpu_to_le_64(app_mix(key ^ (i + 1) * APP_GOLDEN));
}

/* Bytes of the sequence from byte @p at on; at is a multiple of 8. */
static inline void app_pattern_fill(uint8_t *p, uint64_t len, uint64_t key, uint64_t at)
{
	uint64_t i = at / 8, w;

	for (; len >= 8; len -= 8, p += 8) {
		w = app_word(key, i++);
		memcpy(p, &w, 8);
	}
	w = app_word(key, i);
	memcpy(p, &w, len);
}

/* Whether they are those bytes. */
static inline bool app_pattern_is(const uint8_t *p, uint64_t len, uint64_t key, uint64_t at)
{
	uint64_t i = at / 8, w, have, diff = 0;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&have, p, 8);
		diff |= have ^ app_word(key, i++);
	}
	w = app_word(key, i);
	return diff == 0 && memcmp(p, &w, len) == 0;
}

/* Make message @p seq. */
static inline void app_message_fill(uint8_t *p, uint32_t len, uint64_t seed, uint32_t stream, enum app_kind kind,
		uint64_t seq)
{
	uint64_t le = rte_cpu_to_le_64(seq);

	memcpy(p, &le, len < 8 ? len : 8);
	if (len > 8)
		app_pattern_fill(p + 8, len - 8, app_key(seed, stream, kind, seq), 8);
}

/* Whether it is that message. */
static inline bool app_message_is(const uint8_t *p, uint32_t len, uint64_t seed, uint32_t stream,
		enum app_kind kind, uint64_t seq)
{
	uint64_t le = rte_cpu_to_le_64(seq);

	if (memcmp(p, &le, len < 8 ? len : 8) != 0)
		return false;
	return len <= 8 || app_pattern_is(p + 8, len - 8, app_key(seed, stream, kind, seq), 8);
}

/*
 * The number of a message, when @p expect is the next one in order: a message of
 * less than 8 bytes has only the low bits of its number, and is taken for the
 * nearest one that has them.
 */
static inline uint64_t app_message_seq(const uint8_t *p, uint32_t len, uint64_t expect)
{
	uint64_t le = 0, mask, ahead;

	if (len == 0)
		return expect;
	memcpy(&le, p, len < 8 ? len : 8);
	le = rte_le_to_cpu_64(le);
	if (len >= 8)
		return le;
	mask = (1ull << 8 * len) - 1;
	ahead = (le - expect) & mask;
	return ahead > mask / 2 && expect + ahead > mask ? expect + ahead - mask - 1 : expect + ahead;
}

#endif
