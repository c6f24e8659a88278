#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The kernel pings the appliance over a veth pair, IPv4 and IPv6: ARP, neighbour
discovery and echo, and the counters of what was answered."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, runner  # noqa: E402


class Ping(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pair = appliance.pair()
        cls.addClassCleanup(cls.pair.close)
        cls.box = appliance.Appliance(appliance.config(), cls.pair, args=["--idle=sleep"])
        cls.addClassCleanup(cls.box.close)

    def ping(self, address, *options, count=3):
        """Run ping; the machine waits for each answer."""
        r = self.pair.tester.run("ping", "-n", "-c", str(count), "-i", "0.2", "-W", "3", *options,
                                 address, check=False)
        self.assertIn(f"{count} packets transmitted, {count} received", r.stdout)

    def neighbour(self, address):
        """The MAC address that the kernel learnt."""
        text = self.pair.tester.run("ip", "neigh", "show", address).stdout.split()
        self.assertIn("lladdr", text)
        return text[text.index("lladdr") + 1]

    def test_answers_arp_and_echo(self):
        before = self.box.verdicts()
        self.ping(appliance.ADDRESS[4])
        self.assertEqual(self.neighbour(appliance.ADDRESS[4]), self.pair.mac("appliance"))
        after = self.box.verdicts()
        self.assertEqual(after["icmp_echo"] - before["icmp_echo"], 3)
        self.assertGreaterEqual(after["arp"] - before["arp"], 1)

    def test_answers_ndp_and_echo6(self):
        before = self.box.verdicts()
        self.ping(appliance.ADDRESS[6])
        self.assertEqual(self.neighbour(appliance.ADDRESS[6]), self.pair.mac("appliance"))
        after = self.box.verdicts()
        self.assertEqual(after["icmp_echo"] - before["icmp_echo"], 3)
        self.assertGreaterEqual(after["ndp"] - before["ndp"], 1)

    def test_echoes_every_size(self):
        for size in ("0", "1", "777", "1472"):
            with self.subTest(size):
                self.ping(appliance.ADDRESS[4], "-s", size, "-M", "do", count=1)
                self.ping(appliance.ADDRESS[6], "-s", size, "-M", "do", count=1)

    def test_is_silent_for_other_addresses(self):
        r = self.pair.tester.run("ping", "-n", "-c", "1", "-W", "1", "10.9.0.77", check=False)
        self.assertIn("0 received", r.stdout)


if __name__ == "__main__":
    runner.main()
