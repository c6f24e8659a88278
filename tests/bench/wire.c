/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What lib/wire costs: ns per parse, with and without iCRC, and per iCRC.
 * Prints, asserts nothing; run it on a quiet machine.
 *
 *   bench-wire [thousand packets a row]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "phca_wire.h"

/* So many packets that they do not fit the branch predictor's memory of one. */
#define FRAMES 256
#define ROOM   (PHCA_WIRE_HDR_MAX + PHCA_MTU_MAX + 3 + PHCA_ICRC_LEN + 13)

static uint8_t frames[FRAMES][ROOM];
static uint32_t lens[FRAMES];
static volatile uint64_t sink; /* keeps the compiler from leaving work out */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fill(uint32_t payload, bool ip6, bool vlan)
{
	for (uint32_t i = 0; i < FRAMES; i++) {
		struct phca_wire_hdr h = {
			.ip6 = ip6, .vlan = vlan, .vlan_tci = 100, .hop_limit = 64,
			.sgid = { 0xfd, [15] = 1 }, .dgid = { 0xfd, [15] = 2 },
			.udp_sport = (uint16_t)(0xc000 + i), .pkey = PHCA_PKEY_DEFAULT,
			.opcode = i & 1 ? PHCA_UC_SEND_ONLY : PHCA_UD_SEND_ONLY,
			.dqpn = 0x100 + i, .psn = phca_psn(i), .qkey = 0x11111111,
		};
		uint32_t n = phca_wire_build(frames[i], &h, payload);

		for (uint32_t j = 0; j < payload; j++)
			frames[i][n + j] = (uint8_t)(i * 31 + j);
		lens[i] = phca_wire_finish(frames[i], &h, payload);
	}
}

static double per_packet(unsigned int opts, uint64_t packets)
{
	uint64_t ok = 0, t = now_ns();

	for (uint64_t i = 0; i < packets; i++) {
		struct phca_pkt pkt;

		ok += phca_wire_parse(frames[i % FRAMES], lens[i % FRAMES], opts, &pkt) ==
			PHCA_V_OK;
		sink += pkt.dqpn;
	}
	t = now_ns() - t;
	if (ok != packets) {
		fprintf(stderr, "bench-wire: %llu of %llu packets do not parse\n",
			(unsigned long long)(packets - ok), (unsigned long long)packets);
		exit(1);
	}
	return (double)t / (double)packets;
}

static double per_icrc(bool ip6, bool vlan, uint64_t packets)
{
	uint32_t l3 = vlan ? 18 : 14;
	uint64_t t = now_ns();

	for (uint64_t i = 0; i < packets; i++)
		sink += phca_wire_icrc(frames[i % FRAMES] + l3,
			lens[i % FRAMES] - l3 - PHCA_ICRC_LEN, ip6);
	return (double)(now_ns() - t) / (double)packets;
}

static double per_build(bool ip6, uint32_t payload, uint64_t packets)
{
	struct phca_wire_hdr h = {
		.ip6 = ip6, .hop_limit = 64, .udp_sport = 0xc000, .opcode = PHCA_UD_SEND_ONLY,
	};
	static uint8_t frame[ROOM];
	uint64_t t = now_ns();

	for (uint64_t i = 0; i < packets; i++) {
		h.psn = phca_psn((uint32_t)i);
		phca_wire_build(frame, &h, payload);
		sink += phca_wire_finish(frame, &h, payload);
	}
	return (double)(now_ns() - t) / (double)packets;
}

int main(int argc, char **argv)
{
	static const uint32_t payloads[] = { 0, 64, 256, 1024, 4096 };
	uint64_t packets = 1000 * (argc > 1 ? strtoull(argv[1], NULL, 0) : 2000);

	printf("%-5s %-5s %8s %10s %12s %8s %12s\n", "ip", "vlan", "payload", "parse ns",
		"+ icrc ns", "icrc ns", "build ns");
	for (int kind = 0; kind < 3; kind++) {
		bool ip6 = kind == 1, vlan = kind == 2;

		for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
			double parse, both, icrc, build;

			fill(payloads[i], ip6, vlan);
			per_packet(PHCA_PARSE_ICRC, packets / 10); /* warm up */
			parse = per_packet(0, packets);
			both = per_packet(PHCA_PARSE_ICRC, packets);
			icrc = per_icrc(ip6, vlan, packets);
			build = per_build(ip6, payloads[i], packets);
			printf("%-5s %-5s %8u %10.1f %12.1f %8.1f %12.1f\n", ip6 ? "6" : "4",
				vlan ? "yes" : "no", payloads[i], parse, both, icrc, build);
		}
	}
	return 0;
}
