#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What offloads cost and gain, beside the limit and beside rivals.

  tests/bench/offload.py [BUILDDIR] [--seconds 0.5] [--repeat 3] [--row ring,rate,...]
                         [--json FILE] [--check] [--fifo]

  ring     a bare rte_ring round trip between the two cores, alone and in bursts of 32
  rate     64-byte SENDs a second, posted (send) and inbound (recv): a plain QP, a proxy QP
           whose filter matches nothing, all to null, all to an offload that gives them back
  latency  one request at a time: what an offload adds to a SEND that it gives back, to a
           READ and an atomic that it lets be carried out
  slow     SENDs of a proxy QP one in 1000 of which an offload holds for 20 us
  drivers  requests a second through each offload that ships, for one proxy lcore: beside plain
           SENDs, those that the application posts itself, or requests that it answers itself;
           of those that are answered also the time when there is one at a time
  lock     lock and unlock pairs a second: phca-lock serve, serve --self, Redis SET NX and DEL;
           one pair at a time, and 32
  reduce   rounds a second of 4 ranks: phca-reduce serve, serve --self; 64 and 16384 float64

ring to bcast run in bench-offload, bench-bcast and bench-served: HCAs of both ends on one core,
proxy and application on the other. lock and reduce are programs on an appliance (scripts/phca-run)
that has one core for HCA and proxy; the programs have the other, and what is left of it.
Rounds run all rows one after the other; ratios are taken within a round, figures are medians
over the rounds.

--check exits with 1 when an aim is missed. --fifo gives bench-offload real-time priority
(root): for a machine that does other things, where its figures are else worth nothing.
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))

ROWS = ("ring", "rate", "latency", "slow", "drivers", "bcast", "lock", "reduce")
REDIS_PORT = 16399
RANKS = 4


def die(text):
    sys.exit("offload.py: " + text)


def bench(args, *words, program="bench-offload"):
    """One run of a program of this folder."""
    prefix = ["chrt", "-f", "10"] if args.fifo else []
    objects = os.path.join(args.builddir, "config")
    out = subprocess.run(
        prefix + [os.path.join(args.builddir, "tests", "bench", program), *words,
                  "MS=%d" % (args.seconds * 1000)],
        env={**os.environ, "PHCA_FILTERS": os.path.join(objects, "filters"),
             "PHCA_OFFLOADS": os.path.join(objects, "offloads")},
        stdout=subprocess.PIPE, check=True, text=True, timeout=60).stdout
    return json.loads(out.splitlines()[-1])


def ring(args, out):
    r = bench(args, "ring")
    out["ring", "alone", "ns"] = r["alone_p50_ns"]
    out["ring", "bursts of 32", "ns"] = r["burst_ns"]


def rate(args, out):
    for side in ("send", "recv"):
        for kind in ("plain", "none", "null", "pass"):
            r = bench(args, "KIND=" + kind, "SIDE=" + side)
            out["rate", "%s %s" % (side, kind), "M/s"] = r["mps"] / 1e6
            if kind != "plain":
                out["rate", "%s %s" % (side, kind), "of plain"] = (
                    r["mps"] / 1e6 / out["rate", side + " plain", "M/s"])


def latency(args, out):
    trip = bench(args, "ring")["alone_p50_ns"]
    for op, side, kinds in (("send", "send", ("plain", "none", "null", "pass")),
                            ("read", "recv", ("plain", "none", "null")),
                            ("atomic", "recv", ("plain", "none", "null"))):
        for kind in kinds:
            r = bench(args, "KIND=" + kind, "SIDE=" + side, "OP=" + op, "DEPTH=1")
            name = "%s %s" % (op, kind)
            for p in ("p50", "p99"):
                out["latency", name, p + " ns"] = r[p + "_ns"]
                if kind != "plain":
                    out["latency", name, p + " added ns"] = (
                        r[p + "_ns"] - out["latency", op + " plain", p + " ns"])
            if kind != "plain":
                out["latency", name, "added round trips"] = (
                    out["latency", name, "p50 added ns"] / trip)


def slow(args, out):
    for side in ("send", "recv"):
        for kind in ("plain", "none", "delay"):
            r = bench(args, "KIND=" + kind, "SIDE=" + side, "DEPTH=512", "N=1000", "DELAY=20")
            # those that were not offloaded
            out["slow", "%s %s" % (side, kind), "M/s"] = r["mps"] / 1e6 * (1 - r["offloaded"])
            if kind != "plain":
                out["slow", "%s %s" % (side, kind), "of plain"] = (
                    out["slow", "%s %s" % (side, kind), "M/s"] /
                    out["slow", side + " plain", "M/s"])


def drivers(args, out):
    def put(name, r, **peers):
        out["drivers", name, "M/s"] = r["mps"] / 1e6
        for peer, of in {"plain": plain, **peers}.items():
            out["drivers", name, "of " + peer.replace("_", " ")] = r["mps"] / of["mps"]

    plain = bench(args, "KIND=plain")
    out["drivers", "plain", "M/s"] = plain["mps"] / 1e6
    for side, way in (("send", "posted"), ("recv", "inbound")):
        for name, words in (("null", ["KIND=null"]), ("access_log", ["KIND=log"]),
                            ("delay 0-20 us", ["KIND=delay", "N=1", "LEAST=0", "DELAY=20", "DEPTH=512"])):
            put("%s, %s" % (name, way), bench(args, "SIDE=" + side, *words))
    # as many SENDs or WRITEs by the application
    for name, words, members in (("bcast to 2", ["KIND=bcast"], 2), ("bcast to 8", ["KIND=bcast"], 8),
                                 ("wal_mirror, SEND", ["KIND=wal"], 2),
                                 ("wal_mirror, WRITE", ["KIND=wal", "OP=write"], 2)):
        words = [*words, "MEMBERS=%d" % members]
        put(name, bench(args, *words, program="bench-bcast"),
            the_application=bench(args, "KIND=each", *words[1:], program="bench-bcast"))

    def served(kind, *words):
        return bench(args, "KIND=" + kind, *words, program="bench-served")

    echo = served("echo")   # an application sends back what came
    put("echo", echo)
    out["drivers", "echo", "alone, p50 ns"] = served("echo", "DEPTH=1")["p50_ns"]
    for name, kind, depth in (("lock", "lock", 1), ("kv_get", "kv", 1), ("reduce, 4 ranks", "reduce", 4)):
        put(name, served(kind), echo=echo)
        out["drivers", name, "alone, p50 ns"] = served(kind, "DEPTH=%d" % depth)["p50_ns"]


def bcast(args, out):
    for length in (64, 4096, 65536):
        rates = {kind: bench(args, "KIND=" + kind, "LEN=%d" % length, program="bench-bcast")["mps"]
                 for kind in ("each", "bcast")}
        for kind, rate in rates.items():
            out["bcast", "%d bytes %s" % (length, kind), "M/s"] = rate / 1e6
        out["bcast", "%d bytes" % length, "of the application"] = rates["bcast"] / rates["each"]


class Server:
    """A program that serves until it is closed."""

    def __init__(self, argv):
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        start_new_session=True)

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def wait_for(port):
    from lib import verbs
    limit = time.monotonic() + 20
    while not verbs.listens(port):
        if time.monotonic() > limit:
            die("nobody listens on TCP port %d" % port)
        time.sleep(0.02)


def redis(args, depth):
    """Pairs of SET NX and DEL a second, over TCP on the loopback interface; p50 of a pair, us."""
    server = Server(["redis-server", "--port", str(REDIS_PORT), "--save", "", "--appendonly", "no",
                     "--bind", "127.0.0.1"])
    try:
        wait_for(REDIS_PORT)
        spent = p50 = 0
        for command in (["SET", "lock:__rand_int__", "me", "NX"], ["DEL", "lock:__rand_int__"]):
            text = subprocess.run(
                ["redis-benchmark", "-p", str(REDIS_PORT), "-c", "1", "-P", str(depth), "-r", "1024",
                 "-n", str(int(args.seconds * (30000 if depth == 1 else 400000))), "--csv", *command],
                stdout=subprocess.PIPE, check=True, text=True, timeout=120).stdout
            # "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms",...
            fields = text.strip().splitlines()[-1].split('","')
            spent += 1 / float(fields[-7].strip('"'))
            p50 += float(fields[-4].strip('"')) * 1000
        return 1 / spent, p50
    finally:
        server.close()


def lock(args, out):
    from lib import appliance, verbs
    more = {
        "filters": [{"name": "lock", "object": appliance.filter_object("lock")}],
        "offloads": [{"name": "locks", "driver": "lock", "time_limit_us": 0}],
        "app_proxy": [{"name": "locks", "match": {"exe": "*lock*", "transport": "RC"},
                       "rules": [{"filter": "lock", "offload": "locks", "direction": "inbound"}]}],
    }
    tool = os.path.join(args.builddir, "app", "phca-lock", "phca-lock")
    for name, options in (("proxied", []), ("self", ["--self"])):
        # the server that does it itself has plain queue pairs
        with_proxy = dict(more) if not options else {}
        box = verbs.Host(more=with_proxy, args=["--idle=" + args.idle], lcores=args.appliance)
        try:
            port = verbs.next_port()
            server = Server(box.command([tool, "serve", "-p", str(port), *options]))
            try:
                wait_for(port)
                for depth in (1, 32):
                    text = box.run(tool, "bench", "-p", str(port), "-q", str(depth), "-t",
                                   str(max(1, round(args.seconds))), "127.0.0.1").stdout
                    row = "%s, %d at a time" % (name, depth)
                    out["lock", row, "pairs/s"] = float(re.search(r"(\d+) a second", text)[1])
                    out["lock", row, "p50 us"] = float(re.search(r"p50 ([\d.]+)", text)[1])
            finally:
                server.close()
        finally:
            box.close()
    if shutil.which("redis-server") is None:
        print("lock: no redis-server: apt-get install -y --no-install-recommends redis-server",
              file=sys.stderr)
        return
    for depth in (1, 32):
        row = "redis, %d at a time" % depth
        out["lock", row, "pairs/s"], out["lock", row, "p50 us"] = redis(args, depth)
    for depth in (1, 32):
        ours = out["lock", "proxied, %d at a time" % depth, "pairs/s"]
        for name in ("self", "redis"):
            rival = out["lock", "%s, %d at a time" % (name, depth), "pairs/s"]
            out["lock", "proxied, %d at a time" % depth, "of " + name] = ours / rival


def reduce(args, out):
    from lib import appliance, verbs
    more = {
        "filters": [{"name": "group", "object": appliance.filter_object("reduce")}],
        "offloads": [{"name": "reduce", "driver": "reduce", "time_limit_us": 0,
                      "settings": {"max_bytes": 1 << 20}}],
        "app_proxy": [{"name": "reduce", "match": {"exe": "phca-reduce", "transport": "RC"},
                       "rules": [{"filter": "group", "offload": "reduce",
                                  "direction": "inbound"}]}],
    }
    tool = os.path.join(args.builddir, "app", "phca-reduce", "phca-reduce")
    for name, options in (("proxied", []), ("self", ["--self"])):
        box = verbs.Host(more={} if options else more, args=["--idle=" + args.idle],
                         lcores=args.appliance)
        try:
            for count, rounds in ((64, 100000), (16384, 2000)):
                port = verbs.next_port()
                server = Server(box.command([tool, "serve", "-p", str(port), *options]))
                try:
                    wait_for(port)
                    text = box.run(tool, "contribute", "-p", str(port), "-n", str(RANKS), "-c", str(count),
                                   "-r", str(max(100, int(rounds * args.seconds))), "-q", "127.0.0.1").stdout
                finally:
                    server.close()
                out["reduce", "%s, %d" % (name, count), "rounds/s"] = float(
                    re.search(r"(\d+) rounds/s", text)[1])
        finally:
            box.close()
    for count in (64, 16384):
        out["reduce", "proxied, %d" % count, "of self"] = (
            out["reduce", "proxied, %d" % count, "rounds/s"] /
            out["reduce", "self, %d" % count, "rounds/s"])


# figure, at least (True) or at most, the value
AIMS = [
    (("rate", "send null", "of plain"), True, 0.7),
    (("rate", "recv null", "of plain"), True, 0.7),
    (("rate", "send null", "M/s"), True, 3),
    (("rate", "recv null", "M/s"), True, 3),
    (("latency", "send null", "added round trips"), False, 3),
    (("latency", "send pass", "added round trips"), False, 3),
    (("latency", "read null", "added round trips"), False, 3),
    (("latency", "atomic null", "added round trips"), False, 3),
    (("slow", "send delay", "of plain"), True, 0.95),
    (("slow", "recv delay", "of plain"), True, 0.95),
] + [(("lock", "proxied, %d at a time" % depth, "of " + rival), True, 1)
     for depth in (1, 32) for rival in ("self", "redis")] + [
    (("reduce", "proxied, %d" % count, "of self"), True, 1) for count in (64, 16384)] + [
    (("bcast", "%d bytes" % length, "of the application"), True, 1) for length in (64, 4096, 65536)]


def check(figures):
    """Tell each aim that was measured. @return whether all were reached"""
    right = True
    print("\naims")
    for key, least, value in AIMS:
        if key not in figures:
            continue
        got = figures[key]
        reached = got >= value if least else got <= value
        right = right and reached
        print("%-6s %-8s %-26s %-18s %9.3f, %s %g" % (
            "ok" if reached else "missed", *key, got, "at least" if least else "at most", value))
    return right


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builddir", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--seconds", type=float, default=0.5, help="measured time of a case")
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--row", default=",".join(ROWS), help="comma-separated")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--appliance", default="1",
                        help="lock, reduce: EAL's --lcores of the appliance; 0-1: the proxy has one of its own")
    parser.add_argument("--idle", default="sleep", help="what its lcores do without work: sleep, poll")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--fifo", action="store_true")
    args = parser.parse_args()
    args.builddir = os.path.abspath(args.builddir)
    from lib import runner
    runner._build = args.builddir
    rows = args.row.split(",")
    unknown = set(rows) - set(ROWS)
    if unknown:
        die("no row %s; rows are %s" % (", ".join(sorted(unknown)), ", ".join(ROWS)))
    results = []
    for _ in range(args.repeat):
        out = {}
        for row in rows:
            globals()[row](args, out)
        results.append(out)
    figures = {key: statistics.median(r[key] for r in results if key in r) for key in results[0]}
    for key, value in figures.items():
        print("%-8s %-26s %-18s %12.3f" % (*key, value), flush=True)
    right = check(figures)
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"rounds": args.repeat, "figures": [
                {"row": k[0], "case": k[1], "unit": k[2], "value": v,
                 "all": [r[k] for r in results if k in r]} for k, v in figures.items()]}, f, indent=2)
    sys.exit(args.check and not right)


if __name__ == "__main__":
    main()
