#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Linux Soft-RoCE beside our device: the same perftest, both ends of it in one virtual machine.

  tests/bench/softroce.py [BUILDDIR] [--repeat 3] [--messages 2000]

  rxe    both ends on rxe0, over its loopback
  ours   both ends on the appliance, which runs in the same guest, over its loopback

The guest is emulated, and so is everything in it: figures are no figures of a machine.
What means something is the ratio within a round. What is printed is the median.
"""
import argparse
import itertools
import os
import re
import statistics
import sys

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "interop"), os.path.join(ROOT, "tests", "system")]

import initramfs  # noqa: E402
from lib import runner  # noqa: E402
import vm  # noqa: E402

# (program, bytes, options): which column of its result line, and what that is
TOOLS = [
    ("ib_send_bw", 64, "", 4, "messages a second, millions"),
    ("ib_write_bw", 64, "", 4, "messages a second, millions"),
    ("ib_send_bw", 65536, "", 3, "MB/s"),
    ("ib_write_bw", 65536, "", 3, "MB/s"),
    ("ib_read_bw", 65536, "", 3, "MB/s"),
    ("ib_atomic_bw", 8, "", 4, "messages a second, millions"),
    ("ib_send_lat", 64, "", 4, "us, typical"),
    ("ib_send_lat", 64, "-e", 4, "us, typical"),
    ("ib_write_lat", 64, "", 4, "us, typical"),
]
TRIES = 10
# One of the appliance's addresses is the GID that both ends use.
CONFIG = """{"ports": [{"name": "p0", "device": "net_null0", "mtu": 4096, "addresses": ["10.6.0.1/24"]}]}"""


def start(guest):
    """The appliance in the guest; how a program there is run on it."""
    guest.run(f"echo '{CONFIG}' >/run/phca.json; mkdir -p /var/run; "
              "dpdk-proxyhca -l 0-1 --no-huge -m 256 --no-pci --vdev=net_null0,no-rx=1 -- "
              "--config /run/phca.json --socket /run/phca0.sock --idle sleep >/run/phca.log 2>&1 &")
    guest.run("for i in $(seq 300); do [ -S /run/phca0.sock ] && exit 0; sleep 0.1; done; "
              "cat /run/phca.log; exit 1", timeout_s=60)
    return ("PHCA_SOCKET=/run/phca0.sock LD_LIBRARY_PATH=/phca "
            "LD_PRELOAD=/phca/libphca-compat.so ")


def measure(guest, prefix, gid, ports, messages, row):
    """Run both ends of a row of TOOLS in the guest: the figure.

    perftest measures the processor's frequency first, and when that was too noisy, all that
    it prints is 0 or infinite: then it is run again."""
    for _ in range(TRIES):
        figure = once(guest, prefix, gid, next(ports), messages, row)
        if 0 < figure < float("inf"):
            return figure
    raise SystemExit(f"softroce.py: {row[0]} has no figure after {TRIES} tries: "
                     "the machine is too busy")


def once(guest, prefix, gid, port, messages, row):
    """One run: the figure, whatever it is."""
    tool, size, options, column, _ = row
    command = f"{prefix}timeout 100 {tool} -F -x {gid} -p {port} -n {messages} {options}"
    if tool != "ib_atomic_bw":
        command += f" -s {size}"
    server = guest.start(command)
    try:
        guest.listening(server, port)
        out = guest.run(f"{command} 127.0.0.1", timeout_s=120)
        server.wait(30)
    finally:
        server.close()
    lines = [x.split() for x in out.splitlines() if re.match(r"\s*\d+\s+\d+\s+([\d.]+|inf)\s", x)]
    if not lines:
        raise SystemExit(f"softroce.py: no result of {command} in:\n{out}")
    return float(lines[-1][column])


def report(row, rounds):
    """One line: both figures, and how far ahead we are."""
    tool, size, options, _, unit = row
    latency = unit.startswith("us")
    ratios = [a / b if latency else b / a for a, b in rounds]
    rxe, ours = (statistics.median(r[i] for r in rounds) for i in (0, 1))
    print(f"{tool + ' ' + options:18} {size:6} bytes   rxe {rxe:10.3f}   ours {ours:10.3f}   "
          f"{statistics.median(ratios):6.2f} times ahead   ({unit})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builddir", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--messages", type=int, default=2000)
    args = parser.parse_args()
    runner._build = os.path.abspath(args.builddir)
    segment = vm.Segment()
    try:
        guest = vm.Guest(segment, initramfs.appliance())
        try:
            prefix, ports = start(guest), itertools.count(18800)
            gid = guest.run(f"{prefix}ibv_devinfo -v")
            gid = re.search(r"GID\[\s*(\d+)\]:\s*::ffff:10.6.0.1", gid).group(1)
            for row in TOOLS:
                rounds = []
                for _ in range(args.repeat):
                    rounds.append((measure(guest, "", vm.GUEST_GID[4], ports, args.messages, row),
                                   measure(guest, prefix, gid, ports, args.messages, row)))
                report(row, rounds)
        finally:
            guest.close()
    finally:
        segment.close()


if __name__ == "__main__":
    main()
