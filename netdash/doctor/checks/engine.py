"""An engine that does not answer: told from what it left in the kernel, with its API gone."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.doctor.candidate import Candidate
from netdash.doctor.cause import rule_evidence
from netdash.doctor.checks.parts import KEPT, candidate
from netdash.drift.expected.mode import NATIVE_TABLE
from netdash.model.finding import Direction, Evidence, Fix, Hit, Severity
from netdash.model.host import Host, Rule, Verb
from netdash.model.source import Source


def check(host: Host) -> Iterator[Candidate]:
    """With live-restore its containers and rules are still there, its proxies and its resolver are not."""
    if host.containers is not None or Source.DOCKER in host.pending or host.process is not None:
        return
    rules = _publishing(host)
    if rules and host.proxies == () and host.listeners is not None and not any(_held(host, rule) for rule in rules):
        yield _down(host, rules)


def _down(host: Host, rules: list[Rule]) -> Candidate:
    ports = sorted({pair[0] for rule in rules for pair in _ports(rule)})
    failure = host.failures.get(Source.DOCKER)
    return candidate(
        "dockerd-down-live-restore",
        Severity.HIGH,
        "Docker does not answer, and nobody holds the ports that its rules publish: it seems to be down while its "
        "containers run on. Published ports are dead on 127.0.0.1, and names do not resolve in containers",
        (*(Hit(None, Direction.IN, f"{port}/tcp") for port in ports), Hit(None, Direction.NAMES)),
        [
            Evidence("engine", failure.reason if failure else "its API was not read"),
            Evidence("processes", "no docker-proxy runs, and nobody holds the published ports"),
            *map(rule_evidence, rules[:2]),
        ],
        [Fix(("systemctl", "start", "docker"), "starts the engine, its resolver and its proxies", KEPT)],
        confidence=0.7,
    )


def _publishing(host: Host) -> list[Rule]:
    """The engine's rules for published ports."""
    chains = host.ruleset.chains if host.ruleset else ()
    own = (chain for chain in chains if chain.table == NATIVE_TABLE or (chain.table, chain.name) == ("nat", "DOCKER"))
    return [rule for chain in own for rule in chain.rules if rule.target.verb is Verb.DNAT and _ports(rule)]


def _ports(rule: Rule) -> list[tuple[int, int]]:
    found = (match.values for match in rule.matches if match.key == "dport" and not match.negated)
    return [pair for values in found for pair in values if isinstance(pair, tuple)]


def _held(host: Host, rule: Rule) -> bool:
    ports = [pair[0] for pair in _ports(rule)]
    return any(listener.port in ports for listener in host.listeners or ())
