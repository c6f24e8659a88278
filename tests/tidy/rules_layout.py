# SPDX-License-Identifier: BSD-3-Clause
"""Rules on the shape of the tree: libraries, their order, their tests."""

import re

import ctext


def libraries(tree):
    """The list in lib/meson.build: the layer diagram, lowest first."""
    if not tree.exists("lib/meson.build"):
        return []
    m = re.search(r"^libraries\s*=\s*\[(.*?)\]", tree.text("lib/meson.build"), re.S | re.M)
    return re.findall(r"'(\w+)'", m.group(1)) if m else []


def lib_folders(tree):
    """Folders below lib/ that hold a file."""
    return sorted({n.split("/")[1] for n in tree.find("lib/") if n.count("/") >= 2})


def public_headers(tree):
    """Headers with the project's prefix, which others include."""
    return [n for n in tree.find("lib/", ".h") + tree.find("drivers/", ".h")
            if n.split("/")[-1].startswith("phca_")]


def folders(tree):
    """Each library has its manifest, its public header and its README."""
    known = libraries(tree)
    for lib in lib_folders(tree):
        if lib not in known:
            yield "lib/meson.build", 1, f"add '{lib}' to the list of libraries, at its layer"
        for need, why in ((f"lib/{lib}/meson.build", "its manifest: sources, headers, deps"),
                          (f"lib/{lib}/phca_{lib}.h", "its public header"),
                          (f"lib/{lib}/README.md", "what it is, who calls it, which thread")):
            if need not in tree.files:
                yield need, 1, f"write {why}"
        readme = f"lib/{lib}/README.md"
        if readme in tree.files and "thread" not in tree.text(readme) \
                and "lcore" not in tree.text(readme):
            yield readme, 1, "say which thread or lcore calls the library"
    for lib in known:
        if lib not in lib_folders(tree):
            yield "lib/meson.build", 1, f"remove '{lib}' from the list: there is no such folder"


def _globbed(tree, name):
    """Whether a manifest takes the file by its name, test_*.c."""
    folder, base = name.rsplit("/", 1)
    if not base.startswith("test_"):
        return False
    manifests = (folder + "/meson.build", folder.rsplit("/", 1)[0] + "/meson.build")
    return any("test_glob" in tree.text(m) for m in manifests if m in tree.files)


def sources(tree):
    """Every C file is named in a manifest, so that it is built."""
    manifests = "\n".join(tree.text(n) for n in tree.find("", "meson.build"))
    for name in tree.find("", ".c"):
        base = name.split("/")[-1]
        # A manifest may name it whole, by folder, or without its suffix in a list.
        if re.search(rf"['/]({re.escape(base)}|{re.escape(base.split('.')[0])})'", manifests) \
                or _globbed(tree, name):
            continue
        yield name, 1, f"name '{base}' in the folder's meson.build, or remove the file"


def _owner(tree):
    """Which library each public header belongs to."""
    return {n.split("/")[-1]: n.split("/")[1] for n in tree.find("lib/", ".h")
            if n.split("/")[-1].startswith("phca_")}


def layers(tree):
    """A library uses only those before it in the list of lib/meson.build."""
    order = libraries(tree)
    owner = _owner(tree)
    own = {}
    for n in tree.find("lib/", ".h"):
        own.setdefault(n.split("/")[1], set()).add(n.split("/")[-1])
    for name in tree.find("lib/", ".c", ".h"):
        lib = name.split("/")[1]
        if lib not in order:
            continue
        for no, line in tree.lines(name):
            m = re.match(r'\s*#\s*include\s*["<]([^">]+)[">]', line)
            if not m:
                continue
            path, base = m.group(1), m.group(1).split("/")[-1]
            target = owner.get(base)
            if target in order and order.index(target) > order.index(lib):
                yield (name, no, f"{base} is of '{target}', which stands after '{lib}' in "
                       "lib/meson.build: move the code up, or pass a callback")
            elif target is None and '"' in line and (
                    ".." in path or base not in own.get(lib, set())
                    and any(base in headers for headers in own.values())):
                yield (name, no, f"{path} is private to another folder: use its public header, "
                       "or make it public there")
    for lib in order:
        manifest = f"lib/{lib}/meson.build"
        if manifest not in tree.files:
            continue
        for no, line in tree.lines(manifest):
            m = re.match(r"deps\s*\+?=\s*\[(.*)\]", line)
            for d in re.findall(r"'(\w+)'", m.group(1)) if m else []:
                if d not in order or order.index(d) >= order.index(lib):
                    yield manifest, no, f"'{lib}' may not use '{d}', which does not stand before it"


def _test_text(tree):
    """Everything below tests/ that may exercise code, in one text."""
    return "\n".join(tree.text(n) for n in tree.find("tests/", ".c", ".h", ".py")
                     if not n.startswith("tests/tidy/"))


def tested(tree):
    """Every public function is called by a test; every source has one."""
    text = _test_text(tree)
    words = set(re.findall(r"\w+", ctext.blank(text, strings=False)))
    for name in public_headers(tree):
        for d in ctext.declarations(tree.text(name)):
            if d.kind == "function" and d.name.startswith("phca_") and d.name not in words:
                yield name, d.first, f"{d.name}() is in no test: call it from tests/"
    for lib in lib_folders(tree):
        if tree.find(f"lib/{lib}/", ".c") and not tree.find(f"tests/unit/{lib}/", ".c") \
                and not tree.find("tests/datapath/", ".c"):
            yield f"lib/{lib}/meson.build", 1, f"write tests/unit/{lib}/ or data-path tests"
    for name in tree.find("drivers/", ".c"):
        if name.count("/") < 3:
            continue    # not drivers/<kind>/<driver>/: what drivers share
        driver = name.split("/")[-2]
        names = {f for f, _, _, static in ctext.functions(tree.text(name)) if not static}
        names |= set(re.findall(r"^(?:const\s+)?struct\s+phca_\w+\s+(phca_\w+)\s*=",
                                tree.text(name), re.M))
        if not names & words and not re.search(rf'["\'\s/]{driver}["\'\s,]', text):
            yield name, 1, f"exercise driver '{driver}' from a test in tests/"


RULES = {f.__name__: f for f in (folders, sources, layers, tested)}
