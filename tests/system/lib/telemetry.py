# SPDX-License-Identifier: BSD-3-Clause
"""DPDK telemetry, version 2: one JSON answer to each command, over a
SOCK_SEQPACKET socket. This is what dpdk-telemetry.py does."""

import json
import socket
import time


class Telemetry:
    """A connection. Waits for the socket to appear."""

    def __init__(self, path, timeout_s=60):
        limit = time.monotonic() + timeout_s
        while True:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.socket.settimeout(timeout_s)
            try:
                self.socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                self.socket.close()
                if time.monotonic() > limit:
                    raise
                time.sleep(0.02)
        self.info = json.loads(self.socket.recv(1024))

    def __call__(self, command, *params):
        """The answer to "/command,param,...", without the outer object."""
        self.socket.send(",".join([command, *map(str, params)]).encode())
        answer = json.loads(self.socket.recv(self.info["max_output_len"] + 1))
        return answer[command]

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
