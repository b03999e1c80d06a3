"""A classic BPF program for the packets that a capture wants (linux/filter.h). The kernel has taken the VLAN tag out of
the data when a filter runs, and offsets are counted from the network header: one program fits every device."""

from __future__ import annotations

from collections.abc import Iterable

from netdash.capture.model import Clause
from netdash.model.host import IP

Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, constant."""

MAX_PROGRAM = 4096  # instructions, BPF_MAXINSNS
_NET = -0x100000 & 0xFFFFFFFF  # SKF_NET_OFF
_PROTOCOL = -0x1000 & 0xFFFFFFFF  # SKF_AD_OFF + SKF_AD_PROTOCOL
_LD_W, _LD_H, _LD_B, _LDX_MSH, _LD_H_IND, _LD_B_IND = 0x20, 0x28, 0x30, 0xB1, 0x48, 0x50
_JA, _JEQ, _JGE, _JSET, _RET = 0x05, 0x15, 0x35, 0x45, 0x06
_IP, _IPV6, _VLANS = 0x0800, 0x86DD, (0x8100, 0x88A8)
_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
_ICMP, _ICMPV6 = 1, 58
_ERRORS = (3, 4, 5, 11, 12)
_ECHO_V6 = 128  # types of ICMPv6 below are errors
_EXTENSIONS = (0, 43, 44, 60)  # hop-by-hop, routing, fragment, destination options
_PLACES = {4: (12, 16), 6: (8, 24)}  # source and destination in the network header
_MATCHED, _FAILED = "matched", "failed"


class _Code:
    """Instructions with names as the aims of jumps; a conditional jump stands before one that reaches any distance."""

    def __init__(self) -> None:
        self._made: list[tuple[int, int, int, int, str]] = []
        self._names: dict[str, int] = {}
        self._next = 0

    def load(self, code: int, at: int) -> None:
        self._made.append((code, 0, 0, at & 0xFFFFFFFF, ""))

    def jump(self, code: int, constant: int, aim: str) -> None:
        """To `aim` where the condition holds."""
        self._made.append((code, 0, 1, constant, ""))
        self.go(aim)

    def unless(self, code: int, constant: int, aim: str) -> None:
        self._made.append((code, 1, 0, constant, ""))
        self.go(aim)

    def go(self, aim: str) -> None:
        self._made.append((_JA, 0, 0, 0, aim))

    def name(self, name: str) -> None:
        self._names[name] = len(self._made)

    def new(self) -> str:
        self._next += 1
        return f"#{self._next}"

    def end(self, name: str, result: int) -> None:
        self.name(name)
        self._made.append((_RET, 0, 0, result, ""))

    def program(self) -> tuple[Instruction, ...]:
        return tuple(
            (code, true, false, self._names[aim] - at - 1 if aim else constant)
            for at, (code, true, false, constant, aim) in enumerate(self._made)
        )


def program(clauses: Iterable[Clause], snap: int) -> tuple[Instruction, ...]:
    """Keeps `snap` bytes of what meets one of the clauses. Where that would be too long for the kernel, all IP packets
    are let through: who reads them looks again."""
    made = _program(tuple(clauses), snap)
    return made if len(made) <= MAX_PROGRAM else _program((Clause(None),), snap)


def _program(clauses: tuple[Clause, ...], snap: int) -> tuple[Instruction, ...]:
    code = _Code()
    code.load(_LD_W, _PROTOCOL)
    for tag in _VLANS:
        code.jump(_JEQ, tag, _MATCHED)  # a tag within the data: who reads it looks behind it
    code.jump(_JEQ, _IPV6, "v6")
    code.unless(_JEQ, _IP, _FAILED)
    for family in (4, 6):
        code.name(f"v{family}")
        for clause in clauses:
            for ours, peers in (_PLACES[family], reversed(_PLACES[family])):
                _clause(code, clause, family, ours, peers)
        code.go(_FAILED)
    code.end(_MATCHED, snap)
    code.end(_FAILED, 0)
    return code.program()


def _clause(code: _Code, clause: Clause, family: int, ours: int, peers: int) -> None:
    """Jumps to `matched`, or goes on behind its last instruction."""
    other = code.new()
    for place, wanted in ((ours, clause.ours), (peers, clause.peers)):
        if wanted is not None:
            _one_of(code, place, [ip for ip in wanted if ip.version == family], other)
    first = ours < peers  # ours is the source: its port stands first
    if clause.ports is not None or clause.peer_ports is not None or clause.not_ports:
        _ports(code, clause, family, (0, 2) if first else (2, 0), other)
    code.go(_MATCHED)
    code.name(other)


def _one_of(code: _Code, place: int, addresses: list[IP], other: str) -> None:
    found = code.new()
    for ip in addresses:
        words = [ip.packed[at : at + 4] for at in range(0, len(ip.packed), 4)]
        differs = code.new()
        for at, word in enumerate(words):
            code.load(_LD_W, _NET + place + 4 * at)
            code.unless(_JEQ, int.from_bytes(word), differs)
        code.go(found)
        code.name(differs)
    code.go(other)
    code.name(found)


def _ports(code: _Code, clause: Clause, family: int, places: tuple[int, int], other: str) -> None:
    """Goes on where the ports meet the clause."""
    met = code.new()
    _without_ports(code, family, met, other, loose=clause.ports is None and clause.peer_ports is None)
    for place, wanted in zip(places, (clause.ports, clause.peer_ports), strict=True):
        if wanted is not None:
            _port_of(code, family, place, wanted, met)
    if clause.ports is not None or clause.peer_ports is not None:
        code.go(other)
    for proto, port in sorted(clause.not_ports):
        passed = code.new()
        _load_protocol(code, family)
        code.unless(_JEQ, _NUMBERS[proto], passed)
        _load_port(code, family, places[0])
        code.jump(_JEQ, port, other)
        code.name(passed)
    code.name(met)


def _without_ports(code: _Code, family: int, met: str, other: str, loose: bool) -> None:
    """Later fragments and ICMP errors meet every condition of ports; with `loose` all ICMP does."""
    icmp, has_ports = code.new(), code.new()
    _load_protocol(code, family)
    code.jump(_JEQ, _ICMP if family == 4 else _ICMPV6, met if loose else icmp)
    if family == 6:
        for extension in _EXTENSIONS:
            code.jump(_JEQ, extension, met)
    for number in _NUMBERS.values():
        code.jump(_JEQ, number, has_ports)
    code.go(met if loose else other)
    code.name(icmp)
    if family == 4:
        code.load(_LDX_MSH, _NET)
        code.load(_LD_B_IND, _NET)
        for kind in _ERRORS:
            code.jump(_JEQ, kind, met)
    else:
        code.load(_LD_B, _NET + 40)
        code.unless(_JGE, _ECHO_V6, met)
    code.go(other)
    code.name(has_ports)
    if family == 4:
        code.load(_LD_H, _NET + 6)
        code.jump(_JSET, 0x1FFF, met)


def _port_of(code: _Code, family: int, place: int, wanted: Iterable[tuple[str, int]], met: str) -> None:
    for proto, port in sorted(wanted):
        passed = code.new()
        _load_protocol(code, family)
        code.unless(_JEQ, _NUMBERS[proto], passed)
        _load_port(code, family, place)
        code.jump(_JEQ, port, met)
        code.name(passed)


def _load_protocol(code: _Code, family: int) -> None:
    code.load(_LD_B, _NET + (9 if family == 4 else 6))


def _load_port(code: _Code, family: int, place: int) -> None:
    if family == 4:
        code.load(_LDX_MSH, _NET)
        code.load(_LD_H_IND, _NET + place)
    else:
        code.load(_LD_H, _NET + 40 + place)
