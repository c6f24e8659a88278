#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The stage of the tests, to play on: lines of standard input are commands.

    COMMAND             in the guest
    here COMMAND        on this machine, in the segment's namespace
    box COMMAND         at the appliance's prompt

A guest's command that ends with "&" goes on while others run. The end of the input is the
end of it all."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import stage  # noqa: E402


def carry_out(s, line):
    """Run one line: its output."""
    first, _, rest = line.partition(" ")
    if first == "here":
        r = s.segment.namespace.run("sh", "-c", rest, check=False, timeout_s=600)
        return f"{r.stdout}exit status {r.returncode}"
    if first == "box":
        return s.box.do(rest).rstrip()
    if line.endswith("&"):
        s.guest.start(line[:-1])
        return "started"
    status, output = s.guest.run(line, check=False, timeout_s=600)
    return f"{output}\nexit status {status}"


def main():
    s = stage.Stage()
    try:
        print(f"namespace {s.segment.namespace.name}; commands:", flush=True)
        for line in sys.stdin:
            if line.strip():
                print(carry_out(s, line.strip()), flush=True)
    finally:
        s.close()


if __name__ == "__main__":
    main()
