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
#
# --test also unpacks Debian's kernel into build/kernel, for the virtual machine of
# tests/interop; it is not installed. PHCA_KERNEL_DIR names another place.
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
	perftest ibverbs-utils rdmacm-utils            # programs that use verbs
	ibverbs-providers                              # what those need to use Soft-RoCE
	qemu-system-x86 busybox-static                 # a virtual machine with Soft-RoCE
)
kernel_package=linux-image-amd64
kernel_dir=${PHCA_KERNEL_DIR:-$(dirname "$0")/../build/kernel}

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
		sed -n '4,13s/^# \{0,1\}//p' "$0"
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
kernel=0
if [ $test = 1 ] && ! [ -d "$kernel_dir/lib/modules" ]; then
	kernel=1
fi
if [ ${#missing[@]} = 0 ] && [ $kernel = 0 ]; then
	exit 0
fi

command -v apt-get >/dev/null || die "no apt-get to install: ${missing[*]}"
install=() as_root=()
[ ${#missing[@]} = 0 ] || install=(apt-get install "${missing[@]}")
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || die "missing: ${missing[*]:-a kernel in $kernel_dir}." \
		"Run as root: ${install[*]:-$0 --test}"
	as_root=(sudo)
	# Without a terminal sudo could only wait for a password that never comes.
	[ -t 0 ] || as_root=(sudo -n)
fi
# No question may stop the run: tshark asks whether others may capture.
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get
	-o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -q)

echo "deps: installing ${missing[*]:-nothing but a kernel for a virtual machine}"
"${apt[@]}" update ||
	die "apt-get update failed; check the network, /etc/apt/sources.list and that you may use sudo"
if [ ${#missing[@]} != 0 ]; then
	"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null ||
		die "apt-get install failed for: ${missing[*]}." \
			"proxyhca needs Debian 12 (bookworm); this is $(sed -n 's/^PRETTY_NAME=//p' /etc/os-release)"
fi
if [ $kernel = 0 ]; then
	exit 0
fi

# The package of that name only depends on that of the newest kernel. Unpacked beside its
# place and then moved, so that what is there is complete. Nobody else can write there, so
# apt must not change to its own user.
package=$(apt-cache depends --important "$kernel_package" | sed -n '/Depends: /{s/.*: *//p;q}')
[ -n "$package" ] || die "apt-cache names no package that $kernel_package depends on"
echo "deps: unpacking $package into $kernel_dir"
rm -rf "$kernel_dir" "$kernel_dir.part"
mkdir -p "$kernel_dir.part/deb"
(cd "$kernel_dir.part/deb" &&
	apt-get -o Acquire::Retries=3 -o APT::Sandbox::User=root -q download "$package") ||
	die "apt-get download failed for $package; check the network"
dpkg-deb -x "$kernel_dir.part"/deb/*.deb "$kernel_dir.part"
rm -r "$kernel_dir.part/deb"
mv "$kernel_dir.part" "$kernel_dir"
