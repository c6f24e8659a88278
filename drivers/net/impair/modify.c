/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What changes a packet's bytes. Only bytes that are ours alone are written: of
 * a packet with a segment that is shared, attached or external, a copy is made,
 * changed and passed on in its place. Without a buffer for the copy the packet
 * goes on as it was, and is counted.
 */
#include <string.h>

#include <rte_byteorder.h>

#include "impair_impl.h"

#define MAC_LEN 12
#define UDP_LEN 8
#define IP4_LEN 20
#define IP6_LEN 40
#define TYPE_IP4 0x0800
#define TYPE_IP6 0x86dd
#define TYPE_VLAN 0x8100
#define ECN_MASK 3
#define FECN_AT 4   /* byte of BTH that the iCRC does not cover */

static bool pool_ok(struct rte_mempool *p)
{
	return p != NULL && rte_pktmbuf_data_room_size(p) > RTE_PKTMBUF_HEADROOM &&
		!(rte_pktmbuf_priv_flags(p) & RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF);
}

struct rte_mbuf *modify_copy(struct lane *l, const struct rte_mbuf *m)
{
	const struct lane *rx = l->dev->lane[PHCA_IMPAIR_RX][0];
	struct rte_mempool *p = l->pool;
	struct rte_mbuf *c = NULL;

	if (!pool_ok(p))
		p = pool_ok(m->pool) ? m->pool : rx != NULL ? rx->pool : NULL;
	if (pool_ok(p))
		c = rte_pktmbuf_copy(m, p, 0, UINT32_MAX);
	if (c == NULL)
		COUNT(l->st.no_mbuf, 1);
	return c;
}

static bool is_private(const struct rte_mbuf *m)
{
	for (; m != NULL; m = m->next)
		if (!RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) != 1)
			return false;
	return true;
}

/* The packet, or a copy in its place, to write to. NULL: no buffer. */
static struct rte_mbuf *writable(struct lane *l, struct rte_mbuf *m)
{
	struct rte_mbuf *c;

	if (is_private(m))
		return m;
	c = modify_copy(l, m);
	if (c != NULL)
		rte_pktmbuf_free(m);
	return c;
}

/* The byte at an offset that the packet has. */
static uint8_t *byte_at(struct rte_mbuf *m, uint32_t off)
{
	while (off >= m->data_len) {
		off -= m->data_len;
		m = m->next;
	}
	return rte_pktmbuf_mtod_offset(m, uint8_t *, off);
}

static void put(struct rte_mbuf *m, uint32_t off, const uint8_t *bytes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		*byte_at(m, off + i) = bytes[i];
}

struct span { uint32_t start, end, skip; };

/* Where bits are flipped; skip is a byte in it that is left alone. */
static struct span region_span(const struct rule *r, const struct view *v)
{
	const struct phca_pkt *p = &v->pkt;
	uint32_t end = (uint32_t)p->payload_off + p->payload_len;

	if (!v->roce)
		return (struct span){ RTE_MIN(v->len, (uint32_t)MAC_LEN), v->len, UINT32_MAX };
	switch ((enum region)r->region) {
	case REGION_HEADERS:
		return (struct span){ p->bth_off, p->payload_off, p->bth_off + FECN_AT };
	case REGION_PAYLOAD:
		return (struct span){ p->payload_off, end, UINT32_MAX };
	case REGION_ANY:
		break;
	}
	return (struct span){ p->bth_off, end + p->pad + (r->forge ? 0 : PHCA_ICRC_LEN),
		p->bth_off + FECN_AT };
}

/* Flip n different bits of the span. */
static void flip(struct rte_mbuf *m, const struct span *s, unsigned int n, uint64_t event)
{
	uint32_t bits = (s->end - s->start) * 8, done[64];
	unsigned int i, k = 0;

	n = RTE_MIN(n, s->skip == UINT32_MAX ? bits : bits - 8);
	while (k < n) {
		uint32_t bit = (uint32_t)(random_next(&event) % bits), at = s->start + bit / 8;

		for (i = 0; i < k && done[i] != bit; i++)
			;
		if (i < k || at == s->skip)
			continue;
		done[k++] = bit;
		*byte_at(m, at) ^= (uint8_t)(1u << (bit % 8));
	}
}

/* Make the iCRC right again, and the UDP checksum when there is one. */
static void forge(struct lane *l, struct rte_mbuf *m, const struct phca_pkt *p)
{
	uint32_t end = (uint32_t)p->payload_off + p->payload_len + p->pad;
	uint32_t udp = p->bth_off - UDP_LEN, l4_len = end + PHCA_ICRC_LEN - udp;
	bool ip6 = (p->flags & PHCA_PKT_IP6) != 0;
	const uint8_t *f = rte_pktmbuf_read(m, 0, end, l->frame);
	uint32_t icrc = rte_cpu_to_le_32(phca_wire_icrc(f + p->l3_off, end - p->l3_off, ip6)), sum;
	uint8_t bytes[4];

	memcpy(bytes, &icrc, sizeof(bytes));
	put(m, end, bytes, sizeof(bytes));
	if (phca_get16(f + udp + 6) == 0)
		return;
	put(m, udp + 6, (const uint8_t[2]){ 0, 0 }, 2);
	f = rte_pktmbuf_read(m, 0, end + PHCA_ICRC_LEN, l->frame);
	sum = phca_wire_csum(f + p->l3_off + (ip6 ? 8 : 12), ip6 ? 32 : 8, 17 + l4_len);
	sum = ~(uint32_t)phca_wire_csum(f + udp, l4_len, sum) & 0xffff;
	phca_put16(bytes, (uint16_t)(sum == 0 ? 0xffff : sum));
	put(m, udp + 6, bytes, 2);
}

struct rte_mbuf *modify_corrupt(struct lane *l, struct rte_mbuf *m, const struct rule *r,
		const struct view *v, uint64_t event)
{
	struct span s = region_span(r, v);
	struct rte_mbuf *w;

	if (s.start == s.end || (r->forge && v->len > FRAME_MAX))
		return m;
	w = writable(l, m);
	if (w == NULL)
		return m;
	flip(w, &s, r->bits, event);
	if (r->forge) {
		forge(l, w, &v->pkt);
		COUNT(l->st.forged, 1);
	} else {
		COUNT(l->st.corrupted, 1);
	}
	return w;
}

/* IPv4: TOS is replaced, and the header checksum adjusted (RFC 1624). */
static void mark4(struct rte_mbuf *m, uint32_t ip, const uint8_t *h)
{
	uint8_t tos = h[1] | ECN_MASK, sum[2];
	uint32_t x = (uint16_t)~phca_get16(h + 10);

	x += (uint16_t)~phca_get16(h) + (uint32_t)(h[0] << 8 | tos);
	x = (x & 0xffff) + (x >> 16);
	x = (x & 0xffff) + (x >> 16);
	phca_put16(sum, (uint16_t)~x);
	put(m, ip + 1, &tos, 1);
	put(m, ip + 10, sum, 2);
}

struct rte_mbuf *modify_ce(struct lane *l, struct rte_mbuf *m, const struct rule *r)
{
	uint32_t ip = MAC_LEN + 2, len = rte_pktmbuf_pkt_len(m);
	uint8_t copy[MAC_LEN + 6 + IP4_LEN], ecn, byte;
	const uint8_t *f = rte_pktmbuf_read(m, 0, RTE_MIN(len, (uint32_t)sizeof(copy)), copy);
	struct rte_mbuf *w;
	bool ip6;

	if (f == NULL || len < ip + IP4_LEN)
		return m;
	if (phca_get16(f + MAC_LEN) == TYPE_VLAN)
		ip += 4;
	ip6 = phca_get16(f + ip - 2) == TYPE_IP6;
	if ((!ip6 && phca_get16(f + ip - 2) != TYPE_IP4) || len < ip + (ip6 ? IP6_LEN : IP4_LEN))
		return m;
	ecn = ip6 ? f[ip + 1] >> 4 & ECN_MASK : f[ip + 1] & ECN_MASK;
	if (ecn == 0 && !r->force) {
		COUNT(l->st.not_ect, 1);
		return m;
	}
	memmove(copy, f + ip, 12);
	w = writable(l, m);
	if (w == NULL)
		return m;
	byte = copy[1] | ECN_MASK << 4;
	if (ip6)
		put(w, ip + 1, &byte, 1);
	else
		mark4(w, ip, copy);
	COUNT(l->st.ce_marked, 1);
	return w;
}
