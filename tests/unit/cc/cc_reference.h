/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DCQCN as the paper's figure 7 and equations 1 to 4 say it: real numbers, one
 * event after the other. It shares no code with lib/cc.
 */
#ifndef CC_REFERENCE_H
#define CC_REFERENCE_H

#include <math.h>

#include "phca_cc.h"

struct reference {
	double r_c, r_t, alpha, line, bytes;
	double g, f, b, r_ai, r_hai, r_min;
	uint64_t k_ns, t_ns;               /* periods of the alpha and the rate timer */
	uint64_t alpha_due_ns, rate_due_ns;
	double t, bc;
};

static inline void reference_init(struct reference *r, const struct phca_cc_params *p, double line)
{
	*r = (struct reference){ .r_c = line, .r_t = line, .alpha = 1, .line = line,
		.g = 1.0 / (double)p->gain_divisor, .f = (double)p->fast_recovery_rounds,
		.b = (double)p->byte_counter_bytes, .r_ai = (double)p->ai_rate_bps,
		.r_hai = (double)p->hai_rate_bps, .r_min = fmin((double)p->min_rate_bps, line),
		.k_ns = p->alpha_timer_us * 1000, .t_ns = p->rate_timer_us * 1000,
		.alpha_due_ns = UINT64_MAX, .rate_due_ns = UINT64_MAX };
}

static inline void reference_increase(struct reference *r)
{
	if (fmax(r->t, r->bc) < r->f)
		; /* fast recovery: the target stays */
	else if (fmin(r->t, r->bc) > r->f)
		r->r_t += r->r_hai;
	else
		r->r_t += r->r_ai;
	r->r_t = fmin(r->r_t, r->line);
	r->r_c = (r->r_t + r->r_c) / 2;
}

static inline void reference_time(struct reference *r, uint64_t now_ns)
{
	for (; r->alpha_due_ns <= now_ns; r->alpha_due_ns += r->k_ns)
		r->alpha = (1 - r->g) * r->alpha;
	for (; r->rate_due_ns <= now_ns; r->rate_due_ns += r->t_ns) {
		r->t++;
		reference_increase(r);
	}
}

static inline void reference_cnp(struct reference *r, uint64_t now_ns)
{
	reference_time(r, now_ns);
	r->r_t = r->r_c;
	r->r_c = fmax(r->r_c * (1 - r->alpha / 2), r->r_min);
	r->alpha = (1 - r->g) * r->alpha + r->g;
	r->alpha_due_ns = now_ns + r->k_ns;
	r->rate_due_ns = now_ns + r->t_ns;
	r->bytes = r->t = r->bc = 0;
}

static inline void reference_sent(struct reference *r, double bytes, uint64_t now_ns)
{
	reference_time(r, now_ns);
	for (r->bytes += bytes; r->bytes >= r->b; r->bytes -= r->b) {
		r->bc++;
		reference_increase(r);
	}
}

#endif
