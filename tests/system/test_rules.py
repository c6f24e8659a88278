#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Rules attached to and detached from queue pairs that run, at the prompt: resident
applications that verify every byte and the order of completions notice nothing."""

import os
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, runner  # noqa: E402

GENERATOR, TARGET, PLAIN = 0x41, 0x42, 0x11


def config():
    """READs and atomics from one RC queue pair to another through the port's own address."""
    c = appliance.config()
    c["ports"][0]["device"] = "net_null0"
    c["apps"] += [
        {"name": "generator", "driver": "generator",
         "settings": {"operation": "read:3,fetch_add:1", "size": "8-3000", "seed": 7}},
        {"name": "target", "driver": "sink", "settings": {"verify": True, "seed": 7, "memory_bytes": 1 << 20}}]
    c["qps"] += [
        {"name": "generator", "type": "RC", "app": "generator", "qpn": GENERATOR, "dest_qpn": TARGET,
         "peer": appliance.ADDRESS[4], "max_recv_wr": 16},
        {"name": "target", "type": "RC", "app": "target", "qpn": TARGET, "dest_qpn": GENERATOR,
         "peer": appliance.ADDRESS[4], "access": ["remote_read", "remote_atomic", "remote_write"]}]
    c["app_proxy"] = [
        {"name": "kv", "match": {"exe": "kv-*", "user": 0, "transport": "RC", "cq_depth": {"max": 64},
                                 "peer": "10.9.0.0/24"},
         "rules": [{"filter": "size", "offload": "delay", "direction": "inbound"}]},
        {"name": "watch", "match": {"user": "root"}}]
    return c


class Rules(unittest.TestCase):
    def setUp(self):
        self.box = appliance.Appliance(config(), eal=["--vdev=net_null0,no-rx=1"], args=["--idle=sleep"])
        self.addCleanup(self.box.close)

    def qp(self, qpn):
        return self.box.figures("/phca/qp", qpn)

    def until(self, what, condition, timeout_s=60):
        limit = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > limit:
                raise AssertionError(f"not within {timeout_s} s: {what}")
            time.sleep(0.05)

    def more(self, n=300):
        """So many READs and atomics more were done."""
        before = self.qp(GENERATOR)["tx_wrs"]
        self.until("traffic", lambda: self.qp(GENERATOR)["tx_wrs"] > before + n)

    def check_clean(self):
        own = self.box.figures("/phca/app", "generator")["own"]
        for name in ("errors", "flushed", "mismatches", "stopped_qps", "out_of_order"):
            self.assertEqual(own[name], 0, own)
        self.assertGreater(own["verified"], 1000, own)
        self.assertEqual(self.box.quit(), 0, self.box.output[-3000:])
        self.assertIn("mbufs leaked: 0", self.box.output)

    def test_attached_and_detached_under_load(self):
        self.box.do("start")
        self.more()
        self.assertEqual(self.qp(TARGET)["proxy"], "no")
        for i in range(4):
            self.assertIn("qp 0x42: the rules of kv are attached", self.box.do("attach qp 0x42 rules kv"))
            self.assertEqual(self.qp(TARGET)["rules_from"], "app_proxy kv")
            before = self.qp(TARGET)["rx_offloaded"]
            self.until("offloaded", lambda: self.qp(TARGET)["rx_offloaded"] > before + 100)
            # One rule more, at the other end and here; the first goes.
            said = self.box.do(f"attach qp {TARGET} filter source offload null inbound")
            self.assertIn("rule source-null is attached", said)
            self.assertEqual(len(self.qp(TARGET)["rules"]), 2)
            self.assertIn("is detached", self.box.do("detach qp 0x42 rule size-delay"))
            self.assertEqual([r["name"] for r in self.qp(TARGET)["rules"].values()], ["source-null"])
            self.more()
            # Without any: nothing is offloaded any more, and it goes on.
            self.assertIn("no rules are attached", self.box.do("detach qp 0x42"))
            shown = self.qp(TARGET)
            self.assertEqual((shown["proxy"], shown["rules"], shown["rules_from"]), ("yes", {}, "prompt"))
            self.more()
            self.assertEqual(self.qp(TARGET)["rx_offloaded"], shown["rx_offloaded"], f"round {i}")
        # The one that posts, too; nothing matches there, every completion goes another way.
        for _ in range(4):
            self.assertIn("watch are attached", self.box.do(f"attach qp {GENERATOR} rules watch"))
            self.more()
        self.check_clean()

    def test_all_of_them_and_what_is_shown(self):
        said = self.box.do("attach qp all rules watch")
        self.assertIn("8 of 8 queue pairs: the rules of watch are attached", said)
        self.assertRegex(self.box.do("show qp all"), r"(?m)^ +0x11 +ud-plain .* - +app_proxy watch\s*$")
        self.assertRegex(self.box.do("show qp 0x11"), r"(?m)^ +proxy QP by app_proxy watch")
        self.assertRegex(self.box.do("show proxy"), r"QP 0x11 +ud-plain +rules 0 by app_proxy watch:")
        self.assertEqual(self.qp(PLAIN)["proxy"], "yes")
        self.assertIn("8 of 8 queue pairs: no rules are attached", self.box.do("detach qp all"))
        self.assertIn("7 of 8", self.box.do("detach qp 0x11 rule x") + self.box.do(
            "attach qp 0x11 filter size offload null") + self.box.do("attach qp all filter size offload null"))
        self.assertRegex(self.box.do("show qp 0x12"), r"rule 0: size-null: filter size, offload null, direction both")
        shown = self.box.do("show rules")
        self.assertIn("kv: exe kv-*, user 0, RC, CQ depth 1..64, peer 10.9.0.0/24; taken 0, not attached 0", shown)
        self.assertIn("rule 0: size-delay: filter size, offload delay, direction inbound", shown)
        self.assertIn("watch: user root; taken 0", shown)
        self.assertEqual(self.box.figures("/phca/rules"), {
            "kv": {"rules": 1, "taken": 0, "failed": 0}, "watch": {"rules": 0, "taken": 0, "failed": 0}})
        self.assertEqual(self.box.quit(), 0)

    def test_what_does_not_exist_is_named(self):
        for command, words in (
                ("attach qp 0x99 rules kv", "qp '0x99': there is none with this number"),
                ("attach qp 0x11 rules nix", "rules 'nix': there is no such entry of app_proxy"),
                ("attach qp 0x11 filter nix offload null", "filter 'nix': there is none"),
                ("attach qp 0x11 filter size offload nix", "offload 'nix': there is none"),
                ("attach qp 0x11 filter size offload null up", "direction 'up'"),
                ("detach qp 0x11", "qp 0x11 (ud-plain): it has no rule"),
                ("detach qp 0x13 rule nix", "qp 0x13 (ud-size): it has no rule nix"),
                ("attach qp 0x13 filter size offload delay", "it has a rule size-delay already")):
            with self.subTest(command):
                self.assertIn(words, self.box.do(command))
        self.assertEqual(self.qp(PLAIN)["proxy"], "no")
        self.assertEqual(self.box.quit(), 0)


if __name__ == "__main__":
    runner.main()
