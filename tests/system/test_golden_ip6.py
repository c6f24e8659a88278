#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Golden conversations over IPv6, with congestion control on and two HCA lcores:
scapy is the peer. Queue pairs are on either lcore, whichever packets arrive on."""

import os
import struct
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, peer, runner  # noqa: E402
from lib.peer import payload, text  # noqa: E402

from scapy.layers.inet6 import IPv6  # noqa: E402

MTU = 512
FIRST = 0xffffff
ECHO, PEER, COUNT = 0x300, 0x1000, 16
MEMORY, ROOM = 0x7000_0000_0000, 8192
DSCP, ECT0, CE = 0x2c, 2, 3
CNP_DSCP = 46
FOR_EVER_US = 10_000_000        # congestion control that stands still while a test runs
LINE_MBPS = 8000


def config():
    return {
        "lcores": {"hca": [1, 2], "app": 0},
        "ports": [{"name": "p0", "device": "net_af_packet0", "mtu": MTU,
                   "addresses": [f"{appliance.ADDRESS[4]}/24", f"{appliance.ADDRESS[6]}/64"]}],
        "congestion": {"cnp_dscp": CNP_DSCP, "cnp_interval_us": FOR_EVER_US,
                       "alpha_timer_us": FOR_EVER_US, "rate_timer_us": FOR_EVER_US,
                       "byte_counter_bytes": 4_000_000_000, "line_rate_mbps": LINE_MBPS},
        "apps": [{"name": "echo", "driver": "echo",
                  "settings": {"memory_bytes": ROOM, "memory_iova": MEMORY}}],
        "qps": [{"type": "RC", "peer": appliance.TESTER[6], "sq_psn": FIRST, "rq_psn": FIRST,
                 "timeout": 0, "name": "echo", "qpn": ECHO, "dest_qpn": PEER + ECHO,
                 "count": COUNT, "app": "echo", "traffic_class": DSCP << 2, "hop_limit": 17,
                 "access": ["remote_write", "remote_read", "remote_atomic"]}]}


class Ip6(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = appliance.pair()
        cls.addClassCleanup(cls.pair.close)
        cls.conversation = peer.Conversation(cls.pair, family=6, mtu=MTU)
        cls.box = appliance.Appliance(config(), cls.pair, args=["--idle=sleep"],
                                      lcores="(0-2)@(0-1)", vdev=",qpairs=2")
        cls.addClassCleanup(cls.box.close)
        cls.used = 0

    @classmethod
    def tearDownClass(cls):
        """Everything that was said in these tests, as tshark sees it."""
        print(f"tshark decoded {cls.conversation.decoded()} frames")

    def peer(self):
        """The tester's end of a queue pair that no test had yet."""
        cls = type(self)
        qpn = ECHO + cls.used
        self.assertLess(cls.used, COUNT)
        cls.used += 1
        p = peer.Peer(self.conversation, PEER + qpn, qpn, psn=FIRST, epsn=FIRST,
                      tos=DSCP << 2 | ECT0, ttl=17)
        p.memory = MEMORY + (qpn - ECHO) * ROOM
        return p

    def qp(self, p):
        return self.box.figures("/phca/qp", p.dest)

    def echo(self, p, length):
        p.say("SEND", text(length, salt=length))
        p.acked()
        self.assertEqual(payload(p.incoming("SEND")), text(length, salt=length))
        p.ack()

    def test_echo(self):
        p, q = self.peer(), self.peer()
        for length in (0, 3, MTU, 3 * MTU + 1):
            self.echo(p, length)
            self.echo(q, length)

    def test_memory(self):
        p = self.peer()
        p.say("SEND", b"PHCAmem?" + struct.pack("!IIQQ", 1, 0, 5, 0))
        p.acked()
        address, length, rkey = struct.unpack_from("!QQI", payload(p.incoming("SEND", length=96)), 24)
        p.ack()
        self.assertEqual((address, length), (p.memory, ROOM))
        p.say("WRITE", text(5 * MTU), va=p.memory + 4096, rkey=rkey)
        p.acked()
        self.assertEqual(p.read(5 * MTU, p.memory + 4096, rkey), text(5 * MTU))
        p.send("FETCH_ADD", va=p.memory, rkey=rkey, swap_add=3, ackreq=1)
        p.msn += 1
        p.expect("ATOMIC_ACK", psn=peer.psn(p.psn - 1), syndrome=peer.ACK, msn=p.msn, orig=0)

    def test_flow_label_and_checksum_do_not_matter(self):
        p = self.peer()
        p.say("SEND", b"checksum", udp_checksum=None)
        p.acked()
        p.incoming("SEND")
        p.ack()

    def test_loss_both_ways(self):
        p = self.peer()
        frames = p.message("SEND", text(2 * MTU))
        self.conversation.send(frames[1])
        p.refused(peer.NAK_SEQUENCE, at=p.psn - 2)
        self.conversation.send(*frames)
        p.acked()
        ours = p.incoming("SEND")
        p.ack(ours[1].psn, syndrome=peer.NAK_SEQUENCE)
        again = p.expect("SEND_LAST", psn=ours[1].psn, data=ours[1].data)
        self.assertEqual(again.raw, ours[1].raw)
        p.ack()

    # ------------------------------------------------------------ congestion

    def cnp(self, p):
        """The next frame is a congestion notification (A17.9.3)."""
        f = p.expect("CNP", psn=0, ackreq=0, solicited=0)
        ip = f.packet[IPv6]
        self.assertEqual((ip.tc, ip.hlim), (CNP_DSCP << 2, 64))
        self.assertEqual(bytes(f.bth.payload), bytes(16))

    def test_marked_packets_are_answered_by_one_cnp(self):
        p = self.peer()
        p.say("SEND", text(MTU + 1), tos=DSCP << 2 | CE)
        kinds = []
        while len(kinds) < 2:       # the order of the two is free
            f = p.get()
            kinds.append(f.name)
            if f.name == "CNP":
                self.conversation.waiting[p.qpn].appendleft(f)
                self.cnp(p)
            else:
                self.assertEqual((f.psn, f.msn), (peer.psn(p.psn - 1), 1))
        self.assertEqual(sorted(kinds), ["CNP", "RC_ACK"])
        p.msn = 1
        p.incoming("SEND")
        p.ack()
        p.say("SEND", b"marked, but too soon", tos=CE)
        p.acked()
        p.incoming("SEND")
        p.ack()
        p.nothing()
        qp = self.qp(p)
        self.assertEqual((qp["rx_ecn_marked"], qp["tx_cnps"]), (3, 1))

    def test_packets_marked_otherwise_are_not(self):
        p = self.peer()
        for ecn in (0, 1, 2):
            p.say("SEND", text(9), tos=DSCP << 2 | ecn)
            p.acked()
            p.incoming("SEND")
            p.ack()
        self.assertEqual(self.qp(p)["tx_cnps"], 0)

    def test_each_cnp_cuts_the_rate(self):
        p = self.peer()
        line = LINE_MBPS * 1_000_000
        self.assertEqual(self.qp(p)["rate_bps"], line)
        for rate in (line // 2, line // 4):     # alpha is 1: it has not fallen yet
            self.conversation.send(self.conversation.tester.frame(
                "CNP", bth={"dqpn": p.dest, "becn": 1}))
            self.echo(p, 3 * MTU)
            self.assertAlmostEqual(self.qp(p)["rate_bps"], rate, delta=rate // 100)
        self.assertEqual(self.qp(p)["rx_cnps"], 2)

    def test_packets_are_handed_over(self):
        """Some queue pair lives on the lcore that its packets do not arrive on."""
        for _ in range(2):
            self.echo(self.peer(), 1)
        self.assertGreater(self.box.figures("/phca/port", 0)["handed_over"], 0)


if __name__ == "__main__":
    runner.main()
