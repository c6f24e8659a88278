/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What control threads do to devices: the public functions. One lock guards the
 * list of devices and everything done here; a lane is touched only while its
 * flag is held, so bursts see all of a change or none of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_pause.h>

#include "impair_impl.h"

#define PEEKS 10000 /* at counters that bursts are changing */

/* recursive: the lower port may be a net_impair, too */
pthread_mutex_t impair_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static struct impair *devices;

const char *const impair_counter_names[] = {
#define COUNTER_NAME(name, unit, help) #name,
	PHCA_IMPAIR_COUNTERS(COUNTER_NAME)
#undef COUNTER_NAME
};

void impair_link(struct impair *dev)
{
	struct impair **at = &devices;

	while (*at != NULL)
		at = &(*at)->next;
	*at = dev;
}

void impair_unlink(struct impair *dev)
{
	for (struct impair **at = &devices; *at != NULL; at = &(*at)->next) {
		if (*at != dev)
			continue;
		*at = dev->next;
		return;
	}
}

struct impair *impair_find(uint16_t port_id)
{
	for (struct impair *d = devices; d != NULL; d = d->next)
		if (d->port_id == port_id)
			return d;
	return NULL;
}

struct impair *impair_at(unsigned int i)
{
	struct impair *d = devices;

	while (d != NULL && i-- > 0)
		d = d->next;
	return d;
}

/* Call fn for each lane, with its flag. */
static void each_lane(struct impair *dev, void (*fn)(struct lane *l, void *arg), void *arg)
{
	for (unsigned int dir = 0; dir < PHCA_IMPAIR_DIRS; dir++) {
		for (unsigned int q = 0; q < QUEUES_MAX; q++) {
			struct lane *l = dev->lane[dir][q];

			if (l == NULL)
				continue;
			lane_enter(l);
			fn(l, arg);
			lane_leave(l);
		}
	}
}

struct use { struct program *p; unsigned int lane; };

static void use_program(struct lane *l, void *arg)
{
	struct use *u = arg;

	l->prog = u->p;
	l->state = u->p != NULL ? &u->p->state[u->lane++ * u->p->rules.nb] : NULL;
}

void impair_use(struct impair *dev, struct program *p)
{
	struct use u = { p, 0 };
	struct program *old = dev->prog;

	each_lane(dev, use_program, &u);
	dev->prog = p;
	program_free(old);
}

static void copy_counters(const struct lane *l, struct phca_impair_counters *st)
{
	const uint64_t *from = (const uint64_t *)&l->st;
	uint64_t *to = (uint64_t *)st;

	for (unsigned int i = 0; i < IMPAIR_NB_COUNTERS; i++)
		to[i] = COUNTED(from[i]);
	st->held = COUNTED(l->held);
}

/* The same without the flag; false: a burst was under way. */
static bool peek_counters(const struct lane *l, struct phca_impair_counters *st)
{
	uint32_t turn = __atomic_load_n(&l->turns, __ATOMIC_ACQUIRE);

	if (__atomic_load_n(&l->busy, __ATOMIC_ACQUIRE) != 0)
		return false;
	copy_counters(l, st);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return COUNTED(l->busy) == 0 && COUNTED(l->turns) == turn;
}

/*
 * What is between two bursts, so that it adds up. A burst that meets the flag moves nothing, and
 * a user may then drop what it wanted to send: the flag is taken only where bursts leave no gap.
 */
static void add_counters(struct lane *l, struct phca_impair_counters *st)
{
	struct phca_impair_counters c;
	const uint64_t *from = (const uint64_t *)&c;
	uint64_t *to = (uint64_t *)st;
	unsigned int tries = 0;

	while (!peek_counters(l, &c) && ++tries < PEEKS)
		rte_pause();
	if (tries == PEEKS) {
		lane_enter(l);
		copy_counters(l, &c);
		lane_leave(l);
	}
	for (unsigned int i = 0; i < IMPAIR_NB_COUNTERS; i++)
		to[i] += from[i];
}

void impair_count(struct impair *dev, enum phca_impair_dir dir, int queue, struct phca_impair_counters *st)
{
	memset(st, 0, sizeof(*st));
	for (int q = 0; q < QUEUES_MAX; q++)
		if (dev->lane[dir][q] != NULL && (queue < 0 || q == queue))
			add_counters(dev->lane[dir][q], st);
}

static void reset_lane(struct lane *l, void *arg)
{
	RTE_SET_USED(arg);
	memset(&l->st, 0, sizeof(l->st));
	l->st.in = l->held;
}

void impair_reset(struct impair *dev)
{
	each_lane(dev, reset_lane, NULL);
}

int impair_rule(const struct impair *dev, unsigned int i, struct phca_impair_rule_info *info)
{
	if (i >= dev->rules.nb)
		return -ENOENT;
	memset(info, 0, sizeof(*info));
	rule_print(&dev->rules.rule[i], info->text, sizeof(info->text));
	for (unsigned int lane = 0; dev->prog != NULL && lane < dev->prog->nb_lanes; lane++) {
		const struct rule_state *s = &dev->prog->state[lane * dev->prog->rules.nb + i];

		info->matched += COUNTED(s->matched);
		info->fired += COUNTED(s->fired);
	}
	return 0;
}

/* With the lock when it is found. */
static struct impair *find_locked(uint16_t port_id)
{
	struct impair *dev;

	pthread_mutex_lock(&impair_lock);
	dev = impair_find(port_id);
	if (dev == NULL)
		pthread_mutex_unlock(&impair_lock);
	return dev;
}

bool phca_impair_is(uint16_t port_id)
{
	if (find_locked(port_id) == NULL)
		return false;
	pthread_mutex_unlock(&impair_lock);
	return true;
}

struct set_clock { phca_impair_clock fn; void *arg; bool fixed; };


/* All lanes at once: a burst on one may read the clock for another (pump_tx). */
static void set_clock(struct impair *dev, const struct set_clock *c)
{
	for (unsigned int i = 0; i < PHCA_IMPAIR_DIRS * QUEUES_MAX; i++)
		if (dev->lane[i / QUEUES_MAX][i % QUEUES_MAX] != NULL)
			lane_enter(dev->lane[i / QUEUES_MAX][i % QUEUES_MAX]);
	dev->clock = c->fn;
	dev->clock_arg = c->arg;
	dev->fixed = c->fixed;
	for (unsigned int i = 0; i < PHCA_IMPAIR_DIRS * QUEUES_MAX; i++)
		if (dev->lane[i / QUEUES_MAX][i % QUEUES_MAX] != NULL)
			lane_leave(dev->lane[i / QUEUES_MAX][i % QUEUES_MAX]);
}

int phca_impair_clock_set(uint16_t port_id, phca_impair_clock now_ns, void *arg)
{
	const struct set_clock c = { now_ns, arg, false };
	struct impair *dev = find_locked(port_id);

	if (dev == NULL)
		return -ENODEV;
	set_clock(dev, &c);
	pthread_mutex_unlock(&impair_lock);
	return 0;
}

int phca_impair_now_set(uint16_t port_id, uint64_t now_ns)
{
	const struct set_clock c = { NULL, NULL, true };
	struct impair *dev = find_locked(port_id);

	if (dev == NULL)
		return -ENODEV;
	__atomic_store_n(&dev->now_ns, now_ns, __ATOMIC_RELAXED);
	if (!dev->fixed)
		set_clock(dev, &c);
	pthread_mutex_unlock(&impair_lock);
	return 0;
}

uint64_t phca_impair_next_ns(uint16_t port_id)
{
	struct impair *dev = find_locked(port_id);
	uint64_t next = PHCA_IMPAIR_NEVER;

	if (dev == NULL)
		return next;
	for (unsigned int i = 0; i < PHCA_IMPAIR_DIRS * QUEUES_MAX; i++) {
		const struct lane *l = dev->lane[i / QUEUES_MAX][i % QUEUES_MAX];

		if (l != NULL)
			next = RTE_MIN(next, COUNTED(l->next_ns));
	}
	pthread_mutex_unlock(&impair_lock);
	return next;
}

int phca_impair_stats_get(uint16_t port_id, enum phca_impair_dir dir, struct phca_impair_counters *st)
{
	struct impair *dev;

	if ((unsigned int)dir >= PHCA_IMPAIR_DIRS)
		return -EINVAL;
	dev = find_locked(port_id);
	if (dev == NULL)
		return -ENODEV;
	impair_count(dev, dir, -1, st);
	pthread_mutex_unlock(&impair_lock);
	return 0;
}

int phca_impair_stats_reset(uint16_t port_id)
{
	struct impair *dev = find_locked(port_id);

	if (dev == NULL)
		return -ENODEV;
	impair_reset(dev);
	pthread_mutex_unlock(&impair_lock);
	return 0;
}

static int rules_replace(struct impair *dev, const struct rules *rules, char *err, size_t err_len)
{
	struct program *p = NULL; /* of a stopped device: start makes it */

	if (dev->started) {
		p = program_create(dev, rules);
		if (p == NULL) {
			snprintf(err, err_len, "rules: out of memory for the state of %u rules; the rules are "
				"unchanged", rules->nb);
			return -ENOMEM;
		}
	}
	dev->rules = *rules;
	impair_use(dev, p);
	return 0;
}

int phca_impair_rules_set(uint16_t port_id, const char *text, char *err, size_t err_len)
{
	struct impair *dev = find_locked(port_id);
	struct rules *rules;
	int rc;

	if (dev == NULL) {
		snprintf(err, err_len, "port %u: it is no net_impair", port_id);
		return -ENODEV;
	}
	rules = malloc(sizeof(*rules));
	rc = rules != NULL ? rules_parse(text, "rules", dev->dir, rules, err, err_len) : -ENOMEM;
	if (rules == NULL)
		snprintf(err, err_len, "rules: out of memory (%zu bytes)", sizeof(*rules));
	if (rc == 0)
		rc = rules_replace(dev, rules, err, err_len);
	pthread_mutex_unlock(&impair_lock);
	free(rules);
	return rc;
}

int phca_impair_rule_get(uint16_t port_id, unsigned int i, struct phca_impair_rule_info *info)
{
	struct impair *dev = find_locked(port_id);
	int rc;

	if (dev == NULL)
		return -ENODEV;
	rc = impair_rule(dev, i, info);
	pthread_mutex_unlock(&impair_lock);
	return rc;
}
