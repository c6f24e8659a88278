#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The symbols of our libibverbs.so.1, with their versions, against the distribution's:
none of its symbols may be missing, none of ours may be without a version.

  test_exports.py OURS
"""

import glob
import re
import subprocess
import sys
import unittest

OURS = sys.argv.pop(1)
THEIRS = glob.glob("/usr/lib/*/libibverbs.so.1")
PROVIDER_NODES = ("34", "57", "59", "64", "65")
# What rdma-core had after 44, of which programs are linked with it elsewhere.
NEWER = {
    "IBVERBS_1.15": "ibv_alloc_dmah ibv_dealloc_dmah ibv_reg_mr_ex",
    "IBVERBS_1.16": "ibv_dm_export_dmabuf_fd ibv_query_port_speed",
    "IBVERBS_1.17": "ibv_alloc_buf ibv_free_buf ibv_reg_buf_mr",
    "IBVERBS_1.18": "_ibv_query_comp_cntr_caps ibv_create_comp_cntr ibv_destroy_comp_cntr "
                    "ibv_export_buf_dmabuf_fd ibv_inc_comp_cntr ibv_inc_err_comp_cntr "
                    "ibv_qp_attach_comp_cntr ibv_read_comp_cntr ibv_read_err_comp_cntr "
                    "ibv_set_comp_cntr ibv_set_err_comp_cntr",
    "IBVERBS_PRIVATE_65": "ibv_cmd_alloc_dmah ibv_cmd_create_cq_ex2 ibv_cmd_reg_mr_ex ibv_wr_opcode_str",
}


def exports(path):
    """{(name, node, is default)} of a library."""
    out = subprocess.run(["objdump", "-T", path], check=True, stdout=subprocess.PIPE,
                         text=True).stdout
    found = set()
    for line in out.splitlines():
        if "*UND*" in line:
            continue
        m = re.search(r"\s(\(?)([A-Z][\w.]*)\)?\s+([\w.]+)$", line)
        if m:
            found.add((m.group(3), m.group(2), not m.group(1)))
        elif re.match(r"[0-9a-f]{8,}\s", line):
            found.add((line.split()[-1], "", True))
    return found


class Exports(unittest.TestCase):
    def test_all_of_the_distribution(self):
        if not THEIRS:
            self.skipTest("libibverbs1 is not installed")
        theirs = exports(THEIRS[0])
        self.assertGreater(len(theirs), 150)
        self.assertEqual(sorted(theirs - exports(OURS)), [])

    def test_newer_ones(self):
        ours = exports(OURS)
        for node, names in NEWER.items():
            there = {n for n, at, _ in ours if at == node}
            self.assertEqual(set(names.split()) - there, set(), node)

    def test_nothing_without_a_version(self):
        nodes = {node for _, node, _ in exports(OURS)}
        self.assertNotIn("", nodes)
        self.assertEqual({n for n in nodes if not n.startswith("IBVERBS_")}, set())

    def test_nodes_of_other_distributions(self):
        ours = exports(OURS)
        private = {n for n, node, _ in ours if node == "IBVERBS_PRIVATE_34"
                   and not n.startswith(("IBVERBS_", "verbs_register_driver_"))}
        self.assertIn("ibv_cmd_create_qp_ex2", private)
        for number in PROVIDER_NODES:
            node = f"IBVERBS_PRIVATE_{number}"
            there = {n for n, at, _ in ours if at == node}
            self.assertIn(f"verbs_register_driver_{number}", there)
            self.assertEqual(private - there, set(), node)

    def test_needs_nothing_but_libc(self):
        out = subprocess.run(["objdump", "-p", OURS], check=True, stdout=subprocess.PIPE,
                             text=True).stdout
        needed = re.findall(r"NEEDED\s+(\S+)", out)
        self.assertEqual([n for n in needed if not n.startswith(("libc.so", "ld-linux"))], [])
        self.assertIn("libibverbs.so.1", re.findall(r"SONAME\s+(\S+)", out))


def main():
    result = unittest.main(exit=False, verbosity=0).result
    bad, skipped = len(result.failures) + len(result.errors), len(result.skipped)
    print(f"tests {result.testsRun - bad - skipped} passed {bad} failed {skipped} skipped")
    return bad != 0 or result.testsRun == 0


sys.exit(main())
