/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the two sides find each other: a TCP connection for each rank, one line of text each
 * way with the queue pair's address, then words that say how far the others are.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tool.h"

#define LINE 512
#define CONNECT_TRIES 100
#define TRY_US 50000

int meet_listen(uint16_t port)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1, zero = 0;
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int rc;

	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		rc = bind(fd, (struct sockaddr *)&a, sizeof(a));
	} else { /* a kernel without IPv6 */
		fd = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		rc = bind(fd, (struct sockaddr *)&a4, sizeof(a4));
	}
	if (fd < 0 || rc != 0 || listen(fd, RANKS_MAX) != 0)
		fail("TCP port %u: %s; choose another one with --port", port, strerror(errno));
	return fd;
}

static int try_connect(const char *host, uint16_t port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	char service[8];
	int fd = -1;

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &list) != 0)
		fail("%s: no such host", host);
	for (struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd;
}

int meet_connect(const char *host, uint16_t port)
{
	for (int i = 0; i < CONNECT_TRIES; i++) {
		int fd = try_connect(host, port);

		if (fd >= 0)
			return fd;
		usleep(TRY_US);
	}
	fail("%s port %u: %s; is 'phca-reduce serve' there?", host, port, strerror(errno));
}

static void line_send(int fd, const char *line)
{
	size_t len = strlen(line);

	if (send(fd, line, len, MSG_NOSIGNAL) != (ssize_t)len)
		fail("the other side is gone: %s", strerror(errno));
}

static void line_receive(int fd, char *line)
{
	size_t n = 0;

	while (n + 1 < LINE && recv(fd, line + n, 1, 0) == 1)
		if (line[n++] == '\n')
			break;
	line[n] = '\0';
	if (n == 0 || line[n - 1] != '\n')
		fail("the other side is gone");
}

/* rank, QPN, PSN, MTU, op, type, flags, ranks, count, depth, group, rounds, check: hexadecimal; then the GID */
#define NB_NUMBERS 13

void hello_send(int fd, const struct hello *h)
{
	const struct job *j = &h->job;
	char line[LINE], gid[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, h->gid.raw, gid, sizeof(gid));
	snprintf(line, sizeof(line), "phca-reduce %x %x %x %x %x %x %x %x %x %x %x %" PRIx64 " %x %s\n", h->rank,
		h->qpn, h->psn, h->mtu, j->op, j->type, j->flags, j->nb_ranks, j->count, j->depth, j->group, j->rounds,
		j->check, gid);
	line_send(fd, line);
}

static bool job_good(const struct job *j)
{
	return j->op < PHCA_REDUCE_OP_COUNT && j->type < PHCA_REDUCE_TYPE_COUNT && j->count >= 1 &&
		j->count <= COUNT_MAX && j->nb_ranks >= 1 && j->nb_ranks <= RANKS_MAX && j->depth >= 1 &&
		j->depth <= DEPTH_MAX && (j->flags & ~PHCA_REDUCE_F_WHOM) == 0;
}

/* @return whether the line is a hello */
static bool hello_parse(char *line, struct hello *h)
{
	char *save, *word = strtok_r(line, " \n", &save), *end;
	uint64_t n[NB_NUMBERS];

	if (word == NULL || strcmp(word, "phca-reduce") != 0)
		return false;
	for (unsigned int i = 0; i < NB_NUMBERS; i++) {
		word = strtok_r(NULL, " \n", &save);
		if (word == NULL)
			return false;
		errno = 0;
		n[i] = strtoull(word, &end, 16);
		if (errno != 0 || *end != '\0' || (i != 11 && n[i] > UINT32_MAX))
			return false;
	}
	word = strtok_r(NULL, " \n", &save);
	if (word == NULL || inet_pton(AF_INET6, word, h->gid.raw) != 1)
		return false;
	h->rank = (uint32_t)n[0];
	h->qpn = (uint32_t)n[1];
	h->psn = (uint32_t)n[2];
	h->mtu = (uint32_t)n[3];
	h->job = (struct job){
		.op = (uint32_t)n[4], .type = (uint32_t)n[5], .flags = (uint32_t)n[6], .nb_ranks = (uint32_t)n[7],
		.count = (uint32_t)n[8], .depth = (uint32_t)n[9], .group = (uint32_t)n[10], .rounds = n[11],
		.check = n[12] != 0,
	};
	return true;
}

void hello_receive(int fd, struct hello *h)
{
	char line[LINE];

	line_receive(fd, line);
	if (!hello_parse(line, h) || !job_good(&h->job) || h->rank >= h->job.nb_ranks)
		fail("the other side says what phca-reduce does not: %s", line);
}

void word_send(int fd, const char *word)
{
	char line[LINE];

	snprintf(line, sizeof(line), "%s\n", word);
	line_send(fd, line);
}

void word_receive(int fd, const char *word)
{
	char line[LINE];

	line_receive(fd, line);
	line[strlen(line) - 1] = '\0';
	if (strcmp(line, word) != 0)
		fail("the other side says %s, not %s", line, word);
}

bool word_waits(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}
