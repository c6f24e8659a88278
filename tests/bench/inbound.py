#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""How many inbound packets a second the appliance takes, against testpmd.

  tests/bench/inbound.py [BUILDDIR] [--payload 64,1024,4096] [--seconds 2]
                         [--repeat 3] [--json FILE] [--check] ...

The same pcap goes round and round (net_pcap, infinite_rx=1) through

  testpmd  dpdk-testpmd --forward-mode=macswap: what the port and one lcore allow
  plain    queue pairs without filter, completions to the resident sink
  none     proxy queue pairs whose filter matches nothing
  all      proxy queue pairs whose filter matches everything, null offload
  half     proxy queue pairs whose filter matches every second request

one HCA lcore and one proxy lcore, iCRC checked. Every round runs all rows one
after the other and ratios are taken within a round, so that a neighbour on the
machine disturbs both sides of a ratio; figures are medians over the rounds.
Rates are per second of CPU time that the forwarding lcore (testpmd) or the HCA
lcore had; "cpu" is the share of the measured time that it had one. Only packets
that were executed or offloaded count for the appliance; what it dropped is
"lost": with less than 100 % cpu the sink on the other lcore may have been away
for longer than its receive queues last. Gb/s are of whole frames. Cycles are
TSC cycles of that lcore for each packet received.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))

from lib.program import DpdkProgram  # noqa: E402

PORT = "net_pcap0"
PORT_MAC = "02:70:63:61:70:00"   # net_pcap's own
PORT_IP, PEER_IP = "192.0.2.1", "192.0.2.2"
PEER_MAC = "02:00:00:00:00:02"
FIRST_QPN = 0x10
ROWS = ("testpmd", "plain", "none", "all", "half")
# row: filter object and its parameters
FILTERS = {
    "none": ("none.bpf.o", {}),
    "all": ("all.bpf.o", {}),
    "half": ("one_in_n.bpf.o", {"n": 2}),
}
# What counts while the appliance is still starting.
NOT_YET = {"verdict": {"direct": 0, "offloaded": 0}, "rx_packets": 0, "rx_bytes": 0}
# (row, compared with, payload): the ratio to reach
TARGETS = {
    ("plain", "testpmd", 64): 0.3,
    ("plain", "testpmd", 4096): 0.4,
    ("none", "plain", None): 0.9,
    ("all", "plain", None): 0.7,
}


def die(text):
    sys.exit("inbound.py: " + text)


def tsc_hz():
    """TSC frequency: /proc/cpuinfo names it on machines with a constant TSC."""
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("cpu MHz"):
                return float(line.split(":")[1]) * 1e6
    die("/proc/cpuinfo has no cpu MHz")


def make_pcap(args, payload, path):
    subprocess.run([
        os.path.join(ROOT, "scripts", "pktgen", "make_pcap.py"), "-o", path,
        "-n", str(args.packets), "--order", "round-robin", "--mtu", "4096",
        "--transport", args.transport, "--op", args.op, "--size", str(payload),
        "--qkey", "0x11111111", "--qpn", "%d-%d" % (FIRST_QPN, FIRST_QPN + args.qps - 1),
        "--dst-mac", PORT_MAC, "--src-mac", PEER_MAC,
        "--dst-ip", PORT_IP, "--src-ip", PEER_IP], check=True)


def app_config(args, row):
    """The appliance's configuration for a row."""
    qp = {"name": "bench", "count": args.qps, "type": args.transport, "qpn": FIRST_QPN,
          "max_recv_wr": args.depth, "app": "sink"}
    if args.transport == "UD":
        qp["qkey"] = 0x11111111
    else:
        qp["path_mtu"] = 4096
        qp["peer"] = PEER_IP
    config = {
        "ports": [{"name": "p0", "device": PORT, "addresses": [PORT_IP + "/24"], "mtu": 4096,
                   "neighbours": [{"address": PEER_IP, "mac": PEER_MAC}]}],
        "memory": {"mbufs": args.mbufs},
        "proxy": {"ring_size": args.ring},
        "qps": [qp],
        "apps": [{"name": "sink", "driver": "sink",
                  "settings": {"shared_buffer": not args.own_buffers}}],
    }
    if row in FILTERS:
        name, params = FILTERS[row]
        config["filters"] = [{"name": row, "object": name, "params": params}]
        config["offloads"] = [{"name": "null", "driver": "null"}]
        config["proxy_qps"] = [{"qps": ["bench"], "rules": [{"filter": row, "offload": "null"}]}]
    return config


def start(args, row, pcap, folder):
    """Start a row's process."""
    eal = ["--vdev", "%s,rx_pcap=%s,infinite_rx=1" % (PORT, pcap)]
    if row == "testpmd":
        return DpdkProgram("/usr/bin/dpdk-testpmd", eal, [
            "-i", "-a", "--forward-mode=macswap", "--mbuf-size=4608", "--total-num-mbufs=8192",
            "--no-flush-rx"], 1024, args.lcores, tty=True)
    path = os.path.join(folder, "%s.json" % row)
    with open(path, "w") as out:
        json.dump(app_config(args, row), out, indent=2)
    return DpdkProgram(os.path.join(args.builddir, "app", "proxyhca", "dpdk-proxyhca"), eal,
                       ["--config", path], 1024, args.lcores)


def worker_task(pid, lcore):
    """The thread of an lcore other than the main one."""
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, task)) as comm:
            if comm.read().strip() in ("rte-worker-%d" % lcore, "lcore-worker-%d" % lcore):
                return "/proc/%d/task/%s" % (pid, task)
    die("no thread of lcore %d: the HCA must not be on the main lcore" % lcore)


class Sample:
    """Counters of a row's process at one moment."""

    def __init__(self, telemetry, row, task=None):
        before = time.monotonic()
        if row == "testpmd":
            stats = telemetry("/ethdev/stats", 0)
            self.good = self.received = stats["ipackets"]
            self.bytes = stats["ibytes"]
        else:
            stats = telemetry("/phca/port", 0) or NOT_YET
            self.good = stats["verdict"]["direct"] + stats["verdict"]["offloaded"]
            self.received = stats["rx_packets"]
            self.bytes = stats["rx_bytes"]
        self.at = (before + time.monotonic()) / 2
        if task:
            with open(task + "/schedstat") as stat:
                self.cpu = int(stat.read().split()[0]) / 1e9


def raise_priority(pid, nice):
    """Nice value of a process and of its session, which autogroups weigh."""
    os.setpriority(os.PRIO_PROCESS, pid, nice)
    try:
        with open("/proc/%d/autogroup" % pid, "w") as group:
            group.write(str(nice))
    except FileNotFoundError:
        pass                        # a kernel without autogroups


def measure(args, row, pcap, folder):
    """Run a row's process and return its figures."""
    program = start(args, row, pcap, folder)
    try:
        if args.nice:
            raise_priority(program.process.pid, args.nice)
        with program.telemetry(20) as telemetry:
            deadline = time.monotonic() + 10
            while Sample(telemetry, row).good < 100000:
                if program.process.poll() is not None or time.monotonic() > deadline:
                    die("%s: no packets in 10 s\n%s" % (row, program.output[-4000:]))
                time.sleep(0.1)
            time.sleep(0.3)
            task = worker_task(telemetry.info["pid"], int(args.lcores[-1]))
            first = Sample(telemetry, row, task)
            time.sleep(args.seconds)
            last = Sample(telemetry, row, task)
    except OSError as error:
        die("%s: %s\n%s" % (row, error, program.output[-4000:]))
    finally:
        program.close()
    seconds = last.cpu - first.cpu
    packets = last.good - first.good
    received = last.received - first.received
    return {
        "mpps": packets / seconds / 1e6,
        "gbps": (last.bytes - first.bytes) * 8 / seconds / 1e9 * packets / received,
        "cycles": tsc_hz() * seconds / received,
        "lost": 1 - packets / received,
        "cpu": seconds / (last.at - first.at),
    }


def summarize(payload, row, rounds):
    """Medians of a row over the rounds; ratios are taken within a round."""
    figures = {key: statistics.median(r[row][key] for r in rounds) for key in rounds[0][row]}
    out = {"payload": payload, "row": row, **figures,
           "mpps_rounds": [r[row]["mpps"] for r in rounds], "ratio": {}}
    for base in ("testpmd", "plain"):
        if base in rounds[0]:
            out["ratio"][base] = statistics.median(
                r[row]["mpps"] / r[base]["mpps"] for r in rounds)
    out["missed"] = ["%.2f of %s < %.2f" % (out["ratio"][base], base, least)
                     for (name, base, size), least in TARGETS.items()
                     if name == row and size in (None, payload) and base in out["ratio"]
                     and out["ratio"][base] < least]
    return out


def print_row(result):
    ratio = result["ratio"]
    print("%7d  %-8s %8.2f %8.1f %8.0f %9s %8s %7.2f%% %4.0f%%  %s" % (
        result["payload"], result["row"], result["mpps"], result["gbps"], result["cycles"],
        *("%.2f" % ratio[base] if base in ratio else "-" for base in ("testpmd", "plain")),
        100 * result["lost"], 100 * result["cpu"], "; ".join(result["missed"])), flush=True)


def parse_args():
    def numbers(text):
        return [int(part) for part in text.split(",")]

    def rows(text):
        if set(text.split(",")) - set(ROWS):
            raise argparse.ArgumentTypeError("rows are " + ", ".join(ROWS))
        return [row for row in ROWS if row in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builddir", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--payload", type=numbers, default=[64, 1024, 4096], help="bytes")
    parser.add_argument("--row", type=rows, default=list(ROWS), help="comma-separated")
    parser.add_argument("--seconds", type=float, default=2, help="measured time of a row")
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--qps", type=int, default=16)
    parser.add_argument("--depth", type=int, default=512, help="receive queue of a queue pair")
    parser.add_argument("--nice", type=int, default=0,
                        help="nice value of what is measured, on a machine that others use")
    parser.add_argument("--own-buffers", action="store_true",
                        help="each receive has a buffer of its own, not one for a queue pair")
    parser.add_argument("--mbufs", type=int, default=16384,
                        help="buffers of the appliance's pool (memory.mbufs)")
    parser.add_argument("--ring", type=int, default=4096,
                        help="elements of the ring to the proxy (proxy.ring_size)")
    parser.add_argument("--packets", type=int, default=128, help="of the pcap; few stay in cache")
    parser.add_argument("--transport", choices=("UC", "UD"), default="UC")
    parser.add_argument("--op", choices=("SEND", "SEND_IMM"), default="SEND")
    parser.add_argument("--lcores", default="0-1", help="EAL's -l: main, HCA")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    return parser.parse_args()


def main():
    args = parse_args()
    results = []
    print("payload  row          Mpps     Gb/s cycles/p  /testpmd   /plain     lost  cpu  missed")
    with tempfile.TemporaryDirectory(prefix="phca-bench-") as folder:
        for payload in args.payload:
            pcap = os.path.join(folder, "%d.pcap" % payload)
            make_pcap(args, payload, pcap)
            rounds = [{row: measure(args, row, pcap, folder) for row in args.row}
                      for _ in range(args.repeat)]
            for row in args.row:
                results.append(summarize(payload, row, rounds))
                print_row(results[-1])
    if args.json:
        with open(args.json, "w") as out:
            json.dump({"options": vars(args), "tsc_hz": tsc_hz(), "results": results}, out,
                      indent=2)
    if args.check and any(result["missed"] for result in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
