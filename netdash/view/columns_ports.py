"""The views of how ports reach containers: the ledger of host ports, the rules, the userland proxies."""

from __future__ import annotations

from functools import lru_cache

from netdash.model.addresses import socket_text
from netdash.model.engine_state import DriftKind
from netdash.model.finding import Finding, Mark
from netdash.model.host import Host, Port, Proxy, Ref, Rule, RulesNote, Verb
from netdash.model.index import Index, index_of
from netdash.model.relations import address_ref, ref_of
from netdash.model.source import Source
from netdash.view import formatting, marks
from netdash.view.formatting import NOTHING, UNKNOWN
from netdash.view.table import Column, Row, Rows, View
from netdash.view.text import Span, Tone, clean

# --- ports ------------------------------------------------------------------------------------------------------------


def _ports(host: Host) -> Rows:
    index = index_of(host)
    return Rows(host.ports or (), lambda port: _port(host, index, port))


def _port(host: Host, index: Index, port: Port) -> Row:
    container = index.containers.get(port.container_id or "")
    rule = port.dnat
    mark = marks.of_port(host, port)
    cells = (
        Span(str(port.host_port), Tone.KEY if port.live else Tone.DIM),
        Span(clean(port.proto)),
        formatting.bound(port),
        Span(formatting.scope_word(port.scope), Tone.DIM),
        formatting.owner(host, container),
        _target(host, port),
        _holder(host, port),
        _dnat(host, port),
        formatting.count(rule.packets)
        if rule
        else NOTHING
        if _dnat(host, port) is NOTHING
        else formatting.unknown_yet(host),
        _listening(host, index, port),
    )
    holder = port.holder.pid if port.holder else None
    sort = (
        port.host_port,
        port.proto,
        int(port.host_ip),
        cells[3].text,
        container.name.casefold() if container else None,
        int(port.target_ip) if port.target_ip else None,
        holder,
        rule.place if rule else None,
        rule.packets if rule else None,
        cells[9].text,
    )
    finding = marks.finding_of_port(host, port)
    return Row(ref_of(port), cells, sort, marks.lead(mark), marks.tags(mark, finding), marks.why(finding))


def _target(host: Host, port: Port) -> Span:
    if port.target_ip is not None:
        return Span(socket_text(port.target_ip, port.container_port), Tone.PLAIN, address_ref(port.target_ip))
    if not port.live:
        return Span(f"(→{port.container_port})", Tone.DIM)
    carried = port.holder is not None and port.holder.kind not in ("process", "nobody")
    return formatting.unknown_yet(host) if (port.container_id or carried) and not _own_socket(port) else NOTHING


def _own_socket(port: Port) -> bool:
    """Whether a host-network container or a plain process holds it: nothing is translated."""
    return port.holder is not None and port.holder.kind == "process" and port.dnat is None and port.proxy is None


def _holder(host: Host, port: Port) -> Span:
    """Who has the host's port: a process with its pid, a rule alone, or nobody."""
    holder = port.holder
    if holder is None:
        return formatting.unknown(host, Source.LISTENERS)
    if holder.kind == "nobody":
        return Span("nobody", Tone.DIM)
    if holder.kind == "rule":
        return Span("rule only", Tone.DIM)
    name = clean(holder.command or holder.kind, 40)
    ref = ref_of(port.proxy) if port.proxy and port.proxy.pid == holder.pid else None
    return Span(f"{name} {holder.pid}" if holder.pid else name, Tone.PLAIN, ref)


def _dnat(host: Host, port: Port) -> Span:
    if port.dnat is not None:
        return Span(clean(port.dnat.place), Tone.PLAIN, ref_of(port.dnat))
    if host.ruleset is None:
        return formatting.unknown(host, Source.RULES)
    known = host.ruleset.whole(port.host_ip.version) and not port.unsure
    if host.proxies is None and host.engine is not None and host.engine.rootless:
        known = False  # only the proxy tells the address that the rule is for
    return NOTHING if known else formatting.unknown_yet(host)


def _listening(host: Host, index: Index, port: Port) -> Span:
    """Who listens inside; before it, in a word, what is wrong with the rules on the way there."""
    inside, found = _inside(host, port), index.drift_of_port(port)
    if inside is _NO_WAY or not found:
        return inside
    missing = any(drift.kind is DriftKind.MISSING and drift.table == "nat" for drift in found)
    mark = "no DNAT" if missing and port.dnat is None else formatting.drift_mark(found).strip()
    return Span(f"{mark} · {inside.text}", Tone.BAD)


_NO_WAY = Span("✗ not forwarded", Tone.BAD)  # whether or not something listens inside


def _inside(host: Host, port: Port) -> Span:
    if not port.live:
        return Span("fwd waits" if port.waiting else "not running", Tone.DIM)
    if port.holder is not None and port.holder.kind == "nobody":
        return _NO_WAY
    if port.listening is None:
        return formatting.unknown_yet(host)
    if not port.listening:
        return Span("○ nobody", Tone.BAD)
    if port.holder is None:
        return Span("● inside, ?", Tone.UNKNOWN)  # what leads to it could not be read
    if port.proxy is not None and port.proxy.stopped:
        return Span("proxy stopped", Tone.BAD if port.dnat is None else Tone.WARN)
    return Span(f"● {clean(port.listener, 24)}" if port.listener else "● yes", Tone.GOOD)


PORTS = View(
    name="ports",
    title="Ports",
    short="Ports",
    digit="2",
    kind="port",
    columns=(
        Column("port", "PORT", right=True, most=5),
        Column("proto", "PROTO", most=5),
        Column("bind", "BIND", most=26, least=15),
        Column("scope", "SCOPE", leaves=9, most=11),
        Column("container", "CONTAINER", most=24, least=14, middle=True),
        Column("target", "TARGET", most=26, least=16),
        Column("holder", "HELD BY", leaves=3, most=22, least=12, middle=True),
        Column("rule", "RULE", leaves=6, most=26, least=12),
        Column("packets", "PACKETS", right=True, leaves=7, most=7),
        Column("listening", "LISTENING", leaves=1, most=16, least=10),
    ),
    sources=(Source.DOCKER, Source.LISTENERS, Source.RULES, Source.PROXIES),
    rows=_ports,
    empty="no port of this host is in use",
    known=lambda host: host.ports is not None and (host.listeners is not None or bool(host.ports)),
    keeps=5,
)

# --- rules ------------------------------------------------------------------------------------------------------------


def _rules(host: Host) -> Rows:
    """What a tool could not show stands first: it says which of the rules below are not told in full."""
    if host.ruleset is None:
        return Rows((), _note)
    return Rows(
        (*map(_noted, host.ruleset.notes), *host.ruleset.rules),
        lambda record: _note(record) if isinstance(record, RulesNote) else _rule(host, record),
    )


_noted = lru_cache(maxsize=64)(RulesNote)


def _note(note: RulesNote) -> Row:
    text = clean(note.text)
    cells = (UNKNOWN, NOTHING, NOTHING, Span("note", Tone.UNKNOWN), NOTHING, BLANK, Span(text), NOTHING)
    sort = (("", "", 0), ("", "", "", 0), 0, "", None, None, text, "")
    return Row(ref_of(note), cells, sort, marks.glyph(Mark.UNKNOWN))


def _rule(host: Host, rule: Rule) -> Row:
    text = formatting.rule_body(rule)
    if rule.not_understood:
        text = f"{text}  (not interpreted: {clean(', '.join(rule.not_understood), 80)})"
    table, packets = formatting.table_of(rule), rule.packets
    cells = (
        _plain(clean(table)),
        _chain(rule.backend, rule.family, rule.table, rule.chain),
        _dim(str(rule.position)),
        _action(rule, marks.evidence_of(host, rule)),
        NOTHING if packets is None else _plain(formatting.short_number(packets)),
        Span(formatting.rate(rule.rate), Tone.GOOD) if rule.rate else BLANK,
        Span(text),
        _dim(formatting.backend_name(rule.backend)),
    )
    place = (table, rule.chain, rule.position)
    sort = (place, (rule.chain, *place), rule.position, cells[3].text, packets, rule.rate, text, rule.backend)
    return marks.marked(host, rule, cells, sort)


BLANK = Span("")


@lru_cache(maxsize=8192)
def _plain(text: str) -> Span:
    """Rules share most of their cells; a host of 10,000 rules makes few different ones."""
    return Span(text)


@lru_cache(maxsize=8192)
def _dim(text: str) -> Span:
    return Span(text, Tone.DIM)


@lru_cache(maxsize=2048)
def _chain(backend: str, family: str, table: str, name: str) -> Span:
    return Span(clean(name), Tone.KEY, Ref("chain", f"{backend} {family} {table} {name}"))


def _action(rule: Rule, finding: Finding | None) -> Span:
    """Red only where it is to blame for something that is broken."""
    target, blamed = rule.target, finding is not None and finding.mark is Mark.BROKEN
    tone = Tone.UNKNOWN if target.verb is Verb.OTHER else Tone.BAD if blamed else Tone.PLAIN
    if target.chain:
        ref = Ref("chain", f"{rule.backend} {rule.family} {rule.table} {target.chain}")
        return Span(clean(formatting.action(rule)), tone, ref)
    if target.address:
        return Span(formatting.action(rule), tone, address_ref(target.address))
    return Span(formatting.action(rule), tone)


RULES = View(
    name="rules",
    title="Rules",
    short="Rules",
    digit="4",
    kind="rule",
    columns=(
        Column("table", "TABLE", most=20, least=7),
        Column("chain", "CHAIN", most=26, least=10, middle=True),
        Column("rule", "#", right=True, most=5),
        Column("action", "ACTION", most=28, least=16),
        Column("packets", "PACKETS", right=True, leaves=1, most=7),
        Column("rate", "RATE", right=True, leaves=4, most=8),
        Column("text", "RULE", leaves=2, most=90, least=20),
        Column("backend", "BACKEND", leaves=8, most=7),
    ),
    sources=(Source.RULES,),
    rows=_rules,
    empty="no rules",
    known=lambda host: host.ruleset is not None,
    keeps=4,
)

# --- proxies ----------------------------------------------------------------------------------------------------------


def _proxies(host: Host) -> Rows:
    index = index_of(host)
    if host.proxies is None:
        return Rows((), lambda proxy: _proxy(host, index, proxy))
    return Rows((*host.forged, *host.proxies), lambda proxy: _proxy(host, index, proxy))


def _proxy(host: Host, index: Index, proxy: Proxy) -> Row:
    owner = index.owners.get(proxy.container_ip) if proxy.user is None else None
    sockets = None if proxy.listeners is None else len(proxy.listeners)
    cells = (
        Span(str(proxy.pid), Tone.KEY, ref_of(proxy)),
        Span(
            clean(proxy.program, 40) + " stopped" * bool(proxy.stopped),
            Tone.PLAIN if proxy.user is None and not proxy.stopped else Tone.BAD,
        ),
        Span(clean(proxy.proto)),
        Span(socket_text(proxy.host_ip, proxy.host_port), Tone.PLAIN, Ref("port", _key(proxy))),
        Span(socket_text(proxy.container_ip, proxy.container_port), Tone.PLAIN, address_ref(proxy.container_ip)),
        formatting.owner(host, owner) if proxy.user is None else Span("not the engine's", Tone.BAD),
        UNKNOWN if proxy.rss is None else Span(formatting.short_bytes(proxy.rss)),
        UNKNOWN if sockets is None else Span(str(sockets), Tone.PLAIN if sockets else Tone.BAD),
    )
    name = owner.name.casefold() if owner else None
    sort = (
        proxy.pid,
        proxy.command,
        proxy.proto,
        proxy.host_port,
        int(proxy.container_ip),
        name,
        proxy.rss,
        sockets,
    )
    ports = index.served_by(proxy)
    finding = marks.finding_of_proxy(host, proxy, ports)
    mark = marks.of_proxy(host, ports, finding)
    return Row(ref_of(proxy), cells, sort, marks.lead(mark), marks.tags(mark, finding), marks.why(finding))


def _key(proxy: Proxy) -> str:
    return f"{proxy.proto}/{proxy.host_ip}/{proxy.host_port}"


PROXIES = View(
    name="proxies",
    title="Proxies",
    short="Proxy",
    digit="6",
    kind="proxy",
    columns=(
        Column("pid", "PID", right=True, most=8),
        Column("command", "COMMAND", leaves=6, most=21),
        Column("proto", "PROTO", most=5),
        Column("bind", "BIND", most=28, least=21),
        Column("target", "TARGET", most=28, least=21),
        Column("container", "CONTAINER", most=26, least=14, middle=True),
        Column("memory", "MEMORY", right=True, leaves=3, most=9),
        Column("sockets", "SOCKETS", right=True, leaves=4, most=7),
    ),
    sources=(Source.PROXIES,),
    rows=_proxies,
    empty="no userland proxy runs",
    known=lambda host: host.proxies is not None,
    keeps=4,
)
