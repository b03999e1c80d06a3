"""What the engine should have written and is not so: one finding a cause, and what it does to packets today. And
rules of others beside the engine's: a table that its tool cannot read any more, a translation that hides clients."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from netdash.doctor.candidate import Candidate
from netdash.doctor.cause import rule_evidence
from netdash.doctor.checks.parts import candidate, hit_of_port, listing, masquerade, members, of_record
from netdash.doctor.fixes import NOTHING, Fixed, both, delete_rule, engine_restart, restart
from netdash.model.engine_state import Drift, DriftKind
from netdash.model.finding import Direction, Evidence, Hit, Severity
from netdash.model.host import IP, Container, Host, Network, Port, Rule, Verb
from netdash.model.index import index_of
from netdash.parse.netfilter import is_xtables
from netdash.trace.default_questions import of_port, out
from netdash.trace.model import Origin
from netdash.trace.summary import answer, asked_of, obstacle, translating

_FLUSHED = "drift: engine"


def _written_anew(host: Host) -> Fixed:
    return engine_restart(host, "the engine writes all of its rules anew")


def check_drift(host: Host) -> Iterator[Candidate]:
    missing = [drift for drift in host.drift or () if drift.kind is DriftKind.MISSING]
    if _FLUSHED in host.failures and missing and host.ruleset is not None and host.ruleset.complete:
        yield _flushed(host, missing)
        return
    yield from _of_ports(host)
    for drift, network in _lost_masquerades(host):
        yield _without_masquerade(host, network, drift)
    yield from _rest(host)


# --- all of them ------------------------------------------------------------------------------------------------------


def _flushed(host: Host, missing: list[Drift]) -> Candidate:
    """An engine with --iptables=false writes none either: then others' rules do its work, or nobody does."""
    cut = [container for container in host.containers or () if container.running and _cut_off(host, container)]
    ports = [port for port in host.ports or () if port.live and port.container_id and port.dnat is None]
    dead = [port for port in ports if any(stop is not None for _, stop in asked_of(host, port))]
    hits = (*(Hit(container.id, Direction.OUT) for container in cut), *map(hit_of_port, dead))
    proxied = (
        "; published ports still answer by docker-proxy, which hides who asks" if any(p.proxy for p in ports) else ""
    )
    out_ = (
        f"{listing(sorted(container.name for container in cut))} cannot reach others"
        if cut
        else "containers still reach others"
    )
    return candidate(
        _code(host),
        Severity.CRITICAL if cut else Severity.HIGH if ports else Severity.INFO,
        f"none of Docker's rules is there: flushed by a firewall's restart, or never written (--iptables=false). {out_}"
        f"{proxied}",
        hits,
        [
            Evidence("rules", f"{len(missing)} rules of the engine are missing, with all of its chains"),
            *(_policy(host)),
        ],
        *_written_anew(host),
        tuple(out(container, None, 4) for container in cut),
    )


def _cut_off(host: Host, container: Container) -> bool:
    """Whether its packets do not leave, or leave with an address that nobody outside can answer."""
    if not any(end.addresses for end in container.endpoints):
        return False
    found = answer(host, out(container, None, 4))
    return obstacle(found) is not None or found.answered is None


def _code(host: Host) -> str:
    """Which tool's flush leaves a host like this: nft's removes the tables, iptables' leaves them empty."""
    engine, chains = host.engine, host.ruleset.chains if host.ruleset else ()
    if engine is not None and engine.firewall == "nftables":
        return "v29-nft-flush-ruleset"
    kept = any(chain.family == "ip" and chain.table in ("filter", "nat") for chain in chains)
    return "iptables-flush" if kept else "nft-flush-ruleset"


def _policy(host: Host) -> Iterator[Evidence]:
    for chain in host.ruleset.chains if host.ruleset else ():
        if chain.hook == "forward" and chain.policy == "drop":
            yield of_record(f"{chain.backend} {chain.family} {chain.table}/{chain.name}", "policy drop", chain)


# --- of a published port ----------------------------------------------------------------------------------------------


def _of_ports(host: Host) -> Iterator[Candidate]:
    index = index_of(host)
    for container in host.containers or ():
        lacking = [port for port in index.ports(container.id) if port.live and _lost_dnat(host, port)]
        if lacking and host.proxies is not None:  # else it is not known whether one answers
            yield _without_dnat(host, container, lacking)


def _lost_dnat(host: Host, port: Port) -> list[Drift]:
    return [
        drift
        for drift in index_of(host).drift_of_port(port)
        if drift.kind is DriftKind.MISSING and drift.table == "nat" and drift.chain != "POSTROUTING"
    ]


def _without_dnat(host: Host, container: Container, ports: list[Port]) -> Candidate:
    """By a proxy the port still answers."""
    lost = [drift for port in ports for drift in _lost_dnat(host, port)]
    proxied = all(port.proxy is not None for port in ports)
    names = ", ".join(dict.fromkeys(f"{port.host_port}/{port.proto}" for port in ports))
    effect = (
        "docker-proxy answers instead, and the program sees this host's address for every client"
        if proxied
        else "nobody takes what comes in for it"
    )
    return candidate(
        "dnat-missing-proxied" if proxied else "dnat-missing",
        Severity.MEDIUM if proxied else Severity.CRITICAL,
        f"the engine's rule for {names} of {container.name} is missing: {effect}",
        map(hit_of_port, ports),
        map(_evidence, lost),
        *restart(container, "the engine writes the rules of its ports anew"),
    )


def _evidence(drift: Drift) -> Evidence:
    place = f"{'' if drift.family == 'ip' else drift.family + ' '}{drift.table}/{drift.chain}"
    return of_record(f"rules {place}", f"{drift.kind.value}: {drift.text}", drift)


# --- of a network -----------------------------------------------------------------------------------------------------


def _lost_masquerades(host: Host) -> Iterator[tuple[Drift, Network]]:
    networks = index_of(host).networks
    for drift in host.drift or ():
        network = networks.get(drift.network_id or "")
        whole = drift.container_id is None and drift.chain == "POSTROUTING" and drift.family != "ip6"
        if network is not None and drift.kind is DriftKind.MISSING and whole:
            yield drift, network


def _without_masquerade(host: Host, network: Network, drift: Drift) -> Candidate:
    cut = [container for container in members(host, network) if _cut_off(host, container)]
    subnet = next((str(net) for net in network.subnets if net.version == 4), "")
    again = "what leaves the network takes this host's address again"
    lone = masquerade(host, network, again) if drift.table == "nat" and subnet else NOTHING
    return candidate(
        "masq-missing",
        Severity.HIGH if cut else Severity.INFO,
        f"the rule that gives {network.name} this host's address is missing: what its containers send keeps {subnet}, "
        "which nobody beyond this host can answer",
        [Hit(container.id, Direction.OUT, network=network.name) for container in cut],
        [_evidence(drift)],
        *(lone if lone[0] else _written_anew(host)),
        tuple(out(container, None, 4) for container in cut),
    )


# --- without effect today ---------------------------------------------------------------------------------------------

_WORDS = {
    DriftKind.MISSING: ("a rule of the engine is missing", "rules of the engine are missing"),
    DriftKind.SHADOWED: (
        "a rule of the engine never decides: one before it does",
        "rules of the engine never decide: others before them do",
    ),
    DriftKind.STALE: ("a rule names what is gone", "rules name what is gone"),
    DriftKind.DUPLICATE: ("a rule is there twice", "rules are there twice"),
    DriftKind.EXTRA: (
        "a rule in the engine's own chains is not its work",
        "rules in the engine's own chains are not its work",
    ),
}


def _rest(host: Host) -> Iterator[Candidate]:
    """What remains, by kind. Where it hits packets, a trace tells of it as well, with the packets."""
    reported = {
        id(drift) for port in host.ports or () if port.live and port.container_id for drift in _lost_dnat(host, port)
    }
    reported |= {id(drift) for drift, _ in _lost_masquerades(host)}
    for kind, (single, several) in _WORDS.items():
        left = [drift for drift in host.drift or () if drift.kind is kind and id(drift) not in reported]
        if left:
            yield candidate(
                f"rules-{kind.value}",
                Severity.INFO,
                f"{len(left)} {several}" if len(left) > 1 else single,
                [
                    Hit(text, Direction.IN)
                    for text in dict.fromkeys(drift.container_id for drift in left if drift.container_id)
                ],
                map(_evidence, left[:8]),
                *(_written_anew(host) if kind is DriftKind.MISSING else NOTHING),
            )


_NATIVE, _BY_IPTABLES = "nft", "iptables-nft"


def check_tables(host: Host) -> Iterator[Candidate]:
    """nft's own rules in a table of iptables: iptables refuses the whole table, and Docker writes by iptables."""
    chains = host.ruleset.chains if host.ruleset else ()
    read = {chain.family for chain in chains if chain.backend == _BY_IPTABLES}
    tables = {(chain.family, chain.table) for chain in chains if chain.backend == _NATIVE and chain.family in read}
    for family, table in sorted(tables):
        if not is_xtables((family, table)):
            continue
        inside = [chain for chain in chains if (chain.family, chain.table) == (family, table)]
        own = [rule for chain in inside for rule in chain.rules if rule.packets is None]
        if own and any(chain.name.startswith("DOCKER") for chain in inside):
            yield _refused(family, table, own)


def _refused(family: str, table: str, native: list[Rule]) -> Candidate:
    """iptables counts in each of its rules: those without a counter are not its own."""
    tool = "ip6tables" if family == "ip6" else "iptables"
    return candidate(
        "nft-incompatible-table",
        Severity.HIGH,
        f"{tool} cannot read table {table} any more, because nft wrote a rule of its own into it: Docker cannot "
        "publish a port or make a network, and iptables-save leaves the whole table out",
        (),
        [Evidence(f"{tool}-save", f"leaves out table {table} as incompatible"), *map(rule_evidence, native[:3])],
        *both(*map(delete_rule, native)),
    )


def check_clients(host: Host) -> Iterator[Candidate]:
    """A rule that gives what comes in from outside this host's address: the program sees one client for all."""
    if not any(map(_broad, host.ruleset.rules if host.ruleset else ())):
        return
    found: dict[int, tuple[Rule, IP | None, list[Port]]] = {}
    for port in host.ports or ():
        for rule, seen in _hides(host, port) if port.live and port.container_id and port.dnat else ():
            found.setdefault(id(rule), (rule, seen, []))[2].append(port)
    for rule, seen, ports in found.values():
        yield _one_client(host, rule, seen, ports)


def _broad(rule: Rule) -> bool:
    """Whether it may translate the source of a packet from anywhere."""
    if rule.target.verb not in (Verb.MASQUERADE, Verb.SNAT):
        return False
    sources = [match for match in rule.matches if match.key == "src" and not match.negated]
    return not any(isinstance(net, _NETS) and net.prefixlen > 1 for match in sources for net in match.values)


_NETS = (IPv4Network, IPv6Network)


def _hides(host: Host, port: Port) -> Iterator[tuple[Rule, IP | None]]:
    """The rule that translates the source of a packet to this port, and to what."""
    for usual in of_port(host, port):
        trace = answer(host, usual.question) if usual.question.origin is Origin.OUTSIDE else None
        step = translating(trace, "postrouting") if trace and trace.verdict.arrives and not trace.proxy else None
        if trace and step and step.source and trace.translation.src != trace.packet.src:
            yield step.source, trace.translation.src


def _one_client(host: Host, rule: Rule, seen: IP | None, ports: list[Port]) -> Candidate:
    names = sorted({index_of(host).name(port.container_id) or "" for port in ports})
    return candidate(
        "source-ip-lost-broad-masq",
        Severity.MEDIUM,
        f"{listing(names)} sees {seen or 'this host'} for every client: a rule translates what comes in to published "
        "ports too, not only what leaves",
        map(hit_of_port, ports),
        [rule_evidence(rule)],
        *delete_rule(rule),
    )
