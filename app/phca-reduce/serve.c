/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The application: a queue pair for each rank, with receives for all that the rank may
 * have under way. With the reduce offload it receives results, on the queue pair of rank 0,
 * or nothing (allreduce); with --self it receives all contributions and combines and
 * answers them itself, as well as a program can.
 *
 * Invariant of --self: a contribution's receive buffer is posted again when it was
 * combined; an accumulator is written again when all sends of it have completed.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loops.h"
#include "tool.h"

#define WCS 32
#define EMPTY_POLLS 4096 /* between looks at the connections */
#define IS_SEND (1ull << 63)
#define TELL_S 10 /* without a rank that comes, and every so long again */
#define POLL_MS 200

struct slot {
	uint32_t turn;      /* rank to be combined next */
	uint32_t sends;     /* of the accumulator, not completed */
	uint32_t *have;     /* by rank: receive buffer + 1 */
};

struct server {
	const struct options *o;
	struct job job;
	struct device dev;
	struct ibv_qp **qps;
	int *fds;
	bool *done;
	uint8_t *expected, *recvs, *results; /* recvs: nb_recvs for each rank; results: depth */
	uint32_t nb_recvs;
	reduce_kernel *kernel;
	struct slot *slots;
	uint64_t rounds;    /* complete */
	uint32_t nb_done;
};

static reduce_kernel *kernel_of(const struct job *j)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return kernels_wide[j->type][j->op];
#endif
	return kernels_any[j->type][j->op];
}

static void recv_post(struct server *s, uint32_t rank, uint32_t i)
{
	size_t stride = job_stride(&s->job);
	uint32_t buf = rank * s->nb_recvs + i;

	qp_recv(&s->dev, s->qps[rank], buf, s->recvs + buf * stride, stride);
}

/* --- meeting */

static void *zeroed(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		fail("no memory for %zu times %zu bytes", n, size);
	return p;
}

/* What is to be done is known: all that depends on it. */
static void server_prepare(struct server *s, const struct job *job)
{
	/* more than what is under way: a receive that is not needed any more is free a little later */
	const uint32_t per_rank = 4 * job->depth;
	size_t stride = job_stride(job), nb_recvs = (size_t)job->nb_ranks * per_rank;

	s->job = *job;
	s->nb_recvs = per_rank;
	if (s->o->job.nb_ranks != 0 && s->o->job.nb_ranks != job->nb_ranks)
		fail("a contributor is one of %u ranks, --ranks says %u", job->nb_ranks, s->o->job.nb_ranks);
	s->kernel = kernel_of(job);
	if (s->kernel == NULL)
		fail("%s is no operation for %s", op_name(job->op), type_name(job->type));
	device_memory(&s->dev, (int)(2 * nb_recvs + 16), (nb_recvs + job->depth) * stride);
	s->recvs = s->dev.buf;
	s->results = s->recvs + nb_recvs * stride;
	s->qps = zeroed(job->nb_ranks, sizeof(s->qps[0]));
	s->fds = zeroed(job->nb_ranks, sizeof(s->fds[0]));
	s->done = zeroed(job->nb_ranks, sizeof(s->done[0]));
	s->slots = zeroed(job->depth, sizeof(s->slots[0]));
	for (uint32_t i = 0; i < job->depth; i++)
		s->slots[i].have = zeroed(job->nb_ranks, sizeof(uint32_t));
	if (job->check)
		s->expected = expected_make(job);
}

static void rank_join(struct server *s, int fd)
{
	struct hello peer, mine = { .gid = s->dev.gid, .mtu = s->dev.mtu };
	uint32_t rank;

	hello_receive(fd, &peer);
	if (s->qps == NULL)
		server_prepare(s, &peer.job);
	rank = peer.rank;
	if (memcmp(&peer.job, &s->job, sizeof(peer.job)) != 0)
		fail("rank %u wants something else than the others", rank);
	if (s->qps[rank] != NULL)
		fail("there are two ranks %u", rank);
	s->fds[rank] = fd;
	s->qps[rank] = qp_make(&s->dev, s->job.depth, s->nb_recvs);
	mine.rank = rank;
	mine.qpn = s->qps[rank]->qp_num;
	mine.psn = (mine.qpn * 2654435761u) & 0xffffff;
	mine.job = s->job;
	for (uint32_t i = 0; i < s->nb_recvs; i++)
		recv_post(s, rank, i);
	qp_connect(&s->dev, s->qps[rank], &mine, &peer);
	hello_send(fd, &mine);
}

/* "ranks 1, 3 to 5 of 6", those that did not come yet. */
static void missing_print(const struct server *s, char *to, size_t size)
{
	const uint32_t n = s->job.nb_ranks;
	size_t at = (size_t)snprintf(to, size, "ranks");

	for (uint32_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && (s->qps[end] == NULL) == (s->qps[i] == NULL); end++)
			;
		if (s->qps[i] != NULL)
			continue;
		if (at + 40 >= size) { /* no room for this one and the end */
			at += (size_t)snprintf(to + at, size - at, ", ...");
			break;
		}
		at += (size_t)snprintf(to + at, size - at, at > 5 ? ", %u" : " %u", i);
		if (end - i > 1)
			at += (size_t)snprintf(to + at, size - at, " to %u", end - 1);
	}
	snprintf(to + at, size - at, " of %u", n);
}

/* Until somebody connects. Says who is missing when that takes long, and ends the program when it takes longer. */
static void somebody_waits(const struct server *s, int listener, double start)
{
	double limit = s->o->wait_s == 0 ? 0 : start + s->o->wait_s, tell = now_s() + TELL_S;
	struct pollfd p = { .fd = listener, .events = POLLIN };
	char who[256] = "the first rank";

	while (poll(&p, 1, POLL_MS) <= 0) {
		double now = now_s();
		bool over = limit != 0 && now >= limit;

		if (!over && now < tell)
			continue;
		if (s->qps != NULL)
			missing_print(s, who, sizeof(who));
		if (over)
			fail("%s did not come within %u s (--wait)", who, s->o->wait_s);
		fprintf(stderr, "phca-reduce: waiting for %s\n", who);
		tell = now + TELL_S;
	}
}

static void all_join(struct server *s)
{
	int listener = meet_listen(s->o->port);
	double start = now_s();
	uint32_t n = 0;

	do {
		int fd;

		somebody_waits(s, listener, start);
		fd = accept(listener, NULL, NULL);
		if (fd >= 0) {
			rank_join(s, fd);
			n++;
		}
	} while (s->qps == NULL || n < s->job.nb_ranks);
	close(listener);
	for (uint32_t i = 0; i < n; i++)
		word_send(s->fds[i], "go");
}

/* --- results from the offload */

static void result_received(struct server *s, const struct ibv_wc *wc)
{
	const void *at = s->recvs + wc->wr_id * job_stride(&s->job);

	result_check(&s->job, at, wc->byte_len, true, s->expected, "the application");
	s->rounds++;
	recv_post(s, (uint32_t)wc->wr_id / s->nb_recvs, (uint32_t)wc->wr_id % s->nb_recvs);
}

/* --- without it */

static void answer_all(struct server *s, struct slot *slot, const uint8_t *result)
{
	size_t len = PHCA_REDUCE_HDR_LEN + ((s->job.flags & PHCA_REDUCE_F_ANSWER) ? job_bytes(&s->job) : 0);

	for (uint32_t i = 0; i < s->job.nb_ranks; i++)
		qp_send(&s->dev, s->qps[i], IS_SEND | (uint32_t)(slot - s->slots), result, len);
	slot->sends = s->job.nb_ranks;
}

/* Combine what has come, in the order of the ranks. */
static void slot_advance(struct server *s, struct slot *slot)
{
	const struct job *j = &s->job;
	size_t stride = job_stride(j);
	uint8_t *result = s->results + (size_t)(slot - s->slots) * stride;
	struct phca_reduce_hdr *h = (struct phca_reduce_hdr *)result;

	while (slot->sends == 0 && slot->turn < j->nb_ranks && slot->have[slot->turn] != 0) {
		uint32_t rank = slot->turn++, i = slot->have[rank] - 1;
		const uint8_t *from = s->recvs + ((size_t)rank * s->nb_recvs + i) * stride;

		if (rank == 0)
			memcpy(result, from, PHCA_REDUCE_HDR_LEN + job_bytes(j));
		else
			s->kernel(result + PHCA_REDUCE_HDR_LEN, from + PHCA_REDUCE_HDR_LEN, j->count);
		slot->have[rank] = 0;
		recv_post(s, rank, i);
	}
	if (slot->turn < j->nb_ranks)
		return;
	slot->turn = 0;
	h->flags |= PHCA_REDUCE_F_RESULT;
	h->rank = PHCA_REDUCE_NOBODY;
	result_check(j, h, (uint32_t)(PHCA_REDUCE_HDR_LEN + job_bytes(j)), true, s->expected, "the application");
	s->rounds++;
	answer_all(s, slot, result);
}

static void contribution_received(struct server *s, const struct ibv_wc *wc)
{
	uint32_t rank = (uint32_t)wc->wr_id / s->nb_recvs, i = (uint32_t)wc->wr_id % s->nb_recvs;
	const struct phca_reduce_hdr *h = (const void *)(s->recvs + wc->wr_id * job_stride(&s->job));
	struct phca_reduce_hdr want;
	struct slot *slot;

	if (wc->byte_len >= sizeof(*h) && (h->flags & PHCA_REDUCE_F_RESULT))
		fail("a result came, of the reduce offload: serve without --self");
	header_fill(&s->job, &want, rank, h->round);
	if (wc->byte_len != PHCA_REDUCE_HDR_LEN + job_bytes(&s->job) || memcmp(h, &want, sizeof(want)) != 0)
		fail("rank %u: a message of %u bytes is no contribution of this run", rank, wc->byte_len);
	slot = &s->slots[h->round % s->job.depth];
	if (slot->have[rank] != 0)
		fail("rank %u: round %llu came before its time", rank, (unsigned long long)h->round);
	slot->have[rank] = i + 1;
	slot_advance(s, slot);
}

static void completed(struct server *s, const struct ibv_wc *wc)
{
	if (wc->wr_id & IS_SEND) {
		struct slot *slot = &s->slots[wc->wr_id & ~IS_SEND];

		if (--slot->sends == 0)
			slot_advance(s, slot);
	} else if (s->o->self) {
		contribution_received(s, wc);
	} else {
		result_received(s, wc);
	}
}

static void connections_look(struct server *s)
{
	for (uint32_t i = 0; i < s->job.nb_ranks; i++)
		if (!s->done[i] && word_waits(s->fds[i])) {
			word_receive(s->fds[i], "done");
			s->done[i] = true;
			s->nb_done++;
		}
}

int serve(const struct options *o)
{
	struct server s = { .o = o };
	struct ibv_wc wc[WCS];
	bool counts;
	double start;

	device_open(&s.dev, o);
	all_join(&s);
	counts = o->self || (s.job.flags & PHCA_REDUCE_F_DELIVER);
	start = now_s();
	for (uint32_t empty = 0; s.nb_done < s.job.nb_ranks || (counts && s.rounds < s.job.rounds);) {
		int n = cq_poll(&s.dev, wc, WCS);

		for (int i = 0; i < n; i++)
			completed(&s, &wc[i]);
		if (n == 0 && ++empty % EMPTY_POLLS == 0)
			connections_look(&s);
		else if (n > 0)
			empty = 0;
	}
	start = now_s() - start;
	if (counts)
		figures_print(&s.job, o->self ? "application, by itself" : "application", s.job.nb_ranks, start);
	for (uint32_t i = 0; i < s.job.nb_ranks; i++)
		word_send(s.fds[i], "bye");
	device_close(&s.dev, s.qps, s.job.nb_ranks);
	for (uint32_t i = 0; i < s.job.nb_ranks; i++)
		close(s.fds[i]);
	for (uint32_t i = 0; i < s.job.depth; i++)
		free(s.slots[i].have);
	free(s.slots);
	free(s.qps);
	free(s.fds);
	free(s.done);
	free(s.expected);
	return 0;
}
