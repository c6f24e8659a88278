#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Golden packets for the parser, made by scapy.

    golden.py RECORDS PCAP [CORPUS]

Every opcode, over IPv4 and IPv6, with and without VLAN, with payloads of many
sizes. RECORDS is what test_golden.c reads (struct golden there): what the parser
must find, then the frame. PCAP has the frames alone. CORPUS is a folder that
gets one file for each shape of packet: seeds for the fuzzer.
"""
import os
import random
import struct
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../common"))

from scapy.layers.inet import IP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import Dot1Q, Ether  # noqa: E402
from scapy.utils import PcapWriter  # noqa: E402

import roce_scapy as roce  # noqa: E402

ENDING = (0, 1, 2, 3, 4, 5, 63, 64, 65, 255, 257, 1021, 1024, 4096)
CONTINUING = (256, 1024, 4096)

# struct golden of test_golden.c, packed
RECORD = struct.Struct("<I IIII IIII QQQQ HHHHHHH BBBBBBB 4s")


def address(rng, ip6, multicast):
    if ip6:
        first = b"\xff\x0e" if multicast else b"\x20\x01"
        raw = first + rng.randbytes(14)
        return ":".join(raw[i:i + 2].hex() for i in range(0, 16, 2))
    first = rng.randrange(224, 240) if multicast else rng.randrange(1, 224)
    return ".".join(str(b) for b in (first, *rng.randbytes(3)))


def below(rng, ip6, vlan):
    """Ether [/ Dot1Q] / IP, random fields; and the VLAN tag, class and flags."""
    flags = 0x01 * ip6 | 0x02 * vlan
    tci, tclass = rng.getrandbits(16), rng.getrandbits(8)
    multicast = rng.randrange(4) == 0
    eth = Ether(dst=rng.randbytes(6).hex(":"), src=rng.randbytes(6).hex(":"))
    if vlan:
        eth /= Dot1Q(prio=tci >> 13, id=tci >> 12 & 1, vlan=tci & 0xfff)
    src, dst = address(rng, ip6, False), address(rng, ip6, multicast)
    if ip6:
        ip = IPv6(src=src, dst=dst, tc=tclass, fl=rng.getrandbits(20), hlim=rng.getrandbits(8))
    else:
        ip = IP(src=src, dst=dst, tos=tclass, ttl=rng.getrandbits(8), id=rng.getrandbits(16),
                flags=rng.choice(("", "DF")))
    return eth / ip, tci if vlan else 0, tclass, flags | 0x80 * multicast


def packet(rng, opcode, ip6, vlan, size):
    """The frame's bytes and its record."""
    eth, tci, tclass, flags = below(rng, ip6, vlan)
    bth = {"dqpn": rng.getrandbits(24), "psn": rng.getrandbits(24), "pkey": rng.getrandbits(16),
           "solicited": rng.getrandbits(1), "migreq": rng.getrandbits(1),
           "ackreq": rng.getrandbits(1), "fecn": rng.getrandbits(1), "becn": rng.getrandbits(1)}
    for bit, name in ((0x04, "solicited"), (0x08, "migreq"), (0x10, "ackreq"), (0x20, "fecn"),
                      (0x40, "becn")):
        flags |= bit * bth[name]
    wide = {k: rng.getrandbits(64) for k in ("va", "swap_add", "cmp", "orig")}
    word = {k: rng.getrandbits(32) for k in ("qkey", "rkey", "len", "imm", "inv_rkey")}
    fields = {**wide, **word, "sqpn": rng.getrandbits(24), "msn": rng.getrandbits(24),
              "syndrome": rng.getrandbits(8)}
    sport = rng.randrange(0xc000, 0x10000)
    # tshark takes a payload that starts with an EtherType for an Ethernet frame
    payload = (b"\x51" + rng.randbytes(size))[:size]
    frame = bytes(roce.frame(eth, opcode, payload, sport, rng.choice((0, None)), bth=bth,
                             **fields))
    if not ip6 and roce.icrc(frame) != frame[-4:]:
        raise SystemExit("golden.py: scapy's iCRC is not that of roce_scapy.icrc")
    l3 = 18 if vlan else 14
    bth_off = l3 + (48 if ip6 else 28)
    payload_off = bth_off + 12 + sum(len(bytes(h())) for h in roce.OPCODES[opcode][1])
    assert len(frame) == payload_off + size + -size % 4 + 4
    record = RECORD.pack(
        len(frame), bth["dqpn"], bth["psn"], fields["qkey"], fields["sqpn"],
        fields["rkey"], fields["len"], fields["msn"], fields["inv_rkey"],
        fields["va"], fields["swap_add"], fields["cmp"], fields["orig"],
        bth["pkey"], l3, bth_off, payload_off, size, tci, sport,
        opcode, flags, tclass, -size % 4, fields["syndrome"], ip6, vlan,
        struct.pack("!I", fields["imm"])) + struct.pack("<I", zlib.crc32(payload))
    return frame, record


def main(records, pcap, corpus=None):
    rng = random.Random(4791)
    if corpus:
        os.makedirs(corpus, exist_ok=True)
    with open(records, "wb") as out, PcapWriter(pcap, linktype=1) as capture:
        for opcode, (name, _) in roce.OPCODES.items():
            sizes = (0,)
            if roce.has_payload(opcode):
                sizes = ENDING if roce.ends_message(opcode) else CONTINUING
            for ip6 in (False, True):
                for vlan in (False, True):
                    for size in sizes:
                        frame, record = packet(rng, opcode, ip6, vlan, size)
                        out.write(record + frame)
                        capture.write(frame)
                    if corpus:
                        frame, _ = packet(rng, opcode, ip6, vlan, 12)
                        seed = f"{name.lower()}-ip{6 if ip6 else 4}{'-vlan' if vlan else ''}"
                        with open(os.path.join(corpus, seed), "wb") as file:
                            file.write(frame)


if __name__ == "__main__":
    main(*sys.argv[1:])
