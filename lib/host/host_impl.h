/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of lib/host. Everything belongs to the control thread that holds the
 * caller's mutex.
 */
#ifndef HOST_IMPL_H
#define HOST_IMPL_H

#include <sys/queue.h>
#include <sys/socket.h>

#include <rte_common.h>
#include <rte_log.h>

#include "phca_admin.h"
#include "phca_host.h"
#include "region.h"

#define LOGGED_MAX 200 /* characters of a path in a message */

extern int phca_host_logtype;
#define HOST_LOG(level, ...) rte_log(RTE_LOG_##level, (uint32_t)phca_host_logtype, "host: " __VA_ARGS__)

/* --- arena.c: the memory of a client's rings --- */
struct extent {
	uint64_t offset, bytes;
	struct extent *next;
};
struct arena {
	int fd;                 /* memfd; -1: none */
	uint8_t *base;
	uint64_t bytes, used;
	bool keep;              /* what is freed stays as it is: the client still reads it */
	struct extent *free;    /* by offset; neighbours are joined. Not in the shared memory */
};
int arena_open(struct arena *a, uint64_t bytes);
void arena_close(struct arena *a);
/* Of phca_client_conf. */
void *arena_alloc(void *arena, size_t bytes);
void arena_free(void *arena, void *mem, size_t bytes);
/* What a ring is to the client. */
void arena_ring(const struct arena *a, const struct phca_ring_mem *m, struct phca_admin_ring *r);

/* --- table.c: handles --- */
struct table {
	void **slots;
	uint32_t size, used, limit;
	uint32_t low;           /* no slot below is free */
};
/* Make room for one more. @return 0, -ENOMEM: its limit, or no memory */
int table_room(struct table *t);
/* There is room. @return the handle */
uint32_t table_add(struct table *t, void *obj);
/* @return NULL: no such object */
void *table_get(const struct table *t, uint32_t handle);
void table_remove(struct table *t, uint32_t handle);
/* @return an object, NULL when none is left; *handle is where the search begins and ended */
void *table_next(const struct table *t, uint32_t *handle);
void table_free(struct table *t);

/* --- objects of a client --- */
struct line { int ours, theirs; };      /* a socket pair: a reader that does not read blocks nobody */
struct obj_pd { uint32_t pd; };
struct obj_mr { uint32_t key; uint64_t bytes; struct region *region; };
struct obj_mw { uint32_t rkey; };       /* its first one */
struct client;
struct msg;
struct obj_channel { struct line line; uint32_t refs; };
struct obj_cq { struct phca_cq *cq; struct obj_channel *channel; };
struct obj_srq { struct phca_srq *srq; };
struct obj_qp {
	struct phca_qp *qp;
	enum phca_qp_type type;
	uint32_t send_cqe, recv_cqe;
	bool connected, gone;   /* callbacks were called */
};

/* Asynchronous events that its socket did not take yet. */
struct backlog {
	struct phca_admin_event *ev;
	uint32_t first, nb, size;
};

enum client_state {
	CLIENT_NEW,             /* connected */
	CLIENT_PROBED,          /* asked for devices; may do so again */
	CLIENT_OPEN,            /* said HELLO */
	CLIENT_LEAVING,         /* it is served no more; what is its goes, in steps */
};

/* What ops say that are not done; greater than 0. */
#define MORE 1  /* they go on at once */
#define WAITS 2 /* for a driver */

/* A request that is under way: pending.c. */
struct pending {
	/* Go on. @return MORE, WAITS; otherwise as ops */
	int (*step)(struct client *c, struct msg *m); /* NULL: there is none */
	void (*drop)(struct client *c); /* the client goes; NULL: nothing is to be undone */
	uint64_t until_ns;
	uint32_t seq;
	uint16_t op;
	bool waits;
	uint32_t handle;        /* QP_DESTROY, QP_MODIFY */
	uint32_t pd;            /* MR_REG */
	struct obj_mr *mr;
	struct region_view view;
	struct phca_admin_mr_reg reg;
};

/* A connection. */
struct client {
	TAILQ_ENTRY(client) listed;
	struct phca_host *host;
	int fd;
	enum client_state state;
	bool dead;              /* to be closed when the batch of events was handled */
	bool stuck;             /* leaving: for so long that it was said */
	uint64_t since_ns;      /* connected; leaving: since then */
	struct pending pending;
	TAILQ_ENTRY(client) in_pending; /* while it has one */
	struct phca_host_info info;

	/* CLIENT_OPEN */
	struct phca_client *hca;
	struct arena arena;
	struct line events;
	struct backlog backlog;
	int wake_fds[PHCA_SHARD_MAX];
	struct regions *regions;
	struct table tables[PHCA_HOST_KIND_COUNT];
};

/* A message and its answer. */
struct msg {
	union {
		struct phca_admin_req req;
		uint8_t bytes[PHCA_ADMIN_MSG_MAX];
	} in;
	uint32_t in_len;
	int fds[PHCA_ADMIN_FDS_MAX];    /* received; whoever keeps one puts -1 in its place */
	unsigned int nb_fds;
	union {
		struct phca_admin_ans ans;
		uint8_t bytes[PHCA_ADMIN_ANS_HDR + 8 + PHCA_ADMIN_GIDS_MAX * sizeof(struct phca_admin_gid)];
	} out;
	uint32_t out_more;              /* bytes behind phca_admin_ans_len */
	int out_fds[PHCA_ADMIN_FDS_MAX];/* to send along; they stay the sender's */
	unsigned int nb_out_fds;
};

TAILQ_HEAD(client_list, client);

struct phca_host {
	struct phca_host_conf conf;
	char device[PHCA_HOST_NAME_MAX];
	char version[32];
	char *path;
	dev_t dev;              /* of the socket file, to remove no other's */
	ino_t ino;
	int listen_fd, epoll_fd;
	int timer_fd;           /* readable when something that is under way can go on */
	bool timer_armed;
	int spare_fd;           /* given up to accept and close when there is no descriptor left */
	struct client_list clients, pending;
	unsigned int nb_connected, nb_clients;
	unsigned int nb_backlogs;   /* clients with events that wait */
	uint32_t next_id;
	uint64_t tick_ns;
	uint64_t lost;          /* pages of clients' memory, when clients were looked at */
	bool guarded;           /* region_guard_init was called */
	struct phca_host_stats st;
	struct msg msg;
};

/* --- drop.c: closing what came from clients without waiting for them --- */
#define FDS_SENT_MAX 253 /* SCM_MAX_FD: descriptors of one message that the kernel passes on */
/* What comes beside a message, all of it: what finds no room is closed by the kernel, in this thread. */
union fd_control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(FDS_SENT_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};
/* Any descriptor that came from a client. */
void fd_drop(int fd);
/* Take the first of those that were received, drop the others. @return how many came */
unsigned int fds_take(struct msghdr *h, int *fds, unsigned int max);
/* A connection, with what was sent there and not received. */
void connection_close(int fd);

/* --- client.c --- */
#define OF_PROCESS ((uintptr_t)1) /* beside a client's address in epoll: its process has ended */
void client_accept(struct phca_host *h);
/* HELLO: make all that a client has. @return 0 or negative errno */
int client_open(struct client *c, unsigned int port);
/* Serve it no more; end and free it once the batch is over. */
void client_kill(struct client *c);
/* How long taking back what was a client's may take. */
struct span {
	uint64_t until_ns; /* then the next step follows; UINT64_MAX: no steps */
	uint64_t wait_ns;  /* for a driver that holds a queue pair */
};
/* Destroy its queue pairs, then hang up. @return 0, MORE; WAITS: a driver holds one */
int client_end(struct client *c, const struct span *t);
/* client_end, then all else, and free it. @return 0, MORE, WAITS */
int client_close(struct client *c, const struct span *t);
/* A step of closing those that are dead. *more, *waits: something is left to do, or to wait for */
void clients_reap(struct phca_host *h, uint64_t now_ns, bool *more, bool *waits);
static inline bool span_over(const struct span *t)
{
	return t->until_ns != UINT64_MAX && phca_loop_now_ns() >= t->until_ns;
}
int line_open(struct line *p);
void line_close(struct line *p);

/* --- event.c --- */
/* Try again to send what waits. */
void events_flush(struct phca_host *h);
void events_end(struct client *c);

/* --- message.c --- */
/* Receive a request and answer it. */
void message_serve(struct client *c);
/* Before an op fills in its answer. */
void message_begin(struct msg *m);
/* ... and after. */
void message_answer(struct client *c, struct msg *m, int status);

/* --- pending.c --- */
/* The op has filled in c->pending. */
void pending_add(struct client *c, const struct msg *m, int how);
void pending_drop(struct client *c);
/* @return steps that were made */
unsigned int pending_run(struct phca_host *h);
/* Have the server called again when there is something to do (more), or when it waits. */
void pending_arm(struct phca_host *h, bool more, bool waits);

/*
 * Ops. Requests have the right length, and as many descriptors as they say; all
 * else is checked by them. @return 0 with the answer filled in; negative errno; MORE,
 * WAITS: c->pending goes on with it
 */
#define BAD_MESSAGE (-EBADMSG) /* no answer: close the connection */
/* --- device.c --- */
int op_hello(struct client *c, struct msg *m);
int op_port_query(struct client *c, struct msg *m);
int op_gids_query(struct client *c, struct msg *m);
int op_clock(struct client *c, struct msg *m);
int op_resolve(struct client *c, struct msg *m);
/* --- memory.c --- */
int op_pd_alloc(struct client *c, struct msg *m);
int op_pd_free(struct client *c, struct msg *m);
int op_mem_share(struct client *c, struct msg *m);
int op_mr_reg(struct client *c, struct msg *m);
int op_mr_dereg(struct client *c, struct msg *m);
int op_mw_alloc(struct client *c, struct msg *m);
int op_mw_dealloc(struct client *c, struct msg *m);
/* @return 0, MORE */
int memory_close(struct client *c, const struct span *t);
/* @return whether some of its registered memory has gone */
bool memory_broken(const struct client *c);
/* --- queues.c --- */
int op_channel_create(struct client *c, struct msg *m);
int op_channel_destroy(struct client *c, struct msg *m);
int op_cq_create(struct client *c, struct msg *m);
int op_cq_resize(struct client *c, struct msg *m);
int op_cq_resize_done(struct client *c, struct msg *m);
int op_cq_destroy(struct client *c, struct msg *m);
int op_srq_create(struct client *c, struct msg *m);
int op_srq_arm(struct client *c, struct msg *m);
int op_srq_query(struct client *c, struct msg *m);
int op_srq_destroy(struct client *c, struct msg *m);
int queues_close(struct client *c, const struct span *t); /* @return 0, MORE */
/* --- qp.c --- */
int op_qp_create(struct client *c, struct msg *m);
int op_qp_modify(struct client *c, struct msg *m);
int op_qp_query(struct client *c, struct msg *m);
int op_qp_destroy(struct client *c, struct msg *m);
int op_mcast_attach(struct client *c, struct msg *m);
int op_mcast_detach(struct client *c, struct msg *m);
int qps_close(struct client *c, const struct span *t); /* @return 0, MORE, WAITS */

/* The object with this handle; NULL: none. */
static inline void *client_obj(const struct client *c, enum phca_host_kind k, uint32_t handle)
{
	return table_get(&c->tables[k], handle);
}
/* Room for one more. */
static inline int client_room(struct client *c, enum phca_host_kind k)
{
	return table_room(&c->tables[k]);
}
static inline uint32_t client_add(struct client *c, enum phca_host_kind k, void *obj)
{
	c->info.objects[k]++;
	return table_add(&c->tables[k], obj);
}
static inline void client_remove(struct client *c, enum phca_host_kind k, uint32_t handle)
{
	c->info.objects[k]--;
	table_remove(&c->tables[k], handle);
}

#endif
