/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of lib/verbs: the objects, and what its files offer each other.
 *
 * Each object begins with the public struct of verbs.h that the application
 * holds. Ours follows it behind SLACK zeroed bytes: programs built against newer
 * headers, and providers that were handed a foreign object (mlx5dv, efadv), read
 * a little beyond the struct that they know.
 *
 * Locks, outermost first: share (memory objects), admin (one request at a time), objs (tables and lists),
 * a CQ's (of two CQs the one with the lower CQN first), an SRQ's, a QP's sq, a QP's
 * rq, a doorbell's. None is held while the application's code runs.
 */
#ifndef VERBS_IMPL_H
#define VERBS_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* The library is built with hidden symbols; what this header declares is exported. */
#pragma GCC visibility push(default)
#include <infiniband/verbs.h>
#pragma GCC visibility pop

#include "phca_admin.h"
#include "phca_queue.h"

#define SLACK 256

/* ------------------------------------------------------------- objects by number */

#define VTABLE_BITS 12 /* of each of two levels: numbers have 24 bits */

/* Number of a QP, CQ or SRQ -> object. Written under vctx.objs_lock, read without. */
struct vtable {
	_Atomic(_Atomic(void *) *) leaf[1u << VTABLE_BITS];
};
/* @return the object; NULL: none. Any thread. */
static inline void *vtable_get(const struct vtable *t, uint32_t num)
{
	_Atomic(void *) *leaf;

	if (num >> (2 * VTABLE_BITS))
		return NULL;
	leaf = atomic_load_explicit(&t->leaf[num >> VTABLE_BITS], memory_order_acquire);
	return leaf == NULL ? NULL :
		atomic_load_explicit(&leaf[num & ((1u << VTABLE_BITS) - 1)], memory_order_acquire);
}
/* @return 0 or -ENOMEM, -EINVAL number out of range. Setting to NULL never fails. */
int vtable_set(struct vtable *t, uint32_t num, void *obj);
void vtable_fini(struct vtable *t);

/* ------------------------------------------------------------------- objects */

/*
 * A device: a port of an appliance. Same pointer each time the appliance is found, for as
 * long as the process lives: lists are compared by pointer, and freed before their devices
 * are opened. What is behind `device` is laid
 * out as providers expect that look there: ops must differ from theirs.
 */
struct vdev {
	struct ibv_device device;
	const void *ops;
	int refs;
	void *list[2];
	void *sysfs;              /* NULL: none */
	uint64_t core_support;
	uint8_t slack[SLACK];

	TAILQ_ENTRY(vdev) entry;  /* of all devices, under device.c's lock */
	char path[108];           /* of the appliance's socket */
	uint32_t port;            /* of the appliance, from 0 */
	uint32_t index;           /* ibv_get_device_index */
	uint64_t guid;            /* network order */
};

/* A doorbell ring: of a shard (HCA lcore). */
struct vdb {
	pthread_spinlock_t lock;  /* producers of this process */
	struct phca_ring ring;
	int wake_fd;              /* write 8 bytes to wake the lcore, when ring.hdr->armed says so */
};

struct vpd;
struct vqp;
struct vcq;
struct vsrq;
LIST_HEAD(vqp_list, vqp);
LIST_HEAD(vcq_list, vcq);
LIST_HEAD(vsrq_list, vsrq);

/* An open device. */
struct vctx {
	uint8_t front[SLACK];     /* verbs_context grows at its front */
	struct verbs_context v;   /* v.context is the application's */
	uint8_t slack[SLACK];

	struct vdev *dev;
	int sock;                 /* admin protocol */
	pid_t pid;                /* that opened it: in a fork's child all calls fail */
	pthread_mutex_t admin_lock;
	uint32_t seq;             /* of requests, under admin_lock */

	uint8_t *arena;
	uint64_t arena_bytes;
	struct vdb db[PHCA_ADMIN_SHARDS_MAX];
	uint32_t nb_shards;
	bool sleeps;              /* HCA lcores sleep: look at db[].ring.hdr->armed after ringing */
	struct phca_admin_device caps;
	uint32_t shared;          /* PHCA_ADMIN_MEM_* that the appliance has; under share_lock */
	pthread_mutex_t share_lock;

	_Atomic bool dead;        /* the appliance is gone; never cleared */
	_Atomic bool fatal_due;   /* ... and the pipe was too full to say so: the watcher does */
	int events_fd;            /* the appliance's pipe, read by the watcher only */
	int async_wr_fd;          /* of v.context.async_fd, a pipe of our own: struct phca_admin_event */
	int stop_fd;              /* eventfd that ends the watcher */
	pthread_t watcher;
	bool watching;

	pthread_mutex_t objs_lock;
	struct vtable qps, cqs, srqs;
	struct vqp_list qp_list;
	struct vcq_list cq_list;
	struct vsrq_list srq_list;
};

struct vpd {
	struct ibv_pd pd;         /* pd.handle is the appliance's */
	uint8_t slack[SLACK];
};

/* pd NULL of an AH never happens; av.dmac is resolved, or 0 for multicast and own GIDs. */
struct vah {
	struct ibv_ah ah;
	uint8_t slack[SLACK];
	struct phca_av av;
};

struct vmr {
	struct ibv_mr mr;         /* mr.handle is the appliance's */
	uint8_t slack[SLACK];
	bool in_vmem;             /* a vmem_dereg() of mr.addr, mr.length is owed */
	uint64_t iova;
	uint32_t access;          /* without the optional ones */
};

struct vmw {
	struct ibv_mw mw;         /* mw.handle is the appliance's */
	uint8_t slack[SLACK];
};

/* A completion channel: channel.fd is our end of a socket, of the appliance's struct phca_admin_note. */
struct vchan {
	struct ibv_comp_channel channel;
	uint8_t slack[SLACK];
	uint32_t handle;
	_Atomic uint32_t owed;    /* event.c: sum of owed of its CQs */
	_Atomic bool stale;       /* event.c: unread notes may be of CQs that were destroyed */
};

struct vcq {
	union {
		struct ibv_cq cq;     /* cq.handle is the appliance's */
		struct ibv_cq_ex cq_ex;
	};
	uint8_t slack[SLACK];

	LIST_ENTRY(vcq) entry;
	uint32_t cqn;
	bool is_ex;
	uint32_t wc_flags;        /* IBV_WC_EX_*: accessors that were asked for */
	pthread_spinlock_t lock;  /* consumers: polling, resizing, the tails of shadows */
	struct phca_ring ring;
	struct phca_ring old;     /* .hdr != NULL: has what was not polled before a resize, in old_mem */
	void *old_mem;            /* a ring of our own; freed with the CQ, or by the next resize */
	struct phca_cqe cur;      /* cq_ex: completion that the accessors read */
	uint32_t idle;            /* polls in a row that found nothing */
	_Atomic pthread_t poller; /* cq_ex: who is between start_poll and end_poll and has the lock; 0: nobody */
	uint64_t wall_ns;         /* cq_ex: what to add to the HCA's clock for CLOCK_REALTIME, */
	uint64_t wall_asked_ns;   /* as asked at this time of CLOCK_MONOTONIC; under wall_lock */
	pthread_mutex_t wall_lock;
	bool told_dead;           /* event.c: an event said that the appliance is gone; under objs_lock */
	uint32_t owed;            /* event.c: notes that were read and not handed out; under objs_lock */
	uint32_t comp_events;     /* handed to the application; under cq.mutex, as the completed ones */
	uint32_t async_events;    /* likewise */
};

/* A request that was posted and is not completed. */
struct vwr {
	uint64_t wr_id;
	uint8_t opcode;           /* enum ibv_wc_opcode of its completion */
	bool signaled;
};

/*
 * What one queue of a QP has outstanding: head - tail requests, oldest at tail. It says
 * ENOMEM at max, and what to flush when the appliance is gone. head is written under the
 * queue's lock, tail under the lock of the CQ that completes it.
 */
struct vshadow {
	struct vwr *wr;           /* mask + 1 of them */
	uint32_t mask;
	uint32_t max;             /* as the application asked, or was given */
	uint32_t head;
	_Atomic uint32_t tail;
	_Atomic bool inexact;     /* which request failed first is not sure: tail may be too low. poll.c */
};

struct vsrq {
	struct ibv_srq srq;       /* srq.handle is the appliance's */
	uint8_t slack[SLACK];

	LIST_ENTRY(vsrq) entry;
	uint32_t srqn;
	pthread_spinlock_t lock;
	struct phca_ring ring;
	uint32_t max_wr, max_sge;
	uint32_t async_events;    /* handed out; under srq.mutex */
};

struct vqp {
	union {
		struct ibv_qp qp;     /* qp.handle is the appliance's; qp.state as last modified or queried */
		struct ibv_qp_ex qp_ex;
	};
	uint8_t slack[SLACK];

	LIST_ENTRY(vqp) entry;
	bool is_ex;               /* by ibv_create_qp_ex with send_ops_flags */
	bool sig_all;
	uint32_t shard;           /* index of vctx.db */
	uint32_t max_send_sge, max_recv_sge, max_inline;
	pthread_spinlock_t sq_lock, rq_lock;
	struct phca_ring sq;
	struct phca_ring rq;      /* .hdr NULL with an SRQ */
	struct vshadow ssh, rsh;  /* of sq, rq; rsh.wr NULL with an SRQ */
	uint32_t async_events;    /* handed out; under qp.mutex */

	/* wr.c: between wr_start and wr_complete, sq_lock held */
	struct phca_send_wqe *wqe; /* being built; NULL: none */
	uint32_t wr_first;        /* sq.own at wr_start */
	uint32_t wr_shead;        /* ssh.head at wr_start */
	int wr_err;               /* positive errno, first one */
	bool wr_dead;             /* the appliance was gone at wr_start */

	struct ibv_qp_init_attr init; /* as created, caps as made: for query */
};

static inline struct vctx *to_vctx(struct ibv_context *c)
{
	return (struct vctx *)((uint8_t *)c - offsetof(struct vctx, v.context));
}
static inline struct vdev *to_vdev(struct ibv_device *d) { return (struct vdev *)d; }
static inline struct vpd *to_vpd(struct ibv_pd *p) { return (struct vpd *)p; }
static inline struct vah *to_vah(struct ibv_ah *a) { return (struct vah *)a; }
static inline struct vmr *to_vmr(struct ibv_mr *m) { return (struct vmr *)m; }
static inline struct vmw *to_vmw(struct ibv_mw *m) { return (struct vmw *)m; }
static inline struct vchan *to_vchan(struct ibv_comp_channel *c) { return (struct vchan *)c; }
static inline struct vcq *to_vcq(struct ibv_cq *c) { return (struct vcq *)c; }
static inline struct vcq *ex_to_vcq(struct ibv_cq_ex *c) { return (struct vcq *)c; }
static inline struct vsrq *to_vsrq(struct ibv_srq *s) { return (struct vsrq *)s; }
static inline struct vqp *to_vqp(struct ibv_qp *q) { return (struct vqp *)q; }
static inline struct vqp *ex_to_vqp(struct ibv_qp_ex *q) { return (struct vqp *)q; }
static inline bool vctx_dead(const struct vctx *c)
{
	return atomic_load_explicit(&c->dead, memory_order_acquire);
}

/* ------------------------------------------------------------------- admin.c */

/*
 * Fill the header of a request: its op and length.
 */
void admin_req(struct phca_admin_req *req, uint32_t op);
/*
 * Ask the appliance. Restarts after signals. The calling thread, any.
 * @param req    from admin_req; then extra_len bytes of extra follow it (segments), fds go along
 * @param ans    the answer; NULL: only its status matters
 * @param got    descriptors that came along, close-on-exec, the caller's; -1 where fewer than
 *               nb_got came; none of them when the status is not 0
 * @return 0; the status of the answer, negative errno; -EIO: the appliance is gone, or spoke
 *         nonsense: the context is dead then
 */
int admin_call_fds(struct vctx *ctx, struct phca_admin_req *req, const void *extra, uint32_t extra_len,
	const int *fds, uint32_t nb_fds, struct phca_admin_ans *ans, int *got, uint32_t nb_got);
/* As that, without what most requests do not have. */
int admin_call(struct vctx *ctx, struct phca_admin_req *req, struct phca_admin_ans *ans);
/* Ops that only have a handle. A dead appliance has freed it: 0 then. */
int admin_free(struct vctx *ctx, uint32_t op, uint32_t handle);
/* GIDS_QUERY. @return entries written to gids, at most PHCA_ADMIN_GIDS_MAX; negative errno */
int admin_gids(struct vctx *ctx, struct phca_admin_gid *gids);
/*
 * Connect to an appliance and say HELLO. fds: arena, events, wakers, nb_fds of them expected (0: probe).
 * @return 0 and *sock; negative errno, -EPROTO: other version, said on standard error
 */
int admin_hello(const char *path, uint32_t port, uint32_t flags, int *sock,
	struct phca_admin_hello_ans *hello, int *fds, uint32_t max_fds, uint32_t *nb_fds);
/* Make a view of a ring of the arena, which the appliance names. @return 0 or -EPROTO */
int admin_ring(struct vctx *ctx, const struct phca_admin_ring *where, enum phca_ring_type type,
	struct phca_ring *r);
/* The appliance is gone: say so, once; wakes who waits for events. Any thread. */
void vctx_set_dead(struct vctx *ctx);
/* With PHCA_VERBS_DEBUG set: a line on standard error. */
void verbs_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---------------------------------------- post.c, poll.c, event.c: what ops point to */

int vqp_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
int vqp_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
int vsrq_post_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
int vqp_bind_mw(struct ibv_qp *qp, struct ibv_mw *mw, struct ibv_mw_bind *bind); /* of type 1 */
int vcq_poll(struct ibv_cq *cq, int n, struct ibv_wc *wc);
int vcq_req_notify(struct ibv_cq *cq, int solicited_only);

/*
 * post.c: what both ways of posting sends share. Under the QP's sq_lock; dead is vctx_dead at its
 * beginning: then requests are only remembered, for poll.c to flush.
 */
/* @return 0; ENOMEM: max_send_wr are outstanding */
int vqp_send_room(struct vqp *qp, bool dead);
/* @return whether the QP takes such requests; numbers of enum ibv_wr_opcode */
bool vqp_send_op_ok(const struct vqp *qp, unsigned int opcode);
/* What is the same whichever way a window is bound. */
void vqp_bind_fill(struct phca_send_wqe *w, const struct ibv_mw *mw, uint32_t rkey,
	const struct ibv_mw_bind_info *b);
/* @return 0; EINVAL: a state in which no sends are taken */
int vqp_send_state(const struct vqp *qp);
/* The next slot has been filled: it counts, and is posted with the next vqp_send_publish. */
void vqp_send_push(struct vqp *qp, const struct phca_send_wqe *w, bool dead);
/* Show the HCA what was pushed, and wake it if it sleeps. */
void vqp_send_publish(struct vqp *qp);

/* wr.c: fill qp_ex.wr_* with what flags (IBV_QP_EX_WITH_*) ask. @return 0, EOPNOTSUPP: not all are there */
int vqp_set_wr_ops(struct vqp *qp, uint64_t send_ops_flags);
/* cq_ex.c: fill cq_ex.start_poll and so on for cq->wc_flags. */
void vcq_set_ex_ops(struct vcq *cq);

/* Called by qp.c under objs_lock and the locks of both CQs: a QP went to RESET, or will be freed;
 * its completions that were not polled are dropped and its shadows are emptied. poll.c */
void vcq_forget_qp(struct vqp *qp);

/* event.c: wait until what was handed out is acknowledged; called by destroy, object not in its table any more. */
void vcq_wait_acked(struct vcq *cq);
void vqp_wait_acked(struct vqp *qp);
void vsrq_wait_acked(struct vsrq *srq);

#endif
