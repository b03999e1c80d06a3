"""The views of how ports reach containers: the ledger of host ports, the rules, the userland proxies."""

from __future__ import annotations

from functools import lru_cache

from netdash.model.addresses import socket_text
from netdash.model.host import Host, Port, Proxy, Ref, Rule, RulesNote
from netdash.model.index import Index, index_of
from netdash.model.relations import address_ref, ref_of
from netdash.view import formatting
from netdash.view.formatting import NOTHING, UNKNOWN
from netdash.view.table import Column, Row, Rows, View
from netdash.view.text import Span, Tone, clean

# --- ports ------------------------------------------------------------------------------------------------------------


def _ports(host: Host) -> Rows:
    index = index_of(host)
    return Rows(host.ports or (), lambda one: _port(host, index, one))


def _port(host: Host, index: Index, one: Port) -> Row:
    container = index.containers.get(one.container_id or "")
    rule = one.dnat
    cells = (
        Span(str(one.host_port), Tone.KEY if one.live else Tone.DIM),
        Span(clean(one.proto)),
        formatting.bound(one),
        Span(formatting.scope_word(one.scope), Tone.DIM),
        formatting.owner(host, container),
        _target(host, one),
        _holder(host, one),
        _dnat(host, one),
        formatting.count(rule.packets)
        if rule
        else NOTHING
        if _dnat(host, one) is NOTHING
        else formatting.unknown_yet(host),
        _listening(host, index, one),
    )
    holder = one.holder.pid if one.holder else None
    sort = (
        one.host_port,
        one.proto,
        int(one.host_ip),
        cells[3].text,
        container.name.casefold() if container else None,
        int(one.target_ip) if one.target_ip else None,
        holder,
        rule.place if rule else None,
        rule.packets if rule else None,
        cells[9].text,
    )
    return Row(ref_of(one), cells, sort)


def _target(host: Host, one: Port) -> Span:
    if one.target_ip is not None:
        return Span(socket_text(one.target_ip, one.container_port), Tone.PLAIN, address_ref(one.target_ip))
    if not one.live:
        return Span(f"(→{one.container_port})", Tone.DIM)
    carried = one.holder is not None and one.holder.kind not in ("process", "nobody")
    return formatting.unknown_yet(host) if (one.container_id or carried) and not _own_socket(one) else NOTHING


def _own_socket(one: Port) -> bool:
    """Whether a host-network container or a plain process holds it: nothing is translated."""
    return one.holder is not None and one.holder.kind == "process" and one.dnat is None and one.proxy is None


def _holder(host: Host, one: Port) -> Span:
    """Who has the host's port: a process with its pid, a rule alone, or nobody."""
    holder = one.holder
    if holder is None:
        return formatting.unknown(host, "listeners")
    if holder.kind == "nobody":
        return Span("nobody", Tone.DIM)
    if holder.kind == "rule":
        return Span("rule only", Tone.DIM)
    name = clean(holder.command or holder.kind, 40)
    ref = ref_of(one.proxy) if one.proxy and one.proxy.pid == holder.pid else None
    return Span(f"{name} {holder.pid}" if holder.pid else name, Tone.PLAIN, ref)


def _dnat(host: Host, one: Port) -> Span:
    if one.dnat is not None:
        return Span(clean(one.dnat.place), Tone.PLAIN, ref_of(one.dnat))
    if host.ruleset is None:
        return formatting.unknown(host, "rules")
    known = host.ruleset.whole(one.host_ip.version) and not one.unsure
    if host.proxies is None and host.engine is not None and host.engine.rootless:
        known = False  # only the proxy tells the address that the rule is for
    return NOTHING if known else formatting.unknown_yet(host)


def _listening(host: Host, index: Index, one: Port) -> Span:
    """Who listens inside; before it, in a word, what is wrong with the rules on the way there."""
    inside, mark = _inside(host, one), formatting.drift_mark(index.drift_of_port(one))
    return Span(f"{mark}{inside.text}", Tone.BAD) if mark else inside


def _inside(host: Host, one: Port) -> Span:
    if not one.live:
        return Span("not running", Tone.DIM)
    if one.listening is None:
        return formatting.unknown_yet(host)
    if not one.listening:
        return Span("○ nobody", Tone.BAD)
    if one.holder is None:
        return Span("● inside, ?", Tone.UNKNOWN)  # what leads to it could not be read
    if one.holder.kind == "nobody":
        return Span("inside only", Tone.BAD)  # the container's socket is there, but nothing leads to it
    return Span(f"● {clean(one.listener, 24)}" if one.listener else "● yes", Tone.GOOD)


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
        Column("holder", "HELD BY", leaves=3, most=22, least=12),
        Column("rule", "RULE", leaves=6, most=26, least=12),
        Column("packets", "PACKETS", right=True, leaves=7, most=7),
        Column("listening", "LISTENING", leaves=1, most=14, least=10),
    ),
    sources=("docker", "listeners", "rules", "proxies"),
    rows=_ports,
    empty="no port of this host is in use",
    known=lambda host: host.ports is not None and (host.listeners is not None or bool(host.ports)),
)

# --- rules ------------------------------------------------------------------------------------------------------------


def _rules(host: Host) -> Rows:
    """What a tool could not show stands first: it says which of the rules below are not told in full."""
    if host.ruleset is None:
        return Rows((), _rule)
    return Rows((*map(_noted, host.ruleset.notes), *host.ruleset.rules), _rule_or_note)


_noted = lru_cache(maxsize=64)(RulesNote)


def _rule_or_note(one: Rule | RulesNote) -> Row:
    return _note(one) if isinstance(one, RulesNote) else _rule(one)


def _note(one: RulesNote) -> Row:
    text = clean(one.text)
    cells = (UNKNOWN, NOTHING, NOTHING, Span("note", Tone.UNKNOWN), NOTHING, BLANK, Span(text), NOTHING)
    return Row(ref_of(one), cells, (("", "", 0), ("", "", "", 0), 0, "", None, None, text, ""))


def _rule(one: Rule) -> Row:
    text = formatting.rule_body(one)
    if one.not_understood:
        text = f"{text}  (not interpreted: {clean(', '.join(one.not_understood), 80)})"
    table, packets = formatting.table_of(one), one.packets
    cells = (
        _plain(clean(table)),
        _chain(one.backend, one.family, one.table, one.chain),
        _dim(str(one.position)),
        _action(one),
        NOTHING if packets is None else _plain(formatting.short_number(packets)),
        Span(formatting.rate(one.rate), Tone.GOOD) if one.rate else BLANK,
        Span(text),
        _dim(formatting.backend_name(one.backend)),
    )
    place = (table, one.chain, one.position)
    sort = (place, (one.chain, *place), one.position, cells[3].text, packets, one.rate, text, one.backend)
    return Row(ref_of(one), cells, sort)


_VERBS = {"drop": Tone.BAD, "reject": Tone.BAD, "other": Tone.UNKNOWN}
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


def _action(one: Rule) -> Span:
    target = one.target
    tone = _VERBS.get(target.verb.value, Tone.PLAIN)
    if target.chain:
        ref = Ref("chain", f"{one.backend} {one.family} {one.table} {target.chain}")
        return Span(clean(formatting.action(one)), tone, ref)
    if target.address:
        return Span(formatting.action(one), tone, address_ref(target.address))
    return Span(formatting.action(one), tone)


RULES = View(
    name="rules",
    title="Rules",
    short="Rules",
    digit="4",
    kind="rule",
    columns=(
        Column("table", "TABLE", most=20, least=7),
        Column("chain", "CHAIN", most=26, least=10),
        Column("rule", "#", right=True, most=5),
        Column("action", "ACTION", most=28, least=16),
        Column("packets", "PACKETS", right=True, leaves=1, most=7),
        Column("rate", "RATE", right=True, leaves=4, most=8),
        Column("text", "RULE", leaves=2, most=90, least=20),
        Column("backend", "BACKEND", leaves=8, most=7),
    ),
    sources=("rules",),
    rows=_rules,
    empty="no rules",
    known=lambda host: host.ruleset is not None,
)

# --- proxies ----------------------------------------------------------------------------------------------------------


def _proxies(host: Host) -> Rows:
    index = index_of(host)
    if host.proxies is None:
        return Rows((), lambda one: _proxy(host, index, one))
    return Rows((*host.forged, *host.proxies), lambda one: _proxy(host, index, one))


def _proxy(host: Host, index: Index, one: Proxy) -> Row:
    owner = index.owners.get(one.container_ip) if one.user is None else None
    sockets = None if one.listeners is None else len(one.listeners)
    cells = (
        Span(str(one.pid), Tone.KEY, ref_of(one)),
        Span(clean(one.program, 40), Tone.PLAIN if one.user is None else Tone.BAD),
        Span(clean(one.proto)),
        Span(socket_text(one.host_ip, one.host_port), Tone.PLAIN, Ref("port", _key(one))),
        Span(socket_text(one.container_ip, one.container_port), Tone.PLAIN, address_ref(one.container_ip)),
        formatting.owner(host, owner) if one.user is None else Span("not the engine's", Tone.BAD),
        UNKNOWN if one.rss is None else Span(formatting.short_bytes(one.rss)),
        UNKNOWN if sockets is None else Span(str(sockets), Tone.PLAIN if sockets else Tone.BAD),
    )
    name = owner.name.casefold() if owner else None
    sort = (
        one.pid,
        one.command,
        one.proto,
        one.host_port,
        int(one.container_ip),
        name,
        one.rss,
        sockets,
    )
    return Row(ref_of(one), cells, sort)


def _key(one: Proxy) -> str:
    return f"{one.proto}/{one.host_ip}/{one.host_port}"


PROXIES = View(
    name="proxies",
    title="Proxies",
    short="Proxy",
    digit="6",
    kind="proxy",
    columns=(
        Column("pid", "PID", right=True, most=8),
        Column("command", "COMMAND", leaves=6, most=16),
        Column("proto", "PROTO", most=5),
        Column("bind", "BIND", most=28, least=15),
        Column("target", "TARGET", most=28, least=15),
        Column("container", "CONTAINER", most=26, least=14, middle=True),
        Column("memory", "MEMORY", right=True, leaves=3, most=9),
        Column("sockets", "SOCKETS", right=True, leaves=4, most=7),
    ),
    sources=("proxies",),
    rows=_proxies,
    empty="no userland proxy runs",
    known=lambda host: host.proxies is not None,
)
