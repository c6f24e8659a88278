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
 *
 * A CRC is a remainder of polynomials over GF(2): that of A followed by B is that of A
 * times x^(bits of B), plus that of B. So payload that goes into many packets is divided once.
 * A 32-bit word is a polynomial with the coefficient of x^0 in its highest bit.
 */
#include <string.h>

#include <isa-l/crc.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "phca_wire.h"

#define HDR4_LEN (20 + 8 + 12) /* IPv4, UDP, BTH */
#define HDR6_LEN (40 + 8 + 12) /* IPv6, UDP, BTH */

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the masks and the checksum here are for little endian"
#endif

typedef uint64_t v128 __attribute__((vector_size(16)));

static inline uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline v128 load128(const uint8_t *p)
{
	v128 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/*
 * ISA-L leaves the upper halves of vector registers in use (no vzeroupper), after
 * which each SSE instruction of an SSE build, ours and DPDK's, has to preserve
 * them: more than 100 ns a packet. Here they are given back.
 */
static inline void vector_state_clean(void)
{
#if defined(__AVX__)
	__builtin_ia32_vzeroupper();
#elif defined(__x86_64__)
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroupper" ::: "memory");
#endif
}

/* CRC-32 of n bytes at p, continuing crc. */
static inline uint32_t crc32(uint32_t crc, const uint8_t *p, uint32_t n)
{
	crc = crc32_gzip_refl(crc, p, n);
	vector_state_clean();
	return crc;
}

/*
 * The masked headers are made in whole registers and stored where ISA-L loads
 * them again: a load that spans two stores would wait for both to retire. For
 * that the ones before the IP header are part of the block as far as they fill
 * it up to a multiple of 16 bytes.
 */
static inline uint32_t icrc_head4(const uint8_t *ip)
{
	/* type of service; time to live, header checksum; UDP checksum, FECN, BECN */
	static const uint8_t mask[3][16] = {
		{ [9] = 0xff },
		{ [0] = 0xff, [2] = 0xff, [3] = 0xff },
		{ [2] = 0xff, [3] = 0xff, [8] = 0xff },
	};
	v128 block[3] = {
		(v128){ UINT64_MAX, load64(ip) } | load128(mask[0]),
		load128(ip + 8) | load128(mask[1]),
		load128(ip + 24) | load128(mask[2]),
	};

	return crc32(0, (const uint8_t *)block, sizeof(block));
}

static inline uint32_t icrc_head6(const uint8_t *ip)
{
	/* traffic class, flow label, hop limit; UDP checksum, FECN, BECN */
	static const uint8_t mask[2][16] = {
		{ [4] = 0x0f, [5] = 0xff, [6] = 0xff, [7] = 0xff, [11] = 0xff },
		{ [2] = 0xff, [3] = 0xff, [8] = 0xff },
	};
	v128 block[4] = {
		(v128){ (uint64_t)load32(ip) << 32 | UINT32_MAX, load64(ip + 4) } | load128(mask[0]),
		load128(ip + 12),
		load128(ip + 28),
		load128(ip + 44) | load128(mask[1]),
	};

	/* UINT32_MAX is the CRC of the first four bytes of ones */
	return crc32(UINT32_MAX, (const uint8_t *)block, sizeof(block));
}

uint32_t phca_wire_icrc(const void *l3, uint32_t l3_len, bool ip6)
{
	uint32_t head_len = ip6 ? HDR6_LEN : HDR4_LEN;
	uint32_t crc = ip6 ? icrc_head6(l3) : icrc_head4(l3);

	return crc32(crc, (const uint8_t *)l3 + head_len, l3_len - head_len);
}

/* ------------------------------------------------- payload that is known */

#define CRC_POLY 0xedb88320u /* without x^32 */
#define CRC_X0 (1u << 31)    /* 1 */

#if defined(__x86_64__)
/* Barrett's reduction: RU is x^64 / P, RP is P, both reflected, with 33 bits. */
__attribute__((target("pclmul,sse2")))
static uint32_t crc_mul_pclmul(uint32_t a, uint32_t b)
{
	const __m128i k = _mm_set_epi64x(0x1f7011641, 0x1db710641);
	const __m128i low = _mm_cvtsi64_si128(UINT32_MAX);
	__m128i p = _mm_clmulepi64_si128(_mm_cvtsi64_si128(a), _mm_cvtsi64_si128(b), 0), t;

	p = _mm_slli_epi64(p, 1); /* 63 bits: x^0 into the highest of 64 */
	t = _mm_clmulepi64_si128(_mm_and_si128(p, low), k, 0x10);
	t = _mm_clmulepi64_si128(_mm_and_si128(t, low), k, 0x00);
	return (uint32_t)((uint64_t)_mm_cvtsi128_si64(_mm_xor_si128(p, t)) >> 32);
}
#endif

/* a times b */
static uint32_t crc_mul(uint32_t a, uint32_t b)
{
	uint32_t sum = 0;

#if defined(__x86_64__)
	if (__builtin_cpu_supports("pclmul"))
		return crc_mul_pclmul(a, b);
#endif
	for (; a != 0; a <<= 1) {
		if (a & CRC_X0)
			sum ^= b;
		b = b >> 1 ^ (b & 1 ? CRC_POLY : 0); /* times x */
	}
	return sum;
}

/* x^(8 n) */
static uint32_t crc_shift(uint32_t n)
{
	uint32_t power = CRC_X0 >> 8, shift = CRC_X0;

	for (; n != 0; n >>= 1, power = crc_mul(power, power))
		if (n & 1)
			shift = crc_mul(shift, power);
	return shift;
}

struct phca_wire_crc phca_wire_payload_crc(const void *payload, uint32_t len)
{
	static const uint8_t zero[4];
	uint32_t pad = -len & 3;

	return (struct phca_wire_crc){
		.crc = crc32(crc32(0, payload, len), zero, pad), .shift = crc_shift(len + pad),
	};
}

uint32_t phca_wire_icrc_known(const void *l3, uint32_t hdr_len, bool ip6, struct phca_wire_crc known)
{
	uint32_t head_len = ip6 ? HDR6_LEN : HDR4_LEN;
	uint32_t crc = ip6 ? icrc_head6(l3) : icrc_head4(l3);

	if (hdr_len > head_len)
		crc = crc32(crc, (const uint8_t *)l3 + head_len, hdr_len - head_len);
	return crc_mul(crc, known.shift) ^ known.crc;
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
	s = __builtin_bswap16((uint16_t)s);
	s += (sum & 0xffff) + (sum >> 16);
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t)((s & 0xffff) + (s >> 16));
}
