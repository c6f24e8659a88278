#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Golden conversations with proxy queue pairs: scapy is the RC requester, and what it
asks for is carried out by the proxy CPU, in its own time and order. On the wire
that is not to be seen: PSNs, MSNs and order are those of a plain queue pair."""

import os
import struct
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, peer, runner  # noqa: E402
from lib.peer import payload, text  # noqa: E402

MTU = 1024
FIRST = 0xfffffe
PROXY, LONE, COUNT = 0x200, 0x2f0, 24
MEMORY, ROOM = 0x5000_0000_0000, 16384
PEER = 0x1000                   # our QP numbers are so much greater
OFFLOADED = 64                  # SENDs and WRITEs of so many bytes are; READs and atomics
SHORT = text(OFFLOADED - 1)


def config():
    rc = {"type": "RC", "peer": appliance.TESTER[4], "sq_psn": FIRST, "rq_psn": FIRST,
          "timeout": 0, "app": "sink",
          "access": ["remote_write", "remote_read", "remote_atomic"]}

    def rule(name):
        return {"filter": name, "offload": "delay", "direction": "inbound"}

    return {
        "ports": [{"name": "p0", "device": "net_af_packet0", "mtu": MTU,
                   "addresses": [f"{appliance.ADDRESS[4]}/24"]}],
        "congestion": {"ecn": False},
        "filters": [
            {"name": "long", "object": appliance.filter_object("by_size"),
             "params": {"min_len": OFFLOADED}},
            {"name": "answers", "object": appliance.filter_object("by_opcode"),
             "params": {"send": False, "read": True, "atomic": True}}],
        "offloads": [{"name": "delay", "driver": "delay",
                      "settings": {"delay_min_us": 100, "delay_max_us": 20000, "seed": 3}}],
        "apps": [{"name": "sink", "driver": "sink",
                  "settings": {"memory_bytes": ROOM, "memory_iova": MEMORY}}],
        "qps": [{**rc, "name": "proxy", "qpn": PROXY, "dest_qpn": PEER + PROXY, "count": COUNT},
                {**rc, "name": "lone", "qpn": LONE, "dest_qpn": PEER + LONE}],
        "proxy_qps": [{"qps": ["proxy"], "rules": [rule("answers"), rule("long")]}]}


class Proxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = appliance.pair()
        cls.addClassCleanup(cls.pair.close)
        cls.box = appliance.Appliance(config(), cls.pair, args=["--idle=sleep"])
        cls.addClassCleanup(cls.box.close)
        cls.conversation = peer.Conversation(cls.pair, mtu=MTU)
        cls.lone = peer.Peer(cls.conversation, PEER + LONE, LONE, psn=FIRST, epsn=FIRST)
        cls.lone.say("SEND", b"PHCAmem?" + struct.pack("!IIQQ", 1, 0, 0, 0))
        cls.lone.acked()
        cls.rkey, = struct.unpack_from("!I", payload(cls.lone.incoming("SEND", length=96)), 40)
        cls.lone.ack()
        cls.used = 0

    @classmethod
    def tearDownClass(cls):
        """Everything that was said in these tests, as tshark sees it."""
        print(f"tshark decoded {cls.conversation.decoded()} frames")

    def peer(self):
        """The tester's end of a queue pair that no test had yet."""
        qpn = PROXY + self.used
        type(self).used += 1
        p = peer.Peer(self.conversation, PEER + qpn, qpn, psn=FIRST, epsn=FIRST)
        p.memory, p.rkey = MEMORY + (qpn - PROXY) * ROOM, self.rkey
        return p

    def still_there(self, *quiet):
        """The appliance has answered this, and so all that was said before: nothing to these."""
        self.lone.say("SEND", b"there?")
        self.lone.acked()
        for p in quiet:
            p.nothing()

    def counted(self, p, counter):
        return self.box.figures("/phca/qp", p.dest)[counter]

    def write(self, p, data, at):
        """What the proxy CPU answers from, written over a plain queue pair."""
        self.lone.say("WRITE", data, va=p.memory + at, rkey=p.rkey)
        self.lone.acked()

    # ------------------------------------------------------------------ SEND

    def test_sends_offloaded_and_not(self):
        p = self.peer()
        for i in range(4):
            for length in (OFFLOADED, 0, 3 * MTU, OFFLOADED - 1):
                p.say("SEND_IMM", text(length), imm=i)
                p.acked()
        self.assertEqual((self.counted(p, "rx_offloaded"), self.counted(p, "rx_direct")), (8, 8))

    def test_many_sends_under_way(self):
        p = self.peer()
        frames = []
        for i in range(10):
            frames += p.message("SEND", text(OFFLOADED if i % 2 else 5))
        self.conversation.send(*frames)
        seen = 0
        while seen < 10:
            ack = p.expect("ACK", syndrome=peer.ACK)
            self.assertEqual(peer.psn(ack.psn - FIRST), ack.msn - 1)
            self.assertGreater(ack.msn, seen)
            seen = ack.msn
        self.still_there(p)

    def test_duplicate_does_not_run_its_offload_again(self):
        p = self.peer()
        frames = p.message("SEND", text(MTU))   # of several packets, each may be acknowledged again
        self.conversation.send(*frames)
        p.acked()
        self.conversation.send(*frames)
        p.acked(messages=0)
        p.say("SEND", SHORT)
        p.acked()
        self.assertEqual((self.counted(p, "rx_offloaded"), self.counted(p, "rx_messages")), (1, 2))

    def test_write_is_acknowledged_and_left_to_the_proxy(self):
        """What it offloads, the HCA does not write to memory."""
        p = self.peer()
        self.write(p, bytes(OFFLOADED), 8192)
        for length in (OFFLOADED, OFFLOADED - 1):
            p.say("WRITE", text(length, salt=1), va=p.memory + 8192, rkey=p.rkey)
            p.acked()
            want = bytes(length) if length == OFFLOADED else text(length, salt=1)
            self.assertEqual(p.read(length, p.memory + 8192, p.rkey), want)

    def test_gap_in_an_offloaded_message(self):
        p = self.peer()
        frames = p.message("SEND", text(4 * MTU))
        self.conversation.send(frames[0], frames[1], frames[3])
        p.refused(peer.NAK_SEQUENCE, at=p.psn - 2)
        self.conversation.send(*frames[2:])
        p.acked()
        self.assertEqual(self.counted(p, "rx_offloaded"), 1)

    # ------------------------------------------------------- READ and atomics

    def test_reads_bring_what_was_written(self):
        p = self.peer()
        data = text(5 * MTU, salt=1)
        self.write(p, data, 8192)
        for length in (0, 1, MTU, MTU + 1, 5 * MTU):
            with self.subTest(length=length):
                self.assertEqual(p.read(length, p.memory + 8192, p.rkey), data[:length])
        self.assertEqual(self.counted(p, "rx_offloaded"), 5)

    def test_answers_in_the_order_of_the_requests(self):
        """However long each takes; and acknowledgements of what is behind wait for them."""
        p = self.peer()
        self.write(p, text(2 * MTU), 8192)
        at, frames = p.psn, []
        for i in range(4):
            frames += [p.frame("FETCH_ADD", psn=at + 4 * i, va=p.memory, rkey=p.rkey, swap_add=1),
                       p.frame("READ_REQ", psn=at + 4 * i + 1, va=p.memory + 8192, rkey=p.rkey,
                               len=2 * MTU),
                       p.frame("SEND_ONLY", SHORT, psn=at + 4 * i + 3)]
        p.psn = peer.psn(at + 16)
        frames += p.message("SEND", SHORT)
        self.conversation.send(*frames)
        before = set()      # each is executed when its time is over, and tells what it found
        for i in range(4):
            p.msn += 1
            f = p.expect("ATOMIC_ACK", psn=peer.psn(at + 4 * i), syndrome=peer.ACK, msn=p.msn)
            before.add(f.orig)
            p.msn += 1
            self.assertEqual(p.responses(2 * MTU, at + 4 * i + 1), text(2 * MTU))
            p.msn += 1
        p.acked()
        self.assertEqual(before, {0, 1, 2, 3})
        self.still_there(p)

    def test_repeated_requests_have_one_result(self):
        """Again before the answer, and again behind it."""
        p = self.peer()
        at = p.psn
        frame = p.frame("FETCH_ADD", va=p.memory + 8, rkey=p.rkey, swap_add=5)
        self.conversation.send(frame, frame, frame)
        p.psn, p.msn = peer.psn(at + 1), 1
        p.expect("ATOMIC_ACK", psn=at, syndrome=peer.ACK, msn=1, orig=0)
        p.say("SEND", SHORT)
        while p.get().bth.opcode != 0x11:   # answered again as often as it was asked again, or not
            pass
        p.msn = 2
        self.conversation.send(frame)
        p.expect("ATOMIC_ACK", psn=at, syndrome=peer.ACK, orig=0)
        self.assertEqual(p.read(8, p.memory + 8, p.rkey), struct.pack("=Q", 5))
        self.assertEqual(self.counted(p, "rx_offloaded"), 2)

    def test_read_again_from_the_middle(self):
        p = self.peer()
        data = text(4 * MTU, salt=9)
        self.write(p, data, 8192)
        at = p.psn
        self.assertEqual(p.read(4 * MTU, p.memory + 8192, p.rkey), data)
        p.send("READ_REQ", psn=at + 2, va=p.memory + 8192 + 2 * MTU, rkey=p.rkey, len=2 * MTU)
        self.assertEqual(p.responses(2 * MTU, at + 2), data[2 * MTU:])
        self.assertEqual(self.counted(p, "rx_offloaded"), 1)

    def test_gap_is_told_behind_the_answers(self):
        p = self.peer()
        self.write(p, text(MTU), 8192)
        at = p.psn
        frames = [p.frame("READ_REQ", va=p.memory + 8192, rkey=p.rkey, len=MTU),
                  p.frame("SEND_ONLY", SHORT, psn=at + 2)]
        self.conversation.send(*frames)
        p.psn = peer.psn(at + 1)
        p.msn += 1
        self.assertEqual(p.responses(MTU, at), text(MTU))
        p.refused(peer.NAK_SEQUENCE)
        p.say("SEND", SHORT)
        p.acked()

    def test_wrong_key(self):
        for op, length in (("READ_REQ", 8), ("FETCH_ADD", 0)):
            with self.subTest(op):
                p = self.peer()
                p.send("FETCH_ADD", va=p.memory, rkey=p.rkey, swap_add=1)
                p.msn += 1
                p.expect("ATOMIC_ACK", psn=FIRST, syndrome=peer.ACK, msn=1, orig=0)
                p.send(op, va=p.memory, rkey=p.rkey ^ 0x100, len=length)
                p.expect("ACK", psn=peer.psn(FIRST + 1), syndrome=peer.NAK_REMOTE_ACCESS)
                self.assertEqual(self.counted(p, "state"), "ERR")
                p.say("SEND", SHORT)
                self.still_there(p)


if __name__ == "__main__":
    runner.main()
