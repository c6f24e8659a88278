#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Questions to the port, and the answers it must give, both made by scapy.

    golden.py RECORDS

RECORDS is what test_golden.c reads: struct golden, the question, the answer. For
a destination that is resolved, a group that is joined or left, there is no
question, and the answer is what the port must send. Addresses are those of
net_lab.c. Checksums are scapy's.
"""
import random
import struct
import sys

from scapy.contrib.igmp import IGMP
from scapy.contrib.igmpv3 import IGMPv3, IGMPv3gr, IGMPv3mq, IGMPv3mr
from scapy.layers.inet import ICMP, IP, IPOption_Router_Alert
from scapy.layers.inet6 import (ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6MLDMultAddrRec,
                                ICMPv6MLDone, ICMPv6MLQuery, ICMPv6MLQuery2, ICMPv6MLReport,
                                ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr,
                                ICMPv6NDOptSrcLLAddr, IPv6, IPv6ExtHdrHopByHop, RouterAlert,
                                in6_getnsma, in6_getnsmac)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.utils6 import inet_pton
import socket

MAC, PEER = "00:70:68:63:61:01", "02:00:00:00:00:22"
IP4, PEER4, IP6, PEER6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"
LOCAL = "fe80::270:68ff:fe63:6101"
ALL, ALL6, ALL6_MAC = "ff:ff:ff:ff:ff:ff", "ff02::1", "33:33:00:00:00:01"

ANSWER, RESOLVE, ANNOUNCE, JOIN, LEAVE, QUERY, OLD_LEAVE = range(7)
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
    member = m.frame(MAC, "33:33:00:00:00:16",
                     mld2_report(TO_EX, *(group(a)[0] for a in (LOCAL, IP6))))
    for f in (na[0], gratuitous, na[1], member):
        m.record(ANNOUNCE, b"", f)


def gid_of(ip):
    return bytes(10) + b"\xff\xff" + socket.inet_aton(ip) if "." in ip else \
        inet_pton(socket.AF_INET6, ip)


def group_mac(ip):
    raw = gid_of(ip)
    if "." in ip:
        return "01:00:5e:%02x:%02x:%02x" % (raw[13] & 0x7f, raw[14], raw[15])
    return "33:33:%02x:%02x:%02x:%02x" % tuple(raw[12:])


def igmp(dst, body, src=IP4):
    """An IGMP packet; a router's or a host's."""
    return IP(src=src, dst=dst, ttl=1, tos=0xc0, id=0, options=[IPOption_Router_Alert()]) / body


def igmp3_report(kind, *groups):
    return igmp("224.0.0.22", IGMPv3(type=0x22)
                / IGMPv3mr(records=[IGMPv3gr(rtype=kind, maddr=g) for g in groups]))


def mld(dst, body, src=LOCAL):
    return IPv6(src=src, dst=dst, hlim=1) / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / body


def mld2_report(kind, *groups):
    return mld("ff02::16", ICMPv6MLReport2(
        records=[ICMPv6MLDMultAddrRec(rtype=kind, dst=g) for g in groups]))


GROUP4, GROUP4_HIGH, GROUP6 = "239.1.2.3", "232.255.0.9", "ff0e::1:2:3"
IS_EX, TO_IN, TO_EX = 2, 3, 4


class Groups:
    """Frames about groups: what the port must tell of them, and when asked."""

    def __init__(self, m):
        self.m = m

    def tell(self, kind, group, answer, dst, question=b""):
        self.m.record(kind, question, self.m.frame(MAC, group_mac(dst), answer), gid_of(group))

    def query(self, group, question, answer, to, dst):
        self.tell(QUERY, group, answer, dst,
                  self.m.frame(PEER, group_mac(to), question, pad=False))


def groups4(g):
    for group in (GROUP4, GROUP4_HIGH):
        g.tell(JOIN, group, igmp3_report(TO_EX, group), "224.0.0.22")
        g.tell(LEAVE, group, igmp3_report(TO_IN, group), "224.0.0.22")
        for to, asked in (("224.0.0.1", "0.0.0.0"), (group, group)):
            for src in ("10.0.0.254", "0.0.0.0"):
                for code in (1, 100, 0x8f):
                    g.query(group, igmp(to, IGMPv3(type=0x11, mrcode=code) / IGMPv3mq(gaddr=asked),
                                        src), igmp3_report(IS_EX, group), to, "224.0.0.22")
            old = igmp(to, IGMP(type=0x11, mrcode=10, gaddr=asked), "10.0.0.254")
            g.query(group, old, igmp(group, IGMP(type=0x16, mrcode=0, gaddr=group)), to, group)
            leave = igmp("224.0.0.2", IGMP(type=0x17, mrcode=0, gaddr=group))
            g.tell(OLD_LEAVE, group, leave, "224.0.0.2",
                   g.m.frame(PEER, group_mac(to), old, pad=False))


def groups6(g):
    own = [group(a)[0] for a in (LOCAL, IP6)]
    g.tell(JOIN, GROUP6, mld2_report(TO_EX, GROUP6), "ff02::16")
    g.tell(LEAVE, GROUP6, mld2_report(TO_IN, GROUP6), "ff02::16")
    for code in (1, 1000, 0x8fff):
        for to, asked, told in (("ff02::1", "::", own + [GROUP6]), (GROUP6, GROUP6, [GROUP6])):
            g.query(GROUP6, mld(to, ICMPv6MLQuery2(mladdr=asked, mrd=code), "fe80::22"),
                    mld2_report(IS_EX, *told), to, "ff02::16")
    old = mld(GROUP6, ICMPv6MLQuery(mladdr=GROUP6, mrd=1000), "fe80::22")
    g.query(GROUP6, old, mld(GROUP6, ICMPv6MLReport(mladdr=GROUP6)), GROUP6, GROUP6)
    g.tell(OLD_LEAVE, GROUP6, mld("ff02::2", ICMPv6MLDone(mladdr=GROUP6)), "ff02::2",
           g.m.frame(PEER, group_mac(GROUP6), old, pad=False))


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
            groups4(Groups(m))
            groups6(Groups(m))


main()
