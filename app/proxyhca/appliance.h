/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The appliance: every object of the process, and who holds it.
 *
 * One struct appliance is made in main() and passed around. Its lists change
 * only on the control thread with the control mutex held; telemetry's thread
 * takes the same mutex to read. Objects stand in the order of the merged
 * configuration: index i there is element i here.
 */
#ifndef APPLIANCE_H
#define APPLIANCE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_log.h>
#include <rte_mempool.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

#include "phca_config.h"
#include "phca_hca.h"
#include "phca_host.h"

#include "options.h"

extern int app_logtype; /* one log type for the program */
#define APP_LOG(level, ...) rte_log(RTE_LOG_##level, app_logtype, "proxyhca: " __VA_ARGS__)

#define ERR_MAX PHCA_CONFIG_ERR_MAX /* room that every error text fits */
#define EVENTS_KEPT 64              /* newest events that "show events" lists */
#define APP_COUNTERS_MAX 512        /* counters of one resident application that "clear" knows */
#define LCORES_MAX (PHCA_SHARD_MAX + PHCA_HCA_PROXY_MAX + 1) /* that have a role */

/* What an lcore does, as bits. */
enum role { ROLE_HCA = 1, ROLE_PROXY = 2, ROLE_APP = 4 };

/* An lcore with a role. */
struct lcore_obj {
	unsigned int lcore;         /* EAL's id */
	unsigned int roles;         /* enum role */
	bool launched;              /* EAL runs its loop, or main does */
	bool ended;                 /* its loop has returned; workers */
	struct phca_loop *loop;
	struct phca_loop_stats base;/* counters at the last clear */
	uint64_t base_tsc;          /* and the time, TSC cycles */
};

struct port_obj {
	const char *name;
	struct phca_net *net;
	bool started;
	bool up;                    /* its link, when it was looked at last */
	struct phca_port_stats base;
};

struct filter_obj {
	const char *name;
	struct phca_filter_slot slot;   /* rules point here, so it never moves */
	struct phca_filter_stats base;
	const struct phca_config_map_entry *entries; /* of its maps, as configured */
	unsigned int nb_entries;
	struct phca_config_filter *own; /* what "set filter" made of it; NULL: as configured */
};

/* An offload of the configuration: an instance on each proxy. */
struct offload_obj {
	const char *name;
	struct filter_obj program;  /* what all of them run; slot.cur NULL: nothing */
	int home;                   /* proxy that its peers are with; -1: it has none */
	unsigned int nb_peers;
	struct phca_offload *on[PHCA_HCA_PROXY_MAX]; /* as many as proxies */
	struct phca_offload_stats base; /* of their sum */
	struct phca_offload_detail detail_base;
};

/* A proxy lcore. */
struct proxy_obj {
	struct phca_proxy *proxy;
	struct lcore_obj *lcore;
	struct phca_proxy_stats base;
};

/* A client of the HCA: one for each resident application, one for each entry of peers. */
struct client_obj {
	struct phca_client *client;
	uint32_t pd;
};

/* A shared receive queue. */
struct srq_obj { struct phca_srq *srq; uint32_t depth; };

/* The rules of a proxy QP as control knows them. */
struct qp_rules {
	char from[PHCA_FILTER_NAME_MAX + 16]; /* what gave them: "app_proxy kv"; of a plain QP empty */
	struct phca_config_rule *rule; /* with names of their own */
	unsigned int n;
};

/* The process that a queue pair belongs to. */
struct qp_owner { pid_t pid; uid_t uid; char user[40], exe[64]; };

struct qp_obj {
	unsigned int conf;          /* index into cfg.qps; not with an owner */
	const struct qp_owner *owner; /* another process; NULL: a resident application */
	bool undecided;             /* app_proxy waits for its peer */
	uint32_t cq_depth;          /* with an owner: of its send CQ, as asked for */
	struct qp_rules rules;
	uint32_t nth;               /* of its count */
	struct phca_qp *qp;
	struct phca_cq *cq;         /* its send and receive CQ, its own */
	struct srq_obj *srq;        /* or NULL */
	struct client_obj client;   /* of a peer of an offload */
	bool client_own;            /* to be closed with it */
	bool peer;                  /* the offload has it */
	uint32_t depth;             /* of its receive queue, or its SRQ */
	struct phca_qp_info base;
	struct phca_cq_info cq_base;
	uint64_t order_base;        /* completions out of order at the last clear */
	struct phca_hist *stall_base; /* NULL: was never cleared */
};

/* A counter of an application at the last clear. */
struct app_base { char name[48]; uint64_t value; };

struct app_obj {
	const char *name;
	struct phca_app *app;
	struct client_obj client;
	bool turning;               /* its turn function is in the loop */
	struct app_base *base;
	unsigned int nb_base;
};

/* What an entry of app_proxy did. */
struct rule_list { uint64_t taken, failed; int last_error; };

/* What the last periodic summary saw, to make rates of. */
struct rate_base {
	uint64_t now_ns, rx[PHCA_PORT_MAX], tx[PHCA_PORT_MAX], direct, offloaded, completed, released;
};

/* An event with its time. */
struct event_obj { uint64_t time_s; struct phca_event ev; };

/* Everything. */
struct appliance {
	struct options opt;
	struct phca_config_lookup lookup;
	pthread_mutex_t control;    /* held by whoever reads or changes what follows */

	struct phca_config *cfg;    /* what was loaded, additions joined */

	struct rte_mempool *pool;
	struct rte_rcu_qsbr *qsbr;
	struct phca_mem *mem;
	struct lcore_obj lcores[LCORES_MAX];
	unsigned int nb_lcores;
	struct lcore_obj *hca_lcores[PHCA_SHARD_MAX], *app_lcore; /* shard i is on hca_lcores[i] */
	unsigned int nb_shards;
	struct proxy_obj proxies[PHCA_HCA_PROXY_MAX];
	unsigned int nb_proxies;
	unsigned int next_proxy;    /* gets the next proxy QP */
	struct phca_hca *hca;
	struct phca_host *host;     /* serves other processes; NULL: there is no socket */
	pthread_t host_thread;
	int host_stop_fd;
	struct phca_host_stats host_base; /* counters at the last clear */

	struct port_obj **ports;
	struct filter_obj **filters;
	struct offload_obj **offloads;
	struct srq_obj **srqs;
	struct qp_obj **qps;
	struct app_obj **apps;
	unsigned int nb_ports, nb_filters, nb_offloads, nb_srqs, nb_qps, nb_apps;
	unsigned int nb_proxy_qps;  /* entries of cfg.proxy_qps that are attached */
	struct qp_obj **app_qps;    /* queue pairs of other processes, in the order of creation */
	unsigned int nb_app_qps;
	struct rule_list *rule_lists; /* as many as entries of cfg.app_proxy */
	unsigned int nb_rule_lists;

	struct traces *traces;      /* trace.c; NULL: nothing was traced */

	bool started;               /* receives */
	bool quit;                  /* "quit" was said, a signal came, or the time is over */
	uint64_t end_ns;            /* end of --duration; 0: none */
	uint64_t link_ns;           /* when links are looked at next */
	uint64_t period_ns;         /* when statistics are due next; 0: never */
	int signal_fd;              /* SIGINT and SIGTERM arrive here */
	struct event_obj events[EVENTS_KEPT];
	uint64_t nb_events;         /* since start */
	struct rate_base rates;
	int status;                 /* exit status of the control thread */
};

/* --- build.c: what exists from start to end: pool, tables, lcores, HCA, ports --- */
/* Errors have err written. @return 0 or negative errno; appliance_destroy frees what there is. */
int appliance_create(struct appliance *a, char *err, size_t err_len);
/* No loop runs any more. @return mbufs that are missing from the pool */
unsigned int appliance_destroy(struct appliance *a);
/* Load the configuration that the options name. @return NULL with err written */
struct phca_config *appliance_config(struct appliance *a, char *err, size_t err_len);

/* Elements in a ring that others use now; rte_ring_count is no atomic read. */
static inline unsigned int ring_used(const struct rte_ring *r)
{
	uint32_t cons = __atomic_load_n(&r->cons.tail, __ATOMIC_RELAXED);

	return (__atomic_load_n(&r->prod.tail, __ATOMIC_RELAXED) - cons) & r->mask;
}

/* --- lcores.c: roles and loops --- */
int lcores_create(struct appliance *a, char *err, size_t err_len);
void lcores_destroy(struct appliance *a);
int lcores_launch(struct appliance *a, char *err, size_t err_len);
void lcores_run_main(struct appliance *a);  /* main thread: its loop until stop, if it has one */
void lcores_abort(struct appliance *a);     /* main thread: end the workers, main's loop never ran */
void lcores_wait_running(struct appliance *a); /* control thread: before the first phca_loop_call */
void lcores_stop(struct appliance *a);      /* ask all loops to end */
void lcores_join(struct appliance *a);      /* main thread: wait for the workers */
const char *lcores_roles_str(const struct lcore_obj *l);

/* --- objects.c: what a configuration adds while the loops run --- */
/* How many of each there were. */
struct objects_mark { unsigned int filters, offloads, srqs, qps, proxy_qps, apps; };
struct objects_mark objects_mark(const struct appliance *a);
/*
 * Build all that the configuration has and the appliance has not; on error
 * nothing of it is left. Control thread, mutex held.
 */
int objects_add(struct appliance *a, char *err, size_t err_len);
/* Destroy what was added after @p m, newest first. @return 0; -EBUSY: something is held */
int objects_remove(struct appliance *a, const struct objects_mark *m, char *err, size_t err_len);
/* Free the lists. */
void objects_free(struct appliance *a);
struct filter_obj *objects_filter(struct appliance *a, const char *name);
/* A filter of this name, or the program of an offload of this name. */
struct filter_obj *objects_program(struct appliance *a, const char *name);
struct offload_obj *objects_offload(struct appliance *a, const char *name);
struct app_obj *objects_app(struct appliance *a, const char *name);
struct qp_obj *objects_qp(struct appliance *a, uint32_t qpn);

/* An error of a driver, with the object in front unless it is there. */
void objects_driver_error(char *err, size_t err_len, const char *kind, const char *name,
		const char *driver, const char *why);

/* --- filters.c: loading filters, replacing them live --- */
/* Load a program of a kind (NULL: a filter) with its parameters and map entries. @return NULL with err written */
struct phca_filter *filter_load(const struct phca_config_filter *c, const struct phca_filter_kind *kind,
		char *err, size_t err_len);
int filters_add(struct appliance *a, char *err, size_t err_len);
void filters_remove(struct appliance *a, unsigned int keep);
/*
 * Put another program in place of a filter, or of an offload's program, while traffic
 * runs. @p own has no map entries: it gets the configured ones of maps that its object
 * has, too; an offload's program keeps maps that are the same. On success it is taken over.
 */
int filter_replace(struct appliance *a, struct filter_obj *f, struct phca_config_filter *own,
		char *err, size_t err_len);
void filter_conf_free(struct phca_config_filter *own);

/* --- apps.c: resident applications and their clients --- */
int app_client_open(struct appliance *a, struct client_obj *c, const char *name, uint32_t max_qp,
		char *err, size_t err_len);
void app_client_close(struct appliance *a, struct client_obj *c);
int apps_open(struct appliance *a, char *err, size_t err_len);   /* clients of new applications */
int apps_create(struct appliance *a, unsigned int first, char *err, size_t err_len);
void apps_stop(struct appliance *a, unsigned int keep);          /* instances */
void apps_close(struct appliance *a, unsigned int keep);         /* clients */
void apps_enable(struct appliance *a, bool on);                  /* let them begin messages, or not */
uint64_t apps_in_flight(const struct appliance *a);              /* messages that they wait for */

/* --- qps.c: queue pairs and proxy rules --- */
int srqs_add(struct appliance *a, char *err, size_t err_len);
void srqs_remove(struct appliance *a, unsigned int keep);
int qps_add(struct appliance *a, char *err, size_t err_len);
int qps_remove(struct appliance *a, unsigned int keep, char *err, size_t err_len);
/* From any state through RESET to RTS, and tell its application. */
int qps_reset(struct appliance *a, struct qp_obj *q, char *err, size_t err_len);
/*
 * Attach the rules of new entries of proxy_qps to the QPs from @p first on.
 * @return 0; negative errno, with *nb_attached QPs attached
 */
int qps_attach(struct appliance *a, unsigned int first, unsigned int end, unsigned int *nb_attached,
		char *err, size_t err_len);

/* --- rules.c: the rules of queue pairs, attached and detached while they run --- */
/*
 * Make these all the rules of a queue pair, which becomes a proxy QP if it is none.
 * Errors have err written and change nothing. Mutex held.
 */
int rules_set(struct appliance *a, struct qp_obj *q, const char *from, const struct phca_config_rule *rule,
		unsigned int n, uint32_t window, char *err, size_t err_len);
/* One more behind those that it has. */
int rules_add(struct appliance *a, struct qp_obj *q, const struct phca_config_rule *rule, char *err, size_t err_len);
/* Without one of them; NULL: without any. @return -ENOENT it has none of that name */
int rules_remove(struct appliance *a, struct qp_obj *q, const char *name, char *err, size_t err_len);
/* Why rules were not attached, in words. */
const char *rules_reason(int rc);
/* What control kept of them. */
void rules_forget(struct qp_obj *q);
/* Queue pair @p i of all: those of the configuration, then those of processes. @return NULL past the last */
static inline struct qp_obj *appliance_qp(const struct appliance *a, unsigned int i)
{
	if (i < a->nb_qps)
		return a->qps[i];
	return i - a->nb_qps < a->nb_app_qps ? a->app_qps[i - a->nb_qps] : NULL;
}

/* Name of the queue pair's entry, or of its process. */
const char *qp_obj_name(const struct appliance *a, const struct qp_obj *q);

/* --- peers.c: queue pairs of offloads --- */
/* The offload that the queue pair is a peer of. @return NULL: none, it is an application's */
struct offload_obj *qp_obj_offload(const struct appliance *a, const struct qp_obj *q);
/* Its name for the driver and for people: that of the entry, with "[i]" behind when there are several. */
void peer_name(const struct appliance *a, const struct qp_obj *q, char *name, size_t len);
int peer_open(struct appliance *a, struct qp_obj *q, char *err, size_t err_len);   /* a client to make it for */
int peer_attach(struct appliance *a, struct qp_obj *q, char *err, size_t err_len); /* give it to its offload */
void peer_close(struct appliance *a, struct qp_obj *q);                            /* it was destroyed */

/* --- app_rules.c: queue pairs of other processes, and app_proxy --- */
/* A queue pair was created, with a send CQ of so many completions; nothing was posted. Mutex held, as below. */
void app_rules_created(struct appliance *a, const struct qp_owner *who, struct phca_qp *qp, uint32_t cq_depth);
/* A connected one is in RTR. */
void app_rules_connected(struct appliance *a, const struct phca_qp *qp, const uint8_t dgid[16]);
/* It is about to be destroyed. */
void app_rules_gone(struct appliance *a, const struct phca_qp *qp);
/* The queue pair of another process. @return NULL: it is none that was told of */
struct qp_obj *app_rules_find(struct appliance *a, uint32_t qpn);
/* What an entry of app_proxy did. */
struct rule_list app_rules_list(const struct appliance *a, unsigned int entry);
void app_rules_free(struct appliance *a);

/* --- clients.c: applications of other processes --- */
/* Make the socket and serve it, if there is to be one. */
int clients_start(struct appliance *a, char *err, size_t err_len);
/* Close the connections, then what was theirs. Mutex not held. */
void clients_stop(struct appliance *a);

/* --- check.c: --check-config, a rehearsal of the start --- */
/* Make a null device in the place of a port's. @return 0; negative errno with err written */
int check_device(struct appliance *a, unsigned int port, char *name, size_t len,
		char *err, size_t err_len);
uint32_t check_mbufs(const struct appliance *a); /* buffers to make */
void check_report(const struct appliance *a);    /* say that all is well */

/* --- control.c: the control thread --- */
void *control_main(void *appliance);
/* Start or stop receiving. Mutex held. */
void control_start(struct appliance *a, bool on);
/* Receive nothing more, and let end what is under way, for 2 s at most. Mutex held. */
void control_drain(struct appliance *a);
/* Wait on signals (and on stdin when @p in) for at most @p timeout_ms.
 * @return 1: stdin has something, 0: time is over, -1: leave */
int control_wait(struct appliance *a, bool in, int timeout_ms);

/* Take what happened since the last time into the list that "show events" prints, and log it. */
void events_take(struct appliance *a);
/* An event in words. */
void event_text(const struct phca_event *ev, char *buf, size_t len);
/* Housekeeping that is due: events, periodic statistics, the end of --duration. */
void control_tick(struct appliance *a);

/* --- prompt.c --- */
/* Read commands from stdin until "quit", its end or a signal. @return 0, -ENOMEM */
int prompt_run(struct appliance *a);
/* Run the commands of a file. @return 0; negative errno: it was not read */
int prompt_file(struct appliance *a, const char *path);

/* --- telemetry.c --- */
/*
 * Make the endpoints known, before EAL starts: telemetry looks through its list
 * of commands without a lock as soon as its sockets are there.
 */
int telemetry_register(void);
void telemetry_init(struct appliance *a); /* answer with the figures of @p a from now on */
void telemetry_fini(struct appliance *a);

#endif
