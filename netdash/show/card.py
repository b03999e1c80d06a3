"""The path card of one container: its packets' ways in and out, hop by hop, each with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from netdash.core.model import Container, Host, Port, Ref, Route, Rule, Scope
from netdash.core.paths import Callable, Inbound, Leaves, Outbound, callable_names, inbound, neighbour_counts, outbound
from netdash.core.related import address_ref, ref_of
from netdash.show import draw, notes, words
from netdash.show.draw import Hop
from netdash.show.index import index_of
from netdash.show.spans import Line, Span, Tone, clean
from netdash.show.views_kernel import destination

IN, OUT, PEERS, MORE = (Span(f" {word:<6}", Tone.TITLE) for word in ("IN", "OUT", "PEERS", ""))
MOST_PEERS = 12  # of one network; the view of containers lists them all
_OR = Hop((Span("or", Tone.DIM),))
_SOURCES = ("docker", "rules", "routes", "proxies", "listeners", "links", "sysctls")


def card(host: Host, container: Container, width: int, ways_in: bool = True) -> tuple[Line, ...]:
    """Lines of at most `width` cells; 40 and more are readable, from 100 the evidence stands below its hop. `ways_in`
    False where the one that matters has been told already."""
    lines = [_head(host, container, width)]
    if container.running:
        lines += _inbound_lines(host, container, width) if ways_in else []
        lines += _outbound_lines(host, container, width)
        lines += _peers(host, container, width)
    else:
        lines += _at_rest(host, container, width)
    for failure in notes.told(host, _SOURCES):
        lines += draw.text(Span(" ?     ", Tone.UNKNOWN), notes.sentence(failure), width, Tone.UNKNOWN)
    return tuple(lines)


def _head(host: Host, container: Container, width: int) -> Line:
    since = words.how_long(host, container)
    left = [Span(" "), Span(clean(container.name), Tone.KEY, ref_of(container)), Span("  "), words.state(container)]
    if since:
        left.append(Span(f" {since}" if container.running else f", {since} ago", Tone.DIM))
    if container.shares_with:
        left.append(Span(f"  in the network of {clean(container.shares_with)}", Tone.DIM))
    parts = [container.short_id, container.image]
    if container.compose:
        parts.insert(0, f"{container.compose}/{container.service}" if container.service else container.compose)
    return draw.spread(tuple(left), (Span("  ".join(map(clean, parts)), Tone.DIM),), width)


def _at_rest(host: Host, container: Container, width: int) -> list[Line]:
    """A container that does not run has no way in or out; what it is set up for."""
    lines = draw.text(IN, "no way in or out: it is not running", width, Tone.DIM)
    ports = index_of(host).ports(container.id)
    if ports:
        lines += draw.text(MORE, f"would publish {words.published(ports).text}", width, Tone.DIM)
    return lines


# --- in ---------------------------------------------------------------------------------------------------------------


def _inbound_lines(host: Host, container: Container, width: int) -> list[Line]:
    if host.ports is None:
        return draw.text(IN, f"? {notes.reason(host, 'docker')}", width, Tone.UNKNOWN)
    ways = {id(way.port): way for way in inbound(host, container)}
    if not ways:
        return draw.text(IN, "no published port", width, Tone.DIM)
    lines: list[Line] = []
    for run in words.fold((way.port for way in ways.values()), alike=_way_kind):
        lines += inbound_path(host, [ways[id(port)] for port in run], MORE if lines else IN, width)
    return lines


def _way_kind(port: Port) -> tuple[object, ...]:
    """Ports fold into one path only when they go the same way."""
    return port.host_ip, port.dnat is None, port.proxy is None, port.listening, port.listener, port.dnat_from_here


def inbound_path(host: Host, run: Sequence[Inbound], label: Span, width: int) -> list[Line]:
    """The ways of a run of ports: by DNAT, and the proxy's beside it."""
    first = run[0]
    port = first.port
    entry = _entry(run)
    if _own_socket(port):
        return draw.path(label, [entry, _own(port)], width)
    inside = [*_bridge_hops(first), _target(host, run)]
    if port.dnat is not None and port.proxy is not None and _passes_by(port):
        lines = draw.path(label, [entry, _proxy_hop(run), _target(host, run)], width)
        lines += draw.path(MORE, [_OR, _dnat_hop([way.port for way in run]), *inside], width)
        why = f"only what comes to {port.host_ip} by another device than lo, never this host's own packets"
        return lines + draw.text(MORE, why, width, Tone.DIM) + _broken(first, width)
    if port.dnat is not None:
        lines = draw.path(label, [entry, _dnat_hop([way.port for way in run]), *inside], width)
        lines += _broken(first, width)
        return lines + (_proxy_beside(run, width) if port.proxy else [])
    if port.proxy is not None:
        lines = draw.path(label, [entry, _proxy_hop(run), _target(host, run)], width)
        known = host.ruleset is not None and host.ruleset.complete
        why = first.proxy_when if known else f"whether a DNAT rule comes first: ? {notes.reason(host, 'rules')}"
        return lines + draw.text(MORE, why, width, Tone.DIM if known else Tone.UNKNOWN)
    hops, why, tone = _unexplained(host, port)
    beyond = inside if tone is Tone.UNKNOWN else []  # what is known not to arrive has no further way
    return draw.path(label, [entry, *hops, *beyond], width) + draw.text(MORE, why, width, tone)


def _passes_by(port: Port) -> bool:
    """Whether what this host sends to a port on loopback does not meet the rule."""
    return port.scope is Scope.LOOPBACK and port.dnat_from_here is False


def _broken(way: Inbound, width: int) -> list[Line]:
    return [line for said in way.broken for line in draw.text(MORE, f"✗ {clean(said, 200)}", width, Tone.BAD)]


def _own_socket(port: Port) -> bool:
    """Whether the container listens in the host's namespace itself: nothing is translated."""
    return port.dnat is None and port.proxy is None and port.holder is not None and port.holder.kind == "process"


def _own(port: Port) -> Hop:
    holder = port.holder
    name = clean(holder.command or holder.kind, 40) if holder else "its own process"
    pid = f" pid {holder.pid}" if holder and holder.pid else ""
    return Hop((Span(f"● {name}{pid}", Tone.GOOD),), (Span("listens in the host's namespace", Tone.DIM),))


def _entry(run: Sequence[Inbound]) -> Hop:
    first, last = run[0].port, run[-1].port
    numbers = str(first.host_port) if len(run) == 1 else f"{first.host_port}-{last.host_port}"
    numbers = f":{numbers}/{clean(first.proto)}"
    text = words.socket_text(first.host_ip, None) + numbers
    any_address = "any address" if first.dual else f"any IPv{first.host_ip.version} address"
    short = numbers if first.scope is Scope.ALL and first.host_ip.version == 4 else text
    ref = ref_of(first)
    scope = {Scope.LOOPBACK: "on loopback", Scope.ADDRESS: "this address only"}.get(first.scope, any_address)
    return Hop((Span(text, Tone.KEY, ref),), (Span(scope, Tone.DIM),), (Span(short, Tone.KEY, ref),))


def _dnat_hop(ports: Sequence[Port]) -> Hop:
    rules = list({port.dnat.place: port.dnat for port in ports if port.dnat}.values())
    first = rules[0]
    target = words.socket_text(ports[0].target_ip, None) if ports[0].target_ip else "?"
    numbers = _numbers(ports)
    evidence = rule_evidence(rules)
    name = first.target.verb.name if first.target.verb.value in ("dnat", "redirect") else "DNAT"
    return Hop(
        (Span(f"{name} "), Span(f"{target}:{numbers}", Tone.PLAIN, ref_of(first))),
        evidence,
        (Span(f"{name} "), *evidence),
    )


def rule_evidence(rules: Sequence[Rule]) -> Line:
    """Place, counter and rate of one rule, or of several taken together."""
    first, last = rules[0], rules[-1]
    place = first.place if len(rules) == 1 else f"{first.place}…#{last.position}"
    line = [Span(clean(place), Tone.PLAIN, ref_of(first))]
    counted = [rule.packets for rule in rules if rule.packets is not None]
    if counted and len(counted) == len(rules):
        total = sum(counted)
        line.append(Span(f" {words.short_number(total)} pkt{'' if total == 1 else 's'}", Tone.DIM))
    rates = [rule.rate for rule in rules if rule.rate]
    if rates:
        line.append(Span(f" {words.rate(sum(rates))}", Tone.GOOD))
    return tuple(line)


def _numbers(ports: Sequence[Port]) -> str:
    low, high = ports[0].container_port, ports[-1].container_port
    return "?" if low is None else str(low) if low == high else f"{low}-{high}"


def _bridge_hops(way: Inbound) -> list[Hop]:
    hops: list[Hop] = []
    if way.bridge:
        ip = () if way.bridge_ip is None else (Span(str(way.bridge_ip), Tone.DIM, address_ref(way.bridge_ip)),)
        bridge = Span(clean(way.bridge), Tone.PLAIN, words.link_ref(way.bridge))
        trouble = _trouble(way.at_bridge)
        hops.append(Hop((bridge, *trouble), ip, (bridge, *trouble)))
        hops.append(_veth(way.veth, way.at_veth))
    return hops


def _trouble(why: str) -> Line:
    return (Span(f" ✗ {clean(why)}", Tone.BAD),) if why else ()


def _veth(name: str | None, why: str) -> Hop:
    if name is None:
        return Hop((Span("veth ?", Tone.UNKNOWN),), (), ())
    veth = (Span(clean(name), Tone.PLAIN, words.link_ref(name)), *_trouble(why))
    return Hop(veth, (), veth if why else ())


def _target(host: Host, run: Sequence[Inbound]) -> Hop:
    port = run[0].port
    if port.target_ip is None:
        end = Span("?", Tone.UNKNOWN)
    else:
        text = f"{words.socket_text(port.target_ip, None)}:{_numbers([way.port for way in run])}"
        end = Span(text, Tone.KEY, address_ref(port.target_ip))
    under, mark = _listening(host, port)
    return Hop((end,), (under,), (end, Span(" "), mark))


def _listening(host: Host, port: Port) -> tuple[Span, Span]:
    owner = index_of(host).containers.get(port.container_id or "")
    if port.listening is None and owner is not None and owner.listeners is not None:
        return Span("? not this container", Tone.UNKNOWN), Span("?", Tone.UNKNOWN)
    if port.listening is None:
        pending = "containers" in host.pending or "listeners" in host.pending
        return Span("listening? " + ("reading…" if pending else "not readable"), Tone.UNKNOWN), Span("?", Tone.UNKNOWN)
    if port.listening and owner is not None and owner.state == "paused":
        return Span("◐ listening, paused: no answers", Tone.WARN), Span("◐ paused", Tone.WARN)
    if port.listening:
        name = f" ({clean(port.listener, 24)})" if port.listener else ""
        return Span(f"● listening{name}", Tone.GOOD), Span("●", Tone.GOOD)
    return Span("○ nobody listens", Tone.BAD), Span("○ nobody listens", Tone.BAD)


def _proxy_hop(run: Sequence[Inbound]) -> Hop:
    proxies = [way.port.proxy for way in run if way.port.proxy]
    first, last = proxies[0], proxies[-1]
    pids = f"pid {first.pid}" if len(proxies) == 1 else f"pids {first.pid}…{last.pid}"
    return Hop((Span(f"{clean(first.command, 24)} "), Span(pids, Tone.PLAIN, ref_of(first))))


def _proxy_beside(run: Sequence[Inbound], width: int) -> list[Line]:
    first = run[0].port.proxy
    if first is None:
        return []
    last = run[-1].port.proxy or first
    low, high = first.container_port, last.container_port
    target = f"{words.socket_text(first.container_ip, low)}" + ("" if low == high else f"-{high}")
    hops = [
        _OR,
        _proxy_hop(run),
        Hop((Span(target, Tone.PLAIN, address_ref(first.container_ip)),)),
    ]
    line = draw.path(MORE, hops, width)
    when = Span(f"  {run[0].proxy_when}", Tone.DIM)
    if draw.size(line[-1]) + draw.size((when,)) <= width:
        return [*line[:-1], (*line[-1], when)]
    return line + draw.text(MORE, f"   {run[0].proxy_when}", width, Tone.DIM)


def _unexplained(host: Host, port: Port) -> tuple[list[Hop], str, Tone]:
    """The hops and the sentence for a port with neither a rule nor a proxy: broken, or not to be seen from here."""
    question = Hop((Span("?", Tone.UNKNOWN),))
    holder = port.holder
    if holder is not None and holder.kind == "rootlesskit":
        name = Span(f"{clean(holder.command or holder.kind, 24)} pid {holder.pid or '?'}")
        return (
            [Hop((name,)), question],
            "carries it into the engine's own network namespace, not read here",
            Tone.UNKNOWN,
        )
    for source, known in (("rules", host.ruleset is not None), ("proxies", host.proxies is not None)):
        if not known:
            return [question], f"{source}: {notes.reason(host, source)}", Tone.UNKNOWN
    if host.ruleset is not None and not host.ruleset.complete:
        return [question], "no DNAT rule, no proxy; but not every rule could be read", Tone.UNKNOWN
    if host.engine is not None and host.engine.rootless:
        return [question], "no DNAT rule, no proxy in the namespace that was read; the engine is rootless", Tone.UNKNOWN
    return [Hop((Span("✗ no DNAT rule, no proxy", Tone.BAD),))], "nothing forwards it", Tone.BAD


# --- out --------------------------------------------------------------------------------------------------------------


def _outbound_lines(host: Host, container: Container, width: int) -> list[Line]:
    lines: list[Line] = []
    for way in outbound(host, container):
        lines += outbound_path(way, MORE if lines else OUT, width, host.pending)
    return lines


def outbound_path(way: Outbound, label: Span, width: int, reading: frozenset[str] = frozenset()) -> list[Line]:
    """One address's way to the Internet; a sentence below where it is not the usual one. `reading`: sources to come."""
    hops = [_source(way), *_gateway(way), *_leaving(way)]
    lines = draw.path(label, hops, width)
    said = [way.why] if way.why else []
    if way.leaves is Leaves.UNKNOWN and not reading.isdisjoint(("rules", "routes", "links", "docker")):
        return [*lines, *draw.text(MORE, "reading…", width, Tone.UNKNOWN)]
    if way.default is False and way.leaves not in (Leaves.INTERNAL, Leaves.NOWHERE):
        said.append("not its default route: used only when another network does not lead out")
    elif way.default is None:
        said.append("whether this network holds its default route: ?")
    tone = Tone.UNKNOWN if way.leaves is Leaves.UNKNOWN else _WHY_TONES.get(way.leaves, Tone.WARN)
    for sentence in said:
        lines += draw.text(MORE, f"{clean(sentence, 200)}", width, tone)
    return lines


_WHY_TONES = {Leaves.HOST: Tone.DIM, Leaves.DIRECT: Tone.DIM, Leaves.INTERNAL: Tone.DIM}


def _source(way: Outbound) -> Hop:
    network = Span(clean(way.network), Tone.DIM)
    if way.source is None:
        text = "the host's own address" if way.leaves is Leaves.HOST else "no address"
        return Hop((Span(text),), (network,), (Span(text),))
    source = Span(str(way.source), Tone.KEY, address_ref(way.source))
    return Hop((source,), (network,), (source,))


def _gateway(way: Outbound) -> list[Hop]:
    if not way.bridge:
        return []
    bridge = Span(clean(way.bridge), Tone.PLAIN, words.link_ref(way.bridge))
    under = (Span(str(way.gateway), Tone.DIM, address_ref(way.gateway)),) if way.gateway else ()
    trouble = _trouble(way.at_bridge)
    return [Hop((bridge, *trouble), under, (bridge, *trouble))]


def _leaving(way: Outbound) -> list[Hop]:
    if way.leaves is Leaves.INTERNAL:
        return [Hop((Span("✗ stays inside", Tone.DIM),))]
    if way.leaves is Leaves.NOWHERE:
        return [Hop((Span("✗ no way out", Tone.BAD if way.source else Tone.DIM),))]
    return [*_translation(way), *_uplink(way), *_next_hop(way.route)]


def _translation(way: Outbound) -> list[Hop]:
    if way.nat is not None and way.leaves in (Leaves.MASQUERADE, Leaves.SNAT):
        evidence = rule_evidence([way.nat])
        name = Span(f"{way.leaves.name} ")
        leaves = Span(str(way.leaves_as), Tone.KEY, address_ref(way.leaves_as)) if way.leaves_as else words.UNKNOWN
        return [Hop((name, Span("as "), leaves), evidence, (name, Span("as "), leaves, Span(" "), *evidence))]
    if way.leaves is Leaves.UNTRANSLATED:
        return [Hop((Span("no translation", Tone.WARN),))]
    return [Hop((Span("?", Tone.UNKNOWN),))] if way.leaves is Leaves.UNKNOWN else []


def _uplink(way: Outbound) -> list[Hop]:
    if way.uplink is None:
        return []
    name = Span(clean(way.uplink.name), Tone.PLAIN, words.link_ref(way.uplink.name))
    family = way.source.version if way.source else 4
    own = [one for one in way.uplink.addresses if one.version == family]
    under = (Span(str(own[0]), Tone.DIM, address_ref(own[0].ip)),) if own else ()
    trouble = _trouble(way.at_uplink)
    return [Hop((name, *trouble), under, (name, *trouble))]


def _next_hop(route: Route | None) -> list[Hop]:
    if route is None:
        return []
    table = "" if route.table == "main" else f", table {clean(route.table)}"
    metric = f", metric {route.metric}" if route.metric else ""
    under = (Span(f"{destination(route)}{metric}{table}", Tone.DIM, ref_of(route)),)
    if route.gateway is None:
        return [Hop((Span("on link", Tone.PLAIN, ref_of(route)),), under)]
    via = (Span("via "), Span(str(route.gateway), Tone.PLAIN, address_ref(route.gateway)))
    return [Hop(via, under, via)]


# --- peers ------------------------------------------------------------------------------------------------------------


def _peers(host: Host, container: Container, width: int) -> list[Line]:
    lines: list[Line] = []
    counts = neighbour_counts(host, container)
    for name, found in groupby(callable_names(host, container, MOST_PEERS), key=lambda one: one.network):
        lines += _peers_on(name, list(found), counts[name], MORE if lines else PEERS, width)
    return lines


def _peers_on(name: str, found: list[Callable], count: int, label: Span, width: int) -> list[Line]:
    said = [Span(f"on {clean(name)}: ", Tone.DIM)]
    for peer in found:
        said += _peer(peer)
    if count > len(found):
        said.append(Span(f"… and {count - len(found)} more ", Tone.DIM))
    if not any(peer.names for peer in found):
        said.append(Span("(by address only: no names on this network)", Tone.DIM))
    return draw.paragraph(label, said, width)


def _peer(peer: Callable) -> list[Span]:
    names = [name for name in peer.names if name != peer.container and not peer.container_id.startswith(name)]
    aka = f" as {clean(', '.join(names))}" if names else ""
    spans = [Span(f"{clean(peer.container)} ", Tone.KEY, Ref("container", peer.container_id))]
    if peer.ip:
        spans.append(Span(f"{peer.ip} ", Tone.PLAIN, address_ref(peer.ip)))
    if aka:
        spans.append(Span(f"{aka.strip()} ", Tone.DIM))
    if peer.blocked:
        spans.append(Span(f"✗ {clean(peer.blocked)} ", Tone.WARN))
    spans[-1] = Span(f"{spans[-1].text} ", spans[-1].tone, spans[-1].ref)
    return spans
