#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Golden conversations: scapy is the RC requester, the appliance answers.

Every frame from the appliance is rebuilt by scapy, byte for byte, and decoded by
tshark; PSNs, MSNs and syndromes are those of the specification (IBTA volume 1,
chapter 9.7). Each test has a queue pair of its own, and crosses the PSN's wrap."""

import os
import struct
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, peer, runner  # noqa: E402
from lib.peer import text  # noqa: E402

MTU = 1024
FIRST = 0xfffffe                # PSN that conversations begin with, both ways
SINKS, PLAIN, ECHO = 0x200, 0x2f0, 0x2f8
COUNT, PLAINS = 64, 8           # queue pairs of the sink, for a test each
MEMORY = 0x4000_0000_0000       # what the sink lends begins here, as peers see it
ROOM = 16384                    # for each queue pair
PEER = 0x1000                   # our QP numbers are so much greater
LENGTHS = (0, 1, 2, 3, 4, 255, MTU - 1, MTU)
CM = 20                         # code of the time in the echo's RNR NAKs


def config():
    rc = {"type": "RC", "peer": appliance.TESTER[4], "sq_psn": FIRST, "rq_psn": FIRST,
          "timeout": 0}
    every = ["remote_write", "remote_read", "remote_atomic"]
    return {
        "ports": [{"name": "p0", "device": "net_af_packet0", "mtu": MTU,
                   "addresses": [f"{appliance.ADDRESS[4]}/24", f"{appliance.ADDRESS[6]}/64"]}],
        "congestion": {"ecn": False},
        "apps": [{"name": "sink", "driver": "sink",
                  "settings": {"memory_bytes": ROOM, "memory_iova": MEMORY}},
                 {"name": "echo", "driver": "echo"}],
        "qps": [
            {**rc, "name": "sinks", "qpn": SINKS, "dest_qpn": PEER + SINKS, "count": COUNT,
             "app": "sink", "access": every, "max_recv_wr": 64, "max_send_wr": 16,
             "max_dest_rd_atomic": 4},
            {**rc, "name": "plain", "qpn": PLAIN, "dest_qpn": PEER + PLAIN, "app": "sink",
             "count": PLAINS, "traffic_class": 0x28, "hop_limit": 9},
            {**rc, "name": "echo", "qpn": ECHO, "dest_qpn": PEER + ECHO, "app": "echo",
             "count": 4, "max_recv_wr": 1, "min_rnr_timer": CM}]}


class Responder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = appliance.pair()
        cls.addClassCleanup(cls.pair.close)
        cls.box = appliance.Appliance(config(), cls.pair, args=["--idle=sleep"])
        cls.addClassCleanup(cls.box.close)
        cls.conversation = peer.Conversation(cls.pair, mtu=MTU)
        cls.used = {SINKS: 0, PLAIN: 0, ECHO: 0}
        cls.rkey = None
        cls.lone = cls.peer(cls, SINKS)     # who is only asked whether the appliance is there

    @classmethod
    def tearDownClass(cls):
        """Everything that was said in these tests, as tshark sees it."""
        count = cls.conversation.decoded()
        print(f"tshark decoded {count} frames")

    def peer(self, base=SINKS, **more):
        """The tester's end of a queue pair that no test had yet."""
        cls = self if isinstance(self, type) else type(self)
        qpn = base + cls.used[base]
        cls.used[base] += 1
        p = peer.Peer(cls.conversation, PEER + qpn, qpn, psn=FIRST, epsn=FIRST, **more)
        p.memory = MEMORY + (qpn - SINKS) * ROOM
        return p

    def lent(self, p):
        """Ask for the key of the memory: a SEND, and the application's SEND back."""
        nonce = struct.pack("!Q", 0x1122334455667788)
        p.say("SEND", b"PHCAmem?" + struct.pack("!II", 1, 0) + nonce + bytes(8))
        p.acked()
        answer = peer.payload(p.incoming("SEND", length=96))
        p.ack()
        self.assertEqual((answer[:8], answer[16:24]), (b"PHCAmem!", nonce))
        address, length, rkey = struct.unpack_from("!QQI", answer, 24)
        self.assertEqual((address, length), (p.memory, ROOM))
        return rkey

    def target(self):
        """A peer with memory, and the key for it."""
        p = self.peer()
        p.rkey = self.lent(p)
        return p

    def read(self, p, length, at=0):
        """READ the peer's part of the memory: its bytes."""
        return p.read(length, p.memory + at, p.rkey)

    def still_there(self, *quiet):
        """The appliance has answered this, and so all that was said before: nothing to these."""
        self.lone.say("SEND", b"there?")
        self.lone.acked()
        for p in quiet:
            p.nothing()

    def counted(self, p, counter):
        return self.box.figures("/phca/qp", p.dest)[counter]

    # ------------------------------------------------------------------ SEND

    def test_send_of_one_packet(self):
        p = self.peer()
        for length in LENGTHS:
            with self.subTest(length=length):
                p.say("SEND", text(length))
                p.acked()
        self.still_there(p)

    def test_send_of_several_packets_has_one_acknowledgement(self):
        p = self.peer()
        for length in (MTU + 1, 2 * MTU, 4 * MTU - 3):
            with self.subTest(length=length):
                p.say("SEND", text(length))
                p.acked()
        self.still_there(p)

    def test_send_without_request_for_acknowledgement_may_go_without(self):
        p = self.peer()
        p.say("SEND", text(9), ackreq=0)
        p.say("SEND_IMM", text(2 * MTU), ackreq=0, imm=1)
        p.say("SEND", text(10))
        p.acked(messages=3)
        self.still_there(p)

    def test_send_with_immediate_solicited(self):
        p = self.peer()
        p.say("SEND_IMM", text(77), imm=0xdeadbeef, bth={"solicited": 1})
        p.acked()
        p.say("SEND_IMM", b"", imm=0)
        p.acked()

    def test_invalidate_of_a_region_is_refused(self):
        """A region's key is not the peer's to invalidate: only windows' are."""
        p = self.target()
        at = p.psn
        p.say("SEND_INV", text(20), inv_rkey=p.rkey)
        p.refused(peer.NAK_REMOTE_ACCESS, at)
        p.say("SEND", b"in error now")
        self.still_there(p)
        q = self.target()
        self.assertEqual(len(self.read(q, 64)), 64)     # the key is as good as before

    def test_acknowledgements_of_many_in_flight_name_the_last(self):
        p = self.peer()
        frames = []
        for i in range(12):
            frames += p.message("SEND", text(i * 200), ackreq=1)
        self.conversation.send(*frames)
        seen = FIRST - 1
        while seen != peer.psn(p.psn - 1):      # as many as it likes, each further on
            ack = p.expect("ACK", syndrome=peer.ACK)
            step = peer.psn(ack.psn - seen)
            self.assertTrue(0 < step < 0x800000, ack)
            seen, p.msn = ack.psn, ack.msn
        self.assertEqual(p.msn, 12)
        self.still_there(p)

    # ----------------------------------------------------------------- WRITE

    def test_write_is_read_back(self):
        p = self.target()
        self.assertGreater(ROOM, 8 * MTU)
        for length in (1, 3, MTU, MTU + 1, 3 * MTU, 4 * MTU - 1):
            with self.subTest(length=length):
                at, data = ROOM - 4 * MTU, text(length, salt=length)
                p.say("WRITE", data, va=p.memory + at, rkey=p.rkey)
                p.acked()
                self.assertEqual(self.read(p, length, at), data)

    def test_write_of_nothing_needs_no_key(self):
        p = self.peer()
        p.say("WRITE", b"", va=0x123456789, rkey=0x999)
        p.acked()

    def test_write_with_immediate_takes_a_receive(self):
        p = self.target()
        before = self.box.figures("/phca/app", "sink")["own"]["completions"]
        for length in (0, 5, 2 * MTU + 2):
            p.say("WRITE_IMM", text(length), va=p.memory + 8192, rkey=p.rkey, imm=0x01020304)
            p.acked()
        self.assertEqual(self.read(p, 2 * MTU + 2, 8192), text(2 * MTU + 2))
        self.until(lambda: self.box.figures("/phca/app", "sink")["own"]["completions"]
                   >= before + 3)

    def until(self, condition, timeout_s=60):
        limit = time.monotonic() + timeout_s
        while not condition():
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.02)

    # ------------------------------------------------------------------ READ

    def test_read_of_any_length(self):
        p = self.target()
        whole = self.read(p, ROOM)
        self.assertEqual(len(whole), ROOM)
        for at, length in ((0, 0), (0, 1), (61, 3), (64, MTU), (65, MTU + 1), (4096, 3 * MTU),
                           (ROOM - 1, 1)):
            with self.subTest(at=at, length=length):
                self.assertEqual(self.read(p, length, at), whole[at:at + length])

    def test_read_is_answered_before_what_follows_it(self):
        p = self.target()
        at = p.psn
        frames = [p.frame("READ_REQ", va=p.memory, rkey=p.rkey, len=3 * MTU, ackreq=1),
                  p.frame("FETCH_ADD", psn=at + 3, va=p.memory, rkey=p.rkey, swap_add=2, ackreq=1),
                  p.frame("READ_REQ", psn=at + 4, va=p.memory, rkey=p.rkey, len=8, ackreq=1),
                  p.frame("SEND_ONLY", text(5), psn=at + 5, ackreq=1)]
        p.psn = peer.psn(at + 6)
        self.conversation.send(*frames)
        p.msn += 1
        p.responses(3 * MTU, at)
        p.msn += 1
        p.expect("ATOMIC_ACK", psn=peer.psn(at + 3), syndrome=peer.ACK, msn=p.msn, orig=0)
        p.msn += 1
        self.assertEqual(p.responses(8, at + 4), struct.pack("<Q", 2))
        p.acked()
        self.still_there(p)

    # --------------------------------------------------------------- atomics

    def atomic(self, p, op, at, psn=None, again=False, **operands):
        """What was in memory before."""
        sent = p.psn if psn is None else psn
        p.send(op, psn=psn, va=p.memory + at, rkey=p.rkey, ackreq=1, **operands)
        p.msn += not again
        msn = {} if again else {"msn": p.msn}
        return p.expect("ATOMIC_ACK", psn=peer.psn(sent), syndrome=peer.ACK, **msn).orig

    def test_fetch_add(self):
        p = self.target()
        add = 0x8000000000000001
        self.assertEqual(self.atomic(p, "FETCH_ADD", 8, swap_add=5), 0)
        self.assertEqual(self.atomic(p, "FETCH_ADD", 8, swap_add=add), 5)
        self.assertEqual(self.atomic(p, "FETCH_ADD", 8, swap_add=add), add + 5)     # wraps
        self.assertEqual(self.read(p, 8, 8), struct.pack("=Q", 7))

    def test_compare_and_swap(self):
        p = self.target()
        new = 0x0123456789abcdef
        self.assertEqual(self.atomic(p, "CMP_SWAP", 16, cmp=1, swap_add=2), 0)      # not equal
        self.assertEqual(self.atomic(p, "CMP_SWAP", 16, cmp=0, swap_add=new), 0)
        self.assertEqual(self.atomic(p, "CMP_SWAP", 16, cmp=new, swap_add=1), new)
        self.assertEqual(self.read(p, 8, 16), struct.pack("=Q", 1))

    # ------------------------------------------------------------ duplicates

    def test_duplicate_send_is_acknowledged_and_not_delivered(self):
        p = self.peer()
        one = p.message("SEND", text(30))
        self.conversation.send(*one)
        p.acked()
        two = p.message("SEND", text(2 * MTU))
        self.conversation.send(*two)
        p.acked()
        self.conversation.send(*one)
        p.acked(messages=0)
        self.conversation.send(two[-1])
        p.acked(messages=0)
        self.assertEqual(self.counted(p, "rx_messages"), 2)
        self.assertEqual(self.counted(p, "rx_duplicates"), 2)
        self.still_there(p)

    def test_duplicate_write_does_not_write(self):
        p = self.target()
        old = p.message("WRITE", b"old!", va=p.memory + 8192, rkey=p.rkey)
        self.conversation.send(*old)
        p.acked()
        p.say("WRITE", b"new!", va=p.memory + 8192, rkey=p.rkey)
        p.acked()
        self.conversation.send(*old)
        p.acked(messages=0)
        self.assertEqual(self.read(p, 4, 8192), b"new!")

    def test_duplicate_read_is_read_again(self):
        p = self.target()
        at = p.psn
        data = self.read(p, 4 * MTU)
        p.send("READ_REQ", psn=at, va=p.memory, rkey=p.rkey, len=4 * MTU, ackreq=1)
        self.assertEqual(p.responses(4 * MTU, at), data)
        # the last two packets of it: what a requester asks for that lost them
        p.send("READ_REQ", psn=at + 2, va=p.memory + 2 * MTU, rkey=p.rkey, len=2 * MTU, ackreq=1)
        self.assertEqual(p.responses(2 * MTU, at + 2), data[2 * MTU:])
        p.say("SEND", b"on")
        p.acked()
        self.still_there(p)

    def test_duplicate_atomic_has_the_recorded_result(self):
        p = self.target()
        at = p.psn
        self.assertEqual(self.atomic(p, "FETCH_ADD", 24, swap_add=10), 0)
        self.assertEqual(self.atomic(p, "FETCH_ADD", 24, swap_add=10), 10)
        for _ in range(2):
            self.assertEqual(self.atomic(p, "FETCH_ADD", 24, psn=at, again=True, swap_add=10), 0)
        self.assertEqual(self.read(p, 8, 24), struct.pack("=Q", 20))

    # ----------------------------------------------------- losses, not ready

    def test_gap_has_one_nak_until_it_is_closed(self):
        p = self.peer()
        p.say("SEND", text(1))
        p.acked()
        lost, later = p.message("SEND", text(2)), []
        for i in range(3):
            later += p.message("SEND", text(i))
        end, p.psn = p.psn, peer.psn(p.psn - 4)
        self.conversation.send(*later)
        p.refused(peer.NAK_SEQUENCE)
        self.still_there(p)             # one NAK for all three
        self.conversation.send(*lost)
        p.psn = peer.psn(p.psn + 1)
        p.acked()
        self.conversation.send(later[1])
        p.refused(peer.NAK_SEQUENCE)    # a new gap
        for frame in later:
            self.conversation.send(frame)
            p.psn = peer.psn(p.psn + 1)
            p.acked()
        self.assertEqual(p.psn, end)
        self.assertEqual(self.counted(p, "rx_messages"), 5)

    def test_gap_in_a_message(self):
        p = self.target()
        frames = p.message("WRITE", text(4 * MTU), va=p.memory + 8192, rkey=p.rkey)
        self.conversation.send(frames[0], frames[2], frames[3])
        p.refused(peer.NAK_SEQUENCE, at=p.psn - 3)
        self.conversation.send(*frames[1:])
        p.acked()
        self.assertEqual(self.read(p, 4 * MTU, 8192), text(4 * MTU))

    def test_corrupt_packet_is_as_lost(self):
        p = self.peer()
        frame, = p.message("SEND", text(40))
        wrong = frame[:-5] + bytes([frame[-5] ^ 0x10]) + frame[-4:]
        self.conversation.tester.send(wrong)
        self.still_there(p)
        self.conversation.send(frame)
        p.acked()
        self.assertEqual(self.counted(p, "rx_packets"), 1)

    def test_no_receive_is_an_rnr_nak_until_there_is_one(self):
        p = self.peer(ECHO)
        p.say("SEND", b"takes the only receive")
        p.acked()
        p.incoming("SEND")              # its answer, which holds the buffer until acknowledged
        again, = p.message("SEND", b"too early")
        for _ in range(2):
            self.conversation.send(again)
            p.refused(peer.RNR | CM, at=p.psn - 1)
        p.ack()
        self.still_there()
        while True:                     # the application posts it again in its own time
            self.conversation.send(again)
            answer = p.get()
            if answer.syndrome == peer.ACK:
                break
            self.assertEqual((answer.syndrome, answer.psn), (peer.RNR | CM, peer.psn(p.psn - 1)))
        self.assertEqual((answer.psn, answer.msn), (peer.psn(p.psn - 1), 2))
        self.assertEqual(peer.payload(p.incoming("SEND")), b"too early")
        p.ack()

    # --------------------------------------------------------- peer's faults

    def fault(self, syndrome, op, *data, target=None, count=1, **fields):
        """A request that ends the connection: this NAK, and nothing after it."""
        p = target or self.target()
        fields = {"va": p.memory, "rkey": p.rkey, **fields}
        at = p.psn
        p.send(op, *data, ackreq=1, **fields)
        p.refused(syndrome, at)
        p.say("SEND", b"anyone?")
        self.still_there(p)
        self.assertEqual(self.counted(p, "state"), "ERR")

    def test_wrong_key(self):
        for op, *data in (("WRITE_ONLY", text(8)), ("READ_REQ",), ("FETCH_ADD",), ("CMP_SWAP",)):
            with self.subTest(op):
                p = self.target()
                self.fault(peer.NAK_REMOTE_ACCESS, op, *data, target=p, len=8,
                           rkey=p.rkey ^ 0x100)

    def test_outside_of_the_region(self):
        end = MEMORY + (COUNT + PLAINS) * ROOM
        for op, data, va, length in (
                ("WRITE_ONLY", text(8), MEMORY - 1, 8),
                ("WRITE_FIRST", text(MTU), end - MTU, MTU + 1),
                ("READ_REQ", b"", 2**64 - 4, 8),
                ("READ_REQ", b"", MEMORY, end - MEMORY + 1),
                ("FETCH_ADD", b"", MEMORY - 8, 0)):
            with self.subTest(op=op, va=va):
                self.fault(peer.NAK_REMOTE_ACCESS, op, data, va=va, len=length)

    def test_invalid_requests(self):
        for op, data, fields in (
                ("FETCH_ADD", b"", {"va": MEMORY + 4}),                 # not aligned
                ("SEND_MIDDLE", text(MTU), {}),                         # no first
                ("WRITE_LAST", text(1), {}),
                ("SEND_FIRST", text(MTU - 4), {}),                      # a path MTU it must be
                ("WRITE_ONLY", text(8), {"len": 9}),                    # says 9, brings 8
                ("READ_REQ", b"", {"len": 0x80000001})):
            with self.subTest(op=op):
                self.fault(peer.NAK_INVALID_REQUEST, op, data, **fields)

    def test_new_message_within_one(self):
        p = self.target()
        p.send("SEND_FIRST", text(MTU))
        self.fault(peer.NAK_INVALID_REQUEST, "SEND_ONLY", text(3), target=p)

    def test_memory_that_the_queue_pair_does_not_open(self):
        for op, data in (("WRITE_ONLY", text(8)), ("READ_REQ", b""), ("FETCH_ADD", b"")):
            with self.subTest(op=op):
                p = self.peer(PLAIN, tos=0x28, ttl=9)
                p.rkey = self.target().rkey
                self.fault(peer.NAK_INVALID_REQUEST, op, data, target=p, va=MEMORY, len=8)

    # ---------------------------------------------------------------- header

    def test_header_fields_that_do_not_matter(self):
        """MigReq either way, a UDP checksum, another source port, any hop limit."""
        p = self.peer()
        p.say("SEND", b"MigReq 0", bth={"migreq": 0})
        p.acked()
        p.say("SEND", b"checksum", udp_checksum=None)
        p.acked()
        p.say("SEND", b"port", sport=0xfff1)
        p.acked()

    def test_traffic_class_and_hop_limit_are_the_queue_pairs(self):
        p = self.peer(PLAIN, tos=0x28, ttl=9)
        p.say("SEND", text(3 * MTU))
        p.acked()


if __name__ == "__main__":
    runner.main()
