#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Several HCA lcores and several proxy lcores in one process: queue pairs and
offloads are spread over them, and what is shown is their sum."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, runner  # noqa: E402

FIVE = "(0-4)@(0-1)"    # lcores on two cores


def config(**lcores):
    conf = appliance.config()
    conf["ports"][0]["device"] = "net_null0"
    conf["lcores"] = lcores
    return conf


class Lcores(unittest.TestCase):
    def box(self, conf, **kwargs):
        box = appliance.Appliance(conf, eal=["--vdev=net_null0,no-rx=1"], args=["--idle=sleep"],
                                  lcores=FIVE, **kwargs)
        self.addCleanup(box.close)
        return box

    def test_roles_are_where_they_are_configured(self):
        conf = config(hca=[1, 2], proxy=[3, 4], app=0)
        box = self.box(conf)
        roles = {k: v["roles"] for k, v in box.figures("/phca/lcores").items()}
        self.assertEqual(roles, {"lcore_0": "app", "lcore_1": "hca", "lcore_2": "hca",
                                 "lcore_3": "proxy", "lcore_4": "proxy"})
        shown = box.do("show proxy")
        for proxy in (3, 4):
            for hca in (1, 2):
                self.assertIn(f"lcore {proxy}; ring from lcore {hca}: 0 of", shown)
        # The proxy QPs are dealt out to the proxies; the sum is all of them.
        figures = box.figures("/phca/proxy")
        count = sum(len(p["qps"]) for p in conf["proxy_qps"])
        self.assertEqual(figures["pqps"], count)
        self.assertEqual(figures["lcore_3"]["pqps"] + figures["lcore_4"]["pqps"], count)
        self.assertLessEqual(abs(figures["lcore_3"]["pqps"] - figures["lcore_4"]["pqps"]), 1)
        # An offload has an instance on each.
        shown = box.do("show offload delay")
        self.assertIn("-- its own of lcore 3:", shown)
        self.assertIn("-- its own of lcore 4:", shown)
        own = box.figures("/phca/offload", "delay")
        self.assertIn("own_lcore_3", own)
        self.assertIn("own_lcore_4", own)
        self.assertEqual(box.quit(), 0)
        self.assertIn("mbufs leaked: 0", box.output)

    def test_one_lcore_may_have_several_roles(self):
        box = self.box(config(hca=[1, 2], proxy=[2, 1], app=1))
        roles = {k: v["roles"] for k, v in box.figures("/phca/lcores").items()}
        self.assertEqual(roles, {"lcore_1": "hca+proxy+app", "lcore_2": "hca+proxy"})
        self.assertEqual(box.quit(), 0)

    def test_an_lcore_that_is_not_there(self):
        box = self.box(config(hca=[1, 7]), prompt=False)
        self.assertNotEqual(box.wait(), 0)
        self.assertIn("lcores.hca: lcore 7 is not one of EAL's", box.output)

    def test_rings_need_buffers(self):
        conf = config(hca=[1, 2, 3, 4])
        conf["memory"] = {"mbufs": 4096}
        box = self.box(conf, prompt=False)
        self.assertNotEqual(box.wait(), 0)
        self.assertIn("memory.mbufs: 4096 buffers, but receive rings", box.output)


if __name__ == "__main__":
    runner.main()
