#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients that mean harm: they scribble over the queues while the HCA reads them, take
their memory away, send requests of random bytes. The appliance lives, nothing of theirs
stays, and a neighbour that checks every byte it sends and receives is not disturbed.

PHCA_APPLIANCE_BUILD names another build for the appliance: scripts/test.sh runs this
once with AddressSanitizer, which sees each access outside the client's own regions."""

import os
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import runner, verbs  # noqa: E402

LONG = bool(os.environ.get("PHCA_TEST_LONG"))
SEED = int(os.environ.get("PHCA_TORTURE_SEED", "1"))
SECONDS = 120 if LONG else 4
CLIENTS = 2


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = verbs.Host()
        cls.addClassCleanup(cls.box.close)
        cls.hostile = runner.built("tests/torture/verbs-hostile")
        cls.torture = runner.built("tests/torture/verbs-torture")

    def start(self, *argv):
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    def finish(self, p):
        out, _ = p.communicate(timeout=SECONDS + 120)
        self.assertEqual(p.returncode, 0, out)
        return out

    def test_harm_is_refused_and_neighbours_are_not_disturbed(self):
        for user in range(2 if LONG else 1):
            clients = [self.start(self.hostile, self.box.socket, str(SEED * 100 + user * 10 + i), str(SECONDS))
                       for i in range(CLIENTS)]
            seed = SEED * 100
            while any(p.poll() is None for p in clients):
                seed += 1
                self.finish(self.start(*self.box.command([self.torture, str(seed), "100"])))
            for p in clients:
                self.assertRegex(self.finish(p), r"[1-9]\d* posted")
        self.assertGreater(seed, SEED * 100)
        self.assertEqual(self.box.settled(), {})

    @classmethod
    def tearDownClass(cls):
        status = cls.box.quit()
        assert status == 0 and "mbufs leaked: 0" in cls.box.output, cls.box.output[-4000:]


if __name__ == "__main__":
    runner.main()
