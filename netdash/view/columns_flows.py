"""The view of the connections that conntrack keeps: who talks to whom, through which translation; and a connection
in the JSON of `netdash flows`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from netdash.join.flows import flows
from netdash.kernel.conntrack_entries import never_answered, waits
from netdash.model.addresses import socket_text
from netdash.model.host import Host, Rule, TrackedFlow
from netdash.model.index import index_of
from netdash.model.numbers import decimal
from netdash.model.packet import GROUPINGS, Flow, FlowEnd, Trouble
from netdash.model.relations import address_ref, ref_of
from netdash.model.source import Source
from netdash.trace.summary import Leaves, outbound
from netdash.view import formatting
from netdash.view.formatting import NOTHING, UNKNOWN
from netdash.view.table import Belongs, Column, Row, Rows, View
from netdash.view.text import Line, Span, Tone, clean

ACCOUNTING = "net.netfilter.nf_conntrack_acct"
_FILLING = 0.8
_TROUBLE = {Trouble.UNANSWERED: "no answer", Trouble.STALE: "stale"}


FLOW_WORDS = (
    *("tcp", "udp", "udplite", "icmpv6", "sctp", "dccp", "gre", "esp", "ah", "igmp", "ipv6", "ospf", "vrrp"),
    *("syn_sent", "syn_recv", "established", "fin_wait", "close_wait", "last_ack", "time_wait", "close", "syn_sent2"),
    *("answered", "one way", "host", "dnat", "snat", "masquerade as", "docker-proxy", "netdash-proxy", "rootlesskit"),
    *_TROUBLE.values(),
)
"""What stands in a row beside names and numbers, in lower case."""


def _flows(host: Host) -> Rows:
    return Rows(flows(host), lambda flow: _flow(host, flow))


def _flow(host: Host, flow: Flow) -> Row:
    entry = flow.entry
    names = [index_of(host).name(identity) or "" for identity in flow.containers]
    cells = (
        Span(clean(entry.proto, 12)),
        _end(host, flow.client),
        _through(host, flow),
        _end(host, flow.server),
        state(flow),
        NOTHING if entry.age is None else Span(formatting.age(entry.age), Tone.DIM),
        NOTHING if flow.packets is None else Span(formatting.short_number(flow.packets)),
        NOTHING if flow.bytes is None else Span(formatting.short_bytes(flow.bytes)),
        _rate(entry.rate),
        Span(clean(", ".join(names)), Tone.DIM),
    )
    sort = (
        entry.proto,
        cells[1].text,
        cells[2].text,
        cells[3].text,
        cells[4].text,
        entry.age,
        flow.packets,
        flow.bytes,
        entry.rate,
        cells[9].text,
    )
    tags = () if flow.trouble is None else ("broken", flow.trouble.value)
    groups = tuple(groups_of(host, flow, by) for by in GROUPINGS)
    return Row(ref_of(flow), cells, sort, _lead(flow), tags, groups=groups)


def _lead(flow: Flow) -> Span:
    return Span("✗", Tone.BAD) if flow.trouble is not None else Span("·" if flow.containers else " ", Tone.DIM)


def end_text(host: Host, end: FlowEnd) -> str:
    """`web 172.17.0.2:80`, `host 127.0.0.1:22`, `192.0.2.10:51122`."""
    name = _name(host, end)
    socket = socket_text(end.ip, end.port)
    return f"{clean(name, 60)} {socket}" if name else socket


def _end(host: Host, end: FlowEnd) -> Span:
    if end.ip is None:
        return UNKNOWN
    container = index_of(host).containers.get(end.container or "")
    ref = ref_of(container) if container is not None else address_ref(end.ip)
    return Span(end_text(host, end), Tone.KEY if container is not None else Tone.PLAIN, ref)


def rule_of(host: Host, flow: Flow) -> Rule | None:
    """The rule that translates it, as far as that is known: of the port that was asked, else of the container's way
    out. An entry may be from before a rule."""
    if flow.translated and flow.asked.here:
        ports = (port for port in host.ports or () if port.dnat is not None and port.host_port == flow.asked.port)
        found = next(
            (port for port in ports if (port.proto, port.target_ip) == (flow.entry.proto, flow.server.ip)), None
        )
        return found.dnat if found is not None else None
    if flow.source is not None:
        way = _way_out(host, flow)
        return way[1] if way is not None else None
    return None


def _way_out(host: Host, flow: Flow) -> tuple[Leaves, Rule | None] | None:
    """How the client's container leaves from this address: the word for the translation, and its rule."""
    container = index_of(host).containers.get(flow.client.container or "")
    if container is None:
        return None
    return next(((way.leaves, way.nat) for way in outbound(host, container) if way.source == flow.client.ip), None)


def through(host: Host, flow: Flow) -> list[str]:
    """What lies between its ends, one part each: whom the client asked, what translates, and as whom it goes on."""
    parts = []
    if flow.proxy is not None:
        parts += [_asked(flow), f"{clean(flow.proxy.command, 20)} {flow.proxy.pid}"]
    elif flow.translated:
        parts += [_asked(flow), "DNAT"]
    if flow.source is not None:
        way = _way_out(host, flow)
        word = "MASQUERADE" if way is not None and way[0] is Leaves.MASQUERADE else "SNAT"
        port = flow.source[1] if flow.source[1] != flow.client.port else None
        parts.append(f"{word} as {socket_text(flow.source[0], port)}")
    return parts


def _asked(flow: Flow) -> str:
    return socket_text(flow.asked.ip, flow.asked.port)


def _through(host: Host, flow: Flow) -> Span:
    parts = through(host, flow)
    if not parts:
        return NOTHING
    rule = rule_of(host, flow)
    ref = ref_of(flow.proxy) if flow.proxy is not None else ref_of(rule) if rule is not None else None
    return Span(" → ".join(parts), Tone.PLAIN, ref)


def state(flow: Flow) -> Span:
    """What stands out before what the kernel calls it."""
    if flow.trouble is not None:
        return Span(_TROUBLE[flow.trouble], Tone.BAD)
    entry = flow.entry
    if entry.state:
        return Span(clean(entry.state.lower(), 20), Tone.PLAIN if entry.state == "ESTABLISHED" else Tone.DIM)
    return Span("answered" if entry.replied else "one way", Tone.PLAIN if entry.replied else Tone.DIM)


def sentence(host: Host, flow: Flow) -> str:
    """The connection from end to end: `client 192.0.2.10:51122 → host :8080 → DNAT → web 172.17.0.2:80`."""
    client = end_text(host, flow.client)
    if flow.client.container is None and not flow.client.here:
        client = f"client {client}"
    return " → ".join((client, *through(host, flow), end_text(host, flow.server)))


def why(host: Host, flow: Flow) -> str:
    """Why it stands out."""
    if flow.trouble is Trouble.STALE:
        answers = socket_text(flow.server.ip, flow.server.port)
        return f"it goes to {answers}: it is from before the rules that there are now, and rules are not asked again"
    if flow.trouble is Trouble.UNANSWERED:
        entry = flow.entry if flow.behind is None or never_answered(host, flow.entry) else flow.behind
        who = "nobody" if entry is flow.entry else f"the proxy took it; {end_text(host, flow.server)}"
        return f"{who} has {'' if entry is flow.entry else 'not '}answered for {waits(host, entry)} s"
    return ""


def _rate(rate: float | None) -> Span:
    """Empty where nothing was carried; that is not the same as not known."""
    return NOTHING if rate is None else Span(formatting.bytes_rate(rate) if rate else "", Tone.GOOD)


def groups_of(host: Host, flow: Flow, by: str) -> tuple[Belongs, ...]:
    """Whose it is: of both ends, where both are containers."""
    if by == "container":
        ends = (flow.client, flow.server)
        found = tuple(dict.fromkeys(_owner(host, end) for end in ends if end.container is not None))
        return found or (Belongs("none", "no container"),)
    if by == "port":
        port = "" if flow.asked.port is None else f"{flow.asked.port}/"
        owner = _owner(host, flow.server)
        return (Belongs(f"{owner.key} {port}{flow.entry.proto}", f"{owner.name} {port}{flow.entry.proto}"),)
    ours = flow.server.container is not None or flow.server.here
    return (_owner(host, flow.client if ours else flow.server),)


def _owner(host: Host, end: FlowEnd) -> Belongs:
    """A container, this host, or an address of others."""
    if end.container is not None:
        return Belongs(f"container {end.container}", _name(host, end) or "?")
    return Belongs("host", "host") if end.here else Belongs(f"address {end.ip}", str(end.ip or "?"))


def _name(host: Host, end: FlowEnd) -> str:
    """A container of this name is not this host."""
    name = index_of(host).name(end.container) or ("host" if end.here else "")
    return f"{name} (container)" if name == "host" and end.container is not None else name


def _sums(rows: Sequence[Row]) -> str:
    """The bytes and the rate of those that are counted, and how many are not."""
    sizes, speeds = ([number for row in rows if isinstance(number := row.sort[at], int | float)] for at in (7, 8))
    left = len(rows) - len(sizes)
    told = [formatting.short_bytes(int(sum(sizes)))] if sizes else []
    told += [f"{left} not counted"] if sizes and left else []
    return "  ".join((*told, *filter(None, [formatting.bytes_rate(sum(speeds))])))


def notes(host: Host) -> list[str]:
    """What is to be known of all connections, listed or not: how many are in trouble, what is not counted or kept."""
    sysctls, told = host.sysctls or {}, host.tracking
    found = []
    troubled = Counter(flow.trouble for flow in flows(host) if flow.trouble is not None)
    if troubled:
        counted = ", ".join(f"{number} {_TROUBLE[kind]}" for kind, number in troubled.items())
        found.append(f"of all connections: {counted}; is:broken finds them")
    most, kept = (decimal(sysctls.get(f"net.netfilter.nf_conntrack_{name}", "")) for name in ("max", "count"))
    if most and kept is not None and kept >= most * _FILLING:
        found.append(f"the table of connections fills up: {kept} of {most}; when it is full new ones are dropped")
    if host.flows and sysctls.get(ACCOUNTING) == "0":
        found.append(f"packets and bytes are not counted: sysctl -w {ACCOUNTING}=1 counts those of new connections")
    among = sum(flow.behind_among > 0 for flow in flows(host))
    if among:
        found.append(f"{among} connections through a proxy: which of its own carries which is not known")
    if told is not None and told.left_out:
        found.append(f"{told.left_out} connections beyond {len(told.entries)} are not kept")
    if told is not None and told.lost:
        found.append(f"the kernel told of more than could be taken, {told.lost} times: all were read again")
    return found


def change(host: Host, flow: Flow, begins: bool, now: float) -> Line:
    """A line of `--watch`."""
    when = formatting.time_of_day(now)
    sign = Span("+", Tone.GOOD) if begins else Span("-", Tone.DIM)
    carried = "" if flow.bytes is None else f"  {formatting.short_bytes(flow.bytes)}"
    trouble = f"  {_TROUBLE[flow.trouble]}" if flow.trouble is not None else ""
    text = f" {when} {clean(flow.entry.proto, 12)} {sentence(host, flow)}"
    return (sign, Span(text), Span(carried, Tone.DIM), Span(trouble, Tone.BAD))


FLOWS = View(
    name="flows",
    title="Flows",
    short="Flows",
    digit="9",
    kind="flow",
    columns=(
        Column("proto", "PROTO", most=6),
        Column("from", "FROM", most=40, least=15, middle=True),
        Column("through", "THROUGH", most=50, least=12),
        Column("to", "TO", most=40, least=15, middle=True),
        Column("state", "STATE", most=12, least=9),
        Column("age", "AGE", right=True, leaves=6, most=6),
        Column("packets", "PACKETS", right=True, leaves=5, most=7),
        Column("bytes", "BYTES", right=True, leaves=3, most=9),
        Column("rate", "RATE", right=True, leaves=2, most=10),
        Column("container", "CONTAINER", leaves=9, most=30, screen=True),
    ),
    sources=(Source.FLOWS,),
    rows=_flows,
    empty="no connection is tracked",
    known=lambda host: host.flows is not None,
    keeps=2,
    groupings=GROUPINGS,
    sums=_sums,
    notes=notes,
)


Json = Mapping[str, object]


def entry(host: Host, flow: Flow, rule: Callable[[Rule | None], Json | None]) -> Json:
    """`entry` is the kernel's own; `behind` that of the connection which a userland proxy opened for it;
    where that is not known, of how many it is one."""
    source, proxy = flow.source, flow.proxy
    return {
        "proto": flow.entry.proto,
        "path": sentence(host, flow),
        "client": _end_json(host, flow.client),
        "asked": _end_json(host, flow.asked),
        "server": _end_json(host, flow.server),
        "dnat": flow.translated,
        "source_nat": None if source is None else {"ip": str(source[0]), "port": source[1]},
        "proxy": None if proxy is None else {"pid": proxy.pid, "command": proxy.program},
        "rule": rule(rule_of(host, flow)),
        "trouble": flow.trouble and flow.trouble.value,
        "entry": _tracked(flow.entry),
        "behind": None if flow.behind is None else _tracked(flow.behind),
        "behind_among": flow.behind_among or None,
    }


def _end_json(host: Host, end: FlowEnd) -> Json:
    return {
        "ip": None if end.ip is None else str(end.ip),
        "port": end.port,
        "container": index_of(host).name(end.container),
        "host": end.here,
    }


def _tracked(entry: TrackedFlow) -> Json:
    directions = {}
    for at, (name, ends) in enumerate((("original", entry.original), ("reply", entry.reply))):
        counted = entry.counts[at] if entry.counts is not None else None
        directions[name] = {
            "src": str(ends.src),
            "sport": ends.sport,
            "dst": str(ends.dst),
            "dport": ends.dport,
            "zone": entry.zones[at],
            "packets": counted and counted.packets,
            "bytes": counted and counted.bytes,
        }
    return {
        **directions,
        "icmp_id": entry.icmp_id,
        "state": entry.state or None,
        "replied": entry.replied,
        "assured": entry.assured,
        "mark": entry.mark,
        "timeout": entry.seconds,
        "age": entry.age,
        "bytes_per_second": entry.rate,
    }
