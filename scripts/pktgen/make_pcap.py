#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make a pcap of RoCEv2 requests for the appliance to receive.

Traffic is a mix of flows. A flow is a set of queue pairs with the same
settings; every setting is an option of the command line, which is the default
of all flows, and a key of --flow, which overrides it for one:

  make_pcap.py -o roce.pcap -n 4096 --size 64 \\
      --flow "qpn=0x10-0x17 transport=UC op=SEND,WRITE_IMM rkey=0x100" \\
      --flow "qpn=0x18-0x1f transport=UD match=0.25 match-key=cafe0001" \\
      --error icrc=0.01 --error qkey=0.01 --summary -

The file holds whole messages only, so that a generator can loop it for ever.
PSNs start again with each loop, which is allowed: a UC responder takes any PSN
on the first packet of a message, and UD does not look at them.

Packets are assembled as bytes, 20,000 in 0.3 seconds; verify_pcap.py has scapy
take every one apart again and check lengths, checksums and the iCRC.
"""
import argparse
import ipaddress
import json
import random
import struct
import sys
import zlib
from collections import Counter

UDP_PORT = 4791
OPS = ("SEND", "SEND_IMM", "WRITE", "WRITE_IMM")
# BTH opcodes by transport and operation: FIRST, MIDDLE, LAST, ONLY.
OPCODES = {
    ("UC", "SEND"): (0x20, 0x21, 0x22, 0x24),
    ("UC", "SEND_IMM"): (0x20, 0x21, 0x23, 0x25),
    ("UC", "WRITE"): (0x26, 0x27, 0x28, 0x2a),
    ("UC", "WRITE_IMM"): (0x26, 0x27, 0x29, 0x2b),
    ("UD", "SEND"): (None, None, None, 0x64),
    ("UD", "SEND_IMM"): (None, None, None, 0x65),
}
RETH_OPCODES = {0x26, 0x2a, 0x2b}
IMM_OPCODES = {0x23, 0x25, 0x29, 0x2b, 0x65}
RESERVED_OPCODE = 0x3f

# What --error can do to a packet: the verdict that the appliance must give it,
# and the transports it makes sense for.
ERRORS = {
    "icrc": ("icrc", ("UC", "UD"), "a bit of the iCRC is flipped"),
    "qkey": ("qkey", ("UD",), "the Q_Key is another one"),
    "pkey": ("pkey", ("UC", "UD"), "the P_Key is of another partition"),
    "qpn": ("qpn", ("UC", "UD"), "the queue pair does not exist (--no-qpn)"),
    "opcode": ("opcode", ("UC", "UD"), "the opcode is reserved"),
    "version": ("bth_version", ("UC", "UD"), "the transport header version is 1"),
    "rkey": ("rkey", ("UC",), "WRITE with an rkey that does not exist"),
    "mac": ("not_ours", ("UC", "UD"), "the destination MAC address is another one"),
    "sequence": ("sequence", ("UC",), "SEND MIDDLE without a message under way"),
    "port": ("not_roce", ("UC", "UD"), "the UDP port is not RoCEv2's"),
}


def die(text):
    sys.exit("make_pcap.py: " + text)


def number(text):
    """A number, decimal or 0x hexadecimal."""
    return int(text, 0)


def number_list(text):
    """Numbers and ranges: 16,32-35 -> [16, 32, 33, 34, 35]."""
    out = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        first, last = number(low), number(high) if dash else number(low)
        if last < first:
            raise ValueError("range %s runs backwards" % part)
        out.extend(range(first, last + 1))
    return out


def ranges(text):
    """Numbers and ranges: 64,100-200 -> [(64, 64), (100, 200)]."""
    out = []
    for part in text.split(","):
        low, dash, high = part.partition("-")
        out.append((number(low), number(high) if dash else number(low)))
    return out


def op_list(text):
    ops = text.upper().split(",")
    for op in ops:
        if op not in OPS:
            raise ValueError("operation %s is none of %s" % (op, ", ".join(OPS)))
    return ops


def op_one(text):
    return op_list(text)[0]


def transport(text):
    if text.upper() not in ("UC", "UD"):
        raise ValueError("transport %s is neither UC nor UD" % text)
    return text.upper()


def mac(text):
    raw = bytes(int(byte, 16) for byte in text.split(":"))
    if len(raw) != 6:
        raise ValueError("%s is not a MAC address" % text)
    return raw


def yes_no(text):
    if text not in ("yes", "no"):
        raise ValueError("%s is neither yes nor no" % text)
    return text == "yes"


# Every setting of a flow: name, parser, default as text, help.
SETTINGS = (
    ("qpn", number_list, "0x10", "destination queue pairs: numbers and ranges"),
    ("peer-qpn", number, None, "UD: source queue pair (default: the destination's number)"),
    ("transport", transport, "UC", "UC or UD"),
    ("op", op_list, "SEND", "operations, each as likely: " + ", ".join(OPS)),
    ("size", ranges, "64", "message sizes in bytes: numbers and ranges, each as likely"),
    ("mtu", number, "1024", "UC: payload bytes of a packet, longer messages are cut up"),
    ("weight", float, "1", "how many packets in proportion to the other flows"),
    ("pkey", number, "0xffff", "partition key"),
    ("qkey", number, "0x11111111", "UD: queue key"),
    ("psn", number, "0", "first packet sequence number"),
    ("imm", number, "0", "immediate data of a queue pair's first message; counts up"),
    ("rkey", number, "0x100", "WRITE: remote key"),
    ("va", number, "0", "WRITE: remote address of the region"),
    ("span", number, "65536", "WRITE: bytes of the region that messages are spread over"),
    ("src-mac", mac, "02:00:00:00:00:02", "source MAC address"),
    ("dst-mac", mac, "02:00:00:00:00:01", "destination MAC address"),
    ("src-ip", ipaddress.ip_address, "192.0.2.2", "source address, IPv4 or IPv6"),
    ("dst-ip", ipaddress.ip_address, "192.0.2.1", "destination address, IPv4 or IPv6"),
    ("vlan", number, None, "VLAN tag (default: none)"),
    ("dscp", number, "0", "differentiated services code point"),
    ("udp-checksum", yes_no, None, "yes or no (default: IPv6 has one, IPv4 has zero)"),
    ("match", float, "0", "share of the messages that get the match-* settings, 0..1"),
    ("match-key", bytes.fromhex, None, "payload bytes of matching messages, hexadecimal;"
     " all others have something else there"),
    ("match-key-offset", number, "0", "where in the payload the key is"),
    ("match-op", op_one, None, "operation of matching messages"),
    ("match-size", number, None, "size of matching messages, bytes"),
    ("match-src-ip", ipaddress.ip_address, None, "UD: source address of matching messages"),
)


def checksum(data):
    """RFC 1071."""
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def icrc(l3):
    """iCRC of a packet given from its IP header up to the iCRC (annex A17)."""
    if l3[0] >> 4 == 6:
        at, masked = 40, bytearray(l3[:60])
        masked[0] |= 0x0f
        masked[1:4] = b"\xff\xff\xff"
        masked[7] = 0xff                    # hop limit
    else:
        at, masked = 20, bytearray(l3[:40])
        masked[1] = masked[8] = 0xff        # TOS, TTL
        masked[10:12] = b"\xff\xff"         # header checksum
    masked[at + 6:at + 8] = b"\xff\xff"     # UDP checksum
    masked[at + 12] = 0xff                  # FECN, BECN, reserved
    crc = zlib.crc32(b"\xff" * 8 + bytes(masked))
    return struct.pack("<I", zlib.crc32(l3[at + 20:], crc))


class Flow:
    """Settings of one --flow, checked."""

    def __init__(self, values):
        for name, value in values.items():
            setattr(self, name.replace("-", "_"), value)
        for op in self.op + ([self.match_op] if self.match_op else []):
            if (self.transport, op) not in OPCODES:
                die("%s has no %s" % (self.transport, op))
        longest = max([high for _, high in self.size] + [self.match_size or 0])
        if self.transport == "UD" and longest > self.mtu:
            die("UD message of %d bytes > mtu %d: UD messages are one packet"
                % (longest, self.mtu))
        if longest > self.span and any("WRITE" in op for op in self.op):
            die("WRITE of %d bytes > span %d: give a larger --span" % (longest, self.span))
        if self.src_ip.version != self.dst_ip.version:
            die("src-ip %s and dst-ip %s are of different families" % (self.src_ip, self.dst_ip))
        if self.match_src_ip and (self.transport != "UD"
                                  or self.match_src_ip.version != self.dst_ip.version):
            die("match-src-ip needs UD (a UC queue pair has one peer) and dst-ip's family")
        if self.match and not any((self.match_key, self.match_op, self.match_size,
                                   self.match_src_ip)):
            die("match=%g says how many match, but no match-* says what" % self.match)
        if self.match_key:
            shortest = min([low for low, _ in self.size] + [self.match_size or 1 << 32])
            end = self.match_key_offset + len(self.match_key)
            if end > shortest:
                die("match-key ends at byte %d, the shortest message has %d" % (end, shortest))
        if any(not 0 < qpn <= 0xffffff for qpn in self.qpn):
            die("qpn: must be 1..0xffffff")


class QueuePair:
    """One destination queue pair: where its sequence numbers are."""

    def __init__(self, flow, qpn, rng):
        self.flow, self.qpn, self.rng = flow, qpn, rng
        self.psn, self.messages = flow.psn, 0
        self.match_debt = rng.random() if 0 < flow.match < 1 else 0.0
        self.pending = []           # packets of the message under way
        self.count = Counter()

    def frame(self, opcode, payload, ext, src_ip=None, **bad):
        """One packet as bytes; bad overrides fields for --error."""
        flow = self.flow
        src_ip = src_ip or flow.src_ip
        pad = -len(payload) & 3
        bth_opcode = bad.get("wire_opcode", opcode)
        bth = struct.pack("!BBHII", bth_opcode, pad << 4 | bad.get("version", 0),
                          bad.get("pkey", flow.pkey), bad.get("qpn", self.qpn), self.psn)
        body = bth + ext + payload + b"\0" * pad
        udp_len = 8 + len(body) + 4
        udp = struct.pack("!HHHH", 0xc000 | (self.qpn * 2654435761 >> 8) & 0x3fff,
                          bad.get("port", UDP_PORT), udp_len, 0)
        if flow.dst_ip.version == 4:
            pseudo = src_ip.packed + flow.dst_ip.packed + struct.pack("!HH", 17, udp_len)
            ip = struct.pack("!BBHHHBBH", 0x45, flow.dscp << 2, 20 + udp_len, 0, 0x4000, 64, 17, 0)
            ip += src_ip.packed + flow.dst_ip.packed
            ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        else:
            pseudo = src_ip.packed + flow.dst_ip.packed + struct.pack("!II", udp_len, 17)
            ip = struct.pack("!IHBB", 6 << 28 | flow.dscp << 22, udp_len, 17, 64)
            ip += src_ip.packed + flow.dst_ip.packed
        l3 = ip + udp + body
        crc = icrc(l3)
        if bad.get("icrc"):
            crc = bytes((crc[0] ^ 1,)) + crc[1:]
        if flow.dst_ip.version == 6 if flow.udp_checksum is None else flow.udp_checksum:
            at = len(ip) + 6
            sum16 = checksum(pseudo + udp + body + crc) or 0xffff
            l3 = l3[:at] + struct.pack("!H", sum16) + l3[at + 2:]
        ether_type = b"\x08\x00" if flow.dst_ip.version == 4 else b"\x86\xdd"
        tag = b"" if flow.vlan is None else struct.pack("!HH", 0x8100, flow.vlan)
        self.psn = (self.psn + 1) & 0xffffff
        return bad.get("mac", flow.dst_mac) + flow.src_mac + tag + ether_type + l3 + crc

    def ext(self, opcode, length, imm, **bad):
        """Extended headers of an opcode."""
        flow, out = self.flow, b""
        if flow.transport == "UD":
            sqpn = self.qpn if flow.peer_qpn is None else flow.peer_qpn
            out += struct.pack("!II", bad.get("qkey", flow.qkey), sqpn)
        if opcode in RETH_OPCODES:
            slots = flow.span // length if length else 1
            at = flow.va + self.messages % slots * length
            out += struct.pack("!QII", at, bad.get("rkey", flow.rkey), length)
        if opcode in IMM_OPCODES:
            out += struct.pack("!I", imm)
        return out

    def payload(self, size, matches):
        """Payload that tells its message apart, with the key or without it."""
        flow, seq = self.flow, self.messages
        pattern = PATTERN[(seq * 7 + self.qpn) & 0xff:]
        data = pattern[:size] if size <= len(pattern) else \
            (pattern * (size // len(pattern) + 1))[:size]
        if flow.match_key:
            at, end = flow.match_key_offset, flow.match_key_offset + len(flow.match_key)
            key = flow.match_key if matches else bytes(b ^ 0xff for b in flow.match_key)
            data = data[:at] + key + data[end:]
        return data

    def matches(self):
        """Whether the next message matches: exactly the share, spread evenly."""
        self.match_debt += self.flow.match
        if self.match_debt < 1 - 1e-9:
            return False
        self.match_debt -= 1
        return True

    def message(self):
        """Make the packets of the next message and put them in pending."""
        flow, rng = self.flow, self.rng
        matches = self.matches()
        op = flow.match_op if matches and flow.match_op else rng.choice(flow.op)
        low, high = rng.choice(flow.size)
        size = flow.match_size if matches and flow.match_size is not None \
            else rng.randint(low, high)
        src_ip = flow.match_src_ip if matches else None
        first, middle, last, only = OPCODES[flow.transport, op]
        data = self.payload(size, matches)
        imm = flow.imm + self.messages & 0xffffffff
        n = max(1, -(-size // flow.mtu))
        for i in range(n):
            opcode = only if n == 1 else first if i == 0 else last if i == n - 1 else middle
            self.pending.append((opcode, data[i * flow.mtu:(i + 1) * flow.mtu],
                                 self.ext(opcode, size, imm), src_ip))
        self.messages += 1
        self.count["messages"] += 1
        self.count["matching"] += matches
        self.count["bytes"] += size
        # SEND and WRITE with immediate complete on the receive side.
        self.count["receives"] += op != "WRITE"
        self.count[op.lower()] += 1
        return matches

    def packet(self):
        """The next packet of this queue pair."""
        if not self.pending:
            self.message_matches = self.message()
        opcode, payload, ext, src_ip = self.pending.pop(0)
        self.count["packets"] += 1
        self.count["matching_packets"] += self.message_matches
        return self.frame(opcode, payload, ext, src_ip)

    def bad_packet(self, kind, no_qpn):
        """A packet that the appliance must refuse; between two messages only."""
        flow = self.flow
        bad = {"icrc": {"icrc": True}, "qkey": {"qkey": flow.qkey ^ 0x5a5a},
               "pkey": {"pkey": flow.pkey ^ 0x0101}, "qpn": {"qpn": no_qpn},
               "opcode": {"wire_opcode": RESERVED_OPCODE}, "version": {"version": 1},
               "rkey": {"rkey": flow.rkey ^ 0x7fff0000},
               "mac": {"mac": flow.dst_mac[:5] + bytes((flow.dst_mac[5] ^ 0x80,))},
               "sequence": {}, "port": {"port": UDP_PORT + 1}}[kind]
        op = "WRITE" if kind == "rkey" else "SEND"
        opcode = 0x21 if kind == "sequence" else OPCODES[flow.transport, op][3]
        size = flow.mtu if kind == "sequence" else min(flow.size[0][0], flow.mtu)
        self.count["errors"] += 1
        return self.frame(opcode, self.payload(size, False),
                          self.ext(opcode, size, 0, **bad), **bad)


PATTERN = bytes(i & 0xff for i in range(65536 + 256))


def make_packets(flows, args):
    """The whole traffic: list of frames, queue pairs, expected bad verdicts."""
    rng = random.Random(args.seed)
    qps, weights = [], []
    for flow in flows:
        for qpn in flow.qpn:
            qps.append(QueuePair(flow, qpn, rng))
            weights.append(flow.weight / len(flow.qpn))
    numbers = [qp.qpn for qp in qps]
    for qpn in numbers:
        if numbers.count(qpn) > 1:
            die("queue pair 0x%x is in two flows" % qpn)
    if args.no_qpn in numbers:
        die("--no-qpn 0x%x is one of the queue pairs" % args.no_qpn)
    kinds, shares = zip(*args.error) if args.error else ((), ())
    frames, verdicts, turn = [], Counter(), 0
    while len(frames) < args.packets:
        if args.order == "random":
            qp = rng.choices(qps, weights)[0]
        else:
            qp, turn = qps[turn % len(qps)], turn + 1
        if kinds and not qp.pending and rng.random() < sum(shares):
            kind = rng.choices(kinds, shares)[0]
            verdict, transports, _ = ERRORS[kind]
            if qp.flow.transport in transports:
                frames.append(qp.bad_packet(kind, args.no_qpn))
                verdicts[verdict] += 1
                continue
        frames.append(qp.packet())
    for qp in qps:                  # no message stays unfinished
        while qp.pending:
            frames.append(qp.packet())
    return frames, qps, verdicts


def write_pcap(path, frames, gap_us):
    """Classic pcap, Ethernet, microseconds: Pktgen reads no other."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for i, frame in enumerate(frames):
            sec, usec = divmod(i * gap_us, 1000000)
            out.write(struct.pack("<IIII", sec, usec, len(frame), len(frame)) + frame)


def summary(path, frames, qps, verdicts):
    """What is in the file, for a script that checks the appliance's figures."""
    return {
        "file": path,
        "packets": len(frames),
        "frame_bytes": sum(map(len, frames)),
        "refused": dict(sorted(verdicts.items())),
        "qps": {"0x%x" % qp.qpn: {"transport": qp.flow.transport, **dict(sorted(qp.count.items()))}
                for qp in qps},
    }


def parse_flow(text, base):
    """One --flow: base settings with those of text over them."""
    parsers = {name: parser for name, parser, _, _ in SETTINGS}
    values = dict(base)
    for word in text.split():
        name, equals, value = word.partition("=")
        if not equals or name not in parsers:
            die("--flow: %s is not a setting; settings are %s" % (word, ", ".join(parsers)))
        try:
            values[name] = parsers[name](value)
        except ValueError as error:
            die("--flow: %s: %s" % (word, error))
    return Flow(values)


def parse_error(text):
    kind, equals, share = text.partition("=")
    if kind not in ERRORS or not equals or not 0 < float(share) <= 1:
        raise argparse.ArgumentTypeError(
            "%s: KIND=SHARE, share in 0..1, kind one of %s" % (text, ", ".join(ERRORS)))
    return kind, float(share)


def parse_args(argv):
    errors = "\n".join("  %-9s %s (%s): %s" % (kind, verdict, ", ".join(where), text)
                       for kind, (verdict, where, text) in ERRORS.items())
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="errors: kind, verdict that must follow, transports\n" + errors)
    parser.add_argument("-o", "--output", required=True, help="pcap to write")
    parser.add_argument("-n", "--packets", type=number, default=1024,
                        help="how many packets; a few more when messages have to be ended")
    parser.add_argument("--flow", action="append", metavar="SETTINGS",
                        help="a flow: NAME=VALUE ..., names as the options below (repeatable)")
    parser.add_argument("--error", action="append", type=parse_error, default=[],
                        metavar="KIND=SHARE", help="share of packets made wrong (repeatable)")
    parser.add_argument("--no-qpn", type=number, default=0xfffffe,
                        help="a queue pair that does not exist, for --error qpn")
    parser.add_argument("--order", choices=("random", "round-robin"), default="random",
                        help="how queue pairs take turns, packet by packet")
    parser.add_argument("--seed", type=number, default=1, help="same seed, same file")
    parser.add_argument("--gap-us", type=number, default=1, help="time between packets")
    parser.add_argument("--summary", metavar="FILE", help="write figures as JSON; - is stdout")
    group = parser.add_argument_group("settings of a flow")
    for name, convert, default, text in SETTINGS:
        group.add_argument("--" + name, type=convert, default=default and convert(default),
                           help="%s%s" % (text, " (%s)" % default if default else ""))
    args = parser.parse_args(argv)
    base = {name: getattr(args, name.replace("-", "_")) for name, _, _, _ in SETTINGS}
    flows = [parse_flow(text, base) for text in args.flow or [""]]
    return args, flows


def main(argv=None):
    args, flows = parse_args(argv)
    frames, qps, verdicts = make_packets(flows, args)
    write_pcap(args.output, frames, args.gap_us)
    if args.summary:
        text = json.dumps(summary(args.output, frames, qps, verdicts), indent=2) + "\n"
        if args.summary == "-":
            sys.stdout.write(text)
        else:
            with open(args.summary, "w") as out:
                out.write(text)


if __name__ == "__main__":
    main()
