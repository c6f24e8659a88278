/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes packets of phca_wire_build and phca_wire_finish for check_tshark.py:
 *
 *   wire-pcap PCAP EXPECTED
 *
 * EXPECTED has a line for each packet, of name=value words: what tshark must
 * find, under tshark's names of the fields.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "phca_wire.h"
#include "wire_random.h"

static const uint32_t ending[] = { 0, 1, 2, 3, 4, 63, 64, 65, 1021, 1024, 4096 };
static const uint32_t continuing[] = { 256, 1024, 4096 };

static void put(FILE *f, const void *p, size_t n)
{
	if (fwrite(p, 1, n, f) != n) {
		perror("wire-pcap: write");
		exit(1);
	}
}

static void pcap_header(FILE *f)
{
	const uint32_t magic = 0xa1b2c3d4, version = 4 << 16 | 2, words[4] = { 0, 0, 65535, 1 };

	put(f, &magic, 4);
	put(f, &version, 4);
	put(f, words, 16);
}

static void pcap_packet(FILE *f, const uint8_t *frame, uint32_t len)
{
	const uint32_t words[4] = { 0, 0, len, len };

	put(f, words, 16);
	put(f, frame, len);
}

static void expect_below(FILE *f, const struct phca_wire_hdr *h, uint32_t frame_len)
{
	fprintf(f, "frame.len=%u udp.srcport=%u udp.dstport=4791 udp.checksum=0 ", frame_len,
		h->udp_sport);
	if (h->vlan)
		fprintf(f, "vlan.id=%u vlan.priority=%u vlan.dei=%u ", h->vlan_tci & 0xfff,
			h->vlan_tci >> 13, h->vlan_tci >> 12 & 1);
	if (h->ip6) {
		char s[INET6_ADDRSTRLEN], d[INET6_ADDRSTRLEN];

		inet_ntop(AF_INET6, h->sgid, s, sizeof(s));
		inet_ntop(AF_INET6, h->dgid, d, sizeof(d));
		fprintf(f, "ipv6.src=%s ipv6.dst=%s ipv6.tclass=%u ipv6.flow=%u ipv6.hlim=%u ", s,
			d, h->tclass, h->flow_label, h->hop_limit);
	} else {
		char s[INET_ADDRSTRLEN], d[INET_ADDRSTRLEN];

		inet_ntop(AF_INET, h->sgid + 12, s, sizeof(s));
		inet_ntop(AF_INET, h->dgid + 12, d, sizeof(d));
		fprintf(f, "ip.src=%s ip.dst=%s ip.dsfield=%u ip.ttl=%u ip.flags.df=1 ip.id=0 "
			"ip.checksum.status=1 ", s, d, h->tclass, h->hop_limit);
	}
}

static void expect_ext(FILE *f, const struct phca_wire_hdr *h, uint8_t hdrs)
{
	if (hdrs & 1 << PHCA_HDR_DETH)
		fprintf(f, "infiniband.deth.q_key=%u infiniband.deth.srcqp=%u ", h->qkey, h->sqpn);
	if (hdrs & (1 << PHCA_HDR_RETH | 1 << PHCA_HDR_ATOMICETH))
		fprintf(f, "infiniband.reth.va=%llu infiniband.reth.r_key=%u ",
			(unsigned long long)h->va, h->rkey);
	if (hdrs & 1 << PHCA_HDR_RETH)
		fprintf(f, "infiniband.reth.dmalen=%u ", h->dma_len);
	if (hdrs & 1 << PHCA_HDR_ATOMICETH)
		fprintf(f, "infiniband.atomiceth.swapdt=%llu infiniband.atomiceth.cmpdt=%llu ",
			(unsigned long long)h->swap_add, (unsigned long long)h->cmp);
	if (hdrs & 1 << PHCA_HDR_AETH)
		fprintf(f, "infiniband.aeth.syndrome=%u infiniband.aeth.msn=%u ", h->syndrome,
			h->msn);
	if (hdrs & 1 << PHCA_HDR_ATOMICACKETH)
		fprintf(f, "infiniband.atomicacketh.origremdt=%llu ", (unsigned long long)h->cmp);
	if (hdrs & 1 << PHCA_HDR_IMMDT)
		fprintf(f, "infiniband.immdt=%08x ", ntohl(h->imm));
	if (hdrs & 1 << PHCA_HDR_IETH)
		fprintf(f, "infiniband.ieth=%08x ", h->inv_rkey);
}

static void expect(FILE *f, const struct phca_wire_hdr *h, uint32_t payload_len, uint32_t frame_len)
{
	expect_below(f, h, frame_len);
	fprintf(f, "infiniband.bth.opcode=%u infiniband.bth.se=%u infiniband.bth.m=%u "
		"infiniband.bth.padcnt=%u infiniband.bth.tver=0 infiniband.bth.p_key=%u "
		"infiniband.bth.destqp=%u infiniband.bth.a=%u infiniband.bth.reserved7=0 "
		"infiniband.bth.psn=%u ", h->opcode, h->solicited, h->migreq, -payload_len & 3,
		h->pkey, h->dqpn, h->ackreq, h->psn.v);
	expect_ext(f, h, phca_opcode_table[h->opcode].hdrs);
	fputc('\n', f);
}

static void emit(FILE *pcap, FILE *expected, uint64_t *seed, uint8_t opcode, unsigned int kind,
		uint32_t payload_len)
{
	static uint8_t frame[WIRE_FRAME_MAX];
	struct phca_wire_hdr h;
	uint32_t n;

	wire_random_hdr(seed, &h);
	h.opcode = opcode;
	h.ip6 = kind & 1;
	h.vlan = kind >> 1;
	h.sgid[0] = 0x20; /* plain addresses of hosts */
	h.sgid[12] = 10;
	h.dgid[0] = 0x20;
	h.dgid[12] = 10;
	/* tshark takes AETH's first bit for an error */
	h.syndrome &= 0x7f;
	n = phca_wire_build(frame, &h, payload_len);
	for (uint32_t i = 0; i < payload_len; i++)
		frame[n + i] = (uint8_t)(0x51 + i * 7); /* like no protocol that tshark knows */
	n = phca_wire_finish(frame, &h, payload_len);
	pcap_packet(pcap, frame, n);
	expect(expected, &h, payload_len, n);
}

int main(int argc, char **argv)
{
	FILE *pcap = argc == 3 ? fopen(argv[1], "wb") : NULL;
	FILE *expected = argc == 3 ? fopen(argv[2], "w") : NULL;
	uint64_t seed = 18;

	if (pcap == NULL || expected == NULL) {
		fprintf(stderr, "wire-pcap: cannot write; usage: wire-pcap PCAP EXPECTED\n");
		return 1;
	}
	pcap_header(pcap);
	for (unsigned int op = 0; op < 256; op++) {
		uint8_t flags = phca_opcode_table[op].flags;
		const uint32_t *sizes = flags & PHCA_OPF_LAST ? ending : continuing;
		size_t n = flags & PHCA_OPF_LAST ? sizeof(ending) / 4 : sizeof(continuing) / 4;

		if (phca_opcode_table[op].name == NULL)
			continue;
		if ((flags & PHCA_OPF_PAYLOAD) == 0)
			n = 1; /* ending[0] is 0 */
		for (unsigned int kind = 0; kind < 4; kind++)
			for (size_t i = 0; i < n; i++)
				emit(pcap, expected, &seed, (uint8_t)op, kind, sizes[i]);
	}
	return fclose(pcap) != 0 || fclose(expected) != 0;
}
