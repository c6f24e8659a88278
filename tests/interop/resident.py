# SPDX-License-Identifier: BSD-3-Clause
"""Linux Soft-RoCE talks to resident applications: echo answers a pingpong client of the
guest, and generator is the client of a pingpong server there. The generator checks every
byte that comes back."""

import json
import os
import time

import pingpong
import stage
from stage import system
import vm

TYPES = ("RC", "UC", "UD")
MTU = 2048
SIZE = {"RC": 5000, "UC": 5000, "UD": MTU}      # three packets
MESSAGES = 100


class Resident(stage.TestCase):
    def setUp(self):
        # An application cannot be taken away, and an lcore has room for a dozen.
        # Nothing is so large: each request of a proxy QP goes by the filter, is carried out
        # by the HCA, and completes through the proxy CPU.
        self.stage.renew({
            "filters": [{"name": "huge", "object": system.filter_object("by_size"),
                         "params": {"min_len": 1 << 30}}],
            "offloads": [{"name": "null", "driver": "null"}]})

    def party(self, family):
        """A queue pair that is to be made here."""
        qpn = self.stage.next_qpn()
        return pingpong.Party(qpn, (qpn << 12) & 0xffffff, vm.APPLIANCE[family])

    proxied = False

    def add(self, kind, ours, theirs, app):
        """An application on a queue pair of its own, a proxy QP if they are to be."""
        name = f"qp{ours.qpn}"
        qp = {"name": name, "app": name, "type": kind, "qpn": ours.qpn, "max_recv_wr": 512}
        if kind != "UD":
            qp.update(peer=theirs.address, dest_qpn=theirs.qpn, sq_psn=ours.psn,
                      rq_psn=theirs.psn, path_mtu=MTU)
        if kind == "RC":
            qp.update(max_rd_atomic=1, max_dest_rd_atomic=1)
        path = os.path.join(self.box.dir, f"{name}.json")
        proxies = [{"qps": [name], "rules": [{"filter": "huge", "offload": "null"}]}]
        with open(path, "w") as f:
            json.dump({"apps": [{"name": name, **app}], "qps": [qp],
                       "proxy_qps": proxies if self.proxied else []}, f)
        text = self.box.do(f"load config {path}")
        if self.box.figures("/phca/qp", ours.qpn) is None:
            raise AssertionError(f"the addition was refused: {text}")
        return name

    def client_of_guest(self, kind, family):
        """A pingpong client in the guest, echo here."""
        port, ours = self.stage.next_port(), self.party(family)
        server = pingpong.Server(self.segment.namespace, port)
        self.addCleanup(server.close)
        job = self.guest.start(
            f"ibv_{kind.lower()}_pingpong -g {vm.GUEST_GID[family]} -p {port} -s {SIZE[kind]} "
            f"{self.mtu(kind)} -n {MESSAGES} {vm.HOST[4]}")
        self.addCleanup(job.close)

        def make(theirs):
            self.assertEqual(theirs.address, vm.GUEST[family])
            self.add(kind, ours, theirs, {"driver": "echo", "settings": {"buffer_bytes": 8192}})
            return ours

        server.answer(make)
        status = job.wait(30)
        self.assertEqual(status, 0, job.output)
        self.assertIn(f"{MESSAGES} iters in", job.output)
        # Received and sent back.
        figures = self.box.figures("/phca/qp", ours.qpn)
        self.assertEqual((figures["rx_messages"], figures["tx_wrs"]), (MESSAGES, MESSAGES))

    def server_of_guest(self, kind, family):
        """A pingpong server in the guest, generator here."""
        port, ours = self.stage.next_port(), self.party(family)
        job = self.guest.start(
            f"ibv_{kind.lower()}_pingpong -g {vm.GUEST_GID[family]} -p {port} -s {SIZE[kind]} "
            f"{self.mtu(kind)} -n {MESSAGES}")
        self.addCleanup(job.close)
        self.guest.listening(job, port)
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
            if own["completed"] == MESSAGES or time.monotonic() > limit:
                break
            time.sleep(0.05)
        wanted = {"completed": MESSAGES, "echoes": MESSAGES, "verified": MESSAGES,
                  "mismatches": 0, "errors": 0, "lost": 0}
        self.assertEqual({k: own[k] for k in wanted}, wanted)

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

    def test_proxy_qps(self):
        self.proxied = True
        before = self.box.figures("/phca/filter", "huge")["pass"]
        for kind in TYPES:
            with self.subTest(kind=kind):
                self.client_of_guest(kind, 4)
                self.server_of_guest(kind, 6)
        # Of each of the six queue pairs, what was received and what was sent.
        self.assertEqual(self.box.figures("/phca/filter", "huge")["pass"] - before,
                         6 * 2 * MESSAGES)

    def test_loss(self):
        self.impair("drop p=0.01")
        self.client_of_guest("RC", 4)
        self.server_of_guest("RC", 6)
        figures = self.box.figures("/phca/impair", "net_impair0")
        self.assertGreater(figures["rx"]["dropped"], 0)
        self.assertGreater(figures["tx"]["dropped"], 0)

    def test_ping(self):
        before = self.box.verdicts()
        for family in (4, 6):
            out = self.guest.run(f"ping -c 3 {vm.APPLIANCE[family]}")
            self.assertIn("3 packets received", out)
        after = self.box.verdicts()
        for verdict, count in (("icmp_echo", 6),):
            self.assertGreaterEqual(after[verdict] - before[verdict], count, verdict)
