# SPDX-License-Identifier: BSD-3-Clause
"""What all tests here have in common: one segment, one guest on it, one appliance.

The guest boots once. Tests leave the appliance as they found it, but for queue pairs of
their own."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))

from lib import appliance as system, net, runner  # noqa: E402
import vm  # noqa: E402

LONG = bool(os.environ.get("PHCA_TEST_LONG"))


class Stage:
    """The segment, the guest and the appliance."""

    def __init__(self):
        self.closers = []
        try:
            self._need()
            self.segment = self._add(vm.Segment())
            self.guest = self._add(vm.Guest(
                self.segment, [(runner.built("tests/interop/datacheck"), "usr/bin/datacheck"),
                               (runner.built("app/phca-reduce/phca-reduce"), "usr/bin/phca-reduce"),
                               (runner.built("app/phca-lock/phca-lock"), "usr/bin/phca-lock")]))
            self.box = self._add(appliance(self.segment))
        except BaseException:
            self.close()
            raise
        self.port, self.qpn = 18600, 0x400

    @staticmethod
    def _need():
        """Skip, with the reason, where no virtual machine can run."""
        net.need_namespaces()
        if not os.path.exists("/dev/net/tun"):
            raise unittest.SkipTest("no /dev/net/tun: a virtual machine cannot be joined")
        path = shutil.which(vm.QEMU)
        if path and subprocess.run([path, "-accel", "help"], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT).returncode:
            raise unittest.SkipTest(f"{path} does not run here")

    def _add(self, thing):
        self.closers.append(thing)
        return thing

    def next_port(self):
        """A TCP port that nobody had."""
        self.port += 1
        return self.port

    def next_qpn(self):
        """A QP number that nobody had."""
        self.qpn += 1
        return self.qpn

    def renew(self, more=None):
        """Another appliance in the place of the present one; more as for appliance()."""
        self.box.close()
        self.closers.remove(self.box)
        self.box = self._add(appliance(self.segment, more))

    def close(self):
        for thing in reversed(self.closers):
            thing.close()
        self.closers = []


def appliance(segment, more=None):
    """The appliance on its port of the segment, behind a net_impair without rules.

    more  sections of its configuration, besides the port
    """
    config = {
        "ports": [{"name": "p0", "device": "net_impair0", "mtu": 4096,
                   "addresses": [f"{a}/{vm.LENGTH[f]}" for f, a in vm.APPLIANCE.items()]}],
        "memory": {"mbuf_size": 8192 + 256},
        **(more or {})}
    # A frame of the ring has room for the greatest packet, and a header of its own.
    return Appliance(config, segment, args=["--idle=sleep"],
                     vdev=",blocksz=65536,framesz=8192,framecnt=512",
                     after=["--vdev=net_impair0,lower=net_af_packet0"])


class Appliance(system.Appliance):
    """With a socket of its own for the drop-in library."""

    def __init__(self, config, segment, args=(), **kwargs):
        self.run_dir = tempfile.mkdtemp(prefix="phca")
        self.socket = os.path.join(self.run_dir, "phca0.sock")
        super().__init__(config, segment, args=[*args, "--socket", self.socket], **kwargs)

    def close(self):
        super().close()
        shutil.rmtree(self.run_dir, ignore_errors=True)


@functools.lru_cache(None)
def stage():
    """The one stage, made when it is first asked for; what hindered it hinders all tests."""
    try:
        return Stage()
    except Exception as e:
        return e


def run():
    """Run the tests of the program that calls this, and take the stage down; when it is
    stopped because it took too long, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        runner.main()
    finally:
        if stage.cache_info().currsize and isinstance(stage(), Stage):
            stage().close()


class TestCase(unittest.TestCase):
    """A test on the stage."""

    @classmethod
    def setUpClass(cls):
        cls.stage = stage()
        if isinstance(cls.stage, Exception):
            raise cls.stage
        cls.segment, cls.guest = cls.stage.segment, cls.stage.guest

    @property
    def box(self):
        """The appliance."""
        return self.stage.box

    def impair(self, rules):
        """Rules of the appliance's port, both directions, until the test ends."""
        self.addCleanup(self.box.do, "set impair p0 none")
        text = self.box.do(f"set impair p0 {rules}")
        self.assertNotIn("rror", text)
