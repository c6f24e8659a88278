#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Marked packets and the CNPs that answer them, all made by scapy.

    golden_cnp.py RECORDS

RECORDS is what test_congestion.c reads (struct cnp_pair there): over IPv4 and
IPv6, with and without VLAN, a packet with ECN CE to each queue pair, and the
frame that must come back, byte for byte. Headers and iCRC come from scapy and
tests/common/roce_scapy.py, which share nothing with lib/wire; the CNP's fields
are those of the IBTA specification, annex A17.9.3.
"""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../common"))

from scapy.layers.inet import IP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import Dot1Q, Ether  # noqa: E402

import roce_scapy as roce  # noqa: E402

QKEY = 0x11111111
UD, UC = 0x55, 0x66           # queue pairs of test_congestion.c
PEER = 0x77                   # whom the UC one is connected to
SENDER = 0xabcdef             # who sends the datagrams
CE, DSCP = 3, 26
CNP_DSCP, CNP_PRIO = 40, 5    # of test_congestion.c; the priority is the upper bits

PAIR = struct.Struct("<BBHH")
US, THEM = "02:00:00:00:00:01", "02:00:00:00:00:02"


def below(ip6, vlan, back):
    """Layers 2 and 3 of the marked packet, or of what comes back."""
    eth = Ether(dst=THEM if back else US, src=US if back else THEM)
    if vlan:
        eth /= Dot1Q(vlan=7, prio=CNP_PRIO if back else 3)
    tos = CNP_DSCP << 2 if back else DSCP << 2 | CE
    if ip6:
        ours, theirs = "2001:db8::1", "2001:db8::2"
        return eth / IPv6(src=ours if back else theirs, dst=theirs if back else ours, tc=tos,
                          fl=0 if back else 0x12345, hlim=64)
    ours, theirs = "192.0.2.1", "192.0.2.2"
    return eth / IP(src=ours if back else theirs, dst=theirs if back else ours, tos=tos,
                    flags="DF", id=0, ttl=64)


def marked(ip6, vlan, qpn, pkey):
    if qpn == UD:
        return roce.frame(below(ip6, vlan, False), roce.OPCODE["UD_SEND_ONLY"], b"datagram", 0xc001,
                          bth={"dqpn": UD, "psn": 9, "pkey": pkey}, qkey=QKEY, sqpn=SENDER)
    return roce.frame(below(ip6, vlan, False), roce.OPCODE["UC_SEND_ONLY"], b"message", 0xc001,
                      bth={"dqpn": UC, "psn": 9, "pkey": pkey})


def cnp(ip6, vlan, qpn, pkey):
    dqpn = SENDER if qpn == UD else PEER
    # the flow that doc/congestion.md names
    sport = 0xc000 | (qpn ^ dqpn * 0x9e3779b1) & 0x3fff
    return roce.frame(below(ip6, vlan, True), roce.OPCODE["CNP"], b"", sport,
                      bth={"dqpn": dqpn, "psn": 0, "becn": 1, "migreq": 0, "pkey": pkey})


def main(records):
    with open(records, "wb") as out:
        for vlan in (False, True):
            for ip6 in (False, True):
                for qpn, pkey in ((UD, 0xffff), (UC, 0xffff), (UC, 0x7fff)):
                    pair = [bytes(make(ip6, vlan, qpn, pkey)) for make in (marked, cnp)]
                    out.write(PAIR.pack(ip6, vlan, *map(len, pair)) + b"".join(pair))


if __name__ == "__main__":
    main(*sys.argv[1:])
