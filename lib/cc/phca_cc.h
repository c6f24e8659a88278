/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Congestion control of a queue pair: DCQCN.
 *
 * Y. Zhu et al., "Congestion Control for Large-Scale RDMA Deployments", SIGCOMM 2015. The
 * receiver of packets that a switch marked (ECN CE) tells their sender with congestion
 * notification packets (CNP; IBTA annex A17), at most one an interval: the notification point,
 * phca_cc_np. The sender cuts its rate at each CNP and raises it again with time and with bytes
 * sent: the reaction point, phca_cc.
 *
 * Functions of numbers: no allocation, no clock, no packets, no EAL. The time is an argument,
 * in nanoseconds, and never goes back. Time that passed is accounted for when a function is
 * called with it, at a cost that does not depend on how long it was; so no timer needs to run.
 *
 * Threads: an object belongs to the lcore of its queue pair; parameters are constant while used.
 */
#ifndef PHCA_CC_H
#define PHCA_CC_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Parameters: X(name, default, min, max, what it is). Names end with their unit; bps is bits a
 * second. doc/congestion.md says which defaults are the paper's.
 */
#define PHCA_CC_PARAMS(X) \
	X(gain_divisor, 256, 1, 65536, \
		"1/g: by what part alpha goes to 1 with a CNP, and to 0 without one") \
	X(alpha_timer_us, 55, 1, 10000000, "alpha falls after each such time without a CNP") \
	X(rate_timer_us, 55, 1, 10000000, "the rate is raised after each such time") \
	X(byte_counter_bytes, 10000000, 4096, 4000000000, "and each time that so much was sent") \
	X(fast_recovery_rounds, 5, 1, 250, "F: raises of a kind that only go back to the target") \
	X(ai_rate_bps, 40000000, 1, 1000000000000, "additive increase: added to the target") \
	X(hai_rate_bps, 400000000, 1, 1000000000000, "hyper increase: added to the target") \
	X(min_rate_bps, 10000000, 1000000, 1000000000000, "no CNP cuts below") \
	X(cnp_interval_us, 50, 0, 10000000, "CNPs to one peer are no closer") \
	X(burst_bytes, 16384, 0, 16777216, "sent at once at most by a queue pair that was idle or late")

/** The parameters, of many queue pairs. */
struct phca_cc_params {
#define PHCA_CC_PARAM_MEMBER(name, def, min, max, help) uint64_t name; /**< help: see above */
	PHCA_CC_PARAMS(PHCA_CC_PARAM_MEMBER)
#undef PHCA_CC_PARAM_MEMBER
};

#define PHCA_CC_ALPHA_ONE (UINT32_C(1) << 31) /**< alpha is a fraction of this */
#define PHCA_CC_LINE_MIN_BPS UINT64_C(1000000)       /**< slowest line, 1 Mb/s */
#define PHCA_CC_LINE_MAX_BPS UINT64_C(1000000000000) /**< fastest line, 1 Tb/s */

/**
 * The reaction point of a queue pair: one cache line. rate_bps, target_bps and alpha may be
 * read, as they were at the last call; all are written by lib/cc only.
 */
struct phca_cc {
	uint64_t rate_bps;   /**< R_C: what it may send; limited when below line_bps */
	uint64_t line_bps;   /**< the port's */
	uint64_t send_ns;    /**< no packet goes before, while limited */
	uint64_t target_bps; /**< R_T: where fast recovery goes */
	uint64_t raise_ns;   /**< when time raises the rate next */
	uint64_t alpha_ns;   /**< when alpha falls next; UINT64_MAX before the first CNP */
	uint32_t alpha;      /**< of PHCA_CC_ALPHA_ONE */
	uint32_t bytes;      /**< sent since the byte counter's last round */
	uint8_t time_rounds; /**< T: raises by time since the last CNP, up to F + 1 */
	uint8_t byte_rounds; /**< BC: raises by bytes, likewise */
};

/** The notification point of a queue pair. Zeroed memory has not sent a CNP. */
struct phca_cc_np {
	uint64_t next_ns; /**< no CNP before */
};

/** Set all parameters to their defaults. */
void phca_cc_params_default(struct phca_cc_params *p);
/**
 * Check the ranges. Other functions want parameters that passed.
 * @return NULL, or the name of the first parameter that is out of its range
 */
const char *phca_cc_params_check(const struct phca_cc_params *p);

/**
 * A queue pair that was never told of congestion: it sends at line rate, unpaced.
 * @param line_bps  rate of the port, PHCA_CC_LINE_MIN_BPS..PHCA_CC_LINE_MAX_BPS; cut to that
 */
void phca_cc_init(struct phca_cc *cc, uint64_t line_bps);

/** A CNP came: cut the rate, begin recovery anew. */
void phca_cc_cnp(struct phca_cc *cc, const struct phca_cc_params *p, uint64_t now_ns);

/**
 * A packet was sent: count its bytes, set when the next may follow. Nothing while not limited.
 * @param bytes  of the packet as it loads the link, 1..2^31-1
 */
void phca_cc_sent(struct phca_cc *cc, const struct phca_cc_params *p, uint32_t bytes,
		uint64_t now_ns);

/**
 * Whether a packet that is sent now would be the last for now, so that it is the one to ask
 * for an acknowledgement.
 * @param bytes  as of phca_cc_sent
 * @return true: the packet after it would have to wait
 */
bool phca_cc_last(const struct phca_cc *cc, const struct phca_cc_params *p, uint32_t bytes,
		uint64_t now_ns);

/**
 * Account for the time that passed, to read the state or to wait for the next change. Not
 * needed for phca_cc_cnp and phca_cc_sent, which do it.
 * @return when the rate rises next by time alone; UINT64_MAX when not limited
 */
uint64_t phca_cc_timer(struct phca_cc *cc, const struct phca_cc_params *p, uint64_t now_ns);

/** @return whether the rate is below the line's, so that packets are paced. */
static inline bool phca_cc_limited(const struct phca_cc *cc)
{
	return cc->rate_bps < cc->line_bps;
}

/** @return bits a second that the queue pair may send, as of the last call */
static inline uint64_t phca_cc_rate(const struct phca_cc *cc)
{
	return cc->rate_bps;
}

/** @return when the next packet may go, whatever its size; now_ns when it may now */
static inline uint64_t phca_cc_next_send(const struct phca_cc *cc, uint64_t now_ns)
{
	return phca_cc_limited(cc) && cc->send_ns > now_ns ? cc->send_ns : now_ns;
}

/** A marked packet came. @return true: send a CNP for it, and count it as sent */
static inline bool phca_cc_np_mark(struct phca_cc_np *np, const struct phca_cc_params *p,
		uint64_t now_ns)
{
	if (now_ns < np->next_ns)
		return false;
	np->next_ns = now_ns + p->cnp_interval_us * 1000;
	return true;
}

#ifdef __cplusplus
}
#endif
#endif
