#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The README's first command, as a new user gives it: scripts/demo.sh."""

import os
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import runner  # noqa: E402

DEMO = os.path.join(runner.ROOT, "scripts", "demo.sh")


class Demo(unittest.TestCase):
    def test_figures_add_up(self):
        r = subprocess.run([DEMO, "2"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=200)
        self.assertEqual(r.returncode, 0, r.stdout[-6000:])
        self.assertEqual(r.stdout.splitlines()[-1], "demo: OK")
        total = re.search(r"^(\d+) packets received, (\d+) by verdict, .* (\d+) messages direct, "
                          r"(\d+) offloaded, 0 out of order", r.stdout, re.M)
        self.assertTrue(total, r.stdout[-3000:])
        self.assertTrue(all(int(n) > 1000 for n in total.groups()), total.group(0))

    def test_bad_duration_is_refused(self):
        for seconds in ("0", "soon", "-1"):
            r = subprocess.run([DEMO, seconds], stderr=subprocess.PIPE, text=True)
            self.assertEqual(r.returncode, 2)
            self.assertIn(seconds, r.stderr)


if __name__ == "__main__":
    runner.main()
