#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""net_impair under the stock dpdk-testpmd, pcap in and pcap out: what is missing,
doubled, moved or changed is compared with the input by scapy, which has its own
iCRC. And in the appliance: commands and telemetry."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, program, runner  # noqa: E402

import roce_scapy as roce  # noqa: E402
from scapy.contrib.roce import BTH  # noqa: E402
from scapy.layers.inet import IP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.utils import rdpcap, wrpcap  # noqa: E402

COUNT = 400
QPN = 0x12
ECT = 2
CE = 3


def packets():
    """RC SENDs to QP 0x12 over IPv4 and IPv6 in turn, PSN by PSN; each is sent twice."""
    below = {0: Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") /
             IP(src="192.0.2.2", dst="192.0.2.1", tos=ECT),
             1: Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") /
             IPv6(src="2001:db8::2", dst="2001:db8::1", tc=ECT)}
    once = [bytes(roce.frame(below[i % 2].copy(), roce.OPCODE["RC_SEND_ONLY"],
                             bytes((i + k) % 256 for k in range(32 + i % 100)),
                             bth={"dqpn": QPN, "psn": i})) for i in range(COUNT // 2)]
    return once + once


def psn(frame):
    return Ether(frame)[BTH].psn


def icrc_right(frame):
    """By scapy's and zlib's reckoning, not ours."""
    return roce.icrc(frame) == frame[-4:]


def bits_changed(a, b):
    return sum(bin(x ^ y).count("1") for x, y in zip(a, b))


def l4(frame):
    """Offset of BTH."""
    return 14 + (20 if frame[12:14] == b"\x08\x00" else 40) + 8


def balanced(c):
    """Every packet that went into one direction is in exactly one place."""
    return c["in"] + c["duplicated"] == (
        c["out"] + c["dropped"] + c["rate_dropped"] + c["freed"] + c["held"])


class Testpmd(unittest.TestCase):
    """What comes out of testpmd when the packets of the pcap went in."""

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="phca")
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        cls.sent = packets()
        wrpcap(os.path.join(cls.dir, "in.pcap"), [Ether(p) for p in cls.sent])

    def start(self, args):
        """testpmd --forward-mode=io on a net_impair with these arguments."""
        out = os.path.join(self.dir, "out.pcap")
        # The bare name is found by LD_LIBRARY_PATH: EAL refuses paths that others may write.
        library = runner.built("drivers/net/impair/librte_net_impair.so")
        return out, program.DpdkProgram(
            "/usr/bin/dpdk-testpmd",
            ["-d", os.path.basename(library),
             f"--vdev=net_pcap0,rx_pcap={self.dir}/in.pcap,tx_pcap={out}",
             f"--vdev=net_impair0,lower=net_pcap0,{args}"],
            ["--no-mlockall", "--total-num-mbufs=4096", "--no-flush-rx", "--forward-mode=io",
             "--auto-start", "--stats-period=60"],
            env={"LD_LIBRARY_PATH": os.path.dirname(library)})

    def run_it(self, args, settled):
        """Forward all; what came out and the device's figures.

        settled: told the figures of both directions, whether no more will come. Each
        direction is read by itself, while bursts may be under way: both add up at the end."""
        out, box = self.start(args)
        self.addCleanup(box.close)
        box.expect("Press enter to exit|Port statistics", 30)
        limit = time.monotonic() + 60
        with box.telemetry() as t:
            while True:
                figures = t("/phca/impair", "net_impair0")
                if settled(figures["rx"], figures["tx"]) and all(
                        balanced(figures[way]) for way in ("rx", "tx")):
                    break
                self.assertLess(time.monotonic(), limit, figures)
                time.sleep(0.05)
        box.signal(signal.SIGINT)
        self.assertEqual(box.wait(), 0, box.output)
        return [bytes(p) for p in rdpcap(out)], figures

    def forward(self, args):
        """The same when what went in on tx all went out."""
        return self.run_it(args, lambda rx, tx: rx["in"] == COUNT and rx["held"] == 0 and
                           tx["in"] == rx["out"] and tx["held"] == 0)

    def test_nothing_without_rules(self):
        out, _ = self.forward("seed=1")
        self.assertEqual(out, self.sent)

    def test_script_drops_what_it_says(self):
        script = os.path.join(self.dir, "rules")
        with open(script, "w") as f:
            f.write("# lost on the wire\n"
                    "drop qpn=0x12 psn=7 xmit=1; drop qpn=0x12 psn=9\n"
                    "drop qpn=0x13           # none is of this\n"
                    "drop psn=20-29 xmit=2\n")
        out, figures = self.forward(f"dir=tx,script={script}")
        half = COUNT // 2
        expected = [p for i, p in enumerate(self.sent)
                    if not (i == 7 or i % half == 9 or i >= half and 20 <= i % half < 30)]
        self.assertEqual(out, expected)
        self.assertEqual(figures["tx"]["dropped"], 13)
        self.assertEqual([r["fired"] for r in figures["rules"].values()], [1, 2, 0, 10])

    def test_same_seed_same_run(self):
        runs = [self.forward(f"seed={seed},rule=drop p 0.2")[0] for seed in (5, 5, 6)]
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])
        # both directions: 0.8 of 0.8
        self.assertTrue(COUNT * 0.54 < len(runs[0]) < COUNT * 0.74, len(runs[0]))

    def test_wrong_icrc(self):
        out, figures = self.forward("dir=tx,rule=corrupt nth 4 bits 2")
        self.assertEqual(len(out), COUNT)
        for i, (a, b) in enumerate(zip(self.sent, out)):
            if i % 4 != 3:
                self.assertEqual(a, b)
                continue
            self.assertEqual(bits_changed(a, b), 2)
            self.assertEqual(a[:l4(a)], b[:l4(a)])
            self.assertFalse(icrc_right(b), b.hex())
        self.assertEqual(figures["tx"]["corrupted"], COUNT // 4)

    def test_right_icrc(self):
        out, figures = self.forward("dir=rx,rule=corrupt nth 2 icrc right at payload bits 3")
        for i, (a, b) in enumerate(zip(self.sent, out)):
            self.assertTrue(icrc_right(b), b.hex())
            head = l4(a) + 12
            self.assertEqual(a[:head], b[:head])
            pad = a[l4(a) + 1] >> 4 & 3
            end = len(a) - 4 - pad
            self.assertEqual(bits_changed(a[head:end], b[head:end]), 3 * (i % 2))
            if i % 2 == 0:
                self.assertEqual(a, b)
        self.assertEqual(figures["rx"]["forged"], COUNT // 2)

    def test_marks(self):
        out, _ = self.forward("dir=tx,rule=ecn nth 3")
        for i, b in enumerate(out):
            p = Ether(b)
            ecn = (p[IP].tos if IP in p else p[IPv6].tc) & 3
            self.assertEqual(ecn, CE if i % 3 == 2 else ECT)
            self.assertTrue(icrc_right(b))
            if IP in p:     # scapy makes the checksum anew
                again = p.copy()
                del again[IP].chksum
                self.assertEqual(Ether(bytes(again))[IP].chksum, p[IP].chksum)

    def test_duplicates_and_reorder(self):
        out, _ = self.forward("dir=tx,rule=dup psn 3,rule=reorder by 2 timeout 60s psn 10")
        order = list(range(COUNT // 2))
        order.insert(3, 3)
        order.remove(10)
        order.insert(13, 10)    # 11 and 12 passed it
        self.assertEqual([psn(p) for p in out], 2 * order)

    def test_delay(self):
        out, figures = self.forward("dir=tx,rule=delay time 50ms psn 0-9 xmit 1")
        self.assertEqual(figures["tx"]["delayed"], 10)
        late = [p for p in out if p in self.sent[:10]]
        self.assertEqual(len(late), 20)
        self.assertEqual(sorted(out), sorted(self.sent))
        self.assertEqual(psn(out[0]), 10)

    def test_rate(self):
        size = sum(map(len, self.sent))
        bits_a_second = size * 8        # all of it takes a second
        out, figures = self.forward(f"dir=tx,rule=rate bps {bits_a_second}")
        self.assertEqual(out, self.sent)
        self.assertEqual(figures["tx"]["shaped"], COUNT - 1)

    def test_held_packets_at_the_end(self):
        """testpmd stops while they wait: they are freed, and nothing hangs."""
        out, figures = self.run_it("dir=tx,rule=delay time 60s nth 2",
                                   lambda rx, tx: tx["in"] == COUNT)
        self.assertEqual(figures["tx"]["held"], COUNT // 2)
        self.assertEqual(out, self.sent[::2])

    def test_mistakes_are_told(self):
        for args, words in (("rule=drop p 2", "expected a probability"),
                            ("colour=red", "unknown argument 'colour'"),
                            ("script=/nonexistent", "No such file")):
            with self.subTest(args):
                _, box = self.start(args)
                self.addCleanup(box.close)
                box.expect("net_impair: net_impair0: .*" + words, 30)
                box.close()     # EAL goes on without the device

    def test_the_shared_object_exports_nothing(self):
        """It meets the symbols of any program: none of its own may get in the way."""
        out = subprocess.run(
            ["nm", "-D", "--defined-only", runner.built("drivers/net/impair/librte_net_impair.so")],
            stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertEqual(out.split(), [])


class Appliance(unittest.TestCase):
    """The appliance on a net_impair on its end of a veth pair."""

    @classmethod
    def setUpClass(cls):
        cls.pair = appliance.pair()
        cls.addClassCleanup(cls.pair.close)
        config = appliance.config()
        config["ports"][0]["device"] = "net_impair0"
        cls.box = appliance.Appliance(
            config, args=["--idle=sleep"], namespace=cls.pair.appliance,
            eal=[f"--vdev=net_af_packet0,iface={cls.pair.interface}",
                 "--vdev=net_impair0,lower=net_af_packet0,dir=rx"])
        cls.addClassCleanup(cls.box.close)
        cls.tester = appliance.Tester(cls.pair)

    def send(self, count):
        for i in range(count):
            self.tester.send(self.tester.frame(
                "UD_SEND_ONLY", b"x" * 32, qkey=appliance.QKEY, sqpn=5,
                bth={"dqpn": appliance.QPN["ud-plain"], "psn": i}))

    def test_rules_counters_and_commands(self):
        self.assertIn("no rules", self.box.do("show impair all"))
        self.assertIn("2 rules", self.box.do("set impair 0 drop op=ud nth=2; corrupt psn=0"))
        before = self.box.qp("ud-plain")["rx_messages"]
        verdict = self.box.verdicts()["icrc"]
        self.send(20)
        self.box.settle("ud-plain", "rx_messages", before + 9)
        self.assertEqual(self.box.verdicts()["icrc"] - verdict, 1)
        limit = time.monotonic() + 60
        while True:     # the last one of all is dropped, and may come after those that are not
            figures = self.box.figures("/phca/impair", "net_impair0")
            if figures["rx"]["dropped"] >= 10 or time.monotonic() > limit:
                break
            time.sleep(0.02)
        self.assertEqual(figures["rx"]["dropped"], 10)
        self.assertEqual(figures["lower"], "net_af_packet0")
        self.assertEqual([r["fired"] for r in figures["rules"].values()], [10, 1])
        self.assertEqual(self.box.figures("/phca/impair"), ["net_impair0"])
        shown = self.box.do("show impair 0")
        self.assertIn("rule 0: drop dir rx op ud nth 2", shown)
        self.assertRegex(shown, r"(?m)^ +dropped +10 +0 packets")

        self.assertIn("expected a probability", self.box.do("set impair 0 drop p=7"))
        self.assertIn("rule 1: corrupt", self.box.do("show impair p0"))
        self.assertIn("0 rules", self.box.do("set impair 0 none"))
        self.assertIn("cleared", self.box.do("clear impair all"))
        self.assertRegex(self.box.do("show impair 0"), r"(?m)^ +dropped +0 +0 packets")
        before = self.box.qp("ud-plain")["rx_messages"]
        self.send(10)
        self.box.settle("ud-plain", "rx_messages", before + 10)
        self.assertIn("there is none", self.box.do("show impair 7"))

    def test_every_key_is_in_the_manual_and_its_examples_work(self):
        with open(os.path.join(runner.ROOT, "doc", "impair.md"), encoding="utf-8") as f:
            manual = f.read()
        actions = self.box.do("set impair 0 nonsense").split("there are ")[1].split("\n")[0]
        for action in actions.split(", "):
            self.assertIn(f"| `{action}` |", manual)
            keys = self.box.do(f"set impair 0 {action} nonsense=1").split("there are ")[1]
            for key in keys.split("\n")[0].split(", "):
                self.assertRegex(manual, rf"`{key}=", f"{action}: {key}")
        example = manual.split("## Rules")[1].split("# every", 1)[1].split("\n\n")[0]
        lines = [x.strip() for x in example.split("\n")[1:] if not x.strip().startswith("#")]
        self.assertEqual(len(lines), 3)
        for line in lines:
            self.assertIn("1 rule", self.box.do(f"set impair 0 {line}"))
        self.box.do("set impair 0 none")

    def test_other_ports_are_told_apart(self):
        config = appliance.config()
        config["ports"][0]["device"] = "net_null0"
        box = appliance.Appliance(config, eal=["--vdev=net_null0,no-rx=1"])
        self.addCleanup(box.close)
        self.assertIn("its device is no net_impair", box.do("set impair 0 drop"))
        self.assertIn("No port is a net_impair", box.do("show impair all"))
        self.assertEqual(box.quit(), 0)

    def test_leaves_with_held_packets(self):
        config = appliance.config()
        config["ports"][0]["device"] = "net_impair0"
        pair = appliance.pair()
        self.addCleanup(pair.close)
        box = appliance.Appliance(
            config, namespace=pair.appliance,
            eal=[f"--vdev=net_af_packet0,iface={pair.interface}",
                 "--vdev=net_impair0,lower=net_af_packet0,rule=delay time 60s"])
        self.addCleanup(box.close)
        pair.wire.send(bytes(Ether(src=pair.mac("tester"), dst="ff:ff:ff:ff:ff:ff") /
                             ARP(psrc=appliance.TESTER[4], pdst=appliance.ADDRESS[4])))
        limit = time.monotonic() + 30
        while box.figures("/phca/impair", "net_impair0")["rx"]["held"] == 0:
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.05)
        self.assertEqual(box.quit(), 0, box.output)
        self.assertIn("mbufs leaked: 0", box.output)


if __name__ == "__main__":
    runner.main()
