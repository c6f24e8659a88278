/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Polling one completion after the other, with a function for each of its fields.
 *
 * Invariant: from an ibv_start_poll that found one to ibv_end_poll this thread holds the
 * CQ; `cur` is a copy of the completion that the functions tell of.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "polling.h"

#define NS_PER_SEC 1000000000u
#define WALL_NS NS_PER_SEC /* the two clocks are compared that often */

static int show(struct vcq *cq)
{
	cq->cq_ex.wr_id = cq->cur.wc.wr_id;
	cq->cq_ex.status = cq->cur.wc.status;
	return 1;
}

/* @return 1: cur is the next, 0: there is none, -1: corrupt */
static int next(struct vcq *cq)
{
	int ret = vcq_take(cq, &cq->cur);

	return ret > 0 ? show(cq) : ret;
}

/* As next, of a dead appliance: with what is flushed. Under vctx.objs_lock. */
static int next_dead(struct vcq *cq)
{
	struct ibv_wc wc;

	if (vcq_take(cq, &cq->cur) > 0)
		return show(cq);
	if (vcq_flush(cq, &wc, 1) == 0)
		return 0;
	memset(&cq->cur, 0, sizeof(cq->cur));
	memcpy(&cq->cur.wc, &wc, sizeof(wc));
	return show(cq);
}

/* ------------------------------------------------------------- wall-clock time */

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Compare the HCA's clock with ours when that was long ago. A system call a second at most. */
static void wall_compare(struct vcq *cq)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC_COARSE), before;
	struct phca_admin_req req;
	struct phca_admin_ans ans;

	pthread_mutex_lock(&cq->wall_lock);
	if (cq->wall_asked_ns == 0 || now - cq->wall_asked_ns >= WALL_NS) {
		admin_req(&req, PHCA_ADMIN_CLOCK);
		before = clock_ns(CLOCK_REALTIME);
		if (admin_call(to_vctx(cq->cq.context), &req, &ans) == 0) {
			uint64_t mid = before + (clock_ns(CLOCK_REALTIME) - before) / 2;

			__atomic_store_n(&cq->wall_ns, mid - ans.u.now_ns, __ATOMIC_RELAXED);
		}
		cq->wall_asked_ns = now;
	}
	pthread_mutex_unlock(&cq->wall_lock);
}

/* -------------------------------------------------------------------- polling */

/* The CQ's lock is held when this returns 1. */
static int start_dead(struct vcq *cq)
{
	struct vctx *ctx = to_vctx(cq->cq.context);
	int ret;

	pthread_mutex_lock(&ctx->objs_lock);
	pthread_spin_lock(&cq->lock);
	ret = next_dead(cq);
	if (ret <= 0)
		pthread_spin_unlock(&cq->lock);
	pthread_mutex_unlock(&ctx->objs_lock);
	return ret;
}

static int start_poll(struct ibv_cq_ex *ex, struct ibv_poll_cq_attr *attr)
{
	struct vcq *cq = ex_to_vcq(ex);
	int ret;

	if (attr->comp_mask != 0)
		return EINVAL;
	if (cq->wc_flags & IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK)
		wall_compare(cq);
	pthread_spin_lock(&cq->lock);
	ret = next(cq);
	if (ret <= 0) {
		bool yield = vcq_idle(cq);

		vcq_release(cq); /* no-ops */
		pthread_spin_unlock(&cq->lock);
		if (yield)
			sched_yield();
		if (vctx_dead(to_vctx(ex->context)))
			ret = start_dead(cq);
	}
	if (ret <= 0)
		return ret == 0 ? ENOENT : EIO;
	atomic_store_explicit(&cq->poller, pthread_self(), memory_order_relaxed);
	return 0;
}

static int next_poll(struct ibv_cq_ex *ex)
{
	struct vcq *cq = ex_to_vcq(ex);
	struct vctx *ctx = to_vctx(ex->context);
	int ret = next(cq);

	/* objs_lock is outside the CQ's; when it is busy, the next ibv_start_poll flushes */
	if (ret == 0 && vctx_dead(ctx) && pthread_mutex_trylock(&ctx->objs_lock) == 0) {
		ret = next_dead(cq);
		pthread_mutex_unlock(&ctx->objs_lock);
	}
	return ret > 0 ? 0 : ret == 0 ? ENOENT : EIO;
}

static void end_poll(struct ibv_cq_ex *ex)
{
	struct vcq *cq = ex_to_vcq(ex);

	if (atomic_load_explicit(&cq->poller, memory_order_relaxed) == 0)
		return;
	atomic_store_explicit(&cq->poller, 0, memory_order_relaxed);
	vcq_release(cq);
	pthread_spin_unlock(&cq->lock);
}

/* --------------------------------------------------------------------- fields */

#define FIELD(type, name, what) \
	static type read_##name(struct ibv_cq_ex *ex) \
	{ \
		const struct vcq *cq = ex_to_vcq(ex); \
		return what; \
	}
FIELD(enum ibv_wc_opcode, opcode, cq->cur.wc.opcode)
FIELD(uint32_t, vendor_err, cq->cur.wc.vendor_err)
FIELD(uint32_t, byte_len, cq->cur.wc.byte_len)
FIELD(__be32, imm_data, cq->cur.wc.imm) /* or the key that was invalidated */
FIELD(uint32_t, qp_num, cq->cur.wc.qp_num)
FIELD(uint32_t, src_qp, cq->cur.wc.src_qp)
FIELD(unsigned int, wc_flags, cq->cur.wc.wc_flags)
FIELD(uint32_t, slid, cq->cur.wc.slid)
FIELD(uint8_t, sl, cq->cur.wc.sl)
FIELD(uint8_t, dlid_path_bits, cq->cur.wc.dlid_path_bits)
FIELD(uint64_t, completion_ts, cq->cur.timestamp_ns)
FIELD(uint64_t, completion_wallclock_ns, cq->cur.timestamp_ns + __atomic_load_n(&cq->wall_ns, __ATOMIC_RELAXED))
#undef FIELD

void vcq_set_ex_ops(struct vcq *cq)
{
	struct ibv_cq_ex *ex = &cq->cq_ex;

	pthread_mutex_init(&cq->wall_lock, NULL);
	ex->start_poll = start_poll;
	ex->next_poll = next_poll;
	ex->end_poll = end_poll;
	ex->read_opcode = read_opcode;
	ex->read_vendor_err = read_vendor_err;
	ex->read_wc_flags = read_wc_flags;
#define SET(flag, name) do { \
	if (cq->wc_flags & IBV_WC_EX_WITH_##flag) \
		ex->read_##name = read_##name; \
} while (0)
	SET(BYTE_LEN, byte_len);
	SET(IMM, imm_data);
	SET(QP_NUM, qp_num);
	SET(SRC_QP, src_qp);
	SET(SLID, slid);
	SET(SL, sl);
	SET(DLID_PATH_BITS, dlid_path_bits);
	SET(COMPLETION_TIMESTAMP, completion_ts);
	SET(COMPLETION_TIMESTAMP_WALLCLOCK, completion_wallclock_ns);
#undef SET
}
