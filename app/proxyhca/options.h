/* SPDX-License-Identifier: BSD-3-Clause */
/* What the command line says, after EAL took its part. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "phca_loop.h"

/** Options of the program. */
struct options {
	const char *config;        /* file; NULL: the built-in configuration */
	const char *socket;        /* where other processes' applications connect; NULL: as configured */
	const char *cmdline_file;  /* commands to run before the prompt; or NULL */
	bool interactive;          /* give a prompt */
	bool start;                /* start without being asked */
	bool check_config;         /* validate and leave */
	enum phca_idle idle;       /* what idle lcores do */
	unsigned int stats_period_s; /* print statistics so often; 0: not */
	unsigned int duration_s;   /* leave after so long; 0: not */
};

/** What was found. */
enum options_result {
	OPTIONS_RUN,   /* go on */
	OPTIONS_DONE,  /* the option was a question, and is answered */
	OPTIONS_BAD,   /* an error was printed */
};

/** Parse what is left of argv behind EAL's "--". */
enum options_result options_parse(int argc, char **argv, struct options *o);

/**
 * Answer the questions that need no EAL: --help and --list-counters behind
 * "--", --version anywhere. @return OPTIONS_DONE when answered, else OPTIONS_RUN
 */
enum options_result options_early(int argc, char **argv);

#endif
