#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The test runner, phca_test.c: what it counts and how it exits.

    check_runner.py RUNNER_SAMPLE
"""
import subprocess
import sys

CASES = (
    # arguments, exit status, last line, a line that must be there
    (["pass."], 0, "tests 2 passed 0 failed 0 skipped", "ok   pass.two"),
    (["fail.many"], 1, "tests 0 passed 1 failed 0 skipped", "FAIL fail.many"),
    (["fail.fatal"], 1, "tests 0 passed 1 failed 0 skipped", "FAIL fail.fatal"),
    (["skip.reason"], 0, "tests 0 passed 0 failed 1 skipped",
     "SKIP skip.reason: no such hardware"),
    (["skip.after"], 1, "tests 0 passed 1 failed 0 skipped", "FAIL skip.after_failure"),
    (["empty."], 1, "tests 0 passed 1 failed 0 skipped",
     "FAIL empty.asserts_nothing: asserted nothing"),
    (["skip."], 1, "tests 0 passed 1 failed 1 skipped", "SKIP skip.reason: no such hardware"),
    (["-l"], 0, "die.aborts", "pass.one"),
    (["nothing so named"], 1, None, None),
    (["die."], -6, None, None),
)


def check(program, args, status, last, line):
    run = subprocess.run([program, *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                         text=True)
    lines = run.stdout.splitlines()
    counted = [x for x in lines if x.startswith("tests ")]
    ok = (run.returncode == status and (lines[-1:] or [None])[0] == last and
          (line is None or line in lines) and (last is not None or not counted))
    print("ok  " if ok else "FAIL", *args)
    if not ok:
        print(f"  exit status {run.returncode}, wanted {status}; last line wanted: {last}")
        print("  " + "\n  ".join(lines))
    return ok


def main():
    good = sum(check(sys.argv[1], *case) for case in CASES)
    print(f"tests {good} passed {len(CASES) - good} failed 0 skipped")
    return good != len(CASES)


if __name__ == "__main__":
    sys.exit(main())
