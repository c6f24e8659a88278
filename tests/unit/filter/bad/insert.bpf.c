/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts requests per QPN in a hash map that it fills itself. Not refused. */
#include "phca_filter_ctx.h"

struct count { uint64_t n, when; };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4608);
	__type(key, uint32_t);
	__type(value, struct count);
} counts SEC(".maps");

PHCA_FILTER
int insert(const struct phca_filter_ctx *ctx)
{
	struct count fresh = { 0, bpf_ktime_get_ns() }, *c;
	uint32_t key = ctx->qpn;
	long rc;

	/* Two threads may come here with a new key: the second finds it there (-17). */
	rc = bpf_map_update_elem(&counts, &key, &fresh, BPF_NOEXIST);
	if (rc != 0 && rc != -17)
		return rc == -28 && key >= 4096 ? PHCA_PASS : PHCA_OFFLOAD;
	c = bpf_map_lookup_elem(&counts, &key);
	if (!c)
		return PHCA_OFFLOAD;
	__sync_fetch_and_add(&c->n, 1);
	return PHCA_PASS;
}
