/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events: completion channels and asynchronous events. Both are descriptors that the
 * application may poll(2) and set to O_NONBLOCK; a record has 8 bytes.
 *
 * Invariant: an event is counted on its object in the moment in which it is taken, while
 * the object is in its table (objs_lock). Who destroys takes the object out first, then
 * waits until the events that were counted are acknowledged: no event names an object that
 * is gone. Its unread ones go, too: asynchronous ones at once, as both ends of that pipe are
 * ours; notes of a channel when they become the oldest, so that a channel is never readable
 * for want of an event.
 *
 * A channel is a socket whose other end is the appliance's, which writes when it completes
 * something for a CQ that was armed. When it is gone a read says so, and each CQ that is
 * still armed has one event: whoever waits wakes up and polls what is flushed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "polling.h"

_Static_assert(sizeof(struct phca_admin_note) == 8 && sizeof(struct phca_admin_event) == 8, "records of pipes");

int vcq_req_notify(struct ibv_cq *ibcq, int solicited_only)
{
	struct vcq *cq = to_vcq(ibcq);
	/* Between ibv_start_poll and ibv_end_poll the lock is this thread's. */
	bool locked = pthread_equal(atomic_load_explicit(&cq->poller, memory_order_relaxed), pthread_self());

	if (!locked)
		pthread_spin_lock(&cq->lock); /* which ring it is */
	phca_cq_arm(&cq->ring, solicited_only != 0);
	if (!locked)
		pthread_spin_unlock(&cq->lock);
	return 0;
}

/* -------------------------------------------------------------------- channels */

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
	struct vchan *ch = calloc(1, sizeof(*ch));
	struct phca_admin_req req;
	struct phca_admin_ans ans;
	int fd = -1, rc;

	if (ch == NULL)
		return NULL;
	admin_req(&req, PHCA_ADMIN_CHANNEL_CREATE);
	rc = admin_call_fds(to_vctx(context), &req, NULL, 0, NULL, 0, &ans, &fd, 1);
	if (rc == 0 && fd < 0)
		rc = -EPROTO;
	if (rc != 0) {
		free(ch);
		errno = -rc;
		return NULL;
	}
	ch->channel.context = context;
	ch->channel.fd = fd;
	ch->handle = ans.u.handle[0];
	return &ch->channel;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
	struct ibv_context *context = channel->context;
	int refs, rc;

	pthread_mutex_lock(&context->mutex);
	refs = channel->refcnt;
	pthread_mutex_unlock(&context->mutex);
	if (refs != 0)
		return EBUSY;
	rc = admin_free(to_vctx(context), PHCA_ADMIN_CHANNEL_DESTROY, to_vchan(channel)->handle);
	if (rc != 0)
		return -rc;
	close(channel->fd);
	free(channel);
	return 0;
}

/* ----------------------------------------------------------- completion events */

/* Hand one to the application. Under objs_lock. */
static void count_comp(struct vcq *vcq, struct ibv_cq **cq, void **cq_context)
{
	pthread_mutex_lock(&vcq->cq.mutex);
	vcq->comp_events++;
	pthread_mutex_unlock(&vcq->cq.mutex);
	*cq = &vcq->cq;
	*cq_context = vcq->cq.cq_context;
}

/* Under objs_lock. @return NULL: it has been destroyed */
static struct vcq *cq_of_note(struct ibv_comp_channel *ch, const struct phca_admin_note *note)
{
	struct vcq *cq = vtable_get(&to_vctx(ch->context)->cqs, note->cqn);

	return cq != NULL && cq->cq.channel == ch ? cq : NULL;
}

/* Of a CQ that has one in stock. Under objs_lock. */
static struct vcq *cq_owed(struct ibv_comp_channel *ch)
{
	struct vcq *cq;

	LIST_FOREACH(cq, &to_vctx(ch->context)->cq_list, entry)
		if (cq->cq.channel == ch && cq->owed > 0)
			break;
	if (cq != NULL) {
		cq->owed--;
		atomic_fetch_sub(&to_vchan(ch)->owed, 1);
	}
	return cq;
}

/*
 * Take the oldest notes while they are of CQs that are gone. Another thread, in read(2), may
 * be faster with one that was looked at; then the next is ours, and kept if it is a good one:
 * that thread has read a bad one, and asks for what is kept before it reads again.
 */
static void trim(struct ibv_comp_channel *ch)
{
	struct vctx *ctx = to_vctx(ch->context);
	struct phca_admin_note note;
	struct vcq *cq;
	ssize_t n;

	pthread_mutex_lock(&ctx->objs_lock);
	for (;;) {
		n = recv(ch->fd, &note, sizeof(note), MSG_PEEK | MSG_DONTWAIT);
		if (n != (ssize_t)sizeof(note) || cq_of_note(ch, &note) != NULL)
			break;
		n = recv(ch->fd, &note, sizeof(note), MSG_DONTWAIT);
		if (n != (ssize_t)sizeof(note))
			break;
		cq = cq_of_note(ch, &note);
		if (cq != NULL) {
			cq->owed++;
			atomic_fetch_add(&to_vchan(ch)->owed, 1);
		}
	}
	if (n != (ssize_t)sizeof(note))
		atomic_store(&to_vchan(ch)->stale, false); /* all that there were have been looked at */
	pthread_mutex_unlock(&ctx->objs_lock);
}

/*
 * Whether an armed CQ of a dead appliance has an event: the first time in any case, then
 * when there is something to poll. Under objs_lock.
 */
static bool wakes(struct vcq *cq)
{
	bool is;

	pthread_spin_lock(&cq->lock);
	is = __atomic_load_n(&cq->ring.hdr->armed, __ATOMIC_RELAXED) != 0 && (!cq->told_dead || vcq_pending(cq)) &&
		__atomic_exchange_n(&cq->ring.hdr->armed, 0, __ATOMIC_SEQ_CST) != 0;
	pthread_spin_unlock(&cq->lock);
	cq->told_dead |= is;
	return is;
}

/* The write end is closed. @return 0; -1: no CQ waits for an event */
static int hung_up(struct ibv_comp_channel *ch, struct ibv_cq **cq, void **cq_context)
{
	struct vctx *ctx = to_vctx(ch->context);
	struct vcq *vcq;

	vctx_set_dead(ctx);
	pthread_mutex_lock(&ctx->objs_lock);
	LIST_FOREACH(vcq, &ctx->cq_list, entry)
		if (vcq->cq.channel == ch && wakes(vcq))
			break;
	if (vcq != NULL)
		count_comp(vcq, cq, cq_context);
	pthread_mutex_unlock(&ctx->objs_lock);
	if (vcq != NULL)
		return 0;
	errno = EIO;
	return -1;
}

/* @return whether note (NULL: one that is kept) is an event; then it is handed out */
static bool take_note(struct ibv_comp_channel *ch, const struct phca_admin_note *note, struct ibv_cq **cq,
		void **cq_context)
{
	struct vctx *ctx = to_vctx(ch->context);
	struct vcq *vcq;

	pthread_mutex_lock(&ctx->objs_lock);
	vcq = note != NULL ? cq_of_note(ch, note) : cq_owed(ch);
	if (vcq != NULL)
		count_comp(vcq, cq, cq_context);
	pthread_mutex_unlock(&ctx->objs_lock);
	return vcq != NULL;
}

int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **cq_context)
{
	struct phca_admin_note note;
	bool bad = false;

	for (;;) {
		ssize_t n;

		if ((bad || atomic_load(&to_vchan(channel)->owed) > 0) && take_note(channel, NULL, cq, cq_context))
			return 0;
		n = read(channel->fd, &note, sizeof(note));
		if (n < 0)
			return -1;
		if (n != (ssize_t)sizeof(note))
			return hung_up(channel, cq, cq_context);
		bad = !take_note(channel, &note, cq, cq_context);
		if (atomic_load(&to_vchan(channel)->stale))
			trim(channel);
		if (!bad)
			return 0;
	}
}

void ibv_ack_cq_events(struct ibv_cq *cq, unsigned int nevents)
{
	pthread_mutex_lock(&cq->mutex);
	cq->comp_events_completed += nevents;
	pthread_cond_signal(&cq->cond);
	pthread_mutex_unlock(&cq->mutex);
}

/* ---------------------------------------------------------- asynchronous events */

/* What an event is of. */
enum event_of { OF_DEVICE, OF_PORT, OF_CQ, OF_SRQ, OF_QP };

static enum event_of event_of(uint32_t type)
{
	switch (type) {
	case IBV_EVENT_CQ_ERR:
		return OF_CQ;
	case IBV_EVENT_SRQ_ERR:
	case IBV_EVENT_SRQ_LIMIT_REACHED:
		return OF_SRQ;
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
	case IBV_EVENT_COMM_EST:
	case IBV_EVENT_SQ_DRAINED:
	case IBV_EVENT_PATH_MIG:
	case IBV_EVENT_PATH_MIG_ERR:
	case IBV_EVENT_QP_LAST_WQE_REACHED:
		return OF_QP;
	case IBV_EVENT_DEVICE_FATAL:
		return OF_DEVICE;
	default:
		return OF_PORT;
	}
}

static void count_async(pthread_mutex_t *mutex, uint32_t *events)
{
	pthread_mutex_lock(mutex);
	++*events;
	pthread_mutex_unlock(mutex);
}

/* Under objs_lock. @return false: its object has been destroyed */
static bool fill_async(struct vctx *ctx, const struct phca_admin_event *from, struct ibv_async_event *to)
{
	void *obj;

	to->event_type = from->type;
	switch (event_of(from->type)) {
	case OF_CQ:
		obj = vtable_get(&ctx->cqs, from->num);
		to->element.cq = obj;
		if (obj != NULL)
			count_async(&to->element.cq->mutex, &to_vcq(obj)->async_events);
		return obj != NULL;
	case OF_SRQ:
		obj = vtable_get(&ctx->srqs, from->num);
		to->element.srq = obj;
		if (obj != NULL)
			count_async(&to->element.srq->mutex, &to_vsrq(obj)->async_events);
		return obj != NULL;
	case OF_QP:
		obj = vtable_get(&ctx->qps, from->num);
		to->element.qp = obj;
		if (obj != NULL)
			count_async(&to->element.qp->mutex, &to_vqp(obj)->async_events);
		return obj != NULL;
	case OF_PORT:
	case OF_DEVICE:
		break;
	}
	to->element.port_num = (int)from->num;
	return true;
}

int ibv_get_async_event(struct ibv_context *context, struct ibv_async_event *event)
{
	struct vctx *ctx = to_vctx(context);
	struct phca_admin_event e;
	bool is;

	do {
		ssize_t n = read(context->async_fd, &e, sizeof(e));

		if (n != (ssize_t)sizeof(e)) {
			if (n >= 0)
				errno = EIO;
			return -1;
		}
		pthread_mutex_lock(&ctx->objs_lock);
		is = fill_async(ctx, &e, event);
		pthread_mutex_unlock(&ctx->objs_lock);
	} while (!is);
	return 0;
}

static void ack_async(pthread_mutex_t *mutex, pthread_cond_t *cond, uint32_t *completed)
{
	pthread_mutex_lock(mutex);
	++*completed;
	pthread_cond_signal(cond);
	pthread_mutex_unlock(mutex);
}

void ibv_ack_async_event(struct ibv_async_event *event)
{
	struct ibv_cq *cq = event->element.cq;
	struct ibv_srq *srq = event->element.srq;
	struct ibv_qp *qp = event->element.qp;

	switch (event_of(event->event_type)) {
	case OF_CQ:
		ack_async(&cq->mutex, &cq->cond, &cq->async_events_completed);
		break;
	case OF_SRQ:
		ack_async(&srq->mutex, &srq->cond, &srq->events_completed);
		break;
	case OF_QP:
		ack_async(&qp->mutex, &qp->cond, &qp->events_completed);
		break;
	case OF_PORT:
	case OF_DEVICE:
		break;
	}
}

/* -------------------------------------------------------------- what was not read */

/* As the application's flags are its own: a description of the pipe of ours. @return -1: not allowed */
static int reopen(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

/* Take the events of an object out of the pipe: all are read, the others written again. */
static void drop_events(struct ibv_context *context, enum event_of of, uint32_t num)
{
	int own, bytes = 0;
	struct phca_admin_event *e;
	ssize_t n;

	if (ioctl(context->async_fd, FIONREAD, &bytes) < 0 || bytes <= 0)
		return;
	own = reopen(context->async_fd);
	e = malloc((size_t)bytes);
	n = own >= 0 && e != NULL ? read(own, e, (size_t)bytes) / (ssize_t)sizeof(*e) : 0;
	for (ssize_t i = 0; i < n; i++)
		if ((event_of(e[i].type) != of || e[i].num != num) && write(own, &e[i], sizeof(*e)) < 0)
			verbs_debug("phca: nobody reads asynchronous events"); /* thousands */
	free(e);
	if (own >= 0)
		close(own);
}

/* ---------------------------------------------------------------------- destroying */

static void wait_acked(pthread_mutex_t *mutex, pthread_cond_t *cond, const uint32_t *handed, const uint32_t *completed)
{
	pthread_mutex_lock(mutex);
	while (*handed != *completed)
		pthread_cond_wait(cond, mutex);
	pthread_mutex_unlock(mutex);
}

void vcq_wait_acked(struct vcq *vcq)
{
	struct ibv_cq *cq = &vcq->cq;
	struct vctx *ctx = to_vctx(cq->context);

	if (cq->channel != NULL) {
		pthread_mutex_lock(&ctx->objs_lock);
		atomic_fetch_sub(&to_vchan(cq->channel)->owed, vcq->owed);
		pthread_mutex_unlock(&ctx->objs_lock);
		atomic_store(&to_vchan(cq->channel)->stale, true);
		trim(cq->channel);
	}
	drop_events(cq->context, OF_CQ, vcq->cqn);
	wait_acked(&cq->mutex, &cq->cond, &vcq->comp_events, &cq->comp_events_completed);
	wait_acked(&cq->mutex, &cq->cond, &vcq->async_events, &cq->async_events_completed);
}

void vqp_wait_acked(struct vqp *vqp)
{
	struct ibv_qp *qp = &vqp->qp;

	drop_events(qp->context, OF_QP, qp->qp_num);
	wait_acked(&qp->mutex, &qp->cond, &vqp->async_events, &qp->events_completed);
}

void vsrq_wait_acked(struct vsrq *vsrq)
{
	struct ibv_srq *srq = &vsrq->srq;

	drop_events(srq->context, OF_SRQ, vsrq->srqn);
	wait_acked(&srq->mutex, &srq->cond, &vsrq->async_events, &srq->events_completed);
}
