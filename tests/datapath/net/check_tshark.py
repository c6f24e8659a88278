#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The golden frames of the port, taken apart by tshark.

    check_tshark.py RECORDS

RECORDS is what golden.py writes and test_golden.c compares the port with, byte
for byte. So that scapy and we are not wrong together: tshark finds every
checksum right, nothing malformed, and reads of the group reports what is meant.
"""
import os
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

RECORDS = sys.argv[1]
RECORD = struct.Struct("<BB16sHH")
KINDS = ("answer", "resolve", "announce", "join", "leave", "query", "old_leave")
FIELDS = ("ip.checksum.status", "igmp.checksum.status", "icmpv6.checksum.status",
          "icmp.checksum.status", "_ws.malformed", "_ws.expert.severity", "ip.dst", "ipv6.dst",
          "ip.ttl", "ipv6.hlim", "ip.opt.type", "ipv6.opt.type", "igmp.type", "igmp.record_type",
          "igmp.maddr", "icmpv6.type", "icmpv6.mldr.mar.record_type",
          "icmpv6.mldr.mar.multicast_address", "icmpv6.mld.multicast_address")
NOTE = 0x400000  # expert severity: warnings and errors are more
RECORD_TYPE = {"join": "4", "leave": "3", "query": "2"}


def answers():
    """(kind, group, frame) of everything that the port must send."""
    with open(RECORDS, "rb") as f:
        data = f.read()
    while data:
        kind, _, gid, in_len, out_len = RECORD.unpack_from(data)
        data = data[RECORD.size + in_len:]
        yield KINDS[kind], gid, data[:out_len]
        data = data[out_len:]


def tshark(frames):
    """A dict of the fields of each frame, of those that are there."""
    with tempfile.NamedTemporaryFile(suffix=".pcap", delete=False) as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for frame in frames:
            f.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    args = ["tshark", "-n", "-r", f.name, "-o", "ip.check_checksum:TRUE", "-T", "fields",
            "-E", "separator=/t", "-E", "occurrence=a"]
    for field in FIELDS:
        args += ["-e", field]
    try:
        out = subprocess.run(args, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True).stdout
    finally:
        os.unlink(f.name)
    rows = (line.split("\t") for line in out.split("\n")[:-1])
    return [{k: v for k, v in zip(FIELDS, row) if v} for row in rows]


class Tshark(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sent = list(answers())
        cls.read = tshark([frame for _, _, frame in cls.sent])

    def test_all_frames_were_read(self):
        self.assertGreater(len(self.sent), 300)
        self.assertEqual(len(self.sent), len(self.read))
        for kind in KINDS:
            self.assertIn(kind, (k for k, _, _ in self.sent))

    def test_nothing_is_malformed_and_checksums_are_right(self):
        checked = set()
        for number, row in enumerate(self.read):
            checked |= {n for n in row if n.endswith("checksum.status")}
            with self.subTest(frame=number, kind=self.sent[number][0]):
                self.assertNotIn("_ws.malformed", row)
                for name in (n for n in row if n.endswith("checksum.status")):
                    self.assertEqual(row[name], "1", name)
                for severity in row.get("_ws.expert.severity", "0").split(","):
                    self.assertLessEqual(int(severity), NOTE)
        self.assertEqual(len(checked), 4)

    def test_reports_say_what_is_meant(self):
        seen = 0
        for (kind, gid, _), row in zip(self.sent, self.read):
            if kind not in RECORD_TYPE or row.get("igmp.type") == "0x16" \
                    or row.get("icmpv6.type") == "131":
                continue
            with self.subTest(kind=kind, row=row):
                seen += 1
                if gid[0] == 0xff:
                    self.assertEqual((row["ipv6.dst"], row["ipv6.hlim"]), ("ff02::16", "1"))
                    self.assertIn("0x05", row["ipv6.opt.type"].split(","))
                    types, groups = "icmpv6.mldr.mar.record_type", \
                        "icmpv6.mldr.mar.multicast_address"
                    group = socket.inet_ntop(socket.AF_INET6, gid)
                else:
                    self.assertEqual((row["ip.dst"], row["ip.ttl"]), ("224.0.0.22", "1"))
                    self.assertEqual(row["ip.opt.type"], "148")
                    types, groups = "igmp.record_type", "igmp.maddr"
                    group = socket.inet_ntoa(gid[12:])
                self.assertEqual(set(row[types].split(",")), {RECORD_TYPE[kind]})
                self.assertIn(group, row[groups].split(","))
        self.assertGreater(seen, 30)


if __name__ == "__main__":
    result = unittest.main(argv=sys.argv[:1], exit=False).result
    bad = len(result.failures) + len(result.errors)
    sys.stderr.flush()
    print(f"tests {result.testsRun - bad} passed {bad} failed 0 skipped")
    sys.exit(bad != 0)
