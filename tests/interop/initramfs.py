# SPDX-License-Identifier: BSD-3-Clause
"""The initramfs of the guest: Debian's kernel modules for Soft-RoCE, the verbs tools of this
machine with their libraries, busybox, and the files of tests/interop/guest.

Nothing is downloaded here. scripts/deps.sh --test has put the kernel, unpacked and not
installed, into build/kernel, and has installed the tools."""

import glob
import os
import re
import stat
import subprocess

from lib import runner

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
KERNEL = os.path.join(ROOT, "build", "kernel")

# Loaded in this order, each behind what it depends on. rxe asks for crc32 by the name of
# the algorithm: no dependency says so.
MODULES = ["crc32_generic", "crc32-pclmul", "virtio_pci", "virtio_net", "ib_uverbs",
           "rdma_ucm", "rdma_rxe"]

TOOLS = ["/bin/ip", "/usr/bin/rdma", "/usr/bin/rping", "/usr/bin/ibv_*", "/usr/bin/ib_*_bw",
         "/usr/bin/ib_*_lat"]
# What the libraries load by name.
LOADED = ["/usr/lib/x86_64-linux-gnu/libibverbs/librxe-rdmav*.so", "/etc/libibverbs.d/rxe.driver"]


class Missing(Exception):
    """What is not on this machine, and what brings it."""


def kernel():
    """(kernel image, folder of its modules)."""
    images = sorted(glob.glob(os.path.join(KERNEL, "boot", "vmlinuz-*")))
    if not images:
        raise Missing(f"no kernel in {KERNEL}: run scripts/deps.sh --test")
    version = os.path.basename(images[-1]).split("-", 1)[1]
    return images[-1], os.path.join(KERNEL, "lib", "modules", version)


def _found(patterns):
    for p in patterns:
        files = sorted(glob.glob(p))
        if not files:
            raise Missing(f"no {p}: run scripts/deps.sh --test")
        yield from files


def modules(folder):
    """Paths of MODULES and of all they need, in an order that insmod takes."""
    known = {}
    for path in glob.iglob(os.path.join(folder, "kernel", "**", "*.ko"), recursive=True):
        known[os.path.basename(path)[:-3].replace("-", "_")] = path
    order = []

    def add(name):
        name = name.replace("-", "_")
        if name not in known:
            raise Missing(f"the kernel in {folder} has no module {name}")
        path = known[name]
        if path in order:
            return
        with open(path, "rb") as f:     # its section .modinfo is text
            needs = re.search(rb"\0depends=([^\0]*)\0", f.read()).group(1).decode()
        for n in filter(None, needs.split(",")):
            add(n)
        order.append(path)

    for m in MODULES:
        add(m)
    return order


def libraries(programs):
    """Shared libraries that programs need, at the paths where the loader looks."""
    text = subprocess.run(["ldd", *programs], stdout=subprocess.PIPE, check=True, text=True).stdout
    lost = re.findall(r"^\s*(\S+) => not found", text, re.M)
    if lost:
        raise Missing(f"no {', '.join(sorted(set(lost)))}: run scripts/deps.sh --test")
    return sorted(set(re.findall(r"^\s*(?:\S+ => )?(/\S+) \(0x", text, re.M)))


class Archive:
    """A cpio archive of the kind "newc", as the kernel unpacks it."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.serial = 0
        self.folders = set()

    def _entry(self, name, mode, data=b""):
        self.serial += 1
        name = name.encode() + b"\0"
        head = [self.serial, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
        self.file.write(b"070701" + b"".join(b"%08x" % h for h in head) + name)
        self._pad()
        self.file.write(data)
        self._pad()

    def _pad(self):
        self.file.write(bytes(-self.file.tell() % 4))

    def folder(self, name):
        """A folder and those above it."""
        name = name.strip("/")
        if name and name not in self.folders:
            self.folders.add(name)
            self.folder(os.path.dirname(name))
            self._entry(name, stat.S_IFDIR | 0o755)

    def data(self, name, data, mode=0o644):
        """A file with these bytes."""
        self.folder(os.path.dirname(name))
        self._entry(name.strip("/"), stat.S_IFREG | mode, data)

    def link(self, name, target):
        """A symbolic link."""
        self.folder(os.path.dirname(name))
        self._entry(name.strip("/"), stat.S_IFLNK | 0o777, target.encode())

    def copy(self, path, name=None):
        """A file of this machine; under its own name, if none is given."""
        with open(path, "rb") as f:
            self.data(name or path, f.read(), 0o755 if os.access(path, os.X_OK) else 0o644)

    def close(self):
        self._entry("TRAILER!!!", 0)
        self.file.write(bytes(-self.file.tell() % 512))
        self.file.close()


def build(path, more=(), settings=""):
    """Write the archive.

    more      (file of this machine, path in the guest), ...; libraries come by themselves.
              (None, "path target") is a link
    settings  shell variables that the guest's /init reads
    """
    archive = Archive(path)
    try:
        # As on Debian: /bin and /lib are in /usr, so each file has one place.
        for d in ("bin", "sbin", "lib", "lib64"):
            archive.link(d, f"usr/{d}")
        for d in ("usr/bin", "usr/sbin", "usr/lib64", "dev", "proc", "sys", "tmp", "run"):
            archive.folder(d)
        tools = list(_found(TOOLS))
        loaded = list(_found(LOADED))
        objects = [p for p in [*tools, *loaded, *(f for f, _ in more if f)] if _is_elf(p)]
        for p in [*tools, *loaded, *libraries(objects)]:
            archive.copy(p, _in_usr(p))
        archive.copy(next(_found(["/bin/busybox"])), "usr/lib/busybox/busybox")
        archive.link("usr/bin/sh", "../lib/busybox/busybox")
        order = modules(kernel()[1])
        for p in order:
            archive.copy(p, "modules/" + os.path.basename(p))
        archive.data("modules/order", "".join(os.path.basename(p) + "\n" for p in order).encode())
        for p in sorted(glob.glob(os.path.join(HERE, "guest", "*"))):
            archive.copy(p, os.path.basename(p))
        for p, name in more:
            if p:
                archive.copy(p, name)
            else:
                archive.link(*name.split())
        archive.data("settings", settings.encode())
    finally:
        archive.close()


def appliance():
    """Files for build() that bring the appliance and the drop-in library of the build: programs
    /usr/bin/dpdk-proxyhca, libraries in /phca."""
    files = [(runner.built("app/proxyhca/dpdk-proxyhca"), "usr/bin/dpdk-proxyhca")]
    for name in ("libibverbs.so.1", "libphca-compat.so"):
        files.append((runner.built(f"lib/verbs/drop-in/{name}"), f"phca/{name}"))
    # Drivers, which EAL opens by the names in its folder. These are links: the same file under
    # two names would be loaded twice, if the program links with it, and be two buses.
    for name in ("bus_vdev", "mempool_ring", "net_null"):
        link = next(_found([f"/usr/lib/x86_64-linux-gnu/dpdk/pmds-*/librte_{name}.so.*.*"]))
        library = re.sub(r"/dpdk/pmds-[^/]*/(.*)\.\d+$", r"/\1", link)
        files += [(library, library), (None, f"{link} {library}")]
    files += [(p, p) for p in _found(["/usr/lib/x86_64-linux-gnu/libgcc_s.so.1"])]
    return files


def _in_usr(path):
    return re.sub(r"^/(bin|sbin|lib|lib64)/", r"usr/\1/", path)


def _is_elf(path):
    with open(path, "rb") as f:
        return f.read(4) == b"\x7fELF"
