# SPDX-License-Identifier: BSD-3-Clause
"""RoCEv2 packets with scapy: every RC, UC and UD opcode, IPv4 and IPv6.

scapy.contrib.roce has BTH, AETH and the CNP's reserved bytes, and computes the
invariant CRC over IPv4. Here are the other extended headers, their order for
each opcode, pad and the iCRC over IPv6. It is a second source for lib/wire and
shares nothing with it: opcodes and header sets are written from the IBTA
specification (volume 1, 9.2.1 and 9.3), the iCRC is computed with zlib.

    frame = bytes(roce_scapy.frame(Ether(...) / IP(...), 0x64, b"payload",
                  bth={"dqpn": 3}, qkey=0x11111111, sqpn=4))
    Ether(frame)[roce_scapy.DETH].qkey
"""
import struct
import zlib

from scapy.contrib.roce import AETH, BTH, CNPPadding
from scapy.fields import BitField, ByteField, IntField, LongField, XIntField, XLongField
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

PORT = 4791

# Arguments of tshark: payload is bytes, whatever protocol it looks like by chance.
PLAIN_PAYLOAD = ["--disable-heuristic", "eth_over_ib"]
for _name in ("smc", "smb_direct", "rpcordma", "nvme-rdma", "lnet", "iser", "infiniband.eoib",
              "infiniband_sdp", "fcoib", "drbd"):
    PLAIN_PAYLOAD += ["--disable-protocol", _name]


class DETH(Packet):
    """Datagram extended transport header (9.3.3)."""
    name = "DETH"
    fields_desc = [XIntField("qkey", 0), ByteField("rsvd", 0), BitField("sqpn", 0, 24)]


class RETH(Packet):
    """RDMA extended transport header (9.3.4)."""
    name = "RETH"
    fields_desc = [XLongField("va", 0), XIntField("rkey", 0), IntField("len", 0)]


class AtomicETH(Packet):
    """Atomic extended transport header (9.3.5)."""
    name = "AtomicETH"
    fields_desc = [XLongField("va", 0), XIntField("rkey", 0), LongField("swap_add", 0),
                   LongField("cmp", 0)]


class AtomicAckETH(Packet):
    """Atomic acknowledge extended transport header (9.3.5.3)."""
    name = "AtomicAckETH"
    fields_desc = [LongField("orig", 0)]


class ImmDt(Packet):
    """Immediate data (9.3.6)."""
    name = "ImmDt"
    fields_desc = [XIntField("imm", 0)]


class IETH(Packet):
    """Invalidate extended transport header (9.3.7)."""
    name = "IETH"
    fields_desc = [XIntField("inv_rkey", 0)]


HEADERS = (DETH, RETH, AtomicETH, AETH, AtomicAckETH, ImmDt, IETH, CNPPadding)

_SEND_WRITE = {
    0x00: ("SEND_FIRST",), 0x01: ("SEND_MIDDLE",), 0x02: ("SEND_LAST",),
    0x03: ("SEND_LAST_IMM", ImmDt), 0x04: ("SEND_ONLY",), 0x05: ("SEND_ONLY_IMM", ImmDt),
    0x06: ("WRITE_FIRST", RETH), 0x07: ("WRITE_MIDDLE",), 0x08: ("WRITE_LAST",),
    0x09: ("WRITE_LAST_IMM", ImmDt), 0x0a: ("WRITE_ONLY", RETH),
    0x0b: ("WRITE_ONLY_IMM", RETH, ImmDt),
}
_RC = {
    0x0c: ("READ_REQ", RETH), 0x0d: ("READ_RESP_FIRST", AETH), 0x0e: ("READ_RESP_MIDDLE",),
    0x0f: ("READ_RESP_LAST", AETH), 0x10: ("READ_RESP_ONLY", AETH), 0x11: ("ACK", AETH),
    0x12: ("ATOMIC_ACK", AETH, AtomicAckETH), 0x13: ("CMP_SWAP", AtomicETH),
    0x14: ("FETCH_ADD", AtomicETH), 0x16: ("SEND_LAST_INV", IETH),
    0x17: ("SEND_ONLY_INV", IETH),
}

# opcode: (name, extended headers in their order)
OPCODES = {}
for _op, _row in {**_SEND_WRITE, **_RC}.items():
    OPCODES[_op] = ("RC_" + _row[0], _row[1:])
for _op, _row in _SEND_WRITE.items():
    OPCODES[0x20 | _op] = ("UC_" + _row[0], _row[1:])
OPCODES[0x64] = ("UD_SEND_ONLY", (DETH,))
OPCODES[0x65] = ("UD_SEND_ONLY_IMM", (DETH, ImmDt))
OPCODES[0x81] = ("CNP", (CNPPadding,))

OPCODE = {name: op for op, (name, _) in OPCODES.items()}

_NO_PAYLOAD = ("READ_REQ", "_ACK", "CMP_SWAP", "FETCH_ADD", "CNP")


def has_payload(opcode):
    """Whether packets of the opcode may carry payload."""
    return not OPCODES[opcode][0].endswith(_NO_PAYLOAD)


def ends_message(opcode):
    """Whether a packet of the opcode is the last of its message: it may have pad."""
    return not OPCODES[opcode][0].endswith(("FIRST", "MIDDLE"))


def icrc(frame):
    """The iCRC, four bytes as on the wire, of a frame (bytes) that has or lacks one.

    IBTA A17.3.3: what a router may change counts as ones, and eight bytes of
    ones stand for the LRH. The length is IP's, the last four bytes are skipped.
    """
    off = 16 if frame[12:14] == b"\x81\x00" else 12
    ethertype, = struct.unpack_from("!H", frame, off)
    l3 = bytearray(frame[off + 2:])
    if ethertype == 0x0800:
        length, = struct.unpack_from("!H", l3, 2)
        udp = 20
        l3[1] = l3[8] = l3[10] = l3[11] = 0xff
    elif ethertype == 0x86dd:
        length = 40 + struct.unpack_from("!H", l3, 4)[0]
        udp = 40
        l3[0] |= 0x0f
        l3[1] = l3[2] = l3[3] = l3[7] = 0xff
    else:
        raise ValueError(f"EtherType {ethertype:#06x} is not IP")
    l3[udp + 6] = l3[udp + 7] = 0xff
    l3[udp + 8 + 4] = 0xff
    return struct.pack("<I", zlib.crc32(b"\xff" * 8 + l3[:length - 4]))


_scapy_compute_icrc = BTH.compute_icrc


def _compute_icrc(self, p):
    """scapy's own over IPv4; over IPv6, which it does not know, icrc() above."""
    udp = self.underlayer
    if not isinstance(udp, UDP) or not isinstance(udp.underlayer, IPv6):
        return _scapy_compute_icrc(self, p)
    ip = udp.underlayer.copy()
    ip.remove_payload()
    ip.plen, ip.nh = 8 + len(p), 17
    head = udp.copy()
    head.remove_payload()
    head.len, head.chksum = 8 + len(p), 0
    return icrc(bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src="00:00:00:00:00:00", type=0x86dd)) +
                bytes(ip) + bytes(head) + p)


BTH.compute_icrc = _compute_icrc


def _next_header(self, payload):
    """Which header follows this one under the BTH that is below: for dissection."""
    bth = self
    while bth is not None and not isinstance(bth, BTH):
        bth = bth.underlayer
    headers = OPCODES.get(bth.opcode, ("", ()))[1] if bth is not None else ()
    at = 0 if bth is self else headers.index(type(self)) + 1 if type(self) in headers else None
    return headers[at] if at is not None and at < len(headers) else Raw


for _layer in (BTH,) + HEADERS:
    _layer.guess_payload_class = _next_header


def transport(opcode, payload=b"", bth=None, **fields):
    """BTH, the opcode's extended headers, payload and pad.

    bth: fields of BTH, scapy's names. fields: those of the extended headers;
    ones that the opcode has no header for are ignored.
    """
    pad = -len(payload) % 4
    packet = BTH(**{"opcode": opcode, "padcount": pad, **(bth or {})})
    for header in OPCODES[opcode][1]:
        names = [f.name for f in header.fields_desc]
        packet /= header(**{k: v for k, v in fields.items() if k in names})
    payload = bytes(payload) + bytes(pad)
    return packet / Raw(payload) if payload else packet


def frame(below, opcode, payload=b"", sport=0xc000, udp_checksum=0, **fields):
    """A whole packet on top of below: Ether [/ Dot1Q] / IP or IPv6.

    udp_checksum: 0, or None to have it computed.
    """
    return below / UDP(sport=sport, dport=PORT, chksum=udp_checksum) / \
        transport(opcode, payload, **fields)
