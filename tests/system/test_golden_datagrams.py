#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Golden conversations without acknowledgements: UC and UD, and multicast groups.
scapy is the peer both ways."""

import os
import socket
import struct
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, peer, runner  # noqa: E402
from lib.peer import payload, text  # noqa: E402

import roce_scapy as roce  # noqa: E402
from scapy.contrib.igmpv3 import IGMPv3, IGMPv3mr  # noqa: E402
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.inet6 import ICMPv6MLReport2, IPv6  # noqa: E402
from scapy.layers.l2 import Ether, getmacbyip  # noqa: E402

MTU = 1024
FIRST = 0xfffffe
QKEY = 0x11111111
PEER = 0x1000                   # our QP numbers are so much greater
ECHO, SINK, LOOK = 0x200, 0x210, 0x218
MEMORY, ROOM = 0x7000_0000_0000, 16384
THEIRS, RKEY = 0x12345678000, 0x778899aa    # memory that we say we have
LONG = 2 * MTU + 3
GROUP = {4: "239.9.0.1", 6: "ff0e::9:1"}
OTHER = {4: "239.9.0.2", 6: "ff0e::9:2"}    # nobody's
EVERYONE = 0xffffff             # QP number of groups
MESSAGES = 6

# name: (type, QPN, settings of a generator)
GENERATORS = {
    "uc-send": ("UC", 0x300, {"operation": "send_imm", "size": f"0,3,{MTU},{LONG}"}),
    "uc-write": ("UC", 0x301, {"operation": "write", "size": str(LONG)}),
    "uc-wimm": ("UC", 0x302, {"operation": "write_imm", "size": f"1,{LONG}"}),
    "ud4": ("UD", 0x310, {"operation": "send_imm", "size": f"0-{MTU}", "peer_qpn": PEER + 0x310,
                          "peer": appliance.TESTER[4], "peer_qkey": 0x22222222}),
    "ud6": ("UD", 0x311, {"operation": "send", "size": f"0-{MTU}", "peer_qpn": PEER + 0x311,
                          "peer": appliance.TESTER[6]}),
    "group4": ("UD", 0x318, {"operation": "send", "size": "100", "peer": GROUP[4]}),
    "group6": ("UD", 0x319, {"operation": "send", "size": "101", "peer": GROUP[6]}),
}
MEMBERS = {"member": 0x320, "both": 0x321}
STRANGER = 0x322


def config():
    uc = {"type": "UC", "peer": appliance.TESTER[4], "sq_psn": FIRST, "rq_psn": FIRST,
          "access": ["remote_write"]}
    ud = {"type": "UD", "qkey": QKEY, "sq_psn": FIRST}
    memory = {"remote_addr": THEIRS, "remote_bytes": 1 << 20, "rkey": RKEY}
    qps = [{**uc, "name": "echo", "qpn": ECHO, "dest_qpn": PEER + ECHO, "count": 4, "app": "echo"},
           {**uc, "name": "sink", "qpn": SINK, "dest_qpn": PEER + SINK, "count": 4, "app": "sink"},
           {"type": "RC", "peer": appliance.TESTER[4], "sq_psn": FIRST, "rq_psn": FIRST,
            "timeout": 0, "access": ["remote_read"], "name": "look", "qpn": LOOK,
            "dest_qpn": PEER + LOOK, "count": 2, "app": "sink"},
           {**ud, "name": "member", "qpn": MEMBERS["member"], "app": "members",
            "mcast": [GROUP[4]]},
           {**ud, "name": "both", "qpn": MEMBERS["both"], "app": "members",
            "mcast": [GROUP[4], GROUP[6]]},
           {**ud, "name": "stranger", "qpn": STRANGER, "app": "members"}]
    apps = [{"name": "echo", "driver": "echo"}, {"name": "members", "driver": "sink"},
            {"name": "sink", "driver": "sink",
             "settings": {"memory_bytes": ROOM, "memory_iova": MEMORY}}]
    for name, (kind, qpn, settings) in GENERATORS.items():
        qps.append({**(uc if kind == "UC" else ud), "name": name, "qpn": qpn, "app": name,
                    **({"dest_qpn": PEER + qpn} if kind == "UC" else {})})
        apps.append({"name": name, "driver": "generator",
                     "settings": {"messages": MESSAGES, "depth": 2, **settings,
                                  **(memory if "write" in settings["operation"] else {})}})
    return {
        "ports": [{"name": "p0", "device": "net_af_packet0", "mtu": MTU,
                   "addresses": [f"{appliance.ADDRESS[4]}/24", f"{appliance.ADDRESS[6]}/64"]}],
        "congestion": {"ecn": False}, "apps": apps, "qps": qps}


class Datagrams(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = appliance.pair()
        cls.addClassCleanup(cls.pair.close)
        # Two conversations on the wire of one machine: each keeps what is for it.
        cls.heard = []
        receive = cls.pair.wire.receive
        cls.conversation = peer.Conversation(cls.pair, mtu=MTU)
        cls.conversation6 = peer.Conversation(cls.pair, mtu=MTU, family=6)
        cls.pair.wire.receive = lambda want, timeout_s=30: cls.next(want, receive, timeout_s)
        cls.box = appliance.Appliance(config(), cls.pair, args=["--idle=sleep"])
        cls.addClassCleanup(cls.box.close)
        cls.used = {ECHO: 0, SINK: 0, LOOK: 0}

    @classmethod
    def next(cls, want, receive, timeout_s):
        """As Wire.receive, but what is not wanted now is kept."""
        limit = time.monotonic() + timeout_s
        while True:
            for i, frame in enumerate(cls.heard):
                if want(frame):
                    return cls.heard.pop(i)
            frame = receive(lambda f: True, limit - time.monotonic())
            if frame is None:
                return None
            cls.heard.append(frame)

    @classmethod
    def tearDownClass(cls):
        """Everything that was said in these tests, as tshark sees it."""
        for c in (cls.conversation, cls.conversation6):
            print(f"tshark decoded {c.decoded()} frames")

    def peer(self, base, kind="UC"):
        """The tester's end of a queue pair that no test had yet."""
        qpn = base + self.used[base]
        self.used[base] += 1
        p = peer.Peer(self.conversation, PEER + qpn, qpn, kind, psn=FIRST, epsn=FIRST)
        p.memory = MEMORY + (qpn - SINK) * ROOM
        return p

    def generated(self, name):
        kind, qpn, _ = GENERATORS[name]
        conversation = self.conversation6 if name.endswith("6") else self.conversation
        return peer.Peer(conversation, PEER + qpn, qpn, kind, psn=FIRST, epsn=FIRST)

    def until(self, condition, what, timeout_s=60):
        limit = time.monotonic() + timeout_s
        while not condition():
            self.assertLess(time.monotonic(), limit, what)
            time.sleep(0.02)

    # -------------------------------------------------------------------- UC

    def test_uc_echo(self):
        p = self.peer(ECHO)
        for length in (0, 1, MTU, MTU + 1, 3 * MTU - 1):
            with self.subTest(length=length):
                p.say("SEND", text(length, salt=length), ackreq=0)
                self.assertEqual(payload(p.incoming("SEND")), text(length, salt=length))
                p.say("SEND_IMM", text(length, salt=3), ackreq=0, imm=length)
                self.assertEqual(payload(p.incoming("SEND_IMM", imm=length)),
                                 text(length, salt=3))

    def test_uc_loss_costs_its_message(self):
        p = self.peer(ECHO)
        for lost in (0, 1, 2):
            frames = p.message("SEND", text(LONG, salt=lost), ackreq=0)
            self.conversation.send(*(f for i, f in enumerate(frames) if i != lost))
            p.say("SEND", text(lost), ackreq=0)
            self.assertEqual(payload(p.incoming("SEND")), text(lost))
        qp = self.box.figures("/phca/qp", p.dest)
        self.assertEqual((qp["rx_messages"], qp["rx_dropped"]), (3, 3))

    def test_uc_duplicate_packets_that_begin_no_message_are_dropped(self):
        p = self.peer(ECHO)
        frames = p.message("SEND", text(LONG), ackreq=0)
        self.conversation.send(*frames, *frames[1:])
        p.say("SEND", b"next", ackreq=0)
        self.assertEqual(payload(p.incoming("SEND")), text(LONG))
        self.assertEqual(payload(p.incoming("SEND")), b"next")

    def test_uc_write_is_read_by_rc(self):
        """UC cannot read: a connection to the same memory does."""
        look = self.peer(LOOK, "RC")
        look.say("SEND", b"PHCAmem?" + struct.pack("!IIQQ", 1, 0, 0, 0))
        look.acked()
        rkey, = struct.unpack_from("!I", payload(look.incoming("SEND", length=96)), 40)
        look.ack()
        p = self.peer(SINK)
        for op, length in (("WRITE", 1), ("WRITE", LONG), ("WRITE_IMM", 5), ("WRITE_IMM", LONG)):
            with self.subTest(op=op, length=length):
                data = text(length, salt=len(op))
                p.say(op, data, ackreq=0, va=p.memory + 4096, rkey=rkey, imm=64)
                self.assertEqual(look.read(length, p.memory + 4096, rkey), data)
        p.say("WRITE", b"wrong key", ackreq=0, va=p.memory + 4096, rkey=rkey ^ 0x100)
        p.say("WRITE", b"right", ackreq=0, va=p.memory + 8192, rkey=rkey)
        self.assertEqual(look.read(5, p.memory + 8192, rkey), b"right")
        self.assertEqual(look.read(9, p.memory + 4096, rkey), text(LONG, salt=9)[:9])

    def test_uc_sends(self):
        p = self.generated("uc-send")
        for i in range(MESSAGES):
            data = payload(p.incoming("SEND_IMM", imm=i))
            self.assertIn(len(data), (0, 3, MTU, LONG))

    def test_uc_writes(self):
        p = self.generated("uc-write")
        for _ in range(MESSAGES):
            p.incoming("WRITE", length=LONG, len=LONG, rkey=RKEY)
        p = self.generated("uc-wimm")
        for _ in range(MESSAGES):
            frames = p.incoming("WRITE_IMM", rkey=RKEY)
            self.assertEqual(frames[0].len, len(payload(frames)))
            self.assertEqual(frames[0].va - THEIRS - 64, frames[-1].imm * 64)

    # -------------------------------------------------------------------- UD

    def test_ud_sends(self):
        for name, op, qkey in (("ud4", "SEND_ONLY_IMM", 0x22222222), ("ud6", "SEND_ONLY", QKEY)):
            with self.subTest(name):
                p = self.generated(name)
                for i in range(MESSAGES):
                    f = p.expect(op, psn=peer.psn(FIRST + i), qkey=qkey, sqpn=p.dest, ackreq=0)
                    self.assertEqual(f.data[:8], i.to_bytes(8, "little")[:len(f.data)])

    # ---------------------------------------------------------------- groups

    def frames(self, want, count, timeout_s=60):
        """So many frames of the appliance's for which want(packet) is true."""
        ours = bytes.fromhex(self.pair.mac("appliance").replace(":", ""))
        got = []
        while len(got) < count:
            f = self.pair.wire.receive(lambda f: f[6:12] == ours and want(Ether(f)), timeout_s)
            self.assertIsNotNone(f, f"only {len(got)} of {count} came")
            got.append(Ether(f))
        return got

    def test_groups_are_joined(self):
        """IGMPv3 and MLDv2 reports, each group in one; not those of nobody."""
        def reported(packet):
            if IGMPv3 in packet and IGMPv3mr in packet:
                return [r.maddr for r in packet[IGMPv3mr].records]
            if ICMPv6MLReport2 in packet:
                return [r.dst for r in packet[ICMPv6MLReport2].records]
            return []

        for family, to in ((4, "224.0.0.22"), (6, "ff02::16")):
            group = GROUP[family]
            packet, = self.frames(lambda p: group in reported(p), 1)
            ip = packet[IP if family == 4 else IPv6]
            self.assertEqual(ip.dst, to)
            self.assertEqual(packet.dst, getmacbyip(to) if family == 4 else "33:33:00:00:00:16")

    def group_mac(self, family, group):
        if family == 4:
            return getmacbyip(group)
        return "33:33:" + ":".join(f"{b:02x}" for b in socket.inet_pton(socket.AF_INET6, group)[12:])

    def test_group_receives(self):
        self.looped()
        for family, members in ((4, {"member", "both"}), (6, {"both"})):
            with self.subTest(family=family):
                tester = appliance.Tester(self.pair, family)
                qps = {**MEMBERS, "stranger": STRANGER}
                before = {n: self.box.figures("/phca/qp", q)["rx_messages"]
                          for n, q in qps.items()}
                for group in (GROUP[family], OTHER[family], GROUP[family]):
                    tester.send(tester.frame(
                        "UD_SEND_ONLY", text(200), bth={"dqpn": EVERYONE, "migreq": 1}, qkey=QKEY,
                        sqpn=0x777, to=(self.group_mac(family, group), group)))
                for name in members:
                    self.until(lambda: self.box.figures("/phca/qp", qps[name])["rx_messages"]
                               == before[name] + 2, f"{name} has not two messages more")
                for name in set(qps) - members:
                    self.assertEqual(self.box.figures("/phca/qp", qps[name])["rx_messages"],
                                     before[name], name)

    def test_group_is_sent_to(self):
        for family, name, length in ((4, "group4", 100), (6, "group6", 101)):
            with self.subTest(family=family):
                group = GROUP[family]
                layer = IP if family == 4 else IPv6
                got = self.frames(lambda p: UDP in p and layer in p and p[layer].dst == group, MESSAGES)
                for i, packet in enumerate(got):
                    f = peer.Frame(bytes(packet))
                    self.assertEqual((packet.dst, packet[layer].src),
                                     (self.group_mac(family, group), appliance.ADDRESS[family]))
                    self.assertEqual((f.name, f.dqpn, f.psn, f.qkey, f.sqpn, len(f.data)),
                                     ("UD_SEND_ONLY", EVERYONE, peer.psn(FIRST + i), QKEY,
                                      GENERATORS[name][1], length))
                    self.assertEqual(f.raw[-4:], roce.icrc(f.raw))
                    self.conversation.said.append(f.raw)

    def looped(self):
        """The generators' messages have reached the queue pairs of the same port in the groups."""
        for name, atleast in (("member", MESSAGES), ("both", 2 * MESSAGES)):
            self.until(lambda: self.box.figures("/phca/qp", MEMBERS[name])["rx_messages"]
                       >= atleast, name)

    def test_group_members_here_receive_what_is_sent_here(self):
        self.looped()
        self.assertEqual(self.box.figures("/phca/qp", STRANGER)["rx_messages"], 0)


if __name__ == "__main__":
    runner.main()
