# SPDX-License-Identifier: BSD-3-Clause
"""What the pingpong programs of rdma-core say to each other over TCP before they begin, so
that a queue pair of a resident application can stand in for either of them.

Both sides say LID, QP number, first PSN and GID as text; the client first. Then the client
says "done": the server's queue pair is ready, and the client's may send."""

import ipaddress
import re
import socket

LENGTH = len("0000:000000:000000:") + 32 + 1        # with the C string's end


class Party:
    """One side's queue pair, as it is told to the other."""

    def __init__(self, qpn, psn, address):
        """address: an IP address, as text; its GID is said."""
        self.qpn, self.psn, self.address = qpn, psn, address

    @classmethod
    def parse(cls, said):
        m = re.fullmatch(r"[0-9a-f]{4}:([0-9a-f]{6}):([0-9a-f]{6}):([0-9a-f]{32})",
                         said.rstrip(b"\0").decode())
        if not m:
            raise AssertionError(f"not what a pingpong program says: {said!r}")
        gid = ipaddress.IPv6Address(int(m.group(3), 16))
        return cls(int(m.group(1), 16), int(m.group(2), 16), str(gid.ipv4_mapped or gid))

    def said(self):
        a = ipaddress.ip_address(self.address)
        gid = int(a) if a.version == 6 else 0xffff << 32 | int(a)
        return f"0000:{self.qpn:06x}:{self.psn:06x}:{gid:032x}".encode() + b"\0"


def _receive(s, length):
    data = b""
    while len(data) < length:
        more = s.recv(length - len(data))
        if not more:
            raise AssertionError(f"the pingpong program said {data!r} and left")
        data += more
    return data


class Server:
    """Stands in for a server: the TCP part of it. Made before the client starts."""

    def __init__(self, namespace, port):
        with namespace.entered():
            self.listener = socket.create_server(("", port))
        self.listener.settimeout(30)

    def answer(self, make):
        """Wait for a client: make(its Party) creates the queue pair and tells ours."""
        s, _ = self.listener.accept()
        with s:
            s.settimeout(30)
            theirs = Party.parse(_receive(s, LENGTH))
            s.sendall(make(theirs).said())
            _receive(s, len("done\0"))
        return theirs

    def close(self):
        self.listener.close()


def ask(s, ours):
    """Stand in for a client on the connection s: the Party that the server tells."""
    s.sendall(ours.said())
    theirs = Party.parse(_receive(s, LENGTH))
    s.sendall(b"done\0")
    return theirs
