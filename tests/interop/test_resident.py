#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Linux Soft-RoCE talks to resident applications: echo answers a pingpong client of the
guest, and generator is the client of a pingpong server there. The generator checks every
byte that comes back."""

import json
import os
import sys
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]

from lib import runner  # noqa: E402
import pingpong  # noqa: E402
import vm  # noqa: E402

TYPES = ("RC", "UC", "UD")
MTU = 2048
SIZE = {"RC": 5000, "UC": 5000, "UD": MTU}      # three packets
MESSAGES = 100


class Resident(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.segment = vm.Segment()
        cls.addClassCleanup(cls.segment.close)
        cls.guest = vm.Guest(cls.segment)
        cls.addClassCleanup(cls.guest.close)
        cls.box = vm.appliance(cls.segment)
        cls.addClassCleanup(cls.box.close)
        cls.port, cls.qpn = 18600, 0x400

    def next(self):
        """A TCP port and a QP number that no test had."""
        cls = type(self)
        cls.port += 1
        cls.qpn += 1
        return cls.port, cls.qpn

    def add(self, kind, ours, theirs, app):
        """An application on a queue pair of its own."""
        name = f"qp{ours.qpn}"
        qp = {"name": name, "app": name, "type": kind, "qpn": ours.qpn, "max_recv_wr": 512}
        if kind != "UD":
            qp.update(peer=theirs.address, dest_qpn=theirs.qpn, sq_psn=ours.psn,
                      rq_psn=theirs.psn, path_mtu=MTU, max_rd_atomic=1, max_dest_rd_atomic=1)
        path = os.path.join(self.box.dir, f"{name}.json")
        with open(path, "w") as f:
            json.dump({"apps": [{"name": name, **app}], "qps": [qp]}, f)
        text = self.box.do(f"load config {path}")
        if self.box.figures("/phca/qp", ours.qpn) is None:
            raise AssertionError(f"the addition was refused: {text}")
        return name

    def client_of_guest(self, kind, family):
        """A pingpong client in the guest, echo here."""
        port, qpn = self.next()
        ours = pingpong.Party(qpn, qpn, vm.APPLIANCE[family])
        server = pingpong.Server(self.segment.namespace, port)
        self.addCleanup(server.close)
        job = self.guest.start(
            f"ibv_{kind.lower()}_pingpong -g {vm.GUEST_GID[family]} -p {port} -s {SIZE[kind]} "
            f"{self.mtu(kind)} -n {MESSAGES} {vm.HOST[4]}")
        self.addCleanup(job.close)

        def make(theirs):
            self.assertEqual(theirs.address, vm.GUEST[family])
            self.add(kind, ours, theirs, {"driver": "echo"})
            return ours

        server.answer(make)
        status = job.wait(30)
        self.assertEqual(status, 0, job.output)
        self.assertIn(f"{MESSAGES} iters in", job.output)
        # Received and sent back.
        self.assertEqual(self.box.figures("/phca/qp", qpn)["messages"], 2 * MESSAGES)

    def server_of_guest(self, kind, family):
        """A pingpong server in the guest, generator here."""
        port, qpn = self.next()
        ours = pingpong.Party(qpn, qpn, vm.APPLIANCE[family])
        job = self.guest.start(
            f"ibv_{kind.lower()}_pingpong -g {vm.GUEST_GID[family]} -p {port} -s {SIZE[kind]} "
            f"{self.mtu(kind)} -n {MESSAGES}")
        self.addCleanup(job.close)
        self.guest.listening(port)
        with self.segment.connect(port) as s:
            theirs = pingpong.ask(s, ours)
        self.assertEqual(theirs.address, vm.GUEST[family])
        settings = {"size": str(SIZE[kind]), "depth": 1, "messages": MESSAGES, "echo": True,
                    "echo_timeout_us": 5000000}
        if kind == "UD":
            settings.update(peer=theirs.address, peer_qpn=theirs.qpn, peer_qkey=0x11111111)
        name = self.add(kind, ours, theirs, {"driver": "generator", "settings": settings})
        status = job.wait(30)
        self.assertEqual(status, 0, job.output)
        limit = time.monotonic() + 10
        while True:
            own = self.box.figures("/phca/app", name)["own"]
            if own["echoed"] == MESSAGES or time.monotonic() > limit:
                break
            time.sleep(0.05)
        print(own)
        self.assertEqual((own["echoed"], own["mismatches"], own["errors"]), (MESSAGES, 0, 0))

    @staticmethod
    def mtu(kind):
        return "" if kind == "UD" else f"-m {MTU}"

    def every(self, check):
        for kind in TYPES:
            for family in (4, 6):
                with self.subTest(kind=kind, family=family):
                    check(kind, family)

    def test_guest_asks_echo(self):
        self.every(self.client_of_guest)

    def test_generator_asks_guest(self):
        self.every(self.server_of_guest)

    def test_ping(self):
        before = self.box.verdicts()
        for family in (4, 6):
            out = self.guest.run(f"ping -c 3 {vm.APPLIANCE[family]}")
            self.assertIn("3 packets received", out)
        after = self.box.verdicts()
        for verdict, count in (("icmp_echo", 6), ("arp", 1), ("ndp", 1)):
            self.assertGreaterEqual(after[verdict] - before[verdict], count, verdict)


if __name__ == "__main__":
    runner.main()
