#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Proxy QPs of unmodified programs: app_proxy takes them by program, user, transport
and peer; rules come and go at the prompt while they run; they notice nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, runner, verbs  # noqa: E402

ITERATIONS = "300"
# The null offload executes READs and atomics of the peer, and nothing else.
MORE = {
    "filters": [{"name": "all", "object": appliance.filter_object("all")},
                {"name": "huge", "object": appliance.filter_object("by_size"), "params": {"min_len": 1 << 31}}],
    "offloads": [{"name": "null", "driver": "null"},
                 {"name": "slow", "driver": "delay",
                  "settings": {"delay_min_us": 200000, "delay_max_us": 400000}, "time_limit_us": 0}],
    "app_proxy": [
        {"name": "near", "match": {"exe": "ibv_rc_*", "peer": "10.7.0.0/24"},
         "rules": [{"filter": "huge", "offload": "null"}]},
        {"name": "reads", "match": {"exe": "ib_read_lat", "transport": "RC"}, "window": 16,
         "rules": [{"filter": "all", "offload": "null", "direction": "inbound"}]},
        {"name": "nobodys", "match": {"user": "nobody", "transport": "UC"}},
        {"name": "slow", "match": {"exe": "ib_atomic_lat"},
         "rules": [{"filter": "all", "offload": "slow", "direction": "inbound"}]}],
}


class VerbsRules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = verbs.Host(more=MORE)
        cls.addClassCleanup(cls.box.close)
        cls.gids = {}
        for line in cls.box.run("ibv_devinfo", "-v").stdout.splitlines():
            for family, address in ((4, "::ffff:10.7.0.1"), (6, "fd00:7::1")):
                if "GID[" in line and address in line:
                    cls.gids[family] = line.split("[")[1].split("]")[0].strip()

    def tearDown(self):
        self.assertEqual(self.box.settled(), {})
        self.assertEqual(self.box.figures("/phca/qp"), [])

    def taken(self):
        return {name: (r["taken"], r["failed"]) for name, r in self.box.figures("/phca/rules").items()}

    def more_taken(self, before):
        now = self.taken()
        self.assertEqual([n for n, (_, failed) in now.items() if failed], [])
        return {n: now[n][0] - before[n][0] for n in now if now[n] != before[n]}

    def pingpong(self, kind, *options, family=4, **how):
        _, out = verbs.tool(self.box, self.box, [f"ibv_{kind}_pingpong", "-g", self.gids[family], "-c",
                                                "-n", ITERATIONS, *options], **how)
        self.assertIn(f"{ITERATIONS} iters in", out)

    def perftest(self, *argv, **how):
        return verbs.tool(self.box, self.box, [argv[0], "-x", self.gids[4], *argv[1:]], **how)

    def test_by_program_and_peer(self):
        before = self.taken()
        self.pingpong("rc")
        self.pingpong("rc", "-e")
        self.assertEqual(self.more_taken(before), {"near": 4})
        self.pingpong("rc", family=6)   # another peer
        self.pingpong("ud", "-s", "1024")
        self.assertEqual(self.more_taken(before), {"near": 4})

    def test_by_user_and_transport(self):
        before = self.taken()
        self.pingpong("uc", user=verbs.NOBODY)
        self.assertEqual(self.more_taken(before), {"nobodys": 2})
        self.pingpong("uc")
        self.pingpong("ud", "-s", "1024", user=verbs.NOBODY)
        self.assertEqual(self.more_taken(before), {"nobodys": 2})

    def test_reads_are_carried_out_by_the_offload(self):
        before, did = self.taken(), self.box.figures("/phca/offload", "null")["succeeded"]
        self.perftest("ib_read_lat", "-n", ITERATIONS)
        self.assertEqual(self.more_taken(before), {"reads": 2})
        self.assertGreaterEqual(self.box.figures("/phca/offload", "null")["succeeded"] - did, int(ITERATIONS))

    def until(self, what, condition, timeout_s=60):
        limit = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > limit:
                raise AssertionError(f"not within {timeout_s} s: {what}")
            time.sleep(0.02)

    def connected(self):
        qps = [self.box.figures("/phca/qp", q) for q in self.box.figures("/phca/qp")]
        # The side that only answers stays in RTR.
        return [q for q in qps if q and q["state"] in ("RTR", "RTS")]

    def test_rules_come_and_go_while_it_runs(self):
        failed = []

        def run():
            try:
                self.perftest("ib_read_bw", "-D", "4", "-s", "1024", "-t", "16")
            except AssertionError as e:
                failed.append(str(e))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            self.until("both run", lambda: len(self.connected()) == 2)
            for q in self.connected():
                self.assertEqual((q["exe"], q["user"], q["proxy"]), ("ib_read_bw", "root", "no"))
                self.assertEqual(os.readlink(f"/proc/{q['pid']}/exe").rsplit("/", 1)[1], "ib_read_bw")
            rounds = 0
            while len(self.connected()) == 2:
                did = self.box.figures("/phca/offload", "null")["submitted"]
                said = self.box.do("attach qp all filter all offload null inbound")
                if "2 of 2 queue pairs" not in said:
                    break   # they have ended meanwhile
                self.until("offloaded", lambda: self.box.figures("/phca/offload", "null")["submitted"] > did + 20
                           or len(self.connected()) < 2)
                rounds += len(self.connected()) == 2
                self.box.do("detach qp all")
        finally:
            thread.join()
        self.assertEqual(failed, [])
        self.assertGreater(rounds, 2)

    def test_killed_while_an_offload_holds_its_requests(self):
        """The driver takes its time; the process is gone in the middle of that."""
        held = []
        port = str(verbs.FIRST_TCP_PORT + os.getpid() % 500)
        argv = ["ib_atomic_lat", "-x", self.gids[4], "-n", "1000", "-p", port]
        server = subprocess.Popen(self.box.command(argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = None
        try:
            self.until("it listens", lambda: verbs.listens(int(port)))
            client = subprocess.Popen(self.box.command([*argv, "127.0.0.1"]), stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            self.until("held", lambda: self.box.figures("/phca/offload", "slow")["in_flight"] > 0)
            held.append(self.box.figures("/phca/offload", "slow")["cancelled"])
            server.send_signal(signal.SIGKILL)
            server.wait()
        finally:
            for p in (server, client):
                if p:
                    p.kill()
                    p.wait()
        self.assertEqual(self.box.settled(), {})
        self.assertEqual(self.box.figures("/phca/offload", "slow")["in_flight"], 0)
        self.assertGreater(self.box.figures("/phca/offload", "slow")["cancelled"], held[0])


if __name__ == "__main__":
    runner.main()
