/* SPDX-License-Identifier: BSD-3-Clause */
/* The server: what serve.c and self.c share. */
#ifndef SERVE_H
#define SERVE_H

#include "core.h"
#include "tool.h"

#define SENDS 64      /* send slots of a client */
#define SLOT_BYTES 1024

struct server;

/* A client: its queue pair, its slots, its TCP connection. */
struct conn {
	struct server *s;
	struct ibv_qp *qp;       /* NULL: not in use */
	int fd;                  /* -1: it ended */
	uint32_t index;
	uint8_t *block;          /* send slots, then receive slots */
	struct ibv_mr *mr;
	bool busy[SENDS];        /* send slots on the way */
	uint32_t next_send, sending;
	/* messages that were received and not carried out, in order */
	struct { uint32_t slot, len; } *held;
	uint32_t held_first, nb_held;
	struct lock_peer *peer;  /* --self */
	bool failed;
};

struct server {
	const struct options *o;
	struct device d;
	struct ibv_comp_channel *ch;
	struct ibv_cq *cq;
	struct phca_lock_table *table;
	struct ibv_mr *mr;
	int listener;
	struct conn conns[CLIENTS_MAX];
	uint32_t nb_conns, cqe;
	struct lock_core *core;  /* --self */
	void *core_mem;
	uint64_t echoed, strays, accepted, ended;
};

/* @return a send slot that is free; NULL: none */
uint8_t *conn_send_slot(struct conn *c);
/* Send the slot that conn_send_slot gave. */
void conn_send(struct conn *c, uint32_t len, bool solicited);

/* --- self.c: the lock service in this program */

void self_init(struct server *s);
void self_fini(struct server *s);
/* @return whether the message was carried out; false: later */
bool self_message(struct conn *c, const void *data, uint32_t len, uint64_t now);
void self_answers(struct conn *c);
/* Waits whose time is over, and whom there is something to tell. */
void self_turn(struct server *s, uint64_t now);
void self_gone(struct conn *c);

#endif
