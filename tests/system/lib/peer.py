# SPDX-License-Identifier: BSD-3-Clause
"""Conversations with the appliance, scapy's end.

A Conversation is the tester's end of the wire: it hands what arrives to the Peer
whose queue pair it is for, holds every frame from the appliance to what all of
them must be, and has tshark decode all that was said when it is over. A Peer is
one queue pair there: it counts PSNs and messages both ways by itself."""

import collections
import time

from lib import appliance

import roce_scapy as roce
from scapy.contrib.roce import BTH
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

PSN_MASK = 0xffffff
CNP = roce.OPCODE["CNP"]

# AETH syndromes (IBTA volume 1, 9.7.5.1.1, tables 45 to 47)
ACK = 0x1f              # no end-to-end flow control
RNR = 0x20              # and the code of the time to wait
NAK_SEQUENCE, NAK_INVALID_REQUEST, NAK_REMOTE_ACCESS, NAK_REMOTE_OPERATION = 0x60, 0x61, 0x62, 0x63


def psn(value):
    """A number as a PSN."""
    return value & PSN_MASK


class Frame:
    """One RoCEv2 frame: its bytes, and its fields by the names of scapy's layers."""

    def __init__(self, raw):
        self.raw = bytes(raw)
        self.packet = Ether(self.raw)
        self.bth = self.packet[BTH]
        self.name, self.headers = roce.OPCODES[self.bth.opcode]
        layer = self.bth.payload
        self.fields = {"psn": self.bth.psn, "dqpn": self.bth.dqpn, "ackreq": self.bth.ackreq,
                       "solicited": self.bth.solicited}
        for header in self.headers:
            assert isinstance(layer, header), f"{self.name}: {header.__name__} is missing"
            self.fields.update(layer.fields)
            layer = layer.payload
        body = bytes(layer)
        self.pad = body[len(body) - self.bth.padcount:]
        self.data = body[:len(body) - self.bth.padcount]

    def __getattr__(self, name):
        try:
            return self.__dict__["fields"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self):
        return f"{self.name}({self.fields}, {len(self.data)} bytes)"


class Conversation:
    """One appliance, one wire, any number of peers.

    pair    lib.net.Pair of the appliance
    family  4 or 6
    mtu     path MTU
    """

    def __init__(self, pair, family=4, mtu=1024):
        self.tester = appliance.Tester(pair, family)
        self.pair, self.family, self.mtu = pair, family, mtu
        self.macs = pair.mac("appliance"), pair.mac("tester")
        self.waiting = collections.defaultdict(collections.deque)
        self.said = []          # every frame, both ways
        self.ports = {}         # UDP source port, by QP number

    def send(self, *frames):
        self.said += frames
        self.tester.send(*frames)

    def receive(self, qpn, timeout_s):
        """The next frame to a queue pair of ours; None: none came."""
        limit = time.monotonic() + timeout_s
        while not self.waiting[qpn]:
            raw = self.tester.reply(max(0.0, limit - time.monotonic()))
            if raw is None:
                return None
            self.said.append(raw)
            frame = Frame(raw)
            self.check(frame)
            self.waiting[frame.dqpn].append(frame)
        return self.waiting[qpn].popleft()

    def check(self, frame):
        """What every frame from the appliance must be, whatever it says."""
        packet, bth = frame.packet, frame.bth

        def same(what, got, want):
            assert got == want, f"{frame}: {what} is {got!r}, not {want!r}\n{frame.raw.hex()}"

        same("Ethernet", (packet.src, packet.dst), self.macs)
        addresses = appliance.ADDRESS[self.family], appliance.TESTER[self.family]
        if self.family == 4:
            ip = packet[IP]
            same("IP header", (ip.version, ip.ihl, ip.flags, ip.frag, ip.proto),
                 (4, 5, "DF", 0, 17))
        else:
            ip = packet[IPv6]
            same("IP header", (ip.version, ip.nh), (6, 17))
        same("addresses", (ip.src, ip.dst), addresses)
        udp = packet[UDP]
        same("UDP", (udp.dport, udp.chksum, udp.sport >= 0xc000), (roce.PORT, 0, True))
        # one flow for all that a queue pair says
        same("UDP source port", udp.sport, self.ports.setdefault(frame.dqpn, udp.sport))
        same("BTH", (bth.version, bth.migreq, bth.pkey, bth.resv6, bth.resv7, bth.fecn, bth.becn),
             (0, frame.name.startswith(("RC", "UC")), 0xffff, 0, 0, 0, bth.opcode == CNP))
        same("pad", (bth.padcount, frame.pad), (-len(frame.data) % 4, bytes(bth.padcount)))
        if not roce.has_payload(bth.opcode):
            same("payload", frame.data, b"")
        elif not roce.ends_message(bth.opcode):
            same("payload bytes", len(frame.data), self.mtu)
        else:
            same("payload of at most a path MTU", len(frame.data) <= self.mtu, True)
        # The same packet once more, lengths, checksums and iCRC computed by scapy.
        again = packet.copy()
        for layer, field in ((IP, "len"), (IP, "chksum"), (IPv6, "plen"), (UDP, "len"),
                             (BTH, "icrc")):
            if layer in again:
                delattr(again[layer], field)
        same("what scapy builds", bytes(again), frame.raw)
        same("iCRC", frame.raw[-4:], roce.icrc(frame.raw))

    def silent(self, *peers):
        """The appliance has said nothing more to these."""
        for p in peers:
            assert not self.waiting[p.qpn], f"unexpected: {self.waiting[p.qpn]}"

    def decoded(self):
        """tshark's opinion of all that was said: it agrees with scapy, frame by frame."""
        names = {"opcode": "bth.opcode", "dqpn": "bth.destqp", "psn": "bth.psn",
                 "ackreq": "bth.a", "padcount": "bth.padcnt",
                 "syndrome": "aeth.syndrome", "msn": "aeth.msn", "va": "reth.va",
                 "rkey": "reth.r_key", "len": "reth.dmalen", "qkey": "deth.q_key",
                 "sqpn": "deth.srcqp", "orig": "atomicacketh.origremdt",
                 "swap_add": "atomiceth.swapdt", "cmp": "atomiceth.cmpdt", "imm": "immdt",
                 "inv_rkey": "ieth", "icrc": "invariant.crc"}
        fields = [f"infiniband.{f}" for f in names.values()]
        seen = appliance.tshark(self.said, [*fields, "_ws.malformed", "_ws.expert.severity"])
        assert len(seen) == len(self.said), f"{len(seen)} of {len(self.said)} frames decoded"
        for raw, saw in zip(self.said, seen):
            frame = Frame(raw)
            assert "_ws.malformed" not in saw, f"tshark: malformed: {frame} {raw.hex()}"
            want = {**frame.bth.fields, **frame.fields}
            want["icrc"] = int.from_bytes(raw[-4:], "big")
            if frame.name == "CNP":     # an opcode that tshark does not know
                del want["icrc"]
            for name, field in names.items():
                if name in want:
                    told = saw.get(f"infiniband.{field}", [None])[0]
                    assert told, f"tshark finds no {field} in {frame} {raw.hex()}"
                    assert number(field, told) == want[name], \
                        f"tshark: {field} is {told}, scapy: {want[name]:#x} in {frame} {raw.hex()}"
        return len(seen)


def number(field, text):
    """A field of tshark's: decimal, hexadecimal, bytes, or a word for a boolean."""
    if text in ("True", "False"):
        return int(text == "True")
    return int(text.replace(":", ""), 16) if field in ("immdt", "ieth") else int(text, 0)


class Peer:
    """One queue pair of the tester's and the appliance's queue pair that it talks to.

    qpn    its own number; dest: the appliance's
    kind   "RC" or "UC"
    psn    first PSN that it sends; epsn: first PSN that it expects
    tos    traffic class that the appliance's frames must have; ttl: and their hop limit
    """

    def __init__(self, conversation, qpn, dest, kind="RC", psn=0, epsn=0, tos=0, ttl=64):
        self.conversation, self.qpn, self.dest, self.kind = conversation, qpn, dest, kind
        self.psn, self.epsn, self.tos, self.ttl = psn, epsn, tos, ttl
        self.msn = 0        # messages that the appliance has executed
        self.done = 0       # messages of the appliance's that we have

    # ------------------------------------------------------------- to the appliance

    def frame(self, op, data=b"", psn=None, ackreq=0, bth=None, **fields):
        """A frame of ours; the next PSN unless one is given, which does not move."""
        at = self.psn if psn is None else psn & PSN_MASK
        return self.conversation.tester.frame(
            f"{self.kind}_{op}", data,
            bth={"dqpn": self.dest, "psn": at, "ackreq": ackreq, "migreq": 1, **(bth or {})},
            **fields)

    def send(self, op, data=b"", psn=None, packets=1, **fields):
        """Send one packet. packets: PSNs that it takes (a READ: those of its responses)."""
        self.conversation.send(self.frame(op, data, psn, **fields))
        if psn is None:
            self.psn = self.psn + packets & PSN_MASK

    def message(self, op, data=b"", psn=None, ackreq=1, **fields):
        """Frames of a SEND or WRITE of any length: "SEND", "SEND_IMM", "WRITE", ..."""
        verb, _, tail = op.partition("_")
        tail = tail and "_" + tail
        mtu = self.conversation.mtu
        parts = [data[i:i + mtu] for i in range(0, len(data), mtu)] or [b""]
        fields.setdefault("len", len(data))
        at = self.psn if psn is None else psn
        frames = []
        for i, piece in enumerate(parts):
            last = i == len(parts) - 1
            frames.append(self.frame(f"{verb}_{part(i, len(parts))}{tail if last else ''}", piece,
                                     psn=at + i, ackreq=ackreq if last else 0, **fields))
        if psn is None:
            self.psn = self.psn + len(parts) & PSN_MASK
        return frames

    def say(self, op, data=b"", **fields):
        """Send a whole message."""
        self.conversation.send(*self.message(op, data, **fields))

    def ack(self, psn=None, syndrome=ACK):
        """Acknowledge the appliance's requests to psn, by default all of them."""
        at = self.epsn - 1 if psn is None else psn
        self.send("ACK", psn=at, syndrome=syndrome, msn=self.done & PSN_MASK)

    # ----------------------------------------------------------- from the appliance

    def get(self, timeout_s=60):
        """The next frame to this queue pair, whatever it is."""
        frame = self.conversation.receive(self.qpn, timeout_s)
        assert frame is not None, f"nothing came to QP {self.qpn:#x}"
        ip = frame.packet[IP if self.conversation.family == 4 else IPv6]
        got = (ip.tos, ip.ttl) if self.conversation.family == 4 else (ip.tc, ip.hlim)
        if frame.bth.opcode != CNP:
            assert got == (self.tos, self.ttl), \
                f"{frame}: traffic class and hop limit are {got}, not {(self.tos, self.ttl)}"
        return frame

    def expect(self, op, data=None, timeout_s=60, **fields):
        """The next frame is this one: opcode, payload, fields by scapy's names."""
        frame = self.get(timeout_s)
        want = op if op == "CNP" else f"{self.kind}_{op}"
        assert frame.name == want, f"{frame}: not {want} {fields}"
        for name, value in fields.items():
            got = getattr(frame, name)
            assert got == value, f"{frame}: {name} is {got:#x}, not {value:#x}"
        if data is not None:
            assert frame.data == data, \
                f"{frame}: payload\n{frame.data.hex()}\nnot\n{bytes(data).hex()}"
        return frame

    def acked(self, messages=1, syndrome=ACK):
        """Everything sent so far is acknowledged, with so many messages more than before."""
        self.msn = self.msn + messages & PSN_MASK
        return self.expect("ACK", psn=psn(self.psn - 1), syndrome=syndrome, msn=self.msn)

    def refused(self, syndrome, at=None):
        """A NAK of the packet with this PSN: by default the one that would come next."""
        return self.expect("ACK", psn=self.psn if at is None else at & PSN_MASK,
                           syndrome=syndrome, msn=self.msn)

    def incoming(self, op, length=None, asked=True, **fields):
        """A whole message of the appliance's, packet after packet: its frames.

        asked: whether its last packet asks for an acknowledgement; None: as it likes."""
        verb, _, tail = op.partition("_")
        tail = tail and "_" + tail
        frames = []
        while True:
            f = self.get()
            where = f.name[len(self.kind) + 1 + len(verb):]
            assert f.name.startswith(f"{self.kind}_{verb}_"), f"{f}: not part of {op}"
            want = psn(self.epsn + len(frames))
            assert f.psn == want, f"{f}: PSN {f.psn:#x}, not {want:#x}"
            begins, ends = where.startswith(("_FIRST", "_ONLY")), where.startswith(("_LAST", "_ONLY"))
            assert begins == (not frames), f"{f} after {frames}"
            frames.append(f)
            if ends:
                break
        assert where.replace("_LAST", "").replace("_ONLY", "") == tail, f"{f}: not {op}"
        if asked is not None:
            assert frames[-1].ackreq == (asked and self.kind == "RC"), f"AckReq of {frames[-1]}"
        for name, value in fields.items():
            with_it = [f for f in frames if name in f.fields]
            assert with_it and getattr(with_it[0], name) == value, \
                f"{name} is {[getattr(f, name) for f in with_it]}, not {value:#x} in {frames}"
        got = b"".join(f.data for f in frames)
        assert length is None or len(got) == length, f"{len(got)} bytes, not {length}"
        self.epsn = psn(self.epsn + len(frames))
        self.done += 1
        return frames

    def read(self, length, va, rkey):
        """READ memory: its bytes."""
        first = self.psn
        self.send("READ_REQ", packets=max(1, -(-length // self.conversation.mtu)), va=va,
                  rkey=rkey, len=length, ackreq=1)
        self.msn = self.msn + 1 & PSN_MASK
        return self.responses(length, first)

    def responses(self, length, first):
        """The packets that answer a READ, beginning with PSN first: their bytes."""
        mtu, data = self.conversation.mtu, b""
        packets = max(1, -(-length // mtu))
        for i in range(packets):
            where = part(i, packets)
            aeth = {} if where == "MIDDLE" else {"syndrome": ACK, "msn": self.msn}
            data += self.expect(f"READ_RESP_{where}", psn=psn(first + i), **aeth).data
        assert len(data) == length, f"{len(data)} bytes, not {length}"
        return data

    def respond(self, data, first, parts=None):
        """Answer a READ request that had PSN first: all packets, or those of the numbers in parts."""
        mtu = self.conversation.mtu
        packets = max(1, -(-len(data) // mtu))
        for i in range(packets) if parts is None else parts:
            self.send(f"READ_RESP_{part(i, packets)}", data[i * mtu:(i + 1) * mtu], psn=first + i,
                      syndrome=ACK, msn=self.done & PSN_MASK)

    def nothing(self):
        """Nothing that was received and not asked for."""
        self.conversation.silent(self)


def part(i, packets):
    """What packet i of so many is."""
    return "ONLY" if packets == 1 else "FIRST" if i == 0 else "LAST" if i == packets - 1 else "MIDDLE"


def payload(frames):
    """The message in frames."""
    return b"".join(f.data for f in frames)


def text(length, salt=0):
    """Bytes that differ from place to place."""
    return bytes((i * 7 + i // 251 + salt) & 0xff for i in range(length))
