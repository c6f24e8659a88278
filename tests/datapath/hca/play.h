/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A play: two applications in a lab, one on each of two queue pairs that are
 * connected through the port itself, turned by hand with the lab's clock.
 */
#ifndef PLAY_H
#define PLAY_H

#include "lab.h"
#include "phca_drivers.h"

#define PLAY_ACTORS 2
#define PLAY_QPN 0x40u /* of actor 0; actor 1 has the next */
#define PLAY_DEPTH 32  /* of all queues */

struct play {
	struct lab *l;
	enum phca_qp_type type;
	struct phca_qp *qp[PLAY_ACTORS];
	struct phca_cq *cq[PLAY_ACTORS];
	struct phca_srq *srq[PLAY_ACTORS];
	struct phca_app *app[PLAY_ACTORS];
};

/* Settings: names and numbers, or texts when text is not NULL. */
#define PLAY_U(name_, v) { .name = name_, .kind = PHCA_SETTING_UINT, .u = v }
#define PLAY_B(name_, v) { .name = name_, .kind = PHCA_SETTING_BOOL, .u = v }
#define PLAY_S(name_, v) { .name = name_, .kind = PHCA_SETTING_STRING, .s = v }

/* Queue pairs in RTS; with srq, actor 1 has a shared receive queue. */
void play_open(struct play *p, enum phca_qp_type type, bool srq);
void play_close(struct play *p);
/* Bring a queue pair from RESET to RTS. */
void play_to_rts(struct play *p, unsigned int i);
/* Make an actor; @return whether it was made, else err says why. */
bool play_app(struct play *p, unsigned int i, const char *driver, const struct phca_setting_arg *args,
		unsigned int n, char err[256]);
/* The same, asserted. */
void play_cast(struct play *p, unsigned int i, const char *driver, const struct phca_setting_arg *args,
		unsigned int n);
/* Let a generator begin or end. */
void play_enable(struct play *p, unsigned int i, bool on);
/* A counter or gauge of an actor. */
uint64_t play_counter(const struct play *p, unsigned int i, const char *name);
/* Turn until a counter has a value. @return whether it has, within max turns */
bool play_until(struct play *p, unsigned int i, const char *name, uint64_t value, unsigned int max);

#endif
