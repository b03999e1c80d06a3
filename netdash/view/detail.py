"""The card of every kind of record that a reference leads to. Containers have theirs in card.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from netdash.join.drops import finding_of, leads_to, networks_of
from netdash.kernel.sockets import bound_socket
from netdash.model.addresses import socket_text
from netdash.model.belonging import containers_of
from netdash.model.engine_state import Drift
from netdash.model.finding import Finding
from netdash.model.host import (
    Chain,
    Container,
    Host,
    Link,
    Neighbour,
    Network,
    PolicyRule,
    Port,
    Proxy,
    Ref,
    Route,
    Rule,
    RulesNote,
    TrackedFlow,
)
from netdash.model.index import index_of
from netdash.model.kernel_state import Drop
from netdash.model.packet import Flow
from netdash.model.relations import address_ref, chain_ref, ref_of
from netdash.publish.journal import Forward
from netdash.view import columns_flows, columns_kernel, formatting, layout
from netdash.view.card import card, drift_lines, of_port
from netdash.view.columns_engine import drift_place, port_text
from netdash.view.columns_kernel import destination, devices, gateways, link_state
from netdash.view.findings import of_finding
from netdash.view.text import Line, Span, Tone, clean

MOST = 12  # names that a line lists before it says how many more there are


def detail(
    host: Host, thing: object, width: int, chosen: Ref | None = None, on_screen: bool = False
) -> tuple[Line, ...]:
    """Lines of at most `width` cells about one record of the host. `chosen` and `on_screen`: as of a card."""
    if isinstance(thing, Container):
        return card(host, thing, width, chosen, on_screen)
    port = port_of(host, thing)
    lines = _CARDS[type(thing)](host, thing, width)
    if port is not None:
        lines += of_port(host, port, width, chosen, on_screen)
    owners = thing.containers if isinstance(thing, Flow) else containers_of(host, ref_of(thing))
    lines += _containers(host, owners, width)
    return (*lines, *_own_forward(host, port, width))


def _label(word: str) -> Span:
    return Span(f" {word:<9}", Tone.TITLE)


def _fact(word: str, value: Span | Sequence[Span], width: int) -> list[Line]:
    return layout.paragraph(_label(word), [value] if isinstance(value, Span) else list(value), width)


def _head(title: str, ref: Ref, note: str, width: int) -> Line:
    return layout.spread((Span(" "), Span(title, Tone.KEY, ref)), (Span(note, Tone.DIM),), width)


def _containers(host: Host, identities: Iterable[str], width: int) -> list[Line]:
    """The containers that it belongs to."""
    names = index_of(host).containers
    found = [names[identity] for identity in identities if identity in names]
    if not found:
        return []
    spans = [Span(f"{clean(container.name)}  ", Tone.KEY, ref_of(container)) for container in found[:MOST]]
    if len(found) > MOST:
        spans.append(Span(f"… and {len(found) - MOST} more", Tone.DIM))
    return _fact("FOR", spans, width)


# --- rules ------------------------------------------------------------------------------------------------------------


def _rule(host: Host, rule: Rule, width: int) -> list[Line]:
    lines = [_head(clean(rule.place), ref_of(rule), rule.backend, width)]
    lines += layout.text(_label("RULE"), clean(rule.text), width)
    lines += _fact("DOES", Span(clean(formatting.action(rule)), Tone.KEY), width)
    if rule.packets is None:
        lines += _fact("COUNTED", Span("it has no counter", Tone.DIM), width)
    else:
        size = f", {formatting.short_bytes(rule.bytes)}" if rule.bytes is not None else ""
        rate = f", {formatting.rate(rule.rate)}" if formatting.rate(rule.rate) else ""
        lines += _fact("COUNTED", Span(f"{formatting.packets(rule)}{size}{rate}"), width)
    if rule.comment:
        lines += layout.text(_label("COMMENT"), clean(rule.comment), width, Tone.DIM)
    if rule.not_understood:
        said = f"not interpreted: {', '.join(rule.not_understood)}"
        lines += layout.text(_label("?"), clean(said), width, Tone.UNKNOWN)
    chain = index_of(host).chains.get(chain_ref(rule))
    return lines + (_reached(host, chain, width) if chain else [])


def _note(_: Host, note: RulesNote, width: int) -> list[Line]:
    return layout.text(_label("?"), clean(note.text), width, Tone.UNKNOWN)


def _reached(host: Host, chain: Chain, width: int) -> list[Line]:
    """When packets come to the chain: from the kernel's hook, or from the rules that jump there."""
    name = Span(f"{clean(chain.name)} ", Tone.PLAIN, ref_of(chain))
    if chain.hook:
        policy = f", policy {chain.policy}" if chain.policy else ""
        device = f" on {chain.device}" if chain.device else ""
        said = f"is called at hook {chain.hook}{device}, priority {chain.priority}{policy}"
        return _fact("CHAIN", [name, Span(clean(said), Tone.DIM)], width)
    callers = index_of(host).callers.get((chain.backend, chain.family, chain.table, chain.name))
    if not callers:
        return _fact("CHAIN", [name, Span("no rule jumps here", Tone.WARN)], width)
    spans = [Span(f"{clean(rule.place)}  ", Tone.PLAIN, ref_of(rule)) for rule in callers[:MOST]]
    if len(callers) > MOST:
        spans.append(Span(f"… and {len(callers) - MOST} more", Tone.DIM))
    return _fact("CHAIN", [name, Span("is called from ", Tone.DIM), *spans], width)


# --- ports, proxies, networks -----------------------------------------------------------------------------------------


def _port(host: Host, port: Port, width: int) -> list[Line]:
    title = clean(f"{bound_socket(port)}/{port.proto}")
    holder = port.holder
    who = "held by ?" if holder is None else clean(f"held by {holder.command or holder.kind}")
    note = f"{who} pid {holder.pid}" if holder and holder.pid else who
    note += ": not the engine's" if holder and holder.forged else ""
    lines = [_head(title, ref_of(port), note, width)]
    container = index_of(host).containers.get(port.container_id or "")
    if container is None:
        return lines + (_fact("RULE", formatting.rule_evidence([port.dnat]), width) if port.dnat else [])
    if not port.live:
        forward = f"netdash's forward to {container.name} waits: it opens when the container runs and the port is free"
        said = forward if port.waiting else f"set up on {container.name}, which is not running"
        return lines + layout.text(_label("WAITS"), clean(said), width, Tone.DIM)
    return lines


def _proxy(_: Host, proxy: Proxy, width: int) -> list[Line]:
    note = f"child of {proxy.ppid or '?'}" + (": not the engine's" if proxy.user else "")
    note += ", stopped (SIGSTOP): it answers nobody" * bool(proxy.stopped)
    lines = [_head(clean(f"{proxy.program} {proxy.pid}"), ref_of(proxy), note, width)]
    port = Ref("port", f"{proxy.proto}/{proxy.host_ip}/{proxy.host_port}")
    bind = Span(f"{socket_text(proxy.host_ip, proxy.host_port)}/{clean(proxy.proto)}", Tone.KEY, port)
    target = socket_text(proxy.container_ip, proxy.container_port)
    hops = [layout.Hop((bind,)), layout.Hop((Span(target, Tone.KEY, address_ref(proxy.container_ip)),))]
    lines += layout.path(_label("CARRIES"), hops, width)
    lines += layout.text(_label("COMMAND"), clean(proxy.argv), width)
    if proxy.listeners is not None:
        held = ", ".join(f"{socket_text(listener.ip, listener.port)}/{listener.proto}" for listener in proxy.listeners)
        lines += layout.text(_label("SOCKETS"), clean(held) or "none: it listens nowhere", width)
    if proxy.rss is not None:
        lines += _fact("MEMORY", Span(formatting.short_bytes(proxy.rss)), width)
    return lines


def _network(host: Host, network: Network, width: int) -> list[Line]:
    lines = [_head(clean(network.name), ref_of(network), f"{clean(network.driver)}  {network.id[:12]}", width)]
    device = network.bridge or network.parent
    if device:
        word = "BRIDGE" if network.bridge else "PARENT"
        lines += _fact(word, Span(clean(device), Tone.PLAIN, formatting.link_ref(device)), width)
    gateways = index_of(host).gateways(network) or ()
    for net in network.subnets:
        gateway = next((ip for ip in gateways if ip in net), None)
        via = [Span("  gateway ", Tone.DIM), formatting.address(gateway)] if gateway else []
        lines += _fact("SUBNET", [Span(str(net), Tone.KEY), *via], width)
    flags = formatting.network_flags(network)
    if flags:
        lines += layout.text(_label("FLAGS"), flags, width, Tone.WARN)
    lines += drift_lines(index_of(host).drift_of_network(network.id), _label("RULES"), _label(""), width)
    return lines + _members(host, network, width)


def _members(host: Host, network: Network, width: int) -> list[Line]:
    """The containers on it with their addresses there, one line each."""
    ends = [
        (container, end)
        for container in host.containers or ()
        for end in container.endpoints
        if index_of(host).network(end) is network
    ]
    lines: list[Line] = []
    for container, end in ends[:MOST]:
        addresses = [Span(f"  {own.ip}", Tone.PLAIN, address_ref(own.ip)) for own in end.addresses]
        veth = [Span(f"  {clean(end.veth)}", Tone.DIM, formatting.link_ref(end.veth))] if end.veth else []
        name = Span(clean(container.name), Tone.KEY, ref_of(container))
        label = Span(" " * 10) if lines else _label("MEMBERS")
        lines.append(layout.crop((label, name, *addresses, *veth), width))
    if len(ends) > MOST:
        lines.append(layout.crop((Span(f"{'':10}… and {len(ends) - MOST} more", Tone.DIM),), width))
    return lines


def _drift(host: Host, drift: Drift, width: int) -> list[Line]:
    """What should be there, or what is there and should not."""
    index = index_of(host)
    title = f"{drift.kind.value}: {drift_place(drift)}"
    lines = [_head(clean(title), ref_of(drift), clean(drift.backend), width)]
    lines += layout.text(_label("RULE"), clean(drift.text), width)
    lines += layout.text(_label("WHY"), clean(drift.why), width)
    if drift.binding:
        lines += _fact("PORT", Span(port_text(drift.binding), Tone.KEY), width)
    network = index.networks.get(drift.network_id or "")
    if network:
        lines += _fact("NETWORK", Span(clean(network.name), Tone.PLAIN, ref_of(network)), width)
    return lines


# --- routes and links -------------------------------------------------------------------------------------------------


def _route(_: Host, record: Route | PolicyRule, width: int) -> list[Line]:
    if isinstance(record, PolicyRule):
        note = f"policy rule, IPv{record.family}"
        lines = [_head(f"rule {record.priority}", ref_of(record), note, width)]
        return lines + layout.text(_label("SAYS"), clean(record.text), width)
    lines = [_head(destination(record), ref_of(record), f"table {clean(record.table)}", width)]
    names = [Span(f"{clean(name)} ", Tone.PLAIN, formatting.link_ref(name)) for name in devices(record)]
    via = gateways(record)
    hop = [Span(f"via {via} ", Tone.PLAIN, address_ref(record.gateway) if record.gateway else None)] if via else []
    lines += _fact("LEADS", [*hop, *names] or Span("nowhere", Tone.WARN), width)
    source = f", source {record.prefsrc}" if record.prefsrc else ""
    said = f"{record.kind}, metric {record.metric}{source}, from {record.protocol or '?'}"
    lines += layout.text(_label("KIND"), clean(said), width, Tone.DIM)
    if record.linkdown:
        lines += layout.text(_label("STATE"), "the device has no carrier", width, Tone.WARN)
    return lines


def _link(host: Host, link: Link, width: int) -> list[Line]:
    lines = [_head(clean(link.name), ref_of(link), clean(link.kind or "device"), width)]
    mtu = f", mtu {link.mtu}" if link.mtu is not None else ""
    lines += _fact("STATE", [link_state(link), Span(clean(f"{mtu}, {link.mac or 'no address'}"), Tone.DIM)], width)
    if link.addresses:
        spans = [Span(f"{own}  ", Tone.KEY, address_ref(own.ip)) for own in link.addresses]
        lines += _fact("ADDRESS", spans, width)
    if link.master:
        lines += _fact("PORT OF", Span(clean(link.master), Tone.PLAIN, formatting.link_ref(link.master)), width)
    ports = [port.name for port in host.links or () if port.master == link.name]
    if ports:
        spans = [Span(f"{clean(name)}  ", Tone.PLAIN, formatting.link_ref(name)) for name in ports[:MOST]]
        if len(ports) > MOST:
            spans.append(Span(f"… and {len(ports) - MOST} more", Tone.DIM))
        lines += _fact("PORTS", spans, width)
    network = next((network for network in host.networks or () if network.bridge == link.name), None)
    if network:
        lines += _fact("NETWORK", Span(clean(network.name), Tone.PLAIN, ref_of(network)), width)
    return lines


def _neighbour(_: Host, neighbour: Neighbour, width: int) -> list[Line]:
    lines = [_head(str(neighbour.ip), ref_of(neighbour), f"neighbour on {clean(neighbour.dev)}", width)]
    said = f"{neighbour.state.lower()}, {neighbour.mac or 'no hardware address'}"
    lines += layout.text(_label("STATE"), clean(said), width)
    return lines + _fact("DEVICE", Span(clean(neighbour.dev), Tone.PLAIN, formatting.link_ref(neighbour.dev)), width)


# --- connections ------------------------------------------------------------------------------------------------------


def _flow(host: Host, flow: Flow, width: int) -> list[Line]:
    entry = flow.entry
    note = f"zone {entry.zones[0]}" if any(entry.zones) else ""
    lines = [_head(clean(entry.proto), ref_of(flow), note, width)]
    lines += layout.text(_label("FLOW"), columns_flows.sentence(host, flow), width, Tone.KEY)
    lines += _fact("STATE", [columns_flows.state(flow), Span(_of_entry(entry), Tone.DIM)], width)
    why = columns_flows.why(host, flow)
    if why:
        lines += layout.text(_label("✗"), clean(why), width, Tone.BAD)
    rule = columns_flows.rule_of(host, flow)
    if rule is not None:
        lines += _fact("RULE", formatting.rule_evidence([rule]), width)
    if flow.proxy is not None:
        text = f"{flow.proxy.program} {flow.proxy.pid}"
        among = f"  which of its {flow.behind_among} own connections carries this one is not known"
        spans = [Span(clean(text), Tone.PLAIN, ref_of(flow.proxy)), Span(among if flow.behind_among else "", Tone.DIM)]
        lines += _fact("PROXY", spans, width)
    lines += _tuples(entry, "ASKED", "ANSWER", width)
    return lines + (_tuples(flow.behind, "BEHIND", "ANSWER", width) if flow.behind is not None else [])


def _of_entry(entry: TrackedFlow) -> str:
    parts = [
        "assured" if entry.assured else "",
        f"mark {entry.mark:#x}" if entry.mark else "",
        f"id {entry.icmp_id}" if entry.icmp_id is not None else "",
        "forwarded by a flow table" if entry.seconds is None else f"forgotten after {entry.seconds} s without a packet",
        f"began {formatting.age(entry.age)} ago" if entry.age is not None else "",
        formatting.bytes_rate(entry.rate),
    ]
    return "".join(f"  {part}" for part in parts if part)


def _tuples(entry: TrackedFlow, there: str, back: str, width: int) -> list[Line]:
    """Both directions as conntrack has them."""
    lines = []
    for at, (word, ends) in enumerate(((there, entry.original), (back, entry.reply))):
        text = f"{socket_text(ends.src, ends.sport)} → {socket_text(ends.dst, ends.dport)}"
        counted = entry.counts[at] if entry.counts is not None else None
        carried = f"  {counted.packets} packets, {formatting.short_bytes(counted.bytes)}" if counted else ""
        lines += _fact(word, [Span(text), Span(carried, Tone.DIM)], width)
    return lines


# --- what loses packets -----------------------------------------------------------------------------------------------


def _drop(host: Host, drop: Drop, width: int) -> list[Line]:
    ref, finding = leads_to(host, drop), finding_of(host, drop)
    lines = [_head(columns_kernel.place(drop), ref or ref_of(drop), columns_kernel.kind(drop), width)]
    lines += layout.text(_label("WHY" if drop.why else "LOST"), columns_kernel.what(host, drop), width, Tone.KEY)
    if drop.count is not None:
        lines += _fact("COUNTED", Span(f"{drop.count} packets"), width)
        known = "not known: it was read once, or began anew" if drop.rate is None else f"{drop.rate:.1f} a second"
        lines += _fact("NOW", Span(known), width)
    networks = networks_of(host, drop)
    for network in networks[:MOST]:
        subnets = ", ".join(map(str, network.subnets))
        lines += _fact("NETWORK", [Span(clean(network.name), Tone.PLAIN, ref_of(network)), Span(f"  {subnets}")], width)
    if finding is not None:
        lines += _fact("FINDING", Span(clean(finding.sentence, 300), Tone.WARN, ref_of(finding)), width)
    return lines


_CARDS: dict[type, Callable[[Host, Any, int], list[Line]]] = {
    Rule: _rule,
    RulesNote: _note,
    Port: _port,
    Network: _network,
    Route: _route,
    PolicyRule: _route,
    Proxy: _proxy,
    Link: _link,
    Neighbour: _neighbour,
    Drift: _drift,
    Finding: partial(of_finding, on_screen=True),
    Flow: _flow,
    Drop: _drop,
}


# --- ports that netdash itself forwards -------------------------------------------------------------------------------

_OWN = Span(f" {'OWN':<9}", Tone.TITLE)
_BELOW = Span(" " * 10)


def is_own_forward(port: Port) -> bool:
    return port.holder is not None and port.holder.kind == "netdash"


def port_of(host: Host, thing: object) -> Port | None:
    """A port itself, or the one that a proxy serves."""
    if isinstance(thing, Proxy):
        return next((port for port in host.ports or () if port.proxy is thing), None)
    return thing if isinstance(thing, Port) else None


def _own_forward(host: Host, port: Port | None, wide: int) -> list[Line]:
    """Nothing for a port that another holds."""
    if port is None or not is_own_forward(port):
        return []
    name = index_of(host).name(port.container_id) or "CONTAINER"
    suffix = "" if port.proto == "tcp" else f"/{port.proto}"
    said = (
        f"netdash's own forward, of which the engine knows nothing; netdash unpublish {name} {port.host_port}{suffix}"
    )
    return layout.text(_OWN, clean(f"{said} ends it"), wide)


def forward_end(record: Forward, now: float | None, wide: int) -> list[Line]:
    """The end that it was given, on the clock; of today only the time."""
    if record.until is None:
        said = "it lasts until it is ended, the container is removed, or the machine starts anew"
    else:
        end = datetime.fromtimestamp(record.until)
        same = now is not None and datetime.fromtimestamp(now).date() == end.date()
        said = f"it ends by itself at {end.strftime('%H:%M:%S' if same else '%Y-%m-%d %H:%M:%S')}"
    return layout.text(_BELOW, said, wide, Tone.DIM)
