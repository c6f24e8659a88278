/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What programs read of a device in /sys, although there is no such folder: the files
 * that they are known to read are answered from what the appliance says. All else is
 * read where it is.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control.h"

#define CLASS "/class/infiniband/"

#pragma GCC visibility push(default)
const char *ibv_get_sysfs_path(void);
int ibv_read_sysfs_file(const char *dir, const char *file, char *buf, size_t size);
#pragma GCC visibility pop

const char *ibv_get_sysfs_path(void)
{
	const char *env = secure_getenv("SYSFS_PATH");
	static char path[IBV_SYSFS_PATH_MAX];
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	size_t n;

	pthread_mutex_lock(&lock);
	if (path[0] == '\0') {
		snprintf(path, sizeof(path), "%s", env != NULL && env[0] != '\0' ? env : "/sys");
		for (n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
			path[n - 1] = '\0';
	}
	pthread_mutex_unlock(&lock);
	return path;
}

/* ----------------------------------------------------------------- ours, made up */

static int put_guid(char *buf, size_t size, uint64_t guid_be)
{
	uint64_t g = be64toh(guid_be);

	return snprintf(buf, size, "%04x:%04x:%04x:%04x", (unsigned int)(g >> 48) & 0xffff,
		(unsigned int)(g >> 32) & 0xffff, (unsigned int)(g >> 16) & 0xffff,
		(unsigned int)g & 0xffff);
}

static int put_gid(char *buf, size_t size, const union ibv_gid *gid)
{
	char *p = buf;

	if (size < 40)
		return -1;
	for (unsigned int i = 0; i < 16; i += 2)
		p += snprintf(p, 6, "%s%02x%02x", i ? ":" : "", gid->raw[i], gid->raw[i + 1]);
	return (int)(p - buf);
}

/* Files whose contents only the appliance knows: the device is opened for the question. */
static int ask_device(struct vdev *v, const char *file, char *buf, size_t size)
{
	struct ibv_context *c = ibv_open_device(&v->device);
	struct ibv_device_attr dev;
	struct ibv_port_attr port;
	union ibv_gid gid;
	unsigned int i;
	int n = -1;
	char end;

	if (c == NULL)
		return -1;
	if (strcmp(file, "fw_ver") == 0 && ibv_query_device(c, &dev) == 0)
		n = snprintf(buf, size, "%s", dev.fw_ver);
	else if (strcmp(file, "hw_rev") == 0 && ibv_query_device(c, &dev) == 0)
		n = snprintf(buf, size, "0x%x", dev.hw_ver);
	else if (strcmp(file, "ports/1/state") == 0 && verbs_query_port(c, 1, &port, sizeof(port)) == 0)
		n = snprintf(buf, size, "%d: %s", port.state,
			port.state == IBV_PORT_ACTIVE ? "ACTIVE" : "DOWN");
	else if (sscanf(file, "ports/1/gids/%u%c", &i, &end) == 1 && ibv_query_gid(c, 1, (int)i, &gid) == 0)
		n = put_gid(buf, size, &gid);
	ibv_close_device(c);
	return n;
}

/* @return as snprintf; -1: no such file */
static int made_up(struct vdev *v, const char *file, char *buf, size_t size)
{
	unsigned int i;
	char end;

	if (strcmp(file, "node_type") == 0)
		return snprintf(buf, size, "1: CA");
	if (strcmp(file, "node_guid") == 0 || strcmp(file, "sys_image_guid") == 0)
		return put_guid(buf, size, v->guid);
	if (strcmp(file, "board_id") == 0 || strcmp(file, "hca_type") == 0)
		return snprintf(buf, size, "proxyhca");
	if (strcmp(file, "ports/1/link_layer") == 0)
		return snprintf(buf, size, "Ethernet");
	if (strcmp(file, "ports/1/pkeys/0") == 0)
		return snprintf(buf, size, "0xffff");
	if (sscanf(file, "ports/1/gid_attrs/types/%u%c", &i, &end) == 1)
		return i < PHCA_ADMIN_GIDS_MAX ? snprintf(buf, size, "RoCE v2") : -1;
	if (sscanf(file, "ports/1/gid_attrs/ndevs/%u%c", &i, &end) == 1)
		return i < PHCA_ADMIN_GIDS_MAX ? snprintf(buf, size, "%s", v->device.name) : -1;
	return ask_device(v, file, buf, size);
}

/* ------------------------------------------------------------------------- read */

static int read_real(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buf, size);
	close(fd);
	if (n < 0)
		return -1;
	if (n > 0 && buf[n - 1] == '\n')
		n--;
	else if ((size_t)n == size)
		return -1; /* no room for the end */
	buf[n] = '\0';
	return (int)n;
}

/* @return the device in whose folder path is, and *file in it; NULL: none of ours */
static struct vdev *split(const char *path, const char **file)
{
	const char *sys = ibv_get_sysfs_path(), *name, *end;
	size_t n = strlen(sys);

	if (strncmp(path, sys, n) != 0)
		n = strlen(sys = "/sys"); /* as ibv_device.ibdev_path says */
	if (strncmp(path, sys, n) != 0 || strncmp(path + n, CLASS, sizeof(CLASS) - 1) != 0)
		return NULL;
	name = path + n + sizeof(CLASS) - 1;
	end = strchr(name, '/');
	if (end == NULL)
		return NULL;
	for (*file = end; **file == '/'; (*file)++)
		;
	return vdev_by_name(name, (size_t)(end - name));
}

int ibv_read_sysfs_file(const char *dir, const char *file, char *buf, size_t size)
{
	char path[2 * IBV_SYSFS_PATH_MAX];
	const char *inside;
	struct vdev *v;
	int n = snprintf(path, sizeof(path), "%s/%s", dir, file);

	if (size == 0 || n < 0 || (size_t)n >= sizeof(path))
		return -1;
	v = split(path, &inside);
	if (v == NULL)
		return read_real(path, buf, size);
	n = made_up(v, inside, buf, size);
	return n < 0 || (size_t)n >= size ? -1 : n;
}
