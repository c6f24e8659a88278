#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two ends of RC, UC and UD that verify each other's bytes: in one process over
two joined ports, clean and over a bad network, and as two appliances over memif
and over a veth pair. The configurations are those of config/."""

import json
import os
import shutil
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, net, program, runner  # noqa: E402

CONFIG = os.path.join(runner.ROOT, "config")
JOINED = ["--vdev=net_impair0,rx_ring=b2b_a,tx_ring=b2b_b{0}",
          "--vdev=net_impair1,rx_ring=b2b_b,tx_ring=b2b_a{0}"]
ENOUGH = 2000       # messages, of each queue pair


def load(name):
    with open(os.path.join(CONFIG, name), encoding="utf-8") as f:
        return json.load(f)


class BackToBack(unittest.TestCase):
    def box(self, config, **kwargs):
        box = appliance.Appliance(config, args=["--idle=sleep"], **kwargs)
        self.addCleanup(box.close)
        return box

    def own(self, box, app):
        return box.figures("/phca/app", app)["own"]

    def until(self, what, condition, timeout_s=60):
        """Wait until condition() is true."""
        limit = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > limit:
                raise AssertionError(f"not within {timeout_s} s: {what}")
            time.sleep(0.1)

    def check_generator(self, box, app, lost=0):
        own = self.own(box, app)
        for name in ("errors", "flushed", "mismatches", "strays", "refused", "stopped_qps", "out_of_order"):
            self.assertEqual(own[name], 0, f"{app}: {name}: {own}")
        self.assertLessEqual(own["lost"], lost, own)
        self.assertGreater(own["verified"], 0, own)
        return own

    def leave(self, *boxes):
        """Nothing is left behind."""
        for box in boxes:
            self.assertEqual(box.quit(), 0, box.output[-3000:])
            self.assertIn("mbufs leaked: 0", box.output)

    def one_process(self, left="", right=""):
        """config/rc-pair.json until each queue pair has done enough; then all is as it should be."""
        box = self.box(load("rc-pair.json"), eal=[JOINED[0].format(left), JOINED[1].format(right)])
        qps = [0x100 + i for i in range(4)]
        self.until(f"{ENOUGH} WRs of each queue pair", lambda: all(
            box.figures("/phca/qp", q)["tx_direct"] >= ENOUGH for q in qps))
        self.check_generator(box, "generator")
        sink = self.own(box, "sink")
        self.assertGreater(sink["verified"], ENOUGH, sink)
        for name in ("mismatches", "missing", "out_of_order", "violations", "errors", "flushed", "strays"):
            self.assertEqual(sink[name], 0, sink)
        self.assertEqual(sink["memory_answers"], 4)
        # What was begun ends: nothing is under way when it has stopped.
        box.do("stop")
        own = self.check_generator(box, "generator")
        self.assertEqual(own["under_way"], 0)
        self.assertEqual(own["posted"], own["completed"])
        self.assertEqual(box.figures("/phca/verdicts")["balanced"], "yes")
        return box, [box.figures("/phca/qp", q) for q in qps]

    def test_one_process(self):
        box, qps = self.one_process()
        for qp in qps:
            # An lcore that did not run for a while lets a timeout pass, or receives run out; nothing else resends.
            if qp["timeouts"] + qp["rx_rnr_naks"] == 0:
                self.assertEqual(qp["tx_resent"], 0, qp)
            self.assertEqual(qp["state"], "RTS")
        self.assertIn("peer 192.0.2.2 QP 0x200, path MTU 1024", box.do("show qp 0x100"))
        self.assertIn("messages_per_s", box.do("show app generator"))
        self.leave(box)

    def test_one_process_over_a_bad_network(self):
        box, qps = self.one_process(",seed=3,rule=drop p 0.005", ",seed=4,rule=reorder nth 97,rule=dup nth 101")
        self.assertGreater(sum(qp["tx_resent"] for qp in qps), 0, qps)
        self.leave(box)

    def test_reset_brings_a_queue_pair_back(self):
        box = self.box(load("rc-pair.json"), eal=[j.format("") for j in JOINED])
        self.until("traffic", lambda: box.figures("/phca/qp", 0x100)["tx_direct"] >= 100)
        # One end forgets everything: the other's packets are out of sequence, and it gives up.
        self.assertIn("qp 0x200: in RTS again", box.do("reset qp 0x200"))
        self.until("0x100 in ERR", lambda: box.figures("/phca/qp", 0x100)["state"] == "ERR")
        self.assertEqual(self.own(box, "generator")["stopped_qps"], 1)
        self.assertIn("QP fatal, number 0x100", box.do("show events"))
        self.assertIn("in RTS again", box.do("reset qp 0x200"))
        self.assertIn("in RTS again", box.do("reset qp 0x100"))
        before = box.figures("/phca/qp", 0x100)["tx_direct"]
        self.until("it goes on", lambda: box.figures("/phca/qp", 0x100)["tx_direct"] > before + 100)
        self.assertEqual(self.own(box, "generator")["stopped_qps"], 0)
        self.assertEqual(self.own(box, "generator")["mismatches"], 0)
        self.assertIn("there is none with this number", box.do("reset qp 0x999"))
        self.leave(box)

    def test_reset_under_load(self):
        """Both ends, the one that answers first: no receive is posted twice, nothing comes out of order."""
        box = self.box(load("rc-pair.json"), eal=[j.format("") for j in JOINED])
        for i in range(12):
            left = 0x100 + i % 4
            before = box.figures("/phca/qp", left)["tx_direct"]
            self.until("traffic", lambda: box.figures("/phca/qp", left)["tx_direct"] > before + 1000)
            self.assertIn("in RTS again", box.do(f"reset qp {left + 0x100:#x}"))
            self.assertIn("in RTS again", box.do(f"reset qp {left:#x}"))
        sink = self.own(box, "sink")
        for name in ("mismatches", "missing", "out_of_order", "violations", "errors", "strays"):
            self.assertEqual(sink[name], 0, sink)
        own = self.own(box, "generator")
        self.assertEqual((own["mismatches"], own["out_of_order"]), (0, 0), own)
        self.leave(box)

    def test_shared_receive_queue_and_several_lcores(self):
        config = load("rc-pair.json")
        config["lcores"] = {"hca": [1, 2], "proxy": 0, "app": 0}
        config["srqs"] = [{"name": f"pool{i}", "app": "sink", "max_wr": 128, "limit": 4} for i in range(2)]
        left, right = config["qps"]
        del right["max_recv_wr"]
        right["count"] = 2
        config["qps"] = [left, {**right, "name": "right0", "srq": "pool0"},
                         {**right, "name": "right1", "srq": "pool1", "qpn": "0x202", "dest_qpn": "0x102"}]
        box = self.box(config, eal=[j.format("") for j in JOINED], lcores="(0-2)@(0-1)")
        qps = [0x100 + i for i in range(4)]
        self.until("traffic of each queue pair", lambda: all(
            box.figures("/phca/qp", q)["tx_direct"] >= ENOUGH for q in qps))
        self.check_generator(box, "generator")
        sink = self.own(box, "sink")
        for name in ("mismatches", "missing", "out_of_order", "violations", "errors"):
            self.assertEqual(sink[name], 0, sink)
        self.assertGreater(sink["verified"], ENOUGH, sink)
        figures = box.figures("/phca/srq")
        self.assertEqual(len(figures), 2)
        for srq in figures.values():
            self.assertEqual((srq["client"], srq["qps"], srq["capacity"], srq["max_sge"]), ("sink", 2, 128, 1))
            self.assertGreater(srq["taken"], 100)
        self.assertIn("shared receive queue", box.do("show qp 0x200"))
        self.assertRegex(box.do("show srq"), r"sink +2 +128 +1")
        self.leave(box)

    def test_addition_while_it_runs(self):
        """More queue pairs, a shared receive queue and applications join; they begin at once."""
        box = self.box(load("rc-pair.json"), eal=[j.format("") for j in JOINED])
        addition = {
            "apps": [{"name": "more", "driver": "generator", "settings": {"echo": True, "size": "1-2000"}},
                     {"name": "back", "driver": "echo"}],
            "srqs": [{"name": "pool", "app": "back", "max_wr": 64}],
            # An address of the port itself: loopback.
            "qps": [{"name": "more", "type": "RC", "app": "more", "port": "left", "qpn": "0x300", "count": 2,
                     "peer": "192.0.2.1", "dest_qpn": "0x400"},
                    {"name": "back", "type": "RC", "app": "back", "port": "left", "qpn": "0x400", "count": 2,
                     "peer": "192.0.2.1", "dest_qpn": "0x300", "srq": "pool"}]}
        path = os.path.join(box.dir, "more.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(addition, f)
        self.assertIn("2 QP groups", box.do(f"load config {path}"))
        self.until("echoes", lambda: self.own(box, "more")["echoes"] >= ENOUGH)
        self.check_generator(box, "more")
        self.assertGreater(box.figures("/phca/port", 0)["looped"], ENOUGH)
        self.assertEqual(list(box.figures("/phca/srq").values())[0]["qps"], 2)
        # Figures begin anew: counters at 0, latency too.
        box.do("stop")
        box.do("clear app more")
        own = self.own(box, "more")
        self.assertEqual((own["posted"], own["latency_max_ns"]), (0, 0), own)
        self.leave(box)

    def test_proxy_queue_pairs(self):
        """All completions go through two proxy lcores and stay in order; the proxy CPU takes one in
        five SENDs to the right, which the sink then never sees."""
        config = load("rc-pair.json")
        config["apps"][0]["settings"]["operation"] = "send:3,send_imm:1"
        config["lcores"] = {"hca": [1, 2], "proxy": [3, 4], "app": 0}
        config["filters"] = [{"name": "some", "object": "one_in_n.bpf.o", "params": {"n": 5}}]
        config["offloads"] = [{"name": "later", "driver": "delay",
                               "settings": {"delay_min_us": 5, "delay_max_us": 500}}]
        config["proxy_qps"] = [
            {"qps": ["left"], "rules": []},
            {"qps": ["right"], "rules": [{"filter": "some", "offload": "later", "direction": "inbound"}]}]
        box = self.box(config, eal=[j.format("") for j in JOINED], lcores="(0-4)@(0-1)")
        rights = [0x200 + i for i in range(4)]
        self.until("offloads of each queue pair", lambda: all(
            box.figures("/phca/qp", q)["rx_offloaded"] >= 100 for q in rights))
        box.do("stop")
        own = self.own(box, "generator")
        self.assertEqual((own["errors"], own["flushed"], own["stopped_qps"], own["out_of_order"]), (0, 0, 0, 0), own)
        self.assertEqual(own["posted"], own["completed"])
        sink = self.own(box, "sink")
        for name in ("mismatches", "out_of_order", "violations", "errors"):
            self.assertEqual(sink[name], 0, sink)
        offloaded = sum(box.figures("/phca/qp", q)["rx_offloaded"] for q in rights)
        self.assertGreater(sink["missing"], 0)
        self.assertLessEqual(sink["missing"], offloaded)
        proxy = box.figures("/phca/proxy")
        self.assertEqual((proxy["pqps"], proxy["in_flight"], proxy["errors"]), (8, 0, 0))
        for lcore in (3, 4):
            self.assertEqual(proxy[f"lcore_{lcore}"]["pqps"], 4)
            self.assertGreater(proxy[f"lcore_{lcore}"]["released"], 0)
        self.assertEqual(box.figures("/phca/offload", "later")["succeeded"], offloaded)
        self.leave(box)

    def test_broadcast_over_a_bad_network(self):
        """The proxy CPU sends one in three messages, to the peer and to two members, when it is their
        turn: the peer, who checks bytes and order, cannot tell."""
        config = load("rc-pair.json")
        config["apps"][0]["settings"].update(operation="send:3,send_imm:1", size="64:4,1-20000:1")
        config["apps"][1]["settings"]["buffer_bytes"] = 20480
        config["apps"].append({"name": "members", "driver": "sink", "settings": {"buffer_bytes": 20480}})
        config["filters"] = [{"name": "some", "object": "one_in_n.bpf.o", "params": {"n": 3}}]
        config["offloads"] = [{"name": "copies", "driver": "bcast", "settings": {
            "own_peer": True, "copy_max_bytes": 8192, "outstanding": 24}, "time_limit_us": 30000000}]
        config["qps"] += [
            {"name": "copy", "type": "RC", "port": "left", "offload": "copies", "qpn": "0x300", "count": 2,
             "peer": "192.0.2.2", "dest_qpn": "0x400"},
            {"name": "member", "type": "RC", "port": "right", "app": "members", "qpn": "0x400", "count": 2,
             "peer": "192.0.2.1", "dest_qpn": "0x300"}]
        config["proxy_qps"] = [{"qps": ["left"], "rules": [
            {"filter": "some", "offload": "copies", "direction": "send"}]}]
        box = self.box(config, eal=[JOINED[0].format(",seed=5,rule=drop p 0.003"),
                                    JOINED[1].format(",rule=dup nth 83")])
        self.until("traffic", lambda: self.own(box, "sink")["verified"] >= ENOUGH)
        box.do("stop")
        own = self.own(box, "generator")
        self.assertEqual((own["errors"], own["flushed"], own["stopped_qps"], own["out_of_order"]), (0, 0, 0, 0), own)
        self.assertEqual(own["posted"], own["completed"])
        sink = self.own(box, "sink")
        for name in ("mismatches", "missing", "out_of_order", "violations", "errors", "flushed", "strays"):
            self.assertEqual(sink[name], 0, sink)
        offload = box.figures("/phca/offload", "copies")
        self.assertEqual(offload["submitted"], offload["succeeded"])
        self.assertGreater(offload["succeeded"], ENOUGH / 4)
        self.assertEqual(offload["own"]["copies"], 3 * offload["succeeded"])
        self.assertEqual(self.own(box, "members")["completions"], 2 * offload["succeeded"])
        self.leave(box)

    def test_multicast(self):
        config = load("rc-pair.json")
        config["apps"] = [
            {"name": "generator", "driver": "generator",
             "settings": {"peer": "239.1.1.1", "rate": 500, "size": "64-1024"}},
            {"name": "one", "driver": "sink", "settings": {"verify": True}},
            {"name": "two", "driver": "sink", "settings": {"verify": True}}]
        config["qps"] = [{"name": "from", "type": "UD", "port": "left", "app": "generator"}] + [
            {"name": f"to-{app}", "type": "UD", "port": "right", "app": app, "mcast": ["239.1.1.1"]}
            for app in ("one", "two")]
        box = self.box(config, eal=[j.format("") for j in JOINED])
        self.until("each member received", lambda: min(
            self.own(box, app)["verified"] for app in ("one", "two")) >= 50)
        box.do("stop")
        sent = self.own(box, "generator")
        self.assertEqual((sent["errors"], sent["posted"]), (0, sent["completed"]))
        for app in ("one", "two"):
            own = self.own(box, app)
            self.assertEqual((own["mismatches"], own["out_of_order"]), (0, 0))
        self.assertIn("239.1.1.1", box.do("show config"))
        self.leave(box)

    def two_appliances(self, echo_kwargs, generator_kwargs, memif=False):
        echo = self.box(load("echo-rc.json"), **echo_kwargs)
        config = load("generator.json")
        for app in config["apps"]:      # a machine that is busy is no lossy network
            app["settings"]["echo_timeout_us"] = 20000000
        generator = self.box(config, **generator_kwargs)
        self.until("verified traffic", lambda: self.own(generator, "rc")["verified"] >= ENOUGH
                   and self.own(generator, "uc")["verified"] >= 100
                   and self.own(generator, "ud")["verified"] >= 100)
        generator.do("stop")
        for app in ("rc", "uc", "ud"):
            own = self.check_generator(generator, app)
            self.assertEqual(own["posted"], own["completed"], own)
        figures = self.own(echo, "echo")
        self.assertEqual((figures["errors"], figures["unanswerable"], figures["strays"]), (0, 0, 0))
        self.assertEqual(figures["memory_answers"], 4)
        if memif:   # its link comes with the other end, and goes with it
            self.until("link up is told", lambda: "port active, port 0" in echo.do("show events"))
        self.leave(generator)
        if memif:
            self.until("link down is told", lambda: "port error, port 0" in echo.do("show events"))
        self.leave(echo)

    def test_two_appliances_over_memif(self):
        folder = tempfile.mkdtemp(prefix="phca")
        self.addCleanup(shutil.rmtree, folder, True)
        vdev = f"--vdev=net_memif0,socket={folder}/memif.sock,socket-abstract=no,role={{}},bsize=2048"
        self.two_appliances({"eal": [vdev.format("server")]}, {"eal": [vdev.format("client")]}, memif=True)

    def test_two_appliances_over_veth(self):
        pair = net.Pair()
        self.addCleanup(pair.close)
        pair.tester.run("sysctl", "-qw", f"net.ipv6.conf.{pair.tester_interface}.disable_ipv6=1")
        self.two_appliances(
            {"eal": [f"--vdev=net_af_packet0,iface={pair.interface}"], "namespace": pair.appliance},
            {"eal": [f"--vdev=net_af_packet0,iface={pair.tester_interface}"], "namespace": pair.tester})


if __name__ == "__main__":
    runner.main()
