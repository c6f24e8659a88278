#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Proof that tidy's rules fire: a small tidy tree has no finding, and each
bad change to it is found by the rule that should find it, at its line."""

import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import ctext        # noqa: E402
import tidy         # noqa: E402

LICENCE = "SPDX-License-Identifier: BSD-3-Clause"
C = f"/* {LICENCE} */\n"
PY = f"# {LICENCE}\n"

HEADER = C + """/**
 * @file
 * Low things. Any thread.
 */
#ifndef PHCA_WIRE_H
#define PHCA_WIRE_H

#include <stdint.h>

#define PHCA_WIRE_MAX 3 /**< most low things */

/** What a packet became. */
#define PHCA_VERDICTS(X) \\
	X(OK, "ok", "on its way") \\
	X(ICRC, "icrc", "invariant CRC is wrong")

/** What is counted. */
#define PHCA_WIRE_COUNTERS(X) \\
	X(seen, "packets", "seen")

/** A low thing. */
struct phca_wire {
	uint32_t n; /**< how many */
};

/**
 * Add to a low thing.
 * @param low  the thing
 * @param n    how many, 0..3
 * @return how many there are
 */
uint32_t phca_wire_add(struct phca_wire *low, uint32_t n);
/** @return twice @p n; stands in a group. */
static inline uint32_t phca_wire_twice(uint32_t n) { return n * 2; }
static inline uint32_t phca_wire_thrice(uint32_t n) { return n * 3; }

#endif
"""

TOP_HEADER = C + """/** @file The top library. Control thread. */
#ifndef PHCA_TOP_H
#define PHCA_TOP_H
#include "phca_wire.h"

void phca_top_run(void); /**< run; control thread */

#endif
"""

LOW_C = C + """/* Low things are counted; the count never goes down. */
#include "phca_wire.h"

uint32_t phca_wire_add(struct phca_wire *low, uint32_t n)
{
	low->n += n;
	return low->n;
}
"""

SCHEMA = """{
    "type": "object",
    "additionalProperties": false,
    "properties": {"size": {"type": "integer"}}
}
"""

# A driver: what it does in a turn, and when it is made.
NULL_C = C + """/* Finishes at once: it keeps nothing. */
static void *take(unsigned int n)
{
	return calloc(n, 1);
}
static int null_submit(void)
{
	return GO;
}
static int null_init(void)
{
	return take(1) != NULL;
}
static const struct phca_offload_ops phca_offload_null = {
	.init = null_init, .submit = null_submit,
};
"""

GOOD = {
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n- Something new.\n",
    "README.md": "# Title\n\nSee [the counters](doc/counters.md), `lib/wire/low.c`.\n",
    "app/main.c": C + """/* The program: it reads its options, then runs the top library. */
#include <getopt.h>
#include "phca_top.h"
static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ NULL, 0, NULL, 0 }
};
""",
    "config/good.json": '{"size": 3}\n',
    "config/proxyhca.schema.json": SCHEMA,
    "doc/counters.md": "`verdict.icrc` and `wire.seen` count. Give `--config FILE`, with key `size`.\n",
    "drivers/meson.build": PY + "offload_drivers = ['null']\n",
    "drivers/offload/null/null.c": NULL_C.replace("GO", "0"),
    "lib/config/config.c": C + "/* Reads keys. Nothing is kept but the value. */\n"
                               'static const char key[] = "size";\n',
    "lib/config/meson.build": PY + "sources = files('config.c')\n",
    "lib/config/phca_config.h": TOP_HEADER.replace("TOP", "CONFIG").replace("top", "config"),
    "lib/config/README.md": "Reads files, on a control thread.\n",
    "lib/wire/README.md": "Low things. Any thread.\n",
    "lib/wire/low.c": LOW_C,
    "lib/wire/meson.build": PY + "sources = files('low.c')\n",
    "lib/wire/phca_wire.h": HEADER,
    "lib/meson.build": PY + "libraries = ['wire', 'top', 'config']\n",
    "lib/top/README.md": "The top. Control thread.\n",
    "lib/top/meson.build": PY + "sources = files('top.c')\ndeps = ['wire']\n",
    "lib/top/phca_top.h": TOP_HEADER,
    "lib/top/top.c": C + '/* Runs the low things, one after the other. */\n#include "phca_top.h"\n',
    "meson.build": PY + "executable('x', 'main.c')\n",
    "scripts/run.sh": f"#!/bin/bash\n# {LICENCE}\nset -eu\nif true; then\n\techo \"$1\"\nfi\n",
    "tests/unit/wire/test_low.c": C + """/* Low things add up: every public function is called once. */
#include "phca_wire.h"
#include "phca_top.h"
static void test_low(void)
{
	struct phca_wire low = { 0 };
	const char *driver = "null";

	ASSERT_EQ(phca_wire_add(&low, 2), 2);
	ASSERT_EQ(phca_wire_twice(2), phca_wire_thrice(0));
	phca_top_run();
	phca_config_run();
}
""",
    "tests/unit/wire/meson.build": PY + "sources = files('test_low.c')\n",
    "tests/unit/top/test_top.c": C + "/* The top is run by a test, in order. */\n",
    "tests/unit/top/meson.build": PY + "sources = files('test_top.c')\n",
    "tests/unit/config/test_config.c": C + "/* The reader is run by a test, in order. */\n",
    "tests/unit/config/meson.build": PY + "sources = files('test_config.c')\n",
}

LONG = "int f(void)\n{\n" + "\tg();\n" * 90 + "}\n"


def put(name, text, *more):
    """A change: the file has this text; and more changes."""
    def change(files):
        files[name] = text
        for m in more:
            m(files)
    return change


def edit(name, old, new):
    """A change: text in a file is replaced."""
    def change(files):
        assert old in files[name], (name, old)
        files[name] = files[name].replace(old, new, 1)
    return change


def drop(name):
    """A change: the file is not there."""
    return lambda files: files.pop(name)


def code(statement):
    """A change: a statement in the lowest library."""
    return edit("lib/wire/low.c", "\tlow->n += n;\n", f"\t{statement}\n\tlow->n += n;\n")


def test_code(statement):
    """A change: a statement in a test."""
    return edit("tests/unit/wire/test_low.c", "\tphca_top_run();\n", f"\t{statement}\n")


T = "TO" "DO"
# (rule, change, file, line, words of the message)
BAD = [
    ("spdx", put("lib/wire/low.c", LOW_C.replace(C, "")), "lib/wire/low.c", 1, "SPDX"),
    ("spdx", edit("scripts/run.sh", LICENCE, ""), "scripts/run.sh", 1, "SPDX"),
    ("whitespace", edit("README.md", "# Title", "# Title "), "README.md", 1, "white space"),
    ("whitespace", edit("README.md", "# Title", "# Title\r"), "README.md", 1, "LF"),
    ("whitespace", put("README.md", "# Title"), "README.md", 1, "newline"),
    ("line_length", code("/* " + "x" * 120 + " */"), "lib/wire/low.c", 7, "break the line"),
    ("file_length", put("lib/wire/low.c", LOW_C + "\n" * 900 + "int x;\n"), "lib/wire/low.c", 910,
     "split the file"),
    ("words", code(f"/* {T}: more */"), "lib/wire/low.c", 7, "issue"),
    ("words", edit("README.md", "See", "See /wo" "rk/main and"), "README.md", 3, "one machine"),
    ("shell", edit("scripts/run.sh", "if true; then", "if true"), "scripts/run.sh", 1, "syntax"),
    ("shell", edit("scripts/run.sh", '"$1"', "$1"), "scripts/run.sh", 5, "quote"),
    ("shell", put("scripts/no.sh", f"#!/bin/bash\n# {LICENCE}\n"), "scripts/no.sh", 1, "executable"),
    ("python", put("tests/x.py", PY + "def f(:\n"), "tests/x.py", 2, "syntax"),
    ("python", put("tests/x.py", "#!/usr/bin/env python3\n" + PY), "tests/x.py", 1, "scapy"),
    ("python", put("tests/x.py", PY + "def f():\n" + "    g()\n" * 90), "tests/x.py", 2, "split"),
    ("config_json", put("config/good.json", '{"size": 3,}\n'), "config/good.json", 1, "JSON"),
    ("config_json", put("config/good.json", '{\n"size": "x"\n}\n'), "config/good.json", 2, "$.size"),
    ("config_json", edit("config/proxyhca.schema.json", '"object"', '"thing"'),
     "config/proxyhca.schema.json", 1, "schema"),
    ("config_json", drop("config/proxyhca.schema.json"), "config/good.json", 1, "publish"),
    ("folders", drop("lib/wire/README.md"), "lib/wire/README.md", 1, "thread"),
    ("folders", drop("lib/wire/meson.build"), "lib/wire/meson.build", 1, "manifest"),
    ("folders", drop("lib/wire/phca_wire.h"), "lib/wire/phca_wire.h", 1, "public header"),
    ("folders", put("lib/new/x.c", C), "lib/meson.build", 1, "'new'"),
    ("folders", edit("lib/meson.build", "'wire'", "'wire', 'gone'"), "lib/meson.build", 1, "'gone'"),
    ("sources", edit("drivers/meson.build", "'null'", ""), "drivers/offload/null/null.c", 1,
     "meson.build"),
    ("sources", put("lib/wire/new.c", LOW_C), "lib/wire/new.c", 1, "meson.build"),
    ("sources", put("tests/unit/wire/test_new.c", LOW_C), "tests/unit/wire/test_new.c", 1,
     "meson.build"),
    ("layers", edit("lib/wire/low.c", '"phca_wire.h"', '"phca_top.h"'), "lib/wire/low.c", 3, "'top'"),
    ("layers", put("lib/wire/low_impl.h", '#include "../top/top_impl.h"\n'), "lib/wire/low_impl.h", 1,
     "private"),
    ("layers", edit("lib/meson.build", "'wire', 'top'", "'top', 'wire'"), "lib/top/meson.build", 3,
     "may not use"),
    ("tested", test_code(""), "lib/top/phca_top.h", 7, "phca_top_run() is in no test"),
    ("tested", test_code("/* phca_top_run */"), "lib/top/phca_top.h", 7, "is in no test"),
    ("tested", edit("tests/unit/wire/test_low.c", '"null"', '"x"'), "drivers/offload/null/null.c", 1,
     "'null'"),
    ("tested", drop("tests/unit/top/test_top.c"), "lib/top/meson.build", 1, "tests/unit/top"),
    ("headers_alone", edit("lib/wire/phca_wire.h", "#include <stdint.h>\n", ""), "lib/wire/phca_wire.h",
     23, "gcc says"),
    ("headers_alone", lambda files: [
        edit("lib/wire/phca_wire.h", "#include <stdint.h>", '#include "made.h"')(files),
        edit("lib/wire/meson.build", "sources", "configure_file(output: 'made.h')\nsources")(files)],
     "lib/wire/phca_wire.h", 9, "it makes made.h"),
    ("header_docs", edit("lib/wire/phca_wire.h", "/** A low thing. */\n", ""), "lib/wire/phca_wire.h",
     22, "struct phca_wire"),
    ("header_docs", edit("lib/wire/phca_wire.h", " /**< most low things */", ""), "lib/wire/phca_wire.h",
     11, "macro PHCA_WIRE_MAX"),
    ("header_docs", edit("lib/wire/phca_wire.h", "static inline uint32_t phca_wire_thrice",
                         "\nstatic inline uint32_t phca_wire_thrice"), "lib/wire/phca_wire.h", 37,
     "function phca_wire_thrice"),
    ("header_docs", edit("lib/wire/phca_wire.h", "@param n ", "@param m "), "lib/wire/phca_wire.h", 33,
     "no parameter 'm'"),
    ("header_docs", edit("lib/wire/phca_wire.h", "@file", ""), "lib/wire/phca_wire.h", 1, "@file"),
    ("assertions", test_code("CU_PASS(\"ran\");"), "tests/unit/wire/test_low.c", 12, "cannot fail"),
    ("assertions", test_code("CU_ASSERT(true);"), "tests/unit/wire/test_low.c", 12, "cannot fail"),
    ("assertions", test_code("CU_ASSERT_TRUE(1);"), "tests/unit/wire/test_low.c", 12, "cannot fail"),
    ("assertions", test_code("CU_ASSERT_EQUAL(n, n);"), "tests/unit/wire/test_low.c", 12,
     "cannot fail"),
    ("assertions", put("tests/x.py", PY + "assert True\n"), "tests/x.py", 2, "cannot fail"),
    ("function_length", put("lib/wire/low.c", LOW_C + LONG), "lib/wire/low.c", 10, "split f()"),
    ("data_path", put("drivers/offload/null/null.c", NULL_C.replace("GO", "take(1)")),
     "drivers/offload/null/null.c", 5, "take < null_submit"),
    ("data_path", put("drivers/offload/null/null.c", NULL_C.replace("GO", "run(take)")),
     "drivers/offload/null/null.c", 5, "calloc() on the data path"),
    ("data_path", put("drivers/offload/null/null.c", NULL_C.replace("GO", "run(take)").replace(
        ".submit =", ".rx_pkt_burst =")), "drivers/offload/null/null.c", 5, "calloc() on the data path"),
    ("data_path", put("drivers/offload/null/null.c", NULL_C.replace("GO", "phca_wire_add(0, 1)"),
                      code("RTE_LOG(NOTICE, X, s);")), "lib/wire/low.c", 7, "phca_wire_add"),
    ("tabs", edit("lib/wire/low.c", "\tlow->n", "        low->n"),
     "lib/wire/low.c", 7, "tabs"),
    ("tabs", edit("scripts/run.sh", "\techo", "    echo"), "scripts/run.sh", 5, "tabs"),
    ("file_idea", edit("lib/wire/low.c", "/* Low things are counted; the count never goes down. */\n",
                       ""), "lib/wire/low.c", 1, "idea"),
    ("typedefs", code("typedef struct phca_wire low_t;"), "lib/wire/low.c", 7, "typedef"),
    ("guards", edit("lib/wire/phca_wire.h", "#ifndef PHCA_WIRE_H\n", ""), "lib/wire/phca_wire.h", 1,
     "PHCA_WIRE_H"),
    ("options", edit("doc/counters.md", "--config", "--konfig"), "doc/counters.md", 1, "--konfig"),
    ("options", edit("doc/counters.md", "--config", "config"), "app/main.c", 6, "document --config"),
    ("verdicts", edit("doc/counters.md", "verdict.icrc", "verdict.icrx"), "doc/counters.md", 1,
     "'icrx'"),
    ("verdicts", edit("doc/counters.md", "`verdict.icrc`", "icrc"), "lib/wire/phca_wire.h", 16,
     "`icrc`"),
    ("counters", edit("doc/counters.md", "`wire.seen`", "seen"), "lib/wire/phca_wire.h", 20,
     "`seen`"),
    ("config_keys", edit("doc/counters.md", "`size`", "it"), "config/proxyhca.schema.json", 4,
     "document key"),
    ("config_keys", edit("lib/config/config.c", "size", "sizes"), "config/proxyhca.schema.json", 4,
     "no code reads"),
    ("paths", edit("README.md", "doc/counters.md", "doc/counter.md"), "README.md", 3, "link"),
    ("paths", edit("README.md", "low.c", "lower.c"), "README.md", 3, "lib/wire/lower.c"),
    ("verbs", put("lib/verbs/drop-in/symbols.txt", PY + "node IBVERBS_1.0\nibv_low\nibv_high\n",
                  edit("doc/counters.md", "count.", "count, `ibv_low` too.")),
     "lib/verbs/drop-in/symbols.txt", 4, "ibv_high"),
    ("changelog", edit("CHANGELOG.md", "- Something new.\n", ""), "CHANGELOG.md", 1, "Unreleased"),
]
for _names, _where, _mend in tidy.rules_c.BANNED:
    if "lib/wire/low.c".startswith(_where):
        BAD += [("banned", code(f"{_n}(low);"), "lib/wire/low.c", 7, _mend) for _n in _names]
    else:
        BAD += [("banned", edit("lib/config/config.c", "static", f"{_n}(x); static"),
                 "lib/config/config.c", 3, _mend) for _n in _names]


def findings(files, rule):
    """Write the tree and run one rule over it."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", newline="") as f:
                f.write(text)
            if name == "scripts/run.sh":
                os.chmod(path, 0o755)
        return tidy.check(tidy.Tree(root), rule)


def test_good_tree(rule):
    """The tidy tree has no finding."""
    found = findings(GOOD, rule)
    return "\n".join(found) if found else None


def test_bad_change(rule, change, name, line, word):
    """The change is found, at its place, with the mend."""
    files = dict(GOOD)
    change(files)
    found = findings(files, rule)
    want = f"{name}:{line}: {rule}: "
    if not any(f.startswith(want) and word.lower() in f.lower() for f in found):
        return f"wanted '{want}...{word}...', found: {found or 'nothing'}"
    return None


def test_not_code():
    """What stands in comments and strings is no code."""
    files = dict(GOOD)
    code('/* never strcpy(a, b) */ const char *s = "system(3); }";')(files)
    for rule in ("banned", "function_length", "tabs"):
        found = findings(files, rule)
        if found:
            return "\n".join(found)
    return None


def test_functions():
    """Functions are found with their extent, also behind attributes."""
    text = ('extern "C" {\nstatic int a(int x)\n{\n\tif (x) {\n\t}\n}\n}\n'
            "const struct s t[] = {\n\t{ 1 },\n};\n"
            "void\nb(int (*f)(void))\n{\n}\n#define M(x) do { x; } while (0)\n")
    got = [(n, first, last) for n, first, last, _ in ctext.functions(text)]
    return None if got == [("a", 2, 6), ("b", 11, 14)] else str(got)


def test_every_rule_has_a_bad_change():
    """A rule that no change here provokes could be dead."""
    missing = set(tidy.RULES) - {b[0] for b in BAD}
    return f"no bad change for {sorted(missing)}" if missing else None


def main():
    cases = [(f"good tree, {r}", test_good_tree, (r,)) for r in tidy.RULES]
    cases += [(f"bad change {i}, {b[0]} in {b[2]}", test_bad_change, b)
              for i, b in enumerate(BAD)]
    cases += [("not code", test_not_code, ()), ("functions", test_functions, ()),
              ("every rule has a bad change", test_every_rule_has_a_bad_change, ())]
    failed = 0
    for name, test, args in cases:
        why = test(*args)
        if why:
            failed += 1
            print(f"FAIL {name}: {why}")
    print(f"tests {len(cases) - failed} passed {failed} failed 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
