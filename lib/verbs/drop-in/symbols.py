#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""From symbols.txt: the version script of libibverbs.so.1, and the code of those symbols
that are only there so that others load.

  symbols.py SYMBOLS_TXT OUT.map OUT.c
"""

import re
import sys

ALIAS = "phca_as_"      # of functions that only exist as another name's older version
REGISTER = "verbs_register_driver_"     # carries the number of its node


def parse(path):
    """(nodes, old, private): name -> [symbol], name -> [(symbol, kind)], numbers -> same."""
    nodes, old, private, here = {}, {}, {}, None
    for no, line in enumerate(open(path), 1):
        words = line.split("#", 1)[0].split(None, 1)
        if not words:
            continue
        word, rest = words[0], words[1].strip() if len(words) > 1 else ""
        if word == "node":
            here = nodes.setdefault(rest, [])
        elif word == "old":
            here = old.setdefault(rest, [])
        elif word == "private":
            here = private.setdefault(tuple(rest.split()), [])
        elif here is None:
            sys.exit(f"{path}:{no}: {word} is in no node")
        elif any(here is n for n in nodes.values()):
            here.append(word)
        else:
            here.append((word, rest))
    return nodes, old, private


def order(name):
    """Version nodes inherit from the one before them."""
    return [int(n) for n in re.findall(r"\d+", name)]


def version_script(nodes, private):
    text, before = [], ""
    for name in sorted(nodes, key=order):
        text.append(f"{name} {{\n\tglobal:\n" + "".join(f"\t\t{s};\n" for s in nodes[name]) +
                    ("" if before else f"\tlocal: {ALIAS}*;\n") + f"}}{before};\n")
        before = " " + name
    for numbers, symbols in private.items():
        for n in numbers:
            own = [REGISTER + n]
            if n == numbers[0]:
                own += [s for s, _ in symbols]
            text.append(f"IBVERBS_PRIVATE_{n} {{\n\tglobal:\n" +
                        "".join(f"\t\t{s};\n" for s in own) + f"}}{before};\n")
    return "\n".join(text)


BODY = {
    "int": "int {n}(void);\nint {n}(void)\n{{\n\terrno = EOPNOTSUPP;\n\treturn EOPNOTSUPP;\n}}\n",
    "ptr": "void *{n}(void);\nvoid *{n}(void)\n{{\n\terrno = EOPNOTSUPP;\n\treturn NULL;\n}}\n",
    "zero": "uint64_t {n}(void);\nuint64_t {n}(void)\n{{\n\treturn 0;\n}}\n",
    "void": "void {n}(void);\nvoid {n}(void)\n{{\n}}\n",
    "bool": "extern bool {n};\nbool {n};\n",
}


SOURCE = {"source": "int", "text": "const char *"}


def forward(name, local, kind):
    """A function of the sources, under another name."""
    returns, args = SOURCE[kind.split(None, 1)[0]], kind.split(None, 1)[1]
    types = args.split(",")
    params = ", ".join(f"{t.strip()} a{i}" for i, t in enumerate(types))
    call = ", ".join(f"a{i}" for i in range(len(types)))
    return (f"{returns} {name}({args});\n{returns} {local}({params});\n{returns} {local}({params})\n"
            f"{{\n\treturn {name}({call});\n}}\n")


def code(old, private):
    out = ["/* Made by symbols.py. */\n#include <errno.h>\n#include <stdbool.h>\n"
           "#include <stddef.h>\n#include <stdint.h>\n\nstruct ibv_context;\n"
           "#pragma GCC visibility push(default)\n"]

    def alias(local, name, node):
        out.append(f'__asm__(".symver {local}, {name}@{node}");\n')

    for node, symbols in old.items():
        for s, kind in symbols:
            local = f"{ALIAS}{s}_{node.replace('.', '_')}"
            out.append(BODY[kind].format(n=local))
            alias(local, s, node)
    for numbers, symbols in private.items():
        for n in numbers:
            out.append(BODY["void"].format(n=REGISTER + n))
            for s, kind in symbols:
                first = n == numbers[0]
                local = s if first else f"{ALIAS}{s}_{n}"
                if kind.split()[0] not in SOURCE:
                    out.append(BODY[kind].format(n=local))
                elif not first:
                    out.append(forward(s, local, kind))
                if not first:
                    alias(local, s, f"IBVERBS_PRIVATE_{n}")
    return "\n".join(out)


def main():
    nodes, old, private = parse(sys.argv[1])
    with open(sys.argv[2], "w") as f:
        f.write(version_script(nodes, private))
    with open(sys.argv[3], "w") as f:
        f.write(code(old, private))


main()
