/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control thread: builds the configured objects while the loops run, then
 * serves the prompt, prints statistics, keeps events, and takes everything down
 * when a signal, "quit" or --duration says so. Signals are blocked in all
 * threads and read here from a signalfd, so nothing runs in a signal handler.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_common.h>

#include "appliance.h"
#include "text.h"
#include "trace.h"

#define TICK_MS 100          /* events and periods are looked at so often */
#define EVENTS_MAX 1024      /* taken at once; the others the next time */
#define LINK_NS 1000000000u  /* links are looked at so often */
#define DRAIN_MS 2000        /* what is in flight may take so long to end */

void event_text(const struct phca_event *ev, char *buf, size_t len)
{
	if (ev->type == PHCA_EVENT_PORT_ACTIVE || ev->type == PHCA_EVENT_PORT_ERR)
		snprintf(buf, len, "%s, port %u", phca_event_str(ev->type), ev->num);
	else
		snprintf(buf, len, "%s, number 0x%x: %s", phca_event_str(ev->type), ev->num,
			phca_wc_status_str(ev->status));
}

/* Of an object of an application in another process: it is told, and what it does with its objects is its matter. */
static bool event_theirs(const struct phca_event *ev)
{
	return ev->client != NULL && phca_client_priv(ev->client) != NULL;
}

static void event_keep(struct appliance *a, const struct phca_event *ev)
{
	struct event_obj *e = &a->events[a->nb_events++ % EVENTS_KEPT];
	char text[128];

	e->time_s = (uint64_t)time(NULL);
	e->ev = *ev;
	e->ev.client = NULL; /* not for as long as this is kept */
	event_text(ev, text, sizeof(text));
	if (event_theirs(ev))
		APP_LOG(INFO, "%s\n", text);
	else
		APP_LOG(WARNING, "%s\n", text);
	if (a->host)
		phca_host_event(a->host, ev);
}

void events_take(struct appliance *a)
{
	struct phca_event ev[32];
	unsigned int n, all = 0;

	/* not those that follow for ever */
	do {
		n = phca_hca_events(a->hca, ev, RTE_DIM(ev));
		for (unsigned int i = 0; i < n; i++)
			event_keep(a, &ev[i]);
		all += n;
	} while (n == RTE_DIM(ev) && all < EVENTS_MAX);
}

/* Links have no event of their own: they are looked at each second. */
static void links_look(struct appliance *a, uint64_t now)
{
	if (now < a->link_ns)
		return;
	a->link_ns = now + LINK_NS;
	for (unsigned int i = 0; i < a->nb_ports; i++) {
		bool up = phca_net_link(a->ports[i]->net);
		struct phca_event ev = { .type = up ? PHCA_EVENT_PORT_ACTIVE : PHCA_EVENT_PORT_ERR, .num = i };

		if (up != a->ports[i]->up)
			event_keep(a, &ev);
		a->ports[i]->up = up;
	}
}

void control_tick(struct appliance *a)
{
	uint64_t now = phca_loop_now_ns();

	pthread_mutex_lock(&a->control);
	events_take(a);
	trace_take(a);
	links_look(a, now);
	if (a->period_ns != 0 && now >= a->period_ns) {
		a->period_ns += (uint64_t)a->opt.stats_period_s * 1000000000u;
		if (a->period_ns <= now)
			a->period_ns = now + (uint64_t)a->opt.stats_period_s * 1000000000u;
		summary_period(a, now, stdout);
	}
	pthread_mutex_unlock(&a->control);
	if (a->end_ns != 0 && now >= a->end_ns)
		a->quit = true;
}

static void signal_take(struct appliance *a)
{
	struct signalfd_siginfo si;

	if (read(a->signal_fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	printf("\nSignal %u received, preparing to exit...\n", si.ssi_signo);
	a->quit = true;
}

int control_wait(struct appliance *a, bool in, int timeout_ms)
{
	struct pollfd fds[2] = {
		{ .fd = a->signal_fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};
	uint64_t end = phca_loop_now_ns() + (uint64_t)timeout_ms * 1000000u, now;

	while (!a->quit) {
		int left;

		control_tick(a);
		now = phca_loop_now_ns();
		if (a->quit || (timeout_ms >= 0 && now >= end))
			break;
		left = timeout_ms < 0 ? TICK_MS : RTE_MIN(TICK_MS, (int)((end - now) / 1000000u) + 1);
		if (poll(fds, in ? 2 : 1, left) <= 0)
			continue;
		if (fds[0].revents)
			signal_take(a);
		else if (fds[1].revents)
			return 1;
	}
	return a->quit ? -1 : 0;
}

void control_start(struct appliance *a, bool on)
{
	a->started = on;
	phca_hca_enable(a->hca, on);
	apps_enable(a, on);
}

/* Whether messages wait for the proxy. */
static bool rings_used(struct phca_proxy *p)
{
	for (unsigned int i = 0; i < phca_proxy_nb_chans(p); i++)
		if (ring_used(phca_proxy_chan_ring(phca_proxy_chan_get(p, i))) > 0)
			return true;
	return false;
}

void control_drain(struct appliance *a)
{
	uint64_t end = phca_loop_now_ns() + DRAIN_MS * UINT64_C(1000000);
	bool busy;

	/* what applications began ends by packets that arrive */
	apps_enable(a, false);
	while (a->started && apps_in_flight(a) > 0 && phca_loop_now_ns() < end)
		usleep(1000);
	control_start(a, false);
	do {
		usleep(1000);
		busy = false;
		for (unsigned int i = 0; i < a->nb_proxies; i++) {
			struct phca_proxy_stats st;

			phca_proxy_stats_get(a->proxies[i].proxy, &st);
			busy |= st.in_flight > 0 || rings_used(a->proxies[i].proxy);
		}
	} while (busy && phca_loop_now_ns() < end);
	usleep(10000); /* the application takes its last completions */
}

/* Without a prompt: until a signal, the end of --duration, or Enter. */
static void wait_enter(struct appliance *a)
{
	bool in = !isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) == getpgrp();
	char c;

	if (isatty(STDIN_FILENO) && in)
		printf("Press enter to exit\n");
	fflush(stdout);
	while (control_wait(a, in, -1) == 1) {
		if (read(STDIN_FILENO, &c, 1) != 1)
			in = false; /* end of stdin is no wish to leave */
		else if (c == '\n')
			return;
	}
}

static int build(struct appliance *a)
{
	char err[ERR_MAX];
	int rc;

	pthread_mutex_lock(&a->control);
	rc = objects_add(a, err, sizeof(err));
	pthread_mutex_unlock(&a->control);
	if (rc < 0)
		fprintf(stderr, "dpdk-proxyhca: %s\n", err);
	return rc;
}

static int serve(struct appliance *a)
{
	uint64_t now = phca_loop_now_ns();
	int rc = 0;

	a->rates.now_ns = now;
	if (a->opt.duration_s)
		a->end_ns = now + (uint64_t)a->opt.duration_s * 1000000000u;
	if (a->opt.stats_period_s)
		a->period_ns = now + (uint64_t)a->opt.stats_period_s * 1000000000u;
	if (a->opt.cmdline_file) {
		rc = prompt_file(a, a->opt.cmdline_file);
		if (rc < 0)
			return rc;
	}
	if (a->quit)
		return 0;
	if (a->opt.start && !a->started) {
		printf("Start automatic packet forwarding\n");
		pthread_mutex_lock(&a->control);
		control_start(a, true);
		pthread_mutex_unlock(&a->control);
	}
	if (a->opt.interactive)
		return prompt_run(a);
	wait_enter(a);
	return 0;
}

static int take_down(struct appliance *a)
{
	const struct objects_mark none = { 0 };
	char err[ERR_MAX];
	int rc;

	pthread_mutex_lock(&a->control);
	trace_free(a);
	rc = objects_remove(a, &none, err, sizeof(err));
	pthread_mutex_unlock(&a->control);
	if (rc < 0)
		fprintf(stderr, "dpdk-proxyhca: at the end: %s\n", err);
	return rc;
}

/* From the first packet to the last figure. */
static int live(struct appliance *a)
{
	char err[ERR_MAX];
	int rc;

	rc = clients_start(a, err, sizeof(err));
	if (rc < 0) {
		fprintf(stderr, "dpdk-proxyhca: %s\n", err);
		return rc;
	}
	telemetry_init(a);
	rc = serve(a);
	printf("\nStopping...\n");
	clients_stop(a);
	pthread_mutex_lock(&a->control);
	control_drain(a);
	events_take(a);
	summary_final(a, stdout);
	pthread_mutex_unlock(&a->control);
	telemetry_fini(a);
	return rc;
}

void *control_main(void *arg)
{
	struct appliance *a = arg;
	int rc;

	lcores_wait_running(a);
	a->status = 1;
	if (build(a) == 0) {
		rc = a->opt.check_config ? 0 : live(a);
		if (a->opt.check_config)
			check_report(a);
		if (take_down(a) == 0 && rc == 0)
			a->status = 0;
	}
	lcores_stop(a);
	return NULL;
}
