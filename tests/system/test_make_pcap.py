#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""scripts/pktgen/make_pcap.py: its packets, taken apart by scapy, and its figures."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from collections import Counter

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import runner  # noqa: E402

TOOL = os.path.join(runner.ROOT, "scripts", "pktgen", "make_pcap.py")
sys.path.insert(0, os.path.dirname(TOOL))

import verify_pcap  # noqa: E402
from scapy.contrib.roce import BTH  # noqa: E402
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402

FAMILIES = {
    "IPv4": [],
    "IPv4, VLAN, UDP checksum": ["--vlan", "5", "--udp-checksum", "yes", "--dscp", "26"],
    "IPv6": ["--src-ip", "2001:db8::2", "--dst-ip", "2001:db8::1"],
    "IPv6, VLAN, no UDP checksum": ["--src-ip", "2001:db8::2", "--dst-ip", "2001:db8::1",
                                    "--vlan", "7", "--udp-checksum", "no"],
}


class MakePcap(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.pcap = os.path.join(self.dir.name, "roce.pcap")

    def make(self, *args, name=None):
        """Run the tool; its summary."""
        text = subprocess.run([TOOL, "-o", name or self.pcap, "--summary", "-", *args],
                              check=True, stdout=subprocess.PIPE).stdout
        return json.loads(text)

    def refused(self, *args):
        """Run the tool on what it must refuse; its message."""
        run = subprocess.run([TOOL, "-o", self.pcap, *args], stderr=subprocess.PIPE, text=True)
        self.assertNotEqual(run.returncode, 0)
        return run.stderr

    def bodies(self):
        """BTH to iCRC of every packet."""
        frames = verify_pcap.read_frames(self.pcap)
        return [(BTH(bytes(Ether(f)[UDP].payload)), f[-(Ether(f)[UDP].len - 8):]) for f in frames]

    def test_every_operation_and_family(self):
        for family, options in FAMILIES.items():
            with self.subTest(family):
                made = self.make(
                    "-n", "600", "--size", "0-1021", *options,
                    "--flow", "qpn=1-4 op=SEND,WRITE,SEND_IMM,WRITE_IMM mtu=256",
                    "--flow", "qpn=5 transport=UD op=SEND,SEND_IMM")
                kinds = verify_pcap.verify(self.pcap)
                self.assertEqual(kinds.pop("wrong iCRC"), 0)
                opcodes = {"0x20", "0x21", "0x22", "0x23", "0x24", "0x25", "0x26", "0x27",
                           "0x28", "0x29", "0x2a", "0x2b", "0x64", "0x65"}
                self.assertEqual(set(kinds), {"opcode %s version 0" % o for o in opcodes})
                self.assertEqual(sum(kinds.values()), made["packets"])

    def test_icrc_is_scapys_own(self):
        self.make("-n", "40", "--size", "0-300", "--dscp", "12", "--flow", "qpn=9 op=SEND,SEND_IMM")
        for frame in verify_pcap.read_frames(self.pcap):
            packet = Ether(frame)
            again = IP(bytes(packet[IP]))
            again[BTH].icrc = None
            self.assertEqual(bytes(again), bytes(packet[IP]))

    def test_messages_are_whole_and_psns_count(self):
        self.make("-n", "500", "--size", "1-4000", "--psn", "0xfffff0", "--flow",
                  "qpn=0x20-0x23 mtu=512 op=SEND,WRITE rkey=0x55 va=0x10000")
        psn, open_message = {}, {}
        for bth, _ in self.bodies():
            qpn = bth.dqpn
            self.assertEqual(bth.psn, psn.get(qpn, 0xfffff0))
            psn[qpn] = (bth.psn + 1) & 0xffffff
            first = bth.opcode in (0x20, 0x24, 0x26, 0x2a)
            last = bth.opcode in (0x22, 0x24, 0x28, 0x2a)
            self.assertNotEqual(open_message.get(qpn, False), first)
            open_message[qpn] = not last
        self.assertEqual(set(psn), {0x20, 0x21, 0x22, 0x23})
        self.assertFalse(any(open_message.values()))

    def test_reth_tells_the_whole_message(self):
        self.make("-n", "60", "--flow",
                  "qpn=3 op=WRITE size=3000 mtu=1024 rkey=0x55 va=0x10000 span=9000")
        at = []
        for bth, body in self.bodies():
            if bth.opcode == 0x26:
                reth = body[12:28]
                at.append(int.from_bytes(reth[:8], "big"))
                self.assertEqual(int.from_bytes(reth[8:12], "big"), 0x55)
                self.assertEqual(int.from_bytes(reth[12:], "big"), 3000)
        self.assertEqual(at[:4], [0x10000, 0x10000 + 3000, 0x10000 + 6000, 0x10000])

    def test_share_of_matching_messages_is_exact(self):
        made = self.make("-n", "1000", "--size", "64", "--flow",
                         "qpn=7 transport=UD qkey=0x42 match=0.25 match-key=cafe0001"
                         " match-key-offset=8 match-op=SEND_IMM")
        seen = Counter()
        for bth, body in self.bodies():
            payload = body[24:-4] if bth.opcode == 0x65 else body[20:-4]
            self.assertEqual(int.from_bytes(body[12:16], "big"), 0x42)
            seen[bth.opcode, payload[8:12] == b"\xca\xfe\x00\x01"] += 1
        self.assertEqual(set(seen), {(0x64, False), (0x65, True)})
        self.assertIn(seen[0x65, True], (249, 250, 251))
        self.assertEqual(made["qps"]["0x7"]["matching"], seen[0x65, True])

    def test_errors_are_counted_by_verdict(self):
        made = self.make("-n", "2000", "--error", "icrc=0.02", "--error", "port=0.02",
                         "--error", "version=0.02", "--error", "opcode=0.02",
                         "--flow", "qpn=1-4", "--flow", "qpn=5 transport=UD")
        kinds = verify_pcap.verify(self.pcap)
        refused = made["refused"]
        self.assertEqual(kinds["wrong iCRC"], refused["icrc"])
        self.assertEqual(kinds["other UDP port"], refused["not_roce"])
        self.assertEqual(kinds["opcode 0x3f version 0"], refused["opcode"])
        self.assertEqual(sum(n for kind, n in kinds.items() if kind.endswith("version 1")),
                         refused["bth_version"])
        self.assertEqual(sum(qp["errors"] for qp in made["qps"].values()), sum(refused.values()))
        good = sum(qp["packets"] for qp in made["qps"].values())
        self.assertEqual(good + sum(refused.values()), made["packets"])

    def test_same_seed_same_file(self):
        other = os.path.join(self.dir.name, "other.pcap")
        flow = ("-n", "200", "--size", "64-900", "--error", "icrc=0.1", "--flow", "qpn=1-9")
        contents = []
        for seed, name in (("5", self.pcap), ("5", other), ("6", other)):
            self.make(*flow, "--seed", seed, name=name)
            with open(name, "rb") as pcap:
                contents.append(pcap.read())
        self.assertEqual(contents[0], contents[1])
        self.assertNotEqual(contents[0], contents[2])

    def test_refusals_name_the_setting(self):
        self.assertIn("colour=red is not a setting", self.refused("--flow", "colour=red"))
        self.assertIn("UD has no WRITE", self.refused("--transport", "UD", "--op", "WRITE"))
        self.assertIn("5000 bytes > mtu", self.refused("--transport", "UD", "--size", "5000"))
        self.assertIn("0x3 is in two flows", self.refused("--flow", "qpn=3", "--flow", "qpn=1-4"))
        self.assertIn("different families", self.refused("--dst-ip", "2001:db8::1"))


if __name__ == "__main__":
    runner.main()
