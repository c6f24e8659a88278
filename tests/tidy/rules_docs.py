# SPDX-License-Identifier: BSD-3-Clause
"""Rules on documentation: what it names exists, and what exists it names."""

import json
import os
import re

# Options of programs that are not ours and that the documentation may name.
FOREIGN = set("""
    --no-huge --no-pci --vdev --file-prefix --in-memory --lcores --main-lcore --socket-mem
    --proc-type --log-level --legacy-mem --telemetry --no-telemetry --huge-dir --single-file-segments
    --iova-mode --allow --block --version --help
    --pid --fork --mount-proc --ipc --net
    --print-errorlogs --test-args --verbose
    --forward-mode --no-recommends --buildtype --reconfigure --ff-only --rm --privileged
    --auto-start --total-num-mbufs --total-num-mbufs --rxq --txq --nb-cores --portmask --depth --branch
""".split())

DOCS = ("doc/", "lib/", "drivers/", "app/", "scripts/", "config/", "tests/")


def documents(tree):
    """Markdown below the folders that document, and that of the top."""
    return [n for n in tree.find("", ".md") if n.startswith(DOCS) or "/" not in n]


def _options_of_code(tree):
    """Options that a program, script or test of ours takes."""
    found = set()
    for name in tree.find("", ".c"):
        for table in re.findall(r"struct option\b[^;]*?\{(.*?)\n\s*\};", tree.text(name), re.S):
            found |= {"--" + o for o in re.findall(r'\{\s*"([\w-]+)"', table)}
    for name in tree.files:
        if name.endswith((".py", ".sh", ".lua")) or name.startswith(("scripts/", ".ci/")) \
                and not name.endswith(".md"):
            found |= set(re.findall(r"--[a-z][\w-]+", tree.text(name)))
    return found


def app_options(tree):
    """(option, file, line) of each entry in the program's option tables."""
    for name in tree.find("app/", ".c"):
        text = tree.text(name)
        for m in re.finditer(r"struct option\b[^;]*?\{(.*?)\n\s*\};", text, re.S):
            for o in re.finditer(r'\{\s*"([\w-]+)"', m.group(1)):
                pos = m.start(1) + o.start()
                yield "--" + o.group(1), name, text.count("\n", 0, pos) + 1


def options(tree):
    """Options that documents name exist, and the program's are documented."""
    known = _options_of_code(tree) | FOREIGN
    text = ""
    for name in documents(tree):
        text += tree.text(name)
        for no, line in tree.lines(name):
            for o in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", line):
                if o not in known:
                    yield name, no, f"no program of ours takes {o}: mend the text or add the option"
    for o, name, no in app_options(tree):
        if not re.search(rf"{o}(?![\w-])", text):
            yield name, no, f"document {o} in doc/"


def _doc_text(tree):
    return "\n".join(tree.text(n) for n in tree.find("doc/", ".md"))


def verdicts(tree):
    """Every verdict has its row in doc/, and the rows name verdicts that exist."""
    header = "lib/wire/phca_wire.h"
    if header not in tree.files:
        return
    text = tree.text(header)
    table = re.search(r"#define PHCA_VERDICTS\(X\)(?:[^\n]*\\\n)*[^\n]*", text)
    rows = list(re.compile(r'\bX\(\w+, "(\w+)", "').finditer(text, *table.span())) if table else []
    names = {m.group(1) for m in rows} - {"ok"}
    doc = _doc_text(tree)
    documented = set(re.findall(r"`(?:verdict\.)?(\w+)`", doc))
    for m in rows:
        if m.group(1) in names - documented:
            line = tree.text(header).count("\n", 0, m.start(1)) + 1
            yield header, line, f"document verdict `{m.group(1)}` in doc/counters.md"
    for name in tree.find("doc/", ".md"):
        for no, line in tree.lines(name):
            for v in re.findall(r"`verdict\.(\w+)`", line):
                if v not in names:
                    yield name, no, f"there is no verdict '{v}': see PHCA_VERDICTS in {header}"


def counters(tree):
    """Every row of a ..._COUNTERS or ..._GAUGES list is in doc/, with its name."""
    documented = set(re.findall(r"`([\w.]+)`", _doc_text(tree)))
    documented |= {d.split(".")[-1] for d in documented}
    for name in tree.find("", ".h", ".c"):
        text = tree.text(name)
        for m in re.finditer(r"#define \w*(?:COUNTERS|GAUGES)\(X\)((?:[^\n]*\\\n)*[^\n]*)", text):
            for row in re.finditer(r"\bX\((\w+)[,)]", m.group(1)):
                if row.group(1) not in documented:
                    line = text.count("\n", 0, m.start(1) + row.start()) + 1
                    yield name, line, f"document counter `{row.group(1)}` in doc/counters.md"


def _schema_keys(node, keys):
    """Names of all properties in a JSON schema."""
    if isinstance(node, dict):
        for k, v in node.get("properties", {}).items():
            keys.add(k)
        for v in node.values():
            _schema_keys(v, keys)
    elif isinstance(node, list):
        for v in node:
            _schema_keys(v, keys)


def config_keys(tree):
    """Every key of the configuration's schema is documented and read: by name, or as a row of
    the lists of lib/cc and lib/host, of which lib/config makes keys."""
    doc = _doc_text(tree)
    code = "\n".join(tree.text(n) for n in tree.find("lib/config/", ".c", ".h")
                     + tree.find("drivers/", ".c", ".h") + tree.find("lib/cc/", ".h") + tree.find("lib/host/", ".h"))
    for name in tree.find("config/", ".schema.json"):
        keys = set()
        try:
            _schema_keys(json.loads(tree.text(name)), keys)
        except ValueError:
            continue    # rule config_json names it
        for k in sorted(keys):
            pos = tree.text(name).find(f'"{k}"')
            line = tree.text(name).count("\n", 0, pos) + 1
            if not re.search(rf"(?<!\w){re.escape(k)}(?!\w)", doc):
                yield name, line, f"document key '{k}' in doc/configuration.md"
            if not re.search(rf'"{re.escape(k)}["\[]|\bX\((\w+, )?{re.escape(k)},', code):
                yield name, line, f"no code reads key '{k}': remove it from the schema"


def paths(tree):
    """Files that documents name, and links, exist."""
    tops = {n.split("/")[0] for n in tree.files if "/" in n}
    for name in documents(tree):
        folder = os.path.dirname(name)
        for no, line in tree.lines(name):
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", line):
                if "://" in target or target.startswith("mailto:"):
                    continue
                if not tree.exists(os.path.normpath(os.path.join(folder, target))):
                    yield name, no, f"the link's target {target} does not exist"
            for p in re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", line):
                if p.split("/")[0] in tops and not tree.exists(p) \
                        and not tree.exists(os.path.join(folder, p)):
                    yield name, no, f"`{p}` does not exist: mend the text"


def verbs(tree):
    """Every public function of the drop-in libibverbs has its place in doc/verbs.md."""
    symbols = "lib/verbs/drop-in/symbols.txt"
    if symbols not in tree.files:
        return
    text, public = _doc_text(tree), False
    for no, line in tree.lines(symbols):
        words = line.split("#", 1)[0].split()
        if len(words) > 1 and words[0] in ("node", "old", "private"):
            public = words[0] == "node"
        elif words and public and f"`{words[0]}`" not in text:
            yield symbols, no, f"{words[0]} is not in doc/verbs.md: say whether the device has it"


def changelog(tree):
    """CHANGELOG.md has an Unreleased section with entries."""
    if "CHANGELOG.md" not in tree.files:
        yield "CHANGELOG.md", 1, "keep a changelog (https://keepachangelog.com)"
        return
    m = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", tree.text("CHANGELOG.md"), re.S | re.M)
    if not m or not re.search(r"^- ", m.group(1), re.M):
        yield "CHANGELOG.md", 1, "list what users will notice under '## [Unreleased]'"


RULES = {f.__name__: f for f in (options, verdicts, counters, config_keys, paths, verbs, changelog)}
