# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Counting of test cases for scripts/test.sh, which sources this file.
# Wants $root (of the project) and $logs (an empty folder for output).
#
# A test program ends its output with "tests N passed N failed N skipped",
# which is what is counted. One that dies without that line is one failure; one
# that counts no failure and exits non-zero is one failure more, and so is one
# that ran nothing. A limit in seconds ends what hangs.

: "${root:?the folder of the project}" "${logs:?an empty folder for output}"

passed=0 failed=0 skipped=0 failures=()

finish() {
	if [ ${#failures[@]} -gt 0 ]; then
		echo
		echo "failed:"
		printf '  %s\n' "${failures[@]}"
	fi
	echo
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed = 0 ]
	exit
}

fail() { # name reason log
	failed=$((failed + 1))
	failures+=("$1: $2 (output: ${3#"$root"/})")
}

show() { # log: its end, enough to see what went wrong
	sed 's/^/    | /' "$1" | tail -n 120
}

# A step that is one test case: it passes when the command exits with 0.
step() { # name limit_s command...
	local name=$1 limit=$2 log=$logs/${1//[ \/]/-}.log rc begun=$SECONDS
	shift 2
	timeout -k 10 "$limit" "$@" >"$log" 2>&1
	rc=$?
	if [ $rc = 0 ]; then
		passed=$((passed + 1))
		echo "ok      $name ($((SECONDS - begun)) s)"
		return 0
	fi
	[ $rc != 124 ] || echo "stopped after ${limit} s" >>"$log"
	fail "$name" "exit status $rc" "$log"
	echo "FAILED  $name (exit status $rc)"
	show "$log"
	return 1
}

# A test program: its cases are counted from the line that it prints last.
program() { # name limit_s command...
	local name=$1 limit=$2 log=$logs/${1//[ \/]/-}.log rc counts p f s what begun=$SECONDS
	shift 2
	timeout -k 10 "$limit" "$@" >"$log" 2>&1
	rc=$?
	counts=$(grep -aoE '^tests [0-9]+ passed [0-9]+ failed [0-9]+ skipped$' "$log" | tail -n 1)
	if [ -z "$counts" ]; then
		what="exit status $rc, died without counting its tests"
		[ $rc != 124 ] || what="stopped after $limit s"
		fail "$name" "$what" "$log"
		echo "FAILED  $name ($what)"
		show "$log"
		return 1
	fi
	read -r _ p _ f _ s _ <<<"$counts"
	passed=$((passed + p)) skipped=$((skipped + s))
	if [ "$f" != 0 ]; then
		failed=$((failed + f))
		failures+=("$name: $f failed (output: ${log#"$root"/})")
	elif [ $rc != 0 ]; then
		fail "$name" "exit status $rc though no test failed" "$log"
		f=1
	elif [ "$((p + s))" = 0 ]; then
		fail "$name" "ran no test" "$log"
		f=1
	fi
	if [ "$f" != 0 ]; then
		echo "FAILED  $name ($p passed, $f failed, $s skipped, exit status $rc)"
		show "$log"
		return 1
	fi
	echo "ok      $name ($p passed, $s skipped, $((SECONDS - begun)) s)"
	# A skip says why.
	[ "$s" = 0 ] || grep -aiE '^ *skip' "$log" | sed 's/^/    | /'
	return 0
}

# Run steps and programs beside what follows; one at a time. What they print and
# count is kept until join.
beside() { # function arguments...
	rm -f "$logs/beside.counts"
	( # shellcheck disable=SC2030 # they go through the file
		passed=0 failed=0 skipped=0 failures=()
		"$@"
		{
			echo "$passed $failed $skipped"
			[ ${#failures[@]} = 0 ] || printf '%s\n' "${failures[@]}"
		} >"$logs/beside.counts"
	) >"$logs/beside.log" 2>&1 &
	beside_pid=$!
}

join() {
	local p f s more=()
	wait "$beside_pid"
	cat "$logs/beside.log"
	if [ ! -s "$logs/beside.counts" ]; then
		fail "what ran beside" "died without counting its tests" "$logs/beside.log"
		return 1
	fi
	{
		read -r p f s
		mapfile -t more
	} <"$logs/beside.counts"
	# shellcheck disable=SC2031
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s)) failures+=("${more[@]}")
}
