#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""perftest, as the distribution ships it, on the drop-in libibverbs: two processes
on one appliance. It asserts that they end well and report what they did, no figure."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import runner, verbs  # noqa: E402

LONG = bool(os.environ.get("PHCA_TEST_LONG"))
BW = ("ib_send_bw", "ib_write_bw", "ib_read_bw", "ib_atomic_bw")
LAT = ("ib_send_lat", "ib_write_lat", "ib_read_lat", "ib_atomic_lat")


class Perftest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = verbs.Host()
        cls.addClassCleanup(cls.box.close)

    def perftest(self, program, *options, iterations="500", gid="1", **how):
        n = () if "-D" in options else ("-n", iterations)
        _, out = verbs.tool(self.box, self.box, [program, "-x", gid, *n, *options], **how)
        # header, then a line of figures that begins with the size
        self.assertRegex(out, r"#bytes.*\n\s*\d+\s+\d+\s+[\d.]+")
        return out

    def each(self, *calls, **how):
        for program, *options in calls:
            with self.subTest(" ".join([program, *options])):
                self.perftest(program, *options, **how)

    def test_bandwidth(self):
        self.each(*[(p,) for p in BW])

    def test_latency(self):
        self.each(*[(p,) for p in LAT])

    def test_latency_inline(self):
        self.each(("ib_send_lat", "-I", "64"), ("ib_write_lat", "-I", "64"))

    def test_events(self):
        self.each(("ib_send_bw", "-e"), ("ib_read_bw", "-e"), ("ib_send_lat", "-e"),
                  ("ib_read_lat", "-e"))

    def test_both_directions(self):
        self.each(("ib_send_bw", "-b"), ("ib_write_bw", "-b"), ("ib_read_bw", "-b"))

    def test_many_queue_pairs(self):
        self.each(("ib_send_bw", "-q", "16"), ("ib_write_bw", "-q", "16"), ("ib_read_bw", "-q", "16"),
                  ("ib_write_bw", "-q", "16", "-b"))

    def test_shared_receive_queue(self):
        self.each(("ib_send_bw", "--use-srq"), ("ib_send_bw", "--use-srq", "-q", "4"))

    def test_unreliable(self):
        self.each(("ib_send_bw", "-c", "UC"), ("ib_write_bw", "-c", "UC"), ("ib_send_lat", "-c", "UC"),
                  ("ib_write_lat", "-c", "UC"), ("ib_send_bw", "-c", "UD", "-s", "1024"),
                  ("ib_send_lat", "-c", "UD", "-s", "1024"))

    def test_all_sizes(self):
        for program in (*BW[:3], *LAT[:3]) if LONG else ("ib_send_bw", "ib_write_lat"):
            with self.subTest(program):
                out = self.perftest(program, "-a", iterations="100", timeout_s=120)
                self.assertRegex(out, r"\n\s*8388608\s")

    def test_every_mtu(self):
        self.each(*[("ib_write_bw", "-m", str(m)) for m in (256, 512, 1024, 2048, 4096)])

    def test_ipv6(self):
        self.each(("ib_write_bw",), ("ib_send_lat",), gid="2")

    def test_work_request_lists(self):
        self.each(("ib_send_bw", "-l", "16"), ("ib_write_bw", "-l", "16"), iterations="512")

    def test_without_root(self):
        self.each(("ib_write_bw",), ("ib_send_bw", "-e"), ("ib_atomic_lat",), user=verbs.NOBODY)

    def test_what_is_not_there_is_refused(self):
        for transport in ("XRC", "DC"):
            with self.subTest(transport):
                with self.assertRaisesRegex(AssertionError, "exit status 1"):
                    verbs.tool(self.box, self.box, ["ib_send_bw", "-x", "1", "-c", transport])

    def tearDown(self):
        """Nothing stays when the programs have ended."""
        self.assertEqual(self.box.settled(), {})


if __name__ == "__main__":
    runner.main()
