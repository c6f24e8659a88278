# SPDX-License-Identifier: BSD-3-Clause
"""Just enough reading of C for the house rules: comments and strings blanked
out with every line kept in place, functions with their extent, and the
declarations of a header with the comment that belongs to each."""

import re


def blank(text, comments=True, strings=True):
    """C text with comments and the insides of strings turned into spaces.

    Line and column of everything else stay what they were."""
    out = []
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    pos = 0
    for m in pattern.finditer(text):
        out.append(text[pos:m.start()])
        token = m.group()
        is_comment = token[0] == "/"
        if (is_comment and comments) or (not is_comment and strings):
            inner = re.sub(r"[^\n]", " ", token)
            out.append(inner if is_comment else token[0] + inner[1:-1] + token[-1])
        else:
            out.append(token)
        pos = m.end()
    out.append(text[pos:])
    return "".join(out)


def blank_directives(text):
    """Text without its preprocessor lines; lines stay in place."""
    return re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                  text, flags=re.M)


def line_of(text, pos):
    """Line number, from 1, of an offset."""
    return text.count("\n", 0, pos) + 1


def functions(text):
    """Yield (name, first line, last line, is_static) of each function body."""
    code = blank_directives(blank(text))
    depth = 0
    start = 0       # where the text of the present declaration begins
    head = None
    for m in re.finditer(r"[{};]", code):
        c = m.group()
        if c == "{":
            if depth == 0:
                head = code[start:m.start()]
                if re.search(r'extern\s*"\s*C?\s*"\s*$', head):
                    head = None
                    start = m.end()
                    continue  # extern "C": its braces do not count
                body_start = start + len(head) - len(head.lstrip())
            depth += 1
        elif c == "}":
            if depth == 0:
                start = m.end()
                continue      # the end of extern "C"
            depth -= 1
            if depth == 0:
                name = re.search(r"(\w+)\s*\((?:[^()]|\([^()]*\))*\)\s*(?:__\w+(?:\(.*\))?\s*)*$",
                                 head or "", re.S)
                if name and "=" not in head.split("(")[0]:
                    yield (name.group(1), line_of(code, body_start), line_of(code, m.start()),
                           re.search(r"\bstatic\b", head) is not None)
                start = m.end()
        elif depth == 0:
            start = m.end()


class Decl:
    """One declaration or macro at the top level of a header."""

    def __init__(self, kind, name, text, first, last):
        self.kind, self.name, self.text = kind, name, text
        self.first, self.last = first, last
        self.doc = None       # its comment, when it is a /** one */

    def params(self):
        """Names of a function's parameters."""
        m = re.search(r"\w+\s*\((.*)\)", self.text.split("{")[0], re.S)
        names = []
        for p in split_commas(m.group(1)) if m else []:
            fn = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", p)
            words = re.findall(r"\w+", re.sub(r"\[.*", "", p))
            if fn:
                names.append(fn.group(1))
            elif words and words != ["void"] and "..." not in p:
                names.append(words[-1])
        return names


def split_commas(text):
    """Split at the commas that are in no bracket."""
    parts, depth = [""], 0
    for c in text:
        if c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return parts


def _name(item):
    """What a declaration declares: (kind, name)."""
    m = re.match(r"#\s*define\s+(\w+)", item)
    if m:
        return "macro", m.group(1)
    if item.startswith("#"):
        return None, None
    # Attributes and initializers say nothing about the name.
    head = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", item, flags=re.S)
    m = re.match(r"typedef\b.*?\(\s*\*\s*(\w+)\s*\)", head, re.S)
    if m:
        return "typedef", m.group(1)
    m = re.match(r"(struct|union|enum)\s+(\w+)\s*(\{|;)", head)
    if m:
        return m.group(1), m.group(2)
    if re.match(r"_Static_assert|static_assert|RTE_", head):
        return None, None
    before = re.split(r"[{=]", head)[0]
    m = re.search(r"(\w+)\s*\(", before)
    if m:
        return "function", m.group(1)
    m = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*;?\s*$", before)
    return ("variable", m.group(1)) if m else (None, None)


def _items(text):
    """Yield (start, end, is_comment) of comments, directives and declarations."""
    plain = blank(text)
    pos, n = 0, len(text)
    while pos < n:
        if text[pos].isspace():
            pos += 1
            continue
        start = pos
        if text.startswith("/*", pos):
            pos = text.index("*/", pos) + 2
            yield start, pos, True
        elif text.startswith("//", pos):
            pos = (text.find("\n", pos) + n + 1) % (n + 1)
            yield start, pos, True
        elif plain[pos] == "#":
            m = re.compile(r"(?:[^\n\\]|\\.|\\\n)*", re.S).match(plain, pos)
            pos = start + len(m.group().rstrip())
            yield start, pos, False
        elif re.match(r'extern\s*"', text[pos:]) or plain[pos] == "}":
            pos = plain.index("{", pos) + 1 if plain[pos] == "e" else pos + 1
        else:
            depth = 0
            while pos < n:
                c = plain[pos]
                depth += (c == "{") - (c == "}")
                pos += 1
                if c == ";" and depth == 0:
                    break
                # A function body ends without a semicolon.
                if c == "}" and depth == 0 and ")" in plain[start:plain.index("{", start)]:
                    break
            yield start, pos, False


def declarations(text):
    """The declarations of a header in order, each with its doc comment.

    A doc comment stands directly before, or behind on the last line. It also
    covers the declarations that follow without a blank line between."""
    decls = []
    comment, comment_last = None, 0
    group_doc, group_last = None, 0
    undefined = set(re.findall(r"^\s*#\s*undef\s+(\w+)", text, re.M))
    for start, end, is_comment in _items(text):
        first, last = line_of(text, start), line_of(text, end - 1)
        body = text[start:end]
        if is_comment:
            is_doc = body.startswith("/**") and "@file" not in body
            if decls and decls[-1].last == first and body.startswith("/**<"):
                if decls[-1].doc is None:
                    decls[-1].doc = body
                group_doc, group_last = decls[-1].doc, last
            elif is_doc:
                comment, comment_last = body, last
            else:
                comment = None
            continue
        kind, name = _name(body)
        if kind is None or name in undefined:
            # Directives inside a group do not end it.
            if group_last + 1 >= first:
                group_last = last
            if comment and comment_last + 1 >= first:
                comment_last = last
            continue
        d = Decl(kind, name, body, first, last)
        if kind == "macro" and "/**<" in body:
            d.doc = body[body.index("/**<"):]
        if comment and comment_last + 1 >= first:
            d.doc = comment
        elif d.doc is None and group_doc and group_last + 1 >= first:
            d.doc = group_doc
        comment = None
        group_doc, group_last = d.doc, last
        decls.append(d)
    return decls
