"""What a capture saw, in lines: one packet with the points where it was seen; and as JSON. Knows no width but the one
it is given."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from netdash.capture.model import NANOSECONDS, SNAP, Clause, Dns, Fate, Icmp, Pair, Plan, Point, Seen, Side, Tcp
from netdash.model.addresses import socket_text
from netdash.model.relations import address_ref, ref_of
from netdash.view import layout
from netdash.view.json_host import SCHEMA, Json
from netdash.view.text import Line, SafeText, Span, Tone, clean, shell_command

_BAR = Span(" │ ", Tone.DIM)
_INDENT = Span("         ")
_NAME = 100  # characters of a name in DNS
_PAYLOAD = 48  # bytes that are shown
_ORDER = ("SYN", "FIN", "RST", "PSH", "ACK", "URG")
_CODES = {0: "", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_TONES = {Fate.LOST: Tone.BAD, Fate.UNKNOWN: Tone.UNKNOWN}
_UNREACHABLE = {
    "icmp": ("net", "host", "protocol", "port", "fragmentation needed", "source route failed"),
    "ipv6-icmp": (
        "no route",
        "prohibited",
        "beyond scope",
        "address",
        "port",
        "source address failed policy",
        "reject",
    ),
}
_PROHIBITED = {9: "net prohibited", 10: "host prohibited", 13: "prohibited by a rule"}
_TYPES = {
    ("icmp", 0): "echo reply", ("icmp", 8): "echo request", ("icmp", 5): "redirect", ("icmp", 11): "time exceeded",
    ("icmp", 12): "parameter problem", ("ipv6-icmp", 128): "echo request", ("ipv6-icmp", 129): "echo reply",
    ("ipv6-icmp", 3): "time exceeded", ("ipv6-icmp", 4): "parameter problem", ("ipv6-icmp", 133): "router solicitation",
    ("ipv6-icmp", 134): "router advertisement", ("ipv6-icmp", 135): "neighbour solicitation",
    ("ipv6-icmp", 136): "neighbour advertisement", ("ipv6-icmp", 143): "multicast listener report",
}  # fmt: skip


# --- lines ------------------------------------------------------------------------------------------------------------


def head(plan: Plan, room: int) -> list[Line]:
    """Where packets are captured."""
    words: list[Span] = []
    for point in plan.points:
        words += [Span(clean(point.device, 40), Tone.KEY), Span(f" {_place(plan, point)}   ", Tone.DIM)]
    lines = layout.paragraph(Span(f"{clean(plan.name, 60)} at ", Tone.TITLE), words, room)
    for sentence in plan.notes:
        lines += layout.text(Span("note  ", Tone.DIM), clean(sentence, 300), room, Tone.DIM)
    return lines


def _place(plan: Plan, point: Point) -> str:
    return {
        Side.CONTAINER: f"({clean(plan.name, 40)}, {clean(point.network, 40)})",
        Side.DIRECT: f"(parent of {clean(point.network, 40)})",
        Side.PEER: f"(the peer, {clean(point.network, 40)})",
        Side.OUTSIDE: "(other machines)",
    }[point.side]


def lines(plan: Plan, pair: Pair, room: int | None) -> list[Line]:
    """One line; where that is too long for `room` cells, a line more for each point."""
    first = pair.seen[0]
    at = datetime.fromtimestamp(first.ns // NANOSECONDS).strftime("%H:%M:%S ")
    what = (Span(at, Tone.DIM), *_ends(first), Span(" "), *_what(pair))
    places = [*_sightings(plan, pair), *_ended(plan, pair)]
    whole = what + tuple(span for place in places for span in (_BAR, *place))
    told = [whole] if room is None or layout.size(whole) <= room else _folded(what, places, room)
    if first.payload:
        shown = first.payload[:_PAYLOAD].decode("ascii", "replace")
        text = "".join(row if row.isprintable() and row != "\ufffd" else "." for row in shown)
        told.append((_INDENT, Span(f"{first.payload[: _PAYLOAD // 2].hex()}  {clean(text)}", Tone.DIM)))
    return told


def _folded(what: Line, places: list[Line], room: int) -> list[Line]:
    made = [layout.crop(what, room)]
    row: Line = ()
    for place in places:
        if row and layout.size((_INDENT, *row, _BAR, *place)) > room:
            made.append((_INDENT, *row))
            row = ()
        row = (*row, _BAR, *place) if row else place
    return [*made, *layout.paragraph(_INDENT, list(row), room)]


def _ends(seen: Seen) -> Line:
    icmp = seen.icmp is not None
    return (
        Span(socket_text(seen.src, None if icmp else seen.sport), Tone.KEY, address_ref(seen.src)),
        Span(" → ", Tone.HOP),
        Span(socket_text(seen.dst, None if icmp else seen.dport), Tone.KEY, address_ref(seen.dst)),
    )


def _what(pair: Pair) -> Line:
    seen = pair.seen[0]
    text, tone = _words(seen)
    spans = [Span(text, tone)]
    if pair.note:
        spans.append(Span(f" {pair.note}", Tone.WARN))
    if seen.fragment:
        spans.append(Span(f" fragment of {seen.ip_id or '?'} at {seen.offset}", Tone.WARN))
    if seen.vlan is not None:
        spans.append(Span(f" vlan {seen.vlan}", Tone.DIM))
    if seen.malformed:
        spans.append(Span(" malformed or cut off", Tone.WARN))
    return tuple(spans)


def _words(seen: Seen) -> tuple[str, Tone]:
    if seen.tcp is not None:
        return _tcp(seen.tcp), Tone.BAD if "RST" in seen.tcp.flags else Tone.PLAIN
    if seen.icmp is not None:
        return _icmp(seen.proto, seen.icmp)
    if seen.dns is not None:
        return _dns(seen.dns), Tone.WARN if seen.dns.code else Tone.PLAIN
    if seen.proto == "udp" and not seen.fragment:
        return f"UDP {max(0, seen.length - 8)} bytes", Tone.PLAIN
    name = f"protocol {seen.proto}" if seen.proto.isdecimal() else seen.proto.upper()
    return f"{name} {seen.length} bytes", Tone.PLAIN


def _tcp(tcp: Tcp) -> str:
    if "RST" in tcp.flags:
        return "TCP reset"
    flags = " ".join(flag for flag in _ORDER if flag in tcp.flags) or "no flags"
    return f"TCP {flags}" + (f" {tcp.length} bytes" if tcp.length else "")


def _icmp(proto: str, icmp: Icmp) -> tuple[str, Tone]:
    name = "ICMP" if proto == "icmp" else "ICMPv6"
    if (proto, icmp.type) in (("icmp", 0), ("icmp", 8), ("ipv6-icmp", 128), ("ipv6-icmp", 129)):
        return f"{name} {_TYPES[proto, icmp.type]} id {icmp.id} seq {icmp.seq}", Tone.PLAIN
    about = ""
    if icmp.quoted is not None:
        what, src, sport, dst, dport = icmp.quoted
        about = f" of {what} {socket_text(src, sport)} → {socket_text(dst, dport)}"
    if (proto, icmp.type, icmp.code) == ("icmp", 3, 4) or (proto, icmp.type) == ("ipv6-icmp", 2):
        return f"{name} fragmentation needed, MTU {'?' if icmp.mtu is None else icmp.mtu}{about}", Tone.WARN
    if (proto, icmp.type) in (("icmp", 3), ("ipv6-icmp", 1)):
        known = dict(enumerate(_UNREACHABLE[proto])) | (_PROHIBITED if proto == "icmp" else {})
        return f"{name} unreachable: {known.get(icmp.code, f'code {icmp.code}')}{about}", Tone.WARN
    return f"{name} {_TYPES.get((proto, icmp.type), f'type {icmp.type} code {icmp.code}')}{about}", Tone.PLAIN


def _dns(dns: Dns) -> str:
    asked = f"{dns.type} {clean(dns.name or '.', _NAME)}"
    if not dns.answer:
        return f"DNS question {asked}"
    if dns.code:
        return f"DNS answer {_CODES.get(dns.code, f'code {dns.code}')} {asked}"
    return f"DNS answer {asked} {clean(', '.join(dns.answers) or 'no records', _NAME)}"


def _sightings(plan: Plan, pair: Pair) -> Iterator[Line]:
    first = pair.seen[0]
    for seen in pair.seen:
        spans = [Span(clean(plan.points[seen.point].device, 40), Tone.KEY)]
        changed = _changed(first, seen)
        if changed:
            spans.append(Span(f" {changed}", Tone.PLAIN))
        spans.append(Span(f" at .{seen.ns % NANOSECONDS // 1000:06d}", Tone.DIM))
        if seen is not first:
            spans.append(Span(f" (+{_duration(seen.ns - first.ns)})", Tone.DIM))
        yield tuple(spans)


def _changed(first: Seen, seen: Seen) -> str:
    """What NAT did between the two: `as` another source, `to` another destination."""
    words = []
    for word, before, after in (
        ("as", (first.src, first.sport), (seen.src, seen.sport)),
        ("to", (first.dst, first.dport), (seen.dst, seen.dport)),
    ):
        port = after[1] if before[1] != after[1] and seen.icmp is None else None
        if before[0] != after[0] or port is not None:
            words.append(f"{word} {socket_text(after[0], port)}")
    if seen.icmp is not None and first.icmp is not None and seen.icmp.id != first.icmp.id:
        words.append(f"id {seen.icmp.id}")
    return " ".join(words)


def _duration(ns: int) -> str:
    micro = ns // 1000
    return f"{micro} µs" if micro < 10_000 else f"{micro // 1000} ms" if micro < 10_000_000 else f"{micro // 10**6} s"


def _ended(plan: Plan, pair: Pair) -> Iterator[Line]:
    outcome = pair.outcome
    if outcome.fate is Fate.PAIRED:
        if pair.late:
            yield (Span("came late: was reported as seen on one side only", Tone.WARN),)
        return
    tone = _TONES.get(outcome.fate, Tone.DIM)
    between = between_text(plan, pair)
    if outcome.fate is Fate.SEGMENTS:
        yield (Span("the other side has its bytes in segments of another size", tone),)
    elif outcome.fate is Fate.LOST:
        spans = [Span(f"✗ lost between {between}: ", tone)]
        if outcome.decision is not None:
            step = outcome.decision.step
            ref = ref_of(step.source) if step is not None and step.source is not None else None
            spans.append(Span(clean(outcome.decision.place, 80), Tone.KEY, ref))
            spans.append(Span(f" {clean(outcome.text, 60)} ({clean(outcome.decision.text, 160)})", tone))
        yield tuple(spans)
    elif outcome.fate is Fate.UNKNOWN:
        yield (Span(f"? not seen at {between.partition(' and ')[2]}, unknown why: {clean(outcome.text, 200)}", tone),)
    else:
        yield (Span(clean(outcome.text, 200), tone),)


def between_text(plan: Plan, pair: Pair) -> str:
    """Between where it was seen and where it was not."""
    seen = plan.points[pair.seen[0].point]
    others = [point.device for point in plan.points if (point.side is Side.CONTAINER) != (seen.side is Side.CONTAINER)]
    there = clean(others[0], 40) if len(others) == 1 else "the uplinks" if others else "another device"
    return f"{clean(seen.device, 40)} and {'the container' if len(others) > 1 and seen.side is Side.OUTSIDE else there}"


def summary(
    packets: int, counts: Mapping[Fate, int], dropped: int, unread: int, gone: Sequence[str] = (), ended: str = ""
) -> str:
    """`gone`: devices that went down; `ended`: by which limit."""
    words = [f"{packets} packet{'s' * (packets != 1)}"]
    words += [f"{counts[fate]} {text}" for fate, text in _COUNTED.items() if counts.get(fate)]
    if dropped:
        words.append(f"{dropped} dropped by the kernel: netdash was too slow for them")
    if unread:
        words.append(f"{unread} not readable")
    words += [f"{clean(device, 40)} went down or was removed: nothing is captured there" for device in gone]
    return ", ".join(words) + (f"; ended by the limit of {ended}" if ended else "")


_COUNTED = {
    Fate.PAIRED: "seen on both sides",
    Fate.LOST: "lost",
    Fate.UNKNOWN: "seen on one side only, unknown why",
    Fate.PROXY: "of docker-proxy's connections",
    Fate.LOCAL: "that stay on this host",
    Fate.ELSEWHERE: "that leave by another device",
    Fate.SEGMENTS: "in segments of another size",
}


# --- JSON -------------------------------------------------------------------------------------------------------------


def plan_json(plan: Plan) -> Json:
    return {
        "schema": SCHEMA,
        "container": plan.name,
        "points": [
            {"device": point.device, "side": point.side.value, "network": point.network or None}
            for point in plan.points
        ],
        "notes": list(plan.notes),
    }


def pair_json(plan: Plan, pair: Pair) -> Json:
    first, outcome = pair.seen[0], pair.outcome
    return {
        "proto": first.proto,
        "what": _words(first)[0],
        "outwards": pair.outwards,
        "note": pair.note or None,
        "late": pair.late,
        "seen": [_seen_json(plan, seen) for seen in pair.seen],
        "fate": outcome.fate.value,
        "why": outcome.text or None,
        "by": outcome.decision.place if outcome.decision is not None else None,
        "rule": outcome.decision.step.text if outcome.decision is not None and outcome.decision.step else None,
    }


def _seen_json(plan: Plan, seen: Seen) -> Json:
    return {
        "device": plan.points[seen.point].device,
        "time_ns": seen.ns,
        "src": str(seen.src),
        "sport": seen.sport,
        "dst": str(seen.dst),
        "dport": seen.dport,
        "bytes": seen.size,
        "vlan": seen.vlan,
        "payload": seen.payload.hex() or None,
    }


# --- the same with tcpdump --------------------------------------------------------------------------------------------


def commands(plan: Plan, packets: int = 100, snap: int = SNAP) -> list[SafeText]:
    """A tcpdump for each point, ready to copy."""
    return [
        shell_command(f"tcpdump -ni {{}} -s {snap} -c {packets} {shlex.quote(_expression(point))}", point.device)
        for point in plan.points
    ]


def _expression(point: Point) -> str:
    parts = [*map(_condition, point.clauses), *_errors(point.clauses)]
    return " or ".join(f"({part})" for part in dict.fromkeys(parts)) or "ip or ip6"


_ICMP_ERRORS = "icmp[0] = 3 or icmp[0] = 11 or icmp[0] = 12 or (icmp6 and ip6[40] < 128)"


def _errors(clauses: Sequence[Clause]) -> Iterator[str]:
    """ICMP errors about the packets of these clauses: they have no ports, and a router sends them."""
    ours = [clause.ours for clause in clauses if clause.ports is not None or clause.peer_ports is not None]
    if ours:
        hosts = _any("host", None if None in ours else frozenset[object]().union(*(ips for ips in ours if ips)))
        yield f"({_ICMP_ERRORS}) and ({hosts})" if hosts else _ICMP_ERRORS


def _condition(clause: Clause) -> str:
    parts = [_any("host", clause.ours), _any("host", clause.peers)]
    ports = [wanted for wanted in (clause.ports, clause.peer_ports) if wanted is not None]
    parts += [" or ".join(f"{proto} port {port}" for proto, port in sorted(wanted)) for wanted in ports]
    parts += [f"not {proto} port {port}" for proto, port in sorted(clause.not_ports)]
    named = [f"({part})" if " or " in part else part for part in parts if part]
    return " and ".join(named) or "ip or ip6"


def _any(word: str, values: frozenset[object] | None) -> str:
    return "" if values is None else " or ".join(f"{word} {value}" for value in sorted(map(str, values)))
