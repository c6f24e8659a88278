#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Packets of lib/wire, and scapy's golden ones, taken apart by tshark.

    check_tshark.py WIRE_PCAP GOLDEN_PCAP

WIRE_PCAP is the program that writes our packets and what tshark must find in
them. tshark 4.0 shows the invariant CRC but does not check it: it is compared
with roce_scapy.icrc (zlib).
"""
import ipaddress
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../common"))

from scapy.utils import RawPcapReader  # noqa: E402

import roce_scapy as roce  # noqa: E402

WIRE_PCAP, GOLDEN_PCAP = sys.argv[1:3]

ADDRESSES = ("ip.src", "ip.dst", "ipv6.src", "ipv6.dst")
BYTES = ("infiniband.immdt", "infiniband.ieth")
CNP = 0x81  # unknown to tshark: it shows BTH and "Vendor Specific"


def tshark(pcap, fields):
    """A dict of the fields for each packet, of those that are there."""
    args = ["tshark", "-n", "-r", pcap, "-o", "ip.check_checksum:TRUE", "-T", "fields",
            "-E", "separator=/t", "-E", "occurrence=f", *roce.PLAIN_PAYLOAD]
    for field in fields:
        args += ["-e", field]
    out = subprocess.run(args, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True).stdout
    rows = (line.split("\t") for line in out.split("\n")[:-1])
    return [{k: v for k, v in zip(fields, row) if v} for row in rows]


def number(field, text):
    """The value of a field as tshark or wire-pcap writes it."""
    if field in ADDRESSES:
        return ipaddress.ip_address(text)
    if field in BYTES:
        return int(text.replace(":", ""), 16)
    return {"True": 1, "False": 0}[text] if text in ("True", "False") else int(text, 0)


class Tshark(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory()
        cls.pcap = os.path.join(cls.dir.name, "ours.pcap")
        expected = os.path.join(cls.dir.name, "expected")
        subprocess.run([WIRE_PCAP, cls.pcap, expected], check=True)
        with open(expected) as file:
            cls.expected = [dict(word.split("=") for word in line.split()) for line in file]
        cls.fields = sorted({k for packet in cls.expected for k in packet})
        cls.found = tshark(cls.pcap, cls.fields + ["infiniband.invariant.crc", "_ws.malformed"])
        cls.frames = [frame for frame, _ in RawPcapReader(cls.pcap)]

    @classmethod
    def tearDownClass(cls):
        cls.dir.cleanup()

    def test_all_packets_are_there(self):
        self.assertEqual(len(self.found), len(self.expected))
        self.assertEqual(len(self.frames), len(self.expected))
        self.assertEqual({int(p["infiniband.bth.opcode"]) for p in self.expected},
                         set(roce.OPCODES))

    def test_none_is_malformed(self):
        for found in self.found:
            self.assertNotIn("_ws.malformed", found)

    def test_every_field(self):
        for n, (expected, found) in enumerate(zip(self.expected, self.found), 1):
            for field in self.fields:
                with self.subTest(packet=n, field=field, opcode=expected["infiniband.bth.opcode"]):
                    self.assertEqual(field in found, field in expected)
                    if field in expected:
                        self.assertEqual(number(field, found[field]),
                                         number(field, expected[field]))

    def test_icrc(self):
        for frame, found in zip(self.frames, self.found):
            self.assertEqual(frame[-4:], roce.icrc(frame))
            if int(found["infiniband.bth.opcode"], 0) != CNP:
                self.assertEqual(int(found["infiniband.invariant.crc"], 16).to_bytes(4, "big"),
                                 roce.icrc(frame))

    def test_golden_packets_too(self):
        found = tshark(GOLDEN_PCAP, ["infiniband.bth.opcode", "infiniband.invariant.crc",
                                     "_ws.malformed"])
        frames = [frame for frame, _ in RawPcapReader(GOLDEN_PCAP)]
        self.assertEqual(len(found), len(frames))
        self.assertEqual({int(p["infiniband.bth.opcode"]) for p in found}, set(roce.OPCODES))
        for packet, frame in zip(found, frames):
            self.assertNotIn("_ws.malformed", packet)
            if int(packet["infiniband.bth.opcode"]) != CNP:
                self.assertEqual(int(packet["infiniband.invariant.crc"], 16).to_bytes(4, "big"),
                                 frame[-4:])


def main():
    program = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2)
    result = program.result
    failed = len({str(getattr(test, "test_case", test))
                  for test, _ in result.failures + result.errors})
    skipped = len(result.skipped)
    sys.stderr.flush()
    passed = max(0, result.testsRun - failed - skipped)  # setUpClass may fail instead of a test
    print(f"tests {passed} passed {failed} failed {skipped} skipped")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
