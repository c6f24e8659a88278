#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Golden conversations: the appliance requests, scapy is the responder.

The applications generator and echo post; scapy acknowledges, refuses, loses and
is late, as a peer or a network does. What comes again must be what came before.
Each test has a queue pair of its own, and crosses the PSN's wrap. Local ACK
timeouts are off but for the queue pairs that are there to wait for them."""

import json
import os
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, peer, runner  # noqa: E402
from lib.peer import payload, text  # noqa: E402

MTU = 1024
FIRST = 0xfffffd
PEER = 0x1000                   # our QP numbers are so much greater
SIZE = 3 * MTU + 5              # four packets
READS = 130 * MTU + 1
MEMORY, ROOM, RKEY = 0x12345678000, 1 << 20, 0x778899aa
TRIES = 2                       # retry_cnt and rnr_retry of those that give up

# name: (QPN, queue pairs, settings of a generator, attributes)
GENERATORS = {
    "send": (0x200, 12, {"operation": "send", "size": str(SIZE), "depth": 1}, {}),
    "imm": (0x210, 4, {"operation": "send_imm", "size": "0-9", "depth": 1}, {}),
    "many": (0x218, 4, {"operation": "send", "size": "1-3000", "depth": 8, "messages": 24}, {}),
    "write": (0x220, 4, {"operation": "write", "size": str(SIZE), "depth": 1, "readback": 0}, {}),
    "wimm": (0x228, 4, {"operation": "write_imm", "size": f"0,7,{SIZE}", "depth": 1}, {}),
    "back": (0x230, 8, {"operation": "write", "size": str(SIZE), "depth": 1, "readback": 1}, {}),
    "read": (0x238, 4, {"operation": "read", "size": f"0,1,{MTU},{READS}", "depth": 1}, {}),
    "cas": (0x240, 4, {"operation": "cas", "depth": 1}, {}),
    "add": (0x248, 4, {"operation": "fetch_add", "depth": 1}, {}),
    "inline": (0x250, 2, {"operation": "write", "size": "300", "inline_max": 512, "depth": 1,
                          "readback": 0}, {"max_inline": 512}),
    "class": (0x258, 1, {"operation": "send", "size": "64", "depth": 1},
              {"traffic_class": 0x68, "hop_limit": 3}),
    "two": (0x25c, 1, {"operation": "read", "size": str(SIZE), "depth": 8}, {"max_rd_atomic": 2}),
    "limit": (0x260, 4, {"operation": "send", "size": str(SIZE), "depth": 1},
              {"rnr_retry": TRIES}),
}
# Begins when its test loads it: its timeouts run from then on.
LOADED = {"slow": (0x300, 1, {"operation": "read", "size": str(SIZE), "depth": 1},
                   {"timeout": 16})}
ECHO, LATE, SHORT = 0x2f0, 0x2f4, 0x2f8 # the last two have local ACK timeouts: 268 and 4 ms


RC = {"type": "RC", "peer": appliance.TESTER[4], "sq_psn": FIRST, "rq_psn": FIRST, "timeout": 0}


def generators(table):
    """Applications and queue pairs of a table such as GENERATORS."""
    memory = {"remote_addr": MEMORY, "remote_bytes": ROOM, "rkey": RKEY}
    return {
        "apps": [{"name": name, "driver": "generator", "settings": {**memory, **settings}}
                 for name, (_, _, settings, _) in table.items()],
        "qps": [{**RC, **attributes, "name": name, "qpn": qpn, "dest_qpn": PEER + qpn,
                 "count": count, "app": name, "max_recv_wr": 16}
                for name, (qpn, count, _, attributes) in table.items()]}


def config():
    these = generators(GENERATORS)
    return {
        "ports": [{"name": "p0", "device": "net_af_packet0", "mtu": MTU,
                   "addresses": [f"{appliance.ADDRESS[4]}/24", f"{appliance.ADDRESS[6]}/64"]}],
        "congestion": {"ecn": False},
        "apps": [{"name": "echo", "driver": "echo"}, *these["apps"]],
        "qps": [
            *these["qps"],
            {**RC, "name": "echo", "qpn": ECHO, "dest_qpn": PEER + ECHO, "count": 4,
             "app": "echo"},
            {**RC, "name": "late", "qpn": LATE, "dest_qpn": PEER + LATE, "count": 4,
             "app": "echo", "timeout": 16},
            {**RC, "name": "short", "qpn": SHORT, "dest_qpn": PEER + SHORT, "count": 2,
             "app": "echo", "timeout": 10, "retry_cnt": TRIES}]}


class Requester(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = appliance.pair()
        cls.addClassCleanup(cls.pair.close)
        cls.conversation = peer.Conversation(cls.pair, mtu=MTU)
        cls.box = appliance.Appliance(config(), cls.pair, args=["--idle=sleep"])
        cls.addClassCleanup(cls.box.close)
        cls.used = {}

    @classmethod
    def tearDownClass(cls):
        """Everything that was said in these tests, as tshark sees it."""
        print(f"tshark decoded {cls.conversation.decoded()} frames")

    def peer(self, name, **more):
        """The tester's end of a queue pair of that application that no test had yet."""
        known = {**GENERATORS, **LOADED}
        base, count = known[name][:2] if name in known else \
            ({"echo": ECHO, "late": LATE, "short": SHORT}[name], 2)
        at = self.used.get(name, 0)
        self.assertLess(at, count, f"more queue pairs for {name}")
        self.used[name] = at + 1
        p = peer.Peer(self.conversation, PEER + base + at, base + at, psn=FIRST, epsn=FIRST, **more)
        p.memory = MEMORY + at * ROOM
        return p

    def lone(self, *quiet):
        """The appliance answers somebody else, and so has dealt with all that was sent before."""
        if not hasattr(type(self), "other"):
            type(self).other = self.peer("echo")
        other = self.other
        other.say("SEND", b"there?")
        other.acked()
        other.incoming("SEND")
        other.ack()
        for p in quiet:
            p.nothing()

    def until(self, condition, what, timeout_s=60):
        limit = time.monotonic() + timeout_s
        while not condition():
            self.assertLess(time.monotonic(), limit, what)
            time.sleep(0.02)

    def qp(self, p):
        return self.box.figures("/phca/qp", p.dest)

    def own(self, name, counter):
        return self.box.figures("/phca/app", name)["own"].get(counter, 0)

    def same(self, before, after):
        """What came again is what came before; only AckReq may differ."""
        self.assertEqual(len(before), len(after))
        for b, a in zip(before, after):
            self.assertEqual((a.name, a.data), (b.name, b.data))
            self.assertEqual({**a.fields, "ackreq": 0}, {**b.fields, "ackreq": 0})

    def again(self, p, frames, start=0):
        """The message of frames comes once more, from its packet number start on."""
        got = [p.get() for _ in frames[start:]]
        self.same(frames[start:], got)
        self.assertTrue(got[-1].ackreq)
        return got

    def dead(self, p, name, status):
        """The queue pair has gone to ERROR, with this completion status; it says nothing more."""
        self.until(lambda: self.qp(p)["state"] == "ERR", "not in ERROR")
        if name in GENERATORS:
            self.until(lambda: self.own(name, f"status_{status}") > 0,
                       f"no status {status}: {self.box.figures('/phca/app', name)}")
        p.ack(p.epsn + 10)
        p.send("SEND_ONLY", b"anyone?")
        self.lone(p)

    # ------------------------------------------------------------------ SEND

    def test_sends_of_several_packets(self):
        p = self.peer("send")
        for i in range(4):
            frames = p.incoming("SEND", length=SIZE)
            self.assertEqual([f.ackreq for f in frames], [0, 0, 0, 1])
            self.assertEqual(int.from_bytes(payload(frames)[:8], "little"), i)
            p.nothing()         # one at a time: it waits for us
            p.ack()

    def test_immediate(self):
        p = self.peer("imm")
        for i in range(12):
            p.incoming("SEND_IMM", imm=i)
            p.ack()

    def test_many_under_way(self):
        p = self.peer("many")
        first = []
        for i in range(8):
            first.append(p.incoming("SEND", asked=None))
        self.assertTrue(first[-1][-1].ackreq)
        p.nothing()
        p.ack(first[3][-1].psn)         # half of them: as many more may come
        for i in range(8, 12):
            p.incoming("SEND", asked=None)
        p.nothing()
        for i in range(12, 24):
            p.ack()
            if i % 8 == 4:
                for _ in range(8 if i == 12 else 4):
                    p.incoming("SEND", asked=None)
        p.nothing()

    def test_echo_of_every_length(self):
        p = self.peer("echo")
        for length in (0, 1, 2, 3, 4, MTU - 1, MTU, MTU + 1, 4000):
            with self.subTest(length=length):
                p.say("SEND", text(length, salt=length))
                p.acked()
                self.assertEqual(payload(p.incoming("SEND")), text(length, salt=length))
                p.ack()
        p.say("SEND_IMM", text(2 * MTU + 2), imm=0x87654321)
        p.acked()
        self.assertEqual(payload(p.incoming("SEND_IMM", imm=0x87654321)), text(2 * MTU + 2))
        p.ack()

    def test_traffic_class_and_hop_limit(self):
        p = self.peer("class", tos=0x68, ttl=3)
        p.incoming("SEND")
        p.ack()

    # ------------------------------------------------- WRITE, READ, atomics

    def test_write(self):
        p = self.peer("write")
        for _ in range(3):
            frames = p.incoming("WRITE", length=SIZE, rkey=RKEY, len=SIZE)
            self.assertTrue(p.memory <= frames[0].va <= p.memory + ROOM - SIZE)
            p.ack()

    def test_write_with_immediate(self):
        p = self.peer("wimm")
        lengths = set()
        for _ in range(20):
            frames = p.incoming("WRITE_IMM", rkey=RKEY)
            length = len(payload(frames))
            self.assertEqual(frames[0].len, length)
            lengths.add(length)
            p.ack()
        self.assertEqual(lengths, {0, 7, SIZE})

    def test_inline_write(self):
        p = self.peer("inline")
        data = payload(p.incoming("WRITE", length=300, len=300))
        self.assertEqual(data[:8], bytes(8))
        self.assertGreater(len(set(data[8:])), 64)      # a pattern, not a blank buffer
        p.ack()

    def asked(self, p, length, va, at=None):
        """A READ request is this; its PSN. at: not the next PSN but this one."""
        at = p.epsn if at is None else peer.psn(at)
        p.expect("READ_REQ", psn=at, rkey=RKEY, va=va, len=length)
        return at

    def test_read(self):
        """Whatever it asks for; long ones may be asked for in parts."""
        p = self.peer("read")
        lengths = set()
        for _ in range(16):
            f = p.expect("READ_REQ", psn=p.epsn, rkey=RKEY)
            whole, va = f.len, f.va
            packets = max(1, -(-whole // MTU))
            lengths.add(whole)
            if whole not in (0, 1, MTU):    # the parts come without our answers in between
                parts = [f]
                while sum(x.len for x in parts) < READS:
                    taken = sum(x.len for x in parts)
                    self.assertEqual(taken % MTU, 0)
                    parts.append(p.expect("READ_REQ", psn=peer.psn(p.epsn + taken // MTU),
                                          rkey=RKEY, va=va + taken))
                whole = sum(x.len for x in parts)
                packets = -(-whole // MTU)
                for x in parts:
                    p.respond(text(x.len), x.psn)
            else:
                p.respond(text(whole), f.psn)
            p.epsn = peer.psn(p.epsn + packets)
            p.done += 1
            if {0, 1, MTU} < lengths and len(lengths) == 4:
                break
        else:
            self.fail(f"READs only of {lengths}")

    def test_reads_outstanding_are_limited(self):
        p = self.peer("two")
        waiting = []
        for i in range(6):
            while len(waiting) < 2:
                f = p.expect("READ_REQ", psn=p.epsn, len=SIZE, rkey=RKEY)
                p.epsn = peer.psn(p.epsn + 4)
                waiting.append(f)
            self.lone(p)            # max_rd_atomic is 2
            p.done += 1
            p.respond(text(SIZE), waiting.pop(0).psn)

    def written(self, p):
        """A WRITE that is acknowledged by the answer to the READ behind it: bytes, address."""
        frames = p.incoming("WRITE", length=SIZE, asked=None)
        return payload(frames), frames[0].va

    def finish_read(self, p, packets):
        p.epsn = peer.psn(p.epsn + packets)
        p.done += 1

    def test_read_brings_what_was_written(self):
        p = self.peer("back")
        before = self.own("back", "mismatches"), self.own("back", "verified")
        for _ in range(2):
            data, va = self.written(p)
            at = self.asked(p, SIZE, va)
            p.ack()             # of the WRITE alone
            p.respond(data, at)
            self.finish_read(p, 4)
        p.get()                 # the next WRITE: the READ was complete
        self.assertEqual((self.own("back", "mismatches"), self.own("back", "verified")),
                         (before[0], before[1] + 2))

    def test_wrong_bytes_are_seen(self):
        """The comparison behind the other tests of READ can fail."""
        p = self.peer("back")
        before = self.own("back", "mismatches")
        data, va = self.written(p)
        p.respond(data[:-1] + bytes([data[-1] ^ 1]), self.asked(p, SIZE, va))
        self.finish_read(p, 4)
        p.get()
        self.assertEqual(self.own("back", "mismatches"), before + 1)

    def test_lost_response_is_asked_for_again_from_there(self):
        p = self.peer("back")
        before = self.own("back", "mismatches"), self.own("back", "verified")
        data, va = self.written(p)
        at = self.asked(p, SIZE, va)
        p.respond(data, at, parts=(0, 2, 3))      # the second is lost
        again = self.asked(p, SIZE - MTU, va + MTU, at=at + 1)
        p.respond(data[MTU:], again)
        self.finish_read(p, 4)
        p.get()
        self.assertEqual((self.own("back", "mismatches"), self.own("back", "verified")),
                         (before[0], before[1] + 1))
        self.assertEqual(self.qp(p)["state"], "RTS")

    def test_first_response_lost(self):
        p = self.peer("back")
        data, va = self.written(p)
        at = self.asked(p, SIZE, va)
        p.respond(data, at, parts=(1,))
        again = self.asked(p, SIZE, va, at=at)          # and the WRITE is acknowledged by that
        p.respond(data, again)
        self.finish_read(p, 4)
        p.get()
        self.assertEqual(self.qp(p)["tx_resent"], 1)

    def test_duplicate_responses_are_nothing(self):
        p = self.peer("back")
        before = self.own("back", "mismatches"), self.own("back", "verified")
        data, va = self.written(p)
        at = self.asked(p, SIZE, va)
        p.respond(data, at, parts=(0, 1))
        p.respond(text(SIZE), at, parts=(0, 1))   # old news, with other bytes
        p.respond(data, at, parts=(2, 3))
        p.respond(text(SIZE), at, parts=(3,))
        self.finish_read(p, 4)
        p.get()
        self.assertEqual((self.own("back", "mismatches"), self.own("back", "verified")),
                         (before[0], before[1] + 1))

    def test_refused_read(self):
        p = self.peer("back")
        _, va = self.written(p)
        at = self.asked(p, SIZE, va)
        p.ack(at, syndrome=peer.NAK_REMOTE_ACCESS)
        self.dead(p, "back", 10)

    def atomics(self, name, op, execute):
        p = self.peer(name)
        memory = [0, 0]
        before = self.own(name, "mismatches")
        for _ in range(8):
            f = p.expect(op, psn=p.epsn, rkey=RKEY)
            self.assertEqual(f.va % 8, 0)
            word = (f.va - p.memory) // 8
            old = memory[word]
            memory[word] = execute(old, f)
            p.send("ATOMIC_ACK", psn=p.epsn, syndrome=peer.ACK, msn=p.done, orig=old)
            p.epsn = peer.psn(p.epsn + 1)
            p.done += 1
        p.get()
        self.assertEqual(self.own(name, "mismatches"), before)
        self.assertGreaterEqual(self.own(name, "completed"), 8)
        return p

    def test_fetch_add(self):
        self.atomics("add", "FETCH_ADD", lambda old, f: old + f.swap_add & (1 << 64) - 1)

    def test_compare_and_swap(self):
        done = []

        def swap(old, f):
            done.append(f.cmp == old)
            return f.swap_add if done[-1] else old

        self.atomics("cas", "CMP_SWAP", swap)
        self.assertEqual(set(done), {True, False})

    def test_lost_atomic_is_asked_for_again_unchanged(self):
        p = self.peer("add")
        f = p.expect("FETCH_ADD", psn=p.epsn)
        p.ack(p.epsn)           # an acknowledgement where the result should be: it was lost
        again = p.expect("FETCH_ADD", psn=p.epsn)
        self.same([f], [again])
        p.send("ATOMIC_ACK", psn=p.epsn, syndrome=peer.ACK, msn=1, orig=0)
        p.expect("FETCH_ADD", psn=peer.psn(p.epsn + 1))

    # ---------------------------------------------------------- losses, RNR

    def test_sequence_nak(self):
        """From the PSN of the NAK on, which acknowledges what was before it."""
        p = self.peer("send")
        for lost in (0, 1, 3):
            with self.subTest(lost=lost):
                frames = p.incoming("SEND")
                p.ack(frames[lost].psn, syndrome=peer.NAK_SEQUENCE)
                self.again(p, frames, start=lost)
                p.nothing()
                p.ack()
        frames = p.incoming("SEND")
        self.assertEqual(int.from_bytes(payload(frames)[:8], "little"), 3)
        self.assertEqual(self.qp(p)["tx_resent"], 4 + 3 + 1)

    def test_second_nak_while_it_is_sent_again_is_one(self):
        p = self.peer("send")
        frames = p.incoming("SEND")
        self.conversation.send(*(p.frame("ACK", psn=frames[1].psn, syndrome=peer.NAK_SEQUENCE,
                                         msn=0) for _ in range(3)))
        self.again(p, frames, start=1)
        self.lone(p)
        p.ack()
        p.incoming("SEND")

    def test_rnr_nak(self):
        p = self.peer("send")
        frames = p.incoming("SEND")
        for _ in range(10):                             # rnr_retry is 7: for ever
            p.ack(frames[0].psn, syndrome=peer.RNR | 1)  # 0.01 ms
            frames = self.again(p, frames)
        p.ack()
        frames = p.incoming("SEND")
        p.ack(frames[2].psn, syndrome=peer.RNR | 1)     # in the middle
        self.again(p, frames, start=2)
        p.ack()
        p.incoming("SEND")

    def test_rnr_naks_beyond_the_limit(self):
        p = self.peer("limit")
        frames = p.incoming("SEND")
        for _ in range(TRIES):
            p.ack(frames[0].psn, syndrome=peer.RNR | 1)
            self.again(p, frames)
        p.ack(frames[0].psn, syndrome=peer.RNR | 1)
        self.dead(p, "limit", 13)

    def test_progress_restores_the_limit(self):
        p = self.peer("limit")
        frames = p.incoming("SEND")
        for start in (1, 2, 3):                         # each acknowledges one packet more
            for _ in range(TRIES):
                p.ack(frames[start].psn, syndrome=peer.RNR | 1)
                self.again(p, frames, start)
        p.ack()
        p.incoming("SEND")
        self.assertEqual(self.qp(p)["state"], "RTS")

    def test_write_is_sent_again_from_the_middle(self):
        p = self.peer("write")
        for lost in (3, 2, 1, 0):
            frames = p.incoming("WRITE")
            p.ack(frames[lost].psn, syndrome=peer.NAK_SEQUENCE)
            self.again(p, frames, start=lost)
            p.ack()

    # -------------------------------------------------------------- timeouts

    def test_read_goes_on_where_its_answer_stopped(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump(generators(LOADED), f)
            f.flush()
            self.assertIn("Added", self.box.do(f"load config {f.name}"))
        p = self.peer("slow")
        data = text(SIZE)
        f = p.expect("READ_REQ", psn=p.epsn, len=SIZE)
        again = p.get()                     # no answer at all: the same again
        self.same([f], [again])
        p.respond(data, f.psn, parts=(0, 1))
        while again.psn == f.psn:           # unless the timer was faster than our answer
            again = p.get()
        self.assertEqual((again.name, again.psn, again.va, again.len),
                         ("RC_READ_REQ", peer.psn(f.psn + 2), f.va + 2 * MTU, SIZE - 2 * MTU))
        p.respond(data[2 * MTU:], again.psn)
        f = p.get()
        while f.psn == again.psn:
            f = p.get()
        self.assertEqual((f.name, f.psn, f.len), ("RC_READ_REQ", peer.psn(p.epsn + 4), SIZE))

    def test_no_answer_sends_all_again(self):
        p = self.peer("late")
        p.say("SEND", text(SIZE))
        p.acked()
        frames = p.incoming("SEND")
        self.assertEqual(payload(frames), text(SIZE))
        self.again(p, frames)
        p.ack()
        self.next_message(p, frames)

    def next_message(self, p, old):
        """Echoed is the next message, after what was still on its way of the one before."""
        p.say("SEND", b"next")
        f = p.get()
        while f.psn in [o.psn for o in old]:
            f = p.get()
        self.assertEqual((f.name, f.psn, f.syndrome), ("RC_ACK", peer.psn(p.psn - 1), peer.ACK))
        self.assertEqual(payload(p.incoming("SEND")), b"next")
        p.ack()

    def test_part_acknowledged_is_not_sent_again(self):
        p = self.peer("late")
        p.say("SEND", text(SIZE))
        p.acked()
        frames = p.incoming("SEND")
        p.ack(frames[1].psn)
        f = p.get()
        while f.psn != frames[2].psn:   # unless the timer was faster than our acknowledgement
            self.assertIn(f.psn, [x.psn for x in frames])
            f = p.get()
        self.same([frames[2]], [f])
        p.ack()
        self.next_message(p, frames)

    def test_no_answer_at_all(self):
        p = self.peer("short")
        p.say("SEND", text(SIZE))
        p.acked()
        frames = p.incoming("SEND")
        for _ in range(TRIES):
            self.again(p, frames)
        self.dead(p, "short", 12)
        self.assertEqual(self.qp(p)["timeouts"], TRIES + 1)
        self.assertEqual(self.qp(p)["tx_resent"], TRIES * len(frames))

    # ----------------------------------------------- what a peer should not do

    def test_refusals(self):
        for syndrome, status in ((peer.NAK_INVALID_REQUEST, 9), (peer.NAK_REMOTE_ACCESS, 10),
                                 (peer.NAK_REMOTE_OPERATION, 11)):
            with self.subTest(syndrome=hex(syndrome)):
                p = self.peer("send")
                frames = p.incoming("SEND")
                p.ack(frames[-1].psn, syndrome=syndrome)
                self.dead(p, "send", status)

    def test_acknowledgements_of_the_past_and_the_future(self):
        p = self.peer("send")
        p.incoming("SEND")
        p.ack()
        frames = p.incoming("SEND")
        p.ack(frames[0].psn - 1)            # of the message before, again
        p.ack(frames[-1].psn + 1)           # of what was not sent
        p.ack(frames[-1].psn + 1, syndrome=peer.NAK_REMOTE_ACCESS)
        p.ack(frames[0].psn - 1, syndrome=peer.NAK_SEQUENCE)
        p.ack(frames[-1].psn, syndrome=0x40)    # reserved
        self.lone(p)
        p.ack()
        p.incoming("SEND")
        self.assertEqual(self.qp(p)["tx_resent"], 0)

    def test_answer_of_another_kind(self):
        p = self.peer("write")
        p.incoming("WRITE")
        p.send("ATOMIC_ACK", psn=p.epsn - 1, syndrome=peer.ACK, msn=1, orig=0)
        self.dead(p, "write", 7)

    def test_corrupt_acknowledgement(self):
        p = self.peer("send")
        frames = p.incoming("SEND")
        frame = p.frame("ACK", psn=frames[-1].psn, syndrome=peer.ACK, msn=1)
        self.conversation.tester.send(frame[:-1] + bytes([frame[-1] ^ 1]))
        self.lone(p)
        self.conversation.send(frame)
        p.incoming("SEND")


if __name__ == "__main__":
    runner.main()
