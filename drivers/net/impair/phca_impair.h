/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * net_impair: an ethdev on top of another one, or of a pair of rings, that drops,
 * duplicates, delays, reorders, corrupts, marks and shapes packets by rules.
 *
 *   --vdev=net_ring0 --vdev='net_impair0,lower=net_ring0,seed=7,rule=drop p 0.01'
 *
 * It is used as any ethdev is. What is here is for tests, which bring a clock of
 * their own, and for control: rules and counters while it runs. The language of
 * rules and all device arguments are in doc/impair.md.
 *
 * Threads: bursts run on the lcore of their queue. The functions here may be
 * called by any thread but an lcore inside a burst of the device; they wait for
 * bursts under way, bursts never wait for them (one that meets them moves no
 * packet). Errors that all of them return: -ENODEV, the port is no net_impair.
 */
#ifndef PHCA_IMPAIR_H
#define PHCA_IMPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_IMPAIR_RULES_MAX 64    /**< rules of a device */
#define PHCA_IMPAIR_RULE_LEN 384    /**< longest text of a rule, its end included */
#define PHCA_IMPAIR_TEXT_MAX 65536  /**< longest text of all rules, bytes */
#define PHCA_IMPAIR_ERR_MAX 320     /**< room that every error fits in */
#define PHCA_IMPAIR_NEVER UINT64_MAX /**< no time: nothing waits */

/** Directions of a device, as its user sees them. */
enum phca_impair_dir {
	PHCA_IMPAIR_RX, /**< from the lower port to the user */
	PHCA_IMPAIR_TX, /**< from the user to the lower port */
	PHCA_IMPAIR_DIRS
};

/**
 * Counters of one direction, all queues. X(name, unit, meaning). At any time
 * in + duplicated == out + dropped + rate_dropped + freed + held.
 */
#define PHCA_IMPAIR_COUNTERS(X) \
	X(in, "packets", "taken: from the lower port (rx), from the user (tx)") \
	X(out, "packets", "passed on: to the user (rx), to the lower port (tx)") \
	X(in_bytes, "bytes", "of packets taken") \
	X(out_bytes, "bytes", "of packets passed on") \
	X(dropped, "packets", "dropped by a rule 'drop'") \
	X(rate_dropped, "packets", "dropped because the queue of a rule 'rate' was full") \
	X(duplicated, "packets", "copies made by a rule 'dup'") \
	X(delayed, "packets", "held back for a time by a rule 'delay'") \
	X(shaped, "packets", "that waited for a rule 'rate'") \
	X(reordered, "packets", "held back for later packets by a rule 'reorder'") \
	X(reorder_expired, "packets", "of those, passed on because their time was over") \
	X(corrupted, "packets", "bits flipped, iCRC left as it was") \
	X(forged, "packets", "bits flipped, iCRC made right again") \
	X(ce_marked, "packets", "marked congestion experienced (CE)") \
	X(not_ect, "packets", "chosen for a mark, but not ECN-capable: passed on as they were") \
	X(no_mbuf, "packets", "passed on as they were for lack of a buffer for the copy") \
	X(freed, "packets", "freed while held, at stop") \
	X(stalled, "bursts", "that took less than offered: as many packets are held as may be") \
	X(held, "packets", "gauge: held now")

/** Counters of one direction; see PHCA_IMPAIR_COUNTERS. */
struct phca_impair_counters {
#define PHCA_IMPAIR_FIELD(name, unit, help) uint64_t name;
	PHCA_IMPAIR_COUNTERS(PHCA_IMPAIR_FIELD)
#undef PHCA_IMPAIR_FIELD
};

/** A rule, and what it did since it was set or the device started. */
struct phca_impair_rule_info {
	char text[PHCA_IMPAIR_RULE_LEN]; /**< the rule in full; can be set again */
	uint64_t matched; /**< packets that met its conditions */
	uint64_t fired;   /**< packets that it was applied to */
};

/** A clock. @return nanoseconds, never less than the time before; any start. */
typedef uint64_t (*phca_impair_clock)(void *arg);

/** @return whether the port is a net_impair. */
bool phca_impair_is(uint16_t port_id);

/**
 * Replace the device's clock. Set it before start: the times of held packets
 * are not translated.
 *
 * @param port_id  the device
 * @param now_ns   called by bursts, on their lcore; NULL: TSC again
 * @param arg      its argument
 * @return 0, -ENODEV
 */
int phca_impair_clock_set(uint16_t port_id, phca_impair_clock now_ns, void *arg);

/**
 * Stop the device's clock at a time; from then on it moves by these calls only.
 * @param port_id  the device
 * @param now_ns   the time, not before the one set last
 * @return 0, -ENODEV
 */
int phca_impair_now_set(uint16_t port_id, uint64_t now_ns);

/**
 * @param port_id  the device
 * @return when the next held packet is due, in nanoseconds of the device's
 *	clock; PHCA_IMPAIR_NEVER: none waits for a time, or no such device
 */
uint64_t phca_impair_next_ns(uint16_t port_id);

/**
 * Read the counters of a direction.
 * @param port_id  the device
 * @param dir      the direction
 * @param st       written
 * @return 0, -ENODEV, -EINVAL (direction)
 */
int phca_impair_stats_get(uint16_t port_id, enum phca_impair_dir dir, struct phca_impair_counters *st);

/**
 * Count from zero again; packets that are held count as taken anew.
 * @param port_id  the device
 * @return 0, -ENODEV
 */
int phca_impair_stats_reset(uint16_t port_id);

/**
 * Replace all rules, also while packets move. What is held stays held. The new
 * rules begin as at start: random sequences, counts and transmissions anew.
 *
 * @param port_id  the device
 * @param text     rules, separated by newlines or ';'; "" or "none": none
 * @param err      written when it fails: line, word, what is possible
 * @param err_len  room in err, PHCA_IMPAIR_ERR_MAX is enough
 * @return 0; -ENODEV; -EINVAL (the rules are unchanged); -ENOMEM
 */
int phca_impair_rules_set(uint16_t port_id, const char *text, char *err, size_t err_len);

/**
 * Read a rule.
 * @param port_id  the device
 * @param i        its index, from 0
 * @param info     written
 * @return 0, -ENODEV, -ENOENT (there are not so many)
 */
int phca_impair_rule_get(uint16_t port_id, unsigned int i, struct phca_impair_rule_info *info);

#ifdef __cplusplus
}
#endif
#endif
