#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The harness itself, tried on dpdk-testpmd: what system tests lean on works,
and what they start or make is gone afterwards."""

import os
import signal
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import net, program, runner  # noqa: E402

TESTPMD = "/usr/bin/dpdk-testpmd"
PROMPT = r"^testpmd> "


def alive(pid):
    """Whether a process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Programs(unittest.TestCase):
    def start(self, **kwargs):
        p = program.DpdkProgram(TESTPMD, eal=["--vdev=net_null0"],
                                args=["-i", "--total-num-mbufs=2048"], tty=True, **kwargs)
        self.addCleanup(p.close)
        p.expect(PROMPT)
        return p

    def test_prompt_and_telemetry_agree(self):
        p = self.start()
        info = p.command("show port summary all", PROMPT)
        self.assertIn("net_null", info)
        with p.telemetry() as t:
            self.assertEqual(t.info["pid"], p.process.pid)
            self.assertEqual(t("/ethdev/list"), [0])
        p.write("quit\n")
        self.assertEqual(p.wait(), 0)

    def test_tab_completes(self):
        p = self.start()
        p.write("show port su\t")
        p.expect("summary")

    def test_signal_is_seen_in_status_and_output(self):
        p = program.Program(["sh", "-c", "trap 'echo caught; exit 3' TERM; echo ready; "
                             "while :; do sleep 0.1; done"])
        self.addCleanup(p.close)
        p.expect("ready")
        p.signal(signal.SIGTERM)
        self.assertEqual(p.wait(), 3)
        self.assertIn("caught", p.output)

    def test_what_is_closed_is_gone(self):
        p = self.start()
        self.assertTrue(os.path.isdir(p.runtime_dir))
        p.close()
        self.assertFalse(alive(p.process.pid))
        self.assertFalse(os.path.exists(p.runtime_dir))

    def test_failed_expectation_shows_output(self):
        p = program.Program(["echo", "what it said"])
        self.addCleanup(p.close)
        with self.assertRaisesRegex(program.ProgramError, "what it said"):
            p.expect("something else", timeout_s=5)
        self.assertEqual(p.wait(), 0)


class Networks(unittest.TestCase):
    def setUp(self):
        self.pair = net.Pair(["10.9.0.2/24", "fd00:9::2/64"])
        self.addCleanup(self.pair.close)

    def test_frames_cross(self):
        p = program.DpdkProgram(
            TESTPMD, eal=[f"--vdev=net_af_packet0,iface={self.pair.interface}"],
            args=["-i", "--forward-mode=macswap", "--auto-start", "--total-num-mbufs=2048"],
            namespace=self.pair.appliance, tty=True)
        self.addCleanup(p.close)
        p.expect(PROMPT)
        with p.telemetry(20) as t:
            limit = time.monotonic() + 60
            frame = bytes.fromhex("020000000001020000000002" + "88b5") + b"proxyhca" * 8
            back = None
            while back is None and time.monotonic() < limit:
                self.pair.wire.send(frame)
                back = self.pair.wire.receive(lambda f: f[12:14] == b"\x88\xb5", 0.5)
            self.assertEqual(back, frame[6:12] + frame[:6] + frame[12:])
            self.assertGreaterEqual(t("/ethdev/stats", 0)["ipackets"], 1)

    def test_namespaces_are_gone(self):
        names = [self.pair.appliance.name, self.pair.tester.name]
        listed = subprocess.run(["ip", "netns"], stdout=subprocess.PIPE, text=True).stdout
        for n in names:
            self.assertIn(n, listed)
        self.pair.close()
        listed = subprocess.run(["ip", "netns"], stdout=subprocess.PIPE, text=True).stdout
        for n in names:
            self.assertNotIn(n, listed)


if __name__ == "__main__":
    runner.main()
