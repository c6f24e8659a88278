#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Run every test of proxyhca and end with one line:
#
#   N passed, N failed, N skipped
#
#   scripts/test.sh          all of it, under 15 minutes on two cores
#   scripts/test.sh --long   the stress and fuzz runs at full length
#
# Exit status: 0 when nothing failed, else 1. Needs no terminal and no input.
#
# Test cases are counted, not programs: see scripts/lib/count.sh. The output of
# what failed is printed; all of it is in build/test-logs.
set -u
exec </dev/null
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
logs=$root/build/test-logs
python=/usr/bin/python3
long=0
for arg in "$@"; do
	case $arg in
	--long) long=1 ;;
	*)
		echo "test: unknown option $arg (known: --long)" >&2
		exit 2
		;;
	esac
done
[ $long = 0 ] || export PHCA_TEST_LONG=1

# shellcheck source=scripts/lib/count.sh
. scripts/lib/count.sh

# The tests that a build directory knows, from its meson files: those of suite
# "stress", or the rest (but benchmarks), so that none is forgotten. "programs"
# are those of the rest that are no scripts: what a sanitizer can look into; "threads"
# those of them that have more than one.
meson_tests() { # builddir label stress|rest|programs|threads
	local dir=$1 label=$2 which=$3 name limit cmd found=0
	while IFS=$'\t' read -r name limit cmd; do
		found=1
		# cmd is quoted by shlex
		program "$label$name" "$limit" bash -c "cd '$dir' && exec $cmd"
	done < <("$python" - "$dir" "$which" <<-'END'
		import json, os, shlex, subprocess, sys
		longer = 12 if os.environ.get("PHCA_TEST_LONG") else 1
		out = subprocess.run(["meson", "introspect", "--tests", sys.argv[1]],
		                     stdout=subprocess.PIPE, check=True).stdout
		for t in json.loads(out):
		    suites = {s.split(":")[-1] for s in t["suite"]}
		    which = "bench" if "bench" in suites else "stress" if "stress" in suites else "rest"
		    if sys.argv[2] in ("programs", "threads") and "python" not in t["cmd"][0]:
		        if sys.argv[2] == "programs" or "one-thread" not in suites:
		            which = which.replace("rest", sys.argv[2])
		    if which != sys.argv[2]:
		        continue
		    env = ["env"] + [f"{k}={v}" for k, v in t["env"].items()]
		    print(t["name"], longer * (t["timeout"] or 300), shlex.join(env + t["cmd"]), sep="\t")
	END
	)
	if [ $found = 0 ]; then
		echo "no tests for '$which' in $dir" >"$logs/$label$which.log"
		fail "$label$which" "the build has no such tests" "$logs/$label$which.log"
	fi
}

rm -rf "$logs"
mkdir -p "$logs" || finish

# 1. What is needed, and the builds. Without the first nothing else can run.
step "deps" 900 scripts/deps.sh --test || finish
step "build gcc" 600 scripts/build.sh build || finish

# The builds for sanitizers, of what they look into only. Most tests of the release build have
# one busy thread: these take what is left of the CPUs.
# shellcheck disable=SC2317 # beside calls it
san_builds() {
	local kind target
	for kind in asan:checked tsan:checked-threads fuzz:fuzzers; do
		target=${kind#*:} kind=${kind%:*}
		step "build $kind" 900 nice -n 19 scripts/build.sh "--$kind" "build-$kind" "$target" &&
			touch "$logs/built-$kind"
	done
}
beside san_builds

# 2. The programs of the release build.
meson_tests build "" rest
meson_tests build "" stress

# 3. The house rules, and that their checker finds what it should.
program "tidy" 300 "$python" tests/tidy/tidy.py
program "tidy of tidy" 300 "$python" tests/tidy/test_tidy.py
join

# 4. Whole processes.
system_s=400
[ $long = 0 ] || system_s=3600
for t in tests/system/test_*.py; do
	name=${t##*/}
	program "system ${name%.py}" $system_s "$python" "$t" build
done

# 5. Against Linux Soft-RoCE, in a virtual machine.
interop_s=480
[ $long = 0 ] || interop_s=3600
program "interop" $interop_s "$python" tests/interop/test_softroce.py build

# 6. Sanitizers. UBSan must not go on after what it finds.
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=0
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
# Those of one sanitizer run beside those of the other: each test has one busy thread.
asan=0
[ ! -e "$logs/built-asan" ] || asan=1
if [ -e "$logs/built-tsan" ]; then
	[ $asan = 0 ] || beside meson_tests build-asan "asan " programs
	meson_tests build-tsan "tsan " threads
	[ $asan = 0 ] || join
	meson_tests build-tsan "tsan " stress
elif [ $asan = 1 ]; then
	meson_tests build-asan "asan " programs
fi

# An appliance that AddressSanitizer looks into, and clients that mean harm.
if [ $asan = 1 ]; then
	program "asan test_verbs_hostile" $system_s env PHCA_APPLIANCE_BUILD=build-asan \
		"$python" tests/system/test_verbs_hostile.py build
fi

# 7. Fuzz smoke: each target for some seconds, from a copy of its corpus,
# what is committed and what the build makes.
# The short run repeats itself: the same inputs each time, so that it fails for a
# reason that the change brought. What is new is looked for by --long.
fuzz_s=20 fuzz_how="-seed=1 -runs=100000"
[ $long = 0 ] || fuzz_s=300 fuzz_how=
fuzz() { # targets...
	local t name corpus seeds
	for t in "$@"; do
		name=${t##*/}
		corpus=$logs/corpus-$name
		mkdir -p "$corpus"
		for seeds in tests/fuzz/corpus build-fuzz/tests/fuzz/corpus; do
			[ ! -d "$seeds/$name" ] || cp -r "$seeds/$name/." "$corpus"
		done
		# shellcheck disable=SC2086
		step "$name" $((fuzz_s + 60)) "$t" $fuzz_how -max_total_time=$fuzz_s -timeout=5 \
			-artifact_prefix="$logs/$name-" "$corpus"
	done
}
if [ -e "$logs/built-fuzz" ]; then
	mapfile -t targets < <(find build-fuzz/tests -type f -executable -name 'fuzz-*' | sort)
	half=$(((${#targets[@]} + 1) / 2))
	beside fuzz "${targets[@]:0:half}"
	fuzz "${targets[@]:half}"
	join
fi

echo "all of it took $SECONDS s"
finish
