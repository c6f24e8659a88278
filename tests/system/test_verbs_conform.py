#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What verbs promise, call by call, on the drop-in library: the cases of tests/conform,
and the library loaded and unloaded by hand."""

import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import runner, verbs  # noqa: E402

# A plugin that is loaded, opens the device and is unloaded, several times.
LOADED = """
import _ctypes, ctypes
for i in range(3):
    v = ctypes.CDLL("libibverbs.so.1")
    v.ibv_get_device_list.restype = ctypes.POINTER(ctypes.c_void_p)
    v.ibv_open_device.restype = ctypes.c_void_p
    n = ctypes.c_int()
    devices = v.ibv_get_device_list(ctypes.byref(n))
    context = v.ibv_open_device(ctypes.c_void_p(devices[0]))
    assert n.value == 1 and context
    assert v.ibv_close_device(ctypes.c_void_p(context)) == 0
    v.ibv_free_device_list(devices)
    _ctypes.dlclose(v._handle)
print("loaded")
"""


class Conform(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = verbs.Host()
        cls.addClassCleanup(cls.box.close)

    def test_cases(self):
        for user in (None, verbs.NOBODY):
            out = self.box.run(runner.built("tests/conform/verbs-conform"), user=user, check=False)
            for name in re.findall(r"^FAILED (\w+)", out.stdout, re.M):
                with self.subTest(case=name, user=user):
                    self.fail(next(x for x in out.stdout.splitlines() if x.startswith(f"FAILED {name}")))
            self.assertEqual(out.returncode, 0, out.stdout)
            self.assertGreater(len(re.findall(r"^ok ", out.stdout, re.M)), 30)
        self.assertEqual(self.box.settled(), {})

    def test_loaded_by_hand(self):
        self.assertIn("loaded", self.box.run("/usr/bin/python3", "-c", LOADED).stdout)


if __name__ == "__main__":
    runner.main()
