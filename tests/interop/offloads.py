# SPDX-License-Identifier: BSD-3-Clause
"""Programs whose every request goes through an offload that passes it on, Linux Soft-RoCE as
their peer; and perftest beside queue pairs that take locks."""

import time

from stage import runner, system
from tools import GUEST, HERE, Here, Meeting
from verbs import Case
import vm

EVERYTHING = [{"filter": "all", "offload": "log"}]


class Offloads(Case):
    """The application is here; which program meets which offload."""

    more = {
        "filters": [{"name": "lock", "object": system.filter_object("lock")},
                    {"name": "all", "object": system.filter_object("all")}],
        "offloads": [
            {"name": "locks", "driver": "lock", "time_limit_us": 0},
            {"name": "log", "driver": "bpf",
             "program": {"object": runner.built("config/offloads/access_log.bpf.o")}}],
        "app_proxy": [
            {"name": "lock", "match": {"exe": "phca-lock"},
             "rules": [{"filter": "lock", "offload": "locks", "direction": "inbound"}]},
            {"name": "data", "match": {"exe": "datacheck"}, "rules": EVERYTHING},
            {"name": "pingpong", "match": {"exe": "ibv_rc_pingpong"}, "rules": EVERYTHING}],
    }

    def submitted(self, name):
        """How many requests an offload was given."""
        return self.box.figures("/phca/offload", name)["submitted"]

    def test_passed_on(self):
        """Both directions; the data is checked."""
        for server, text in ((HERE, "datacheck -c RC"), (GUEST, "datacheck -c RC"),
                             (HERE, "datacheck -c UD"), (GUEST, "ibv_rc_pingpong -e -c")):
            with self.subTest(text, server=server):
                before = self.submitted("log")
                self.meet(server, text.split(), 4)
                self.assertGreater(self.submitted("log") - before, 300)

    def test_passed_on_with_loss(self):
        self.impair("drop p=0.01")
        for server in HERE, GUEST:
            with self.subTest(server=server):
                self.meet(server, ["datacheck"], 4)

    def test_neighbours(self):
        """Locks are taken by the guest while perftest runs: neither disturbs the other."""
        port = self.stage.next_port()
        service = Here(self.stage.segment, self.box, [
            runner.built("app/phca-lock/phca-lock"), "serve", "--once", "-u", "18",
            "-g", str(self.stage.gids[4]), "-p", str(port)])
        self.addCleanup(service.close)
        limit = time.monotonic() + 30
        while not self.stage.segment.listens(port) and time.monotonic() < limit:
            time.sleep(0.02)
        locks = self.guest.start(f"phca-lock bench -u 18 -g {vm.GUEST_GID[4]} -p {port} -c 2 -q 2 -t 5 "
                                 f"{vm.HOST[4]}")
        self.addCleanup(locks.close)
        m = Meeting(self.stage, GUEST, ["ib_send_bw", "-F", "-u", "18", "-q", "4", "-s", "4096", "-n", "200"])
        self.assertEqual(set(m.statuses.values()), {0}, str(m))
        self.assertEqual(locks.wait(60), 0, locks.output)
        self.assertEqual(service.wait(30), 0, service.output)
        self.assertGreater(self.submitted("locks"), 20)
