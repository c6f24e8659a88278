#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Verbs programs of the distribution between two appliances, joined by net_memif and by
a veth pair; and on a machine that has both: a program sees two devices, and chooses."""

import os
import shutil
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import net, runner, verbs  # noqa: E402

LONG = bool(os.environ.get("PHCA_TEST_LONG"))
N = "1000" if LONG else "200"
GID4, GID6 = "1", "2"
GIDS = (GID4, GID6)


def config(device, which):
    return [{"name": "p0", "device": device, "mtu": 4096,
             "addresses": [f"10.8.0.{which}/24", f"fd00:8::{which}/64"]}]


class Two:
    """Tests of two appliances, self.a and self.b, with sockets in the folder self.folder."""

    turn = 0

    @classmethod
    def make(cls, kwargs):
        """Both; kwargs of each by its number."""
        cls.folder = tempfile.mkdtemp(prefix="phcasock")
        os.chmod(cls.folder, 0o755)
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        boxes = []
        for i in (1, 2):
            box = verbs.Host(socket=os.path.join(cls.folder, f"box{i}.sock"),
                             host={"device": f"box{i}"}, **kwargs(i))
            cls.addClassCleanup(box.close)
            boxes.append(box)
        cls.a, cls.b = boxes

    def between(self, *argv, **how):
        """A server on one, its client on the other; in turn, or both ways if there is time. What was printed."""
        ways = [(self.a, self.b), (self.b, self.a)]
        if not LONG:
            self.turn += 1
            ways = [ways[self.turn % 2]]
        out = []
        for server, client in ways:
            with self.subTest(" ".join(argv), server=server.socket):
                out += verbs.tool(server, client, list(argv), **how)
        return out

    def pingpong(self, kind, gid, *options):
        out = self.between(f"ibv_{kind}_pingpong", "-g", gid, "-n", N, *options)
        for text in out:
            self.assertIn(f"{N} iters in", text)

    def perftest(self, program, gid, *options):
        out = self.between(program, "-x", gid, "-n", N, *options)
        for text in out[1::2]:  # the clients': servers do not always know
            self.assertRegex(text, r"#bytes.*\n\s*\d+\s+\d+\s+[\d.]+")

    def test_pingpong(self):
        for gid in GIDS:
            for kind in ("rc", "uc", "ud", "srq"):
                self.pingpong(kind, gid, "-c")
        self.pingpong("rc", GID4, "-c", "-e")

    def test_perftest(self):
        for i, program in enumerate(("ib_send_bw", "ib_write_bw", "ib_read_bw", "ib_atomic_lat")):
            for gid in GIDS if LONG else GIDS[i % 2:][:1]:
                self.perftest(program, gid)
        self.perftest("ib_send_bw", GID4, "-e")
        self.perftest("ib_send_lat", GID6, "-e")
        self.perftest("ib_send_bw", GID6, "-c", "UD", "-s", "1024")
        self.perftest("ib_write_bw", GID4, "-b", "-q", "8")

    def tearDown(self):
        for box in (self.a, self.b):
            self.assertEqual(box.settled(), {})

    @classmethod
    def leave(cls):
        """Both end, one after the other, and no buffer is missing."""
        for box in (cls.a, cls.b):
            status = box.quit()
            assert status == 0 and "mbufs leaked: 0" in box.output, box.output[-2000:]


class OverMemif(Two, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shared = tempfile.mkdtemp(prefix="phca")
        cls.addClassCleanup(shutil.rmtree, shared, True)
        vdev = f"--vdev=net_memif0,socket={shared}/memif.sock,socket-abstract=no,bsize=8192,role="
        cls.make(lambda i: {"ports": config("net_memif0", i), "eal": [vdev + ("server", "client")[i - 1]]})

    def test_a_program_chooses(self):
        """With the sockets of both in one folder; by name, as one of two devices."""
        both = ["env", f"PHCA_SOCKET={self.folder}"]
        out = self.a.run(*both, "ibv_devices").stdout
        self.assertEqual([line.split()[0] for line in out.splitlines()[2:]], ["box1", "box2"])
        for mine, other in (("box1", "box2"), ("box2", "box1")):
            _, out = verbs.tool(self.a, self.a, [*both, "ibv_rc_pingpong", "-g", GID4, "-c", "-n", N],
                                server_more=["-d", mine], client_more=["-d", other])
            self.assertIn(f"GID ::ffff:10.8.0.{mine[-1]}", out.split("remote address")[1])
            self.assertIn(f"GID ::ffff:10.8.0.{other[-1]}", out.split("remote address")[0])
        r = self.a.run(*both, "ibv_rc_pingpong", "-d", "phca0", "-g", GID4, check=False)
        self.assertIn("IB device phca0 not found", r.stdout)

    def test_pairs_at_the_same_time(self):
        """Four pairs on each appliance at once, of different programs."""
        programs = (["ib_send_bw", "-x", GID4], ["ib_write_bw", "-x", GID6], ["ib_read_bw", "-x", GID4],
                    ["ibv_srq_pingpong", "-c", "-e", "-g", GID6])
        failed = []

        def run(argv, port):
            try:
                verbs.meet(self.a, [*argv, "-p", str(port)], self.b, [*argv, "-p", str(port), "127.0.0.1"], port)
            except AssertionError as e:
                failed.append(str(e))

        threads = [threading.Thread(target=run, args=([*p, "-n", "2000"], verbs.next_port())) for p in programs]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])

    def test_multicast(self):
        """Who has attached to a group has what is sent to it, on either appliance."""
        self.perftest("ib_send_bw", GID6, "-c", "UD", "-g", "-s", "512", "--MGID=255:14:0:0:0:0:0:0:0:0:0:0:0:0:1:1")

    @classmethod
    def tearDownClass(cls):
        cls.leave()


class OverVeth(Two, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        pair = net.Pair()
        cls.addClassCleanup(pair.close)
        pair.tester.run("sysctl", "-qw", f"net.ipv6.conf.{pair.tester_interface}.disable_ipv6=1")
        # A frame of the ring has room for the greatest packet, and a header of its own.
        ring = ",framesz=8192,blocksz=65536,framecnt=512"
        ends = ((pair.appliance, pair.interface), (pair.tester, pair.tester_interface))
        cls.make(lambda i: {"ports": config("net_af_packet0", i), "namespace": ends[i - 1][0],
                            "eal": [f"--vdev=net_af_packet0,iface={ends[i - 1][1]}{ring}"],
                            "more": {"memory": {"mbuf_size": 8192 + 256}}})

    @classmethod
    def tearDownClass(cls):
        cls.leave()


class SameName(unittest.TestCase):
    """Two appliances that both call their device phca0."""

    def test_names_stay_distinct(self):
        folder = tempfile.mkdtemp(prefix="phcasock")
        self.addCleanup(shutil.rmtree, folder, True)
        boxes = []
        for i, name in enumerate(("phca0", "phca0", "phca1")):
            box = verbs.Host(socket=os.path.join(folder, f"{i}.sock"), host={"device": name},
                             ports=[{"name": "p0", "device": "net_null0", "mac": f"02:00:00:00:00:0{i + 1}",
                                     "addresses": [f"10.8.{i}.1/24"]}], eal=["--vdev=net_null0,no-rx=1"])
            self.addCleanup(box.close)
            boxes.append(box)
        out = boxes[0].run("env", f"PHCA_SOCKET={folder}", "ibv_devices").stdout
        found = dict(line.split() for line in out.splitlines()[2:])
        guid = "000000fffe00000{}"
        # the first in the order of sockets has the name, the other one that no appliance has
        self.assertEqual(found, {"phca0": guid.format(1), "phca1": guid.format(3), "phca2": guid.format(2)})


if __name__ == "__main__":
    runner.main()
