#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Questions to the port, and the answers it must give, both made by scapy.

    golden.py RECORDS

RECORDS is what test_golden.c reads: struct golden, the question, the answer. For
a destination that is resolved there is no question, and the answer is what the
port must send. Addresses are those of net_lab.c. Checksums are scapy's.
"""
import random
import struct
import sys

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS,
                                ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6, in6_getnsma,
                                in6_getnsmac)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.utils6 import inet_pton
import socket

MAC, PEER = "00:70:68:63:61:01", "02:00:00:00:00:22"
IP4, PEER4, IP6, PEER6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"
LOCAL = "fe80::270:68ff:fe63:6101"
ALL, ALL6, ALL6_MAC = "ff:ff:ff:ff:ff:ff", "ff02::1", "33:33:00:00:00:01"

ANSWER, RESOLVE, ANNOUNCE = range(3)
# struct golden of test_golden.c, packed: kind, vlan, destination, lengths
RECORD = struct.Struct("<BB16sHH")


def group(address):
    """Solicited-node multicast: its IPv6 and MAC addresses."""
    ns = in6_getnsma(inet_pton(socket.AF_INET6, address))
    return socket.inet_ntop(socket.AF_INET6, ns), in6_getnsmac(ns)


class Maker:
    def __init__(self, out, vlan):
        self.out, self.vlan = out, vlan

    def frame(self, src, dst, body, prio=0, pad=True):
        tag = Dot1Q(vlan=7, prio=prio) if self.vlan else None
        raw = bytes(Ether(src=src, dst=dst) / tag / body if tag else Ether(src=src, dst=dst) / body)
        return raw.ljust(60, b"\0") if pad else raw

    def record(self, kind, question, answer, gid=bytes(16)):
        self.out.write(RECORD.pack(kind, self.vlan, gid, len(question), len(answer))
                       + question + answer)

    def ask(self, question, answer, dst=MAC, pad=False, prio=0, back=PEER):
        """A frame of the peer's, and the port's answer to it."""
        self.record(ANSWER, self.frame(PEER, dst, question, prio),
                    self.frame(MAC, back, answer, prio, pad))


def arp(m):
    for spa in (PEER4, "0.0.0.0", "10.0.0.77", "192.168.9.9"):
        for dst in (ALL, MAC):
            for prio in (0, 5):
                m.ask(ARP(op=1, hwsrc=PEER, psrc=spa, hwdst="00:00:00:00:00:00", pdst=IP4),
                      ARP(op=2, hwsrc=MAC, psrc=IP4, hwdst=PEER, pdst=spa), dst, True, prio)


def nd(m):
    for own in (IP6, LOCAL):
        grp, grp_mac = group(own)
        src = PEER6 if own == IP6 else "fe80::22"
        answer = ICMPv6ND_NA(tgt=own, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=MAC)
        for dst, mac in ((grp, grp_mac), (own, MAC)):
            ns = ICMPv6ND_NS(tgt=own)
            for question in (ns, ns / ICMPv6NDOptSrcLLAddr(lladdr=PEER)):
                m.ask(IPv6(src=src, dst=dst, hlim=255) / question,
                      IPv6(src=own, dst=src, hlim=255) / answer, mac)
        # duplicate address detection
        m.ask(IPv6(src="::", dst=grp, hlim=255) / ICMPv6ND_NS(tgt=own),
              IPv6(src=own, dst=ALL6, hlim=255) / ICMPv6ND_NA(tgt=own, R=0, S=0, O=1)
              / ICMPv6NDOptDstLLAddr(lladdr=MAC), grp_mac, back=ALL6_MAC)


def echo(m, rng):
    for size in list(range(0, 40)) + [56, 57, 999, 1000, 1471, 1472]:
        data, ident = rng.randbytes(size), rng.getrandbits(16)
        tos, ttl = rng.getrandbits(8), rng.randrange(1, 256)
        flags = rng.choice(("", "DF"))
        m.ask(IP(src=PEER4, dst=IP4, id=ident, tos=tos, ttl=ttl, flags=flags)
              / ICMP(type=8, id=ident, seq=size) / data,
              IP(src=IP4, dst=PEER4, id=ident, tos=tos, ttl=64, flags=flags)
              / ICMP(type=0, id=ident, seq=size) / data)
        for own in (IP6, LOCAL):
            m.ask(IPv6(src=PEER6, dst=own, tc=tos, fl=ident, hlim=ttl)
                  / ICMPv6EchoRequest(id=ident, seq=size, data=data),
                  IPv6(src=own, dst=PEER6, tc=tos, fl=ident, hlim=64)
                  / ICMPv6EchoReply(id=ident, seq=size, data=data))


def resolve(m):
    for ip in (PEER4, "10.0.0.254"):
        gid = bytes(10) + b"\xff\xff" + socket.inet_aton(ip)
        m.record(RESOLVE, b"", m.frame(MAC, ALL, ARP(
            op=1, hwsrc=MAC, psrc=IP4, hwdst="00:00:00:00:00:00", pdst=ip)), gid)
    for ip, own in ((PEER6, IP6), ("2001:db8::abcd:ef12", IP6), ("fe80::22", LOCAL)):
        grp, grp_mac = group(ip)
        m.record(RESOLVE, b"", m.frame(MAC, grp_mac, IPv6(src=own, dst=grp, hlim=255)
                 / ICMPv6ND_NS(tgt=ip) / ICMPv6NDOptSrcLLAddr(lladdr=MAC)),
                 inet_pton(socket.AF_INET6, ip))


def announce(m):
    """In the order of the port's addresses."""
    na = [m.frame(MAC, ALL6_MAC, IPv6(src=own, dst=ALL6, hlim=255)
                  / ICMPv6ND_NA(tgt=own, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=MAC))
          for own in (LOCAL, IP6)]
    gratuitous = m.frame(MAC, ALL, ARP(op=1, hwsrc=MAC, psrc=IP4, hwdst="00:00:00:00:00:00",
                                       pdst=IP4))
    for f in (na[0], gratuitous, na[1]):
        m.record(ANNOUNCE, b"", f)


def main():
    rng = random.Random(4791)
    with open(sys.argv[1], "wb") as out:
        for vlan in (False, True):
            m = Maker(out, vlan)
            announce(m)
            arp(m)
            nd(m)
            echo(m, rng)
            resolve(m)


main()
