#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Reductions of unmodified programs: contributors in processes of their own, the
application in another; results are right, and nothing is left when one of them dies."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, runner, verbs  # noqa: E402

PROGRAM = "app/phca-reduce/phca-reduce"
FOREVER = "4000000000"
MORE = {
    "filters": [{"name": "group", "object": appliance.filter_object("reduce"), "params": {"any": False, "group": 0}},
                {"name": "others", "object": appliance.filter_object("reduce"), "params": {"any": False, "group": 2}}],
    "offloads": [{"name": "reduce", "driver": "reduce", "time_limit_us": 0,
                  "settings": {"max_bytes": 1 << 20, "wait_ms": 2000}},
                 {"name": "drop", "driver": "reduce", "time_limit_us": 0,
                  "settings": {"wait_ms": 300, "on_missing": "drop", "deliver": False}}],
    "app_proxy": [{"name": "reduce", "match": {"exe": "phca-reduce", "transport": "RC"},
                   "rules": [{"filter": "group", "offload": "reduce", "direction": "inbound"},
                             {"filter": "others", "offload": "drop", "direction": "inbound"}]}],
}


class Side:
    """One process; what it prints goes to a file."""

    def __init__(self, box, *argv):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(box.command([runner.built(PROGRAM), *argv]), stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)

    def output(self):
        self.log.seek(0)
        return self.log.read()

    def wait(self, timeout_s=60):
        self.process.wait(timeout_s)
        return self.process.returncode

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self.log.close()


class VerbsReduce(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = verbs.Host(more=MORE)
        cls.addClassCleanup(cls.box.close)

    @classmethod
    def tearDownClass(cls):
        """After all that, the appliance ends well and misses no packet."""
        status = cls.box.quit()
        if status or "mbufs leaked: 0" not in cls.box.output:
            raise AssertionError(f"exit status {status}\n{cls.box.output}")

    def tearDown(self):
        self.doCleanups()   # its processes first
        self.assertEqual(self.box.settled(), {})
        for name in ("reduce", "drop"):
            figures = self.box.figures("/phca/offload", name)
            self.assertEqual((figures["in_flight"], figures["own"]["waiting"]), (0, 0))

    def own(self, name="reduce"):
        return self.box.figures("/phca/offload", name)["own"]

    def since(self, before, name="reduce"):
        now = self.own(name)
        return {k: now[k] - before[k] for k in now if now[k] != before[k]}

    def until(self, what, condition, timeout_s=60):
        limit = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > limit:
                self.fail(f"not within {timeout_s} s: {what}")
            time.sleep(0.02)

    def start(self, contributors, serve=(), **common):
        """The application, and a process for each of contributors, its arguments."""
        port = str(verbs.next_port())
        sides = [Side(self.box, "serve", "-p", port, *serve)]
        self.addCleanup(sides[0].close)
        for argv in contributors:
            sides.append(Side(self.box, "contribute", "-p", port, "-n", "3", *argv, "127.0.0.1"))
            self.addCleanup(sides[-1].close)
        return sides

    def finish(self, sides):
        for s in sides:
            self.assertEqual(s.wait(), 0, "\n".join(x.output() for x in sides))

    def three(self, *argv):
        """Three processes, a rank each, that come in any order."""
        return [("-f", str(rank), "-k", "1", *argv) for rank in (2, 0, 1)]

    def test_reduce(self):
        before = self.own()
        sides = self.start(self.three("-r", "200", "-c", "1000"))
        self.finish(sides)
        self.assertIn("application: 200 rounds of sum of 1000 float64", sides[0].output())
        self.assertIn("all results right", sides[0].output())
        d = self.since(before)
        self.assertEqual((d["reductions"], d["contributions"], d["delivered"], d["answers"]), (200, 600, 200, 600))

    def test_allreduce(self):
        before = self.own()
        sides = self.start(self.three("-a", "-r", "100", "-c", "5001", "-t", "int32", "-o", "min"))
        self.finish(sides)
        self.assertEqual(sides[0].output(), "")     # the application saw nothing
        for s in sides[1:]:
            self.assertIn("100 rounds of min of 5001 int32, 1 of 3 ranks", s.output())
        self.assertNotIn("delivered", self.since(before))

    def test_all_operations_and_types(self):
        before, runs = self.own(), 0
        for kind in ("int32", "int64", "float32", "float64"):
            for op in ("sum", "min", "max", "and", "or")[:5 if kind.startswith("int") else 3]:
                self.finish(self.start([("-b", "-r", "20", "-c", "777", "-t", kind, "-o", op)]))
                runs += 1
        d = self.since(before)
        self.assertEqual((d["reductions"], d["delivered"], d["answers"]), (20 * runs, 20 * runs, 60 * runs))

    def test_large_vectors(self):
        self.finish(self.start([("-b", "-r", "10", "-c", "130000", "-D", "2")]))

    def test_other_groups_are_the_applications_own(self):
        before = self.own()
        sides = self.start(self.three("-G", "1", "-r", "100"), serve=("--self",))
        self.finish(sides)
        self.assertIn("application, by itself: 100 rounds", sides[0].output())
        self.assertEqual(self.since(before), {})

    def test_ranks_that_never_come(self):
        for wait in ("2", "8", "30"):   # a loaded machine may take long to start two
            sides = self.start([("-n", "8", "-f", "1", "-k", "1"), ("-n", "8", "-f", "4", "-k", "1")], ("-w", wait))
            self.assertEqual(sides[0].wait(), 1)
            if "ranks 0, 2 to 3, 5 to 7 of 8 " in sides[0].output():
                break
        self.assertIn(f"ranks 0, 2 to 3, 5 to 7 of 8 did not come within {wait} s (--wait)", sides[0].output())
        for s in sides[1:]:
            self.assertEqual(s.wait(), 1)
            self.assertIn("the other side is gone", s.output())
        port = str(verbs.next_port())
        alone = Side(self.box, "serve", "-p", port, "-w", "1")
        self.addCleanup(alone.close)
        self.assertEqual(alone.wait(), 1)
        self.assertIn("the first rank did not come within 1 s", alone.output())

    def test_an_application_that_has_no_offload_says_so(self):
        sides = self.start([("-G", "1")])
        self.assertEqual(sides[0].wait(), 1)
        self.assertIn("no reduce offload is in front of the queue pair", sides[0].output())
        self.assertEqual(sides[1].wait(), 1)

    def test_a_contributor_is_killed(self):
        """Those who contributed fail: their queue pairs go to ERROR."""
        before = self.own()
        sides = self.start(self.three("-r", FOREVER))
        self.until("rounds", lambda: self.since(before).get("reductions", 0) > 100)
        sides[1].kill()
        for s in (sides[0], *sides[2:]):
            self.assertEqual(s.wait(), 1)
        self.until("all are over", lambda: self.own()["waiting"] == 0)

    def test_a_contributor_is_stopped_and_the_round_is_given_up(self):
        before = self.own("drop")
        sides = self.start(self.three("-G", "2", "-a", "-r", FOREVER))
        self.until("rounds", lambda: self.since(before, "drop").get("reductions", 0) > 100)
        sides[1].process.send_signal(signal.SIGSTOP)
        for s in sides[2:]:
            self.assertEqual(s.wait(), 1)
            self.assertIn("not all ranks contributed in time", s.output())
        self.assertGreater(self.since(before, "drop")["timeouts"], 0)
        sides[1].process.send_signal(signal.SIGCONT)
        self.assertEqual(sides[1].wait(), 1)

    def test_the_application_is_killed(self):
        for argv in (("-r", FOREVER, "-c", "3000"), ("-a", "-r", FOREVER), ("-G", "2", "-a", "-r", FOREVER)):
            name = "drop" if "-G" in argv else "reduce"
            with self.subTest(" ".join(argv)):
                before = self.own(name)
                sides = self.start(self.three(*argv))
                self.until("rounds", lambda: self.since(before, name).get("reductions", 0) > 100)
                sides[0].kill()
                for s in sides[1:]:
                    self.assertEqual(s.wait(), 1)
                self.assertEqual(self.box.settled(), {})

    def test_killed_again_and_again(self):
        """Whoever dies, whenever: the next ones work."""
        for i in range(6):
            sides = self.start(self.three("-r", FOREVER, "-c", "500", *(("-a",) if i % 2 else ())))
            time.sleep(0.1 * i)
            for s in sides[i % 4:] + sides[:i % 4]:
                s.kill()
            self.assertEqual(self.box.settled(), {})
        self.finish(self.start(self.three("-r", "50")))


if __name__ == "__main__":
    runner.main()
