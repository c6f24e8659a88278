/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main of datapath-<name>: EAL without huge pages, devices or files that another
 * process could see, then the tests. Arguments as unit programs have them; those
 * before a "--" go to EAL.
 */
#include <stdio.h>
#include <string.h>

#include <rte_common.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include "phca_test.h"

#define EAL_ARGS_MAX 32

static char arg_mem[] = "256", arg_lcores[] = "0@0";
static char *const eal_base[] = {
	(char[]){ "datapath" }, (char[]){ "--no-huge" }, (char[]){ "-m" }, arg_mem,
	(char[]){ "--no-pci" }, (char[]){ "--no-shconf" }, (char[]){ "--no-telemetry" },
	(char[]){ "--lcores" }, arg_lcores,
};

#ifdef PHCA_TSAN
/* DPDK reads a ring's indices plainly when it only counts. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:rte_ring_count\n";
}
#endif

int main(int argc, char **argv)
{
	char *eal[EAL_ARGS_MAX];
	int n = 0, split = 0, rc;

	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			split = i;
	for (unsigned int i = 0; i < RTE_DIM(eal_base); i++)
		eal[n++] = eal_base[i];
	for (int i = 1; i < split && n < EAL_ARGS_MAX - 1; i++)
		eal[n++] = argv[i];
	eal[n] = NULL;
	if (rte_eal_init(n, eal) < 0) {
		fprintf(stderr, "EAL does not start: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	argv[split] = argv[0];
	rc = phca_test_main(argc - split, argv + split);
	rte_eal_cleanup();
	return rc;
}
