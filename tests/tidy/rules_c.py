# SPDX-License-Identifier: BSD-3-Clause
"""Rules on C: headers, documentation, functions, banned calls, assertions."""

import os
import re
import shutil
import subprocess
import tempfile

import ctext
import rules_layout
import rules_text

LIBRARY = ("lib/", "drivers/")
ANY = ("",)

# What is banned, where, and what to use instead. Names are called functions.
BANNED = (
    (("strcpy", "strcat", "strncpy", "strncat", "stpcpy"), ANY, "use rte_strscpy() or snprintf()"),
    (("sprintf", "vsprintf"), ANY, "use snprintf() and check what it returns"),
    (("gets",), ANY, "use fgets()"),
    (("atoi", "atol", "atoll", "atof"), ANY, "use strtoul() and check errno and the end"),
    (("strtok",), ANY, "use strtok_r() or strsep()"),
    (("sscanf", "scanf"), ("lib/config/", "lib/net/", "drivers/", "app/"),
     "parse with strtoul() and check errno and the end"),
    (("alloca",), ANY, "use a fixed array or an allocation at create time"),
    (("rand", "random", "srand", "srandom", "drand48"), ANY,
     "use a seeded generator of the object's own, so that a run can be repeated"),
    (("system", "popen"), ANY, "call the library; in a test use tests/system"),
    (("printf", "vprintf", "puts", "putchar", "perror"), LIBRARY,
     "use RTE_LOG() with the library's log type, or write to a FILE * of the caller's"),
    (("exit", "_exit", "abort", "rte_exit"), LIBRARY,
     "return an error; a broken invariant is rte_panic() with the state"),
    (("rte_reorder_insert", "rte_reorder_create"), ANY,
     "use the serializer of lib/proxy: rte_reorder loses packets when its window shifts"),
    (("rte_net_crc_calc",), ANY, "use phca_wire_icrc(): rte_net_crc takes no seed"),
    (("RTE_LOG_LINE",), ANY, "use RTE_LOG(): RTE_LOG_LINE is not in DPDK 22.11"),
    (("json_unpack",), ANY, "use json_unpack_ex() with JSON_STRICT, which refuses unknown keys"),
    (("signal",), ANY, "use sigaction()"),
)


def banned(tree):
    """No call that has a safer or better replacement."""
    table = {}
    for names, where, mend in BANNED:
        for n in names:
            table[n] = (where, mend)
    call = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(map(re.escape, table)))
    for name in tree.find("", ".c", ".h"):
        text = ctext.blank(tree.text(name))
        for m in call.finditer(text):
            where, mend = table[m.group(1)]
            if name.startswith(where):
                yield name, ctext.line_of(text, m.start()), f"{m.group(1)}() is banned here: {mend}"


def assertions(tree):
    """No assertion that cannot fail."""
    constant = r"(?:true|false|1|0|NULL|True|None|\"[^\"]*\")"
    c = re.compile(r"\bCU_PASS\b"
                   rf"|\b(?:CU_)?(?:ASSERT|TEST)\w*\s*\(\s*{constant}\s*\)"
                   r"|\bCU_ASSERT\w*_EQUAL\w*\s*\(\s*(?P<x>[\w.>-]+)\s*,\s*(?P=x)\s*[,)]")
    py = re.compile(rf"^\s*assert\s+{constant}\s*(,|$)|assertTrue\(\s*True\s*\)"
                    r"|assertEqual\(\s*(?P<x>[\w.]+)\s*,\s*(?P=x)\s*\)")
    for name in tree.find("tests/", ".c", ".h", ".py"):
        if name.startswith("tests/tidy/"):
            continue    # its tests hold bad code on purpose
        text = tree.text(name)
        code = ctext.blank(text, strings=False) if not name.endswith(".py") else text
        for no, line in enumerate(code.split("\n"), 1):
            if (py if name.endswith(".py") else c).search(line):
                yield name, no, "this cannot fail: assert what the code under test did"


def function_length(tree):
    """No C function is longer than 80 lines."""
    limit = rules_text.FUNCTION_MAX
    for name in tree.find("", ".c", ".h"):
        for fn, first, last, _ in ctext.functions(tree.text(name)):
            if last - first + 1 > limit:
                yield (name, first, f"split {fn}() into named steps: {last - first + 1} lines, "
                       f"at most {limit}")


def tabs(tree):
    """C and shell are indented with tabs."""
    for name in tree.find("", ".c", ".h", ".sh"):
        text = tree.text(name)
        code = ctext.blank(text) if not name.endswith(".sh") else text
        in_here = None
        for no, line in enumerate(code.split("\n"), 1):
            if name.endswith(".sh"):
                if in_here:
                    in_here = None if line.strip() == in_here else in_here
                    continue
                m = re.search(r"<<-?\s*['\"]?(\w+)['\"]?", line)
                in_here = m.group(1) if m else None
            if re.match(r" {2,}\S", line) or re.match(r" +\t", line):
                yield name, no, "indent with tabs"


def file_idea(tree):
    """Each C file starts with a comment that tells its one idea."""
    for name in tree.find("", ".c"):
        head = tree.text(name).split("#include", 1)[0]
        comment = re.sub(r"/\*\s*SPDX[^*]*\*/", "", head)
        comment = re.sub(r"^\s*\*?\s*(SPDX|Copyright).*$", "", comment, flags=re.M)
        m = re.search(r"/\*(.*?)\*/", comment, re.S)
        if not m or len(m.group(1).split()) < 5:
            yield name, 1, "tell the file's one idea, and the invariant it keeps, in a comment at the top"


def typedefs(tree):
    """Structs have no typedef."""
    for name in tree.find("", ".c", ".h"):
        text = ctext.blank(tree.text(name))
        for m in re.finditer(r"\btypedef\s+(struct|union|enum)\b[^;(]*?[{;]", text):
            yield name, ctext.line_of(text, m.start()), f"use '{m.group(1)} name', without a typedef"


def guards(tree):
    """Headers are guarded by a macro named after them."""
    for name in tree.find("", ".h"):
        want = re.sub(r"\W", "_", name.split("/")[-1]).upper()
        m = re.search(r"^#ifndef\s+(\w+)\n#define\s+\1\b", tree.text(name), re.M)
        if not m:
            yield name, 1, f"guard the header: #ifndef {want} / #define {want}"
        elif not m.group(1).endswith(want):
            yield name, 1, f"name the guard {want}, not {m.group(1)}"


def header_docs(tree):
    """Every public function, struct, enum and macro has a doc comment."""
    for name in rules_layout.public_headers(tree):
        text = tree.text(name)
        if "@file" not in text:
            yield name, 1, "say what the header offers, and to which threads, in a /** @file comment"
        for d in ctext.declarations(text):
            if not d.name.lower().startswith("phca_") or re.search(
                    rf"^#ifndef\s+{d.name}\b", text, re.M):
                continue
            if d.doc is None:
                yield (name, d.first, f"document {d.kind} {d.name} with a /** comment before it "
                       "or /**< behind it")
            elif d.kind == "function" and "@param" in d.doc:
                for p in re.findall(r"@param(?:\[\w+\])?\s+((?:\w+,\s*)*\w+)", d.doc):
                    for w in re.split(r",\s*", p):
                        if w not in d.params():
                            yield (name, d.first, f"{d.name}: there is no parameter '{w}'; "
                                   "mend the comment")


def _compile(compiler, flags, tree, header, tmp):
    """Compile a file that includes only this header; the compiler's words."""
    src = os.path.join(tmp, "alone.c")
    with open(src, "w") as f:
        f.write(f'#include "{os.path.basename(header)}"\ntypedef int phca_alone;\n')
    r = subprocess.run([compiler, "-fsyntax-only", "-std=gnu11", "-D_GNU_SOURCE", "-Wall",
                        "-Wextra", "-Werror", "-march=corei7",
                        "-I" + os.path.dirname(tree.path(header)), *flags, src],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return r.returncode, r.stdout


def _generated(tree, header):
    """(line, name) of each header that this one includes and the build makes."""
    made = re.findall(r"output\s*:\s*'([^'@]+[.]h)'",
                      "".join(tree.text(n) for n in tree.find("", "meson.build")))
    for no, line in tree.lines(header):
        m = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if m and m.group(1) in made:
            yield no, m.group(1)


def headers_alone(tree):
    """Every public header compiles alone, with gcc and with clang."""
    headers = rules_layout.public_headers(tree)
    if not headers:
        return
    flags = subprocess.run(["pkg-config", "--cflags", "libdpdk", "libbpf", "jansson", "libisal"],
                           stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    flags += ["-I" + tree.path(d) for d in sorted({os.path.dirname(h) for h in headers})]
    for h in headers:
        for no, include in _generated(tree, h):
            folder = next((f for f, _, names in os.walk(tree.path("build")) if include in names), None)
            if not folder:
                yield h, no, f"run scripts/build.sh first: it makes {include}"
                return
            flags.append("-I" + folder)
    with tempfile.TemporaryDirectory() as tmp:
        for compiler in ("gcc", "clang"):
            if not shutil.which(compiler):
                yield headers[0], 1, f"install {compiler} (scripts/deps.sh); it has to check this"
                continue
            for h in headers:
                rc, out = _compile(compiler, flags, tree, h, tmp)
                if rc:
                    m = re.search(rf"{re.escape(os.path.basename(h))}:(\d+):", out)
                    errors = [x for x in out.splitlines() if "error" in x] or [out]
                    yield (h, int(m.group(1)) if m else 1,
                           f"include what it uses: {compiler} says {errors[0].split('error: ')[-1]}")


RULES = {f.__name__: f for f in (
    headers_alone, header_docs, banned, assertions, function_length, tabs, file_idea, typedefs,
    guards)}
