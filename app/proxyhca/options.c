/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line: one table of options. Everything is checked here; the rest
 * of the program sees a struct options that is valid.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "figures.h"
#include "options.h"

enum {
	OPT_CONFIG = 256, OPT_CMDLINE_FILE, OPT_STATS_PERIOD, OPT_CHECK, OPT_IDLE,
	OPT_AUTO_START, OPT_NO_AUTO_START, OPT_DURATION, OPT_COUNTERS, OPT_VERSION, OPT_SOCKET,
};

static const struct option table[] = {
	{"config", required_argument, NULL, OPT_CONFIG},
	{"interactive", no_argument, NULL, 'i'},
	{"cmdline-file", required_argument, NULL, OPT_CMDLINE_FILE},
	{"stats-period", required_argument, NULL, OPT_STATS_PERIOD},
	{"check-config", no_argument, NULL, OPT_CHECK},
	{"idle", required_argument, NULL, OPT_IDLE},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"auto-start", no_argument, NULL, OPT_AUTO_START},
	{"no-auto-start", no_argument, NULL, OPT_NO_AUTO_START},
	{"duration", required_argument, NULL, OPT_DURATION},
	{"list-counters", no_argument, NULL, OPT_COUNTERS},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"Usage: dpdk-proxyhca [EAL options] -- [options]\n"
	"\n"
	"  --config FILE        JSON configuration (default: a built-in one; see --check-config)\n"
	"  -i, --interactive    give a prompt; 'help' there lists the commands\n"
	"  --auto-start         with -i: start receiving before the prompt\n"
	"  --no-auto-start      without -i: do not start; commands or nothing will\n"
	"  --cmdline-file FILE  run the commands of FILE first\n"
	"  --stats-period N     print statistics and rates every N seconds, 1..86400\n"
	"  --duration N         stop after N seconds, 1..31536000, print statistics and leave\n"
	"  --idle poll|sleep    idle lcores poll (default), or sleep until there is work\n"
	"  --socket PATH        serve applications of other processes at this socket\n"
	"  --check-config       check the configuration, filters and drivers' settings; exit 0 or 1\n"
	"  --list-counters      print every counter: group, name, unit, meaning\n"
	"  --version            print the version\n"
	"  -h, --help           print this text\n"
	"\n"
	"Without -i it runs until SIGINT, SIGTERM or the Enter key.\n"
	"EAL's own options are listed by: dpdk-proxyhca --help\n";

static enum options_result bad(const char *what, const char *value, const char *mend)
{
	fprintf(stderr, "dpdk-proxyhca: %s '%s': %s\n", what, value, mend);
	return OPTIONS_BAD;
}

static bool number(const char *text, unsigned long max, unsigned int *out)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || v < 1 || v > max)
		return false;
	*out = (unsigned int)v;
	return true;
}

static enum options_result number_option(const char *name, unsigned long max, unsigned int *out)
{
	char mend[64];

	if (number(optarg, max, out))
		return OPTIONS_RUN;
	snprintf(mend, sizeof(mend), "seconds expected, 1..%lu", max);
	return bad(name, optarg, mend);
}

static enum options_result idle_option(struct options *o)
{
	if (strcmp(optarg, "poll") == 0)
		o->idle = PHCA_IDLE_POLL;
	else if (strcmp(optarg, "sleep") == 0)
		o->idle = PHCA_IDLE_SLEEP;
	else
		return bad("--idle", optarg, "'poll' or 'sleep' expected");
	return OPTIONS_RUN;
}

static enum options_result unknown(char **argv)
{
	const char *word = optind > 0 ? argv[optind - 1] : "";

	if (optopt >= OPT_CONFIG && word[0] == '-')
		return bad("option", word, strchr(word, '=') ? "takes no value" : "needs a value");
	if (optopt > 0 && optopt < OPT_CONFIG) {
		char letter[3] = { '-', (char)optopt, 0 };

		return bad("unknown option", letter, "try -- --help");
	}
	return bad("unknown or ambiguous option", word, "try -- --help");
}

static enum options_result option(int c, struct options *o, int *auto_start)
{
	switch (c) {
	case OPT_CONFIG:
		o->config = optarg;
		return OPTIONS_RUN;
	case 'i':
		o->interactive = true;
		return OPTIONS_RUN;
	case OPT_CMDLINE_FILE:
		o->cmdline_file = optarg;
		return access(optarg, R_OK) == 0 ? OPTIONS_RUN :
			bad("--cmdline-file", optarg, strerror(errno));
	case OPT_STATS_PERIOD:
		return number_option("--stats-period", 86400, &o->stats_period_s);
	case OPT_DURATION:
		return number_option("--duration", 31536000, &o->duration_s);
	case OPT_CHECK:
		o->check_config = true;
		return OPTIONS_RUN;
	case OPT_COUNTERS:
		counters_list(stdout);
		return OPTIONS_DONE;
	case OPT_IDLE:
		return idle_option(o);
	case OPT_SOCKET:
		o->socket = optarg;
		return optarg[0] ? OPTIONS_RUN : bad("--socket", optarg, "a path expected");
	case OPT_AUTO_START:
	case OPT_NO_AUTO_START:
		*auto_start = c == OPT_AUTO_START;
		return OPTIONS_RUN;
	case OPT_VERSION:
		puts("dpdk-proxyhca " PHCA_VERSION);
		return OPTIONS_DONE;
	default:
		fputs(usage, stdout);
		return OPTIONS_DONE;
	}
}

enum options_result options_parse(int argc, char **argv, struct options *o)
{
	int c, auto_start = -1;

	*o = (struct options){ .idle = PHCA_IDLE_POLL };
	optind = 1;
	opterr = 0;
	while (optopt = 0, (c = getopt_long(argc, argv, "+ih", table, NULL)) != -1) {
		enum options_result r = c == '?' ? unknown(argv) : option(c, o, &auto_start);

		if (r != OPTIONS_RUN)
			return r;
	}
	if (optind < argc)
		return bad("unexpected argument", argv[optind], "options start with '-'; try -- --help");
	o->start = auto_start >= 0 ? auto_start : !o->interactive;
	return OPTIONS_RUN;
}

enum options_result options_early(int argc, char **argv)
{
	bool ours = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--version") == 0) {
			puts("dpdk-proxyhca " PHCA_VERSION);
			return OPTIONS_DONE;
		}
		if (ours && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
			fputs(usage, stdout);
			return OPTIONS_DONE;
		}
		if (ours && strcmp(argv[i], "--list-counters") == 0) {
			counters_list(stdout);
			return OPTIONS_DONE;
		}
		ours |= strcmp(argv[i], "--") == 0;
	}
	return OPTIONS_RUN;
}
