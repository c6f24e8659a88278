# SPDX-License-Identifier: BSD-3-Clause
"""Rules on any text: licence, white space, sizes, words, scripts, JSON."""

import ast
import json
import os
import re
import shutil
import subprocess

SOURCES = (".c", ".h", ".py", ".sh", ".lua", "meson.build")
BINARY = (".pcap", ".png", ".bin", ".o")
CORPUS = "tests/fuzz/"      # inputs that are wrong on purpose

LINE_MAX = 120
FUNCTION_MAX = 80
FILE_MAX = 900


def is_text(tree, name):
    return not (name.endswith(BINARY) or name.startswith(CORPUS) and not name.endswith(SOURCES)
                or b"\0" in tree.raw(name)[:4096])


def is_shell(tree, name):
    return name.endswith(".sh") or tree.raw(name)[:64].startswith((b"#!/bin/bash", b"#!/bin/sh"))


def spdx(tree):
    """Every source names its licence in its first three lines."""
    for name in tree.files:
        if name.endswith(SOURCES) or is_shell(tree, name):
            if "SPDX-License-Identifier: BSD-3-Clause" not in "\n".join(
                    tree.text(name).split("\n")[:3]):
                yield name, 1, "add SPDX-License-Identifier: BSD-3-Clause as the first comment"


def whitespace(tree):
    """No trailing white space, CR, or missing newline at the end."""
    for name in tree.files:
        if not is_text(tree, name):
            continue
        text = tree.text(name)
        for no, line in tree.lines(name):
            if line.endswith("\r"):
                yield name, no, "end lines with LF, not CR LF"
            elif line != line.rstrip():
                yield name, no, "remove the white space at the end of the line"
        if text and not text.endswith("\n"):
            yield name, text.count("\n") + 1, "end the file with a newline"
        if text.endswith("\n\n"):
            yield name, text.count("\n"), "remove the empty lines at the end of the file"


def line_length(tree):
    """No line of a source is longer than 120 columns."""
    for name in tree.files:
        if not (name.endswith(SOURCES) or is_shell(tree, name)):
            continue
        for no, line in tree.lines(name):
            columns = len(line.expandtabs(8))
            if columns > LINE_MAX:
                yield name, no, f"break the line: {columns} columns, at most {LINE_MAX}"


def file_length(tree):
    """No C file is longer than 900 lines, no other source than 1500."""
    for name in tree.files:
        if name.endswith(SOURCES):
            lines, limit = tree.text(name).count("\n"), FILE_MAX if name.endswith(".c") else 1500
            if lines > limit:
                yield name, lines, f"split the file by idea: {lines} lines, at most {limit}"


def words(tree):
    """Nothing is left to do, and no path of one machine is named."""
    later = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
    machine = re.compile(r"(?<![\w.<>{}$])(/wo" r"rk/|/tmp/w" r"t\b|/ro" r"ot/)")
    for name in tree.files:
        if not is_text(tree, name):
            continue
        for no, line in tree.lines(name):
            m = later.search(line)
            if m:
                yield name, no, f"do it now or file an issue; remove {m.group(1)}"
            m = machine.search(line)
            if m:
                yield name, no, f"{m.group(1)} exists on one machine; use a path relative to the project"


def shell(tree):
    """Shell scripts parse, and shellcheck has no complaint."""
    scripts = [n for n in tree.files if is_shell(tree, n)]
    checker = shutil.which("shellcheck")
    for name in scripts:
        r = subprocess.run(["bash", "-n", tree.path(name)], stderr=subprocess.PIPE, text=True)
        if r.returncode:
            yield name, 1, f"mend the syntax: {r.stderr.strip()}"
        if not os.access(tree.path(name), os.X_OK) and "/lib/" not in name:
            yield name, 1, "make the script executable (chmod +x)"
    if scripts and not checker:
        yield scripts[0], 1, "install shellcheck (scripts/deps.sh --test); it has to check this"
        return
    if not scripts:
        return
    r = subprocess.run([checker, "-x", "-f", "gcc", *[tree.path(n) for n in scripts]], cwd=tree.root,
                       stdout=subprocess.PIPE, text=True)
    for line in r.stdout.splitlines():
        m = re.match(r"(.*?):(\d+):\d+: \w+: (.*)", line)
        if m:
            yield os.path.relpath(m.group(1), tree.root), int(m.group(2)), m.group(3)


def python(tree):
    """Python compiles, with Debian's own interpreter, in short functions."""
    for name in tree.find("", ".py"):
        try:
            module = ast.parse(tree.text(name))
        except SyntaxError as e:
            yield name, e.lineno or 1, f"mend the syntax: {e.msg}"
            continue
        first = tree.text(name).split("\n", 1)[0]
        if first.startswith("#!") and first != "#!/usr/bin/python3":
            yield name, 1, "start with #!/usr/bin/python3: Debian's has scapy and jsonschema"
        for node in ast.walk(module):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                n = node.end_lineno - node.lineno + 1
                if n > FUNCTION_MAX:
                    yield (name, node.lineno,
                           f"split {node.name}(): {n} lines, at most {FUNCTION_MAX}")


def _key_line(text, key):
    """The line of a JSON key, for messages."""
    pos = text.find(f'"{key}"')
    return text.count("\n", 0, pos) + 1 if pos >= 0 else 1


def _parse(tree, name):
    """(data, None), or (None, finding) when the file is no JSON."""
    try:
        return json.loads(tree.text(name)), None
    except ValueError as e:
        return None, (name, getattr(e, "lineno", 1), f"mend the JSON: {e}")


def _against_schema(tree, name, data, schema_name, validator):
    """Where a configuration disagrees with the schema."""
    for e in validator.iter_errors(data):
        path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in e.absolute_path)
        keys = [p for p in e.absolute_path if isinstance(p, str)]
        yield (name, _key_line(tree.text(name), keys[-1]) if keys else 1,
               f"at ${path}: {e.message[:200]}; mend it or {schema_name}")


def config_json(tree):
    """Every JSON file parses; those in config/ agree with the schema there."""
    # Imported here: only this rule needs Debian's python3-jsonschema.
    import jsonschema
    schema_name = next(iter(tree.find("config/", ".schema.json")), None)
    validator = None
    if schema_name:
        schema, finding = _parse(tree, schema_name)
        if finding:
            yield finding
        else:
            kind = jsonschema.validators.validator_for(schema)
            try:
                kind.check_schema(schema)
                validator = kind(schema)
            except jsonschema.SchemaError as e:
                yield schema_name, 1, f"this is no valid JSON schema: {e.message}"
    for name in tree.find("", ".json"):
        if name.startswith(CORPUS) or "/bad" in name or name == schema_name:
            continue
        data, finding = _parse(tree, name)
        if finding:
            yield finding
        elif name.startswith("config/") and not schema_name:
            yield name, 1, "publish the schema of configurations as config/*.schema.json"
        elif name.startswith("config/") and validator:
            yield from _against_schema(tree, name, data, schema_name, validator)


RULES = {f.__name__: f for f in (
    spdx, whitespace, line_length, file_length, words, shell, python, config_json)}
