#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Install the Debian 12 packages that proxyhca needs and that are missing.
#
#   scripts/deps.sh          what building and the demo need
#   scripts/deps.sh --test   that, and what the test run needs
#   scripts/deps.sh --list [--test]   print the packages and exit
#
# Nothing is downloaded when nothing is missing. Installs as root, or with sudo.
set -eu

# The one list. Recommended packages are not installed, so each is named.
build_packages=(
	gcc libc6-dev meson ninja-build pkg-config     # the compiler and the build
	dpdk-dev libdpdk-dev                           # DPDK 22.11, its drivers and tools
	libbpf-dev libjansson-dev libisal-dev          # filters, configuration, iCRC
	clang llvm                                     # compile the filters
	libcunit1-dev libibverbs-dev                   # the tests are part of the build
	python3 python3-scapy                          # makes packets
	iproute2 procps                                # ip, sysctl
)
test_packages=(
	libclang-rt-14-dev                             # clang's TSan and libFuzzer
	tshark                                         # decodes our packets
	iputils-ping                                   # pings the appliance
	python3-jsonschema                             # checks config/ with its schema
	shellcheck                                     # checks the scripts
)

die() {
	echo "deps: $*" >&2
	exit 1
}

test=0 list=0
for arg in "$@"; do
	case $arg in
	--test) test=1 ;;
	--list) list=1 ;;
	-h | --help)
		sed -n '4,10s/^# \{0,1\}//p' "$0"
		exit 0
		;;
	*) die "unknown option $arg (known: --test, --list, --help)" ;;
	esac
done

packages=("${build_packages[@]}")
if [ $test = 1 ]; then
	packages+=("${test_packages[@]}")
fi
if [ $list = 1 ]; then
	printf '%s\n' "${packages[@]}"
	exit 0
fi

command -v dpkg-query >/dev/null || die "this is not Debian (no dpkg-query)." \
	"Install what corresponds to these packages of Debian 12: ${packages[*]}"

missing=()
for p in "${packages[@]}"; do
	# "ii" is installed and configured; anything else needs apt.
	state=$(dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null || true)
	case $state in
	ii*) ;;
	*) missing+=("$p") ;;
	esac
done
if [ ${#missing[@]} = 0 ]; then
	exit 0
fi

command -v apt-get >/dev/null || die "no apt-get to install: ${missing[*]}"
as_root=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || die "missing: ${missing[*]}." \
		"Run as root: apt-get install ${missing[*]}"
	as_root=(sudo)
	# Without a terminal sudo could only wait for a password that never comes.
	[ -t 0 ] || as_root=(sudo -n)
fi
# No question may stop the run: tshark asks whether others may capture.
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get
	-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -q)

echo "deps: installing ${missing[*]}"
"${apt[@]}" update ||
	die "apt-get update failed; check the network, /etc/apt/sources.list and that you may use sudo"
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null ||
	die "apt-get install failed for: ${missing[*]}." \
		"proxyhca needs Debian 12 (bookworm); this is $(sed -n 's/^PRETTY_NAME=//p' /etc/os-release)"
