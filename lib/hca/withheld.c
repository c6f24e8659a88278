/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Acknowledgements that are withheld: a peer of RC hears nothing of an ordered request
 * until its offload has consumed it, or passed it and the application has received it. So
 * what goes wrong with one that is passed is told as with a direct one: RNR NAK when there
 * is no receive for it, a NAK when the receive refuses it.
 *
 * A peer waits for an acknowledgement only so long, and an offload may take its time: a
 * request that the proxy has had for WITHHELD_NS, or that the peer sends again, is
 * acknowledged, with all that came behind it. What goes wrong with that later, no NAK says.
 *
 * Invariant: with resp.withholds, `unsaid` is the place of the oldest such request, and
 * nothing that the peer gets speaks of its last packet or of one behind it: no
 * acknowledgement, no NAK, no response to a READ or atomic. The queue pair is on the list
 * exactly then, unless it is in ERROR.
 */
#include "hca_impl.h"

#define WITHHELD_NS 1000000u /* an offload that decides at once is faster, timeouts of peers are longer */
#define WITHHELD_QPS 32      /* queue pairs a turn whose time is over */

static void list_add(struct shard *h, struct phca_qp *qp)
{
	struct passes *p = qp->pass;

	p->until_ns = h->now_ns + WITHHELD_NS;
	p->on_list = true;
	p->withheld_next = NULL;
	p->withheld_prev = h->withheld_tail;
	*(h->withheld_tail ? &h->withheld_tail->pass->withheld_next : &h->withheld_head) = qp;
	h->withheld_tail = qp;
}

static void list_remove(struct shard *h, struct phca_qp *qp)
{
	struct passes *p = qp->pass;

	if (!p->on_list)
		return;
	*(p->withheld_prev ? &p->withheld_prev->pass->withheld_next : &h->withheld_head) = p->withheld_next;
	*(p->withheld_next ? &p->withheld_next->pass->withheld_prev : &h->withheld_tail) = p->withheld_prev;
	p->on_list = false;
}

/* All may be told. */
static void release(struct shard *h, struct phca_qp *qp)
{
	qp->resp.withholds = false;
	list_remove(h, qp);
	respq_due(h, qp);
}

/* The SEND or WRITE that was handed over last is ordered: it has a place, its last packet is before epsn. */
void withheld_add(struct shard *h, struct phca_qp *qp)
{
	uint32_t seq = qp->pseq[PHCA_DIR_RECV].next - 1;
	struct responder *r = &qp->resp;
	struct passes *p = qp->pass;

	p->withheld[seq & p->mask] = (struct withheld){
		.psn = phca_psn_add(r->epsn, PHCA_PSN_MASK), .msn = r->msn - 1,
	};
	p->place[seq & p->mask] |= PLACE_WITHHELD;
	if (r->withholds)
		return;
	r->withholds = true;
	p->unsaid = seq;
	p->rnr = false;
	p->ack_before = r->ack_due;
	list_add(h, qp);
}

/* Some are decided, or received. In ERROR what is cancelled looks so, and is not acknowledged. */
void withheld_over(struct shard *h, struct phca_qp *qp)
{
	uint32_t end = qp->pseq[PHCA_DIR_RECV].next;
	struct passes *p = qp->pass;
	uint32_t was = p->unsaid;

	if (!qp->resp.withholds || qp->state == PHCA_QPS_ERR)
		return;
	while (p->unsaid != end && !(p->place[p->unsaid & p->mask] & PLACE_WITHHELD))
		p->unsaid++;
	if (p->unsaid == was)
		return;
	if (p->unsaid == end) {
		release(h, qp);
		return;
	}
	p->rnr = false;
	p->ack_before = true;
	list_remove(h, qp);
	list_add(h, qp);
	respq_due(h, qp);
}

/* There is no receive for this one, which came back. */
void withheld_not_ready(struct shard *h, struct phca_qp *qp, uint32_t seq)
{
	struct passes *p = qp->pass;

	if (!qp->resp.withholds || p->unsaid != seq)
		return;
	p->rnr = true;
	respq_due(h, qp);
}

/*
 * The peer sent this SEND or WRITE again: it has been told to, or it heard nothing for too
 * long. What waits for a receive is not ready still.
 * @return whether the answer is withheld, or noted; else it is an acknowledgement of all
 */
bool withheld_again(struct shard *h, struct phca_qp *qp, struct phca_psn psn)
{
	struct passes *p = qp->pass;
	int32_t d = phca_psn_diff(psn, p->withheld[p->unsaid & p->mask].psn);

	if (d >= 0 && !(p->place[p->unsaid & p->mask] & PLACE_WAITS)) {
		release(h, qp);
		return false;
	}
	if (d < 0)
		p->ack_before = true;
	else if (d == 0)
		p->rnr = true;
	respq_due(h, qp);
	return true;
}

/*
 * An ordered request has failed, and with it its queue pair. The peer is told at the
 * oldest one that it has heard nothing of: with that NAK, if that is the one.
 */
void withheld_failed(struct shard *h, struct phca_qp *qp, uint32_t seq, uint8_t syndrome)
{
	const struct passes *p = qp->pass;

	withheld_over(h, qp); /* of those before it that were received just now */
	if (!qp->resp.withholds || qp->state == PHCA_QPS_ERR)
		return;
	rc_nak_fatal(h, qp, p->withheld[p->unsaid & p->mask].psn, p->unsaid == seq ? syndrome : PHCA_NAK_REM_OP);
}

/* In ERROR, or RESET: nothing of it will be said. */
void withheld_stop(struct shard *h, struct phca_qp *qp)
{
	if (qp->pass == NULL)
		return;
	qp->pass->rnr = false;
	list_remove(h, qp);
}

/* Those whose offload takes its time. */
unsigned int withheld_run(struct shard *h)
{
	unsigned int n = 0;

	for (; n < WITHHELD_QPS && h->withheld_head != NULL; n++) {
		struct phca_qp *qp = h->withheld_head;
		const struct passes *p = qp->pass;

		if (p->until_ns > h->now_ns)
			break;
		if (p->place[p->unsaid & p->mask] & PLACE_WAITS) { /* for the application */
			list_remove(h, qp);
			list_add(h, qp);
		} else {
			release(h, qp);
		}
	}
	return n;
}
