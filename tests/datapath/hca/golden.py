#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Ladders for the responder, made by scapy: packets in, what must follow.

    golden.py RECORDS

RECORDS is what test_golden.c reads (struct step there). Each ladder runs over
IPv4 and IPv6, with and without VLAN. Its packets, their headers and iCRC come
from scapy and tests/common/roce_scapy.py, which share nothing with lib/wire; the
clause behind each step is that of the IBTA specification, volume 1.
"""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../common"))

from scapy.layers.inet import IP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import Dot1Q, Ether  # noqa: E402

import roce_scapy as roce  # noqa: E402

MTU = 1024
QKEY = 0x11111111
UD, UC = 0x55, 0x66           # queue pairs of test_golden.c
IOVA, LENGTH, RKEY = 0x100000, 8192, 0x301
NONE, RECV, RECV_IMM = 0xffff, 128, 129  # enum phca_wc_opcode

# struct step of test_golden.c: frame and data follow
STEP = struct.Struct("<BBHHI IIII 24s")


def below(ip6, vlan):
    eth = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02")
    if vlan:
        eth /= Dot1Q(vlan=7, prio=5)
    if ip6:
        return eth / IPv6(src="2001:db8::2", dst="2001:db8::1", tc=0x68, fl=0x12345)
    return eth / IP(src="192.0.2.2", dst="192.0.2.1", tos=0x68, flags="DF")


class Ladder:
    def __init__(self, out, ip6, vlan):
        self.out, self.ip6, self.vlan = out, ip6, vlan
        self.seed = 0

    def data(self, n):
        """n bytes unlike those of other packets."""
        self.seed += 1
        return bytes((self.seed * 7 + i * 3 + (i >> 8)) & 0xff for i in range(n))

    def step(self, verdict, name, payload=b"", qpn=UC, psn=0, done=None, **fields):
        """One packet and its verdict. done: the completion as (opcode, message, imm); with
        opcode NONE the message is what RDMA WRITE has put to the offset imm of the region."""
        bth = {"dqpn": qpn, "psn": psn, "pkey": fields.pop("pkey", 0xffff),
               "solicited": fields.pop("solicited", 0)}
        corrupt = fields.pop("corrupt", False)
        frame = bytearray(bytes(roce.frame(below(self.ip6, self.vlan), roce.OPCODE[name],
                                           payload, 0xc001, bth=bth, **fields)))
        if corrupt:
            frame[-1] ^= 0x80
        opcode, message, imm = done or (NONE, b"", 0)
        self.out.write(STEP.pack(self.ip6, self.vlan, len(frame), opcode, len(message),
                                 qpn, imm, fields.get("sqpn", 0), done is not None,
                                 verdict.encode()))
        self.out.write(bytes(frame) + message)

    def ud(self):
        def send(verdict, n, name="UD_SEND_ONLY", ok=False, imm=0, **f):
            d = self.data(n)
            self.step(verdict, name, d, UD, qkey=f.pop("qkey", QKEY), sqpn=0xabcdef, imm=imm,
                      done=(RECV, d, imm) if ok else None, **f)

        send("direct", 0, ok=True)                    # 9.8.3: an empty message is one
        for n in (1, 2, 3, 4, 5, 63, 1021, 1024):     # every pad count (9.2.5)
            send("direct", n, ok=True)
        send("direct", 77, "UD_SEND_ONLY_IMM", ok=True, imm=0x01020304)
        send("length", 1028)                          # 9.8.3.2: longer than the MTU
        send("qkey", 8, qkey=QKEY ^ 1)                # 9.6.1.4
        send("pkey", 8, pkey=0x8001)                  # 9.6.1.1.3, 10.9.3
        send("direct", 8, ok=True, pkey=0x7fff)       # limited member to a full one
        send("icrc", 8, corrupt=True)                 # 9.3.1, A17.3.3
        self.step("qp_transport", "UC_SEND_ONLY", self.data(8), UD)  # 9.6.1.1.3
        self.step("qp_transport", "RC_SEND_ONLY", self.data(8), UD)
        self.step("qpn", "UD_SEND_ONLY", self.data(8), 0x777, qkey=QKEY, sqpn=1)  # 9.6.1.1

    def message(self, psn, sizes, kind="SEND", imm=None, done=None, **first):
        """A message of some packets, all right."""
        parts = [self.data(n) for n in sizes]
        whole = b"".join(parts)
        for i, part in enumerate(parts):
            last = i + 1 == len(parts)
            place = "ONLY" if len(parts) == 1 else "FIRST" if i == 0 else "LAST" if last else "MIDDLE"
            name = f"UC_{kind}_{place}" + ("_IMM" if last and imm is not None else "")
            fields = dict(first, len=len(whole)) if i == 0 else {}
            if last and imm is not None:
                fields["imm"] = imm
            self.step("direct", name, part, psn=psn + i & 0xffffff,
                      done=done(whole) if last and done else None, **fields)

    def uc(self):
        def send(whole):
            return (RECV, whole, 0)

        for sizes in ((0,), (1,), (1024,), (1024, 1), (1024, 1024, 1023)):  # 9.8.2
            self.message(5, sizes, done=send)
        self.message(0xffffff, (1024, 1024, 8), imm=0xdeadbeef,             # the PSN wraps (9.7.1)
                     done=lambda w: (RECV, w, 0xdeadbeef))
        # 9.8.2.2.1: a gap drops the message, the next FIRST or ONLY starts anew
        self.step("direct", "UC_SEND_FIRST", self.data(MTU), psn=10)
        self.step("psn", "UC_SEND_MIDDLE", self.data(MTU), psn=12)
        self.step("psn", "UC_SEND_LAST", self.data(4), psn=13)
        self.message(14, (9,), done=send)
        # 9.8.2.2.2: opcodes out of sequence
        self.step("sequence", "UC_SEND_LAST", self.data(4), psn=15)
        self.step("direct", "UC_SEND_FIRST", self.data(MTU), psn=16)
        self.step("sequence", "UC_WRITE_LAST", self.data(4), psn=17)
        # 9.8.2.2.4: FIRST is full, LAST is not empty, nothing is longer than the MTU
        self.step("length", "UC_SEND_FIRST", self.data(MTU - 4), psn=18)
        self.step("length", "UC_SEND_LAST", self.data(4), psn=19)
        self.step("direct", "UC_SEND_FIRST", self.data(MTU), psn=20)
        self.step("length", "UC_SEND_LAST", b"", psn=21)
        self.step("length", "UC_SEND_ONLY", self.data(MTU + 4), psn=22)
        self.step("qp_transport", "UD_SEND_ONLY", self.data(4), qkey=QKEY, sqpn=1)

    def write(self):
        at = {"va": IOVA + 100, "rkey": RKEY}

        def written(whole):
            return (NONE, whole, 100)

        for sizes in ((1,), (1024,), (1024, 3), (1024, 1024, 1024)):         # 9.4.3, 9.8.2
            self.message(30, sizes, "WRITE", done=written, **at)
        self.message(40, (1024, 5), "WRITE", imm=0x55aa, done=lambda w: (RECV_IMM, w, 0x55aa), **at)
        self.message(50, (12,), "WRITE", imm=7, done=lambda w: (RECV_IMM, w, 7), **at)
        self.step("direct", "UC_WRITE_ONLY", psn=51, rkey=0x999, len=0)      # C9-88: no key needed
        for bad in ({"rkey": RKEY ^ 0x100}, {"rkey": RKEY ^ 1}, {"va": IOVA - 1},  # 9.8.2.2.5
                    {"va": IOVA + LENGTH - 7}, {"va": 2 ** 64 - 4}):
            self.step("rkey", "UC_WRITE_ONLY", self.data(8), psn=52, **{**at, **bad, "len": 8})
        self.step("length", "UC_WRITE_ONLY", self.data(8), psn=53, **at, len=9)
        self.step("length", "UC_WRITE_FIRST", self.data(MTU), psn=54, **at, len=MTU)
        self.step("length", "UC_WRITE_ONLY", self.data(8), psn=55, **at, len=2 ** 31 + 1)
        self.step("direct", "UC_WRITE_FIRST", self.data(MTU), psn=60, **at, len=MTU + 8)
        self.step("length", "UC_WRITE_LAST", self.data(7), psn=61)


def main(records):
    with open(records, "wb") as out:
        for vlan in (False, True):
            for ip6 in (False, True):
                ladder = Ladder(out, ip6, vlan)
                ladder.ud()
                ladder.uc()
                ladder.write()


if __name__ == "__main__":
    main(*sys.argv[1:])
