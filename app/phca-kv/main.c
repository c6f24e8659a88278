/* SPDX-License-Identifier: BSD-3-Clause */
/* phca-kv: its options, checked before anything else happens, and how it ends when something fails. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static const char usage[] =
"usage: phca-kv [options] server\n"
"       phca-kv [options] get HOST KEY\n"
"       phca-kv [options] put HOST KEY VALUE\n"
"       phca-kv [options] bench HOST COUNT    GETs of random keys; values are checked\n"
"  -d DEVICE   RDMA device; the first one\n"
"  -x INDEX    GID; 1\n"
"  -p PORT     TCP port at which they meet; 18600\n"
"  -n KEYS     server: keys 1..KEYS are there from the start; 0\n"
"  -w          client: once it is connected, wait for a line of input\n"
"  -b BUCKETS  server: buckets of four slots of 1 KiB, a power of two; 4096\n";

void fail(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "phca-kv: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static uint64_t number(const char *text, uint64_t max)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno != 0 || *end != '\0' || end == text || text[0] == '-' || n > max)
		fail("'%s': a number up to %llu expected", text, (unsigned long long)max);
	return n;
}

int main(int argc, char **argv)
{
	struct options o = { .gid_index = 1, .port = 18600, .buckets = 4096 };
	int c;

	while ((c = getopt(argc, argv, "+d:x:p:n:b:wh")) != -1) {
		switch (c) {
		case 'd': o.device = optarg; break;
		case 'x': o.gid_index = (int)number(optarg, 255); break;
		case 'p': o.port = (uint16_t)number(optarg, UINT16_MAX); break;
		case 'n': o.keys = number(optarg, UINT32_MAX); break;
		case 'b': o.buckets = (uint32_t)number(optarg, 1u << 24); break;
		case 'w': o.wait = true; break;
		case 'h': fputs(usage, stdout); return 0;
		default: fputs(usage, stderr); return 2;
		}
	}
	argc -= optind;
	argv += optind;
	if (o.buckets == 0 || (o.buckets & (o.buckets - 1)) != 0)
		fail("-b %u: give a power of two", o.buckets);
	if (argc == 1 && strcmp(argv[0], "server") == 0)
		return serve(&o);
	if ((argc == 3 && (strcmp(argv[0], "get") == 0 || strcmp(argv[0], "bench") == 0)) ||
			(argc == 4 && strcmp(argv[0], "put") == 0))
		return client(&o, argv[0], argv[1], number(argv[2], UINT64_MAX), argv[3]);
	fputs(usage, stderr);
	return 2;
}
