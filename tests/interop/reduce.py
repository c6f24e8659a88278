# SPDX-License-Identifier: BSD-3-Clause
"""Reductions with contributors on Soft-RoCE: the guest's ranks send to an application of the
appliance, whose proxy CPU combines them; and the other way round, where nothing does it but
the application."""

from stage import system
from tools import GUEST, HERE, Meeting, our_gids
import stage
from stage import runner

MORE = {
    "filters": [{"name": "group0", "object": system.filter_object("reduce"),
                 "params": {"any": False, "group": 0}}],
    # An emulated processor takes its time.
    "offloads": [{"name": "reduce", "driver": "reduce", "settings": {"wait_ms": 20000},
                  "time_limit_us": 0}],
    "app_proxy": [{"name": "reduce", "match": {"exe": "phca-reduce"},
                   "rules": [{"filter": "group0", "offload": "reduce", "direction": "inbound"}]}],
}


class Reduction(Meeting):
    """phca-reduce: the application at `server`, its ranks at the other side."""

    def __init__(self, stage_, server, serve, contribute, family=4):
        self.serve, self.contribute, self.server = serve, contribute, server
        super().__init__(stage_, server, ["phca-reduce"], family)

    def _start(self, who, more):
        mine = ["serve", *self.serve] if who == self.server else ["contribute", *self.contribute]
        self.argv = ["phca-reduce", *mine]
        super()._start(who, more)

    @staticmethod
    def path(argv):
        return [runner.built("app/phca-reduce/phca-reduce"), *argv[1:]]


class Reduce(stage.TestCase):
    """One of each way that results go."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stage.renew(MORE)
        cls.stage.gids = our_gids(cls.stage)

    def reduce(self, server, contribute, serve=(), family=4):
        m = Reduction(self.stage, server, serve, ["-n", "3", "-r", "50", *contribute], family)
        self.assertEqual(set(m.statuses.values()), {0}, str(m))
        self.assertIn("all results right", m.outputs[HERE if server == GUEST else GUEST])

    def own(self):
        return self.box.figures("/phca/offload", "reduce")["own"]

    def test_ranks_on_softroce(self):
        before = self.own()
        for i, (more, family) in enumerate(((["-c", "1500"], 4), (["-a", "-t", "int32", "-o", "max"], 6),
                                            (["-b", "-t", "float32", "-c", "3001"], 4)), 1):
            with self.subTest(" ".join(more)):
                self.reduce(HERE, more, family=family)
                self.assertEqual(self.own()["contributions"] - before["contributions"], 150 * i)
        self.assertEqual(self.own()["reductions"] - before["reductions"], 150)
        self.assertEqual(self.own()["delivered"] - before["delivered"], 100)

    def test_loss(self):
        before = self.own()
        self.impair("drop p=0.01")
        self.reduce(HERE, ["-b", "-c", "1500"])
        figures = self.box.figures("/phca/impair", "net_impair0")
        self.assertGreater(figures["rx"]["dropped"] + figures["tx"]["dropped"], 0)
        self.assertEqual(self.own()["contributions"] - before["contributions"], 150)   # none twice

    def test_without_the_offload(self):
        """Contributions of another group are the application's, here and on Soft-RoCE."""
        before = self.own()
        for server in HERE, GUEST:
            with self.subTest(server=server):
                self.reduce(server, ["-G", "1", "-c", "500"], serve=["--self"])
        self.assertEqual(self.own(), before)
