/* SPDX-License-Identifier: BSD-3-Clause */
/* PSN arithmetic, big-endian access, kinds of GIDs, the Internet checksum. */
#include <string.h>

#include "phca_test.h"
#include "phca_wire.h"

PHCA_TEST(psn, adds_modulo_2_24)
{
	CU_ASSERT_EQUAL(phca_psn(0x12345678).v, 0x345678);
	CU_ASSERT_EQUAL(phca_psn_add(phca_psn(0xffffff), 1).v, 0);
	CU_ASSERT_EQUAL(phca_psn_add(phca_psn(0xfffff0), 0x20).v, 0x10);
	CU_ASSERT_EQUAL(phca_psn_add(phca_psn(5), 0x1000000).v, 5);
}

PHCA_TEST(psn, distance_is_signed_and_crosses_zero)
{
	CU_ASSERT_EQUAL(phca_psn_diff(phca_psn(7), phca_psn(7)), 0);
	CU_ASSERT_EQUAL(phca_psn_diff(phca_psn(8), phca_psn(7)), 1);
	CU_ASSERT_EQUAL(phca_psn_diff(phca_psn(0), phca_psn(0xffffff)), 1);
	CU_ASSERT_EQUAL(phca_psn_diff(phca_psn(0xffffff), phca_psn(0)), -1);
	CU_ASSERT_EQUAL(phca_psn_diff(phca_psn(0x7fffff), phca_psn(0)), 0x7fffff);
	CU_ASSERT_EQUAL(phca_psn_diff(phca_psn(0x800000), phca_psn(0)), -0x800000);
}

PHCA_TEST(psn, distance_undoes_addition)
{
	uint64_t seed = 24;

	for (int i = 0; i < 10000; i++) {
		struct phca_psn p = phca_psn((uint32_t)phca_test_rand(&seed));
		int32_t d = (int32_t)(phca_test_rand(&seed) & 0xffffff) - 0x800000;

		CU_ASSERT_EQUAL(phca_psn_diff(phca_psn_add(p, (uint32_t)d), p), d);
	}
}

PHCA_TEST(bytes, big_endian_both_ways)
{
	static const uint8_t wire[8] = { 0x81, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8 };
	uint8_t out[8];

	CU_ASSERT_EQUAL(phca_get16(wire), 0x8192);
	CU_ASSERT_EQUAL(phca_get24(wire), 0x8192a3);
	CU_ASSERT_EQUAL(phca_get32(wire), 0x8192a3b4);
	CU_ASSERT_EQUAL(phca_get64(wire), 0x8192a3b4c5d6e7f8);
	phca_put64(out, 0x8192a3b4c5d6e7f8);
	CU_ASSERT_EQUAL(memcmp(out, wire, 8), 0);
	phca_put24(out, 0xff8192a3);
	CU_ASSERT_EQUAL(memcmp(out, wire, 8), 0);
	phca_put16(out, 0x8192);
	CU_ASSERT_EQUAL(memcmp(out, wire, 8), 0);
}

/* RFC 1071, word by word. */
static uint16_t csum_slow(const uint8_t *p, uint32_t len, uint32_t sum)
{
	uint64_t s = sum;

	for (uint32_t i = 0; i < len; i++)
		s += i % 2 == 0 ? p[i] << 8 : p[i];
	while (s > 0xffff)
		s = (s >> 16) + (s & 0xffff);
	return (uint16_t)s;
}

PHCA_TEST(csum, example_of_rfc_1071)
{
	static const uint8_t data[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	CU_ASSERT_EQUAL(phca_wire_csum(data, sizeof(data), 0), 0xddf2);
	CU_ASSERT_EQUAL(phca_wire_csum("\x12\x34", 2, 0), 0x1234);
	CU_ASSERT_EQUAL(phca_wire_csum("", 0, 0), 0);
}

PHCA_TEST(csum, any_length_alignment_and_sum)
{
	static uint8_t data[4200];
	uint64_t seed = 1071;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)phca_test_rand(&seed);
	memset(data + 2000, 0xff, 1000); /* many carries */
	for (int i = 0; i < 5000; i++) {
		uint32_t off = phca_test_rand(&seed) % 2100, len = phca_test_rand(&seed) % 2100;
		uint32_t sum = (uint32_t)(phca_test_rand(&seed) >> (i & 31));

		if (phca_wire_csum(data + off, len, sum) != csum_slow(data + off, len, sum)) {
			CU_FAIL("checksum differs from the word by word one");
			break;
		}
	}
	CU_ASSERT_EQUAL(phca_wire_csum(data + 2000, 1000, UINT32_MAX), 0xffff);
}

/* A17.4.5.2: an IPv4 address is ::ffff:a.b.c.d; groups are 224.0.0.0/4 and ff00::/8. */
PHCA_TEST(gid, of_both_families_and_their_groups)
{
	static const struct {
		uint8_t gid[16];
		bool ip4, multicast;
	} c[] = {
		{ { [10] = 0xff, 0xff, 10, 0, 0, 1 }, true, false },
		{ { [10] = 0xff, 0xff, 223, 255, 255, 255 }, true, false },
		{ { [10] = 0xff, 0xff, 224, 0, 0, 0 }, true, true },
		{ { [10] = 0xff, 0xff, 239, 255, 255, 255 }, true, true },
		{ { [10] = 0xff, 0xff, 240, 0, 0, 0 }, true, false },
		{ { [10] = 0xff, 0xff, 255, 255, 255, 255 }, true, false },
		{ { [10] = 0xff, 0xfe, 224, 0, 0, 1 }, false, false },
		{ { [9] = 1, 0xff, 0xff, 224, 0, 0, 1 }, false, false },
		{ { 1, [10] = 0xff, 0xff, 224, 0, 0, 1 }, false, false },
		{ { [10] = 0xfe, 0xff, 10, 0, 0, 1 }, false, false },
		{ { 0xff, [10] = 0xff, 0xff, 10, 0, 0, 1 }, false, true },
		{ { 0xff, 0x0e, [15] = 1 }, false, true },
		{ { 0xfe, 0x80, [15] = 1 }, false, false },
		{ { 0 }, false, false },
	};

	for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		CU_ASSERT_EQUAL(phca_gid_is_ip4(c[i].gid), c[i].ip4);
		CU_ASSERT_EQUAL(phca_gid_is_multicast(c[i].gid), c[i].multicast);
		if (c[i].ip4) {
			uint8_t again[16];

			phca_gid_from_ip4(again, c[i].gid + 12);
			CU_ASSERT_EQUAL(memcmp(again, c[i].gid, 16), 0);
		}
	}
}
