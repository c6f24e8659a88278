#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The appliance against Linux Soft-RoCE: everything in this folder that is a test.

One virtual machine for all of them, so one program. PHCA_TEST_LONG=1 asks for the whole
matrix of tools."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import stage  # noqa: E402
import vm  # noqa: E402
from locks import Locks  # noqa: E402,F401
from offloads import Offloads  # noqa: E402,F401
from reduce import Reduce  # noqa: E402,F401
from resident import Resident  # noqa: E402,F401
if stage.LONG:
    from verbs import Whole, WholeProxies  # noqa: E402,F401
else:
    from verbs import Proxies, Verbs  # noqa: E402,F401


class Guest(stage.TestCase):
    def test_datacheck_sees_what_is_wrong(self):
        """In the guest alone: both ends expect the same, then they do not."""
        for seed, status in (1, 0), (2, 1):
            port = self.stage.next_port()
            server = self.guest.start(f"datacheck -g 1 -p {port} -n 8 -S 1")
            self.addCleanup(server.close)
            self.guest.listening(server, port)
            got, output = self.guest.run(
                f"datacheck -g 1 -p {port} -n 8 -S {seed} {vm.GUEST[4]}", check=False)
            self.assertEqual((got, server.wait()), (status, status), output + server.output)


if __name__ == "__main__":
    stage.run()
