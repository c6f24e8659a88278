/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ranks: each sends `depth` rounds ahead of the answers.
 *
 * Invariant: round n uses slot n modulo depth; a slot's next round begins when its last
 * was answered and its send has completed. So there is a receive for each answer.
 */
#include <stdlib.h>
#include <unistd.h>

#include "tool.h"

#define WCS 32
#define EMPTY_POLLS 4096 /* between looks at the connections */
#define IS_RECV (1ull << 63)
#define WAITS_SEND 1
#define WAITS_ANSWER 2

struct slot {
	uint64_t round;
	uint8_t waits;
};

struct rank {
	uint32_t rank;
	int fd;
	struct ibv_qp *qp;
	struct slot *slots;
	uint64_t answered;
};

struct contributor {
	const struct options *o;
	const struct job *job;
	struct device dev;
	struct rank *ranks;
	struct ibv_qp **qps;
	uint8_t *expected, *sends, *recvs;
	size_t answer_stride;
	uint32_t over;      /* ranks that have all answers */
};

static void *zeroed(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		fail("no memory for %zu times %zu bytes", n, size);
	return p;
}

static void recv_post(struct contributor *c, uint32_t i, uint32_t buf)
{
	uint64_t id = (uint64_t)i * c->job->depth + buf;

	qp_recv(&c->dev, c->ranks[i].qp, IS_RECV | id, c->recvs + id * c->answer_stride, c->answer_stride);
}

static void round_send(struct contributor *c, uint32_t i, uint32_t slot)
{
	const struct job *j = c->job;
	uint64_t id = (uint64_t)i * j->depth + slot;
	struct phca_reduce_hdr *h = (void *)(c->sends + id * job_stride(j));
	struct rank *r = &c->ranks[i];

	header_fill(j, h, r->rank, r->slots[slot].round);
	r->slots[slot].waits = WAITS_SEND | WAITS_ANSWER;
	qp_send(&c->dev, r->qp, id, h, PHCA_REDUCE_HDR_LEN + job_bytes(j));
}

static void join(struct contributor *c, uint32_t i)
{
	struct rank *r = &c->ranks[i];
	struct hello peer, mine = { .gid = c->dev.gid, .mtu = c->dev.mtu, .job = *c->job };

	r->rank = c->o->first + i;
	r->fd = meet_connect(c->o->host, c->o->port);
	r->qp = c->qps[i] = qp_make(&c->dev, c->job->depth, c->job->depth);
	r->slots = zeroed(c->job->depth, sizeof(r->slots[0]));
	mine.rank = r->rank;
	mine.qpn = r->qp->qp_num;
	mine.psn = (mine.qpn * 2246822519u) & 0xffffff;
	hello_send(r->fd, &mine);
	hello_receive(r->fd, &peer);
	for (uint32_t k = 0; k < c->job->depth; k++) {
		struct phca_reduce_hdr *h = (void *)(c->sends + ((size_t)i * c->job->depth + k) * job_stride(c->job));

		vector_fill(c->job, h + 1, r->rank, k);
		r->slots[k].round = k;
		recv_post(c, i, k);
	}
	qp_connect(&c->dev, r->qp, &mine, &peer);
}

static void slot_over(struct contributor *c, uint32_t i, uint32_t slot, uint8_t what)
{
	struct slot *s = &c->ranks[i].slots[slot];

	s->waits &= (uint8_t)~what;
	if (s->waits != 0)
		return;
	s->round += c->job->depth;
	if (s->round < c->job->rounds)
		round_send(c, i, slot);
}

static void answered(struct contributor *c, uint64_t id, uint32_t len)
{
	uint32_t i = (uint32_t)(id / c->job->depth), buf = (uint32_t)(id % c->job->depth);
	struct rank *r = &c->ranks[i];
	uint64_t round = result_check(c->job, (void *)(c->recvs + id * c->answer_stride), len,
		(c->job->flags & PHCA_REDUCE_F_ANSWER) != 0, c->expected, "a rank");
	struct slot *s = &r->slots[round % c->job->depth];

	if (s->round != round || !(s->waits & WAITS_ANSWER))
		fail("rank %u: round %llu is answered and was not asked", r->rank, (unsigned long long)round);
	recv_post(c, i, buf);
	slot_over(c, i, (uint32_t)(round % c->job->depth), WAITS_ANSWER);
	if (++r->answered == c->job->rounds)
		c->over++;
}

static void connections_look(const struct contributor *c)
{
	for (uint32_t i = 0; i < c->o->here; i++)
		if (word_waits(c->ranks[i].fd))
			word_receive(c->ranks[i].fd, "nothing");
}

static void run(struct contributor *c)
{
	const uint32_t depth = c->job->depth;
	struct ibv_wc wc[WCS];

	for (uint32_t k = 0; k < depth && k < c->job->rounds; k++)
		for (uint32_t i = 0; i < c->o->here; i++)
			round_send(c, i, k);
	for (uint32_t empty = 0; c->over < c->o->here && c->job->rounds > 0;) {
		int n = cq_poll(&c->dev, wc, WCS);

		for (int i = 0; i < n; i++) {
			uint64_t id = wc[i].wr_id;

			if (id & IS_RECV)
				answered(c, id & ~IS_RECV, wc[i].byte_len);
			else
				slot_over(c, (uint32_t)(id / depth), (uint32_t)(id % depth), WAITS_SEND);
		}
		if (n == 0 && ++empty % EMPTY_POLLS == 0)
			connections_look(c);
		else if (n > 0)
			empty = 0;
	}
}

int contribute(const struct options *o)
{
	struct contributor c = { .o = o, .job = &o->job };
	size_t nb = (size_t)o->here * o->job.depth;
	double start;

	c.answer_stride = (o->job.flags & PHCA_REDUCE_F_ANSWER) ? job_stride(c.job) : 64;
	device_open(&c.dev, o);
	device_memory(&c.dev, (int)(2 * nb + 16), nb * (job_stride(c.job) + c.answer_stride));
	c.sends = c.dev.buf;
	c.recvs = c.sends + nb * job_stride(c.job);
	c.ranks = zeroed(o->here, sizeof(c.ranks[0]));
	c.qps = zeroed(o->here, sizeof(c.qps[0]));
	if (o->job.check && (o->job.flags & PHCA_REDUCE_F_ANSWER))
		c.expected = expected_make(c.job);
	for (uint32_t i = 0; i < o->here; i++)
		join(&c, i);
	for (uint32_t i = 0; i < o->here; i++)
		word_receive(c.ranks[i].fd, "go");
	start = now_s();
	run(&c);
	start = now_s() - start;
	figures_print(c.job, "contributor", o->here, start);
	for (uint32_t i = 0; i < o->here; i++)
		word_send(c.ranks[i].fd, "done");
	for (uint32_t i = 0; i < o->here; i++)
		word_receive(c.ranks[i].fd, "bye");
	device_close(&c.dev, c.qps, o->here);
	for (uint32_t i = 0; i < o->here; i++) {
		close(c.ranks[i].fd);
		free(c.ranks[i].slots);
	}
	free(c.ranks);
	free(c.qps);
	free(c.expected);
	return 0;
}
