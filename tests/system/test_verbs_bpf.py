#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Offloads written in eBPF in front of verbs programs, as doc/offload-bpf.md says: GETs served
while the server is stopped, an access log that changes nothing, a log that goes to a mirror, and a
program that is replaced under load."""

import os
import re
import signal
import socket
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import appliance, program, runner, verbs  # noqa: E402

WAIT_S = 60
KEYS = 500
GETS = 10000
OBJECTS = os.path.join(runner.build_dir(), "config", "offloads")


def bpf(name, program_name, **more):
    return {"name": name, "driver": "bpf", "program": {"object": f"{OBJECTS}/{program_name}.bpf.o", **more}}


CONFIG = {
    "filters": [{"name": "all", "object": appliance.filter_object("all")},
                {"name": "gets", "object": appliance.filter_object("by_payload_key"),  # "PKV1", GET
                 "params": {"value": 5785812914757697536, "mask": 9223372036837998592}}],
    "offloads": [bpf("kv", "kv_get"), bpf("log", "access_log", params={"region_shift": 20}),
                 bpf("wal", "wal_mirror")],
    "apps": [{"name": "sink", "driver": "sink"}],
    "qps": [{"name": "copy", "type": "RC", "app": "sink", "qpn": "0x201", "peer": verbs.GID[4],
             "dest_qpn": "0x301"},
            {"name": "mirror", "type": "RC", "offload": "wal", "qpn": "0x301", "peer": verbs.GID[4],
             "dest_qpn": "0x201", "timeout": 10, "retry_cnt": 3}],
    "app_proxy": [
        {"name": "kv", "match": {"exe": "phca-kv"},
         "rules": [{"filter": "gets", "offload": "kv", "direction": "inbound"}]},
        {"name": "wal", "match": {"exe": "ib_send_bw"},
         "rules": [{"filter": "all", "offload": "wal", "direction": "send"}]},
        {"name": "log", "match": {"exe": "ib*"}, "rules": [{"filter": "all", "offload": "log"}]}],
}


class Programs(unittest.TestCase):
    def setUp(self):
        self.box = verbs.Host(more=CONFIG)
        self.addCleanup(self.box.close)

    def until(self, what, condition):
        limit = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > limit:
                self.fail(f"not within {WAIT_S} s: {what}")
            time.sleep(0.02)

    def own(self, offload):
        return self.box.figures("/phca/offload", offload)["own"]

    def entries(self, offload, name):
        """The entries of a map, as the prompt shows them."""
        return dict(re.findall(r"^  (\S+) = (\S+)$", self.box.do(f"show map {offload} {name}"), re.M))

    def stats(self):
        return [int(v) for _, v in sorted(self.entries("kv", "stats").items())]

    def kv(self, *argv):
        return [runner.built("app/phca-kv/phca-kv"), "-p", str(self.port), *map(str, argv)]

    def server(self):
        self.port = verbs.next_port()
        p = program.Program(self.box.command(self.kv("-n", KEYS, "server")))
        self.addCleanup(p.close)
        p.expect(rf"^table at 0x[0-9a-f]+, rkey 0x[0-9a-f]+, 4096 buckets, {KEYS} keys$")
        return p

    def bench(self, count):
        """It is connected and waits for a line."""
        p = program.Program(self.box.command(self.kv("-w", "bench", "127.0.0.1", count)), tty=True)
        self.addCleanup(p.close)
        p.expect("connected")
        return p

    def served(self, bench, count):
        bench.expect(rf"^{count} GETs, \d+ a second$", WAIT_S)
        self.assertEqual(bench.wait(), 0)

    def test_gets_are_served_while_the_server_is_stopped(self):
        server = self.server()
        bench = self.bench(GETS)
        os.killpg(server.process.pid, signal.SIGSTOP)
        bench.write("\n")
        self.served(bench, GETS)
        self.assertEqual(self.stats(), [GETS, 0, 0, 0])
        os.killpg(server.process.pid, signal.SIGCONT)
        server.expect(r"^client 0 left; 0 GETs and 0 PUTs came here$", WAIT_S)

    def test_puts_go_to_the_server(self):
        server = self.server()
        put = self.box.run(*self.kv("put", "127.0.0.1", 17, "another value")).stdout
        self.assertIn("key 17: written", put)
        server.expect(r"^client 0 left; 0 GETs and 1 PUTs came here$", WAIT_S)
        self.assertIn("another value\n", self.box.run(*self.kv("get", "127.0.0.1", 17)).stdout)
        missing = self.box.run(*self.kv("get", "127.0.0.1", KEYS + 1), check=False)
        self.assertIn("No such file or directory", missing.stdout)
        self.assertEqual(self.stats(), [1, 1, 0, 0])
        # without the offload the same program does it alone
        self.box.do("detach qp all")
        self.box.do("set map kv table 0 {va=1,buckets=1}")
        self.box.do("set map kv stats 0 0")
        refused = self.box.run(*self.kv("get", "127.0.0.1", 17)).stdout
        self.assertIn("another value\n", refused)   # the table is not there: left to the server
        self.assertEqual(self.stats(), [0, 1, 0, 1])

    def test_whoever_connects_the_server_goes_on(self):
        server = self.server()
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        server.expect(r"^phca-kv: client 0: the other side is (gone|no phca-kv, or gone)$", WAIT_S)
        with socket.create_connection(("127.0.0.1", self.port)) as s:   # nonsense, of the length of a hello
            s.sendall(b"PKV1" + 52 * b"\0")
            server.expect(r"^phca-kv: client 0: Invalid argument$", WAIT_S)
        with socket.create_connection(("127.0.0.1", self.port)):        # says nothing
            server.expect(r"^phca-kv: client 0: the other side is no phca-kv, or gone$", WAIT_S)
        self.assertIn("key 17: written", self.box.run(*self.kv("put", "127.0.0.1", 17, "x")).stdout)
        for argv in (["get", "127.0.0.1", "17x"], ["get", "127.0.0.1", "-1"]):
            bad = self.box.run(*self.kv(*argv), check=False)
            self.assertEqual((bad.returncode, "a number up to" in bad.stdout), (1, True), bad.stdout)
        self.assertEqual(self.box.run(*self.kv("get", "127.0.0.1", 1, 2), check=False).returncode, 2)

    def test_replaced_under_load(self):
        server = self.server()
        count = 3 * GETS
        bench = self.bench(count)
        bench.write("\n")
        self.until("it serves", lambda: self.stats()[0] > 0)
        for _ in range(10):
            said = self.box.do("replace offload kv kv_get.bpf.o function kv_get")
            self.assertIn("offload kv: replaced by", said)
        bad = self.box.do("replace offload kv by_size.bpf.o")
        self.assertIn("The offload is unchanged", bad)
        self.served(bench, count)
        self.assertEqual(self.stats(), [count, 0, 0, 0])
        self.assertEqual(self.own("kv")["runs"], count)
        self.assertEqual(self.own("kv")["done"], count)
        server.expect(r"^client 0 left; 0 GETs and 0 PUTs came here$", WAIT_S)

    def test_access_log_counts_and_changes_nothing(self):
        n = 200
        _, out = verbs.tool(self.box, self.box, ["ibv_rc_pingpong", "-g", "1", "-c", "-n", str(n)])
        self.assertIn(f"{n} iters in", out)
        sums = {}
        for key, value in self.entries("log", "peers").items():
            k = dict(w.split("=") for w in key[1:-1].split(","))
            v = dict(w.split("=") for w in value[1:-1].split(","))
            sums.setdefault((k["opcode"], k["direction"]), []).append((int(v["requests"]), int(v["bytes"])))
            self.assertEqual(k["gid"], "::" if k["direction"] == "0" else f"::ffff:{verbs.GID[4]}")
        self.assertEqual(sums, {("0", "0"): [(n, n * 4096)] * 2, ("0", "1"): [(n, n * 4096)] * 2})
        for tool in ("ib_write_lat", "ib_read_lat", "ib_atomic_lat"):
            with self.subTest(tool):
                before = self.own("log")
                verbs.tool(self.box, self.box, [tool, "-x", "1", "-n", "300"])
                now = self.own("log")
                self.assertGreaterEqual(now["passed_on"] - before["passed_on"], 300)
                self.assertEqual(now["bad_return"], 0)

    def test_log_is_mirrored(self):
        n = 1000
        verbs.tool(self.box, self.box, ["ib_send_bw", "-x", "1", "-n", str(n), "-s", "2048"])
        wal, own = self.box.figures("/phca/offload", "wal"), self.own("wal")
        self.assertEqual((own["runs"] - own["again"], own["done"], own["errors"]), (n, n, 0))
        self.assertEqual((wal["children"], wal["child_errors"]), (2 * n, 0))
        self.assertEqual(self.box.figures("/phca/app", "sink")["own"]["completions"], n)

    def test_killed_in_the_middle(self):
        """The server whose memory is read, programs whose requests are passed on, and one whose
        log has a mirror: what they had is gone, the others go on."""
        before = self.box.left()
        server = self.server()
        bench = self.bench(100 * GETS)
        bench.write("\n")
        self.until("it serves", lambda: self.stats()[0] > GETS)
        os.killpg(server.process.pid, signal.SIGKILL)
        self.assertNotEqual(bench.wait(WAIT_S), 0)
        for tool, offload in (("ib_write_bw", "log"), ("ib_send_bw", "wal")):
            for victim in (0, 1):
                with self.subTest(tool, victim=victim):
                    port = verbs.next_port()
                    argv = ["timeout", "60", tool, "-x", "1", "-u", "10", "-n", "100000000", "-s", "2048",
                            "-p", str(port)]
                    pair = [program.Program(self.box.command(argv))]
                    self.addCleanup(pair[0].close)
                    self.until("it listens", lambda p=port: verbs.listens(p))
                    pair.append(program.Program(self.box.command([*argv, "127.0.0.1"])))
                    self.addCleanup(pair[1].close)
                    runs = self.own(offload)["runs"]
                    self.until("traffic", lambda o=offload, n=runs: self.own(o)["runs"] > n + 1000)
                    os.killpg(pair[victim].process.pid, signal.SIGKILL)
                    os.killpg(pair[not victim].process.pid, signal.SIGTERM)
                    self.until("nothing is left", lambda: self.box.left() == before)
                    self.assertEqual(self.box.figures("/phca/offload", offload)["in_flight"], 0)
        self.assertEqual(self.box.quit(), 0, self.box.output[-3000:])
        self.assertIn("mbufs leaked: 0", self.box.output)


if __name__ == "__main__":
    runner.main()
