# SPDX-License-Identifier: BSD-3-Clause
"""The appliance under test, and what the tester sends it and reads from it."""

import json
import os
import shutil
import subprocess
import tempfile

from lib import net, program, runner  # runner also makes tests/common importable

import roce_scapy as roce
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

PROMPT = r"^proxyhca> "
ADDRESS = {4: "10.9.0.1", 6: "fd00:9::1"}      # the appliance's
TESTER = {4: "10.9.0.2", 6: "fd00:9::2"}       # the tester's


def filter_object(name):
    """An example filter that the build compiled."""
    return runner.built(f"config/filters/{name}.o")


class Appliance(program.DpdkProgram):
    """dpdk-proxyhca with a configuration, in the appliance's namespace.

    config  the configuration, as Python objects; written to a file of its own
    pair    lib.net.Pair whose interface becomes its port net_af_packet0
    prompt  talk to its prompt
    """

    def __init__(self, config, pair=None, args=(), eal=(), prompt=True, start=True, **kwargs):
        self.dir = tempfile.mkdtemp(prefix="phca")
        self.config_path = os.path.join(self.dir, "config.json")
        with open(self.config_path, "w") as f:
            json.dump(config, f, indent=4)
        if pair:
            eal = [*eal, f"--vdev=net_af_packet0,iface={pair.interface}"]
            kwargs["namespace"] = pair.appliance
        mode = (["-i"] if prompt else []) + (["--auto-start"] if prompt and start else [])
        super().__init__(program.appliance(), eal=eal, tty=prompt, memory_mb=512,
                         args=["--config", self.config_path, *mode, *args], **kwargs)
        if prompt:
            self.expect(PROMPT, 30)

    def do(self, line, timeout_s=20):
        """Give a command; what it printed."""
        return self.command(line, PROMPT, timeout_s)

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

    def frame(self, opcode, payload=b"", **fields):
        """A frame to the appliance; opcode by name, fields as of roce_scapy.frame."""
        return bytes(roce.frame(self.below.copy(), roce.OPCODE[opcode], payload, **fields))

    def send(self, *frames):
        self.pair.wire.send(*frames)

    def reply(self, timeout_s=5):
        """The next RoCEv2 frame from the appliance; None: none came."""
        ours = bytes.fromhex(self.pair.mac("appliance").replace(":", ""))
        port = roce.PORT.to_bytes(2, "big")
        l4 = 14 + (20 if self.family == 4 else 40)
        return self.pair.wire.receive(
            lambda f: f[6:12] == ours and f[l4 + 2:l4 + 4] == port, timeout_s)


def tshark(frames, fields):
    """What tshark decodes: for each frame a dict of field to list of values."""
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "frames.pcap")
        wrpcap(path, [Ether(f) for f in frames])
        wanted = [x for f in fields for x in ("-e", f)]
        out = subprocess.run(["tshark", "-n", "-r", path, "-T", "json", *wanted],
                             check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout
    return [p["_source"].get("layers", {}) for p in json.loads(out)]


def pair():
    """A veth pair whose tester has the addresses of TESTER."""
    return net.Pair([f"{TESTER[4]}/24", f"{TESTER[6]}/64"])
