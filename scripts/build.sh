#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Set up and compile one build of proxyhca.
#
#   scripts/build.sh [kind] [builddir] [ninja target...]
#
# kind       what                                          default builddir
# (none)     release, gcc                                  build
# --debug    no optimization, assertions, debug symbols    build-debug
# --clang    release, clang                                build-clang
# --asan     AddressSanitizer and UBSan, clang (half of    build-asan
#            the time that gcc takes)
# --tsan     ThreadSanitizer, clang (gcc's refuses the     build-tsan
#            atomic_thread_fence of DPDK's headers)
# --fuzz     libFuzzer targets only, AddressSanitizer,     build-fuzz
#            clang
#
# CC and the usual meson variables are respected. JOBS limits ninja's jobs.
set -eu

die() {
	echo "build: $*" >&2
	exit 1
}

root=$(cd "$(dirname "$0")/.." && pwd)
kind=release dir='' targets=()
while [ $# -gt 0 ]; do
	case $1 in
	--debug | --asan | --tsan | --clang | --fuzz) kind=${1#--} ;;
	-h | --help)
		sed -n '4,19s/^# \{0,1\}//p' "$0"
		exit 0
		;;
	-*) die "unknown option $1 (known: --debug --asan --tsan --clang --fuzz --help)" ;;
	*) if [ -z "$dir" ]; then dir=$1; else targets+=("$1"); fi ;;
	esac
	shift
done

opts=() cc=${CC:-gcc}
case $kind in
release) ;;
debug) opts=(--buildtype=debug) ;;
clang) cc=${CC:-clang} ;;
asan) cc=${CC:-clang} opts=(--buildtype=debugoptimized '-Db_sanitize=address,undefined' -Db_lundef=false) ;;
tsan) cc=${CC:-clang} opts=(--buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false) ;;
fuzz) cc=${CC:-clang} opts=(--buildtype=debugoptimized '-Db_sanitize=address,undefined' -Db_lundef=false -Dfuzz=true) ;;
esac
# Shared libraries do not link with what libFuzzer asks of the compiler.
[ "$kind" != fuzz ] || [ ${#targets[@]} -gt 0 ] || targets=(fuzzers)
if [ -z "$dir" ]; then
	dir=$root/build
	[ "$kind" = release ] || dir=$root/build-$kind
fi

for tool in meson ninja "$cc"; do
	command -v "$tool" >/dev/null || die "$tool is missing; run scripts/deps.sh --test"
done
# A half-made build directory (interrupted setup) has no build.ninja: set it up.
if [ ! -e "$dir/build.ninja" ]; then
	CC=$cc meson setup "${opts[@]}" "$dir" "$root"
else
	# Test sources are found by a glob, which ninja does not look at again.
	meson setup --reconfigure "$dir" "$root" >/dev/null || die "meson refused $dir; remove it"
fi
ninja -C "$dir" ${JOBS:+-j "$JOBS"} "${targets[@]}"
