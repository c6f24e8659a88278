#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The appliance stops or crashes under its clients: each is told, what sleeps wakes up,
what is posted is flushed once. The next appliance on the same socket serves anew, also
processes that had the device open before."""

import os
import shutil
import signal
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import program, runner, verbs  # noqa: E402

TOLD_S = 60     # it is tens of milliseconds, but machines are busy
FOREVER = "100000000"


def quit_at_the_prompt(box):
    box.write("quit\n")


def sigterm(box):
    box.signal(signal.SIGTERM)


def sigkill(box):
    box.signal(signal.SIGKILL)


def stopped_then_killed(box):
    """It does nothing any more, and is there: nobody is told; then it goes."""
    box.signal(signal.SIGSTOP)
    time.sleep(0.3)
    box.signal(signal.SIGKILL)


WAYS = (quit_at_the_prompt, sigterm, sigkill, stopped_then_killed)


class Gone(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="phcasock")
        os.chmod(cls.folder, 0o755)
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.socket = os.path.join(cls.folder, "phca0.sock")

    def box(self, mac="02:00:00:00:00:01"):
        box = verbs.Host(socket=self.socket, eal=["--vdev=net_null0,no-rx=1"], ports=[
            {"name": "p0", "device": "net_null0", "mac": mac, "addresses": ["10.7.0.1/24"]}])
        self.addCleanup(box.close)
        return box

    def start(self, box, *argv, **how):
        p = program.Program(box.command(list(argv)), tty=True, **how)
        self.addCleanup(p.close)
        return p

    def pair(self, box, argv):
        """Server and client of a tool."""
        port = verbs.next_port()
        server = self.start(box, *argv, "-p", str(port))
        limit = time.monotonic() + 60
        while not verbs.listens(port) and time.monotonic() < limit:
            time.sleep(0.01)
        return server, self.start(box, *argv, "-p", str(port), "127.0.0.1")

    def packets(self, box):
        return sum(box.verdicts().values())

    def until(self, what, condition):
        limit = time.monotonic() + TOLD_S
        while not condition():
            if time.monotonic() > limit:
                self.fail(f"not in {TOLD_S} s: {what}")
            time.sleep(0.02)

    def clients(self, box):
        """All in the middle of what they do."""
        watch = self.start(box, "ibv_asyncwatch")
        bw = self.pair(box, ["ib_send_bw", "-x", "1", "-n", FOREVER])
        ping = self.pair(box, ["ibv_rc_pingpong", "-g", "1", "-e", "-n", FOREVER])
        watch.expect("async event FD")
        for p in ping:
            p.expect("remote address")
        for p in bw:
            p.expect("#bytes")
        before = self.packets(box)
        self.until("traffic", lambda: self.packets(box) > before + 1000)
        ping[1].signal(signal.SIGSTOP)  # its server is asleep in ibv_get_cq_event then
        time.sleep(0.1)
        return watch, bw, ping

    def check_told(self, watch, bw, ping):
        for p in (*bw, ping[0]):
            self.assertGreater(p.wait(TOLD_S), 0, p.output)
        ping[1].signal(signal.SIGCONT)
        self.assertGreater(ping[1].wait(TOLD_S), 0, ping[1].output)
        watch.expect(r"\(8\)", TOLD_S)   # IBV_EVENT_DEVICE_FATAL
        watch.close()

    def test_clients_are_told_and_served_again(self):
        gone = None
        for i, way in enumerate(WAYS, 1):
            with self.subTest(way.__name__):
                # the last one has another MAC address, so another GUID, and is phca0 all the same
                box = self.box("02:00:00:00:00:02") if i == len(WAYS) else self.box()
                gone = gone or self.start(box, runner.built("tests/torture/verbs-gone"), str(len(WAYS)), "phca0")
                gone.expect(f"^ready {i}$", TOLD_S)
                clients = self.clients(box)
                way(box)
                gone.expect(f"^told {i}$", TOLD_S)
                self.check_told(*clients)
                status = box.wait(TOLD_S)
                if way in (quit_at_the_prompt, sigterm):
                    self.assertEqual(status, 0)
                    self.assertIn("mbufs leaked: 0", box.output)
                self.assertEqual(os.path.exists(self.socket), way not in (quit_at_the_prompt, sigterm))
        self.assertEqual(gone.wait(), 0, gone.output)

    def test_stale_socket_is_no_device(self):
        """A socket file that nobody serves hides nothing and delays nothing."""
        box = self.box()
        box.signal(signal.SIGKILL)
        box.wait()
        self.assertTrue(os.path.exists(self.socket))
        other = verbs.Host(socket=os.path.join(self.folder, "other.sock"),
                           host={"device": "other0"})
        self.addCleanup(other.close)
        out = other.run("env", f"PHCA_SOCKET={self.folder}", "ibv_devices").stdout
        self.assertIn("other0", out)
        self.assertNotIn("phca0", out)


if __name__ == "__main__":
    runner.main()
