/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Applications of other processes: the admin server (lib/host) and the thread that
 * serves its socket.
 *
 * Invariant: the thread holds the control mutex whenever it is inside the server,
 * and never while it waits.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_lcore.h>

#include "appliance.h"
#include "trace.h"

#define EVENTS_MS 20   /* with clients, events are passed on so often */
#define IDLE_MS 1000   /* without, the server wants to be called so often */

static bool has_clients(struct appliance *a)
{
	struct phca_host_stats st;

	phca_host_stats_get(a->host, &st);
	return st.connected > 0;
}

static void *clients_main(void *arg)
{
	struct appliance *a = arg;
	struct pollfd fds[2] = {
		{ .fd = a->host_stop_fd, .events = POLLIN },
		{ .fd = phca_host_fd(a->host), .events = POLLIN },
	};
	int wait_ms = IDLE_MS;

	while (poll(fds, 2, wait_ms) < 0 || fds[0].revents == 0) {
		pthread_mutex_lock(&a->control);
		phca_host_poll(a->host);
		events_take(a);
		wait_ms = has_clients(a) ? EVENTS_MS : IDLE_MS;
		pthread_mutex_unlock(&a->control);
	}
	return NULL;
}

/* Clients are descriptors: their number shall not be limited by a default of shells. */
static void descriptors_raise(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur == l.rlim_max)
		return;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) != 0)
		APP_LOG(INFO, "limit of descriptors: not raised: %s\n", strerror(errno));
}

static void qp_created(void *arg, const struct phca_host_qp *q)
{
	struct qp_owner who = { .pid = q->client->pid, .uid = q->client->uid };

	snprintf(who.user, sizeof(who.user), "%s", q->client->user);
	snprintf(who.exe, sizeof(who.exe), "%s", q->client->exe);
	app_rules_created(arg, &who, q->qp, q->send_cqe);
}

static void qp_connected(void *arg, const struct phca_host_qp *q)
{
	app_rules_connected(arg, q->qp, q->dgid);
}

static void qp_gone(void *arg, struct phca_qp *qp)
{
	events_take(arg); /* its last ones */
	trace_gone(arg, phca_qp_num(qp));
	app_rules_gone(arg, qp);
}

static int host_create(struct appliance *a, char *err, size_t err_len)
{
	const struct phca_config_host *c = &a->cfg->host;
	const struct phca_host_conf conf = {
		.device = c->device ? c->device : "phca0", .path = a->opt.socket ? a->opt.socket : c->socket,
		.version = PHCA_VERSION, .mode = c->mode, .set_group = c->has_group, .gid = c->gid,
		.limits = c->limits,
		.hca = a->hca, .mem = a->mem, .loop = a->hca_lcores[0]->loop, .sleeps = a->opt.idle == PHCA_IDLE_SLEEP,
		.max_qp = a->cfg->memory.max_qp, .max_mr = a->cfg->memory.max_mr,
		.cb = { .qp_created = qp_created, .qp_connected = qp_connected, .qp_gone = qp_gone, .arg = a },
	};

	a->host = phca_host_create(&conf, err, err_len);
	return a->host ? 0 : -rte_errno;
}

int clients_start(struct appliance *a, char *err, size_t err_len)
{
	int rc;

	if (!a->opt.socket && !a->cfg->host.given)
		return 0;
	descriptors_raise();
	rc = host_create(a, err, err_len);
	if (rc < 0)
		return rc;
	a->host_stop_fd = eventfd(0, EFD_CLOEXEC);
	rc = a->host_stop_fd < 0 ? -errno :
		rte_ctrl_thread_create(&a->host_thread, "phca-host", NULL, clients_main, a);
	if (rc == 0)
		return 0;
	snprintf(err, err_len, "host: its thread was not created: %s", strerror(abs(rc)));
	if (a->host_stop_fd >= 0)
		close(a->host_stop_fd);
	phca_host_destroy(a->host);
	a->host = NULL;
	return rc < 0 ? rc : -rc;
}

void clients_stop(struct appliance *a)
{
	const uint64_t one = 1;

	if (!a->host)
		return;
	if (write(a->host_stop_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		APP_LOG(ERR, "host: its thread was not told to end\n"); /* an eventfd at zero takes 1 */
	pthread_join(a->host_thread, NULL);
	close(a->host_stop_fd);
	pthread_mutex_lock(&a->control);
	phca_host_destroy(a->host);
	a->host = NULL;
	pthread_mutex_unlock(&a->control);
}
