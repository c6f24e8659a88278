/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk-proxyhca: a software RDMA HCA in one DPDK process. main() is the life of
 * the process: EAL, options, configuration, appliance, control thread, loops,
 * and the same way back.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include "phca_drivers.h"

#include "appliance.h"

#define DRIVERS_MAX 64 /* of each kind; for "did you mean" */

RTE_LOG_REGISTER_DEFAULT(app_logtype, NOTICE)

/* SIGINT and SIGTERM are read by the control thread; blocked before any thread exists. */
static int signals_block(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int say(const char *err)
{
	fprintf(stderr, "dpdk-proxyhca: %s\n", err);
	return EXIT_FAILURE;
}

/* Loops and control thread, from launch to the last loop's end. */
static int run(struct appliance *a)
{
	char err[ERR_MAX];
	pthread_t control;
	int rc;

	if (lcores_launch(a, err, sizeof(err)) < 0)
		return say(err);
	rc = rte_ctrl_thread_create(&control, "proxyhca-ctl", NULL, control_main, a);
	if (rc != 0) {
		snprintf(err, sizeof(err), "control thread: not created: %s", strerror(abs(rc)));
		lcores_abort(a);
		return say(err);
	}
	lcores_run_main(a);
	pthread_join(control, NULL);
	lcores_join(a);
	return a->status;
}

static int appliance_main(struct appliance *a)
{
	char err[ERR_MAX];
	unsigned int missing;
	int status;

	a->cfg = appliance_config(a, err, sizeof(err));
	if (!a->cfg)
		return say(err);
	if (appliance_create(a, err, sizeof(err)) < 0)
		status = say(err);
	else
		status = run(a);
	missing = appliance_destroy(a);
	objects_free(a);
	if (missing > 0) {
		fprintf(stderr, "dpdk-proxyhca: mbufs leaked: %u\n", missing);
		return EXIT_FAILURE;
	}
	if (!a->opt.check_config)
		printf("mbufs leaked: 0\nBye...\n");
	return status;
}

/* What the configuration's loader wants to know of the drivers. */
static void drivers_lookup(struct phca_config_lookup *l)
{
	static const char *offloads[DRIVERS_MAX + 1], *apps[DRIVERS_MAX + 1];

	for (unsigned int i = 0; i < DRIVERS_MAX && phca_offload_driver_at(i); i++)
		offloads[i] = phca_offload_driver_at(i)->name;
	for (unsigned int i = 0; i < DRIVERS_MAX && phca_app_driver_at(i); i++)
		apps[i] = phca_app_driver_at(i)->name;
	*l = (struct phca_config_lookup){
		.offload = phca_offload_driver_find, .app = phca_app_driver_find,
		.offload_names = offloads, .app_names = apps,
	};
}

static int choose(struct appliance *a, int argc, char **argv)
{
	switch (options_parse(argc, argv, &a->opt)) {
	case OPTIONS_DONE:
		return EXIT_SUCCESS;
	case OPTIONS_BAD:
		return EXIT_FAILURE;
	case OPTIONS_RUN:
		break;
	}
	return appliance_main(a);
}

int main(int argc, char **argv)
{
	struct appliance *a;
	int n, status;

	if (options_early(argc, argv) == OPTIONS_DONE)
		return EXIT_SUCCESS;
	a = calloc(1, sizeof(*a));
	if (!a)
		return say("no memory");
	pthread_mutex_init(&a->control, NULL);
	drivers_lookup(&a->lookup);
	a->signal_fd = signals_block();
	if (a->signal_fd < 0)
		return say("signals: not blocked");
	if (telemetry_register() < 0)
		return EXIT_FAILURE;
	n = rte_eal_init(argc, argv);
	if (n < 0) {
		fprintf(stderr, "dpdk-proxyhca: EAL: not initialized: %s\n", rte_strerror(rte_errno));
		return EXIT_FAILURE;
	}
	argv[n] = argv[0]; /* getopt names the program */
	status = choose(a, argc - n, argv + n);
	rte_eal_cleanup();
	close(a->signal_fd);
	pthread_mutex_destroy(&a->control);
	free(a);
	return status;
}
