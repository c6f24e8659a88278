#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Unmodified perftest on our device, beside what a user without an RDMA NIC would pick.

  tests/bench/verbs.py [BUILDDIR] [--seconds 2] [--repeat 3] [--row rate,...] [--json FILE]

  rate     64-byte messages, millions a second
  bulk     1 MiB messages, Gb/s
  latency  64-byte messages, half of a round trip, us: typical (ours, UCX), mean (others)

  ours     ib_send_bw, ib_write_bw, ib_read_bw, ib_send_lat, ib_write_lat: both ends on one
           appliance on CPU 1 (--idle sleep); the tools run on CPU 0 (latency: where the
           scheduler puts them; "-e": asleep until an event, else polling)
  tcp      sockperf (rate, latency), iperf3 (bulk): the kernel's TCP over a veth pair between
           two namespaces; both CPUs are theirs
  ucx      ucx_perftest with UCX_TLS=tcp over the same pair
  fabric   fi_pingpong with libfabric's tcp provider over the same pair

Rounds run all of a row one after the other; a ratio is taken within a round, what is
printed is the median over the rounds. Machines are shared and noisy: believe ratios.
"""
import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))

from lib import net, runner, verbs  # noqa: E402

MIB = 1 << 20
SERVER, CLIENT = "192.0.2.1", "192.0.2.2"
_ports = (str(n) for n in itertools.count(18600))  # each run has its own: a closed one is in use for a while


class Veth:
    """Two namespaces joined by a veth pair, both with addresses of the kernel."""

    def __init__(self):
        self.a, self.b = net.Namespace("s"), net.Namespace("c")
        name = f"phb{os.getpid()}"
        subprocess.run(["ip", "link", "add", f"{name}a", "mtu", "9000", "netns", self.a.name, "type", "veth",
                        "peer", "name", f"{name}b", "mtu", "9000", "netns", self.b.name], check=True)
        for ns, interface, address in ((self.a, f"{name}a", SERVER), (self.b, f"{name}b", CLIENT)):
            ns.run("ip", "addr", "add", f"{address}/24", "dev", interface)
            ns.run("ip", "link", "set", interface, "up")

    def pair(self, server, client, env=None, wait_s=0.5):
        """Run a server in one, its client in the other; what the client printed."""
        env = {**os.environ, **(env or {})}
        s = subprocess.Popen(self.a.command(server), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env=env)
        try:
            time.sleep(wait_s)
            return subprocess.run(self.b.command(client), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, env=env, timeout=120, check=True).stdout
        finally:
            s.kill()
            s.wait()

    def close(self):
        self.a.close()
        self.b.close()


def found(pattern, text):
    m = re.search(pattern, text, re.M)
    if not m:
        raise SystemExit(f"verbs.py: no {pattern!r} in:\n{text}")
    return float(m.group(1))


# ------------------------------------------------------------------ rivals

def sockperf(veth, args, mode, pattern, scale):
    common = ["--tcp", "-i", SERVER, "-p", next(_ports)]
    out = veth.pair(["sockperf", "server", *common],
                    ["sockperf", mode, *common, "-m", "64", "-t", str(args.seconds)])
    return found(pattern, out) * scale


def iperf3(veth, args):
    port = next(_ports)
    out = veth.pair(["iperf3", "-s", "-1", "-p", port],
                    ["iperf3", "-c", SERVER, "-p", port, "-l", "1M", "-t", str(args.seconds), "-J"])
    return json.loads(out)["end"]["sum_received"]["bits_per_second"] / 1e9


def ucx(veth, args, test, size, count):
    """Columns of ucx_perftest's last line: typical latency, bandwidth MB/s, messages a second."""
    del args
    port = next(_ports)
    out = veth.pair(["ucx_perftest", "-p", port],
                    ["ucx_perftest", SERVER, "-p", port, "-t", test, "-s", str(size), "-n", str(count),
                     "-w", str(max(1, count // 10)), "-f"],
                    env={"UCX_TLS": "tcp", "UCX_NET_DEVICES": "all", "UCX_WARN_UNUSED_ENV_VARS": "n"})
    line = [x for x in out.splitlines() if x.strip()][-1].split()
    return {"typical_us": float(line[1]), "MBps": float(line[5]), "rate": float(line[7])}


def fabric(veth, args, size, count):
    """usec a transfer and MB/s of fi_pingpong."""
    del args
    common = ["-p", "tcp", "-e", "msg", "-S", str(size), "-I", str(count)]
    out = veth.pair(["fi_pingpong", *common], ["fi_pingpong", *common, SERVER], wait_s=1)
    line = out.splitlines()[-1].split()
    return {"us": float(line[6]), "MBps": float(line[5])}


# -------------------------------------------------------------------- ours

def perftest(box, argv, tools_on=None):
    """The columns behind the size and count of the result line."""
    if tools_on is not None:
        argv = ["taskset", "-c", tools_on, *argv]
    _, out = verbs.tool(box, box, argv, timeout_s=120)
    lines = [x.split() for x in out.splitlines() if re.match(r"\s*\d+\s+\d+\s+[\d.]+\s", x)]
    return [float(x) for x in lines[-1][2:] if re.match(r"[\d.]+$", x)]


def bandwidth(box, args, program, size, *options):
    """Average bandwidth Gb/s, message rate M/s."""
    figures = perftest(box, [program, "-x", "1", "-s", str(size), "-m", "4096", "-D", str(args.seconds),
                             "-f", "0", "--report_gbits", *options], "0")
    return {"gbps": figures[1], "rate": figures[2]}


def latency(box, program, *options, count=20000):
    """Typical latency, us."""
    return perftest(box, [program, "-x", "1", "-s", "64", "-n", str(count), *options])[2]


def rows(box, veth, args):
    """What to measure: row -> (unit, more is better, name -> figure)."""
    return {
        "rate": ("M/s", True, {
            "ours ib_send_bw": lambda: bandwidth(box, args, "ib_send_bw", 64)["rate"],
            "ours ib_send_bw -l 32": lambda: bandwidth(box, args, "ib_send_bw", 64, "-l", "32")["rate"],
            "ours ib_write_bw": lambda: bandwidth(box, args, "ib_write_bw", 64)["rate"],
            "tcp sockperf": lambda: sockperf(veth, args, "throughput", r"Message Rate is (\d+)", 1e-6),
            "ucx ucp_am_bw": lambda: ucx(veth, args, "ucp_am_bw", 64, 500000)["rate"] / 1e6,
            "ucx tag_bw": lambda: ucx(veth, args, "tag_bw", 64, 500000)["rate"] / 1e6,
            "fabric pingpong": lambda: 1 / fabric(veth, args, 64, 20000)["us"],
        }),
        "bulk": ("Gb/s", True, {
            "ours ib_send_bw": lambda: bandwidth(box, args, "ib_send_bw", MIB)["gbps"],
            "ours ib_write_bw": lambda: bandwidth(box, args, "ib_write_bw", MIB)["gbps"],
            "ours ib_read_bw": lambda: bandwidth(box, args, "ib_read_bw", MIB)["gbps"],
            "tcp iperf3": lambda: iperf3(veth, args),
            "ucx tag_bw": lambda: ucx(veth, args, "tag_bw", MIB, 5000)["MBps"] * 8 * MIB / 1e9,
            "fabric pingpong": lambda: fabric(veth, args, MIB, 1000)["MBps"] * 8 / 1e3,
        }),
        "latency": ("us", False, {
            "ours ib_send_lat -e": lambda: latency(box, "ib_send_lat", "-e"),
            "ours ib_write_lat": lambda: latency(box, "ib_write_lat"),
            "ours ib_send_lat": lambda: latency(box, "ib_send_lat"),
            "tcp sockperf": lambda: sockperf(veth, args, "ping-pong", r"Latency is ([\d.]+)", 1),
            "ucx tag_lat": lambda: ucx(veth, args, "tag_lat", 64, 20000)["typical_us"],
            "fabric pingpong": lambda: fabric(veth, args, 64, 20000)["us"],
        }),
    }


def report(row, unit, more, rounds):
    """Medians, and the ratio of our best to each rival: above 1 we are ahead."""
    medians = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    best = max if more else min
    print(f"\n{row} ({unit})")
    for name, value in medians.items():
        line = f"  {name:24} {value:10.3f}"
        if not name.startswith("ours") and any(k.startswith("ours") for k in medians):
            ratios = []
            for r in rounds:
                mine = best(v for k, v in r.items() if k.startswith("ours"))
                ratios.append(mine / r[name] if more else r[name] / mine)
            line += f"   ours is {statistics.median(ratios):.2f} times ahead"
        print(line)
    return medians


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builddir", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--row", default="rate,bulk,latency")
    parser.add_argument("--json")
    parser.add_argument("--appliance", default="(0-1)@1", help="EAL's --lcores of the appliance")
    parser.add_argument("--idle", default="sleep", help="what its lcores do without work: sleep, poll")
    parser.add_argument("--only", default="", help="figures whose name contains this")
    args = parser.parse_args()
    runner._build = os.path.abspath(args.builddir)
    veth = Veth()
    box = verbs.Host(args=["--idle=" + args.idle], lcores=args.appliance)
    result = {}
    try:
        table = rows(box, veth, args)
        for row in args.row.split(","):
            unit, more, figures = table[row]
            figures = {k: f for k, f in figures.items() if args.only in k}
            rounds = [{name: figure() for name, figure in figures.items()} for _ in range(args.repeat)]
            result[row] = report(row, unit, more, rounds)
    finally:
        box.close()
        veth.close()
    if args.json:
        with open(args.json, "w") as f:
            json.dump(result, f, indent=4)


if __name__ == "__main__":
    main()
