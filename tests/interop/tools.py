# SPDX-License-Identifier: BSD-3-Clause
"""One program at both ends: perftest, the pingpongs, datacheck. In the guest it runs over
rxe, here over the drop-in library of the build."""

import os
import re
import subprocess
import tempfile
import time

from stage import LONG, runner
import vm

GUEST, HERE = "guest", "here"
# The long form has sizes up to 8 MiB, which an emulated processor takes its time for.
PATIENCE_S = 240 if LONG else 60


class Here:
    """A program on this machine, in the segment's namespace; as vm.Job is one in the guest."""

    def __init__(self, segment, box, argv):
        self.script = " ".join(argv)
        self.output = ""
        self._file = tempfile.TemporaryFile("w+", errors="replace")
        run = [os.path.join(runner.ROOT, "scripts", "phca-run"), "--build", runner.build_dir(),
               *argv]
        self._process = subprocess.Popen(
            segment.namespace.command(run), stdin=subprocess.DEVNULL, stdout=self._file,
            stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "PHCA_SOCKET": box.socket})

    def over(self):
        """Whether it has ended."""
        return self._process.poll() is not None

    def wait(self, timeout_s=PATIENCE_S):
        """Wait for its end; the exit status."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            status = "none"
        self._file.seek(0)
        self.output = self._file.read()
        return status

    def close(self):
        if not self.over():
            os.killpg(self._process.pid, 9)
            self._process.wait()
        self._file.close()


def gids(devinfo):
    """Index of the GID of each address, from what ibv_devinfo -v prints."""
    found = {}
    for index, gid in re.findall(r"GID\[\s*(\d+)\]:\s*([0-9a-f:.]+)", devinfo):
        found[gid.replace("::ffff:", "") if "." in gid else gid] = int(index)
    return found


def gid_option(argv, index):
    """The words by which a tool is told its GID."""
    return ["-x" if argv[0].startswith("ib_") else "-g", str(index)]


def our_gids(stage):
    """Index of each of the appliance's GIDs, by family."""
    job = Here(stage.segment, stage.box, ["ibv_devinfo", "-v"])
    try:
        status = job.wait()
    finally:
        job.close()
    found = gids(job.output)
    if status or not all(a in found for a in vm.APPLIANCE.values()):
        raise AssertionError(f"here: exit status {status}: {job.script}\n{job.output}")
    return {family: found[address] for family, address in vm.APPLIANCE.items()}


def _status(job, timeout_s):
    try:
        return job.wait(timeout_s)
    except AssertionError as e:
        job.output = str(e)
        return "none"


class Meeting:
    """A tool whose server is at one side and whose client is at the other.

    stage   the Stage
    server  GUEST or HERE
    argv    the tool and its arguments, but for port, GID and host
    family  of the GIDs, 4 or 6
    here    more arguments of this machine's end
    """

    def __init__(self, stage, server, argv, family=4, here=()):
        self.stage, self.argv, self.family, self.here = stage, argv, family, here
        self.port = stage.next_port()
        self.jobs = {}
        client = HERE if server == GUEST else GUEST
        try:
            self._start(server, [])
            self._listening(server)
            self._start(client, [vm.HOST[4] if server == HERE else vm.GUEST[4]])
            self.statuses = {client: _status(self.jobs[client], PATIENCE_S)}
            # Without its client a server would wait for long.
            self.statuses[server] = _status(self.jobs[server], 10)
        finally:
            for job in self.jobs.values():
                job.close()
        self.outputs = {who: job.output for who, job in self.jobs.items()}

    def _start(self, who, more):
        index = (vm.GUEST_GID if who == GUEST else self.stage.gids)[self.family]
        argv = [*self.argv, *gid_option(self.argv, index), "-p", str(self.port), *more]
        limit = ["timeout", "-k", "2", str(PATIENCE_S - 5)]
        if who == GUEST:
            self.jobs[who] = self.stage.guest.start(" ".join([*limit, *argv]))
        else:
            self.jobs[who] = Here(self.stage.segment, self.stage.box,
                                  [*limit, *self.path(argv), *self.here])

    @staticmethod
    def path(argv):
        """The same program here: datacheck is not installed."""
        if argv[0] == "datacheck":
            return [runner.built("tests/interop/datacheck"), *argv[1:]]
        return argv

    def _listening(self, who):
        if who == GUEST:
            return self.stage.guest.listening(self.jobs[who], self.port)
        limit = time.monotonic() + PATIENCE_S
        while not self.stage.segment.listens(self.port):
            if self.jobs[who].over() or time.monotonic() > limit:
                raise AssertionError(f"here: status {self.jobs[who].wait(1)}: "
                                     f"{self.jobs[who].script}\n{self.jobs[who].output}")
            time.sleep(0.02)

    def __str__(self):
        text = f"{' '.join(self.argv)}, IPv{self.family}"
        for who, job in self.jobs.items():
            text += f"\n{who}: exit status {self.statuses[who]}: {job.script}\n{job.output}"
        return text
