#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What reliable connections carry, both ends on one core, against testpmd.

  tests/bench/rc.py [BUILDDIR] [--seconds 1] [--repeat 3] [--row small,...] [--json FILE]

  small    64-byte SENDs over one connection: messages a second
  bulk     1 MiB SEND, WRITE, READ at path MTU 1024 and 4096: Gb/s of payload
  latency  64-byte SENDs, one at a time: time from post to completion
  qps      64-byte SENDs over 1, 100 and 10,000 connections in turn, 16 or 4 outstanding
           of each
  loss     1 MiB WRITEs while 0, 0.1 and 1 % of the packets are dropped, each way; with
           a local ACK timeout of 67 ms (14), and of 1 ms (8)
  memif    two appliances on a core each, joined by net_memif: generator and sink;
           64-byte SENDs, 1 MiB SENDs, WRITEs and READs

bench-rc runs two HCAs in one thread, joined by net_ring (loss: by net_impair):
every packet is built, sent, received, checked and answered by the same core,
iCRC included. "testpmd" is dpdk-testpmd --forward-mode=macswap, one core, with
packets of the same size that net_pcap copies from memory (infinite_rx): the
limit for one core that moves the bytes once; the ratio compares packets, those
of the messages without acknowledgements. Rounds run all rows one after the
other; ratios are taken within a round, figures are medians over the rounds.
Rates are per second of CPU time; those of memif of wall-clock time, against two
testpmd (txonly, rxonly) on the same two cores.
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

MIB = 1 << 20
ROWS = {
    "small": [{"OP": "send", "LEN": 64, "DEPTH": 128}],
    "bulk": [{"OP": op, "LEN": MIB, "MTU": mtu, "DEPTH": 8}
             for op in ("send", "write", "read") for mtu in (1024, 4096)],
    "latency": [{"OP": "send", "LEN": 64, "DEPTH": 1}],
    "qps": [{"OP": "send", "LEN": 64, "DEPTH": depth, "QPS": qps}
            for depth in (16, 4) for qps in (1, 100, 10000)],
    "loss": [{"OP": "write", "LEN": MIB, "MTU": 4096, "DEPTH": 8, "LOSS": ppm, "TIMEOUT": timeout}
             for timeout in (14, 8) for ppm in (0, 1000, 10000)],
    "memif": [{"OP": "send", "LEN": 64, "DEPTH": 128}] +
             [{"OP": op, "LEN": MIB, "MTU": 4096, "DEPTH": 8} for op in ("send", "write", "read")],
}
MEMIF = "--vdev=net_memif0,role=%s,socket=%s/memif.sock,socket-abstract=no,bsize=8192,rsize=11"


def die(text):
    sys.exit("rc.py: " + text)


def bench(args, row):
    """One run of bench-rc."""
    out = subprocess.run(
        [os.path.join(args.builddir, "tests", "bench", "bench-rc"),
         "MS=%d" % (args.seconds * 1000)] + ["%s=%s" % item for item in row.items()],
        stdout=subprocess.PIPE, check=True, text=True).stdout
    return json.loads(out.splitlines()[-1])


def worker_cpu(pid):
    """CPU time of the forwarding lcore, seconds."""
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, task)) as comm:
            if not comm.read().strip().endswith("worker-1"):
                continue
        with open("/proc/%d/task/%s/schedstat" % (pid, task)) as stat:
            return int(stat.read().split()[0]) / 1e9
    die("testpmd has no thread of lcore 1")


def testpmd(args, payload, folder):
    """Packets with a payload that one core of testpmd forwards, millions a second."""
    pcap = os.path.join(folder, "%d.pcap" % payload)
    subprocess.run([
        os.path.join(ROOT, "scripts", "pktgen", "make_pcap.py"), "-o", pcap, "-n", "128",
        "--mtu", "4096", "--transport", "UC", "--op", "SEND", "--size", str(payload)], check=True)
    program = DpdkProgram(
        "/usr/bin/dpdk-testpmd", ["--vdev=net_pcap0,rx_pcap=%s,infinite_rx=1" % pcap],
        ["-i", "-a", "--forward-mode=macswap", "--mbuf-size=4608", "--total-num-mbufs=8192",
         "--no-flush-rx"], 1024, "0-1", tty=True)
    samples = []
    try:
        with program.telemetry(20) as telemetry:
            time.sleep(0.5)
            for _ in range(2):
                samples.append((telemetry("/ethdev/stats", 0)["ipackets"],
                                worker_cpu(telemetry.info["pid"])))
                time.sleep(args.seconds)
    finally:
        program.close()
    return (samples[1][0] - samples[0][0]) / (samples[1][1] - samples[0][1]) / 1e6


def end_config(own, app, driver, settings, row):
    """One of two appliances: a port, an application, an RC queue pair to the other one."""
    return {
        "ports": [{"name": "p0", "id": 0, "mac": "02:00:00:00:00:0%d" % own,
                   "addresses": ["192.0.2.%d/24" % own], "mtu": 4096,
                   "neighbours": [{"address": "192.0.2.%d" % (3 - own),
                                   "mac": "02:00:00:00:00:0%d" % (3 - own)}]}],
        "apps": [{"name": app, "driver": driver, "settings": settings}],
        "qps": [{"name": "rc", "type": "RC", "app": app, "qpn": "0x100", "dest_qpn": "0x100",
                 "peer": "192.0.2.%d" % (3 - own), "path_mtu": row.get("MTU", 4096),
                 "max_send_wr": 256, "max_recv_wr": 256,
                 "access": ["remote_write", "remote_read"]}],
    }


def memif(args, row, folder):
    """Two appliances, a core each: generator to sink over net_memif."""
    ends = []
    memory = 8 * MIB + 64 + 4 * (row["DEPTH"] + 1) * row["LEN"]
    configs = [
        end_config(2, "sink", "sink", {"buffer_bytes": row["LEN"], "shared_buffer": True,
                                       "memory_bytes": memory}, row),
        end_config(1, "generator", "generator", {
            "operation": row["OP"], "size": str(row["LEN"]), "depth": row["DEPTH"],
            "verify": False, "readback": 0}, row)]
    try:
        for i, config in enumerate(configs):
            path = os.path.join(folder, "%d.json" % i)
            with open(path, "w") as out:
                json.dump(config, out)
            ends.append(DpdkProgram(
                os.path.join(args.builddir, "app", "proxyhca", "dpdk-proxyhca"),
                [MEMIF % (("server", "client")[i], folder), "--single-file-segments"],
                ["--config", path], 1024, "0@%d" % i))
            time.sleep(1)
        with ends[1].telemetry(20) as telemetry:
            samples = []
            for _ in range(2):
                time.sleep(args.seconds)
                app = telemetry("/phca/app", "generator")["own"]
                samples.append((app["completed"], time.monotonic(), app))
    finally:
        for end in reversed(ends):
            end.close()
    rate = (samples[1][0] - samples[0][0]) / (samples[1][1] - samples[0][1])
    app = samples[1][2]
    return {"op": row["OP"], "len": row["LEN"], "mtu": row.get("MTU", 4096), "qps": 1,
            "depth": row["DEPTH"], "loss_ppm": 0, "mps": rate, "gbps": rate * row["LEN"] * 8 / 1e9,
            "p50_ns": app["latency_p50_ns"], "p99_ns": app["latency_p99_ns"],
            "p999_ns": app["latency_p99_9_ns"], "resent": 0}


def testpmd_memif(args, payload, folder):
    """Packets that one testpmd sends and another receives over net_memif, millions a second."""
    size = payload + 58      # Ethernet, IPv4, UDP, BTH, iCRC
    ends = []
    try:
        for i, mode in enumerate(("rxonly", "txonly")):
            ends.append(DpdkProgram(
                "/usr/bin/dpdk-testpmd",
                [MEMIF % (("server", "client")[i], folder), "--single-file-segments"],
                ["-i", "-a", "--forward-mode=" + mode, "--txpkts=%d" % size, "--mbuf-size=8704",
                 "--total-num-mbufs=8192"], 1024, "(0-1)@%d" % i, tty=True))
            time.sleep(1)
        # the sender's count: net_memif's receiver counts none when buffers are large
        with ends[1].telemetry(20) as telemetry:
            samples = []
            for _ in range(2):
                time.sleep(args.seconds)
                samples.append((telemetry("/ethdev/stats", 0)["opackets"], time.monotonic()))
    finally:
        for end in reversed(ends):
            end.close()
    return (samples[1][0] - samples[0][0]) / (samples[1][1] - samples[0][1]) / 1e6


def packet_payload(row):
    return min(row["LEN"], row.get("MTU", 4096))


def rounds(args, rows, folder):
    """All rows, args.repeat times: for each row its results."""
    results = [[] for _ in rows]
    limits = {}
    for _ in range(args.repeat):
        for over, size in sorted({(name == "memif", packet_payload(row)) for name, row in rows}):
            limit = (testpmd_memif if over else testpmd)(args, size, folder) if args.testpmd else 0
            limits.setdefault((over, size), []).append(limit)
        for i, (name, row) in enumerate(rows):
            results[i].append(memif(args, row, folder) if name == "memif" else bench(args, row))
    return results, limits


def summarize(name, row, results, limits):
    """Medians over the rounds; the share of testpmd's packets in the same round."""
    out = {"row": name, **{k: results[0][k] for k in (
        "op", "len", "mtu", "qps", "depth", "loss_ppm")}}
    for key in ("mps", "gbps", "p50_ns", "p99_ns", "p999_ns", "resent"):
        out[key] = statistics.median(r[key] for r in results)
    limit = limits[name == "memif", packet_payload(row)]
    packets = max(1, -(-row["LEN"] // row.get("MTU", 4096)))
    out["testpmd_mpps"] = statistics.median(limit)
    out["ratio"] = statistics.median(
        r["mps"] * packets / 1e6 / most if most else 0 for r, most in zip(results, limit))
    return out


def print_row(r):
    print("%-8s %-6s %8d %5d %6d %6d %6.1f%% %9.3f %8.2f %8.3f %8d %8d %8d" % (
        r["row"], r["op"], r["len"], r["mtu"], r["qps"], r["depth"], r["loss_ppm"] / 1e4,
        r["mps"] / 1e6, r["gbps"], r["ratio"], r["p50_ns"], r["p99_ns"], r["p999_ns"]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builddir", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--seconds", type=float, default=1, help="measured time of a row")
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--row", default=",".join(ROWS), help="comma-separated")
    parser.add_argument("--no-testpmd", dest="testpmd", action="store_false")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    args = parser.parse_args()
    unknown = set(args.row.split(",")) - set(ROWS)
    if unknown:
        die("no row %s; rows are %s" % (", ".join(sorted(unknown)), ", ".join(ROWS)))
    rows = [(name, row) for name in args.row.split(",") for row in ROWS[name]]
    with tempfile.TemporaryDirectory(prefix="phca-bench-") as folder:
        results, limits = rounds(args, rows, folder)
    print("row      op        bytes   mtu    qps  depth    loss     M/s     Gb/s /testpmd"
          "   p50 ns   p99 ns p99.9 ns")
    table = [summarize(name, row, r, limits) for (name, row), r in zip(rows, results)]
    for r in table:
        print_row(r)
    if args.json:
        with open(args.json, "w") as out:
            json.dump({"results": table}, out, indent=2)


if __name__ == "__main__":
    main()
