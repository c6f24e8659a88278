# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces joined by a veth pair, and raw sockets in them.

The appliance runs in one namespace, the tester in the other: no address or
route of the machine takes part."""

import contextlib
import ctypes
import itertools
import os
import select
import shutil
import socket
import subprocess
import time
import unittest

ETH_P_ALL = 3
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_serial = itertools.count()


def _ip(*args):
    subprocess.run(["ip", *args], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                   text=True)


def need_namespaces():
    """Skip the test, with the reason, where namespaces cannot be made."""
    if os.geteuid() != 0:
        raise unittest.SkipTest("network namespaces and veth pairs need root")
    if not shutil.which("ip"):
        raise FileNotFoundError("no program ip: run scripts/deps.sh")
    name = f"phcatry{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], stderr=subprocess.PIPE, text=True)
    if made.returncode:
        raise unittest.SkipTest(f"this machine makes no network namespace: {made.stderr.strip()}")
    entered = subprocess.run(["ip", "netns", "exec", name, "true"], stderr=subprocess.PIPE, text=True)
    _ip("netns", "del", name)
    if entered.returncode:
        raise unittest.SkipTest(f"no program runs in a namespace here: {entered.stderr.strip()}")


class Namespace:
    """A network namespace."""

    def __init__(self, role):
        self.name = f"phca{os.getpid()}x{next(_serial)}{role}"
        _ip("netns", "add", self.name)
        # Kernel chatter (router solicitation, duplicate address detection) would
        # be counted by the appliance as traffic.
        for scope in ("all", "default"):
            self.run("sysctl", "-qw", f"net.ipv6.conf.{scope}.accept_dad=0",
                     f"net.ipv6.conf.{scope}.router_solicitations=0",
                     f"net.ipv6.conf.{scope}.mldv2_unsolicited_report_interval=0")
        self.run("ip", "link", "set", "lo", "up")

    def command(self, argv):
        """The command that runs argv inside."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv, check=True, timeout_s=60):
        """Run a command inside to its end."""
        r = subprocess.run(self.command(argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, timeout=timeout_s)
        if check and r.returncode:
            raise AssertionError(f"{' '.join(argv)}: exit status {r.returncode}\n{r.stdout}")
        return r

    @contextlib.contextmanager
    def entered(self):
        """This thread is inside; sockets made now stay inside."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/var/run/netns/{self.name}", os.O_RDONLY)
        try:
            if _libc.setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            if _libc.setns(back, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns back")
            os.close(there)
            os.close(back)

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], stderr=subprocess.DEVNULL)


class Wire:
    """The tester's end of a veth pair, as a raw socket."""

    def __init__(self, namespace, interface):
        with namespace.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.socket.bind((interface, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    def send(self, *frames):
        """Send frames: bytes, or scapy packets."""
        for f in frames:
            self.socket.send(bytes(f))

    def receive(self, want, timeout_s=60):
        """The next received frame for which want(frame) is true; None: none came."""
        limit = time.monotonic() + timeout_s
        while True:
            left = limit - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                return None
            frame, address = self.socket.recvfrom(65536)
            if address[2] != socket.PACKET_OUTGOING and want(frame):
                return frame

    def close(self):
        self.socket.close()


class Pair:
    """Two namespaces joined by a veth pair: "appliance" and "tester".

    The tester's interface has the addresses given; the appliance's has none,
    for the appliance itself answers there."""

    def __init__(self, addresses=(), mtu=9000):
        need_namespaces()
        self.closers = []
        try:
            self.appliance = self._add(Namespace("a"))
            self.tester = self._add(Namespace("t"))
            self.interface, self.tester_interface = "phca0", "tester0"
            _ip("link", "add", self.interface, "netns", self.appliance.name, "mtu", str(mtu),
                "type", "veth", "peer", "name", self.tester_interface, "netns", self.tester.name,
                "mtu", str(mtu))
            self.appliance.run("sysctl", "-qw", f"net.ipv6.conf.{self.interface}.disable_ipv6=1")
            self.appliance.run("ip", "link", "set", self.interface, "up")
            self.tester.run("ip", "link", "set", self.tester_interface, "up")
            for a in addresses:
                nodad = ["nodad"] if ":" in a else []
                self.tester.run("ip", "addr", "add", a, "dev", self.tester_interface, *nodad)
            self.wire = self._add(Wire(self.tester, self.tester_interface))
        except BaseException:
            self.close()
            raise

    def _add(self, thing):
        self.closers.append(thing)
        return thing

    def mac(self, which):
        """MAC address of "appliance" or "tester"."""
        ns, name = ((self.appliance, self.interface) if which == "appliance"
                    else (self.tester, self.tester_interface))
        return ns.run("cat", f"/sys/class/net/{name}/address").stdout.strip()

    def close(self):
        for thing in reversed(self.closers):
            thing.close()
        self.closers = []
