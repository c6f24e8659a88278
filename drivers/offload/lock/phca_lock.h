/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Locks of a distributed database: the messages of requesters and the table in the
 * application's memory.
 *
 * A requester sends requests to a queue pair of the application, one message of 1 to
 * PHCA_LOCK_BATCH requests one behind the other. Each is answered once: at once, or, when
 * it waits for a lock, when that is decided. Answers come as messages of 1 to
 * PHCA_LOCK_ANSWERS answers, told from other messages by their magic, in any order.
 *
 * A lock belongs to a *session*, a number that the requester chooses; sessions of
 * different queue pairs are different ones, whatever their numbers are. When a queue pair
 * ends, so do its sessions. Locks are numbers below the nb_locks of a *table*, which is
 * named by address and rkey as any memory of a peer.
 *
 * All integers are little endian, as the structs here are on a little endian machine.
 * Nothing but libc is used. doc/offload-lock.md is the guide. Any thread: the functions
 * have no state but their arguments.
 */
#ifndef PHCA_LOCK_H
#define PHCA_LOCK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the structs here are the wire format on little endian machines only"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define PHCA_LOCK_MAGIC 0x514b4c50u        /**< of a request: the bytes "PLKQ" */
#define PHCA_LOCK_ANSWER_MAGIC 0x414b4c50u /**< of an answer: "PLKA" */
#define PHCA_LOCK_TABLE_MAGIC 0x544b4c50u  /**< of a table: "PLKT" */
#define PHCA_LOCK_VERSION 1                /**< of messages and tables */
#define PHCA_LOCK_BATCH 16                 /**< requests in a message at most */
#define PHCA_LOCK_ANSWERS 8                /**< answers in a message at most */
#define PHCA_LOCK_COUNT_MAX 65535          /**< grants of one lock to one session at most; one more: LIMIT */

/** What is asked for. X(ENUM, name) */
#define PHCA_LOCK_OPS(X) \
	X(LOCK, "lock")       /* take it, or wait for it until wait_us is over */ \
	X(TRY, "try")         /* take it, or be told that it is busy */ \
	X(UNLOCK, "unlock")   /* give one grant back, or withdraw the wait */ \
	X(RELEASE, "release") /* give back all that the session holds and waits for, in this table or others */ \
	X(QUERY, "query")     /* say who has it */
/** See PHCA_LOCK_OPS. */
enum phca_lock_op {
	PHCA_LOCK_OP_NONE, /**< is no operation */
#define PHCA_LOCK_ENUM(e, name) PHCA_LOCK_OP_##e,
	PHCA_LOCK_OPS(PHCA_LOCK_ENUM)
#undef PHCA_LOCK_ENUM
	PHCA_LOCK_OP_COUNT
};

/** How a lock is held. */
enum phca_lock_mode {
	PHCA_LOCK_FREE = 0,      /**< by nobody; in no request but UNLOCK, RELEASE and QUERY */
	PHCA_LOCK_SHARED = 1,    /**< with others */
	PHCA_LOCK_EXCLUSIVE = 2, /**< alone */
};

/** What became of a request. X(ENUM, name) */
#define PHCA_LOCK_STATUSES(X) \
	X(OK, "ok")                 /* UNLOCK, RELEASE, QUERY: done */ \
	X(GRANTED, "granted")       /* LOCK, TRY: the session has it */ \
	X(BUSY, "busy")             /* TRY: others have it or wait for it; LOCK: this session waits for it already */ \
	X(TIMEOUT, "timeout")       /* LOCK: not within the time */ \
	X(DEADLOCK, "deadlock")     /* LOCK: it would wait for a session that waits for this one */ \
	X(CANCELLED, "cancelled")   /* LOCK: the wait was withdrawn by UNLOCK or RELEASE */ \
	X(NOT_HELD, "not held")     /* UNLOCK: the session neither has it nor waits for it */ \
	X(BAD, "bad request")       /* malformed, or no such lock */ \
	X(REFUSED, "table refused") /* key, address or rights do not allow it, or there is no table */ \
	X(LIMIT, "limit")           /* more than the service has room for */
/** See PHCA_LOCK_STATUSES. */
enum phca_lock_status {
#define PHCA_LOCK_ENUM(e, name) PHCA_LOCK_##e,
	PHCA_LOCK_STATUSES(PHCA_LOCK_ENUM)
#undef PHCA_LOCK_ENUM
	PHCA_LOCK_STATUS_COUNT
};

/** @return the operation's name; "?" when it is none. */
static inline const char *phca_lock_op_str(unsigned int op)
{
	static const char *const names[] = { "?",
#define PHCA_LOCK_NAME(e, name) name,
		PHCA_LOCK_OPS(PHCA_LOCK_NAME)
	};

	return op < PHCA_LOCK_OP_COUNT ? names[op] : "?";
}

/** @return the status in a word; "?" when it is none. */
static inline const char *phca_lock_status_str(unsigned int status)
{
	static const char *const names[] = {
		PHCA_LOCK_STATUSES(PHCA_LOCK_NAME)
#undef PHCA_LOCK_NAME
	};

	return status < PHCA_LOCK_STATUS_COUNT ? names[status] : "?";
}

/** A request. */
struct phca_lock_req {
	uint32_t magic;      /**< PHCA_LOCK_MAGIC */
	uint8_t version;     /**< PHCA_LOCK_VERSION */
	uint8_t op;          /**< enum phca_lock_op */
	uint8_t mode;        /**< LOCK, TRY: enum phca_lock_mode; else 0 */
	uint8_t flags;       /**< 0 */
	uint64_t id;         /**< the requester's, comes back in the answer */
	uint64_t session;    /**< whom the lock is for */
	uint64_t table_va;   /**< where the table is, as the application told; a multiple of 8 */
	uint32_t table_rkey; /**< its key; RELEASE needs neither */
	uint32_t lock;       /**< number of the lock; RELEASE: 0 */
	uint32_t wait_us;    /**< LOCK: wait at most that long; 0: as long as the service allows; else 0 */
	uint32_t rsvd;       /**< 0 */
};
_Static_assert(sizeof(struct phca_lock_req) == 48, "wire format");

/** An answer. */
struct phca_lock_answer {
	uint32_t magic;  /**< PHCA_LOCK_ANSWER_MAGIC */
	uint8_t version; /**< PHCA_LOCK_VERSION */
	uint8_t op;      /**< of the request */
	uint8_t status;  /**< enum phca_lock_status */
	uint8_t mode;    /**< GRANTED: as the session has it now; QUERY: as it is held */
	uint64_t id;     /**< of the request */
	/**
	 * GRANTED, and QUERY of a held lock: the fencing token. It grows with each grant in
	 * the table; a resource that refuses a smaller one than it saw is safe from a
	 * holder that was thought dead. A repeated grant to a holder has the token it has.
	 */
	uint64_t token;
	uint32_t lock;   /**< of the request */
	/**
	 * GRANTED, UNLOCK: grants that the session has of it; RELEASE: locks given back;
	 * QUERY: see PHCA_LOCK_HOLDERS
	 */
	uint32_t count;
};
_Static_assert(sizeof(struct phca_lock_answer) == 32, "wire format");
/** QUERY: sessions that hold it, 65535 at most, of the count in the answer. */
#define PHCA_LOCK_HOLDERS(count) ((count) & 0xffff)
/** QUERY: requests that wait for it, 65535 at most. */
#define PHCA_LOCK_WAITERS(count) ((count) >> 16)

/**
 * The start of a table, in the application's memory, a multiple of 8. The service reads it
 * when it begins with a table; token_reserved is the service's.
 */
struct phca_lock_table {
	uint32_t magic;          /**< PHCA_LOCK_TABLE_MAGIC */
	uint16_t version;        /**< PHCA_LOCK_VERSION */
	uint16_t entry_size;     /**< sizeof(struct phca_lock_entry) */
	uint32_t nb_locks;       /**< entries behind this header, at least 1 */
	uint32_t rsvd;
	/** no token beyond it was given; a service that begins goes on behind it. 2^63 and more: refused */
	uint64_t token_reserved;
	uint64_t rsvd2[5];
};
_Static_assert(sizeof(struct phca_lock_table) == 64, "layout");

/**
 * A lock as the application may see it at any time: written by the service, never read by it.
 * What the application writes here spoils its own view only.
 */
struct phca_lock_entry {
	uint64_t seq;           /**< odd: it is being written; each state has a value of its own */
	uint32_t mode;          /**< enum phca_lock_mode */
	uint32_t holders;       /**< sessions that have it */
	uint32_t waiters;       /**< requests that wait for it */
	uint32_t owner_qpn;     /**< the application's queue pair by which the first holder came; free: 0 */
	uint64_t owner_session; /**< the first holder's session */
	uint64_t token;         /**< of the last grant */
	uint64_t rsvd[3];
};
_Static_assert(sizeof(struct phca_lock_entry) == 64, "layout");

/** @return bytes of a table of @p nb_locks locks. */
static inline uint64_t phca_lock_table_size(uint32_t nb_locks)
{
	return sizeof(struct phca_lock_table) + (uint64_t)nb_locks * sizeof(struct phca_lock_entry);
}

/**
 * Make a table of free locks, before its memory is registered. Of a table that was in use,
 * token_reserved is kept, so that tokens go on.
 * @param mem       aligned to 8
 * @param nb_locks  >= 1; phca_lock_table_size(nb_locks) bytes are written
 * @return the table; NULL: nb_locks is 0, or mem is not aligned
 */
static inline struct phca_lock_table *phca_lock_table_format(void *mem, uint32_t nb_locks)
{
	struct phca_lock_table *t = (struct phca_lock_table *)mem;
	uint64_t token;

	if (nb_locks == 0 || (uintptr_t)mem % 8 != 0)
		return NULL;
	token = t->magic == PHCA_LOCK_TABLE_MAGIC && t->version == PHCA_LOCK_VERSION ? t->token_reserved : 0;
	memset(mem, 0, phca_lock_table_size(nb_locks));
	t->magic = PHCA_LOCK_TABLE_MAGIC;
	t->version = PHCA_LOCK_VERSION;
	t->entry_size = sizeof(struct phca_lock_entry);
	t->nb_locks = nb_locks;
	t->token_reserved = token;
	return t;
}

/** @return entry @p lock of a table. */
static inline struct phca_lock_entry *phca_lock_entry_at(struct phca_lock_table *t, uint32_t lock)
{
	return (struct phca_lock_entry *)(void *)(t + 1) + lock;
}

/**
 * Read an entry as it was at one time, while the service may write it.
 * @return 0; -EAGAIN it was being written all the time: again later
 */
static inline int phca_lock_entry_read(const struct phca_lock_entry *e, struct phca_lock_entry *out)
{
	const uint64_t *from = (const uint64_t *)(const void *)e;
	uint64_t to[sizeof(*e) / sizeof(uint64_t)];

	for (unsigned int tries = 0; tries < 1000; tries++) {
		to[0] = __atomic_load_n(&from[0], __ATOMIC_ACQUIRE);
		for (unsigned int i = 1; i < sizeof(*e) / sizeof(uint64_t); i++)
			to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (to[0] % 2 == 0 && __atomic_load_n(&from[0], __ATOMIC_RELAXED) == to[0]) {
			memcpy(out, to, sizeof(to));
			return 0;
		}
	}
	return -EAGAIN;
}

/**
 * Write an entry so that readers see all of it or nothing. The service's.
 * @param in  with an even seq that the entry did not have before
 */
static inline void phca_lock_entry_write(struct phca_lock_entry *e, const struct phca_lock_entry *in)
{
	uint64_t from[sizeof(*e) / sizeof(uint64_t)];
	uint64_t *to = (uint64_t *)(void *)e;

	memcpy(from, in, sizeof(from));
	__atomic_store_n(&to[0], from[0] - 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (unsigned int i = 1; i < sizeof(*e) / sizeof(uint64_t); i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
	__atomic_store_n(&to[0], from[0], __ATOMIC_RELEASE);
}

#ifdef __cplusplus
}
#endif
#endif
