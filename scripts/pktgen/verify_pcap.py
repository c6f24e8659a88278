#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Check a pcap of RoCEv2 packets with scapy, which made none of them.

  verify_pcap.py FILE

Each packet must be dissected to BTH with lengths and IP and UDP checksums that
agree. Prints one line a kind of packet (opcode, or what it is instead) and the
number of wrong iCRCs; exits 1 when any packet is malformed.
"""
import os
import sys
from collections import Counter

from scapy.contrib.roce import BTH
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import RawPcapReader

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "common"))

import roce_scapy  # noqa: E402


class Malformed(Exception):
    """What is wrong with a packet."""


def check_checksums(packet):
    """Have scapy compute lengths and checksums afresh; all bytes must stay."""
    again = packet.copy()
    if IP in again:
        del again[IP].len, again[IP].chksum
    else:
        del again[IPv6].plen
    del again[UDP].len
    if again[UDP].chksum:
        del again[UDP].chksum
    if bytes(again) != bytes(packet):
        raise Malformed("length or checksum of IP or UDP is wrong")


def classify(frame):
    """Name of the kind of packet, and whether its iCRC is right."""
    packet = Ether(frame)
    if UDP not in packet:
        return "not UDP", True
    if packet[UDP].dport != 4791:
        return "other UDP port", True
    # Keep what follows UDP as bytes: only lengths and checksums are looked at here.
    body = frame[-(packet[UDP].len - 8):]
    packet[UDP].payload = Raw(body)
    check_checksums(packet)
    bth = BTH(body)
    if len(body) % 4:
        raise Malformed("BTH to iCRC has %d bytes, not a multiple of 4" % len(body))
    kind = "opcode 0x%02x version %d" % (bth.opcode, bth.version)
    return kind, roce_scapy.icrc(frame) == body[-4:]


def read_frames(path):
    """All frames of a pcap as bytes."""
    reader = RawPcapReader(path)
    try:
        return [frame for frame, _ in reader]
    finally:
        reader.close()


def verify(path):
    """Counters of all kinds of packets, and "wrong iCRC"; raises Malformed."""
    kinds = Counter()
    for i, frame in enumerate(read_frames(path)):
        try:
            kind, right = classify(frame)
        except Malformed as error:
            raise Malformed("%s: packet %d: %s" % (path, i + 1, error)) from None
        kinds[kind] += 1
        kinds["wrong iCRC"] += not right
    return kinds


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        kinds = verify(sys.argv[1])
    except Malformed as error:
        sys.exit(str(error))
    for kind, count in sorted(kinds.items()):
        print("%8d %s" % (count, kind))


if __name__ == "__main__":
    main()
