#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients that do everything at random, in several processes at once, and end in the
middle of it or are killed in it: the appliance serves on and nothing stays behind,
no object, descriptor, mapping, buffer or memory."""

import os
import random
import signal
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import runner, verbs  # noqa: E402

LONG = bool(os.environ.get("PHCA_TEST_LONG"))
SEED = int(os.environ.get("PHCA_TORTURE_SEED", "1"))
OPERATIONS = "400"
WARM = 3                # rounds before memory is looked at
LIMIT_S = 20            # for what closes a moment later; more on a machine that is busy
MEMORY_KB = 8192        # what the appliance's memory may grow by, whatever the number of rounds


class Torture(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = verbs.Host()
        cls.addClassCleanup(cls.box.close)
        cls.torture = runner.built("tests/torture/verbs-torture")
        cls.killer = runner.built("tests/torture/libverbs-killer.so")
        cls.served = {cls.box.socket, f"{cls.box.runtime_dir}/dpdk_telemetry.v2"}
        cls.random = random.Random(SEED)
        cls.expected = None

    def start(self, seed, user=None, env=None):
        return subprocess.Popen(self.box.command([self.torture, str(seed), OPERATIONS], user),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, env={**os.environ, **(env or {})})

    def connections(self):
        """How many have a connection to the appliance: programs, and those who asked its telemetry."""
        with open("/proc/net/unix") as f:   # an accepted socket has the path of the one that listens
            paths = {f"socket:[{w[6]}]": w[7] for w in map(str.split, f) if len(w) > 7 and w[5] == "03"}
        held = 0
        for fd in os.listdir(folder := f"/proc/{self.box.pid()}/fd"):
            try:
                held += paths.get(os.readlink(f"{folder}/{fd}")) in self.served
            except FileNotFoundError:   # closed since it was listed
                pass
        return held

    def resources(self):
        """What the appliance's process holds: descriptors, mappings of clients, memory in KiB."""
        pid = self.box.pid()
        with open(f"/proc/{pid}/maps") as f:
            mappings = sum("memfd:" in line or "SYSV" in line for line in f)
        with open(f"/proc/{pid}/status") as f:
            memory = next(int(line.split()[1]) for line in f if line.startswith("RssAnon"))
        return len(os.listdir(f"/proc/{pid}/fd")), mappings, memory

    def check_nothing_left(self, what):
        """After each round."""
        self.assertEqual(self.box.settled(), {}, what)
        expected, limit = type(self).expected, time.monotonic() + LIMIT_S
        while True:     # connections, telemetry's too, close a moment later
            idle = self.connections() == 0
            now = self.resources()
            if idle and (expected is None or now[:2] == expected[:2]) or time.monotonic() > limit:
                break
            time.sleep(0.02)
        self.assertTrue(idle, f"connections stay: {what}")
        if expected is None:
            type(self).expected = expected = now
        self.assertEqual(now[:2], expected[:2], what)
        self.assertLess(now[2] - expected[2], MEMORY_KB, what)

    def warm(self):
        """Memory that the appliance takes once: before the first figures."""
        if type(self).expected is None:
            for seed in range(WARM):
                self.finish(self.start(seed), seed)
            self.box.settled()
            time.sleep(0.5)

    def finish(self, p, seed, killed=False):
        out, _ = p.communicate(timeout=120)
        allowed = (0, -signal.SIGKILL, 128 + signal.SIGKILL) if killed else (0,)
        self.assertIn(p.returncode, allowed, f"seed {seed}: {out}")

    def test_random_calls(self):
        self.warm()
        for i in range(400 if LONG else 10):
            seed = SEED * 1000 + i
            with self.subTest(seed=seed):
                user = verbs.NOBODY if i % 3 == 2 else None
                pair = [self.start(seed * 2 + k, user) for k in range(2)]
                for k, p in enumerate(pair):
                    self.finish(p, seed * 2 + k)
                self.check_nothing_left(f"seed {seed}")

    def test_killed_in_every_admin_call(self):
        """At its n-th message to the appliance or answer from it, for many n."""
        self.warm()
        for n in range(1, 300, 1 if LONG else 13):
            with self.subTest(n=n):
                self.finish(self.start(7, env={"LD_PRELOAD": self.killer, "PHCA_KILL_AT": str(n)}), 7, killed=True)
                self.check_nothing_left(f"killed at {n}")

    def test_killed_at_any_time(self):
        """While it posts, polls, registers; a neighbour is not disturbed."""
        self.warm()
        for i in range(300 if LONG else 10):
            seed = SEED * 1000 + 500 + i
            with self.subTest(seed=seed):
                victim, neighbour = self.start(seed), self.start(seed + 10000)
                time.sleep(self.random.uniform(0.01, 0.5))
                victim.kill()
                self.finish(victim, seed, killed=True)
                self.finish(neighbour, seed + 10000)
                self.check_nothing_left(f"seed {seed}")

    @classmethod
    def tearDownClass(cls):
        """After all of it: no buffer is missing."""
        status = cls.box.quit()
        assert status == 0 and "mbufs leaked: 0" in cls.box.output, cls.box.output[-2000:]


if __name__ == "__main__":
    runner.main()
