#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The house rules that a program can check. Each rule is one test case.

  /usr/bin/python3 tests/tidy/tidy.py [--list] [--root DIR] [rule...]

Every finding is one line that names the mend: "file:line: rule: what to do".
The rules are in rules_*.py; tests/tidy/test_tidy.py proves that each of them
fires. Exit status 0 when the tree is tidy.
"""

import argparse
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rules_c          # noqa: E402
import rules_docs       # noqa: E402
import rules_layout     # noqa: E402
import rules_path       # noqa: E402
import rules_text       # noqa: E402

# Headers of DPDK, as they are there.
FOREIGN = ("drivers/net/sdk/",)

RULES = {}
for module in (rules_text, rules_layout, rules_c, rules_path, rules_docs):
    RULES.update(module.RULES)


class Tree:
    """The files of one source tree: those that git knows or would add."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self._text = {}
        self.files = sorted(n for n in self._git_files() or self._walk()
                            if not n.startswith(FOREIGN) or n.endswith(".md"))

    def _git_files(self):
        if not os.path.exists(os.path.join(self.root, ".git")):
            return None     # an archive, or a tree that a test made
        # The tree may belong to another user than the one who runs the tests.
        out = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co",
                              "--exclude-standard", "-z"],
                             cwd=self.root, stdout=subprocess.PIPE, check=True).stdout
        names = set(out.decode().split("\0")) - {""}
        return [n for n in names if os.path.isfile(os.path.join(self.root, n))]

    def _walk(self):
        for folder, dirs, names in os.walk(self.root):
            dirs[:] = [d for d in dirs if not d.startswith("build")
                       and d not in (".git", "__pycache__")]
            for n in names:
                yield os.path.relpath(os.path.join(folder, n), self.root)

    def path(self, name):
        return os.path.join(self.root, name)

    def exists(self, name):
        return os.path.exists(self.path(name))

    def raw(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def text(self, name):
        """The file as text; bytes that are no UTF-8 show as U+FFFD."""
        if name not in self._text:
            self._text[name] = self.raw(name).decode("utf-8", "replace")
        return self._text[name]

    def lines(self, name):
        """(line number, line) of a file, from 1."""
        return enumerate(self.text(name).split("\n"), 1)

    def find(self, under="", *suffixes):
        """Names of files below a folder that end in one of the suffixes."""
        return [n for n in self.files
                if n.startswith(under) and (not suffixes or n.endswith(suffixes))]


def check(tree, rule):
    """Findings of one rule, as text, sorted by place."""
    found = sorted(set(RULES[rule](tree)))
    return [f"{name}:{line}: {rule}: {mend}" for name, line, mend in found]


def main():
    parser = argparse.ArgumentParser(description="check the house rules")
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.join(here, "..", ".."))
    parser.add_argument("--list", action="store_true", help="list the rules")
    parser.add_argument("rule", nargs="*", help="only these rules")
    args = parser.parse_args()

    unknown = set(args.rule) - set(RULES)
    if unknown:
        parser.error(f"no rule {', '.join(sorted(unknown))}; --list shows them")
    if args.list:
        for name, rule in RULES.items():
            print(f"{name:12} {rule.__doc__.splitlines()[0]}")
        return 0

    tree = Tree(args.root)
    failed = 0
    rules = args.rule or list(RULES)
    for rule in rules:
        found = check(tree, rule)
        if found:
            failed += 1
            print("\n".join(found))
        print(f"{'FAIL' if found else 'ok  '} tidy.{rule}"
              + (f": {len(found)} to mend" if found else ""))
    print(f"tests {len(rules) - failed} passed {failed} failed 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
