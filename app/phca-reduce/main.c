/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of phca-reduce. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

#define PORT 18516

static const char usage[] =
"phca-reduce serve [OPTION]...            the application: a queue pair for each rank\n"
"phca-reduce contribute [OPTION]... HOST  ranks, which send vectors to it\n"
"\n"
"both:\n"
"  -d, --device NAME   RDMA device (default: the first)\n"
"  -g, --gid INDEX     GID index (default: the last that is not link-local, IPv4 if there is one)\n"
"  -p, --port PORT     TCP port where they meet (default 18516)\n"
"  -n, --ranks N       ranks there are, of all processes (default: contribute 2, serve as they say)\n"
"serve:\n"
"  -s, --self          no offload: receive all contributions and combine them here\n"
"  -w, --wait SECONDS  give up when not all ranks have come by then (default 0: never)\n"
"contribute:\n"
"  -f, --first RANK    first rank of this process (default 0)\n"
"  -k, --here K        ranks of this process (default: all from the first)\n"
"  -o, --op OP         sum, min, max, and, or (default sum)\n"
"  -t, --type TYPE     int32, int64, float32, float64 (default float64)\n"
"  -c, --count N       elements of a vector (default 1024)\n"
"  -r, --rounds N      rounds (default 1000)\n"
"  -D, --depth N       rounds under way at once (default 4)\n"
"  -G, --group N       number of the group (default 0)\n"
"  -a, --allreduce     the result goes to all ranks, not to the application\n"
"  -b, --both          to all ranks and to the application\n"
"  -q, --no-check      do not compare results\n"
"  -h, --help\n";

static const struct option long_options[] = {
	{ "device", required_argument, NULL, 'd' }, { "gid", required_argument, NULL, 'g' },
	{ "port", required_argument, NULL, 'p' }, { "ranks", required_argument, NULL, 'n' },
	{ "self", no_argument, NULL, 's' }, { "first", required_argument, NULL, 'f' },
	{ "here", required_argument, NULL, 'k' }, { "op", required_argument, NULL, 'o' },
	{ "type", required_argument, NULL, 't' }, { "count", required_argument, NULL, 'c' },
	{ "rounds", required_argument, NULL, 'r' }, { "depth", required_argument, NULL, 'D' },
	{ "group", required_argument, NULL, 'G' }, { "allreduce", no_argument, NULL, 'a' },
	{ "both", no_argument, NULL, 'b' }, { "no-check", no_argument, NULL, 'q' },
	{ "wait", required_argument, NULL, 'w' },
	{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
};

void fail(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "phca-reduce: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	exit(1);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max, const char *what)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno != 0 || *end != '\0' || end == text || n < min || n > max)
		fail("--%s %s: give a number, %llu..%llu", what, text, (unsigned long long)min,
			(unsigned long long)max);
	return n;
}

static uint32_t name(int found, const char *text, const char *what)
{
	if (found < 0)
		fail("--%s %s: there is none of that name; see --help", what, text);
	return (uint32_t)found;
}

static void option(struct options *o, int c)
{
	struct job *j = &o->job;

	switch (c) {
	case 'd': o->device = optarg; break;
	case 'g': o->gid_index = (int)number(optarg, 0, 255, "gid"); break;
	case 'p': o->port = (uint16_t)number(optarg, 1, UINT16_MAX, "port"); break;
	case 'n': j->nb_ranks = (uint32_t)number(optarg, 1, RANKS_MAX, "ranks"); break;
	case 's': o->self = true; break;
	case 'f': o->first = (uint32_t)number(optarg, 0, RANKS_MAX - 1, "first"); break;
	case 'k': o->here = (uint32_t)number(optarg, 1, RANKS_MAX, "here"); break;
	case 'o': j->op = name(op_find(optarg), optarg, "op"); break;
	case 't': j->type = name(type_find(optarg), optarg, "type"); break;
	case 'c': j->count = (uint32_t)number(optarg, 1, COUNT_MAX, "count"); break;
	case 'r': j->rounds = number(optarg, 1, UINT32_MAX, "rounds"); break;
	case 'D': j->depth = (uint32_t)number(optarg, 1, DEPTH_MAX, "depth"); break;
	case 'G': j->group = (uint32_t)number(optarg, 0, UINT32_MAX, "group"); break;
	case 'a': j->flags = PHCA_REDUCE_F_ANSWER; break;
	case 'b': j->flags = PHCA_REDUCE_F_ANSWER | PHCA_REDUCE_F_DELIVER; break;
	case 'q': j->check = false; break;
	case 'w': o->wait_s = (uint32_t)number(optarg, 0, 86400, "wait"); break;
	case 'h': printf("%s", usage); exit(0);
	default: exit(2);
	}
}

static void options_complete(struct options *o, int nb_args, char **args)
{
	struct job *j = &o->job;

	if (nb_args != (o->serve ? 0 : 1))
		fail("%s; see --help", o->serve ? "serve takes no arguments" : "contribute takes a host");
	if (o->serve)
		return;
	o->host = args[0];
	if (j->nb_ranks == 0)
		j->nb_ranks = 2;
	if (o->here == 0 && o->first < j->nb_ranks)
		o->here = j->nb_ranks - o->first;
	if (o->first + o->here > j->nb_ranks || o->here == 0)
		fail("ranks %u to %u are not all below --ranks %u", o->first, o->first + o->here - 1, j->nb_ranks);
	if (j->op >= PHCA_REDUCE_AND && j->type >= PHCA_REDUCE_FLOAT32)
		fail("--op %s is for integers, not for %s", op_name(j->op), type_name(j->type));
}

int main(int argc, char **argv)
{
	struct options o = {
		.gid_index = -1, .port = PORT,
		.job = { .type = PHCA_REDUCE_FLOAT64, .count = 1024, .rounds = 1000, .depth = 4, .check = true,
			.flags = PHCA_REDUCE_F_DELIVER | PHCA_REDUCE_F_TELL },
	};
	int c;

	if (argc < 2 || (strcmp(argv[1], "serve") != 0 && strcmp(argv[1], "contribute") != 0)) {
		bool help = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);

		fprintf(help ? stdout : stderr, "%s", usage);
		return help ? 0 : 2;
	}
	o.serve = strcmp(argv[1], "serve") == 0;
	argc--;
	argv++;
	while ((c = getopt_long(argc, argv, "d:g:p:n:sf:k:o:t:c:r:D:G:abqw:h", long_options, NULL)) != -1)
		option(&o, c);
	options_complete(&o, argc - optind, argv + optind);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return o.serve ? serve(&o) : contribute(&o);
}
