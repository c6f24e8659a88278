#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's bridge snoops: it learns from the appliance's reports which groups
are behind its port, on its own queries too, and so lets solicitations through."""

import json
import os
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, net, runner  # noqa: E402

GROUP = "ff02::1:ff00:1"    # solicited-node group of the appliance's IPv6 address
LIMIT_S = 60                # a bridge that asks each second has learnt long before


class Snooping(unittest.TestCase):
    def setUp(self):
        self.pair = net.Pair()
        self.addCleanup(self.pair.close)

    def bridge(self, mld, igmp):
        """A bridge in the tester's namespace: it asks each second, in these versions."""
        run, end = self.pair.tester.run, self.pair.tester_interface
        run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "1",
            "mcast_mld_version", str(mld), "mcast_igmp_version", str(igmp),
            "mcast_startup_query_interval", "100", "mcast_query_interval", "100",
            "mcast_query_response_interval", "50")
        run("ip", "link", "set", end, "master", "br0")
        run("ip", "link", "set", "br0", "up")
        run("ip", "addr", "add", f"{appliance.TESTER[6]}/64", "dev", "br0", "nodad")

    def start(self):
        self.box = appliance.Appliance(appliance.config(), self.pair, args=["--idle=sleep"])
        self.addCleanup(self.box.close)

    def known(self):
        """Whether the bridge knows the group behind the appliance's port."""
        text = self.pair.tester.run("bridge", "-j", "mdb", "show", "dev", "br0").stdout
        return any(e["grp"] == GROUP and e["port"] == self.pair.tester_interface
                   for table in json.loads(text) for e in table.get("mdb", ()))

    def until(self, condition, what):
        limit = time.monotonic() + LIMIT_S
        while not condition():
            self.assertLess(time.monotonic(), limit, what)
            time.sleep(0.1)

    def ping(self):
        r = self.pair.tester.run("ping", "-n", "-c", "1", "-W", "3", appliance.ADDRESS[6])
        self.assertIn("1 received", r.stdout)

    def queried(self, mld, igmp):
        self.bridge(mld, igmp)
        self.start()
        before = self.box.verdicts()["group_query"]
        self.pair.tester.run("ip", "link", "set", "br0", "type", "bridge", "mcast_querier", "1")
        self.until(self.known, "the bridge learnt nothing")
        # forgotten: only an answer to a query can bring it back
        self.until(lambda: self.box.verdicts()["group_query"] >= before + 4, "no queries came")
        self.pair.tester.run("bridge", "mdb", "del", "dev", "br0", "port",
                             self.pair.tester_interface, "grp", GROUP)
        self.until(self.known, "the appliance did not answer the bridge's queries")
        self.ping()

    def test_told_without_a_question(self):
        self.bridge(mld=2, igmp=3)
        self.start()
        self.until(self.known, "the bridge learnt nothing from the first reports")
        self.assertEqual(self.box.verdicts()["group_query"], 0)
        self.ping()

    def test_answers_mldv2_and_igmpv3_queries(self):
        self.queried(mld=2, igmp=3)

    def test_answers_mldv1_and_igmpv2_queries(self):
        self.queried(mld=1, igmp=2)


if __name__ == "__main__":
    runner.main()
