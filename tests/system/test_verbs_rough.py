#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients that stop, end or close under traffic, unmap what is registered, fork, or have ten
thousand queue pairs: they do it to nobody else, and the appliance has nothing left of them."""

import os
import signal
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import program, runner, verbs  # noqa: E402

LONG = bool(os.environ.get("PHCA_TEST_LONG"))
LIMIT_S = 120
LIMITS = {"host": {"limits": {"qps": 20000}}, "memory": {"max_qp": 20000}}


class Rough(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = verbs.Host(host=LIMITS["host"], more={"memory": LIMITS["memory"]})
        cls.addClassCleanup(cls.box.close)

    def start(self, *args):
        p = program.Program(self.box.command([runner.built("tests/torture/verbs-rough"), *args]), tty=True)
        self.addCleanup(p.close)
        return p

    def whole(self, *args):
        """To its end, which is good. What it printed."""
        p = self.start(*args)
        self.assertEqual(p.wait(LIMIT_S), 0, p.output)
        return p.output

    def running(self):
        """A neighbour with checked traffic, and a function that ends it: it was not disturbed."""
        p = self.start("run")
        p.expect("^ready", LIMIT_S)

        def end():
            p.signal(signal.SIGTERM)
            self.assertEqual(p.wait(LIMIT_S), 0, p.output)
            return int(p.output.split("messages")[1])
        return p, end

    def packets(self):
        return sum(self.box.verdicts().values())

    def goes_on(self):
        """Traffic runs, of whomever."""
        before, limit = self.packets(), time.monotonic() + LIMIT_S
        while self.packets() < before + 2000:
            if time.monotonic() > limit:
                self.fail(f"no traffic in {LIMIT_S} s")
            time.sleep(0.02)

    def test_stopped_client(self):
        """Its queues fill up; others go on, it does when it is continued, or is killed as it is."""
        neighbour, end = self.running()
        victim, end_victim = self.running()
        victim.signal(signal.SIGSTOP)
        time.sleep(0.2)
        self.goes_on()
        victim.signal(signal.SIGCONT)
        neighbour.signal(signal.SIGSTOP)    # now what goes on is the one that was stopped
        time.sleep(0.2)
        self.goes_on()
        neighbour.signal(signal.SIGCONT)
        end()
        victim.signal(signal.SIGSTOP)
        victim.signal(signal.SIGKILL)
        victim.wait()

    def test_exit_without_closing(self):
        _, end = self.running()
        for _ in range(20 if LONG else 3):
            self.whole("exit")
        end()

    def test_closed_with_objects_alive(self):
        p = self.start("close")
        p.expect("^closed", LIMIT_S)
        self.assertEqual(self.box.settled(), {})    # while the process is there
        p.write("\n")
        self.assertEqual(p.wait(LIMIT_S), 0, p.output)

    def test_memory_unmapped_under_traffic(self):
        _, end = self.running()
        self.whole("unmap", "500" if LONG else "20")
        end()

    def test_forks_under_traffic(self):
        self.whole("fork", "200" if LONG else "16")

    def test_ten_thousand_queue_pairs(self):
        out = self.whole("many", "10000", "10000" if LONG else "500")
        print(out.strip().splitlines()[-1])

    def tearDown(self):
        self.doCleanups()
        self.assertEqual(self.box.settled(), {})

    @classmethod
    def tearDownClass(cls):
        status = cls.box.quit()
        assert status == 0 and "mbufs leaked: 0" in cls.box.output, cls.box.output[-2000:]


if __name__ == "__main__":
    runner.main()
