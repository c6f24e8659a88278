/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which devices there are: each port of each appliance whose socket answers.
 *
 * Invariant: a port of an appliance is the same struct ibv_device each time it is found.
 * A name, once given, is never given to another device of this process, unless to that of
 * the appliance that has the socket now.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "phca_verbs.h"

#define PATHS_MAX 64
#define DEVICES_MAX 256
#define PORTS_MAX 64 /* of an appliance */

static TAILQ_HEAD(, vdev) devices = TAILQ_HEAD_INITIALIZER(devices);
static uint32_t nb_devices;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char not_a_provider; /* what vdev.ops points to */

struct paths {
	char *path[PATHS_MAX];
	unsigned int n;
};

/* A port of an appliance that answered. */
struct found {
	const char *path;
	uint32_t port;
	struct phca_admin_device device;
	struct vdev *v; /* NULL: not yet one of ours */
};

/* --------------------------------------------------------------- where to look */

static void add_path(struct paths *p, const char *dir, const char *name)
{
	char *s;
	int n;

	if (p->n == PATHS_MAX)
		return;
	n = dir == NULL ? asprintf(&s, "%s", name) : asprintf(&s, "%s/%s", dir, name);
	if (n < 0)
		return;
	for (unsigned int i = 0; i < p->n; i++) {
		if (strcmp(p->path[i], s) == 0) {
			free(s);
			return;
		}
	}
	p->path[p->n++] = s;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_socket_name(const struct dirent *d)
{
	size_t n = strlen(d->d_name), suffix = sizeof(PHCA_ADMIN_SUFFIX) - 1;

	return d->d_name[0] != '.' && n > suffix &&
		strcmp(d->d_name + n - suffix, PHCA_ADMIN_SUFFIX) == 0;
}

static void add_dir(struct paths *p, const char *dir)
{
	struct dirent **d;
	int n = scandir(dir, &d, is_socket_name, by_name);

	if (n < 0) {
		verbs_debug("phca: no appliance in %s: %s", dir, strerror(errno));
		return;
	}
	for (int i = 0; i < n; i++) {
		add_path(p, dir, d[i]->d_name);
		free(d[i]);
	}
	free(d);
}

static void add_place(struct paths *p, const char *place)
{
	struct stat st;

	if (stat(place, &st) == 0 && S_ISDIR(st.st_mode))
		add_dir(p, place);
	else
		add_path(p, NULL, place);
}

static void find_paths(struct paths *p)
{
	const char *env = secure_getenv(PHCA_VERBS_ENV_SOCKET);
	char *copy, *rest, *one;

	p->n = 0;
	if (env == NULL || env[0] == '\0') {
		add_dir(p, PHCA_ADMIN_DIR);
		return;
	}
	copy = rest = strdup(env);
	while (copy != NULL && (one = strsep(&rest, ":")) != NULL)
		if (one[0] != '\0')
			add_place(p, one);
	free(copy);
}

/* ------------------------------------------------------------- known and new ones */

static struct vdev *known(const char *path, uint32_t port, const struct phca_admin_device *d)
{
	struct vdev *v;

	TAILQ_FOREACH(v, &devices, entry)
		if (v->port == port && strcmp(v->path, path) == 0 &&
		    memcmp(&v->guid, d->node_guid, sizeof(v->guid)) == 0)
			return v;
	return NULL;
}

/* By another device than that which this socket and port had before. */
static bool name_taken(const char *name, const char *path, uint32_t port)
{
	struct vdev *v;

	TAILQ_FOREACH(v, &devices, entry)
		if (strcmp(v->device.name, name) == 0 && (v->port != port || strcmp(v->path, path) != 0))
			return true;
	return false;
}

/* The appliance's name for it; when another appliance has that, too: the first "phcaN" that is free. */
static void name_device(struct vdev *v, const char *name)
{
	struct ibv_device *d = &v->device;

	snprintf(d->name, sizeof(d->name), "%s", name[0] != '\0' ? name : "phca0");
	for (unsigned int i = 0; name_taken(d->name, v->path, v->port); i++)
		snprintf(d->name, sizeof(d->name), "phca%u", i);
	snprintf(d->dev_name, sizeof(d->dev_name), "uverbs%u", v->index);
	snprintf(d->dev_path, sizeof(d->dev_path), "/sys/class/infiniband_verbs/%s", d->dev_name);
	snprintf(d->ibdev_path, sizeof(d->ibdev_path), "/sys/class/infiniband/%s", d->name);
}

static struct vdev *new_device(const char *path, uint32_t port, const struct phca_admin_device *d)
{
	struct vdev *v;

	if (nb_devices == DEVICES_MAX || strlen(path) >= sizeof(v->path))
		return NULL;
	v = calloc(1, sizeof(*v));
	if (v == NULL)
		return NULL;
	v->ops = &not_a_provider;
	v->device.node_type = IBV_NODE_CA;
	v->device.transport_type = IBV_TRANSPORT_IB;
	memcpy(v->path, path, strlen(path) + 1);
	memcpy(&v->guid, d->node_guid, sizeof(v->guid));
	v->port = port;
	v->index = nb_devices++;
	name_device(v, d->name);
	TAILQ_INSERT_HEAD(&devices, v, entry); /* found by its name before an older one */
	return v;
}

/* @return ports of the appliance, and what it says of this one in *f; 0: it does not answer */
static uint32_t probe(const char *path, uint32_t port, struct found *f)
{
	struct phca_admin_hello_ans h;
	uint32_t nb_fds;
	int sock, rc;

	rc = admin_hello(path, port, PHCA_ADMIN_HELLO_PROBE, &sock, &h, NULL, 0, &nb_fds);
	if (rc != 0) {
		verbs_debug("phca: no appliance at %s, port %u: %s", path, port, strerror(-rc));
		return 0;
	}
	close(sock);
	*f = (struct found){ .path = path, .port = port, .device = h.device };
	return h.device.nb_ports > PORTS_MAX ? PORTS_MAX : h.device.nb_ports;
}

static int by_device_name(const void *a, const void *b)
{
	struct ibv_device *const *x = a, *const *y = b;

	return strverscmp((*x)->name, (*y)->name);
}

/* All ports that answer, in the order of sockets. @return how many */
static unsigned int probe_all(const struct paths *p, struct found *f)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < p->n; i++) {
		uint32_t nb_ports = 1;

		for (uint32_t port = 0; port < nb_ports && n < DEVICES_MAX; port++) {
			uint32_t have = probe(p->path[i], port, &f[n]);

			if (port == 0)
				nb_ports = have;
			n += have != 0;
		}
	}
	return n;
}

/* Whether it would get its appliance's own name now. */
static bool name_is_free(const struct found *f)
{
	return !name_taken(f->device.name, f->path, f->port);
}

static unsigned int find_devices(struct ibv_device **list)
{
	struct found *f = calloc(DEVICES_MAX, sizeof(*f));
	unsigned int nb_found, n = 0;
	struct paths p;

	if (f == NULL)
		return 0;
	find_paths(&p);
	nb_found = probe_all(&p, f);
	/* Those that keep their names first: else one that does not might take the name of one that would. */
	for (unsigned int pass = 0; pass < 2; pass++) {
		for (unsigned int i = 0; i < nb_found; i++) {
			if (f[i].v == NULL)
				f[i].v = known(f[i].path, f[i].port, &f[i].device);
			if (f[i].v == NULL && (pass == 1 || name_is_free(&f[i])))
				f[i].v = new_device(f[i].path, f[i].port, &f[i].device);
		}
	}
	for (unsigned int i = 0; i < nb_found; i++)
		if (f[i].v != NULL)
			list[n++] = &f[i].v->device;
	for (unsigned int i = 0; i < p.n; i++)
		free(p.path[i]);
	free(f);
	qsort(list, n, sizeof(*list), by_device_name);
	return n;
}

struct vdev *vdev_by_name(const char *name, size_t len)
{
	struct vdev *v;

	pthread_mutex_lock(&lock);
	TAILQ_FOREACH(v, &devices, entry)
		if (strlen(v->device.name) == len && memcmp(v->device.name, name, len) == 0)
			break;
	pthread_mutex_unlock(&lock);
	return v;
}

/* ---------------------------------------------------------------------- verbs */

struct ibv_device **ibv_get_device_list(int *num_devices)
{
	struct ibv_device **list = calloc(DEVICES_MAX + 1, sizeof(*list));
	unsigned int n;

	if (num_devices != NULL)
		*num_devices = 0;
	if (list == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	pthread_mutex_lock(&lock);
	n = find_devices(list);
	pthread_mutex_unlock(&lock);
	if (num_devices != NULL)
		*num_devices = (int)n;
	return list;
}

void ibv_free_device_list(struct ibv_device **list)
{
	free(list);
}

const char *ibv_get_device_name(struct ibv_device *device)
{
	return device->name;
}

__be64 ibv_get_device_guid(struct ibv_device *device)
{
	return to_vdev(device)->guid;
}

int ibv_get_device_index(struct ibv_device *device)
{
	return (int)to_vdev(device)->index;
}
