#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""RoCEv2 over a veth pair: scapy makes the requests, the appliance's figures add
up, replies are taken apart by scapy and tshark, filters and maps change under
traffic."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, runner  # noqa: E402

import roce_scapy as roce  # noqa: E402
from scapy.contrib.roce import BTH  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402

SHORT, LONG = b"s" * 32, b"l" * appliance.SIZE
PEER_QPN = 0x777
KEPT = "198.18.0.0/15"      # configured in the map of "source"; no packet of ours matches it


class Traffic(unittest.TestCase):
    """One appliance for all tests; each looks at what its own packets add."""

    @classmethod
    def setUpClass(cls):
        cls.pair = appliance.pair()
        cls.addClassCleanup(cls.pair.close)
        config = appliance.config()
        next(f for f in config["filters"] if f["name"] == "source")["maps"] = {
            "sources": {KEPT: 1}}
        cls.box = appliance.Appliance(config, cls.pair, args=["--idle=sleep"])
        cls.addClassCleanup(cls.box.close)
        cls.tester = {family: appliance.Tester(cls.pair, family) for family in (4, 6)}
        cls.psn = {name: 0 for name in appliance.QPN}

    def datagram(self, name, payload, family=4, **fields):
        """A datagram to a queue pair, as a frame."""
        fields = {"qkey": appliance.QKEY, "sqpn": PEER_QPN, **fields}
        opcode = "UD_SEND_ONLY_IMM" if "imm" in fields else "UD_SEND_ONLY"
        return self.tester[family].frame(opcode, payload, bth={"dqpn": appliance.QPN[name], "psn": 9}, **fields)

    def ud(self, name, payload, family=4, count=1, **fields):
        """Datagrams to a queue pair."""
        for _ in range(count):
            self.tester[family].send(self.datagram(name, payload, family, **fields))

    def until(self, what, condition, timeout_s=60):
        limit = time.monotonic() + timeout_s
        while not condition():
            self.assertLess(time.monotonic(), limit, what)
            time.sleep(0.02)

    def idle(self, name, messages):
        """So many have come to a proxy queue pair, and nothing of them is under way."""
        self.box.settle(name, "rx_messages", messages)
        self.until("all are released", lambda: self.box.qp(name)["pqp"]["released"] == messages)
        self.until("no offload is under way", lambda: self.box.figures("/phca/offload", "delay")["in_flight"] == 0)

    def uc(self, name, opcode, payload, **fields):
        """The next packet to a connected queue pair."""
        bth = {"dqpn": appliance.QPN[name], "psn": self.psn[name]}
        self.tester[4].send(self.tester[4].frame(opcode, payload, bth=bth, **fields))
        self.psn[name] += 1

    def check_sums(self):
        """Received packets equal the sum of verdicts; completions are in order."""
        self.assertEqual(self.box.figures("/phca/verdicts")["balanced"], "yes")
        port = self.box.figures("/phca/port", 0)
        self.assertEqual(port["rx_packets"], sum(port["verdict"].values()) + port["rx_held"])
        for name in appliance.QPN:
            self.assertEqual(self.box.qp(name).get("out_of_order", 0), 0, name)

    def test_plain_qp(self):
        before = self.box.qp("ud-plain")
        self.ud("ud-plain", SHORT, count=10)
        self.ud("ud-plain", LONG, family=6, count=5, imm=0x1234)
        after = self.box.settle("ud-plain", "rx_messages", before["rx_messages"] + 15)
        self.assertEqual(after["rx_direct"] - before["rx_direct"], 15)
        self.assertEqual(after["rx_offloaded"], 0)
        self.assertEqual(after["rx_bytes"] - before["rx_bytes"], 10 * len(SHORT) + 5 * len(LONG))
        self.box.settle("ud-plain", "completed", before["completed"] + 15)
        self.check_sums()

    def test_proxy_qp_offloads_what_matches(self):
        before = self.box.qp("ud-size")
        # Made before they are sent: the direct ones come while the delayed one is under way.
        frames = [self.datagram("ud-size", p) for p in (LONG, SHORT, SHORT)]
        for _ in range(20):
            self.tester[4].send(*frames)
        after = self.box.settle("ud-size", "rx_messages", before["rx_messages"] + 60)
        self.assertEqual(after["rx_offloaded"] - before["rx_offloaded"], 20)
        self.assertEqual(after["rx_direct"] - before["rx_direct"], 40)
        # Only direct requests complete; each of the 60 had its place.
        after = self.box.settle("ud-size", "completed", before["completed"] + 40)
        self.assertEqual(after["pqp"]["released"] - before["pqp"]["released"], 60)
        self.assertEqual(after["rules"]["rule_0"]["matched"]
                         - before["rules"]["rule_0"]["matched"], 20)
        # Direct ones behind a delayed one had to wait for it.
        self.assertGreater(after["pqp"]["waited"], before["pqp"]["waited"])
        self.check_sums()

    def test_uc_messages_of_several_packets(self):
        for name, offloaded in (("uc-plain", 0), ("uc-size", 1)):
            with self.subTest(name):
                before = self.box.qp(name)
                self.uc(name, "UC_SEND_ONLY", SHORT)
                self.uc(name, "UC_SEND_FIRST", bytes(1024))
                self.uc(name, "UC_SEND_MIDDLE", bytes(1024))
                self.uc(name, "UC_SEND_LAST_IMM", LONG, imm=7)
                after = self.box.settle(name, "rx_messages", before["rx_messages"] + 2)
                self.assertEqual(after["rx_offloaded"] - before["rx_offloaded"], offloaded)
                self.assertEqual(after["rx_packets"] - before["rx_packets"], 4)
                self.box.settle(name, "completed", before["completed"] + 2 - offloaded)
        self.check_sums()

    def test_uc_gap_drops_the_message(self):
        before = self.box.qp("uc-plain")
        self.uc("uc-plain", "UC_SEND_FIRST", bytes(1024))
        self.psn["uc-plain"] += 1       # one is lost
        self.uc("uc-plain", "UC_SEND_LAST", SHORT)
        self.uc("uc-plain", "UC_SEND_ONLY", SHORT)
        after = self.box.settle("uc-plain", "rx_messages", before["rx_messages"] + 1)
        self.assertEqual(after["verdict"]["psn"] - before["verdict"]["psn"], 1)
        self.assertEqual(after["rx_dropped"] - before["rx_dropped"], 1)
        self.check_sums()

    def test_wrong_packets_have_their_verdict(self):
        bad_icrc = bytearray(self.tester[4].frame(
            "UD_SEND_ONLY", SHORT, bth={"dqpn": appliance.QPN["ud-plain"]}, qkey=appliance.QKEY))
        bad_icrc[-1] ^= 1
        wrong = ("icrc", "qkey", "qpn", "qp_transport")
        before = self.box.verdicts()
        self.tester[4].send(bad_icrc)
        self.ud("ud-plain", SHORT, qkey=1)
        self.tester[4].send(self.tester[4].frame("UD_SEND_ONLY", SHORT, bth={"dqpn": 0x999}))
        self.uc("ud-plain", "UC_SEND_ONLY", SHORT)
        self.until("each has a verdict", lambda: sum(self.box.verdicts()[v] - before[v] for v in wrong) >= 4)
        after = self.box.verdicts()
        for verdict in wrong:
            self.assertEqual(after[verdict] - before[verdict], 1, verdict)
        self.check_sums()

    def test_echo_replies(self):
        for family in (4, 6):
            for payload, imm in ((b"", None), (b"a", None), (b"hello", 0xabcd0123),
                                 (bytes(range(256)) * 4, None)):
                with self.subTest(family=family, length=len(payload)):
                    self.echo(family, payload, {} if imm is None else {"imm": imm})
        self.check_sums()

    def echo(self, family, payload, fields):
        """Send one message, take its answer apart."""
        self.ud("ud-echo", payload, family, **fields)
        reply = self.tester[family].reply()
        self.assertIsNotNone(reply, "no answer")
        self.assertEqual(Ether(reply).dst, self.pair.mac("tester"))
        bth = Ether(reply)[BTH]
        self.assertEqual(bth.dqpn, PEER_QPN)
        self.assertEqual(reply[-4:], roce.icrc(reply))
        self.assertEqual(Ether(reply)[roce.DETH].sqpn, appliance.QPN["ud-echo"])
        body = bytes(bth.payload)[8 + (4 if bth.opcode == 0x65 else 0):]
        self.assertEqual(body[:len(body) - bth.padcount] if len(body) > len(payload)
                         else body, payload)
        self.check_tshark(reply, len(payload))

    def check_tshark(self, reply, length):
        """The third opinion: no malformed mark, the same fields, the same iCRC."""
        fields = ["infiniband.bth.opcode", "infiniband.bth.destqp", "infiniband.deth.srcqp",
                  "infiniband.bth.padcnt", "infiniband.invariant.crc", "_ws.malformed", "_ws.expert"]
        seen = appliance.tshark([reply], fields)[0]
        self.assertNotIn("_ws.malformed", seen)
        self.assertIn(int(seen["infiniband.bth.opcode"][0]), (0x64, 0x65))
        self.assertEqual(int(seen["infiniband.bth.destqp"][0], 0), PEER_QPN)
        self.assertEqual(int(seen["infiniband.deth.srcqp"][0], 0), appliance.QPN["ud-echo"])
        self.assertEqual(int(seen["infiniband.bth.padcnt"][0]), -length % 4)
        self.assertEqual(int(seen["infiniband.invariant.crc"][0], 0),
                         int.from_bytes(roce.icrc(reply), "big"))

    def test_map_changes_under_traffic(self):
        tester = appliance.TESTER[4]
        before = self.box.qp("ud-source")
        self.ud("ud-source", SHORT, count=5)
        after = self.box.settle("ud-source", "rx_messages", before["rx_messages"] + 5)
        self.assertEqual(after["rx_offloaded"], before["rx_offloaded"])
        self.box.do(f"set map source sources {tester}/32 1")
        self.assertIn(" = 1", self.box.do("show map source sources"))
        self.ud("ud-source", SHORT, count=5)
        self.ud("ud-source", SHORT, count=5, family=6)
        after = self.box.settle("ud-source", "rx_messages", before["rx_messages"] + 15)
        self.assertEqual(after["rx_offloaded"] - before["rx_offloaded"], 5)
        self.box.do(f"del map source sources {tester}/32")
        self.ud("ud-source", SHORT, count=5)
        after = self.box.settle("ud-source", "rx_messages", before["rx_messages"] + 20)
        self.assertEqual(after["rx_offloaded"] - before["rx_offloaded"], 5)
        self.check_sums()

    def test_filter_changes_under_traffic(self):
        frames = [self.tester[4].frame("UD_SEND_ONLY", p, qkey=appliance.QKEY, sqpn=PEER_QPN,
                                       bth={"dqpn": appliance.QPN["ud-size"]})
                  for p in (SHORT, LONG)]
        sent, stop = [0], threading.Event()

        def flood():
            while not stop.is_set():
                self.tester[4].send(*frames)
                sent[0] += len(frames)
                stop.wait(0.0005)

        before = self.box.qp("ud-size")
        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for name in ("all", "none", "one_in_n", "by_size") * 5:
                said = self.box.do(f"set filter size object {appliance.filter_object(name)}")
                self.assertNotRegex(said, "(?i)error|refused|no such", name)
                shown = self.box.do("show filter size")
                self.assertIn(name, shown)
        finally:
            stop.set()
            thread.join()
        self.box.do(f"set filter size object {appliance.filter_object('by_size')} "
                    f"min_len={appliance.SIZE}")
        after = self.box.settle("ud-size", "rx_messages", before["rx_messages"] + sent[0])
        offloaded = after["rx_offloaded"] - before["rx_offloaded"]
        self.assertGreater(offloaded, 0)
        self.assertEqual(after["rx_direct"] - before["rx_direct"], sent[0] - offloaded)
        self.box.settle("ud-size", "completed", before["completed"] + sent[0] - offloaded)
        self.check_sums()

    def test_filter_without_the_configured_map(self):
        """Entries of a map go with it, and come back with it."""
        net = "203.0.113.0/24"
        self.box.do(f"set map source sources {net} 1")
        self.assertIn(net, self.box.do("show map source sources"))
        before = self.box.do("show config")
        self.assertIn("replaced", self.box.do(
            f"set filter source object {appliance.filter_object('all')}"))
        self.assertIn("no map", self.box.do("show map source sources"))
        self.assertIn("replaced", self.box.do(
            f"set filter source object {appliance.filter_object('by_source')}"))
        shown = self.box.do("show map source sources")
        self.assertIn(KEPT, shown)      # configured
        self.assertNotIn(net, shown)    # set while it ran
        after = self.box.do("show config")
        self.assertEqual(after[after.index("{"):], before[before.index("{"):])

    def test_bad_filter_is_refused_and_the_old_one_stays(self):
        said = self.box.do("set filter size object /dev/null")
        self.assertIn("size", said)
        self.assertIn("by_size", self.box.do("show filter size"))
        said = self.box.do(f"set filter size object {appliance.filter_object('by_size')} nothing=1")
        self.assertIn("nothing", said)
        before = self.box.qp("ud-size")
        self.ud("ud-size", LONG)
        after = self.box.settle("ud-size", "rx_messages", before["rx_messages"] + 1)
        self.assertEqual(after["rx_offloaded"] - before["rx_offloaded"], 1)

    def test_telemetry_equals_show(self):
        before = self.box.qp("ud-size")
        self.ud("ud-size", LONG, count=3)
        self.ud("ud-size", SHORT, count=3)
        self.idle("ud-size", before["rx_messages"] + 6)
        for name in appliance.QPN:
            shown = self.numbers(self.box.do(f"show qp {appliance.QPN[name]}"))
            told = self.dpdk_telemetry(f"/phca/qp,{appliance.QPN[name]}")
            compared = 0
            for key, value in {**told, **told.get("pqp", {}), **told["verdict"]}.items():
                if isinstance(value, int) and key in shown:
                    self.assertIn(value, shown[key], f"{name} {key}")
                    compared += 1
            self.assertGreater(compared, 10)
        for command, telemetry in (("show proxy stats", "/phca/proxy"),
                                   ("show filter size", "/phca/filter,size"),
                                   ("show offload delay", "/phca/offload,delay")):
            shown = self.numbers(self.box.do(command))
            told = self.dpdk_telemetry(telemetry)
            same = [k for k, v in told.items() if isinstance(v, int) and v in shown.get(k, [])]
            differ = [k for k, v in told.items() if k in shown and v not in shown[k]]
            self.assertEqual((differ, len(same) >= 4), ([], True), command)

    def test_clear_starts_from_zero_and_touches_nothing_else(self):
        before = self.box.qp("ud-size")
        self.ud("ud-size", LONG, count=3)
        self.ud("ud-size", SHORT, count=3)
        self.idle("ud-size", before["rx_messages"] + 6)
        qp = self.box.qp("ud-size")
        for command, telemetry, counter in (
                ("clear filter size", "/phca/filter,size", "runs"),
                ("clear offload delay", "/phca/offload,delay", "submitted"),
                ("clear proxy stats", "/phca/proxy", "offloads"),
                ("clear verdict", "/phca/verdicts", "rx_packets")):
            with self.subTest(command):
                self.assertGreater(self.box.figures(*telemetry.split(","))[counter], 0)
                self.assertIn("cleared", self.box.do(command))
                self.assertEqual(self.box.figures(*telemetry.split(","))[counter], 0)
        self.assertGreater(self.box.figures("/phca/app", "sink")["own"]["completions"], 0)
        self.box.do("clear app sink")
        self.assertEqual(self.box.figures("/phca/app", "sink")["own"]["completions"], 0)
        self.assertEqual(self.box.qp("ud-size")["rx_messages"], qp["rx_messages"])
        self.box.do("clear qp stats")
        self.assertEqual(self.box.qp("ud-size")["rx_messages"], 0)
        self.check_sums()

    @staticmethod
    def numbers(text):
        """{name: values} of the "name value unit" lines of a show command."""
        found = {}
        for name, value in re.findall(r"^  (\w+) +(\d+)(?= |$)", text, re.M):
            found.setdefault(name, []).append(int(value))
        return found

    def dpdk_telemetry(self, command):
        """What DPDK's own dpdk-telemetry.py prints."""
        text = subprocess.run(["dpdk-telemetry.py", "-f", self.box.prefix], input=command + "\n",
                              stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
        return json.loads(text.splitlines()[-1])[command.split(",")[0]]


if __name__ == "__main__":
    runner.main()
