#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Traces, times and queue depth of offloads on an appliance that runs: what the prompt
says of each request agrees with telemetry and with what the filters must have said."""

import os
import re
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, runner  # noqa: E402

GENERATOR, TARGET, PLAIN = 0x41, 0x42, 0x11
LINE = re.compile(r"^  (send|inbound) (\d+) (?:WR|PSN) 0x([0-9a-f]+) SEND (\d+) bytes: (.*)$", re.M)


def config():
    """SENDs from one RC queue pair to another through the port's own address."""
    c = appliance.config()
    c["ports"][0]["device"] = "net_null0"
    c["offloads"].append({"name": "slow", "driver": "delay", "time_limit_us": 0,
                          "settings": {"delay_min_us": 60000000, "delay_max_us": 60000000}})
    c["apps"] += [{"name": "generator", "driver": "generator",
                   "settings": {"operation": "send", "size": "8-300", "seed": 7}},
                  {"name": "target", "driver": "sink"}]
    c["qps"] += [
        {"name": "generator", "type": "RC", "app": "generator", "qpn": GENERATOR, "dest_qpn": TARGET,
         "peer": appliance.ADDRESS[4], "max_recv_wr": 16},
        {"name": "target", "type": "RC", "app": "target", "qpn": TARGET, "dest_qpn": GENERATOR,
         "peer": appliance.ADDRESS[4]}]
    return c


class Trace(unittest.TestCase):
    def setUp(self):
        self.box = appliance.Appliance(config(), eal=["--vdev=net_null0,no-rx=1"], args=["--idle=sleep"])
        self.addCleanup(self.box.close)

    def until(self, what, condition, timeout_s=60):
        limit = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > limit:
                raise AssertionError(f"not within {timeout_s} s: {what}")
            time.sleep(0.05)

    def traced(self, qpn):
        return self.box.figures("/phca/trace", qpn)

    def whole(self, qpn, count):
        """So many requests were traced to their ends."""
        def over():
            t = self.traced(qpn)
            return t["requests"] == count and all(
                r["result"] != "under way" for k, r in t.items() if k.startswith("request_"))
        self.until(f"{count} requests traced", over)

    def lines(self, qpn):
        """What the prompt says: direction, place, wr_id or PSN, bytes, what happened."""
        shown = self.box.do(f"show trace {qpn:#x}")
        return shown, [(d, int(p), int(i, 16), int(n), text.rstrip()) for d, p, i, n, text in LINE.findall(shown)]

    def check(self, qpn, direction, offload, count):
        """Each request went where its size says, in order, and was told as such by telemetry."""
        shown, lines = self.lines(qpn)
        self.assertEqual(len(lines), count, shown)
        self.assertIn(f"requests {count} of {count}, shown {count}, records lost 0", shown)
        told = self.traced(qpn)
        for i, (d, place, number, size, text) in enumerate(lines):
            with self.subTest(text):
                t = told[f"request_{i}"]
                self.assertEqual((d, t["direction"]), (direction, direction))
                self.assertEqual((place, size), (t["place"], t["bytes"]))
                self.assertEqual(number, t["wr_id" if direction == "send" else "psn"])
                self.assertEqual(place, lines[0][1] + i)
                if direction == "inbound":  # one packet each
                    self.assertEqual(number, (lines[0][2] + i) & 0xffffff)
                big = size >= appliance.SIZE
                self.assertRegex(text, rf'^rule 0 "size-{offload}" -> offload "{offload}" after [\d.]+ us; '
                                 'done, success, after ' if big else
                                 "^no rule of 1 matched: direct; HCA: success after ")
                self.assertEqual(t.get("offload"), offload if big else None)
                self.assertEqual(t["result"], "no-op" if big and direction == "inbound" else "completion")
                self.assertTrue(text.endswith("; " + t["result"]), text)
                self.assertEqual(t["status"], "success")
                if t["waited_ns"]:
                    self.assertIn(f" us for {t['waited_for']}; ", text)
                    self.assertLess(t["waited_for"], place)
        self.assertEqual({n >= appliance.SIZE for _, _, _, n, _ in lines}, {True, False})
        return lines

    def test_inbound_requests_and_times(self):
        self.box.do("attach qp 0x42 filter size offload delay inbound")
        self.assertIn("the next 30 requests are traced", self.box.do("trace qp target on count 30"))
        self.box.do("start")
        self.whole(TARGET, 30)
        lines = self.check(TARGET, "inbound", "delay", 30)
        self.assertTrue(any(" waited " in text for *_, text in lines))
        # the delay's bounds are 10 us and 2 ms, and turns end somewhat later
        shown = self.box.do("show offload delay")
        self.assertRegex(shown, r"latency +p50 [\d.]+, p99 [\d.]+, p99_9 [\d.]+, longest [\d.]+ us, of \d+")
        self.assertRegex(shown, r"stall +p50 ")
        self.assertRegex(shown, r"queue +\d+ of \d+ in the rings to the proxy CPU; in windows of its \d+ queue pairs")
        f = self.box.figures("/phca/offload", "delay")
        self.assertGreaterEqual(f["latency_count"], 10)
        self.assertGreater(f["latency_p50_ns"], 10000 * 31 // 32)
        self.assertLessEqual(f["latency_p50_ns"], f["latency_p99_ns"])
        self.assertLessEqual(f["latency_p99_ns"], f["latency_p99_9_ns"])
        self.assertLessEqual(f["latency_p99_9_ns"], f["latency_ns_max"] * 33 // 32)
        self.assertGreater(f["stall_count"], 0)
        self.assertEqual(f["qps"], 3)   # ud-size and uc-size of the configuration, too
        self.assertEqual(f["failed_with"], {})
        qp = self.box.figures("/phca/qp", TARGET)
        self.assertGreater(qp["times"]["stall_count"], 0)
        self.assertGreater(qp["pqp"]["stall_ns_sum"], 0)
        self.assertRegex(self.box.do("show qp 0x42"), r"(?m)^ +stall +p50 ")
        # from zero again
        self.box.do("stop")
        self.box.do("clear all")
        f = self.box.figures("/phca/offload", "delay")
        self.assertEqual((f["latency_count"], f["stall_count"], f["latency_p99_ns"], f["stalled"]), (0, 0, 0, 0))
        self.assertEqual(self.box.figures("/phca/qp", TARGET)["times"]["stall_count"], 0)
        self.assertEqual(self.box.quit(), 0)
        self.assertIn("mbufs leaked: 0", self.box.output)

    def test_posted_requests(self):
        self.box.do("attach qp 0x41 filter size offload null send")
        self.box.do("trace qp 0x41 on count 20")
        self.box.do("start")
        self.whole(GENERATOR, 20)
        self.check(GENERATOR, "send", "null", 20)
        # another time, all of them, while it runs; then no more
        self.assertIn("qp 0x41: traced;", self.box.do("trace qp 0x41 on"))
        self.until("more than are kept", lambda: self.traced(GENERATOR)["requests"] > 300)
        self.assertEqual(self.box.figures("/phca/trace")["qp_0x41"]["tracing"], "on")
        self.assertIn("not traced any more", self.box.do("trace qp 0x41 off"))
        requests = self.traced(GENERATOR)["requests"]
        shown, lines = self.lines(GENERATOR)
        self.assertEqual(len(lines), 256, shown[:2000])
        places = [p for _, p, *_ in lines]
        self.assertEqual(places, sorted(set(places)))
        # as many as all of them are too many for the rings of a fast queue pair: then it is said
        if places != list(range(places[0], places[0] + 256)):
            self.assertGreater(self.traced(GENERATOR)["lost"], 0)
        self.assertIn("it is not traced", self.box.do("trace qp 0x41 off"))
        before = self.box.figures("/phca/qp", GENERATOR)["tx_wrs"]
        self.until("traffic", lambda: self.box.figures("/phca/qp", GENERATOR)["tx_wrs"] > before + 100)
        self.assertEqual(self.traced(GENERATOR)["requests"], requests)
        # switched on again, it may be left on
        self.box.do("trace qp 0x41 on")
        self.assertEqual(self.box.quit(), 0, self.box.output[-2000:])
        self.assertIn("mbufs leaked: 0", self.box.output)

    def test_a_reset_ends_what_is_under_way(self):
        self.box.do("attach qp 0x41 filter size offload null send")
        self.box.do("stop")                     # so that it is traced when it meets its rule
        self.box.do("detach qp 0x41")
        self.box.do("attach qp 0x41 filter size offload slow send")
        self.box.do("trace qp 0x41 on count 200")
        self.box.do("start")
        self.until("one waits for its offload", lambda: 'offload "slow"' in self.lines(GENERATOR)[0])
        # twice the places begin with 0, and are lines of their own
        for n in (1, 2):
            self.box.do("reset qp 0x41")
            self.until("places begin anew", lambda n=n: [p for _, p, *_ in self.lines(GENERATOR)[1]].count(0) == n)
        shown, lines = self.lines(GENERATOR)
        last = max(i for i, (_, place, *_) in enumerate(lines) if place == 0)
        for i, (*_, text) in enumerate(lines):
            self.assertNotIn("under way" if i < last else "forgotten", text, shown)
        self.assertRegex(shown, r'offload "slow" after [\d.]+ us; cancelled after [\d.]+ us; forgotten, the queue pair '
                                r"was reset or is gone")
        told = [r["result"] for k, r in self.traced(GENERATOR).items() if k.startswith("request_")]
        self.assertIn("forgotten", told)
        self.assertEqual(self.box.quit(), 0)

    def test_what_cannot_be_traced_is_told(self):
        self.assertIn("No queue pair was traced", self.box.do("show trace"))
        self.assertEqual(self.box.figures("/phca/trace"), {})
        self.assertIsNone(self.traced(PLAIN))
        for command, words in (
                ("trace qp 0x99 on", "qp '0x99': there is none of this name or number"),
                ("trace qp nix off", "qp 'nix': there is none"),
                ("trace qp 0x11 on", "it is no proxy QP, no rule could match"),
                ("trace qp 0x13 on count none", "count 'none': a number from 1 on"),
                ("show trace 0x11", "there is no trace of it")):
            with self.subTest(command):
                self.assertIn(words, self.box.do(command))
        self.assertEqual(self.box.quit(), 0)


if __name__ == "__main__":
    runner.main()
