/* SPDX-License-Identifier: BSD-3-Clause */
/* What both ways of polling share. Under the CQ's lock. */
#ifndef POLLING_H
#define POLLING_H

#include "verbs_impl.h"

/*
 * The oldest completion, from the ring before a resize while it has any.
 * @return 1: @p e is it, taken, its request is not outstanding any more; 0: none; -1: corrupt
 */
int vcq_take(struct vcq *cq, struct phca_cqe *e);
/*
 * There was none. @return whether to yield the CPU once the lock is free: HCA lcores that sleep
 * have no CPU of their own, and may wait for this one while we do nothing but poll
 */
bool vcq_idle(struct vcq *cq);
/* Give the HCA the slots of what was taken. */
void vcq_release(struct vcq *cq);
/*
 * The appliance is gone and vcq_take says that there is no more: flush.
 * Under vctx.objs_lock, too.
 * @return completions written to wc, 0..n
 */
int vcq_flush(struct vcq *cq, struct ibv_wc *wc, int n);
/* @return whether anything would be polled, with the appliance gone. Locks as vcq_flush. */
bool vcq_pending(struct vcq *cq);

#endif
