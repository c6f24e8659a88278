/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The invariant CRC and the Internet checksum.
 *
 * The iCRC is Ethernet's CRC-32 over eight bytes of ones (they stand for the LRH
 * of an InfiniBand packet), then the packet from its IP header to its last pad
 * byte, with every field that a router may change replaced by ones. Those fields
 * all lie in the IP, UDP and BTH headers, which are copied to the stack for that;
 * what follows is read in place. The Ethernet header and the VLAN tag are not
 * covered.
 */
#include <string.h>

#include <isa-l/crc.h>

#include "phca_wire.h"

#define IP4_LEN 20
#define IP6_LEN 40
#define UDP_LEN 8
#define BTH_LEN 12

/* CRC-32 of the eight bytes of ones. */
#define SEED 0x2144df1cu

uint32_t phca_wire_icrc(const void *l3, uint32_t l3_len, bool ip6)
{
	uint8_t head[IP6_LEN + UDP_LEN + BTH_LEN];
	uint32_t crc, head_len;

	if (ip6) {
		head_len = sizeof(head);
		memcpy(head, l3, IP6_LEN + UDP_LEN + BTH_LEN);
		head[0] |= 0x0f; /* traffic class, */
		memset(head + 1, 0xff, 3); /* and flow label */
		head[7] = 0xff; /* hop limit */
	} else {
		head_len = IP4_LEN + UDP_LEN + BTH_LEN;
		memcpy(head, l3, IP4_LEN + UDP_LEN + BTH_LEN);
		head[1] = 0xff; /* type of service */
		head[8] = 0xff; /* time to live */
		memset(head + 10, 0xff, 2); /* header checksum */
	}
	memset(head + head_len - BTH_LEN - 2, 0xff, 2); /* UDP checksum */
	head[head_len - BTH_LEN + 4] = 0xff; /* FECN, BECN and the bits beside them */
	crc = crc32_gzip_refl(SEED, head, head_len);
	return crc32_gzip_refl(crc, (const uint8_t *)l3 + head_len, l3_len - head_len);
}

uint16_t phca_wire_csum(const void *data, uint32_t len, uint32_t sum)
{
	const uint8_t *p = data;
	uint64_t s = 0;

	/* In host byte order: the sum of swapped words is the swapped sum. */
	for (; len >= 4; len -= 4, p += 4) {
		uint32_t w;

		memcpy(&w, p, 4);
		s += w;
	}
	if (len > 0) {
		uint8_t tail[4] = { 0 };
		uint32_t w;

		memcpy(tail, p, len);
		memcpy(&w, tail, 4);
		s += w;
	}
	s = (s & 0xffffffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16 & 0xffff) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	s = __builtin_bswap16((uint16_t)s);
#endif
	s += (sum & 0xffff) + (sum >> 16);
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t)((s & 0xffff) + (s >> 16));
}
