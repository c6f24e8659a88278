#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The loader, its schema and its documentation say the same.

    check_schema.py CONFIG_TOOL

config/proxyhca.schema.json and the tables in doc/configuration.md are what
lib/config makes them to be. python3-jsonschema is the second source: for some
thousand configurations, good ones and ones with one thing changed, it accepts
exactly what the loader accepts, except for what a schema cannot say (BEYOND).
"""
import copy
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest

import jsonschema

TOOL = sys.argv[1]
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")
SCHEMA = os.path.join(ROOT, "config/proxyhca.schema.json")
DOC = os.path.join(ROOT, "doc/configuration.md")

# Errors of the loader that no schema can express.
BEYOND = (
    r": no (port|filter|offload|app|SRQ|QP) named ", r"there is no port for this QP",
    r"means all QPs, and there is none", r"already; ", r"is there twice", r"there is no file ",
    r"is a multicast address", r"is the (unspecified|broadcast) address", r"is an IPv4 address; write it",
    r"is the address of \[", r"is no address; give", r"is in no prefix", r"is the port's own address",
    r"is an address of the port itself", r"no valid partition key", r"end behind 0xfffffe",
    r"are both 0", r"more than mtu", r"mbuf_size \d+ is less", r"more than memory.max_qp",
    r"overlaps with QP", r"end behind 0xffffff;", r"UC has neither READs",
    r"there is no user ", r"there is no group ", r"is less than min",
    r"belongs to another app", r"receives are those of", r"limit: \d+ is more than", r"is no multicast address",
    r"has peers on QPs of type", r"a QP of an offload takes no receives", r"which gets all its requests",
)

# Every key of every object, with everything that can be there.
FULL = {
    "$schema": "proxyhca.schema.json", "description": "d",
    "lcores": {"hca": [1, 2], "proxy": 0, "app": 0},
    "memory": {"mbufs": 2048, "mbuf_size": 8192, "max_qp": 8192, "max_mr": 5},
    "proxy": {"ring_size": 1024, "offload_max_packets": 17},
    "congestion": {"enabled": False, "ecn": False, "cnp_dscp": 46, "line_rate_mbps": 25000,
                   "gain_divisor": 128, "alpha_timer_us": 60, "rate_timer_us": 300,
                   "byte_counter_bytes": 150000, "fast_recovery_rounds": 3, "ai_rate_bps": 5000000,
                   "hai_rate_bps": 50000000, "min_rate_bps": 2000000, "cnp_interval_us": 4,
                   "burst_bytes": 0},
    "host": {"socket": "/tmp/s", "device": "rdma0", "mode": "0660", "group": 0,
             "limits": {"clients": 3, "pds": 4, "mrs": 5, "mws": 6, "channels": 7, "cqs": 8, "srqs": 9,
                        "qps": 10, "registered_mib": 11, "remote": False,
                        "queues_mib": 12}},
    "ports": [
        {"name": "p0", "description": "d", "device": "net_pcap0", "mtu": 2048, "vlan": 7,
         "addresses": ["192.0.2.1/24", "2001:db8::1/64"], "mac": "02:00:00:00:00:01",
         "neighbours": [{"address": "192.0.2.2", "mac": "02:00:00:00:00:02"}], "promiscuous": True,
         "gateway4": "192.0.2.254", "gateway6": "fe80::1", "rx_descriptors": 64, "tx_descriptors": 64},
        {"name": "p1", "id": 1, "addresses": ["198.51.100.1/32"]}],
    "filters": [
        {"name": "f", "description": "d", "object": "x.o", "program": "prog",
         "params": {"n": -5, "b": True, "s": "t"},
         "maps": {"m": {"10.0.0.0/8": "1", "k": 2, "l": [1, -2]}}}],
    "offloads": [{"name": "o", "description": "d", "driver": "delay",
                  "settings": {"u": 7, "b": False, "s": "x"}, "time_limit_us": 0,
                  "program": {"object": "x.o", "function": "f", "params": {"n": -5, "s": "t"},
                              "maps": {"m": {"k": 2, "l": [1, -2]}}}}],
    "apps": [{"name": "a", "description": "d", "driver": "echo", "settings": {"u": 1}}],
    "srqs": [{"name": "s", "description": "d", "app": "a", "max_wr": 64, "max_sge": 2, "limit": 8}],
    "qps": [
        {"name": "ud", "description": "d", "type": "UD", "app": "a", "port": "p1", "qpn": "0x10",
         "mcast": ["239.1.1.1"], "count": 4, "max_send_wr": 1, "max_recv_wr": 2, "max_send_sge": 3, "max_recv_sge": 4,
         "max_inline": 5, "sq_sig_all": True, "pkey": "0x8001", "qkey": 7, "sq_psn": 1},
        {"name": "uc", "type": "UC", "app": "a", "qpn": 32, "rq_psn": 77, "dest_qpn": "0x123456",
         "peer": "192.0.2.2", "path_mtu": 1024, "access": ["remote_write"]},
        {"name": "rc", "type": "RC", "app": "a", "srq": "s",
         "dest_qpn": 9, "peer": "192.0.2.2", "timeout": 1,
         "traffic_class": 104, "hop_limit": 2, "retry_cnt": 1, "rnr_retry": 2, "min_rnr_timer": 31,
         "max_rd_atomic": 3, "max_dest_rd_atomic": 4, "access": ["remote_read", "remote_atomic"]},
        {"name": "of", "type": "RC", "offload": "o", "dest_qpn": 10, "peer": "192.0.2.2"}],
    "proxy_qps": [{"description": "d", "qps": ["uc"], "window": 64,
                   "rules": [{"name": "r", "filter": "f", "offload": "o", "direction": "send"}]},
                  {"qps": ["ud"]}],
    "app_proxy": [
        {"name": "kv", "description": "d", "window": 16,
         "match": {"exe": "ib_*_bw", "user": "root", "transport": "RC",
                   "cq_depth": {"min": 2, "max": 100}, "peer": "192.0.2.0/24"},
         "rules": [{"filter": "f", "offload": "o"}]},
        {"name": "rest", "match": {"user": 0, "peer": "2001:db8::1"}}],
}

ANY = [None, True, False, 0, 1, -1, 2, 15, 16, 1.0, 1.5, 64.0, 1e3, -0.0, 2**31, 2**32, 2**63 - 1, -2**63, 1e19,
       "", "x", "*", "a b", "-x", "ä", "0x1", "0X1F", "0x", "0xg", "12", "both", "UC", "UD", "RC",
       "x" * 63, "x" * 64, "x" * 128, [], [1], ["x"], ["uc", "ud"], [[]], {}, {"x": 1}, {"x": {}},
       {"x": None}, {"x": {"y": 1}}, {"x": {"y": [1, 2.0]}}, {"x": {"y": [1.5]}}, {"x": {"y": []}},
       {"1x": 1}, {"a-b": "s"}, {"x": 2**63 - 1}, {"x": -1}, {"x": 1.5}, {"x": "é\n"}, {"x": {"": 1}},
       {"x": {"é": 1}}, {"x": {"y": "é"}}, {"x": {"y": "z" * 2047}}, {"x": {"y": "z" * 2048}},
       {"x": {"y": True}}, {"x": {"y" * 256: 1}}, {"x": {"y": [0] * 65}}, {"x": {"y": ["1"]}},
       [{}], ["remote_write"], ["remote_read"], ["remote_write", "remote_write"],
       "192.0.2.9", "fe80::2", "192.0.2.9/24", "02:00:00:00:00:09", "02:00:00:00:00", "0G:00:00:00:00:00",
       "03:00:00:00:00:01", ["192.0.2.9/24"], ["fe80::9/64", "192.0.2.9"], ["192.0.2.9/33"]]


def node(data, path):
    for p in path:
        data = data[p]
    return data


def paths(data, at=()):
    """Paths of all values below data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for k, v in items:
        yield at + (k,)
        yield from paths(v, at + (k,))


def limits(schema):
    """Numbers just inside and outside of every range in the schema."""
    found = set()
    if isinstance(schema, dict):
        for k in ("minimum", "maximum"):
            if k in schema:
                found |= {schema[k] - 1, schema[k], schema[k] + 1}
        for e in schema.get("enum", []):
            if isinstance(e, int):
                found |= {e - 1, e, e + 1}
        schema = list(schema.values())
    if isinstance(schema, list):
        for s in schema:
            found |= limits(s)
    return {n for n in found if -2**63 <= n < 2**63}


def changed(path, value):
    data = copy.deepcopy(FULL)
    node(data, path[:-1])[path[-1]] = value
    return data


def mutations(schema):
    """Configurations with one thing changed."""
    numbers = sorted(limits(schema))
    for path in paths(FULL):
        data = copy.deepcopy(FULL)
        del node(data, path[:-1])[path[-1]]
        yield data
        old = node(FULL, path)
        if isinstance(old, dict):
            yield changed(path + ("unknown",), 1)
        numeric = isinstance(old, int) or isinstance(old, str) and old.startswith("0x")
        for v in ANY + (numbers if numeric else []):
            yield changed(path, v)
        if numeric:
            for n in numbers:
                if n >= 0:
                    yield changed(path, "0x%x" % n)
        if isinstance(old, list):
            for n in (0, 1, 2, 16, 17):
                yield changed(path, [old[0]] * n)


def address_texts(rng):
    """IP addresses, some of them nearly."""
    for _ in range(1500):
        groups = ["%x" % rng.getrandbits(rng.choice((1, 8, 16))) for _ in range(rng.randint(0, 9))]
        if groups and rng.random() < 0.3:
            groups[-1] = ".".join(str(rng.randint(0, 300 if rng.random() < 0.1 else 255))
                                  for _ in range(rng.choice((4, 4, 4, 3, 5))))
        text = ":".join(groups)
        for _ in range(rng.choice((0, 1, 1, 2))):
            at = rng.randint(0, len(text))
            text = text[:at] + rng.choice(("::", "::", ":", "0")) + text[at:]
        yield text
    for _ in range(300):
        yield ".".join(rng.choice(("0", "00", "01", "1", "9", "10", "99", "100", "199", "249", "255", "256",
                                   "")) for _ in range(rng.choice((4, 4, 4, 3, 5))))


class Schema(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(SCHEMA) as f:
            cls.schema = json.load(f)
        kind = jsonschema.validators.validator_for(cls.schema)
        kind.check_schema(cls.schema)
        cls.validator = kind(cls.schema)
        cls.folder = tempfile.TemporaryDirectory()
        open(os.path.join(cls.folder.name, "x.o"), "w").close()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def loader(self, configs):
        """What the loader says to each: "ok", or its error."""
        out = []
        for at in range(0, len(configs), 500):
            names = []
            for i, c in enumerate(configs[at:at + 500]):
                names.append(os.path.join(self.folder.name, "%d.json" % i))
                with open(names[-1], "w") as f:
                    json.dump(c, f)
            r = subprocess.run([TOOL, "check"] + names, stdout=subprocess.PIPE)
            out += r.stdout.decode("utf-8", "replace").splitlines()
        self.assertEqual(len(out), len(configs))
        return out

    def agree(self, configs):
        """How often both accept, both refuse, only the loader refuses."""
        both, neither, beyond = 0, 0, 0
        for c, said in zip(configs, self.loader(configs)):
            valid = self.validator.is_valid(c)
            if said == "ok":
                self.assertTrue(valid, f"loader accepts, schema refuses: {json.dumps(c)}")
                both += 1
            elif not valid:
                neither += 1
            else:
                self.assertTrue(any(re.search(b, said) for b in BEYOND),
                                f"schema accepts, loader refuses: {said}")
                beyond += 1
        return both, neither, beyond

    def test_committed_schema_is_what_the_library_makes(self):
        made = subprocess.run([TOOL, "schema"], stdout=subprocess.PIPE, check=True).stdout.decode()
        with open(SCHEMA) as f:
            self.assertEqual(f.read(), made, "run: config-tool schema >config/proxyhca.schema.json")

    def test_every_object_is_closed(self):
        def walk(s, at):
            if isinstance(s, dict):
                if "properties" in s and s.get("type") == "object":
                    self.assertIs(s["additionalProperties"], False, at)
                    for k, v in s["properties"].items():
                        self.assertTrue(v.get("description"), f"{at}.{k}")
                for k, v in s.items():
                    walk(v, f"{at}.{k}")
        walk(self.schema, "$")

    def test_full_configuration_has_every_key(self):
        self.assertEqual(self.agree([FULL, {}]), (2, 0, 0))
        keys = set()

        def walk(s):
            if isinstance(s, dict):
                if s.get("type") == "object":
                    keys.update(s.get("properties", {}))
                for v in s.values():
                    walk(v)
        walk(self.schema)
        have = {p[-1] for p in paths(FULL)}
        self.assertEqual(keys - have, set())

    def test_agree_on_one_change(self):
        configs = list(mutations(self.schema))
        if os.environ.get("PHCA_TEST_LONG", "0") in ("", "0"):
            configs = random.Random(2).sample(configs, 5000)
        both, neither, beyond = self.agree(configs)
        self.assertGreater(both, 200)
        self.assertGreater(neither, 2000)
        self.assertGreater(beyond, 50)

    def test_agree_on_addresses(self):
        texts = list(address_texts(random.Random(1)))
        both, neither, _ = self.agree([changed(("qps", 1, "peer"), t) for t in texts])
        self.assertGreater(both, 200)
        self.assertGreater(neither, 200)
        prefixes = [str(n) for n in range(0, 140)] + ["", "00", "01", "-1", "1 ", "999", "1e1"]
        both, neither, _ = self.agree([changed(("ports", 1, "addresses"), [a + "/" + p])
                                       for p in prefixes for a in ("10.1.2.3", "fd00::1")])
        self.assertEqual(both, 33 + 129)
        self.assertGreater(neither, 100)

    def test_configurations_of_the_project_load(self):
        folder = os.path.dirname(SCHEMA)
        names = [os.path.join(folder, n) for n in sorted(os.listdir(folder))
                 if n.endswith(".json") and not n.endswith(".schema.json")]
        self.assertGreaterEqual(len(names), 2)
        r = subprocess.run([TOOL, "check"] + names, stdout=subprocess.PIPE)
        self.assertEqual(r.stdout.decode().splitlines(), ["ok"] * len(names))
        for n in names:
            with open(n) as f:
                self.validator.validate(json.load(f))

    def test_documentation_has_the_rows(self):
        rows = subprocess.run([TOOL, "rows"], stdout=subprocess.PIPE, check=True).stdout.decode()
        with open(DOC) as f:
            doc = f.read()
        for block in re.split(r"\n(?=### )", rows.strip()):
            # by block, for the same key is in several objects
            self.assertIn(block.strip() + "\n", doc)
        want = re.findall(r"^\| `.*", rows, re.M)
        have = re.findall(r"^\| `.*", doc, re.M)
        self.assertEqual([r for r in have if r not in want], [])

    def test_examples_of_the_documentation_load(self):
        with open(DOC) as f:
            blocks = re.findall(r"^```json\n(.*?)^```", f.read(), re.S | re.M)
        self.assertGreater(len(blocks), 1)
        whole = [json.loads(b) for b in blocks]
        for c in whole:
            for f in c.get("filters", []):
                f["object"] = "x.o"
        self.assertEqual(self.agree(whole), (len(whole), 0, 0))


def main():
    result = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2).result
    failed = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    sys.stderr.flush()
    passed = max(0, result.testsRun - failed - skipped)  # setUpClass may fail instead of a test
    print(f"tests {passed} passed {failed} failed {skipped} skipped")
    return failed != 0 or result.testsRun == 0


if __name__ == "__main__":
    sys.exit(main())
