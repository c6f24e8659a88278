#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Broadcast: what a verbs program posts once arrives at every member of a group, which are
verbs programs, too, or resident sinks. Members that are killed, stopped, come back; senders that
are killed. doc/offload-bcast.md says how it is set up."""

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, program, runner, verbs  # noqa: E402

WAIT_S = 60
GROUPS = {"all": {}, "fail": {"on_failure": "fail"}, "two": {"quorum": 2}}
FOREVER = 1 << 40


def config():
    """A group for programs named bcast-GROUP each; and what ib_send_bw sends goes to three sinks, too."""
    address = verbs.GID[4]
    groups = [{"name": g, "driver": "bcast", "settings": s, "time_limit_us": 30000000} for g, s in GROUPS.items()]
    own = {"name": "own", "driver": "bcast", "settings": {"own_peer": True}, "time_limit_us": 30000000}

    def rules(offload):
        return [{"filter": "every", "offload": offload, "direction": "send"}]

    return {
        "filters": [{"name": "every", "object": appliance.filter_object("all")}],
        "offloads": [*groups, own],
        "apps": [{"name": name, "driver": "sink", "settings": {"buffer_bytes": 20480}} for name in ("sink", "drain")],
        "qps": [
            {"name": "sinks", "type": "RC", "app": "sink", "qpn": "0x201", "count": 3, "peer": address,
             "dest_qpn": "0x301"},
            {"name": "copy", "type": "RC", "offload": "own", "qpn": "0x301", "count": 3, "peer": address,
             "dest_qpn": "0x201", "timeout": 10, "retry_cnt": 3},
            {"name": "drain", "type": "UC", "app": "drain", "qpn": "0x210", "peer": address, "dest_qpn": "0x310"},
            {"name": "unsure", "type": "UC", "offload": "own", "qpn": "0x310", "peer": address,
             "dest_qpn": "0x210"}],
        "app_proxy": [{"name": g, "match": {"exe": f"bcast-{g}"}, "rules": rules(g)} for g in GROUPS] + [
            {"name": "own", "match": {"exe": "ib_send_bw"}, "rules": rules("own")}],
    }


class Broadcast(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="phca-bcast")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        for name in (*GROUPS, "member"):     # app_proxy tells programs by their names
            shutil.copy(runner.built("tests/torture/verbs-bcast"), f"{cls.folder}/bcast-{name}")
        cls.qpn = 0x500

    def setUp(self):
        self.serve()

    def serve(self, **how):
        """An appliance; the one before ends."""
        if hasattr(self, "box"):
            self.box.close()
        self.box = verbs.Host(more={**config(), **how.pop("more", {})}, **how)
        self.addCleanup(self.box.close)

    def until(self, what, condition):
        limit = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > limit:
                self.fail(f"not within {WAIT_S} s: {what}")
            time.sleep(0.02)

    def start(self, name, *argv, **how):
        p = program.Program(self.box.command([f"{self.folder}/bcast-{name}", *map(str, argv)]), **how)
        self.addCleanup(p.close)
        return p

    def members(self, group, n=3, **more):
        """Programs that join a group by 'load config'."""
        programs, qps = [], []
        for i in range(n):
            qpn = self.qpn + i
            m = self.start("member", "member", qpn, 4096, tty=True)
            programs.append(m)
            qps.append({"name": f"m{i}", "type": "RC", "offload": group, "qpn": qpn, "peer": verbs.GID[6],
                        "dest_qpn": int(m.expect(r"^qpn (\d+)$").group(1)), "path_mtu": 1024,
                        "timeout": 10, "retry_cnt": 3, **more})
        path = f"{self.folder}/members.json"
        with open(path, "w") as f:
            json.dump({"qps": qps}, f)
        self.assertIn(f"{n} QP groups", self.box.do(f"load config {path}"))
        self.assertEqual(self.own(group)["ready"], n)
        return programs

    def instances(self, group):
        """The driver's figures of each instance."""
        return [v for k, v in self.box.figures("/phca/offload", group).items() if k.startswith("own")]

    def own(self, group):
        """Of the one that has the members."""
        (own,) = self.instances(group)
        return own

    def count(self, member):
        member.write("count\n")
        return tuple(map(int, member.expect(r"^received (\d+) bad (\d+) imm (\d+)$").groups()))

    def taken(self, member):
        """The number of a member's queue pair."""
        return int(re.search(r"^qpn (\d+)$", member.output, re.M).group(1))

    def post(self, group, *argv):
        return self.start(group, "post", *argv)

    def posted(self, group, kind, op, n, size=1000, remote=0):
        p = self.post(group, kind, op, n, size, remote)
        p.expect(f"^done {n}$", WAIT_S)
        self.assertEqual(p.wait(), 0)

    def end(self, members):
        for m in members:
            m.close()

    def idle(self, group):
        self.until("nothing is under way", lambda: not any(i["under_way"] for i in self.instances(group))
                   and self.box.figures("/phca/offload", group)["in_flight"] == 0)

    def test_every_member_gets_everything(self):
        before = self.box.left()
        members = self.members("all")
        self.posted("all", "rc", "send", 3000)
        self.posted("all", "rc", "send", 200, 30000)    # not copied
        self.posted("all", "uc", "send_imm", 500)
        self.posted("all", "ud", "send", 300)
        for m in members:
            self.assertEqual(self.count(m), (4000, 0, 500))
            m.write("announce\n")
            m.expect("^announced$")
        self.posted("all", "rc", "write", 101, 64)
        self.posted("all", "rc", "write_imm", 7, 32, 2048)
        for m in members:
            for place, number in ((0, 96), (4 * 64, 100), (5 * 64, 93), (2048 + 6 * 32, 6), (4088, 0)):
                m.write(f"window {place}\n")
                m.expect(f"^window {place}: {number}$")
            self.assertEqual(self.count(m), (4007, 0, 507))
        with open(f"{self.folder}/bad.json", "w") as f:     # the second number is taken
            json.dump({"qps": [{"name": n, "type": "RC", "offload": "all", "qpn": qpn, "peer": verbs.GID[4],
                                "dest_qpn": 2} for n, qpn in (("good", 0x601), ("bad", self.taken(members[0])))]}, f)
        self.assertIn("the number is taken", self.box.do(f"load config {self.folder}/bad.json"))
        self.assertEqual(self.own("all")["ready"], 3)
        peers = self.box.figures("/phca/offload", "all")["peers"]
        self.assertEqual({p["name"]: (p["qpn"], p["state"]) for p in peers.values()},
                         {f"m{i}": (self.qpn + i, "RTS") for i in range(3)})
        self.assertIn("peer m1: QP 0x501, RTS", self.box.do("show offload all"))
        self.assertEqual(self.box.figures("/phca/qp", self.qpn)["offload"], "all")
        self.assertIn("it belongs to offload all", self.box.do("attach qp 0x500 rules all"))
        self.end(members)
        for kind in ("qps", "cqs"):   # of each peer
            before[kind] += 3
        self.until("the programs' objects are gone", lambda: self.box.left() == before)
        self.check_end([])

    def test_a_member_that_is_killed_is_dropped(self):
        members = self.members("all")
        p = self.post("all", "rc", "send", FOREVER, 200, 0)
        p.expect("ready")
        self.until("traffic", lambda: self.own("all")["m1_acked"] > 500)
        members[1].signal(signal.SIGKILL)
        self.until("it is dropped", lambda: self.own("all")["ready"] == 2)
        acked = self.own("all")["m0_acked"]
        self.until("the others go on", lambda: self.own("all")["m0_acked"] > acked + 1000)
        p.signal(signal.SIGKILL)
        p.wait()
        self.idle("all")
        own = self.own("all")
        self.assertEqual((own["ready"], own["dropped"], own["m1_dropped"]), (2, 1, 1))
        self.assertIn("QP fatal, number 0x501", self.box.do("show events"))
        for i in (0, 2):
            self.assertEqual(self.count(members[i]), (own["m0_acked"], 0, 0))
        self.assertEqual(self.box.figures("/phca/offload", "all")["failed"], 0)
        self.check_end(members)

    def check_end(self, members):
        self.end(members)
        for g in GROUPS:
            self.idle(g)
        self.assertEqual(self.box.quit(), 0, self.box.output[-3000:])
        self.assertIn("mbufs leaked: 0", self.box.output)

    def test_a_member_that_is_killed_fails_the_request(self):
        members = self.members("fail")
        p = self.post("fail", "rc", "send", FOREVER, 200, 0)
        p.expect("ready")
        self.until("traffic", lambda: self.own("fail")["m1_acked"] > 500)
        members[1].signal(signal.SIGKILL)
        p.expect(r"^failed at \d+: transport retry counter exceeded$", WAIT_S)
        self.assertEqual(p.wait(), 0)
        self.check_end(members)

    def test_a_quorum_does_not_wait_for_the_third(self):
        members = self.members("two")
        members[2].signal(signal.SIGSTOP)   # its receives run out
        self.posted("two", "rc", "send", 200)
        self.assertEqual(self.own("two")["ready"], 3)
        self.assertGreater(self.own("two")["stragglers"], 100)
        members[2].signal(signal.SIGCONT)
        self.idle("two")
        for m in members:
            self.assertEqual(self.count(m), (200, 0, 0))
        self.check_end(members)

    def test_several_proxy_lcores(self):
        """A group is on one of them, and so are its senders; it cannot come where senders are on two."""
        self.serve(more={"lcores": {"hca": 1, "proxy": [2, 3], "app": 0}}, lcores="(0-3)@(0-1)")
        members = self.members("all", 2)
        senders = [self.post("all", "rc", "send", FOREVER, 200, 0) for _ in range(3)]
        for p in senders:
            p.expect("ready")
        self.until("traffic", lambda: self.box.figures("/phca/offload", "all")["succeeded"] > 1000)
        home, other = (self.box.figures("/phca/proxy")[f"lcore_{i}"]["pqps"] for i in (2, 3))
        self.assertEqual((home, other), (4 + 2 + 3, 0), "sinks' copies, members, senders")
        for p in senders:
            p.signal(signal.SIGKILL)
            p.wait()
        # Nobody is in the group "two" yet: its senders take turns, and their requests fail.
        senders = [self.start("two", "member", 2, 4096, tty=True) for _ in range(2)]
        for p in senders:
            p.expect("^qpn")
        path = f"{self.folder}/late.json"
        with open(path, "w") as f:
            json.dump({"qps": [{"name": "late", "type": "RC", "offload": "two", "peer": verbs.GID[4],
                                "dest_qpn": 2}]}, f)
        self.assertRegex(self.box.do(f"load config {path}"),
                         r"offload two: QPs 0x\w+ and 0x\w+ use it on different proxy lcores, so it cannot get peers")
        senders[0].close()
        self.until("one is gone", lambda: self.box.figures("/phca/proxy")["pqps"] == 4 + 2 + 1)
        self.assertIn("1 QP groups", self.box.do(f"load config {path}"))
        self.assertEqual(self.own("two")["ready"], 1)
        self.check_end([*members, senders[1]])

    def test_senders_that_are_killed(self):
        """In the middle of traffic; and while a member does not receive, with what is copied and what is not."""
        members = self.members("all")
        for size in (200, 20000):
            for stop in (False, True):
                with self.subTest(size=size, stop=stop):
                    before = self.box.left()
                    p = self.post("all", "rc", "send", FOREVER, size, 0)
                    p.expect("ready")
                    acked = self.own("all")["m0_acked"]
                    self.until("traffic", lambda: self.own("all")["m0_acked"] > acked + 200)
                    if stop:
                        members[1].signal(signal.SIGSTOP)
                        self.until("it waits", lambda: self.own("all")["under_way"] > 20)
                    p.signal(signal.SIGKILL)
                    p.wait()
                    members[1].signal(signal.SIGCONT)
                    self.idle("all")
                    self.until("nothing is left", lambda: self.box.left() == before)
        self.assertEqual(self.own("all")["ready"], 3)
        self.posted("all", "rc", "send", 100)
        for m in members:
            self.assertEqual(self.count(m)[1], 0)
        self.check_end(members)

    def test_perftest_that_is_killed(self):
        """Sender, then receiver, in the middle, with copies of long messages on the sender's own queue pair."""
        before = self.box.left()
        for victim in (1, 0):
            port = verbs.next_port()
            argv = ["ib_send_bw", "-x", "1", "-n", "100000000", "-s", "20000", "-p", str(port)]
            pair = [program.Program(self.box.command(argv))]
            self.addCleanup(pair[0].close)
            self.until("it listens", lambda: verbs.listens(port))
            pair.append(program.Program(self.box.command([*argv, "127.0.0.1"])))
            self.addCleanup(pair[1].close)
            done = self.box.figures("/phca/offload", "own")["succeeded"]
            self.until("traffic", lambda: self.box.figures("/phca/offload", "own")["succeeded"] > done + 200)
            pair[victim].signal(signal.SIGKILL)
            if victim == 0:     # its own peer is gone: the request fails, members or not
                self.assertNotEqual(pair[1].wait(WAIT_S), 0)
            self.end(pair)
            self.idle("own")
            self.until("nothing is left", lambda: self.box.left() == before)
        self.assertEqual(self.own("own")["ready"], 4)
        verbs.tool(self.box, self.box, ["ib_send_bw", "-x", "1", "-n", "500", "-s", "512"], timeout_s=60)
        self.check_end([])

    def test_perftest_and_three_sinks(self):
        """The demonstration of the guide: a member goes and comes back under traffic that does not notice."""
        n = 5000
        argv = ["ib_send_bw", "-x", "1", "-n", str(n), "-s", "512"]
        verbs.tool(self.box, self.box, argv, timeout_s=90)
        own = self.own("own")
        self.assertEqual([own[f"copy_{i}__acked"] for i in range(3)], [n] * 3)
        # A member of type UC has it when it was sent; what it has no receive for is lost.
        self.assertEqual(own["unsure_acked"], n)
        self.assertGreater(self.box.figures("/phca/app", "drain")["own"]["completions"], 0)
        self.assertEqual(self.box.figures("/phca/app", "sink")["own"]["completions"], 3 * n)
        self.assertEqual(self.box.figures("/phca/offload", "own")["succeeded"], n)
        # The sink forgets where it was: what comes is out of sequence.
        self.box.do("reset qp 0x202")
        verbs.tool(self.box, self.box, argv, timeout_s=90)
        own = self.own("own")
        self.assertEqual((own["ready"], own["copy_0__acked"], own["copy_2__acked"]), (3, 2 * n, 2 * n))
        self.assertGreater(own["copy_1__failed"], 0)
        self.assertIn("QP fatal, number 0x302", self.box.do("show events"))
        self.assertIn("in RTS again", self.box.do("reset qp 0x202"))
        self.assertIn("in RTS again", self.box.do("reset qp 0x302"))
        verbs.tool(self.box, self.box, argv, timeout_s=90)
        own = self.own("own")
        self.assertEqual((own["ready"], own["rejoined"], own["copy_1__acked"]), (4, 1, 2 * n))
        self.check_end([])


if __name__ == "__main__":
    runner.main()
