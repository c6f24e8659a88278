#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What programs find out about the device before they use it: ibv_devices and
ibv_devinfo of ibverbs-utils, and the files that some look for in /dev and /sys."""

import os
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import runner, verbs  # noqa: E402

# What UCX does before it takes a device; python3 calls the same functions of libc.
LIKE_UCX = """
import os, stat
node = "/dev/infiniband/uverbs0"
attrs = "/sys/class/infiniband/phca0/ports/1/gid_attrs/"
s = os.stat(node)
print(stat.S_ISCHR(s.st_mode), os.access(node, os.R_OK | os.W_OK))
print(open(attrs + "types/1").read().strip())
print(len(open(attrs + "ndevs/1").read().strip()) > 0)
print(os.path.exists("/dev/infiniband/uverbsX"), os.path.exists("/dev/null"))
"""


class Tools(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = verbs.Host()
        cls.addClassCleanup(cls.box.close)

    def devices(self, **how):
        """{name: node GUID} as ibv_devices lists them."""
        lines = self.box.run("ibv_devices", **how).stdout.splitlines()[2:]
        return dict(line.split() for line in lines)

    def test_device_is_listed(self):
        found = self.devices()
        self.assertEqual(list(found), ["phca0"])
        self.assertRegex(found["phca0"], r"^(?!0{16})[0-9a-f]{16}$")
        self.assertEqual(self.devices(user=verbs.NOBODY), found)

    def test_device_is_listed_with_preload(self):
        preload = [*self.box.command([]), "--preload", "ibv_devices"]
        out = subprocess.run(preload, stdout=subprocess.PIPE, text=True, check=True)
        self.assertIn("phca0", out.stdout)

    def test_without_appliance_there_is_none(self):
        out = self.box.run("ibv_devices", env={"PHCA_SOCKET": "/nonexistent"})
        self.assertIn("phca0", out.stdout)      # --socket says where, not the environment
        out = self.box.run("env", "PHCA_SOCKET=/nonexistent", "ibv_devices").stdout
        self.assertNotIn("phca0", out)

    def test_devinfo(self):
        for user in (None, verbs.NOBODY):
            with self.subTest(user=user):
                self.check_devinfo(self.box.run("ibv_devinfo", "-v", user=user).stdout)

    def check_devinfo(self, text):
        facts = dict(re.findall(r"^\s*(\w[\w ]*?):\t+(.*?)$", text, re.M))
        self.assertEqual(facts["hca_id"], "phca0")
        self.assertEqual(facts["state"], "PORT_ACTIVE (4)")
        self.assertEqual(facts["active_mtu"], "4096 (5)")
        self.assertEqual(facts["link_layer"], "Ethernet")
        self.assertEqual(facts["phys_port_cnt"], "1")
        self.assertGreaterEqual(int(facts["max_qp"]), 1024)
        self.assertEqual(facts["max_ee_rd_atom"], "0")     # not in RoCE: not advertised
        gids = re.findall(r"GID\[\s*\d+\]:\s+(\S+), (.*)", text)
        self.assertIn((f"::ffff:{verbs.GID[4]}", "RoCE v2"), gids)
        self.assertIn((verbs.GID[6], "RoCE v2"), gids)
        self.assertEqual(int(facts["gid_tbl_len"]), len(gids))

    def test_files_that_programs_look_for(self):
        # A kernel with RDMA has them of its own, and those are taken.
        if os.path.exists("/dev/infiniband/uverbs0"):
            self.skipTest("this machine has an RDMA device")
        for user in (None, verbs.NOBODY):
            out = self.box.run("/usr/bin/python3", "-c", LIKE_UCX, user=user).stdout
            self.assertEqual(out.split("\n")[:4], ["True True", "RoCE v2", "True", "False True"])

    def test_what_the_device_does_not_have_is_refused(self):
        out = self.box.run("ibv_xsrq_pingpong", "-g", "1", check=False)
        self.assertNotEqual(out.returncode, 0)
        self.assertIn("XRC", out.stdout)


if __name__ == "__main__":
    runner.main()
