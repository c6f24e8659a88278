/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests and answers: what comes from a socket is received once into memory of
 * this process, checked for its form, handed to the function of its op, answered.
 *
 * Invariant: every descriptor that was received is either kept by the op's
 * function, or closed here before the next message is looked at. A message whose
 * form is wrong ends the connection; one whose values are wrong gets an error.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host_impl.h"

static int (*const ops[])(struct client *c, struct msg *m) = {
	[PHCA_ADMIN_HELLO] = op_hello,
	[PHCA_ADMIN_PORT_QUERY] = op_port_query,
	[PHCA_ADMIN_GIDS_QUERY] = op_gids_query,
	[PHCA_ADMIN_CLOCK] = op_clock,
	[PHCA_ADMIN_RESOLVE] = op_resolve,
	[PHCA_ADMIN_PD_ALLOC] = op_pd_alloc,
	[PHCA_ADMIN_PD_FREE] = op_pd_free,
	[PHCA_ADMIN_MEM_SHARE] = op_mem_share,
	[PHCA_ADMIN_MR_REG] = op_mr_reg,
	[PHCA_ADMIN_MR_DEREG] = op_mr_dereg,
	[PHCA_ADMIN_MW_ALLOC] = op_mw_alloc,
	[PHCA_ADMIN_MW_DEALLOC] = op_mw_dealloc,
	[PHCA_ADMIN_CHANNEL_CREATE] = op_channel_create,
	[PHCA_ADMIN_CHANNEL_DESTROY] = op_channel_destroy,
	[PHCA_ADMIN_CQ_CREATE] = op_cq_create,
	[PHCA_ADMIN_CQ_RESIZE] = op_cq_resize,
	[PHCA_ADMIN_CQ_RESIZE_DONE] = op_cq_resize_done,
	[PHCA_ADMIN_CQ_DESTROY] = op_cq_destroy,
	[PHCA_ADMIN_SRQ_CREATE] = op_srq_create,
	[PHCA_ADMIN_SRQ_ARM] = op_srq_arm,
	[PHCA_ADMIN_SRQ_QUERY] = op_srq_query,
	[PHCA_ADMIN_SRQ_DESTROY] = op_srq_destroy,
	[PHCA_ADMIN_QP_CREATE] = op_qp_create,
	[PHCA_ADMIN_QP_MODIFY] = op_qp_modify,
	[PHCA_ADMIN_QP_QUERY] = op_qp_query,
	[PHCA_ADMIN_QP_DESTROY] = op_qp_destroy,
	[PHCA_ADMIN_MCAST_ATTACH] = op_mcast_attach,
	[PHCA_ADMIN_MCAST_DETACH] = op_mcast_detach,
};

static void fds_close(struct msg *m)
{
	for (unsigned int i = 0; i < m->nb_fds; i++)
		if (m->fds[i] >= 0)
			fd_drop(m->fds[i]);
	m->nb_fds = 0;
}

/* @return 1 a message; 0 none; -EPIPE the client has gone; BAD_MESSAGE */
static int receive(struct client *c, struct msg *m)
{
	union fd_control control;
	unsigned int nb_fds;
	struct iovec io = { m->in.bytes, sizeof(m->in.bytes) };
	struct msghdr h = {
		.msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(c->fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	m->nb_fds = 0;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
	nb_fds = fds_take(&h, m->fds, PHCA_ADMIN_FDS_MAX);
	m->nb_fds = RTE_MIN(nb_fds, (unsigned int)PHCA_ADMIN_FDS_MAX);
	if (n == 0 && nb_fds == 0)
		return -EPIPE;
	m->in_len = (uint32_t)n;
	return nb_fds > m->nb_fds || h.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? BAD_MESSAGE : 1;
}

/* Another version's HELLO may be longer; all else has one length. */
static bool length_ok(const struct msg *m)
{
	const struct phca_admin_req *r = &m->in.req;
	uint32_t want = phca_admin_req_len(r->op);

	if (want == 0 || m->in_len < want || r->len != m->in_len)
		return false;
	if (r->op == PHCA_ADMIN_MR_REG) {
		if (r->u.mr_reg.nb_segs > PHCA_ADMIN_SEGS_MAX)
			return false;
		want += r->u.mr_reg.nb_segs * (uint32_t)sizeof(struct phca_admin_seg);
	}
	return m->in_len == want || (r->op == PHCA_ADMIN_HELLO && r->u.hello.version != PHCA_ADMIN_VERSION);
}

static bool fds_ok(const struct msg *m)
{
	const struct phca_admin_req *r = &m->in.req;

	return r->nb_fds == m->nb_fds && (m->nb_fds == 0 || r->op == PHCA_ADMIN_MEM_SHARE ||
					  r->op == PHCA_ADMIN_MR_REG);
}

static bool form_ok(const struct client *c, const struct msg *m)
{
	const struct phca_admin_req *r = &m->in.req;

	if (m->in_len < PHCA_ADMIN_REQ_HDR || r->magic != PHCA_ADMIN_MAGIC || !length_ok(m) || !fds_ok(m))
		return false;
	return (r->op == PHCA_ADMIN_HELLO) == (c->state != CLIENT_OPEN);
}

static uint32_t answer_len(const struct msg *m, int status)
{
	if (status != 0 && m->in.req.op != PHCA_ADMIN_HELLO)
		return PHCA_ADMIN_ANS_HDR;
	return phca_admin_ans_len(m->in.req.op) + m->out_more;
}

/* @return whether it was taken */
static bool answer(struct client *c, struct msg *m, int status)
{
	uint32_t len = answer_len(m, status);
	struct iovec io = { m->out.bytes, len };
	struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1 };
	union fd_control control;

	m->out.ans.magic = PHCA_ADMIN_MAGIC;
	m->out.ans.op = m->in.req.op;
	m->out.ans.len = (uint16_t)len;
	m->out.ans.seq = m->in.req.seq;
	m->out.ans.status = status;
	if (m->nb_out_fds > 0 && status == 0) {
		struct cmsghdr *k = &control.align;

		memset(&control, 0, sizeof(control));
		h.msg_control = control.bytes;
		h.msg_controllen = CMSG_SPACE(m->nb_out_fds * sizeof(int));
		k->cmsg_level = SOL_SOCKET;
		k->cmsg_type = SCM_RIGHTS;
		k->cmsg_len = CMSG_LEN(m->nb_out_fds * sizeof(int));
		memcpy(CMSG_DATA(k), m->out_fds, m->nb_out_fds * sizeof(int));
	}
	return sendmsg(c->fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

/* One that reads its answer before it asks again never finds its socket full. */
static void not_sent(struct client *c)
{
	if (errno == EAGAIN || errno == ENOBUFS)
		c->host->st.stuck++;
	client_kill(c);
}

static void bad_message(struct client *c)
{
	c->host->st.bad_messages++;
	HOST_LOG(INFO, "client %u (pid %d, %s): closed: a message that is not of the admin protocol\n",
		c->info.id, (int)c->info.pid, c->info.exe);
	client_kill(c);
}

void message_begin(struct msg *m)
{
	m->out_more = 0;
	m->nb_out_fds = 0;
	memset(&m->out.ans, 0, sizeof(m->out.ans));
}

void message_answer(struct client *c, struct msg *m, int status)
{
	c->host->st.requests++;
	c->host->st.failed += status != 0;
	c->info.requests++;
	c->info.failed += status != 0;
	if (!answer(c, m, status))
		not_sent(c);
}

void message_serve(struct client *c)
{
	struct msg *m = &c->host->msg;
	int ret = receive(c, m);
	bool bad = ret == BAD_MESSAGE;

	if (ret == -EPIPE)
		client_kill(c);
	if (ret == 1 && !form_ok(c, m))
		bad = true;
	if (ret == 1 && !bad) {
		message_begin(m);
		ret = ops[m->in.req.op](c, m);
		bad = ret == BAD_MESSAGE;
		if (ret > 0)
			pending_add(c, m, ret);
		else if (!bad)
			message_answer(c, m, ret);
	}
	fds_close(m);
	if (bad)
		bad_message(c);
}
