/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The torture client: random verbs calls on random memory. See torture.c.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What goes wrong ends the program: 2 a call that must succeed failed, 3 memory is not what it must be. */
#define EXIT_CALL 2
#define EXIT_MEMORY 3

void die(int status, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* xorshift; each thread its own */
static inline uint32_t rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return (uint32_t)(*s >> 32);
}

/* A piece of memory of some kind. */
struct piece {
	const char *kind;
	uint8_t *base;
	size_t len;
	bool readonly;
};

/* memory.c */
unsigned int pieces_make(struct piece *p, unsigned int max, uint8_t *stack, size_t stack_len);
void pieces_check(const struct piece *p, unsigned int n);
void writers_start(struct piece *p, unsigned int n, uint64_t seed);
void writers_stop(void);
/* bytes of a page that writers keep for themselves: the first so many; traffic goes behind */
#define WRITERS_BYTES 64

#endif
