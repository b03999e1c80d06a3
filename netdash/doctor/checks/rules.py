"""Rules of others beside the engine's: a table that its tool cannot read any more, a translation that hides clients."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from netdash.doctor.candidate import Candidate
from netdash.doctor.cause import rule_evidence
from netdash.doctor.checks.parts import candidate, hit_of_port, listing
from netdash.doctor.fixes import both, delete_rule
from netdash.model.finding import Evidence, Severity
from netdash.model.host import IP, Host, Port, Rule, Verb
from netdash.model.index import index_of
from netdash.parse.netfilter import is_xtables
from netdash.trace.default_questions import of_port
from netdash.trace.model import Origin
from netdash.trace.summary import answer, translating

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
