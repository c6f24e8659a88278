#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The ladders' packets as scapy sees them: a second opinion on lib/wire.

    check_scapy.py PROGRAM

Runs the ladders, which write down the packets that they give and get, those left
out that are damaged on purpose. A sample of them, every opcode in it, is taken
apart by scapy and built again: the same bytes, lengths, checksums and iCRC must
come out.
"""
import os
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../common"))

from scapy.contrib.roce import BTH  # noqa: E402
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402

import roce_scapy as roce  # noqa: E402

EACH = 40  # of an opcode and direction


def frames(program):
    """(direction, frame) of all packets."""
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "frames")
        out = subprocess.run([program], env={**os.environ, "PHCA_CONFORM_FRAMES": path},
                             stdout=subprocess.PIPE, universal_newlines=True, check=False).stdout
        assert " 0 failed" in out.splitlines()[-1], out.splitlines()[-1]
        with open(path, "rb") as f:
            data = f.read()
    at = 0
    while at < len(data):
        way, length = struct.unpack_from("=cI", data, at)
        at += 5
        yield way.decode(), data[at:at + length]
        at += length


def check(raw):
    """Scapy's parts of the frame, and its opcode's name."""
    packet = Ether(raw)
    assert BTH in packet, "not RoCEv2 for scapy"
    name, headers = roce.OPCODES[packet[BTH].opcode]
    for h in headers:
        assert h in packet, f"{name} without {h.__name__}"
    again = packet.copy()
    for layer, field in ((IP, "len"), (IP, "chksum"), (IPv6, "plen"), (UDP, "len"), (BTH, "icrc")):
        if layer in again:
            delattr(again[layer], field)
    assert bytes(again) == raw, f"{name}: scapy builds {bytes(again).hex()}"
    assert raw[-4:] == roce.icrc(raw), f"{name}: iCRC {raw[-4:].hex()}"
    return name


def main():
    seen = {}
    for way, raw in frames(sys.argv[1]):
        key = way, raw[14 + (28 if raw[12:14] == b"\x08\x00" else 48)]
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > EACH:
            continue
        try:
            check(raw)
        except AssertionError as e:
            sys.exit(f"{'given' if way == 'g' else 'sent'}: {raw.hex()}\n{e}")
    for way, what in (("g", "given"), ("s", "sent")):
        missing = [n for op, (n, _) in roce.OPCODES.items() if (way, op) not in seen]
        assert not missing, f"no ladder has {', '.join(missing)} {what}"
    print(f"ok   scapy builds {sum(min(n, EACH) for n in seen.values())} of "
          f"{sum(seen.values())} packets alike")
    print("tests 1 passed 0 failed 0 skipped")


if __name__ == "__main__":
    main()
