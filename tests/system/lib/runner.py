# SPDX-License-Identifier: BSD-3-Clause
"""Run a file of system tests and print the line that scripts/test.sh counts."""

import os
import sys
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "common"))

_build = os.path.join(ROOT, "build")


def build_dir():
    """The build whose programs are tested."""
    return _build


def built(path):
    """A file of the build; its absence is a failure, not a skip."""
    full = os.path.join(_build, path)
    if not os.path.exists(full):
        raise FileNotFoundError(f"{full} is missing: run scripts/build.sh {_build}")
    return full


class _Result(unittest.TextTestResult):
    """Counts tests, not sub-tests, and says why one was skipped."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.bad = set()

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.bad.add(test.id())

    def addError(self, test, err):
        super().addError(test, err)
        self.bad.add(test.id())

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.bad.add(test.id())

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.bad.add(test.id())


def main():
    """argv: [build directory] [unittest options, names of tests]."""
    global _build
    args = sys.argv[1:]
    if args and os.path.isdir(args[0]):
        _build = os.path.abspath(args.pop(0))
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=_Result)
    program = unittest.main(module="__main__", argv=[sys.argv[0], *args], testRunner=runner,
                            exit=False)
    result = program.result
    for test, reason in result.skipped:
        print(f"skip {test.id()}: {reason}")
    skipped, failed = len(result.skipped), len(result.bad)
    # setUpClass may fail or skip before its tests are counted as run.
    passed = max(0, result.testsRun - failed - skipped)
    print(f"tests {passed} passed {failed} failed {skipped} skipped", flush=True)
    sys.exit(failed != 0)
