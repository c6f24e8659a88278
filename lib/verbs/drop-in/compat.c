/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libphca-compat.so, for LD_PRELOAD: some programs (UCX) look for the kernel's files of a
 * device beside asking libibverbs. What is there is taken as it is; only where there is
 * nothing, /dev/infiniband/uverbsN is a character device, and the attributes of a GID in
 * /sys/class/infiniband say that it is one of RoCE v2.
 */
#undef _FILE_OFFSET_BITS /* stat and stat64 are two names here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NODE "/dev/infiniband/uverbs"
#define CLASS "/sys/class/infiniband/"
#define STAND_IN "/dev/null" /* a character device that anybody may read and write */

/* The next function of this name, once. */
#define NEXT(name) \
	static __typeof__(&name) next; \
	if (__atomic_load_n(&next, __ATOMIC_RELAXED) == NULL) \
		__atomic_store_n(&next, (__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name), \
			__ATOMIC_RELAXED)

static bool is_node(const char *path)
{
	const char *p;

	if (path == NULL || strncmp(path, NODE, sizeof(NODE) - 1) != 0)
		return false;
	p = path + sizeof(NODE) - 1;
	return *p != '\0' && p[strspn(p, "0123456789")] == '\0';
}

/* @return what the file CLASS device/ports/1/gid_attrs/{types,ndevs}/N says; NULL: none of those */
static const char *gid_attr(const char *path)
{
	const char *p = path;

	if (p == NULL || strncmp(p, CLASS, sizeof(CLASS) - 1) != 0)
		return NULL;
	p = strchr(p + sizeof(CLASS) - 1, '/');
	if (p == NULL || strncmp(p, "/ports/1/gid_attrs/", 19) != 0)
		return NULL;
	p += 19;
	if (strncmp(p, "types/", 6) == 0)
		return "RoCE v2\n";
	return strncmp(p, "ndevs/", 6) == 0 ? "phca\n" : NULL;
}

/* A file with that text, at its start. */
static int text_fd(const char *text)
{
	int fd = memfd_create("phca-compat", MFD_CLOEXEC);
	size_t n = strlen(text);

	if (fd >= 0 && (write(fd, text, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET) != 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* ------------------------------------------------------------- what is interposed */

#define MISSING(rc) ((rc) < 0 && (errno == ENOENT || errno == ENOTDIR))

int stat(const char *path, struct stat *st)
{
	NEXT(stat);
	int rc = next(path, st);

	return MISSING(rc) && is_node(path) ? next(STAND_IN, st) : rc;
}

int stat64(const char *path, struct stat64 *st)
{
	NEXT(stat64);
	int rc = next(path, st);

	return MISSING(rc) && is_node(path) ? next(STAND_IN, st) : rc;
}

int access(const char *path, int mode)
{
	NEXT(access);
	int rc = next(path, mode);

	return MISSING(rc) && is_node(path) ? next(STAND_IN, mode) : rc;
}

static int open_instead(const char *path)
{
	const char *text = gid_attr(path);

	return text != NULL ? text_fd(text) : -1;
}

/* The mode is there only with these flags. */
#define OPEN(name) \
	int name(const char *path, int flags, ...) \
	{ \
		NEXT(name); \
		mode_t mode = 0; \
		int fd; \
		if (flags & (O_CREAT | __O_TMPFILE)) { \
			va_list ap; \
			va_start(ap, flags); \
			mode = va_arg(ap, mode_t); \
			va_end(ap); \
		} \
		fd = next(path, flags, mode); \
		if (MISSING(fd) && is_node(path)) \
			return next(STAND_IN, flags, mode); \
		if (MISSING(fd) && gid_attr(path) != NULL) \
			return open_instead(path); \
		return fd; \
	}
OPEN(open)
OPEN(open64)

FILE *fopen(const char *path, const char *mode)
{
	NEXT(fopen);
	FILE *f = next(path, mode);
	int fd;

	if (f != NULL || errno != ENOENT || gid_attr(path) == NULL)
		return f;
	fd = open_instead(path);
	return fd < 0 ? NULL : fdopen(fd, "r");
}
