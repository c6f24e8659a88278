#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Send RoCEv2 traffic to the appliance from Pktgen-DPDK, another process, and
# print the figures of both sides.
#
#   PKTGEN=/path/to/pktgen scripts/pktgen/run.sh [option...]
#
#   --transport T    memif      net_memif, shared memory (default)
#                    memif-zc   net_memif with zero copy
#                    veth       net_af_packet on both ends of a veth pair (root)
#   --seconds N      how long to send (5)
#   --count N        send N packets, then stop (0: for --seconds)
#   --rate PERCENT   of the link's speed: memif 100 Gb/s, veth 10 Gb/s (100)
#   --large yes      the pcap has frames longer than 1518 bytes (memif only: Pktgen
#                    cannot send them over af_packet)
#   --pcap FILE      what to send (default: made by make_pcap.py to fit the config)
#   --config FILE    the appliance's configuration (scripts/pktgen/appliance.json)
#   --app FILE       the appliance (build/app/proxyhca/dpdk-proxyhca)
#   --app-eal TEXT   its EAL options ("--lcores 0@0,1@1 --no-huge -m 1024")
#   --app-args TEXT  its own options (none)
#   --pktgen-lcores  Pktgen's EAL --lcores ("0@0,1@0": all of it on CPU 0)
#   --json FILE      write the figures as JSON too
#   --keep DIR       keep logs, pcap and figures in DIR
#
# Pktgen is not part of Debian nor of this project; doc/pktgen.md says which
# version fits. It needs 700 MB of free huge pages and runs on a pseudo-terminal
# that script(1) makes. Exit status 0 when both sides ran and the appliance's
# verdicts add up to what it received.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

die() {
	echo "run.sh: $*" >&2
	exit 1
}

transport=memif seconds=5 count=0 rate=100 large=no pcap='' json='' keep=''
config=$here/appliance.json
app=$root/build/app/proxyhca/dpdk-proxyhca
app_eal='--lcores 0@0,1@1 --no-huge -m 1024'
app_args='' pktgen_lcores=0@0,1@0
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help)
		sed -n '4,31s/^# \{0,1\}//p' "$0"
		exit 0
		;;
	--transport | --seconds | --count | --rate | --large | --pcap | --config | --app | --app-eal | \
		--app-args | --pktgen-lcores | --json | --keep)
		[ $# -gt 1 ] || die "$1 needs a value"
		name=${1#--}
		declare "${name//-/_}=$2"
		shift
		;;
	*) die "unknown option $1 (--help shows them)" ;;
	esac
	shift
done

[ -x "${PKTGEN:-}" ] || die "PKTGEN does not name an executable; see doc/pktgen.md"
[ -x "$app" ] || die "$app is missing; run scripts/build.sh, or give --app"
command -v script >/dev/null || die "script is missing; install bsdutils"
free_mb=$(awk '/HugePages_Free/ {n = $2} /Hugepagesize/ {print int(n * $2 / 1024)}' /proc/meminfo)
[ "$free_mb" -ge 700 ] || die "$free_mb MB of huge pages are free, Pktgen needs 700;" \
	"as root: echo 512 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

work=${keep:-$(mktemp -d /tmp/phca-pktgen.XXXXXX)}
mkdir -p "$work"
work=$(cd "$work" && pwd)
rm -f "$work"/pktgen.result "$work"/rates.json "$work"/memif.sock
prefix=phca-pktgen-$$
app_pid='' pktgen_pid='' veth=''

cleanup() {
	trap - EXIT INT TERM
	[ -z "$pktgen_pid" ] || kill "$pktgen_pid" 2>/dev/null || true
	[ -z "$app_pid" ] || kill -INT "$app_pid" 2>/dev/null || true
	wait
	[ -z "$veth" ] || ip link del "$veth" 2>/dev/null || true
	[ -n "$keep" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

if [ -z "$pcap" ]; then
	pcap=$work/roce.pcap
	/usr/bin/python3 "$here/make_pcap.py" -o "$pcap" -n 2560 --summary "$work/pcap.json" \
		--size 64 \
		--flow "qpn=0x10-0x17 op=SEND" \
		--flow "qpn=0x20-0x27 op=SEND,SEND_IMM match=0.25 match-key=0afe000100000001" \
		--flow "qpn=0x30-0x37 transport=UD qkey=0x1234 match=0.5 match-size=256"
fi
pcap=$(readlink -f "$pcap")

# Both ends of the link. The appliance's MAC address is the one in the pcap.
mac=02:00:00:00:00:01
case $transport in
memif | memif-zc)
	socket=id=0,socket=$work/memif.sock,socket-abstract=no
	# A packet in several memif buffers is torn at times when the ring is full.
	[ "$large" = no ] || socket=$socket,bsize=8192
	pktgen_dev=net_memif0,role=client,$socket
	app_dev=net_memif0,role=server,mac=$mac,$socket
	pktgen_mem=''
	if [ "$transport" = memif-zc ]; then
		pktgen_dev=$pktgen_dev,zero-copy=yes
		pktgen_mem=--single-file-segments
	fi
	;;
veth)
	[ "$large" = no ] || die "--large needs memif"
	veth=phcapg$((RANDOM % 1000))
	dut=${veth/phcapg/phcadut}
	ip link add "$veth" mtu 9000 type veth peer name "$dut" mtu 9000 address $mac
	for end in "$veth" "$dut"; do
		sysctl -q -w "net.ipv6.conf.$end.disable_ipv6=1" || true
		ip link set "$end" up
	done
	# Frames hold 4096 bytes of payload with all headers, fit the buffers of both
	# sides, and divide the block: the driver takes them as contiguous.
	af=qdisc_bypass=1,blocksz=65536,framesz=8192,framecnt=1024
	pktgen_dev=net_af_packet0,iface=$veth,$af
	app_dev=net_af_packet0,iface=$dut,$af
	pktgen_mem=''
	;;
*) die "transport $transport is none of memif, memif-zc, veth" ;;
esac

# shellcheck disable=SC2086 # the option strings are lists of words
"$app" $app_eal --no-pci --file-prefix "$prefix" --vdev "$app_dev" -- \
	--config "$config" $app_args >"$work/app.log" 2>&1 </dev/null &
app_pid=$!
figures() { /usr/bin/python3 "$here/figures.py" --file-prefix "$prefix" --dir "$work" "$@"; }
figures --wait 20 || {
	tail -n 40 "$work/app.log"
	die "the appliance did not start"
}

jumbo=''
[ "$large" = no ] || jumbo=-j

# Pktgen looks for Pktgen.lua beside itself, in its source tree.
lua_path=$(dirname "$PKTGEN")
while [ "$lua_path" != / ] && [ ! -e "$lua_path/Pktgen.lua" ]; do
	lua_path=$(dirname "$lua_path")
done
[ -e "$lua_path/Pktgen.lua" ] || die "Pktgen.lua is in no folder above $PKTGEN"
export PKTGEN_SECONDS=$seconds PKTGEN_COUNT=$count PKTGEN_RATE=$rate
export PKTGEN_RESULT=$work/pktgen.result
(
	cd "$lua_path"
	exec script -qec "$PKTGEN --lcores $pktgen_lcores --no-pci --in-memory -m 512 $pktgen_mem \
		--file-prefix $prefix-gen --vdev $pktgen_dev -- \
		-P $jumbo -m 1.0 -s 0:$pcap -f $here/drive.lua" "$work/pktgen.log"
) </dev/null >/dev/null 2>&1 &
pktgen_pid=$!
figures --sample "$((seconds + 60))" || die "Pktgen did not finish; see --keep and pktgen.log"
wait "$pktgen_pid" || die "Pktgen failed; see --keep and pktgen.log"
pktgen_pid=''
figures --report ${json:+--json "$json"}
