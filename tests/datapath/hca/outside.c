/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client of another process: its arena and its side of the queues.
 *
 * Invariant: through `app` nothing is touched but what lib/queue lets the
 * application touch; ring memory that was given back reads as nonsense.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "outside.h"

static const uint8_t own_gid[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };

static void *ring_alloc(void *arg, size_t bytes)
{
	struct outside *o = arg;
	size_t at = o->used;

	if (bytes > OUTSIDE_ARENA - at)
		return NULL;
	o->used += (bytes + 63) & ~(size_t)63;
	o->live += bytes;
	o->nb_live++;
	return o->hca + at;
}

static void ring_free(void *arg, void *mem, size_t bytes)
{
	struct outside *o = arg;

	CU_ASSERT((uint8_t *)mem >= o->hca && (uint8_t *)mem + bytes <= o->hca + o->used);
	memset(mem, 0xa5, bytes); /* whoever uses it now sees nonsense */
	o->live -= bytes;
	o->nb_live--;
}

void outside_attach(const struct outside *o, struct phca_ring *r, const struct phca_ring_mem *m,
		enum phca_ring_type type)
{
	void *at = o->app + ((uint8_t *)m->mem - o->hca);

	CU_ASSERT_EQUAL_FATAL(phca_ring_attach(r, at, m->bytes, type), 0);
}

static void qp_open(struct outside *o)
{
	struct phca_qp_init i = {
		.type = PHCA_QPT_UD, .pd = o->l->pd, .max_send_wr = 64, .max_recv_wr = 64,
		.max_send_sge = 1, .max_recv_sge = 1, .max_inline = 16,
	};
	struct phca_qp_attr a = { .state = PHCA_QPS_INIT, .pkey = PHCA_PKEY_DEFAULT, .qkey = LAB_QKEY };
	struct phca_ring_mem sq, rq, cq, db;

	CU_ASSERT_FATAL(phca_cq_create(o->c, 256, &o->cq) == 0);
	i.send_cq = i.recv_cq = o->cq;
	CU_ASSERT_FATAL(phca_qp_create(o->c, &i, &o->qp) == 0);
	CU_ASSERT_EQUAL(phca_qp_modify(o->qp, &a, PHCA_QP_STATE | PHCA_QP_PKEY | PHCA_QP_QKEY), 0);
	a.state = PHCA_QPS_RTR;
	CU_ASSERT_EQUAL(phca_qp_modify(o->qp, &a, PHCA_QP_STATE), 0);
	a.state = PHCA_QPS_RTS;
	CU_ASSERT_EQUAL(phca_qp_modify(o->qp, &a, PHCA_QP_STATE | PHCA_QP_SQ_PSN), 0);
	phca_qp_rings(o->qp, &sq, &rq);
	phca_cq_ring(o->cq, &cq);
	phca_client_db(o->c, 0, &db);
	outside_attach(o, &o->sq, &sq, PHCA_RING_SQ);
	outside_attach(o, &o->rq, &rq, PHCA_RING_RQ);
	outside_attach(o, &o->cqr, &cq, PHCA_RING_CQ);
	outside_attach(o, &o->db, &db, PHCA_RING_DB);
}

void outside_open(struct outside *o, struct lab *l, bool wake)
{
	struct phca_client_conf conf = {
		.name = "outside", .max_qp = 16, .ring_alloc = ring_alloc, .ring_free = ring_free, .arg = o,
		.priv = o,
	};

	memset(o, 0, sizeof(*o));
	o->l = l;
	o->fd = memfd_create("outside", MFD_CLOEXEC);
	CU_ASSERT_FATAL(o->fd >= 0 && ftruncate(o->fd, OUTSIDE_ARENA) == 0);
	o->hca = mmap(NULL, OUTSIDE_ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, o->fd, 0);
	o->app = mmap(NULL, OUTSIDE_ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, o->fd, 0);
	CU_ASSERT_FATAL(o->hca != MAP_FAILED && o->app != MAP_FAILED);
	o->wake_fd = wake ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
	if (wake)
		conf.wake_fds = &o->wake_fd;
	o->c = phca_client_open_conf(l->hca, &conf);
	CU_ASSERT_FATAL(o->c != NULL);
	o->buf = calloc(64, 64);
	CU_ASSERT_FATAL(phca_mr_reg(l->mem, l->pd, o->buf, 64 * 64, (uintptr_t)o->buf,
		PHCA_ACCESS_LOCAL_WRITE, &o->key) == 0);
	qp_open(o);
}

void outside_close(struct outside *o)
{
	CU_ASSERT_EQUAL(phca_client_close(o->c), 0);
	CU_ASSERT_EQUAL(o->nb_live, 0);
	CU_ASSERT_EQUAL(o->live, 0);
	CU_ASSERT_EQUAL(phca_mr_dereg(o->l->mem, o->key), 0);
	free(o->buf);
	munmap(o->hca, OUTSIDE_ARENA);
	munmap(o->app, OUTSIDE_ARENA);
	close(o->fd);
	if (o->wake_fd >= 0)
		close(o->wake_fd);
}

static void send_put(struct outside *o, uint16_t flags)
{
	struct phca_send_wqe *w = phca_ring_next(&o->sq);

	memset(w, 0, sizeof(*w));
	w->wr_id = o->sq.own - 1;
	w->opcode = PHCA_WR_SEND;
	w->flags = (uint16_t)(flags | PHCA_SEND_INLINE);
	w->inline_len = 8;
	memcpy(w + 1, "outside", 8);
	memcpy(w->u.ud.av.dgid, own_gid, 16);
	w->u.ud.av.sgid_index = (uint8_t)phca_net_gid_find(o->l->net, own_gid);
	w->u.ud.remote_qpn = phca_qp_num(o->qp);
	w->u.ud.remote_qkey = LAB_QKEY;
}

bool outside_post(struct outside *o, unsigned int n, uint16_t flags)
{
	CU_ASSERT_FATAL(phca_ring_free(&o->rq, n) >= n && phca_ring_free(&o->sq, n) >= n);
	for (unsigned int i = 0; i < n; i++) {
		struct phca_recv_wqe *w = phca_ring_next(&o->rq);

		w->wr_id = o->rq.own - 1;
		w->num_sge = 1;
		*phca_recv_sge(w) = (struct phca_sge){ (uintptr_t)o->buf, 64, o->key };
		send_put(o, flags);
	}
	phca_ring_publish(&o->rq);
	phca_ring_publish(&o->sq);
	return phca_db_ring(&o->db, &o->sq, phca_qp_num(o->qp));
}

unsigned int outside_notes(int fd, const struct phca_cq *cq)
{
	struct phca_cq_note n;
	unsigned int got = 0;

	while (recv(fd, &n, sizeof(n), MSG_DONTWAIT) == (ssize_t)sizeof(n)) {
		CU_ASSERT_EQUAL(n.cqn, phca_cq_num(cq));
		got++;
	}
	return got;
}
