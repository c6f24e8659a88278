/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that switch traces of queue pairs on and off, and show them. */
#include <string.h>

#include "commands.h"
#include "text.h"
#include "trace.h"

/* By name, or number. Of a name that several have, the first. */
static struct qp_obj *qp_named(struct appliance *a, const char *text)
{
	struct qp_obj *q;
	uint32_t qpn;

	if (command_number(text, &qpn))
		return objects_qp(a, qpn);
	for (unsigned int i = 0; (q = appliance_qp(a, i)) != NULL; i++)
		if (strcmp(qp_obj_name(a, q), text) == 0)
			return q;
	return NULL;
}

/* @return the queue pair that was named; NULL: it was told that there is none */
static struct qp_obj *qp_wanted(const struct command_args *c)
{
	struct qp_obj *q = qp_named(c->a, c->arg[0]);

	if (!q)
		fprintf(c->out, "qp '%s': there is none of this name or number; 'show qp all' lists them\n", c->arg[0]);
	return q;
}

static void trace_on(struct command_args *c, uint32_t count)
{
	struct qp_obj *q = qp_wanted(c);
	char err[ERR_MAX];

	if (!q)
		return;
	if (trace_start(c->a, q, count, err, sizeof(err)) < 0)
		fprintf(c->out, "%s\n", err);
	else if (count == PHCA_QP_TRACE_ALL)
		fprintf(c->out, "qp 0x%x: traced; 'show trace' tells, 'trace qp 0x%x off' ends it\n",
			phca_qp_num(q->qp), phca_qp_num(q->qp));
	else
		fprintf(c->out, "qp 0x%x: the next %u requests are traced\n", phca_qp_num(q->qp), count);
}

void command_trace_on(struct command_args *c)
{
	trace_on(c, PHCA_QP_TRACE_ALL);
}

void command_trace_count(struct command_args *c)
{
	uint32_t n;

	if (command_number(c->arg[1], &n) && n > 0 && n < PHCA_QP_TRACE_ALL)
		trace_on(c, n);
	else
		fprintf(c->out, "count '%s': a number from 1 on expected; the newest %u requests are kept\n",
			c->arg[1], TRACE_LINES);
}

void command_trace_off(struct command_args *c)
{
	const struct qp_obj *q = qp_wanted(c);

	if (!q)
		return;
	if (trace_stop(c->a, phca_qp_num(q->qp)) < 0)
		fprintf(c->out, "qp 0x%x: it is not traced\n", phca_qp_num(q->qp));
	else
		fprintf(c->out, "qp 0x%x: not traced any more; 'show trace' still tells what was\n",
			phca_qp_num(q->qp));
}

void command_show_trace(struct command_args *c)
{
	const struct trace_qp *t;
	unsigned int i;

	trace_take(c->a);
	for (i = 0; (t = trace_at(c->a, i)) != NULL; i++)
		text_trace(t, c->out);
	if (i == 0)
		fprintf(c->out, "No queue pair was traced; 'trace qp N on' begins\n");
}

void command_show_trace_qp(struct command_args *c)
{
	const struct qp_obj *q = qp_named(c->a, c->arg[0]);
	const struct trace_qp *t;
	uint32_t qpn = 0;

	trace_take(c->a);
	if (q)
		qpn = phca_qp_num(q->qp);
	else
		command_number(c->arg[0], &qpn); /* it may be gone */
	t = trace_find(c->a, qpn);
	if (t)
		text_trace(t, c->out);
	else
		fprintf(c->out, "qp '%s': there is no trace of it; 'trace qp N on' begins one\n", c->arg[0]);
}
