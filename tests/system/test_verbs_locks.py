#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Locks that the proxy CPU keeps for an unmodified verbs program: histories of many requesters,
some of which are killed, over ports that lose packets, beside ordinary messages on the
same queue pairs; and a server that is killed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, locks, runner, verbs  # noqa: E402

LONG = bool(os.environ.get("PHCA_TEST_LONG"))
SECONDS = "20" if LONG else "2"
LOCKS = 12          # few, so that they are fought for
LOST = ",rule=drop p 0.005"
JOINED = ["--vdev=net_impair0,rx_ring=locks_a,tx_ring=locks_b{0}",
          "--vdev=net_impair1,rx_ring=locks_b,tx_ring=locks_a{0}"]
MORE = {
    "filters": [{"name": "lock", "object": appliance.filter_object("lock")}],
    "offloads": [{"name": "locks", "driver": "lock", "time_limit_us": 0,
                  "settings": {"probe_ms": 100, "max_wait_us": 200000}}],
    "app_proxy": [{"name": "locks", "match": {"exe": "*lock*", "transport": "RC"},
                   "rules": [{"filter": "lock", "offload": "locks", "direction": "inbound"}]}],
}
ZERO = ("locks", "held", "waiting", "peers", "sessions")


class Checker(unittest.TestCase):
    """The checker finds what must not be, in short histories made by hand."""

    def wrong(self, *programs, killed=False):
        made = []
        for i, text in enumerate(programs):
            lines = [line.strip() + "\n" for line in text.strip().split("\n")]
            made.append(locks.History(i, lines, killed))
        return locks.check(made)

    def grant(self, session, number, asked, answered, mode, token, count=1):
        return (f"ask 0 {session} {number} {asked} lock {mode} 7 0\n"
                f"ans 0 {session} {number} {answered} lock 1 {mode} 7 {token} {count}\n")

    def unlock(self, session, number, asked, answered):
        return f"ask 0 {session} {number} {asked} unlock 0 7 0\nans 0 {session} {number} {answered} unlock 0 0 7 0 0\n"

    def test_what_may_be(self):
        one = self.grant(1, 1, 10, 20, 2, 5) + self.unlock(1, 2, 30, 40)
        two = self.grant(1, 1, 15, 35, 2, 6) + self.unlock(1, 2, 50, 60)
        self.assertEqual(self.wrong(one, two), [])
        shared = self.grant(1, 1, 10, 20, 1, 5) + self.unlock(1, 2, 90, 95)
        other = self.grant(1, 1, 15, 35, 1, 6) + self.unlock(1, 2, 50, 60)
        self.assertEqual(self.wrong(shared, other), [])

    def test_two_holders(self):
        one = self.grant(1, 1, 10, 20, 2, 5) + self.unlock(1, 2, 30, 40)
        for mode in (1, 2):
            two = self.grant(1, 1, 15, 25, mode, 6) + self.unlock(1, 2, 50, 60)
            self.assertRegex(self.wrong(one, two)[0], "lock 7: .* had it")

    def test_tokens(self):
        one = self.grant(1, 1, 10, 20, 2, 5) + self.unlock(1, 2, 21, 22)
        two = self.grant(1, 1, 30, 40, 2, 4) + self.unlock(1, 2, 50, 60)
        self.assertIn("token 4 was given after 5", self.wrong(one, two))
        two = self.grant(1, 1, 15, 40, 2, 5) + self.unlock(1, 2, 50, 60)
        self.assertIn("a token was given twice", self.wrong(one, two))

    def test_answers(self):
        self.assertRegex(self.wrong("ask 0 1 1 10 try 2 7 0")[0], "has no answer")
        self.assertEqual(self.wrong("ask 0 1 1 10 try 2 7 0", killed=True), [])
        self.assertRegex(self.wrong("ans 0 1 1 10 try 2 0 7 0 0")[0], "not asked")
        self.assertRegex(self.wrong(self.grant(1, 1, 10, 20, 2, 5))[0], "never gave back")

    def test_waits_in_vain(self):
        waits = "ask 0 2 1 1000 lock 2 7 1\nans 0 2 1 2100 lock 3 0 7 0 0"
        held = self.grant(1, 1, 10, 20, 2, 5) + self.unlock(1, 2, 3000, 3010)
        self.assertEqual(self.wrong(held, waits), [])
        held = self.grant(1, 1, 10, 20, 2, 5) + self.unlock(1, 2, 1200, 1300)
        self.assertRegex(self.wrong(held, waits)[0], "waited in vain")


class Locks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tool = runner.built("app/phca-lock/phca-lock")
        cls.folder = tempfile.mkdtemp(prefix="phca-locks")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)

    def setUp(self):
        self.running = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for p in self.running:
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGKILL)
            p.communicate() if not p.stdout.closed else p.wait()

    def loopback(self):
        self.box = verbs.Host(more=MORE)
        self.addCleanup(self.box.close)
        self.server_device = self.client_device = "phca0"

    def lossy(self):
        """Two ports of one appliance, joined: the server on one, its clients on the other."""
        ports = [{"name": f"p{i}", "device": f"net_impair{i}", "addresses": [f"10.9.0.{i + 1}/24"]} for i in (0, 1)]
        self.box = verbs.Host(ports=ports, eal=[v.format(LOST) for v in JOINED], more=MORE)
        self.addCleanup(self.box.close)
        self.server_device, self.client_device = "phca0", "phca0_1"

    def figures(self):
        return self.box.figures("/phca/offload", "locks")["own"]

    def start(self, *argv):
        p = subprocess.Popen(self.box.command(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.running.append(p)
        return p

    def until(self, what, condition, timeout_s=60):
        limit = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > limit:
                raise AssertionError(f"not within {timeout_s} s: {what}")
            time.sleep(0.02)

    def serve(self, *options):
        self.port = verbs.next_port()
        server = self.start(self.tool, "serve", "-d", self.server_device, "-p", str(self.port), "-n", str(LOCKS),
                            *options)
        self.until("the server listens", lambda: verbs.listens(self.port) or server.poll() is not None)
        return server

    def torture(self, i, *options):
        path = os.path.join(self.folder, f"{self.port}-{i}")
        return path, self.start(self.tool, "torture", "-d", self.client_device, "-p", str(self.port), "-n", str(LOCKS),
                                "-c", "2", "--seed", str(i), "-o", path, *options, "127.0.0.1")

    def finish(self, p, status=0):
        out, _ = p.communicate(timeout=60)
        self.assertEqual(p.returncode, status, out)
        return out

    def histories(self, keep):
        """Three programs to their end, a fourth that is killed in the middle."""
        server = self.serve(*(["--keep"] if keep else []))
        runs = [self.torture(i, "-t", SECONDS) for i in range(3)]
        path, victim = self.torture(3, "-t", "1000")
        self.until("the victim is at it", lambda: os.path.exists(path) and os.path.getsize(path) > 20000)
        os.killpg(victim.pid, signal.SIGKILL)
        self.finish(victim, -signal.SIGKILL)
        for _, p in runs:
            self.assertIn("all echoed in order", self.finish(p))
        own = None
        self.until("every lock is free", lambda: self.figures()["held"] + self.figures()["waiting"] == 0)
        own = self.figures()
        server.send_signal(signal.SIGTERM)
        out = self.finish(server)
        self.assertIn(f"locks {LOCKS}: held 0 (0 shared), waiters 0", out)
        made = [locks.load(p) for p, _ in runs] + [locks.load(path, killed=True)]
        self.assertEqual(locks.check(made), [])
        self.assertGreater(sum(h.requests for h in made), 1000)
        for name in ("granted", "waited", "timeouts", "deadlocks", "busy", "waits_cancelled", "dead_peers"):
            self.assertGreater(own[name], 0, own)
        for name in ("bad_requests", "tables_refused", "limits"):
            self.assertEqual(own[name], 0, own)
        return own

    def nothing_left(self):
        self.assertEqual(self.box.settled(), {})
        self.assertEqual({n: self.figures()[n] for n in ZERO}, dict.fromkeys(ZERO, 0))
        self.assertEqual(self.box.quit(), 0, self.box.output[-3000:])
        self.assertIn("mbufs leaked: 0", self.box.output)

    def test_histories(self):
        self.loopback()
        self.histories(keep=False)
        self.nothing_left()

    def test_histories_with_loss_and_silent_deaths(self):
        """The server keeps the queue pair of the one who was killed: the probes find out."""
        self.lossy()
        self.histories(keep=True)
        impaired = self.box.do("show impair all")
        self.assertIn("drop", impaired)
        self.nothing_left()

    def test_the_server_is_killed(self):
        self.loopback()
        server = self.serve()
        _, client = self.torture(9, "-t", "1000")
        self.until("it is at it", lambda: self.figures()["waited"] > 100)
        os.killpg(server.pid, signal.SIGKILL)
        self.finish(server, -signal.SIGKILL)
        # RC or TCP, whichever tells the client first
        self.assertRegex(self.finish(client, 1), "the connection failed|the server has closed the connection")
        self.nothing_left()

    def test_the_appliance_is_killed(self):
        self.loopback()
        server = self.serve()
        _, client = self.torture(9, "-t", "1000")
        self.until("it is at it", lambda: self.figures()["waited"] > 100)
        self.box.signal(signal.SIGKILL)
        self.assertIn("the device phca0 is gone", self.finish(server, 1))
        self.finish(client, 1)

    def test_a_program_and_its_table(self):
        """tests/torture/locks.c: both sides in one program."""
        self.loopback()
        self.assertIn("all as promised", self.box.run(runner.built("tests/torture/verbs-locks")).stdout)
        self.nothing_left()

    def test_commands(self):
        self.loopback()
        server = self.serve("-n", "1000")
        at = ["-p", str(self.port)]

        def run(*argv, check=True):
            return self.box.run(self.tool, *argv, check=check)

        self.assertIn("query 5: ok, free", run("query", *at, "127.0.0.1", "5").stdout)
        self.assertRegex(run("lock", *at, "127.0.0.1", "5", "echo", "mine").stdout,
                         r"lock 5: granted, exclusive, token \d+\nmine\nunlock 5: ok")
        nested = run("lock", *at, "-s", "127.0.0.1", "5", self.tool, "try", *at, "-s", "127.0.0.1", "5", "echo", "both")
        self.assertIn("both", nested.stdout)
        nested = run("lock", *at, "127.0.0.1", "5", self.tool, "lock", *at, "-w", "1000", "127.0.0.1", "5", check=False)
        self.assertIn("lock 5: timeout", nested.stdout)
        self.assertEqual(nested.returncode, 3)
        self.assertIn("unlock 5: not held", run("unlock", *at, "127.0.0.1", "5", check=False).stdout)
        self.assertIn("lock 1000: the table has 1000", run("query", *at, "127.0.0.1", "1000", check=False).stdout)
        # One of its locks is not to be had: an answer comes after thousands of later ones.
        nested = run("lock", *at, "127.0.0.1", "3", self.tool, "bench", *at, "-t", "1", "-n", "1000", "-q", "4",
                     "127.0.0.1")
        self.assertRegex(nested.stdout, r"pairs \d+ in")
        self.assertEqual(run("lock", *at, "127.0.0.1", "5", "/nonexistent", check=False).returncode, 127)
        shell = subprocess.run(self.box.command([self.tool, "shell", *at, "127.0.0.1"]), text=True, timeout=60,
                               input="lock 5x\nlock\ntry 5 1000\nlock 7 shared 1000\nunlock 7 8\nrelease\n",
                               capture_output=True, check=False)
        self.assertEqual(shell.returncode, 1)
        self.assertRegex(shell.stdout, r"^(\w+: lock N .*\n){3}lock 7: granted, shared, token \d+\n"
                                       r"unlock: lock N .*\nrelease 0: ok, 1 locks\n$")
        server.send_signal(signal.SIGTERM)
        self.finish(server)
        self.nothing_left()

    def test_signals(self):
        """Whoever waits for a lock ends at once; whoever has it ends its command first, and then gives it back."""
        self.loopback()
        self.serve()
        at = ["-p", str(self.port), "127.0.0.1", "5"]
        holder = self.start(self.tool, "lock", *at, "sleep", "1000")
        self.until("it has it", lambda: self.figures()["held"] == 1)
        waiter = self.start(self.tool, "lock", *at)
        self.until("one waits", lambda: self.figures()["waiting"] == 1)
        waiter.send_signal(signal.SIGINT)
        self.finish(waiter, -signal.SIGINT)
        self.until("nobody waits", lambda: self.figures()["waiting"] == 0)
        self.assertEqual(self.figures()["held"], 1)
        holder.send_signal(signal.SIGTERM)
        self.assertIn("unlock 5: ok", self.finish(holder, 128 + signal.SIGTERM))
        reader = subprocess.run(self.box.command([self.tool, "lock", *at]), stdin=subprocess.DEVNULL, text=True,
                                capture_output=True, check=True, timeout=60)
        self.assertIn("unlock 5: ok", reader.stdout)
        self.end_all()
        self.nothing_left()

    def test_without_a_proxy(self):
        """serve --self keeps the same promises; a server without it and without a rule says what is wrong."""
        self.box = verbs.Host()
        self.addCleanup(self.box.close)
        self.server_device = self.client_device = "phca0"
        server = self.serve("--self")
        path, client = self.torture(5, "-t", "1")
        self.finish(client)
        server.send_signal(signal.SIGTERM)
        self.assertIn("held 0", self.finish(server))
        self.assertEqual(locks.check([locks.load(path)]), [])
        server = self.serve()
        client = self.start(self.tool, "query", "-p", str(self.port), "127.0.0.1", "1")
        # It has said so when the request has come.
        self.assertTrue(any("no rule with the filter lock takes its queue pair" in line for line in server.stdout))
        server.send_signal(signal.SIGTERM)
        self.finish(server, 1)
        self.assertIsNone(client.poll())
        self.end_all()
        self.assertEqual(self.box.settled(), {})


if __name__ == "__main__":
    runner.main()
