/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A database application and its requester in one program: what a proxy does for the
 * one, and the client library of the other. The rules must take this program's queue pairs.
 *
 * Invariant: the application's CQ has a completion for each ordinary message, and for nothing else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pair.h"
#include "phca_lock_client.h"
#include "torture.h"

#define LOCKS 64
#define DEPTH 8
#define EXTRA 4
#define RECVS 8
#define BYTES 256

#define MUST(x) do { if (!(x)) die(EXIT_CALL, "line %d: %s\n", __LINE__, #x); } while (0)

struct app {
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *mr, *recv_mr;
	struct phca_lock_table *table;
	uint8_t recv[RECVS][BYTES];
};

static struct phca_lock_answer told[64];
static unsigned int nb_told, nb_other;

static void done(void *arg, const struct phca_lock_answer *a)
{
	MUST(arg == told && nb_told < 64);
	told[nb_told++] = *a;
}

static void other(void *arg, const void *data, uint32_t len)
{
	MUST(arg == told && len == 5 && memcmp(data, "hello", 5) == 0);
	nb_other++;
}

static struct ibv_qp *qp_of(struct ibv_pd *pd, struct ibv_cq *cq)
{
	struct ibv_qp_init_attr a = { .qp_type = IBV_QPT_RC, .send_cq = cq, .recv_cq = cq,
		.cap = { .max_send_wr = DEPTH + EXTRA, .max_recv_wr = DEPTH + EXTRA, .max_send_sge = 1,
			.max_recv_sge = 1 } };
	struct ibv_qp *qp = ibv_create_qp(pd, &a);

	MUST(qp != NULL);
	return qp;
}

static void app_make(struct app *a, struct ibv_context *ctx)
{
	size_t bytes = phca_lock_table_size(LOCKS);

	a->pd = ibv_alloc_pd(ctx);
	a->cq = ibv_create_cq(ctx, 64, NULL, NULL, 0);
	a->table = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
	MUST(a->pd != NULL && a->cq != NULL && a->table != NULL);
	memset(a->table, 0, bytes);
	MUST(phca_lock_table_format(a->table, LOCKS) == a->table);
	a->mr = ibv_reg_mr(a->pd, a->table, bytes, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_ATOMIC);
	a->recv_mr = ibv_reg_mr(a->pd, a->recv, sizeof(a->recv), IBV_ACCESS_LOCAL_WRITE);
	MUST(a->mr != NULL && a->recv_mr != NULL);
	a->qp = qp_of(a->pd, a->cq);
}

static void app_receives(struct app *a)
{
	for (unsigned int i = 0; i < RECVS; i++) {
		struct ibv_sge s = { (uintptr_t)a->recv[i], BYTES, a->recv_mr->lkey };
		struct ibv_recv_wr *bad, w = { .wr_id = i, .sg_list = &s, .num_sge = 1 };

		MUST(ibv_post_recv(a->qp, &w, &bad) == 0);
	}
}

static struct phca_lock_entry entry(struct app *a, uint32_t lock)
{
	struct phca_lock_entry e;

	MUST(phca_lock_entry_read(phca_lock_entry_at(a->table, lock), &e) == 0);
	return e;
}

/* The application has received this, or nothing. */
static void received(struct app *a, const char *text)
{
	struct ibv_wc wc;
	int n = 0;

	for (int i = 0; n == 0; i++) {
		n = ibv_poll_cq(a->cq, 1, &wc);
		if (text == NULL && i == 100)
			break;
	}
	if (text == NULL) {
		MUST(n == 0);
		return;
	}
	MUST(n == 1 && wc.status == IBV_WC_SUCCESS && wc.byte_len == strlen(text));
	MUST(memcmp(a->recv[wc.wr_id], text, wc.byte_len) == 0);
}

static struct phca_lock_answer call(struct phca_lock_client *c, enum phca_lock_op op, uint64_t session, uint32_t lock,
		uint32_t wait_us)
{
	const struct phca_lock_ask ask = { .op = op, .session = session, .lock = lock, .wait_us = wait_us,
		.mode = op == PHCA_LOCK_OP_LOCK ? PHCA_LOCK_EXCLUSIVE : PHCA_LOCK_FREE };
	struct phca_lock_answer a;

	int rc = phca_lock_client_call(c, &ask, 20000, &a);

	if (rc != 0)
		die(EXIT_CALL, "%s of lock %u: %s, %s\n", phca_lock_op_str(op), lock, strerror(-rc),
			ibv_wc_status_str(phca_lock_client_status(c)));
	MUST(a.op == op && a.lock == lock);
	return a;
}

static void locks_and_messages(struct app *app, struct phca_lock_client *c)
{
	struct phca_lock_answer a = call(c, PHCA_LOCK_OP_LOCK, 1, 7, 0);
	struct phca_lock_entry e = entry(app, 7);

	MUST(a.status == PHCA_LOCK_GRANTED && a.mode == PHCA_LOCK_EXCLUSIVE && a.count == 1);
	MUST(e.mode == PHCA_LOCK_EXCLUSIVE && e.owner_qpn == app->qp->qp_num && e.owner_session == 1);
	MUST(e.token == a.token);
	received(app, NULL);
	MUST(phca_lock_client_send(c, "ordinary", 8) == 0);
	received(app, "ordinary");
	MUST(call(c, PHCA_LOCK_OP_LOCK, 2, 7, 1000).status == PHCA_LOCK_TIMEOUT);
	MUST(call(c, PHCA_LOCK_OP_QUERY, 2, 7, 0).count == 1);
	MUST(call(c, PHCA_LOCK_OP_UNLOCK, 1, 7, 0).status == PHCA_LOCK_OK);
	MUST(entry(app, 7).mode == PHCA_LOCK_FREE);
	MUST(call(c, PHCA_LOCK_OP_UNLOCK, 1, LOCKS, 0).status == PHCA_LOCK_BAD);
	received(app, NULL);
}

static void not_waiting(struct app *app, struct phca_lock_client *c)
{
	struct phca_lock_ask ask = { .op = PHCA_LOCK_OP_LOCK, .mode = PHCA_LOCK_EXCLUSIVE, .session = 1, .lock = 9 };
	char big[PHCA_LOCK_BATCH * sizeof(struct phca_lock_req) + 64] = "";
	struct phca_lock_answer a;
	uint64_t first, id;

	for (unsigned int i = 0; i < DEPTH; i++, ask.session++)
		MUST(phca_lock_client_ask(c, &ask, i == 0 ? &first : &id) == 0);
	MUST(phca_lock_client_ask(c, &ask, NULL) == -EAGAIN);
	MUST(phca_lock_client_pending(c) == DEPTH);
	MUST(phca_lock_client_flush(c) == 0);
	while (nb_told < 1)
		MUST(phca_lock_client_poll(c) >= 0);
	MUST(told[0].id == first && told[0].status == PHCA_LOCK_GRANTED && nb_told == 1);
	MUST(phca_lock_client_pending(c) == DEPTH - 1);
	MUST(call(c, PHCA_LOCK_OP_RELEASE, 1, 0, 0).count == 1);
	ask = (struct phca_lock_ask){ .op = PHCA_LOCK_OP_LOCK, .mode = PHCA_LOCK_SHARED, .session = 99, .lock = 9 };
	MUST(phca_lock_client_call(c, &ask, 0, &a) == -ETIMEDOUT); /* is called back later */
	MUST(call(c, PHCA_LOCK_OP_RELEASE, 99, 0, 0).count == 0);
	MUST(nb_told == 3 && told[1].status == PHCA_LOCK_GRANTED && told[2].status == PHCA_LOCK_CANCELLED);
	/* The others get it one after the other. */
	for (uint64_t s = 2; s <= DEPTH; s++)
		MUST(call(c, PHCA_LOCK_OP_RELEASE, s, 0, 0).count == 1);
	MUST(nb_told == DEPTH + 1 && told[DEPTH].id == id && phca_lock_client_pending(c) == 0);
	for (unsigned int i = 3; i <= DEPTH; i++)
		MUST(told[i].status == PHCA_LOCK_GRANTED && told[i].token > told[i == 3 ? 1 : i - 1].token);
	MUST(entry(app, 9).mode == PHCA_LOCK_FREE && entry(app, 9).waiters == 0);
	MUST(phca_lock_client_send(c, big, sizeof(big)) == -EMSGSIZE);
}

/* The application's own message comes between answers; completions are handed over by hand. */
static void by_hand(struct app *app, struct phca_lock_client *c, struct ibv_cq *cq)
{
	struct ibv_sge s = { (uintptr_t)app->recv[0], 5, app->recv_mr->lkey };
	struct ibv_send_wr *bad, w = { .wr_id = 100, .sg_list = &s, .num_sge = 1, .opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_SIGNALED };
	struct ibv_wc wc;

	memcpy(app->recv[0], "hello", 5);
	MUST(ibv_post_send(app->qp, &w, &bad) == 0);
	while (nb_other == 0)
		if (ibv_poll_cq(cq, 1, &wc) == 1)
			MUST(phca_lock_client_wc(c, &wc) == 0);
	do {
		MUST(ibv_poll_cq(app->cq, 1, &wc) >= 0);
	} while (wc.wr_id != 100 || wc.status != IBV_WC_SUCCESS);
	MUST(call(c, PHCA_LOCK_OP_LOCK, 1, 3, 0).status == PHCA_LOCK_GRANTED);
	MUST(call(c, PHCA_LOCK_OP_LOCK, 1, 4, 0).status == PHCA_LOCK_GRANTED);
}

/* The requester's queue pair ends without a word; the application's is asked whether it lives. */
static void dies(struct app *app, struct ibv_qp *qp)
{
	MUST(entry(app, 3).mode == PHCA_LOCK_EXCLUSIVE);
	MUST(ibv_destroy_qp(qp) == 0);
	for (unsigned int i = 0; i < 2000 && entry(app, 3).mode != PHCA_LOCK_FREE; i++)
		usleep(10000);
	MUST(entry(app, 3).mode == PHCA_LOCK_FREE && entry(app, 4).mode == PHCA_LOCK_FREE);
}

int main(void)
{
	struct ibv_context *ctx = device_open(NULL);
	struct phca_lock_client_conf conf = { .depth = DEPTH, .extra = EXTRA, .done = done, .other = other,
		.arg = told };
	struct phca_lock_client *c;
	static struct app app;
	struct ibv_cq *cq;
	union ibv_gid gid;
	int index;

	MUST(ctx != NULL);
	index = device_gid(ctx, &gid);
	app_make(&app, ctx);
	cq = ibv_create_cq(ctx, 64, NULL, NULL, 0);
	MUST(cq != NULL);
	conf.qp = qp_of(app.pd, cq);
	qp_connect(conf.qp, app.qp->qp_num, &gid, index);
	qp_connect(app.qp, conf.qp->qp_num, &gid, index);
	app_receives(&app);
	conf.table_va = (uintptr_t)app.table;
	conf.table_rkey = app.mr->rkey;
	conf.depth = 0;
	MUST(phca_lock_client_create(&conf) == NULL && errno == EINVAL);
	conf.depth = DEPTH;
	c = phca_lock_client_create(&conf);
	MUST(c != NULL);
	locks_and_messages(&app, c);
	not_waiting(&app, c);
	by_hand(&app, c, cq);
	MUST(phca_lock_client_status(c) == IBV_WC_SUCCESS);
	dies(&app, conf.qp);
	phca_lock_client_destroy(c);
	MUST(ibv_destroy_qp(app.qp) == 0 && ibv_dereg_mr(app.mr) == 0);
	printf("locks: all as promised\n");
	return 0;
}
