/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * phca-lock: a server with a table of locks in its memory, and requesters: plain verbs
 * programs for any device. Options are read here; each role is a file.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"

volatile bool stop;

void fail(const char *what, ...)
{
	va_list args;

	va_start(args, what);
	fprintf(stderr, "phca-lock: ");
	vfprintf(stderr, what, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void on_signal(int sig)
{
	(void)sig;
	stop = true;
}

void signal_set(int sig, void (*handler)(int sig))
{
	const struct sigaction sa = { .sa_handler = handler };

	sigaction(sig, &sa, NULL);
}

static const char usage[] =
	"phca-lock serve   [options]                    have a table of locks, and echo other messages\n"
	"phca-lock lock    [options] ADDRESS N [COMMAND...]  take lock N; run the command, or read to the end\n"
	"phca-lock try     [options] ADDRESS N [COMMAND...]  the same without waiting\n"
	"phca-lock unlock  [options] ADDRESS N          of its own connection: not held\n"
	"phca-lock query   [options] ADDRESS N          who has it\n"
	"phca-lock shell   [options] ADDRESS            lines: lock N [shared] [WAIT_US], try N [shared], unlock N,\n"
	"                                               query N, release\n"
	"phca-lock bench   [options] ADDRESS            lock and unlock pairs a second, and their times\n"
	"phca-lock torture [options] ADDRESS            random requests; writes what happened to a file\n"
	"\n"
	"  -d, --device NAME    RDMA device (the first)\n"
	"  -g, --gid INDEX      of its GIDs (the last that is not link-local)\n"
	"  -p, --port PORT      TCP port at which server and clients meet (18600)\n"
	"  -u, --qp-timeout N   local ACK timeout, 4.096 us times 2 to the power of N (14); 8 tries\n"
	"  -n, --locks N        serve: locks in the table; bench, torture: of which N are used (1024)\n"
	"serve:\n"
	"      --self           carry out the requests itself: no proxy takes them\n"
	"      --once           end when the last client has left\n"
	"      --keep           keep the queue pair of a client whose TCP connection ended, until it fails\n"
	"  -r, --receives N     for each client (256)\n"
	"  -i, --interval MS    print the table's state that often (never)\n"
	"lock, try:\n"
	"  -s, --shared         with others\n"
	"  -w, --wait US        wait at most that long (as long as the service allows)\n"
	"bench, torture:\n"
	"  -c, --clients N      connections (1)\n"
	"  -q, --depth N        bench: pairs at a time on each (1); torture: sessions (8)\n"
	"  -t, --seconds S      (5)\n"
	"      --first N        the first lock that is used (0)\n"
	"      --seed N         of the random numbers (1)\n"
	"  -o, --output FILE    torture: where its history goes\n";

enum { OPT_SELF = 256, OPT_ONCE, OPT_KEEP, OPT_SEED, OPT_FIRST };

static uint64_t number(const char *name, const char *s, uint64_t min, uint64_t max)
{
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno != 0 || end == s || *end != '\0' || v < min || v > max)
		fail("%s %s: a number from %llu to %llu is needed", name, s, (unsigned long long)min,
			(unsigned long long)max);
	return v;
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{ "device", 1, NULL, 'd' }, { "gid", 1, NULL, 'g' }, { "port", 1, NULL, 'p' },
		{ "qp-timeout", 1, NULL, 'u' },
		{ "locks", 1, NULL, 'n' },
		{ "self", 0, NULL, OPT_SELF }, { "keep", 0, NULL, OPT_KEEP }, { "once", 0, NULL, OPT_ONCE },
		{ "receives", 1, NULL, 'r' },
		{ "interval", 1, NULL, 'i' }, { "shared", 0, NULL, 's' }, { "wait", 1, NULL, 'w' },
		{ "clients", 1, NULL, 'c' }, { "depth", 1, NULL, 'q' }, { "seconds", 1, NULL, 't' },
		{ "seed", 1, NULL, OPT_SEED }, { "first", 1, NULL, OPT_FIRST }, { "output", 1, NULL, 'o' },
		{ "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "+d:g:p:u:n:r:i:sw:c:q:t:o:h", known, NULL)) != -1) {
		switch (c) {
		case 'd': o->device = optarg; break;
		case 'g': o->gid_index = (int)number("-g", optarg, 0, 255); break;
		case 'p': o->port = optarg; break;
		case 'u': o->qp_timeout = (uint8_t)number("-u", optarg, 1, 31); break;
		case 'n': o->nb_locks = (uint32_t)number("-n", optarg, 1, 1u << 24); break;
		case OPT_SELF: o->self = true; break;
		case OPT_ONCE: o->once = true; break;
		case OPT_KEEP: o->keep = true; break;
		case 'r': o->receives = (uint32_t)number("-r", optarg, 1, 8192); break;
		case 'i': o->interval_ms = (uint32_t)number("-i", optarg, 1, 3600000); break;
		case 's': o->mode = PHCA_LOCK_SHARED; break;
		case 'w': o->wait_us = (uint32_t)number("-w", optarg, 1, UINT32_MAX); break;
		case 'c': o->clients = (uint32_t)number("-c", optarg, 1, CLIENTS_MAX); break;
		case 'q': o->depth = (uint32_t)number("-q", optarg, 1, 1024); break;
		case 't': o->seconds = (double)number("-t", optarg, 1, 86400); break;
		case OPT_SEED: o->seed = number("--seed", optarg, 0, UINT64_MAX); break;
		case OPT_FIRST: o->first = (uint32_t)number("--first", optarg, 0, 1u << 24); break;
		case 'o': o->file = optarg; break;
		case 'h':
			printf("%s", usage);
			exit(0);
		default: fail("see phca-lock --help");
		}
	}
}

struct role {
	const char *name;
	int (*run)(const struct options *o);
	bool address, lock, command;
	bool stops; /* it runs until a signal, and then ends in an orderly way; others just end */
};

static int run_lock(const struct options *o)
{
	return do_lock(o, false);
}

static int run_try(const struct options *o)
{
	return do_lock(o, true);
}

static const struct role roles[] = {
	{ "serve", do_serve, false, false, false, true }, { "lock", run_lock, true, true, true, false },
	{ "try", run_try, true, true, true, false }, { "unlock", do_unlock, true, true, false, false },
	{ "query", do_query, true, true, false, false }, { "shell", do_shell, true, false, false, false },
	{ "bench", do_bench, true, false, false, true }, { "torture", do_torture, true, false, false, true },
};

int main(int argc, char **argv)
{
	struct options o = { .gid_index = -1, .port = "18600", .qp_timeout = 14, .nb_locks = 1024,
		.receives = 256, .clients = 1,
		.seconds = 5, .seed = 1, .mode = PHCA_LOCK_EXCLUSIVE };
	const struct role *r = NULL;

	signal_set(SIGPIPE, SIG_IGN);
	for (unsigned int i = 0; argc > 1 && i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(argv[1], roles[i].name) == 0)
			r = &roles[i];
	if (r == NULL) {
		bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);

		fprintf(help ? stdout : stderr, "%s", usage);
		return help ? 0 : 2;
	}
	parse(argc - 1, argv + 1, &o);
	argv += 1 + optind;
	if (r->address && *argv != NULL)
		o.host = *argv++;
	else if (r->address)
		fail("%s: the address of the server is needed; see phca-lock --help", r->name);
	if (r->lock && *argv != NULL)
		o.lock = (uint32_t)number("lock", *argv++, 0, UINT32_MAX);
	else if (r->lock)
		fail("%s: the number of the lock is needed; see phca-lock --help", r->name);
	if (r->command && *argv != NULL)
		o.command = argv;
	else if (*argv != NULL)
		fail("%s: more than is understood; see phca-lock --help", *argv);
	if (r->stops) {
		signal_set(SIGINT, on_signal);
		signal_set(SIGTERM, on_signal);
	}
	return r->run(&o);
}
