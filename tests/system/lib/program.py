# SPDX-License-Identifier: BSD-3-Clause
"""A program under control: its output is collected, it can be talked to over a
pseudo-terminal, and it is gone when the test ends."""

import codecs
import itertools
import os
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from lib import runner, telemetry

_serial = itertools.count()


class ProgramError(AssertionError):
    """A program did not do what was expected; its output is in the text."""


class Program:
    """One running program.

    argv       what to run
    tty        talk over a pseudo-terminal (a prompt, tab completion)
    namespace  network namespace to run in, lib.net.Namespace
    """

    def __init__(self, argv, tty=False, namespace=None, env=None):
        if namespace:
            argv = namespace.command(argv)
        self.argv = argv
        self._text = ""
        self._seen = 0      # expect() has read up to here
        self._changed = threading.Condition()
        if tty:
            self._master, slave = pty.openpty()
            stdin = stdout = slave
        else:
            self._master, slave = os.pipe()
            stdin, stdout = subprocess.DEVNULL, slave
        self._tty = tty
        self.process = subprocess.Popen(
            argv, stdin=stdin, stdout=stdout, stderr=stdout, start_new_session=True,
            env={**os.environ, "TERM": "dumb", **(env or {})})
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:     # EIO: the other end of a pseudo-terminal is closed
                data = b""
            with self._changed:
                if not data:
                    self._eof = True
                    self._changed.notify_all()
                    return
                # A terminal's line ends with CR LF, and one read may end between.
                self._text += decoder.decode(data).replace("\r", "")
                self._changed.notify_all()

    _eof = False
    _closed = False

    @property
    def output(self):
        """All output until now."""
        with self._changed:
            return self._text

    def _fail(self, what):
        raise ProgramError(f"{what}\ncommand: {' '.join(self.argv)}\n"
                           f"exit status: {self.process.poll()}\noutput:\n{self.output[-6000:]}")

    def expect(self, pattern, timeout_s=60):
        """Wait for a pattern in output not yet seen by expect. The match."""
        limit = time.monotonic() + timeout_s
        with self._changed:
            while True:
                m = re.compile(pattern, re.M).search(self._text, self._seen)
                if m:
                    self._seen = m.end()
                    return m
                left = limit - time.monotonic()
                if self._eof or left <= 0:
                    break
                self._changed.wait(left)
        self._fail(f"no {pattern!r} in {timeout_s} s" if not self._eof
                   else f"ended without {pattern!r}")

    def write(self, text):
        """Type text, without a newline (a tab, say)."""
        os.write(self._master, text.encode())

    def command(self, line, prompt, timeout_s=60):
        """Type a line; the output until the next prompt, without the echo."""
        with self._changed:
            self._seen = len(self._text)
        self.write(line + "\n")
        start = self._seen
        # The echoed line comes first and may hold the prompt in front of it.
        self.expect(re.escape(line) + r"\n", timeout_s)
        begin = self._seen
        m = self.expect(prompt, timeout_s)
        assert begin >= start
        return self.output[begin:m.start()]

    def signal(self, number):
        """Send a signal to the program."""
        self.process.send_signal(number)

    def wait(self, timeout_s=60):
        """Wait for the end; the exit status (negative: killed by that signal)."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._fail(f"still running after {timeout_s} s")
        self._reader.join(5)
        return status

    def close(self):
        """End it, whatever it does, and give back everything. Twice is once."""
        if self._closed:
            return
        self._closed = True
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:    # its children too: it leads a session of its own
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self._reader.join(5)
        os.close(self._master)


class DpdkProgram(Program):
    """A DPDK program with runtime files of its own.

    eal   EAL arguments besides memory, file prefix and no PCI
    args  arguments behind "--"
    lcores  EAL's --lcores: "0-1", or "(0-2)@(0-1)" for three on two cores
    """

    def __init__(self, path, eal=(), args=(), memory_mb=256, lcores="0-1", **kwargs):
        self.prefix = f"phcatest{os.getpid()}x{next(_serial)}"
        self._own_runtime = None
        env = dict(kwargs.pop("env", None) or {})
        if os.geteuid() == 0:
            self.runtime_dir = f"/var/run/dpdk/{self.prefix}"
        else:
            self._own_runtime = tempfile.mkdtemp(prefix="phca")
            env["XDG_RUNTIME_DIR"] = self._own_runtime
            self.runtime_dir = f"{self._own_runtime}/dpdk/{self.prefix}"
        super().__init__([path, "--lcores", lcores, "--no-huge", "-m", str(memory_mb), "--no-pci",
                          f"--file-prefix={self.prefix}", *eal, "--", *args], env=env, **kwargs)

    def telemetry(self, timeout_s=60):
        """A connection to the program's telemetry socket."""
        return telemetry.Telemetry(f"{self.runtime_dir}/dpdk_telemetry.v2", timeout_s)

    def close(self):
        super().close()
        shutil.rmtree(self.runtime_dir, ignore_errors=True)
        if self._own_runtime:
            shutil.rmtree(self._own_runtime, ignore_errors=True)


def appliance():
    """Path of the built appliance; of the build that PHCA_APPLIANCE_BUILD names, if it is set."""
    build = os.environ.get("PHCA_APPLIANCE_BUILD")
    path = "app/proxyhca/dpdk-proxyhca"
    return os.path.join(runner.ROOT, build, path) if build else runner.built(path)
