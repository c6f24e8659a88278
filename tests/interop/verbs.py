# SPDX-License-Identifier: BSD-3-Clause
"""Unmodified verbs programs at both ends: over the drop-in library here, over rxe in the
guest. What they measure says nothing; that they end well, and what datacheck checks, does."""

import stage
from stage import system
from tools import GUEST, HERE, Meeting, our_gids

LOSS = "drop p=0.01"
SIZES = ("256", "512", "1024", "2048", "4096")      # MTUs


def _each(tool, *options):
    return [[tool, *o.split()] for o in options]


PINGPONGS = [
    *_each("ibv_rc_pingpong", "", "-e", "-c", "-e -c -N", "-s 100000 -n 100",
           *(f"-m {m}" for m in SIZES)),
    *_each("ibv_uc_pingpong", "", "-e", "-s 100000 -n 100"),
    *_each("ibv_ud_pingpong", "", "-e"),
    *_each("ibv_srq_pingpong", "", "-e"),
]
SENDS = [
    *_each("ib_send_bw", "", "-e", "-b", "-q 16 -s 4096", "--use-srq", "--use-srq -q 4 -s 4096",
           "-c UC -s 4096", "-c UC -s 4096 -b", "-c UD -s 1024", "-c UD -s 1024 -b -e", "-a -n 5", "-I 32 -s 32",
           *(f"-m {m}" for m in SIZES)),
    *_each("ib_send_lat", "", "-e", "-c UC", "-c UD", "-a -n 5", "-I 32", "--use-srq"),
]
WRITES = [
    *_each("ib_write_bw", "", "-b", "-q 16 -s 4096", "-c UC", "-c UC -b", "-a -n 5", "-I 32 -s 32",
           *(f"-m {m}" for m in SIZES)),
    *_each("ib_write_lat", "", "-c UC", "-a -n 5", "-I 32"),
]
READS = [
    *_each("ib_read_bw", "", "-e", "-b", "-q 16 -s 4096", "-a -n 5", "-o 1",
           *(f"-m {m}" for m in SIZES)),
    *_each("ib_read_lat", "", "-e", "-a -n 5"),
]
ATOMICS = [
    *_each("ib_atomic_bw", "", "-A FETCH_AND_ADD", "-A CMP_AND_SWAP", "-b", "-q 16"),
    *_each("ib_atomic_lat", "", "-A FETCH_AND_ADD"),
]
DATA = [
    *_each("datacheck", "-c RC", "-c UC", "-c UD", "-c RC -m 256 -S 2", "-c RC -m 4096 -S 3 -s 200000",
           "-c UD -m 4096 -s 4096 -S 4"),
]
# One of each, the server here or there, IPv4 or IPv6.
SHORT = [
    (HERE, 4, "ibv_rc_pingpong -e -c"), (GUEST, 6, "ibv_uc_pingpong"),
    (HERE, 6, "ibv_ud_pingpong -e"), (GUEST, 4, "ibv_srq_pingpong"),
    (GUEST, 4, "ib_send_bw -q 16 -s 4096"), (HERE, 4, "ib_send_bw -c UD -s 1024"),
    (HERE, 6, "ib_write_bw -b"), (GUEST, 4, "ib_read_bw -e"),
    (HERE, 4, "ib_atomic_bw"), (GUEST, 6, "ib_write_lat -c UC"),
    (HERE, 4, "datacheck -c RC"), (GUEST, 6, "datacheck -c UC"), (HERE, 6, "datacheck -c UD"),
]
LOSSY = [
    *_each("datacheck", "-n 400", "-S 5"), *_each("ibv_rc_pingpong", "-c"),
    *_each("ib_send_bw", "-s 8192"), *_each("ib_write_bw", "-s 8192"),
    *_each("ib_read_bw", "-s 8192"), *_each("ib_atomic_bw", ""),
]


def argv_of(argv):
    """With a number of messages that an emulated processor has done soon, and a timeout that
    it keeps: 1 s. And with as many READs as both devices take, or perftest asks ours for as
    many as rxe says it takes."""
    if argv[0].startswith("ib_"):
        argv = [*argv, "-F", "-u", "18"]
    if argv[0].startswith(("ib_read", "ib_atomic")) and "-o" not in argv:
        argv = [*argv, "-o", "16"]
    if "-n" not in argv:
        argv = [*argv, "-n", "200"]
    return argv


class Case(stage.TestCase):
    """What runs a tool at both ends and wants it to end well."""

    more = None     # sections of the appliance's configuration

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stage.renew(cls.more)
        cls.stage.gids = our_gids(cls.stage)

    def meet(self, server, argv, family, **options):
        """Run one tool; the Meeting."""
        m = Meeting(self.stage, server, argv_of(argv), family, **options)
        self.assertEqual(set(m.statuses.values()), {0}, str(m))
        return m

    def both_ways(self, cases, families=(4, 6)):
        """Run each with the server here and there; go on after one that fails."""
        for argv in cases:
            for family in families:
                for server in HERE, GUEST:
                    with self.subTest(" ".join(argv), server=server, family=family):
                        self.meet(server, argv, family)


class Verbs(Case):
    """Plain queue pairs: one of each."""

    def test_tools(self):
        for server, family, text in SHORT:
            with self.subTest(text, server=server, family=family):
                self.meet(server, text.split(), family)

    def test_loss(self):
        self.impair(LOSS)
        for server in HERE, GUEST:
            with self.subTest(server=server):
                self.meet(server, ["datacheck"], 4)
        self.dropped()

    def dropped(self):
        """Packets were lost, both ways."""
        figures = self.box.figures("/phca/impair", "net_impair0")
        self.assertGreater(figures["rx"]["dropped"], 0)
        self.assertGreater(figures["tx"]["dropped"], 0)


class Whole(Verbs):
    """Plain queue pairs: all of it, both ways, both families."""

    def test_pingpongs(self):
        self.both_ways(PINGPONGS)

    def test_sends(self):
        self.both_ways(SENDS)

    def test_writes(self):
        self.both_ways(WRITES)

    def test_reads(self):
        self.both_ways(READS)

    def test_atomics(self):
        self.both_ways(ATOMICS)

    def test_data(self):
        self.both_ways(DATA)

    def test_what_rxe_lacks(self):
        """Timestamps of completions: asked of our end alone."""
        for server in HERE, GUEST:
            self.meet(server, ["ibv_rc_pingpong"], 4, here=["-t"])

    def test_loss(self):
        self.impair(LOSS)
        self.both_ways(LOSSY, (4,))
        self.dropped()


def proxies():
    """Which queue pairs of programs are proxy QPs: chosen by the program's name.

    What an offload finishes the HCA does not carry out, but for READs and atomics of the
    peer. So of what ib_write_bw sends and receives a part is not to be seen in memory, which
    it does not look at; all other programs would miss it. The offload "delay" carries out in
    another order than it was asked, which atomics on one word must not meet."""
    def one_in(n):
        return {"object": system.filter_object("one_in_n"), "params": {"n": n}}

    return {
        "filters": [
            {"name": "reads", "object": system.filter_object("by_opcode"),
             "params": {"send": False, "read": True, "atomic": False}},
            {"name": "atomics", "object": system.filter_object("by_opcode"),
             "params": {"send": False, "read": False, "atomic": True}},
            {"name": "huge", "object": system.filter_object("by_size"),
             "params": {"min_len": 1 << 30}},
            {"name": "some", **one_in(4)}, {"name": "others", **one_in(3)}],
        "offloads": [
            {"name": "null", "driver": "null"},
            {"name": "delay", "driver": "delay",
             "settings": {"delay_min_us": 10, "delay_max_us": 500, "seed": 7}}],
        "app_proxy": [
            {"name": "writes", "match": {"exe": "ib_write_bw"},
             "rules": [{"filter": "some", "offload": "delay"},
                       {"filter": "others", "offload": "null"}]},
            {"name": "rest", "match": {},
             "rules": [{"filter": "reads", "offload": "delay", "direction": "inbound"},
                       {"filter": "atomics", "offload": "null", "direction": "inbound"},
                       {"filter": "huge", "offload": "delay"}]}],
    }


class Proxies(Case):
    """All queue pairs of our end are proxy QPs."""

    more = proxies()
    cases = [(HERE, "datacheck -c RC"), (GUEST, "datacheck -c RC"),
             (GUEST, "ib_write_bw -q 4 -s 4096"), (HERE, "ibv_rc_pingpong -e -c")]

    def tools(self):
        for server, text in self.cases:
            with self.subTest(text, server=server):
                self.meet(server, text.split(), 4)

    def test_tools(self):
        self.tools()
        for name in ("reads", "atomics", "some", "others"):
            self.assertGreater(self.box.figures("/phca/filter", name)["offload"], 0, name)
        for name in ("null", "delay"):
            self.assertGreater(self.box.figures("/phca/offload", name)["succeeded"], 0, name)


class WholeProxies(Proxies):
    """The matrix again, IPv4; but no WRITE of more packets than may be held for an offload."""

    cases = DATA + PINGPONGS + SENDS + READS + ATOMICS \
        + [c for c in WRITES if c[0] == "ib_write_bw" and "-a" not in c] \
        + _each("ib_write_bw", "-s 1048576 -n 20")

    def tools(self):
        self.both_ways(self.cases, (4,))
