/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The admin server: serves the socket of phca_admin.h to applications of other
 * processes, and owns what they ask for.
 *
 * A client is a connection that said HELLO. It has a queue arena (memory that
 * both processes map, in which all its rings lie), tables of objects, each with a
 * limit, and a socket pair through which it is told events. When the connection
 * ends, for whatever reason, all that is its goes.
 *
 * Threads: every function belongs to control threads, one at a time (the caller's
 * mutex); but phca_host_fd may be waited on by any thread without it. No function
 * waits for a client.
 */
#ifndef PHCA_HOST_H
#define PHCA_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "phca_hca.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_HOST_NAME_MAX 24       /**< room for a device's name, NUL included; "_1" fits behind */
#define PHCA_HOST_EXE_MAX 64        /**< room for an executable's name, NUL included */
#define PHCA_HOST_USER_MAX 33       /**< room for a user's name, NUL included */
#define PHCA_HOST_CLIENTS_MAX 4096  /**< clients at most */
#define PHCA_HOST_VENDOR_ID 0xffffffu /**< of the device: no manufacturer of hardware */
#define PHCA_HOST_VENDOR_PART_ID 0x5048u /**< of the device; programs that key on part ids know it not */

/**
 * What a client has, each limited, in the order in which it is made.
 * X(ENUM, field, default limit, what)
 */
#define PHCA_HOST_KINDS(X) \
	X(PD, pds, 1024, "protection domains") \
	X(MR, mrs, 65536, "memory regions") \
	X(MW, mws, 65536, "memory windows") \
	X(CHANNEL, channels, 256, "completion channels") \
	X(CQ, cqs, 16384, "completion queues") \
	X(SRQ, srqs, 4096, "shared receive queues") \
	X(QP, qps, 16384, "queue pairs")
/** See PHCA_HOST_KINDS. */
enum phca_host_kind {
#define PHCA_HOST_ENUM(e, f, d, h) PHCA_HOST_##e,
	PHCA_HOST_KINDS(PHCA_HOST_ENUM)
#undef PHCA_HOST_ENUM
	PHCA_HOST_KIND_COUNT
};

/** Limits; all > 0. */
struct phca_host_limits {
	uint32_t clients;     /**< connected at once, 1..PHCA_HOST_CLIENTS_MAX */
	/** Of each client: objects of each kind, 1..2^20. */
	uint32_t objects[PHCA_HOST_KIND_COUNT];
	uint64_t mem_bytes;   /**< of each client: bytes registered, whole pages, 1..2^46 */
	/**
	 * Memory that cannot be shared is read and written through the kernel. A client that
	 * serves pages itself (FUSE, userfaultfd) can delay an HCA lcore then.
	 */
	bool remote;
	uint64_t arena_bytes; /**< of each client: memory for queues, 2^20..2^40, a multiple of 2^16 */
};
/**
 * Defaults: 64 clients, those of PHCA_HOST_KINDS, as much registered as the machine has memory (whole MiB),
 * all kinds of memory, 4 GiB of queues.
 */
void phca_host_limits_default(struct phca_host_limits *l);

/** Who a client is, and what it has. */
struct phca_host_info {
	uint32_t id;            /**< its number, from 1, never used again */
	pid_t pid;              /**< of its process, in this process's namespace, when it connected */
	uid_t uid;
	gid_t gid;
	char user[PHCA_HOST_USER_MAX]; /**< of /etc/passwd; the uid in digits when it is not there */
	char exe[PHCA_HOST_EXE_MAX];   /**< file name of its executable; the command's name when that is hidden */
	unsigned int port;      /**< index of the HCA's port */
	bool leaving;           /**< it is gone, and what was its goes; a driver may hold a request of a queue pair */
	uint32_t objects[PHCA_HOST_KIND_COUNT]; /**< now */
	uint64_t mem_bytes;     /**< registered now */
	uint64_t arena_used;    /**< bytes of rings now */
	uint64_t requests;      /**< answered */
	uint64_t failed;        /**< of which with an error */
	uint64_t events;        /**< asynchronous events sent */
	uint64_t events_waiting; /**< kept, as it does not read; 65536 at most */
	uint64_t events_lost;   /**< beyond those */
};

/** A queue pair of a client, as callbacks are told of it. */
struct phca_host_qp {
	struct phca_qp *qp;
	const struct phca_host_info *client; /**< valid during the call */
	enum phca_qp_type type;
	uint32_t send_cqe, recv_cqe; /**< completions that its CQs hold */
	uint8_t dgid[16];            /**< its peer; qp_connected only */
};
/** What the caller wants to know. All called by phca_host_poll or phca_host_destroy; NULL: nothing. */
struct phca_host_callbacks {
	/** A queue pair was created; nothing was posted, its client does not know it yet. */
	void (*qp_created)(void *arg, const struct phca_host_qp *q);
	/** A connected queue pair (RC, UC with a peer) is in RTR; its client does not know yet. Once until RESET. */
	void (*qp_connected)(void *arg, const struct phca_host_qp *q);
	/** A queue pair is about to be destroyed, by its client or with it. */
	void (*qp_gone)(void *arg, struct phca_qp *qp);
	/** A client has gone, and all that was its. */
	void (*client_gone)(void *arg, const struct phca_host_info *client);
	void *arg;
};

/** How to make a server. */
struct phca_host_conf {
	const char *device;    /**< name of port 0's device, 1..PHCA_HOST_NAME_MAX-1 of [A-Za-z0-9_-];
	                        *   of port i: with _i behind */
	const char *path;      /**< socket; NULL: PHCA_ADMIN_DIR/DEVICE.sock. Its folder is made when missing */
	const char *version;   /**< the program's, which devices show */
	uint32_t mode;         /**< permissions of the socket, 0..0777; who may write may connect */
	bool set_group;        /**< give the socket to gid */
	gid_t gid;
	struct phca_hca *hca;  /**< whose ports are served; outlives the server */
	struct phca_mem *mem;  /**< of hca */
	struct phca_loop *loop; /**< of the HCA's shard 0, which owns the ports */
	bool sleeps;           /**< HCA lcores sleep when idle */
	uint32_t max_qp, max_mr; /**< of the HCA */
	struct phca_host_limits limits;
	struct phca_host_callbacks cb;
};

struct phca_host; /**< a server */

/**
 * Make the socket and listen. What a dead server left at the path is replaced.
 * @return the server; NULL with rte_errno, @p err says object, what, values: EINVAL;
 *         EADDRINUSE a server that lives has the path; of mkdir, bind, chmod, chown
 */
struct phca_host *phca_host_create(const struct phca_host_conf *conf, char *err, size_t err_len);
/**
 * Close all connections, so that clients know, then free what was theirs; NULL is allowed.
 * A client whose queue pair is held by a driver is logged and left to phca_hca_destroy.
 */
void phca_host_destroy(struct phca_host *host);
/** @return a descriptor that is readable when phca_host_poll has something to do. Any thread. */
int phca_host_fd(const struct phca_host *host);
/**
 * Serve what there is, without waiting for clients or drivers. What takes long goes on in steps, one a call, with
 * some time between them for others that want the caller's mutex: phca_host_fd is readable when the next one is due.
 * Call it once a second, too.
 * @return requests, connections and steps handled
 */
unsigned int phca_host_poll(struct phca_host *host);
/** Pass an event of the HCA on to the client that it concerns (11.6.3), or a port's to all of that port. */
void phca_host_event(struct phca_host *host, const struct phca_event *ev);
/** @return the socket's path. */
const char *phca_host_path(const struct phca_host *host);
/** Name of port @p port's device; @p buf of 32 bytes. @return buf */
const char *phca_host_device(const struct phca_host *host, unsigned int port, char *buf);
/** Call @p fn for each client, by id. @return what fn returned if not 0 */
int phca_host_each(const struct phca_host *host, int (*fn)(void *arg, const struct phca_host_info *info), void *arg);
/** Who owns a queue pair. @return 0; -ENOENT no client of this server */
int phca_host_qp_owner(const struct phca_host *host, const struct phca_qp *qp, struct phca_host_info *info);
/** @return the limits. */
const struct phca_host_limits *phca_host_limits_get(const struct phca_host *host);

/** Counters of a server. X(field, unit, what) */
#define PHCA_HOST_COUNTERS(X) \
	X(accepted, "connections", "accepted") \
	X(clients_opened, "clients", "that said HELLO and were taken") \
	X(clients_closed, "clients", "that ended, and all that was theirs is gone") \
	X(refused_limit, "connections", "not taken: as many as are allowed, or no descriptor left") \
	X(refused_version, "requests", "HELLO of another version of the protocol or of the queues") \
	X(requests, "requests", "answered") \
	X(failed, "requests", "answered with an error") \
	X(bad_messages, "connections", "closed: a message that breaks the protocol") \
	X(silent, "connections", "closed: no HELLO within 10 s that makes a client") \
	X(stuck, "connections", "closed: does not read its answers") \
	X(broken, "clients", "closed: memory that they had registered went away") \
	X(client_memory_lost, "pages", "of registered memory that were gone when touched; zeros since") \
	X(client_copies_failed, "copies", "of registered memory that is not shared, which did not work") \
	X(events, "events", "asynchronous events sent to clients") \
	X(events_lost, "events", "asynchronous events not sent: more than 65536 wait for a client that does not read") \
	X(connected, "connections", "gauge: connections now") \
	X(clients, "clients", "gauge: clients now") \
	X(mem_bytes, "bytes", "gauge: registered by clients now") \
	X(arena_used, "bytes", "gauge: rings of clients now")
/** See PHCA_HOST_COUNTERS. */
struct phca_host_stats {
#define PHCA_HOST_CTR(f, u, h) uint64_t f;
	PHCA_HOST_COUNTERS(PHCA_HOST_CTR)
#undef PHCA_HOST_CTR
};
/** Read the counters. */
void phca_host_stats_get(const struct phca_host *host, struct phca_host_stats *st);

#ifdef __cplusplus
}
#endif
#endif
