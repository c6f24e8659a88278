#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The main job, on a bare Debian 12: install what is missing, build, make RoCEv2
# requests for ten queue pairs (plain ones and proxy QPs whose eBPF filters match
# some), replay them through a DPDK port that needs no hardware, run the appliance
# on its built-in configuration for some seconds, and check its figures.
#
#   scripts/demo.sh [SECONDS]          5 by default
#
# Exits with 0 only when the figures add up: received packets are the sum of the
# verdicts; on every QP each message was executed or offloaded, each executed one
# completed, each offloaded one left a no-op, nothing came out of order; every
# buffer is back.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
seconds=${1:-5}
case $seconds in
'' | *[!0-9]* | 0) echo "demo: SECONDS is a number from 1, not '$seconds'" >&2; exit 2 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '\n== %s\n' "$*"; }

say "Packages"
"$root/scripts/deps.sh"

say "Build"
JOBS=${JOBS:-$(nproc)} "$root/scripts/build.sh" > "$work/build.log" 2>&1 || {
	tail -n 40 "$work/build.log" >&2
	echo "demo: the build failed" >&2
	exit 1
}
app=$root/build/app/proxyhca/dpdk-proxyhca
echo "$app: $("$app" --version 2>/dev/null | tail -n 1)"

# QPNs, addresses and filters are those of config/demo.json. 1 % of the packets have
# a wrong iCRC, 0.5 % a wrong Q_Key.
say "Traffic: 8192 RoCEv2 packets, UD SEND and UC SEND, SEND_IMM, of one to three packets"
/usr/bin/python3 "$root/scripts/pktgen/make_pcap.py" -o "$work/demo.pcap" -n 8192 --seed 1 \
	--src-mac 02:00:00:00:00:02 --dst-mac 02:00:00:00:00:01 \
	--src-ip 192.0.2.2 --dst-ip 192.0.2.1 --qkey 0x11111111 --mtu 4096 \
	--flow "qpn=0x11,0x13,0x14 transport=UD op=SEND,SEND_IMM size=64,512" \
	--flow "qpn=0x12 transport=UD size=100 weight=0.3" \
	--flow "qpn=0x21,0x22,0x24-0x26 transport=UC op=SEND,SEND_IMM size=64,700,1500,9000" \
	--flow "qpn=0x23 transport=UC size=64,256 match=0.5 match-key=0000000000000002" \
	--error icrc=0.01 --error qkey=0.005

# One HCA lcore and one proxy lcore, each on a CPU of its own where there are two.
lcores='0@0,1@1'
[ "$(nproc)" -ge 2 ] || lcores='0@0,1@0'
cmd=("$app" --lcores "$lcores" --no-huge -m 512 --no-pci --no-telemetry
	--file-prefix "phca-demo-$$" --log-level lib.eal:warning
	--vdev "net_pcap0,rx_pcap=$work/demo.pcap,tx_pcap=/dev/null,infinite_rx=1"
	-- --duration "$seconds")
say "Run for $seconds s, the built-in configuration (config/demo.json)"
echo "${cmd[*]}"
echo
# The port offers packets as fast as the HCA lcore takes them; what receive queues
# and windows cannot hold is dropped and counted, as UD and UC do.
set +e
XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$work} "${cmd[@]}" < /dev/null 2>&1 | tee "$work/run.log"
status=${PIPESTATUS[0]}
set -e

say "Do the figures add up?"
[ "$status" = 0 ] || { echo "demo: FAILED: the appliance left with status $status" >&2; exit 1; }
awk '
function bad(what) { print "wrong: " what; failed++ }
/^  [a-z0-9_]+ +[0-9]+ packets  / { sum += $2 }
/^  received [0-9]+, verdicts/ { received = $2 + 0; held = $6 + 0; seen_sum++ }
/^  0x[0-9a-f]+ / {
	# QPN name type state proxy messages direct offloaded completed waited no-ops dropped out-of-order
	name = $2; proxy = $5; messages = $6; direct = $7; offloaded = $8; completed = $9; noops = $11; order = $13
	qps++; total_order += order; total_direct += direct; total_offloaded += offloaded; dropped += $12
	if (messages == 0) bad(name ": no message")
	if (messages != direct + offloaded) bad(name ": messages " messages \
		" != direct + offloaded " direct + offloaded)
	if (completed != direct) bad(name ": direct " direct " != completed " completed)
	if (proxy == "yes" && noops != offloaded) bad(name ": offloaded " offloaded " != no-ops " noops)
	if (proxy == "no" && offloaded != 0) bad(name ": a plain QP offloaded " offloaded)
	if (order != "-" && order != 0) bad(name ": out of order " order)
	if (name == "uc-all" && direct != 0) bad(name ": direct " direct " though everything matches")
	if (name == "uc-none" && offloaded != 0) bad(name ": offloaded " offloaded " though nothing matches")
	if (name ~ /^(uc-size|uc-key|uc-mixed)$/ && (direct == 0 || offloaded == 0))
		bad(name ": direct " direct ", offloaded " offloaded "; some of each expected")
}
/^mbufs leaked: / { leaked = $3; seen_leak++ }
END {
	if (qps != 10) bad(qps + 0 " QPs shown, 10 configured")
	if (!seen_sum || received == 0) bad("nothing received")
	if (sum + held != received) bad("received " received " != sum of verdicts " sum " + held " held)
	if (!seen_leak || leaked != 0) bad("buffers leaked: " leaked)
	printf "%d packets received, %d by verdict, %d of a message not complete; ", received, sum, held
	printf "%d messages direct, %d offloaded, ", total_direct, total_offloaded
	printf "%d out of order, %d dropped\n", total_order, dropped
	if (failed) { print "demo: FAILED"; exit 1 }
	print "demo: OK"
}' "$work/run.log"
