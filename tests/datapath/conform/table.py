#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""doc/conformance.md from the program that checks the clauses.

    table.py PROGRAM --write DOC    run the ladders and write the table
    table.py PROGRAM --check DOC    is the table what a run gives?

A row is a ladder: its clause, what the clause says, and how it ended just now.
"""
import collections
import re
import subprocess
import sys

SUITES = collections.OrderedDict((
    ("ud_resp", "Unreliable datagram, responder"),
    ("ud_req", "Unreliable datagram, requester"),
    ("uc_resp", "Unreliable connection, responder"),
    ("uc_req", "Unreliable connection, requester"),
    ("rc_resp", "Reliable connection, responder"),
    ("rc_req", "Reliable connection, requester"),
    ("state", "States of a queue pair, its attributes and events"),
))

HEAD = """# Conformance

What the HCA does on the wire, held against the InfiniBand Architecture
Specification, volume 1 (chapter 9 the transport, 10 and 11 what consumers see;
A17 is the RoCEv2 annex). Each row is one ladder of `tests/datapath/conform`:
packets and work requests go in, the clock is a variable, and the test says what
must come out. A clause is given by its compliance number (C9-88) where that is
known, else by its section.

This page is written by `tests/datapath/conform/table.py` from a run of the
ladders; the test `conformance-doc` fails when a run gives something else.

    tests/datapath/conform/table.py build/tests/datapath/datapath-conform --write doc/conformance.md
"""


def natural(clause):
    """9.7.10 behind 9.7.9, C9-105 behind C9-88."""
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.findall(r"\d+|\D+", clause)]


def run(program, *args):
    return subprocess.run([program, *args], stdout=subprocess.PIPE, universal_newlines=True,
                          check=False).stdout.splitlines()


def clauses(program):
    """suite -> [(clause, test, what, why not)]."""
    found = {s: [] for s in SUITES}
    for line in run(program, "--list-clauses"):
        clause, test, what, *why = line.split("\t")
        found[test.split(".")[0]].append((clause, test, what, why[0] if why else None))
    return found


def endings(program):
    """test -> pass, fail; as the runner prints them."""
    words = {"ok": "pass", "FAIL": "fail", "SKIP": "skipped"}
    seen = {}
    for line in run(program):
        m = re.match(r"(ok|FAIL|SKIP) +([\w.]+)", line)
        if m:
            seen[m.group(2)] = words[m.group(1)]
    return seen


def table(program):
    found, ended = clauses(program), endings(program)
    rows = [r for s in found.values() for r in s]
    applied = [r for r in rows if r[3] is None]
    passed = sum(ended.get(r[1]) == "pass" for r in applied)
    out = [HEAD, f"{len(applied)} ladders: {passed} pass, {len(applied) - passed} do not; "
           f"{len(rows) - len(applied)} clauses do not apply.\n"]
    for suite, title in SUITES.items():
        if not found[suite]:
            continue
        out += [f"## {title}\n", "| Clause | What it says | Ladder | Status |", "| --- | --- | --- | --- |"]
        for clause, test, what, why in sorted(found[suite], key=lambda r: (natural(r[0]), r[1])):
            status = f"not applicable: {why}" if why else ended.get(test, "did not run")
            ladder = "-" if why else f"`{test}`"
            out.append(f"| {clause} | {what} | {ladder} | {status} |")
        out.append("")
    return "\n".join(out)


def main():
    if len(sys.argv) != 4 or sys.argv[2] not in ("--write", "--check"):
        sys.exit(__doc__)
    program, how, doc = sys.argv[1:]
    now = table(program)
    if how == "--write":
        with open(doc, "w", encoding="utf-8") as f:
            f.write(now)
        return
    with open(doc, encoding="utf-8") as f:
        then = f.read().splitlines()
    wrong = [f"- {x}" for x in then if x not in now.splitlines()]
    wrong += [f"+ {x}" for x in now.splitlines() if x not in then]
    if wrong or then != now.splitlines():
        print(f"{doc} is not what a run of the ladders gives; write it again:\n"
              f"    {sys.argv[0]} {program} --write {doc}", *wrong, sep="\n")
        print("tests 0 passed 1 failed 0 skipped")
        sys.exit(1)
    print("tests 1 passed 0 failed 0 skipped")


if __name__ == "__main__":
    main()
