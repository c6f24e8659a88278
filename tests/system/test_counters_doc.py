#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""doc/counters.md has every counter that the program has, with its unit and
meaning, and none that it has not."""

import os
import re
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import runner  # noqa: E402

ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| (.+) \|$")


def of_program():
    """(group, counter) -> (unit, meaning), as the program lists them."""
    exe = runner.built("app/proxyhca/dpdk-proxyhca")
    r = subprocess.run([exe, "--", "--list-counters"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    if r.returncode != 0:
        raise AssertionError(f"{exe} --list-counters: exit {r.returncode}\n{r.stderr}")
    rows = [line.split("\t") for line in r.stdout.splitlines() if line.count("\t") == 3]
    return {(g, n): (u, m) for g, n, u, m in rows}


def of_document():
    """The same, as doc/counters.md has it."""
    rows, group = {}, None
    with open(os.path.join(runner.ROOT, "doc", "counters.md"), encoding="utf-8") as f:
        for line in f:
            g = re.match(r"^Group `(\w+)`\.", line)
            row = ROW.match(line.rstrip("\n"))
            if g:
                group = g.group(1)
            elif line.startswith("## "):
                group = None    # a section without a group: drivers' own figures
            elif row and group:
                rows[group, row.group(1)] = (row.group(2), row.group(3))
    return rows


class Counters(unittest.TestCase):
    def test_document_has_what_the_program_has(self):
        program, document = of_program(), of_document()
        self.assertGreater(len(program), 100)
        for (group, name), (unit, meaning) in program.items():
            with self.subTest(group=group, counter=name):
                self.assertEqual(document.get((group, name)), (unit, meaning),
                                 f"doc/counters.md, group {group}: "
                                 f"| `{name}` | {unit} | {meaning} |")

    def test_document_has_nothing_else(self):
        self.assertEqual(set(of_document()) - set(of_program()), set())


if __name__ == "__main__":
    runner.main()
