# SPDX-License-Identifier: BSD-3-Clause
"""An appliance that serves applications, and verbs programs that use it as the
distribution ships them."""

import os
import shutil
import signal
import subprocess
import tempfile
import time

from lib import appliance, runner

GID = {4: "10.7.0.1", 6: "fd00:7::1"}   # the appliance's own: programs meet by loopback
FIRST_TCP_PORT = 19000
NOBODY = 65534


class Host(appliance.Appliance):
    """An appliance with an admin socket.

    ports     the configuration's; one net_null port by default
    more      other members of the configuration
    host      members of the configuration's "host"
    socket    its path in a folder that is there; without: in a folder of its own
    """

    serial = 0

    def __init__(self, ports=None, more=None, host=None, eal=None, args=("--idle=sleep",),
                 socket=None, **kwargs):
        self.socket_dir = None
        if socket is None:
            self.socket_dir = tempfile.mkdtemp(prefix="phcasock")
            os.chmod(self.socket_dir, 0o755)
        self.socket = socket or os.path.join(self.socket_dir, "phca0.sock")
        self.tcp_port = FIRST_TCP_PORT
        if ports is None:
            ports = [{"name": "p0", "device": "net_null0", "mtu": 4096,
                      "addresses": [f"{GID[4]}/24", f"{GID[6]}/64"]}]
            eal = ["--vdev=net_null0,no-rx=1"] if eal is None else eal
        config = {"ports": ports, "host": {"socket": self.socket, "mode": "0666", **(host or {})},
                  **(more or {})}
        super().__init__(config, eal=eal or [], args=list(args), **kwargs)

    def do(self, line, timeout_s=60):
        """What the prompt answers; command() is here that of a program on the device."""
        return appliance.Appliance.command(self, line, appliance.PROMPT, timeout_s)

    def command(self, argv, user=None):
        """The command that runs argv on this appliance's device, as a user (a number)."""
        run = [os.path.join(runner.ROOT, "scripts", "phca-run"), "--build", runner.build_dir(),
               "--socket", self.socket, *argv]
        if user is not None:
            run = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *run]
        return run

    def run(self, *argv, user=None, timeout_s=60, check=True, env=None):
        """Run a program on the device to its end."""
        r = subprocess.run(self.command(argv, user), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, timeout=timeout_s, env={**os.environ, **(env or {})})
        if check and r.returncode:
            raise AssertionError(f"{' '.join(argv)}: exit status {r.returncode}\n{r.stdout}")
        return r

    def pid(self):
        """The appliance's process: the tests start it as it is, in no namespace."""
        return self.process.pid

    def left(self):
        """What programs have left: objects that are still there, by kind, those that are none left out."""
        return {k: n for k, n in self.figures("/phca/objects").items() if n and k != "mbufs"}

    def settled(self, timeout_s=60):
        """As left, once nothing is left or the time is over: a program's end takes some turns."""
        limit = time.monotonic() + timeout_s
        while self.left() and time.monotonic() < limit:
            time.sleep(0.02)
        return self.left()

    def close(self):
        super().close()
        if self.socket_dir:
            shutil.rmtree(self.socket_dir, ignore_errors=True)


def _end(processes):
    for p in processes:
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGKILL)
        p.wait()


def _start(argv, log, env):
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                            start_new_session=True, env=env)


def next_port():
    """A TCP port for a server and its client to meet at."""
    Host.serial += 1
    return FIRST_TCP_PORT + os.getpid() % 500 * 20 + Host.serial % 20


def listens(port):
    """Whether a TCP socket listens on the port."""
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(name) as f:
            for line in f:
                words = line.split()
                if words[1].endswith(f":{port:04X}") and words[3] == "0A":
                    return True
    return False


def meet(server_host, server, client_host, client, port, user=None, timeout_s=60, env=None):
    """Run a server, then, once it listens on the TCP port, its client, both to their ends.

    server, client  their arguments. What the two printed; AssertionError when one failed
    """
    env = {**os.environ, **(env or {})}
    with tempfile.TemporaryFile("w+") as a, tempfile.TemporaryFile("w+") as b:
        processes = [_start(server_host.command(server, user), a, env)]
        try:
            limit = time.monotonic() + timeout_s
            while not listens(port) and processes[0].poll() is None and time.monotonic() < limit:
                time.sleep(0.01)
            processes.append(_start(client_host.command(client, user), b, env))
            failed = []
            for p, argv in zip(reversed(processes), (client, server)):
                try:
                    if p.wait(max(0.1, limit - time.monotonic())) != 0:
                        failed.append(f"{' '.join(argv)}: exit status {p.returncode}")
                except subprocess.TimeoutExpired:
                    failed.append(f"{' '.join(argv)}: still running after {timeout_s} s")
        finally:
            _end(processes)
        a.seek(0)
        b.seek(0)
        texts = a.read(), b.read()
    if failed:
        raise AssertionError("; ".join(failed) + f"\nserver:\n{texts[0]}\nclient:\n{texts[1]}")
    return texts


def tool(server_host, client_host, argv, user=None, timeout_s=60, env=None, options=("-p",),
         server_more=(), client_more=()):
    """Run a tool (perftest, *_pingpong) at both ends, its two sides joined by TCP over lo."""
    port = next_port()
    common = [*argv, options[0], str(port)]
    return meet(server_host, [*common, *server_more], client_host, [*common, *client_more, "127.0.0.1"],
                port, user, timeout_s, env)
