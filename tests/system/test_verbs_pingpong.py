#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The pingpong programs of ibverbs-utils, as the distribution ships them, on the
drop-in libibverbs: two processes on one appliance, by its own address. -c has each
compare what it received."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import runner, verbs  # noqa: E402

ITERATIONS = "300"


class Pingpong(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = verbs.Host()
        cls.addClassCleanup(cls.box.close)
        cls.gids = cls.gid_indexes()

    @classmethod
    def gid_indexes(cls):
        """GID index of each family's address, as ibv_devinfo lists them."""
        found = {}
        for line in cls.box.run("ibv_devinfo", "-v").stdout.splitlines():
            if "GID[" in line:
                index = line.split("[")[1].split("]")[0].strip()
                if "::ffff:10.7.0.1" in line:
                    found[4] = index
                elif "fd00:7::1" in line:
                    found[6] = index
        return found

    def pingpong(self, kind, *options, family=4, **how):
        _, out = verbs.tool(self.box, self.box, [f"ibv_{kind}_pingpong", "-g", self.gids[family],
                                                "-n", ITERATIONS, *options], **how)
        self.assertIn(f"{ITERATIONS} iters in", out)

    def test_rc(self):
        self.pingpong("rc", "-c")

    def test_rc_over_ipv6(self):
        self.pingpong("rc", "-c", family=6)

    def test_rc_sleeps_on_events(self):
        self.pingpong("rc", "-c", "-e")

    def test_rc_with_timestamps(self):
        self.pingpong("rc", "-c", "-t")

    def test_rc_with_the_new_post_functions(self):
        self.pingpong("rc", "-c", "-N")

    def test_rc_of_every_size(self):
        for size in ("1", "1023", "4096", "4097", "100000", "1048576"):
            with self.subTest(size):
                self.pingpong("rc", "-c", "-s", size)

    def test_rc_of_every_mtu(self):
        for mtu in ("256", "512", "1024", "2048", "4096"):
            with self.subTest(mtu):
                self.pingpong("rc", "-c", "-m", mtu)

    def test_uc(self):
        self.pingpong("uc", "-c")
        self.pingpong("uc", "-c", "-e")

    def test_ud(self):
        self.pingpong("ud", "-c", "-s", "1024")
        self.pingpong("ud", "-c", "-e", "-s", "1024", family=6)

    def test_srq(self):
        self.pingpong("srq", "-c")
        self.pingpong("srq", "-c", "-e", "-q", "16")

    def test_without_root(self):
        self.pingpong("rc", "-c", user=verbs.NOBODY)
        self.pingpong("rc", "-c", "-e", user=verbs.NOBODY)

    def test_xrc_is_refused(self):
        """What the device does not have says so, and does not crash."""
        r = self.box.run("ibv_xsrq_pingpong", "-g", self.gids[4], check=False)
        self.assertGreater(r.returncode, 0, r.stdout)
        self.assertIn("XRC", r.stdout)


if __name__ == "__main__":
    runner.main()
