# SPDX-License-Identifier: BSD-3-Clause
"""Locks for requesters on Soft-RoCE: the proxy CPU answers them in the place of an application
here; and where nothing does but the application, here and in the guest."""

import os
import sys

from stage import runner, system
from tools import GUEST, HERE, Meeting, our_gids
import stage

sys.path.insert(0, os.path.join(runner.ROOT, "tests", "system"))
from lib import locks  # noqa: E402

MORE = {
    "filters": [{"name": "lock", "object": system.filter_object("lock")}],
    "offloads": [{"name": "locks", "driver": "lock", "settings": {"probe_ms": 2000}, "time_limit_us": 0}],
    "app_proxy": [{"name": "locks", "match": {"exe": "phca-lock"},
                   "rules": [{"filter": "lock", "offload": "locks", "direction": "inbound"}]}],
}
HISTORY = "/tmp/phca-lock-history"


class Service(Meeting):
    """phca-lock: the table at `server`, torture at the other side."""

    def __init__(self, stage_, server, serve=(), family=4):
        self.serve, self.server = serve, server
        super().__init__(stage_, server, ["phca-lock"], family)

    def _start(self, who, more):
        mine = ["serve", "--once", *self.serve] if who == self.server else [
            "torture", "-c", "2", "-n", "12", "-t", "2", "-o", HISTORY]
        self.argv = ["phca-lock", *mine]
        super()._start(who, more)

    @staticmethod
    def path(argv):
        return [runner.built("app/phca-lock/phca-lock"), *argv[1:]]


class Locks(stage.TestCase):
    """Histories of random requesters."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stage.renew(MORE)
        cls.stage.gids = our_gids(cls.stage)

    def history(self, server, **how):
        if os.path.exists(HISTORY):
            os.unlink(HISTORY)
        self.guest.run(f"rm -f {HISTORY}")
        m = Service(self.stage, server, **how)
        self.assertEqual(set(m.statuses.values()), {0}, str(m))
        if server == HERE:
            lines = self.guest.run(f"cat {HISTORY}").splitlines(keepends=True)
        else:
            with open(HISTORY, encoding="ascii") as f:
                lines = list(f)
            os.unlink(HISTORY)
        made = locks.History(server, [line.replace("\r", "") for line in lines])
        self.assertEqual(locks.check([made]), [])
        self.assertGreater(made.requests, 100)
        self.assertIn("held 0 (0 shared), waiters 0", m.outputs[server])
        return made.requests

    def own(self):
        return self.box.figures("/phca/offload", "locks")["own"]

    def test_requesters_on_softroce(self):
        for family in (4, 6) if stage.LONG else (4,):
            with self.subTest(family=family):
                before = self.own()["requests"]
                asked = self.history(HERE, family=family)
                self.assertEqual(self.own()["requests"] - before, asked)
        self.assertEqual(self.own()["held"] + self.own()["waiting"], 0)

    def test_without_the_offload(self):
        """The requesters are here, the server is in the guest, and does it itself."""
        before = self.own()
        self.history(GUEST, serve=["--self"])
        self.assertEqual(self.own(), before)
