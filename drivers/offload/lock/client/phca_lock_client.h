/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A requester of locks over a queue pair of its user: plain verbs, any provider.
 *
 * The user makes and connects an RC queue pair to the application that has the table, and
 * gives it to a client, which posts the receives and sends on it. Other messages go over the
 * same queue pair with phca_lock_client_send and the `other` callback.
 *
 * Threads: one at a time for a client; different clients know nothing of each other.
 */
#ifndef PHCA_LOCK_CLIENT_H
#define PHCA_LOCK_CLIENT_H

#include <infiniband/verbs.h>

#include "phca_lock.h"

#ifdef __cplusplus
extern "C" {
#endif

struct phca_lock_client; /**< a requester on one queue pair */

#define PHCA_LOCK_CLIENT_DEPTH_MAX 8192 /**< depth + extra at most */

/** What a client is made of. */
struct phca_lock_client_conf {
	/**
	 * RC, of max_send_wr and max_recv_wr not below depth + extra, sq_sig_all 0, with the
	 * right to remote write; in RTR or RTS. The user's, and destroyed before the client is.
	 */
	struct ibv_qp *qp;
	uint32_t depth;       /**< requests without an answer at most, from 1 */
	uint32_t extra;       /**< other messages that may arrive before phca_lock_client_poll is called again */
	uint32_t max_message; /**< bytes of another message at most; 0: those of a lock message */
	uint64_t table_va;    /**< as the application told */
	uint32_t table_rkey;  /**< as the application told */
	/** An answer, from phca_lock_client_poll and _call; may ask, not poll. NULL: none is wanted */
	void (*done)(void *arg, const struct phca_lock_answer *a);
	/** Another message, good until it returns. NULL: they are dropped */
	void (*other)(void *arg, const void *data, uint32_t len);
	void *arg;            /**< for both */
};

/**
 * Make a client and post its receives.
 * @return the client; NULL with errno: EINVAL, ENOMEM, what verbs said
 */
struct phca_lock_client *phca_lock_client_create(const struct phca_lock_client_conf *conf);
/** Free a client whose queue pair is destroyed, or in error. NULL is allowed. */
void phca_lock_client_destroy(struct phca_lock_client *c);

/** What to ask for; see struct phca_lock_req. */
struct phca_lock_ask {
	enum phca_lock_op op;     /**< the operation */
	enum phca_lock_mode mode; /**< LOCK, TRY */
	uint64_t session;         /**< of this queue pair */
	uint32_t lock;            /**< number in the table */
	uint32_t wait_us;         /**< LOCK: 0: as long as the service allows */
};
/**
 * Put a request into the message that is sent next; a full message is sent at once.
 * @param id  written: the id that its answer will have; NULL: not wanted
 * @return 0; -EAGAIN depth requests have no answer, or no send is free: poll first; -EIO the
 *         connection failed; negative errno of ibv_post_send
 */
int phca_lock_client_ask(struct phca_lock_client *c, const struct phca_lock_ask *ask, uint64_t *id);
/** Send what was asked. @return as phca_lock_client_ask; after -EAGAIN it is sent by a later call */
int phca_lock_client_flush(struct phca_lock_client *c);
/** Send another message, which is copied. @return as phca_lock_client_ask; -EMSGSIZE longer than max_message */
int phca_lock_client_send(struct phca_lock_client *c, const void *data, uint32_t len);
/**
 * Look at the queue pair's CQs, which nobody else polls, and call back.
 * @return completions; -EIO the connection failed
 */
int phca_lock_client_poll(struct phca_lock_client *c);
/**
 * A completion of this queue pair, for users who poll the CQs themselves, as when several
 * clients share one; phca_lock_client_poll is not called then.
 * @return 0; -EIO it says that the connection failed
 */
int phca_lock_client_wc(struct phca_lock_client *c, const struct ibv_wc *wc);
/**
 * Ask and wait for the answer; others are called back meanwhile. Waits for a free send, too.
 * @param timeout_ms  how long to wait for the answer at most; -1: as long as it takes
 * @param answer      written
 * @return 0; -ETIMEDOUT the answer is still to come, and will be called back; as phca_lock_client_ask
 */
int phca_lock_client_call(struct phca_lock_client *c, const struct phca_lock_ask *ask, int timeout_ms,
		struct phca_lock_answer *answer);
/** @return requests that have no answer yet, sent or not. */
uint32_t phca_lock_client_pending(const struct phca_lock_client *c);
/** @return how the connection failed; IBV_WC_SUCCESS: it did not. */
enum ibv_wc_status phca_lock_client_status(const struct phca_lock_client *c);

#ifdef __cplusplus
}
#endif
#endif
