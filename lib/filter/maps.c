/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Maps: array, hash and longest prefix match, read and written by filters on
 * many lcores and by control threads at the same time, without a lock.
 *
 * All memory is allocated when the filter loads and freed with the filter, so a
 * pointer that a look-up returned stays valid for as long as the filter runs. A
 * value is changed in place, a word at a time: a reader sees each naturally
 * aligned field of up to 8 bytes whole, old or new (fields of one value may be
 * seen from different updates; what must change together fits in one word, or is
 * changed by replacing the filter).
 *
 * Hash: buckets of chains of slot numbers. Insert takes a slot from a lock-free
 * free list, fills it, and publishes it with one compare-and-swap of the bucket
 * head; the swap fails if anything was inserted since the chain was walked, so
 * no key is there twice. Delete (control threads only, one at a time) unlinks,
 * then waits until every thread that was inside the filter has left, and only
 * then frees the slot: nobody ever looks at a slot that changed its key.
 *
 * LPM: the same hash, keyed by length and masked address, and a set of the
 * lengths in use; a look-up tries them from the longest down.
 *
 * Why not rte_hash and rte_lpm: rte_hash writers take a spin lock (a filter that
 * inserts would wait for a control thread that was preempted in it); rte_lpm,
 * rte_lpm6 and rte_fib take 64 MiB a table, and their results are next-hop
 * numbers, not values; all need EAL memory.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_hash_crc.h>
#include <rte_jhash.h>
#include <rte_random.h>

#include "filter_impl.h"

/* Flags of bpf_map_update_elem and map types, numbered as in <linux/bpf.h>. */
enum { UPDATE_ANY = 0, UPDATE_NOEXIST = 1, UPDATE_EXIST = 2 };
enum { TYPE_HASH = 1, TYPE_ARRAY = 2, TYPE_LPM_TRIE = 11 };

/* Copy to a value that others read: whole words, then what is left. Both are zero padded. */
static void value_write(uint8_t *slot, const void *value, uint32_t size)
{
	const uint8_t *src = value;
	uint64_t w;
	uint32_t i;

	for (i = 0; i + 8 <= size; i += 8) {
		memcpy(&w, src + i, 8);
		__atomic_store_n((uint64_t *)(slot + i), w, __ATOMIC_RELAXED);
	}
	if (i < size) {
		w = 0;
		memcpy(&w, src + i, size - i);
		__atomic_store_n((uint64_t *)(slot + i), w, __ATOMIC_RELAXED);
	}
}

void filter_map_read(const struct filter_map *m, const void *slot, void *value)
{
	const uint64_t *src = slot;
	uint8_t *dst = value;
	uint32_t i, n;
	uint64_t w;

	for (i = 0; i < m->value_size; i += 8) {
		w = __atomic_load_n(src++, __ATOMIC_RELAXED);
		n = RTE_MIN(m->value_size - i, 8u);
		memcpy(dst + i, &w, n);
	}
}

static void *alloc(size_t n, size_t size)
{
	size_t bytes = RTE_ALIGN_CEIL(RTE_MAX(n * size, (size_t)1), (size_t)RTE_CACHE_LINE_SIZE);
	void *p = aligned_alloc(RTE_CACHE_LINE_SIZE, bytes);

	if (p != NULL)
		memset(p, 0, bytes);
	return p;
}

static int check_def(const struct filter_map_def *d, const struct filter_err *e)
{
	if (d->type != TYPE_ARRAY && d->type != TYPE_HASH && d->type != TYPE_LPM_TRIE)
		return filter_err(e, -ENOTSUP, "map %s: type %u; proxyhca has array (2), hash (1) and "
			"LPM trie (11)", d->name, d->type);
	if (d->max_entries == 0)
		return filter_err(e, -EINVAL, "map %s: max_entries is 0", d->name);
	if (d->value_size == 0 || d->value_size > FILTER_VALUE_MAX)
		return filter_err(e, -EINVAL, "map %s: value size %u, allowed 1..%u", d->name,
			d->value_size, FILTER_VALUE_MAX);
	if (d->type == TYPE_ARRAY && d->key_size != 4)
		return filter_err(e, -EINVAL, "map %s: key size %u, the key of an array is a uint32_t",
			d->name, d->key_size);
	if (d->type == TYPE_LPM_TRIE && d->key_size != 8 && d->key_size != 20)
		return filter_err(e, -EINVAL, "map %s: key size %u, the key of an LPM trie is a uint32_t "
			"prefix length and 4 or 16 bytes of address", d->name, d->key_size);
	if (d->key_size == 0 || d->key_size > FILTER_KEY_MAX)
		return filter_err(e, -EINVAL, "map %s: key size %u, allowed 1..%u", d->name,
			d->key_size, FILTER_KEY_MAX);
	return 0;
}

static int alloc_hash(struct filter_map *m)
{
	uint32_t i, buckets = rte_align32pow2(RTE_MAX(m->max_entries, 2u));

	m->mask = buckets - 1;
	m->seed = (uint32_t)rte_rand();
	m->keys = alloc(m->max_entries, m->key_stride);
	m->next = alloc(m->max_entries, sizeof(*m->next));
	m->heads = alloc(buckets, sizeof(*m->heads));
	if (m->keys == NULL || m->next == NULL || m->heads == NULL)
		return -ENOMEM;
	for (i = 0; i + 1 < m->max_entries; i++)
		m->next[i] = i + 2;
	m->free = 1;
	return 0;
}

static enum phca_map_type map_type(uint32_t type)
{
	return type == TYPE_ARRAY ? PHCA_MAP_ARRAY : type == TYPE_HASH ? PHCA_MAP_HASH : PHCA_MAP_LPM;
}

bool filter_map_fits(const struct filter_map *m, const struct filter_map_def *d)
{
	return strcmp(m->name, d->name) == 0 && m->type == map_type(d->type) && m->key_size == d->key_size &&
		m->value_size == d->value_size && m->max_entries == d->max_entries;
}

struct filter_map *filter_map_create(const struct filter_map_def *d, size_t *mem_left,
		const struct filter_err *e, int *rc)
{
	struct filter_map *m;
	uint64_t bytes;

	*rc = check_def(d, e);
	if (*rc != 0)
		return NULL;
	bytes = RTE_ALIGN_CEIL(d->value_size, 8u);
	if (d->type != TYPE_ARRAY)
		bytes += RTE_ALIGN_CEIL(d->key_size, 8u) + 12;
	bytes *= d->max_entries;
	if (bytes > *mem_left) {
		*rc = filter_err(e, -EINVAL, "map %s: %u entries take %llu bytes; the maps of one filter "
			"may take %u together", d->name, d->max_entries, (unsigned long long)bytes,
			FILTER_MEM_MAX);
		return NULL;
	}
	*mem_left -= (size_t)bytes;
	*rc = -ENOMEM;
	m = alloc(1, sizeof(*m));
	if (m == NULL)
		goto fail;
	filter_copy(m->name, sizeof(m->name), d->name);
	m->users = 1;
	m->type = map_type(d->type);
	m->key_size = d->key_size;
	m->value_size = d->value_size;
	m->max_entries = d->max_entries;
	m->key_stride = RTE_ALIGN_CEIL(d->key_size, 8u);
	m->value_stride = RTE_ALIGN_CEIL(d->value_size, 8u);
	m->values = alloc(m->max_entries, m->value_stride);
	if (m->values == NULL || (m->type != PHCA_MAP_ARRAY && alloc_hash(m) != 0))
		goto fail;
	*rc = 0;
	return m;
fail:
	filter_map_destroy(m);
	filter_err(e, -ENOMEM, "map %s: no memory for %u entries", d->name, d->max_entries);
	return NULL;
}

void filter_map_destroy(struct filter_map *m)
{
	if (m == NULL || --m->users > 0)
		return;
	free(m->values);
	free(m->keys);
	free(m->next);
	free(m->heads);
	free(m);
}

/* Take a free slot. @return its number + 1, or 0: none is left. */
static uint32_t slot_get(struct filter_map *m)
{
	uint64_t old = __atomic_load_n(&m->free, __ATOMIC_ACQUIRE), new;
	uint32_t s;

	do {
		s = (uint32_t)old;
		if (s == 0)
			return 0;
		/* Another thread may have taken s and changed its next: then the tag differs. */
		new = ((old >> 32) + 1) << 32 | __atomic_load_n(&m->next[s - 1], __ATOMIC_RELAXED);
	} while (!__atomic_compare_exchange_n(&m->free, &old, new, true, __ATOMIC_ACQ_REL,
			__ATOMIC_ACQUIRE));
	return s;
}

static void slot_put(struct filter_map *m, uint32_t s)
{
	uint64_t old = __atomic_load_n(&m->free, __ATOMIC_RELAXED), new;

	do {
		__atomic_store_n(&m->next[s - 1], (uint32_t)old, __ATOMIC_RELAXED);
		new = ((old >> 32) + 1) << 32 | s;
	} while (!__atomic_compare_exchange_n(&m->free, &old, new, true, __ATOMIC_RELEASE,
			__ATOMIC_RELAXED));
}

static uint8_t *slot_key(const struct filter_map *m, uint32_t s)
{
	return m->keys + (size_t)(s - 1) * m->key_stride;
}

static uint8_t *slot_value(const struct filter_map *m, uint32_t s)
{
	return m->values + (size_t)(s - 1) * m->value_stride;
}

static uint32_t *bucket(const struct filter_map *m, const void *key)
{
	/*
	 * The keys of a hash may come from packets: seeded, so that nobody can choose
	 * keys that share a bucket. Prefixes are the operator's: CRC32 is cheaper.
	 */
	bool lpm = m->type == PHCA_MAP_LPM;
	uint64_t aligned[FILTER_KEY_MAX / 8]; /* a filter's key may begin at any byte of its stack */
	uint32_t h;

	if (unlikely((uintptr_t)key % (lpm ? 8 : 4) != 0))
		key = memcpy(aligned, key, m->key_size);
	h = lpm ? rte_hash_crc(key, m->key_size, 0) : rte_jhash(key, m->key_size, m->seed);

	return &m->heads[h & m->mask];
}

/* Walk the chain that begins with slot @p s. @return the slot of @p key, or 0. */
static uint32_t chain_find(const struct filter_map *m, uint32_t s, const void *key)
{
	while (s != 0 && memcmp(slot_key(m, s), key, m->key_size) != 0)
		s = __atomic_load_n(&m->next[s - 1], __ATOMIC_ACQUIRE);
	return s;
}

static uint32_t hash_find(const struct filter_map *m, const void *key)
{
	return chain_find(m, __atomic_load_n(bucket(m, key), __ATOMIC_ACQUIRE), key);
}

static int hash_update(struct filter_map *m, const void *key, const void *value, uint64_t flags)
{
	uint32_t *head = bucket(m, key);
	uint32_t first, found, now, s = 0;
	int rc = 0;

	first = __atomic_load_n(head, __ATOMIC_ACQUIRE);
	for (;;) {
		found = chain_find(m, first, key);
		if (found != 0) {
			if (flags == UPDATE_NOEXIST)
				rc = -EEXIST;
			else
				value_write(slot_value(m, found), value, m->value_size);
			break;
		}
		if (flags == UPDATE_EXIST) {
			rc = -ENOENT;
			break;
		}
		if (s == 0) {
			s = slot_get(m);
			if (s == 0) {
				/* Since the chain was walked, the last slot may have gone to this very key. */
				now = __atomic_load_n(head, __ATOMIC_ACQUIRE);
				if (now == first)
					return -ENOSPC;
				first = now;
				continue;
			}
			memcpy(slot_key(m, s), key, m->key_size);
			value_write(slot_value(m, s), value, m->value_size);
		}
		__atomic_store_n(&m->next[s - 1], first, __ATOMIC_RELAXED);
		if (__atomic_compare_exchange_n(head, &first, s, false, __ATOMIC_ACQ_REL,
				__ATOMIC_ACQUIRE)) {
			__atomic_fetch_add(&m->nb_entries, 1, __ATOMIC_RELAXED);
			return 0;
		}
	}
	if (s != 0)
		slot_put(m, s); /* somebody else inserted the key first */
	return rc;
}

/* Take @p key out of its chain; the slot is not free yet. Control threads, one at a time. */
static uint32_t hash_unlink(struct filter_map *m, const void *key)
{
	uint32_t *head = bucket(m, key);
	uint32_t s, prev, next, first;

	for (;;) {
		first = __atomic_load_n(head, __ATOMIC_ACQUIRE);
		s = chain_find(m, first, key);
		if (s == 0)
			return 0;
		next = __atomic_load_n(&m->next[s - 1], __ATOMIC_RELAXED);
		if (s == first) {
			if (__atomic_compare_exchange_n(head, &first, next, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
				return s;
			continue; /* a filter inserted before it */
		}
		/* Filters insert at the head only; what is behind it changes here only. */
		for (prev = first; m->next[prev - 1] != s; prev = m->next[prev - 1])
			;
		__atomic_store_n(&m->next[prev - 1], next, __ATOMIC_RELEASE);
		return s;
	}
}

/* Key of a prefix: the bits behind its length are zero. @return false: too long. */
static bool lpm_key(const struct filter_map *m, const void *key, uint32_t len, uint8_t *out)
{
	uint32_t i, bytes = m->key_size - 4;

	if (len > bytes * 8)
		return false;
	memcpy(out, &len, 4);
	memcpy(out + 4, (const uint8_t *)key + 4, bytes);
	for (i = len / 8; i < bytes; i++)
		out[4 + i] &= i == len / 8 ? (uint8_t)(0xff00 >> (len % 8)) : 0;
	return true;
}

static uint32_t lpm_find(const struct filter_map *m, const void *key)
{
	uint8_t k[4 + 16];
	uint32_t len, s;
	uint64_t set;
	int w;

	memcpy(&len, key, 4);
	if (len > (m->key_size - 4) * 8)
		return 0;
	for (w = (int)(len / 64); w >= 0; w--) {
		set = __atomic_load_n(&m->lens[w], __ATOMIC_ACQUIRE);
		if ((uint32_t)w == len / 64)
			set &= UINT64_MAX >> (63 - len % 64);
		while (set != 0) {
			uint32_t bit = 63 - (uint32_t)__builtin_clzll(set);

			set &= ~(UINT64_C(1) << bit);
			lpm_key(m, key, (uint32_t)w * 64 + bit, k);
			s = hash_find(m, k);
			if (s != 0)
				return s;
		}
	}
	return 0;
}

static int lpm_update(struct filter_map *m, const void *key, const void *value, uint64_t flags)
{
	uint8_t k[4 + 16];
	uint32_t len;

	memcpy(&len, key, 4);
	if (!lpm_key(m, key, len, k))
		return -EINVAL;
	/* The length first: whoever can find the entry looks for it. It stays set. */
	if ((__atomic_load_n(&m->lens[len / 64], __ATOMIC_RELAXED) & UINT64_C(1) << len % 64) == 0)
		__atomic_fetch_or(&m->lens[len / 64], UINT64_C(1) << len % 64, __ATOMIC_ACQ_REL);
	return hash_update(m, k, value, flags);
}

void *filter_map_lookup(struct filter_map *m, const void *key)
{
	uint32_t s;

	if (m->type == PHCA_MAP_ARRAY) {
		memcpy(&s, key, 4);
		return s < m->max_entries ? m->values + (size_t)s * m->value_stride : NULL;
	}
	s = m->type == PHCA_MAP_HASH ? hash_find(m, key) : lpm_find(m, key);
	return s != 0 ? slot_value(m, s) : NULL;
}

int filter_map_update(struct filter_map *m, const void *key, const void *value, uint64_t flags)
{
	uint32_t idx;

	if (flags > UPDATE_EXIST)
		return -EINVAL;
	if (m->type == PHCA_MAP_HASH)
		return hash_update(m, key, value, flags);
	if (m->type == PHCA_MAP_LPM)
		return lpm_update(m, key, value, flags);
	memcpy(&idx, key, 4);
	if (idx >= m->max_entries)
		return -E2BIG;
	if (flags == UPDATE_NOEXIST)
		return -EEXIST;
	value_write(m->values + (size_t)idx * m->value_stride, value, m->value_size);
	return 0;
}

int filter_map_delete(struct phca_filter *f, struct filter_map *m, const void *key)
{
	static const uint8_t zero[FILTER_VALUE_MAX];
	uint8_t k[4 + 16];
	uint32_t s;

	if (m->type == PHCA_MAP_ARRAY)
		return filter_map_update(m, key, zero, UPDATE_ANY);
	if (m->type == PHCA_MAP_LPM) {
		memcpy(&s, key, 4);
		if (!lpm_key(m, key, s, k))
			return -EINVAL;
		key = k;
	}
	s = hash_unlink(m, key);
	if (s == 0)
		return -ENOENT;
	filter_grace_wait(f);
	__atomic_fetch_sub(&m->nb_entries, 1, __ATOMIC_RELAXED);
	slot_put(m, s);
	return 0;
}
