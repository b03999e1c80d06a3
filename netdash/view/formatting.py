"""Short words and cells for addresses, ports, ages, counters and states. Owns how an unknown value looks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from netdash.kernel.sockets import bind_text, bound_socket
from netdash.model.addresses import socket_text
from netdash.model.engine_state import Drift, DriftKind
from netdash.model.host import IP, Container, Host, Network, Port, Ref, Rule, Scope, Verb
from netdash.model.kept import old_of
from netdash.model.relations import address_ref, ref_of
from netdash.model.source import Source
from netdash.view.text import Span, Tone, clean

UNKNOWN = Span("?", Tone.UNKNOWN)
READING = Span("…", Tone.DIM)
NOTHING = Span("—", Tone.DIM)

GLYPHS = {"running": "●", "paused": "◐", "restarting": "◐", "removing": "◐", "created": "○", "exited": "○", "dead": "✗"}
_TONES = {"running": Tone.GOOD, "paused": Tone.WARN, "restarting": Tone.WARN, "removing": Tone.WARN, "dead": Tone.BAD}


def unknown(host: Host, source: str) -> Span:
    """The cell of a value whose source was not read: still coming, or missing."""
    return READING if source in host.pending else UNKNOWN


def unknown_yet(host: Host) -> Span:
    """The same of what hangs on several sources."""
    return READING if host.pending else UNKNOWN


def address(ip: IP | None) -> Span:
    """An address that leads to its owner; the wildcard is nobody's."""
    if ip is None:
        return UNKNOWN
    return Span(str(ip), Tone.PLAIN, None if ip.is_unspecified else address_ref(ip))


def bound(port: Port) -> Span:
    """What the port's socket is bound to; only an exact address leads to its owner."""
    plain = not port.host_ip.is_unspecified and port.device is None
    return Span(clean(bind_text(port)), Tone.PLAIN, address_ref(port.host_ip) if plain else None)


def count(number: int | None) -> Span:
    return UNKNOWN if number is None else Span(short_number(number))


def short_number(number: int) -> str:
    """Whole up to 99,999; then with a unit, never more than six characters."""
    if number < 100_000:
        return str(number)
    for unit in "kMGTP":
        number_in_unit = number / 1000
        if number_in_unit < 1000:
            return f"{number_in_unit:.3g}{unit}" if number_in_unit < 100 else f"{number_in_unit:.0f}{unit}"
        number = round(number_in_unit)
    return f"{number}E"


def short_bytes(number: int) -> str:
    if number < 1024:
        return f"{number} B"
    power = min((number.bit_length() - 1) // 10, 5)
    size = number / (1 << 10 * power)
    return f"{size:.1f} {'KMGTP'[power - 1]}iB" if size < 10 else f"{size:.0f} {'KMGTP'[power - 1]}iB"


def bytes_rate(number: float | None) -> str:
    """Bytes a second, in units of 1000 as links are rated; "" where not known or nothing moves."""
    if number is None or number <= 0:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.1f} {unit}/s" if number < 10 and unit != "B" else f"{number:.0f} {unit}/s"
        number /= 1000
    return ""


def age(seconds: float) -> str:
    """About how long: 12 s, 5 min, 3 h, 4 d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def packets(rule: Rule) -> str:
    """The rule's counter in words; "" where it has none."""
    if rule.packets is None:
        return ""
    return f"{short_number(rule.packets)} pkt{'' if rule.packets == 1 else 's'}"


def rate(number: float | None) -> str:
    """Packets a second; "" where not known or nothing moves."""
    if number is None or number <= 0:
        return ""
    return f"+{number:.1f}/s" if number < 10 else f"+{short_number(round(number))}/s"


def state(container: Container) -> Span:
    """Glyph and word: colour alone tells nothing."""
    word = container.state
    if word in ("exited", "dead") and container.exit_code is not None:
        word = f"{word} {container.exit_code}"
    tone = _TONES.get(container.state, Tone.DIM)
    if container.state == "exited" and container.exit_code:
        tone = Tone.WARN
    if container.running and container.health in ("unhealthy", "starting"):
        word = f"{word} {container.health}"
        tone = Tone.BAD if container.health == "unhealthy" else Tone.WARN
    return Span(f"{GLYPHS.get(container.state, '?')} {clean(word)}", tone)


def owner(host: Host, container: Container | None) -> Span:
    """The container that a thing belongs to; "—" only where the containers are known, and it is none of them."""
    if container is not None:
        return Span(clean(container.name), Tone.KEY, ref_of(container))
    if host.containers is None:
        return unknown(host, Source.DOCKER)
    return UNKNOWN if "docker: inspect" in host.failures else NOTHING


def time_of_day(seconds: float, pattern: str = "%H:%M:%S") -> str:
    """Of this host's time zone, `seconds` since the epoch."""
    from datetime import datetime  # most screens show none

    return datetime.fromtimestamp(seconds).strftime(pattern)


def kept(host: Host, container: Container) -> str:
    """Until when netdash keeps the old container of one that it made anew; "" for every other container."""
    if not old_of(container):
        return ""
    until = host.kept_until.get(container.id)
    if until is None:
        return "kept until ?"
    end, now = (time_of_day(value, "%m-%d %H:%M") for value in (until, host.taken or until))
    return f"kept until {end[6:] if end[:5] == now[:5] else end}"


def how_long(host: Host, container: Container) -> str:
    """Since it started, or since it ended; "" where that is not known."""
    since = container.started_at if container.running else container.finished_at
    if host.taken is None or since is None or since <= 0:
        return ""
    return age(host.taken - since)


def scope_word(scope: Scope) -> str:
    words = {Scope.LOOPBACK: "loopback", Scope.ADDRESS: "one address", Scope.ALL: "all", Scope.DEVICE: "one device"}
    return words[scope]


def network_flags(network: Network) -> str:
    """What is not as usual about a network; "" when all is."""
    flags = ["internal"] if network.internal else []
    if network.driver == "bridge" and not network.internal and not network.masquerade:
        flags.append("no masquerade")
    if not network.icc:
        flags.append("icc off")
    flags += [mode for mode in dict.fromkeys(network.gateway_modes) if mode and mode != "nat"]
    if network.snat_to:
        flags.append(f"snat to {network.snat_to}")
    if network.host_binding and not network.host_binding.is_unspecified:
        flags.append(f"binds {network.host_binding}")
    return clean(", ".join(flags))


def action(rule: Rule) -> str:
    """What a rule does, in as few words as can be."""
    target = rule.target
    match target.verb:
        case Verb.JUMP | Verb.GOTO:
            return f"→ {target.chain}"
        case Verb.DNAT | Verb.SNAT | Verb.REDIRECT:
            return f"{target.verb.name} → {_translation(rule)}".removesuffix(" → ")
        case Verb.VMAP:
            return f"→ by map of {len(target.elements)}"
        case Verb.CONTINUE | Verb.OTHER:
            return clean(target.detail) or ("counts" if target.verb is Verb.CONTINUE else "?")
        case verb:
            return verb.name


def _translation(rule: Rule) -> str:
    target = rule.target
    low, high = target.ports or (None, None)
    ports = "" if low is None else str(low) if low == high else f"{low}-{high}"
    if target.address is None:
        return f":{ports}" if ports else ""
    end = f"-{target.address_to}" if target.address_to and target.address_to != target.address else ""
    shown = socket_text(target.address, None) if ports else str(target.address)
    return f"{shown}{end}:{ports}" if ports else f"{shown}{end}"


def rule_body(rule: Rule) -> str:
    """The rule's text without the chain that its place says already."""
    return clean(rule.text.removeprefix(f"-A {rule.chain} "))


def backend_name(backend: str) -> str:
    return {"iptables-nft": "ipt-nft", "iptables-legacy": "legacy"}.get(backend, backend)


def table_of(rule: Rule) -> str:
    """The table, with its family where that is not IPv4."""
    return rule.table if rule.family == "ip" else f"{rule.family} {rule.table}"


# --- published ports, folded ------------------------------------------------------------------------------------------


def fold(ports: Iterable[Port], alike: Callable[[Port], object] = lambda _: None) -> list[tuple[Port, ...]]:
    """Runs of ports that read as one: the same bind address and both numbers counting up together. The two wildcard
    addresses of one port become one entry, its IPv4 port first; `alike` tells what may not be told as one."""
    by_number: dict[tuple[object, ...], list[Port]] = {}
    for port in ports:
        where = "any" if port.scope is Scope.ALL else (port.host_ip, port.device)
        key = (port.proto, port.host_port, port.container_port, port.live, where, alike(port))
        by_number.setdefault(key, []).append(port)
    runs: list[list[list[Port]]] = []
    for group in sorted(by_number.values(), key=_reading_order):
        if runs and _continues(runs[-1][-1], group) and alike(runs[-1][-1][0]) == alike(group[0]):
            runs[-1].append(group)
        else:
            runs.append([group])
    found = [tuple(port for group in run for port in sorted(group, key=_version)) for run in runs]
    return sorted(found, key=lambda run: (not run[0].live, run[0].host_port, run[0].proto))


def _version(port: Port) -> int:
    return port.host_ip.version


def _reading_order(group: Sequence[Port]) -> tuple[object, ...]:
    first = min(group, key=_version)
    versions = len({port.host_ip.version for port in group})
    return (not first.live, first.proto, first.host_ip.version, int(first.host_ip), versions, first.host_port)


def _continues(before: Sequence[Port], after: Sequence[Port]) -> bool:
    last, first = before[0], after[0]
    same = (last.proto, last.live, last.target_ip) == (first.proto, first.live, first.target_ip)
    binds = {port.host_ip for port in before} == {port.host_ip for port in after}
    counts = last.host_port + 1 == first.host_port and (last.container_port or 0) + 1 == first.container_port
    return same and binds and counts


def run_text(run: Sequence[Port]) -> str:
    """8080→80, 9000-9003→9000-9003, 127.0.0.1:8082→80, 53→53/udp; in parentheses when configured but down."""
    first, last = run[0], run[-1]
    where = "" if first.scope is Scope.ALL and first.host_ip.version == 4 else bind_prefix(first)
    host = _span(first.host_port, last.host_port)
    inner = "" if first.container_port is None else f"→{_span(first.container_port, last.container_port)}"
    if first.live and first.holder and first.holder.kind == "process" and first.target_ip is None:
        inner = ""  # the container's own socket in the host's namespace: nothing is translated
    proto = "" if first.proto == "tcp" else f"/{clean(first.proto)}"
    text = f"{where}{host}{inner}{proto}"
    return text if first.live else f"({text})"


def bind_prefix(port: Port) -> str:
    """The address that a port is bound to, and a colon."""
    return clean(bound_socket(port)).rpartition(":")[0] + ":"


def _span(low: int, high: int | None) -> str:
    return str(low) if high is None or low == high else f"{low}-{high}"


def published(container: Container, ports: Iterable[Port]) -> Span:
    runs = fold(ports)
    texts = [*map(run_text, runs), *(() if container.running else _chosen_at_start(container))]
    if not texts:
        return NOTHING
    tone = Tone.PLAIN if any(run[0].live for run in runs) else Tone.DIM
    return Span(" ".join(texts), tone, ref_of(runs[0][0]) if runs else None)


def _chosen_at_start(container: Container) -> Iterator[str]:
    """(8000-8010→80), (any→70): the host ports that the engine chooses when the container starts."""
    for binding in container.configured:
        if binding.choice is not None:
            low, high = binding.choice
            where = (
                ""
                if binding.host_ip is None or binding.host_ip.is_unspecified
                else f"{socket_text(binding.host_ip, None)}:"
            )
            proto = "" if binding.proto == "tcp" else f"/{clean(binding.proto)}"
            yield clean(f"({where}{f'{low}-{high}' if high else 'any'}→{binding.container_port}{proto})")


def drift_mark(found: Sequence[Drift]) -> str:
    """ "!missing " and the like, of the gravest difference; "" where there is none."""
    kinds = {drift.kind for drift in found}
    worst = next((kind for kind in DriftKind if kind in kinds), None)
    return f"!{worst.value} " if worst else ""


def link_ref(name: str) -> Ref:
    return Ref("link", name)


# --- evidence ---------------------------------------------------------------------------------------------------------


def rule_evidence(rules: Sequence[Rule]) -> tuple[Span, ...]:
    """Place, counter and rate of one rule, or of several taken together."""
    first, last = rules[0], rules[-1]
    place = first.place if len(rules) == 1 else f"{first.place}…#{last.position}"
    line = [Span(clean(place), Tone.PLAIN, ref_of(first))]
    counted = [rule.packets for rule in rules if rule.packets is not None]
    if counted and len(counted) == len(rules):
        total = sum(counted)
        line.append(Span(f" {short_number(total)} pkt{'' if total == 1 else 's'}", Tone.DIM))
    rates = [rule.rate for rule in rules if rule.rate]
    if rates:
        line.append(Span(f" {rate(sum(rates))}", Tone.GOOD))
    return tuple(line)


def trouble(why: str) -> tuple[Span, ...]:
    return (Span(f" ✗ {clean(why)}", Tone.BAD),) if why else ()
