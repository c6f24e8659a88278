# SPDX-License-Identifier: BSD-3-Clause
"""A virtual machine with Linux Soft-RoCE, beside the appliance on one Ethernet segment.

    namespace:  appliance -- veth -- bridge -- tap -- QEMU: eth0, rxe0
                                       |
                                    tools of this machine, by TCP

The appliance has an address of its own on the veth's end; the bridge's address is the TCP
path on which the tools of both sides exchange what they have to."""

import os
import re
import select
import shutil
import socket
import tempfile
import time

import initramfs
from lib import net, program

QEMU = "qemu-system-x86_64"
MTU = 9000                                      # room for RDMA's 4096
HOST = {4: "10.8.0.1", 6: "fd00:8::1"}          # the bridge
APPLIANCE = {4: "10.8.0.2", 6: "fd00:8::2"}
GUEST = {4: "10.8.0.3", 6: "fd00:8::3"}
LENGTH = {4: 24, 6: 64}
BOOTS = 3                                       # tries
AGENT = 7000                                    # TCP port of the guest's agent
# Index of rxe's GIDs: 0 is the link-local one, the others as their addresses were set.
GUEST_GID = {4: 1, 6: 2}


class Segment:
    """The namespace with bridge, tap and veth."""

    def __init__(self):
        self.appliance = self.namespace = net.Namespace("v")
        self.interface, self.tap = "phca0", "guest0"
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self):
        def ip(*args):
            self.namespace.run("ip", *args)

        ip("link", "add", "segment", "mtu", str(MTU), "type", "bridge",
           "mcast_snooping", "0", "stp_state", "0", "forward_delay", "0")
        ip("link", "add", self.interface, "mtu", str(MTU), "type", "veth", "peer", "name", "phca1",
           "mtu", str(MTU))
        ip("tuntap", "add", "dev", self.tap, "mode", "tap", "vnet_hdr")
        for name in ("phca1", self.tap):
            ip("link", "set", name, "mtu", str(MTU), "master", "segment", "up")
        # What has no address here must not speak here.
        for name in (self.interface, "phca1", self.tap):
            self.namespace.run("sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
        for name in (self.interface, "segment"):
            ip("link", "set", name, "up")
        for family, address in HOST.items():
            ip("addr", "add", f"{address}/{LENGTH[family]}", "dev", "segment",
               *(["nodad"] if family == 6 else []))

    def connect(self, port, timeout_s=30):
        """A TCP connection to the guest."""
        with self.namespace.entered():
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        s.settimeout(timeout_s)
        try:
            s.connect((GUEST[4], port))
        except BaseException:
            s.close()
            raise
        return s

    def listens(self, port):
        """Whether a program of this machine listens on a TCP port here."""
        with self.namespace.entered():
            for name in ("tcp", "tcp6"):
                with open(f"/proc/thread-self/net/{name}") as f:
                    if any(x[1].endswith(f":{port:04X}") and x[3] == "0A"
                           for x in map(str.split, f)):
                        return True
        return False

    def close(self):
        self.namespace.close()


class Job:
    """A script that runs in the guest."""

    def __init__(self, segment, script):
        self.script = script
        self.output = ""
        self._raw = b""
        self._running = True
        self.socket = segment.connect(AGENT)
        self.socket.sendall(script.encode() + b"\n")
        self.socket.shutdown(socket.SHUT_WR)

    def _read(self, timeout_s):
        """Take what comes within a time; False: that was the end."""
        if not select.select([self.socket], [], [], max(0, timeout_s))[0]:
            return True
        data = self.socket.recv(65536)
        self._raw += data
        return bool(data)

    def over(self):
        """Whether it has ended."""
        while self._running and select.select([self.socket], [], [], 0)[0]:
            self._running = self._read(0)
        return not self._running

    def wait(self, timeout_s=60):
        """Wait for its end; the exit status."""
        limit = time.monotonic() + timeout_s
        while self._running:
            if time.monotonic() > limit:
                raise AssertionError(f"guest: still running after {timeout_s} s: {self.script}\n"
                                     f"{self._raw.decode(errors='replace')}")
            self._running = self._read(limit - time.monotonic())
        text = self._raw.decode(errors="replace")
        m = re.search(r"\nexit status (\d+)\n\Z", text)
        if not m:
            raise AssertionError(f"guest: lost in the middle of: {self.script}\n{text}")
        self.output = text[:m.start()]
        return int(m.group(1))

    def close(self):
        self.socket.close()


class Guest:
    """The virtual machine, booted once. What it prints on its console is in console."""

    def __init__(self, segment, more=(), memory_mb=2048, cpus=2):
        """more: files of this machine for the guest, as initramfs.build takes them."""
        self.segment = segment
        self.qemu = None
        path = shutil.which(QEMU)
        if not path:
            raise initramfs.Missing(f"no {QEMU}: run scripts/deps.sh --test")
        self.dir = tempfile.mkdtemp(prefix="phca")
        try:
            self._boot(path, more, memory_mb, cpus)
        except BaseException:
            self.close()
            raise

    def _boot(self, path, more, memory_mb, cpus):
        archive = os.path.join(self.dir, "initramfs")
        addresses = " ".join(f"{a}/{LENGTH[f]}" for f, a in GUEST.items())
        initramfs.build(archive, more, f"ADDRESSES='{addresses}'\nMTU={MTU}\nPORT={AGENT}\n")
        argv = [
            # However this program ends, the virtual machine does not outlive it.
            "setpriv", "--pdeathsig", "KILL",
            path, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
            "-smp", str(cpus), "-m", str(memory_mb), "-serial", "stdio",
            "-kernel", initramfs.kernel()[0], "-initrd", archive,
            "-append", "console=ttyS0 panic=-1 quiet mitigations=off",
            "-netdev", f"tap,id=n0,ifname={self.segment.tap},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=n0,romfile=,host_mtu={MTU},"
                       "mac=02:00:00:00:08:03"]
        for left in reversed(range(BOOTS)):
            self.qemu = program.Program(argv, namespace=self.segment.namespace)
            # On a busy machine the second processor's timer may stand still from the start.
            if self.qemu.expect(r"^init: ready|detected stalls", 120)[0] == "init: ready":
                break
            if not left:
                raise AssertionError(f"the guest does not boot:\n{self.console}")
            self.qemu.close()
        os.unlink(archive)
        limit = time.monotonic() + 30
        while True:     # the agent comes after the line
            try:
                return self.run("true")
            except ConnectionRefusedError:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.05)

    @property
    def console(self):
        """What the guest's kernel and its init have printed."""
        return self.qemu.output

    def start(self, script):
        """Begin a script in the guest: a Job."""
        return Job(self.segment, script)

    def run(self, script, check=True, timeout_s=60):
        """Run a script in the guest: its output, or with check=False (status, output)."""
        job = self.start(script)
        try:
            status = job.wait(timeout_s)
        finally:
            job.close()
        if not check:
            return status, job.output
        if status:
            raise AssertionError(f"guest: exit status {status}: {script}\n{job.output}")
        return job.output

    def listening(self, job, port, timeout_s=30):
        """Wait until a job that is a server listens on a TCP port."""
        limit = time.monotonic() + timeout_s
        while not job.over():
            status, _ = self.run(f"grep -qi ':{port:04x} [0-9a-f:]* 0a ' /proc/net/tcp*", check=False)
            if status == 0:
                return
            if time.monotonic() > limit:
                raise AssertionError(f"guest: nobody listens on {port}: {job.script}")
            time.sleep(0.02)
        status = job.wait()
        raise AssertionError(f"guest: exit status {status}: {job.script}\n{job.output}")

    def close(self):
        if self.qemu:
            self.qemu.close()
        shutil.rmtree(self.dir, ignore_errors=True)
