# SPDX-License-Identifier: BSD-3-Clause
"""The appliance under test, and what the tester sends it and reads from it."""

import json
import os
import shutil
import subprocess
import tempfile
import time

from lib import net, program, runner  # runner also makes tests/common importable

import roce_scapy as roce
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

PROMPT = r"^proxyhca> "
ADDRESS = {4: "10.9.0.1", 6: "fd00:9::1"}      # the appliance's
TESTER = {4: "10.9.0.2", 6: "fd00:9::2"}       # the tester's


# The configuration's queue pairs, by name.
QPN = {"ud-plain": 0x11, "ud-echo": 0x12, "ud-size": 0x13, "ud-source": 0x14,
       "uc-plain": 0x21, "uc-size": 0x22}
QKEY = 0x11111111
SIZE = 128      # by_size offloads messages of so many bytes, and longer ones


def filter_object(name):
    """An example filter that the build compiled."""
    return runner.built(f"config/filters/{name}.bpf.o")


def config():
    """Plain and proxy queue pairs, with filters that match some of the messages."""
    def rule(name, offload):
        return [{"filter": name, "offload": offload, "direction": "inbound"}]

    def qp(name, app, **more):
        kind = name[:2].upper()
        uc = {"dest_qpn": 0x100 + QPN[name], "peer": TESTER[4]} if kind == "UC" else {}
        return {"name": name, "type": kind, "qpn": QPN[name], "app": app, **uc, **more}

    return {
        "ports": [{"name": "p0", "device": "net_af_packet0", "mtu": 1024,
                   "addresses": [f"{ADDRESS[4]}/24", f"{ADDRESS[6]}/64"]}],
        "filters": [
            {"name": "size", "object": filter_object("by_size"), "params": {"min_len": SIZE}},
            {"name": "source", "object": filter_object("by_source")}],
        "offloads": [
            {"name": "null", "driver": "null"},
            {"name": "delay", "driver": "delay",
             "settings": {"delay_min_us": 10, "delay_max_us": 2000, "seed": 7}}],
        "apps": [{"name": "sink", "driver": "sink"}, {"name": "echo", "driver": "echo"}],
        "qps": [qp("ud-plain", "sink"), qp("ud-echo", "echo"), qp("ud-size", "sink"),
                qp("ud-source", "sink"), qp("uc-plain", "sink"), qp("uc-size", "sink")],
        "proxy_qps": [{"qps": ["ud-size", "uc-size"], "rules": rule("size", "delay")},
                      {"qps": ["ud-source"], "rules": rule("source", "null")}],
    }


class Appliance(program.DpdkProgram):
    """dpdk-proxyhca with a configuration, in the appliance's namespace.

    config  the configuration, as Python objects; written to a file of its own
    pair    lib.net.Pair whose interface becomes its port net_af_packet0
    vdev    more arguments of that port's device, ",qpairs=2"
    after   EAL arguments behind that port's: devices that stand on it
    prompt  talk to its prompt
    """

    def __init__(self, config, pair=None, args=(), eal=(), vdev="", after=(), prompt=True,
                 start=True, **kwargs):
        self.dir = tempfile.mkdtemp(prefix="phca")
        self.config_path = os.path.join(self.dir, "config.json")
        with open(self.config_path, "w") as f:
            json.dump(config, f, indent=4)
        if pair:
            eal = [*eal, f"--vdev=net_af_packet0,iface={pair.interface}{vdev}", *after]
            kwargs["namespace"] = pair.appliance
        mode = (["-i"] if prompt else []) + (["--auto-start"] if prompt and start else [])
        super().__init__(program.appliance(), eal=eal, tty=prompt, memory_mb=512,
                         args=["--config", self.config_path, *mode, *args], **kwargs)
        if prompt:
            self.expect(PROMPT, 60)

    def do(self, line, timeout_s=60):
        """Give a command; what it printed."""
        return self.command(line, PROMPT, timeout_s)

    def figures(self, command, *params):
        """An answer of telemetry."""
        with self.telemetry() as t:
            return t(command, *params)

    def verdicts(self):
        """Packets received so far, by verdict."""
        return self.figures("/phca/verdicts")["verdict"]

    def qp(self, name):
        """Counters of a queue pair of config()."""
        return self.figures("/phca/qp", QPN[name])

    def settle(self, qp, field, value, timeout_s=60):
        """Wait until a counter of a queue pair has a value; the queue pair's counters."""
        limit = time.monotonic() + timeout_s
        while True:
            figures = self.qp(qp)
            if figures[field] == value:
                return figures
            if time.monotonic() > limit:
                raise AssertionError(f"{qp}: {field} is {figures[field]} after {timeout_s} s, "
                                     f"not {value}; all: {figures}")
            time.sleep(0.02)

    def quit(self):
        """Leave by the prompt; the exit status."""
        self.write("quit\n")
        return self.wait()

    def close(self):
        super().close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Tester:
    """RoCEv2 from the tester's end of a pair, made and read by scapy."""

    def __init__(self, pair, family=4):
        self.pair, self.family = pair, family
        ip = IP if family == 4 else IPv6
        self.below = Ether(src=pair.mac("tester"), dst=pair.mac("appliance")) / ip(
            src=TESTER[family], dst=ADDRESS[family])

    def frame(self, opcode, payload=b"", tos=0, to=None, **fields):
        """A frame to the appliance; opcode by name, fields as of roce_scapy.frame.

        tos: traffic class; to: another destination, its MAC and its IP address"""
        below = self.below.copy()
        if self.family == 4:
            below[IP].tos = tos
        else:
            below[IPv6].tc = tos
        if to:
            below.dst, below.payload.dst = to
        return bytes(roce.frame(below, roce.OPCODE[opcode], payload, **fields))

    def send(self, *frames):
        self.pair.wire.send(*frames)

    def reply(self, timeout_s=30):
        """The next RoCEv2 frame from the appliance to the tester alone; None: none came."""
        macs = bytes.fromhex(f"{self.below.src}{self.below.dst}".replace(":", ""))
        port = roce.PORT.to_bytes(2, "big")
        l4 = 14 + (20 if self.family == 4 else 40)
        return self.pair.wire.receive(
            lambda f: f[:12] == macs and f[l4 + 2:l4 + 4] == port, timeout_s)


def tshark(frames, fields):
    """What tshark decodes: for each frame a dict of field to list of values."""
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "frames.pcap")
        wrpcap(path, [Ether(f) for f in frames])
        wanted = [x for f in fields for x in ("-e", f)]
        out = subprocess.run(["tshark", "-n", *roce.PLAIN_PAYLOAD, "-r", path, "-T", "json",
                              *wanted],
                             check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout
    return [p["_source"].get("layers", {}) for p in json.loads(out)]


def pair():
    """A veth pair whose tester has the addresses of TESTER."""
    return net.Pair([f"{TESTER[4]}/24", f"{TESTER[6]}/64"])
