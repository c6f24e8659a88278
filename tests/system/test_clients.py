#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Processes at the socket of the appliance, by the admin protocol's bytes: they are
shown with who they are and what they have, what was theirs goes with them, and they
are told when the appliance ends."""

import array
import os
import select
import socket
import struct
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, runner  # noqa: E402

MAGIC = 0x41484350
HELLO, PD_ALLOC, CQ_CREATE, CHANNEL_CREATE = 1, 10, 22, 20
NONE = 0xffffffff


class Client:
    """A connection that said HELLO."""

    def __init__(self, path):
        self.seq = 0
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(30)
        self.sock.connect(path)
        # another version is refused, by an answer that names the server's
        status, body, fds = self.call(HELLO, struct.pack("<IIII", 0, 0, 0, 0))
        if (status, fds) != (-71, []):
            raise AssertionError(f"HELLO of version 0: {status}")
        status, body, fds = self.call(HELLO, body[:8] + struct.pack("<II", 0, 0))
        if status != 0:
            raise AssertionError(f"HELLO: {status}")
        self.device = body[8:40].split(b"\0")[0].decode()
        self.fds = fds      # arena, events, wake

    def call(self, op, body=b""):
        self.seq += 1
        self.sock.send(struct.pack("<IHHII", MAGIC, op, 16 + len(body), self.seq, 0) + body)
        data, control, _, _ = self.sock.recvmsg(16384, socket.CMSG_SPACE(32 * 4))
        fds = array.array("i")
        for _, _, c in control:
            fds.frombytes(c)
        return struct.unpack("<i", data[12:16])[0], data[16:], list(fds)

    def close(self):
        self.sock.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []


class Clients(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "made", "s.sock")

    def box(self, host=None, args=()):
        config = {"ports": [{"name": "p0", "device": "net_null0", "addresses": ["192.0.2.1/24"]}]}
        if host is not None:
            config["host"] = host
        box = appliance.Appliance(config, eal=["--vdev=net_null0,no-rx=1"],
                                  args=["--idle=sleep", *args])
        self.addCleanup(box.close)
        return box

    def client(self):
        c = Client(self.path)
        self.addCleanup(c.close)
        return c

    def test_shown_while_there_and_told_of_the_end(self):
        box = self.box({"socket": self.path, "device": "mydev", "mode": "0600",
                        "limits": {"clients": 2, "cqs": 1}})
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        c = self.client()
        self.assertEqual(c.device, "mydev")
        self.assertEqual(c.call(PD_ALLOC)[0], 0)
        self.assertEqual(c.call(CQ_CREATE, struct.pack("<II", 16, NONE))[0], 0)
        self.assertEqual(c.call(CQ_CREATE, struct.pack("<II", 16, NONE))[0], -12)   # ENOMEM: the limit
        shown = box.do("show clients")
        self.assertIn(str(os.getpid()), shown)
        self.assertRegex(shown, r"qps 0  cqs 1  srqs 0 .* pds 1 ")
        f = box.figures("/phca/clients")["client_1"]
        self.assertEqual((f["pid"], f["uid"], f["cqs"], f["failed"]), (os.getpid(), os.getuid(), 1, 2))
        self.assertIn("python3", f["exe"])
        gone = self.client()
        with self.assertRaisesRegex(AssertionError, "-87"):     # EUSERS: the limit
            Client(self.path)
        gone.close()
        limit = time.monotonic() + 60
        while len(box.figures("/phca/clients")) > 1 and time.monotonic() < limit:
            time.sleep(0.02)
        self.assertEqual(list(box.figures("/phca/clients")), ["client_1"])
        self.assertEqual(box.figures("/phca/host")["clients"], 1)
        box.do("clear all")
        self.assertEqual(box.figures("/phca/host")["requests"], 0)
        code = box.quit()
        self.assertEqual(code, 0, box.output)
        self.assertIn("mbufs leaked: 0", box.output)
        self.assertTrue(select.select([c.sock], [], [], 0)[0])
        self.assertEqual(c.sock.recv(1), b"")
        self.assertFalse(os.path.exists(self.path))

    def test_option_alone_and_none(self):
        box = self.box(args=["--socket", self.path])
        self.assertEqual(self.client().device, "phca0")
        self.assertEqual(box.quit(), 0, box.output)
        box = self.box()
        self.assertIn("No socket", box.do("show clients"))
        self.assertEqual(box.figures("/phca/host") or {}, {})
        self.assertEqual(box.quit(), 0, box.output)


if __name__ == "__main__":
    runner.main()
