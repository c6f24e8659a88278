#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a run of scripts/pktgen/run.sh, which calls this.

  figures.py --file-prefix P --dir D --wait S     until the appliance answers
  figures.py --file-prefix P --dir D --sample S   until Pktgen has finished: rates
  figures.py --file-prefix P --dir D --report     print the figures of both sides

The appliance is asked over telemetry. D has pktgen.result, what drive.lua wrote,
and rates.json, what --sample saw. --report exits 1 when the figures do not add up.
"""
import argparse
import json
import os
import sys
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "system"))

from lib.telemetry import Telemetry  # noqa: E402


def connect(args, timeout_s=5):
    base = "/var/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
    return Telemetry("%s/dpdk/%s/dpdk_telemetry.v2" % (base, args.file_prefix), timeout_s)


def result(args):
    """What drive.lua wrote until now."""
    try:
        with open(os.path.join(args.dir, "pktgen.result")) as lines:
            return dict(line.split() for line in lines)
    except FileNotFoundError:
        return {}


def wait(args):
    deadline = time.monotonic() + args.wait
    try:
        with connect(args, args.wait) as telemetry:
            while (telemetry("/phca/info") or {}).get("receiving") != "yes":
                if time.monotonic() > deadline:
                    sys.exit("figures.py: the appliance does not receive")
                time.sleep(0.1)
    except OSError as error:
        sys.exit("figures.py: no answer from the appliance: %s" % error)


def sample(args):
    """Rates of what the appliance received and used, twice a second."""
    deadline = time.monotonic() + args.sample
    rates, last = [], None
    with connect(args) as telemetry:
        while "done" not in result(args):
            if "error" in result(args) or time.monotonic() > deadline:
                sys.exit("figures.py: Pktgen: %s" % result(args).get("error", "no end"))
            now, verdicts = time.monotonic(), telemetry("/phca/verdicts")
            used = verdicts["verdict"]["direct"] + verdicts["verdict"]["offloaded"]
            if last and verdicts["rx_packets"] > last[1]:
                rates.append({"rx": (verdicts["rx_packets"] - last[1]) / (now - last[0]),
                              "used": (used - last[2]) / (now - last[0])})
            last = now, verdicts["rx_packets"], used
            time.sleep(0.5)
    with open(os.path.join(args.dir, "rates.json"), "w") as out:
        json.dump(rates, out)


def collect(args):
    """All figures of both sides."""
    with connect(args) as telemetry:
        # What is in the port and on the rings still drains.
        last = None
        for _ in range(50):
            verdicts, proxy = telemetry("/phca/verdicts"), telemetry("/phca/proxy")
            if verdicts == last and proxy["in_flight"] == 0:
                break
            last = verdicts
            time.sleep(0.1)
        qps = [telemetry("/phca/qp", qpn) for qpn in telemetry("/phca/qp")]
        for qp in qps:
            cq = telemetry("/phca/cq", qp["cq"])
            qp["noops"] = cq["noops"] + cq["noops_elided"]
        ethdev = telemetry("/ethdev/stats", 0)
    with open(os.path.join(args.dir, "rates.json")) as text:
        rates = json.load(text)
    # The first and last half second are not whole.
    whole = rates[1:-1] or rates
    mean = {key: sum(r[key] for r in whole) / len(whole) if whole else 0.0
            for key in ("rx", "used")}
    return {"pktgen": result(args), "verdicts": verdicts, "proxy": proxy, "qps": qps,
            "rate": mean, "missed_by_port": ethdev["imissed"] + ethdev["rx_nombuf"]}


def report(args):
    figures = collect(args)
    sent, verdicts = figures["pktgen"], figures["verdicts"]
    seconds = float(sent["tx_ms"]) / 1000
    print("pktgen     sent %s packets in %.1f s, %.2f Mpps; got back %s" % (
        sent["tx_packets"], seconds, int(sent["tx_packets"]) / seconds / 1e6, sent["rx_packets"]))
    print("appliance  received %d packets; while sending %.2f Mpps received, %.2f Mpps used" % (
        verdicts["rx_packets"], figures["rate"]["rx"] / 1e6, figures["rate"]["used"] / 1e6))
    print("           verdicts add up to %d, held %d, balanced: %s" % (
        verdicts["sum"], verdicts["rx_held"], verdicts["balanced"]))
    print("           " + ", ".join("%s %d" % item for item in verdicts["verdict"].items()
                                    if item[1]))
    print("\n     qpn type proxy       direct    offloaded    completed      no-ops     dropped"
          "  out of order")
    for qp in figures["qps"]:
        print("%#8x %-4s %-5s %12d %12d %12d %11d %11d  %s" % (
            qp["qpn"], qp["type"], qp["proxy"], qp["rx_direct"], qp["rx_offloaded"],
            qp["completed"], qp["noops"], qp["dropped"],
            qp.get("out_of_order", "not checked")))
    if args.json:
        with open(args.json, "w") as out:
            json.dump(figures, out, indent=2)
    return check(figures)


def check(figures):
    """0 when the figures add up."""
    wrong = []
    verdicts = figures["verdicts"]
    if verdicts["rx_packets"] != verdicts["sum"] + verdicts["rx_held"]:
        wrong.append("received packets are not the sum of verdicts")
    if verdicts["rx_packets"] == 0:
        wrong.append("the appliance received nothing")
    if verdicts["rx_packets"] > int(figures["pktgen"]["tx_packets"]) + 64:
        wrong.append("the appliance received more than Pktgen sent")
    for qp in figures["qps"]:
        if qp.get("out_of_order", 0):
            wrong.append("queue pair %#x: completions out of order" % qp["qpn"])
    for text in wrong:
        print("WRONG: " + text)
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file-prefix", required=True)
    parser.add_argument("--dir", required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--wait", type=float, metavar="SECONDS")
    what.add_argument("--sample", type=float, metavar="SECONDS")
    what.add_argument("--report", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    if args.wait:
        wait(args)
    elif args.sample:
        sample(args)
    else:
        sys.exit(report(args))


if __name__ == "__main__":
    main()
