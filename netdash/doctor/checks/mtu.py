"""Packets that are too large for a part of their way: broken where nobody is told, at risk where ICMP heals it."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.doctor.candidate import Candidate
from netdash.doctor.cause import rule_evidence
from netdash.doctor.checks.parts import KEPT, candidate, members, of_record
from netdash.model.finding import Direction, Evidence, Fix, Hit, Severity
from netdash.model.host import Host, Link, Network, Rule, Verb
from netdash.model.index import index_of

_TOO_LARGE = 3  # of ICMP: destination unreachable, code 4
_SENT_BY = ("output", "forward", "postrouting")


def check(host: Host) -> Iterator[Candidate]:
    uplinks = list(_uplinks(host))
    for network in host.networks or ():
        bridge = index_of(host).link(network.bridge)
        if network.driver != "bridge" or bridge is None or bridge.mtu is None:
            continue
        narrow = [one for one in uplinks if one.mtu is not None and one.mtu < bridge.mtu]
        if narrow and not network.internal and members(host, network):
            yield _narrow(host, network, bridge, narrow[0])
        yield from _wider_inside(host, network, bridge)


def _uplinks(host: Host) -> Iterator[Link]:
    """The devices by which the Internet is reached."""
    devices = {route.dev for route in host.routes or () if route.default and route.family == 4 and route.dev}
    halves = {route.dev for route in host.routes or () if route.dst.prefixlen == 1 and route.table == "main"}
    for name in sorted((devices | halves) - {None}, key=str):
        link = index_of(host).link(name)
        if link is not None:
            yield link


def _narrow(host: Host, network: Network, bridge: Link, uplink: Link) -> Candidate:
    silent, clamped = _silencing(host), _clamps(host)
    broken = silent is not None and not clamped
    end = (
        "and a rule drops the ICMP message that would tell: small packets pass, large ones vanish"
        if broken
        else "large packets pass as long as ICMP tells the sender"
    )
    return candidate(
        "mtu-blackhole" if broken else "mtu-risk",
        Severity.HIGH if broken else Severity.INFO,
        f"{uplink.name} carries {uplink.mtu} bytes and {network.name} {bridge.mtu}, {end}",
        [Hit(one.id, Direction.OUT, network=network.name) for one in members(host, network)],
        [
            of_record(f"device {uplink.name}", f"mtu {uplink.mtu}", uplink),
            of_record(f"device {bridge.name}", f"mtu {bridge.mtu}", bridge),
            *([rule_evidence(silent)] if silent is not None else []),
        ],
        [
            Fix(
                (
                    "iptables",
                    "-t",
                    "mangle",
                    "-I",
                    "FORWARD",
                    "-p",
                    "tcp",
                    "--tcp-flags",
                    "SYN,RST",
                    "SYN",
                    "-j",
                    "TCPMSS",
                    "--clamp-mss-to-pmtu",
                ),
                "connections agree on packets that fit",
            ),
            Fix(
                ("docker", "network", "create", "-o", f"com.docker.network.driver.mtu={uplink.mtu}", network.name),
                f"or: create {network.name} anew with the mtu of {uplink.name}",
                KEPT,
            ),
        ],
    )


def _rules(host: Host) -> Iterator[tuple[str, Rule]]:
    """With the hook of their base chain; "" of those that others lead to."""
    for chain in host.ruleset.chains if host.ruleset else ():
        for rule in chain.rules:
            yield chain.hook or "", rule


def _silencing(host: Host) -> Rule | None:
    """A rule that drops what tells a sender that its packet was too large."""
    for hook, rule in _rules(host):
        if hook in _SENT_BY and rule.target.verb in (Verb.DROP, Verb.REJECT) and _takes_too_large(rule):
            return rule
    return None


def _takes_too_large(rule: Rule) -> bool:
    kinds = [match for match in rule.matches if match.key == "icmp_type"]
    protocol = [
        match for match in rule.matches if match.key == "proto" and "icmp" in match.values and not match.negated
    ]
    if any(match.key in ("src", "dst") for match in rule.matches):
        return False
    if not kinds:
        return bool(protocol) and not any(match.key == "ctstate" for match in rule.matches)
    return any(
        isinstance(value, tuple) and value[0] == _TOO_LARGE and value[1] in (None, 4)
        for match in kinds
        if not match.negated
        for value in match.values
    )


def _clamps(host: Host) -> bool:
    return any(
        effect.kind == "mss" or "TCPMSS" in rule.text for _, rule in _rules(host) for effect in rule.target.effects
    ) or any("TCPMSS" in rule.text or "maxseg" in rule.text for _, rule in _rules(host))


def _wider_inside(host: Host, network: Network, bridge: Link) -> Iterator[Candidate]:
    """A bridge drops frames that are larger than itself, and tells nobody."""
    for container in members(host, network):
        for link in (container.inside.links if container.inside else None) or ():
            mine = any(own.ip in net for own in link.addresses for net in network.subnets if net.version == own.version)
            if mine and link.mtu is not None and bridge.mtu is not None and link.mtu > bridge.mtu:
                yield candidate(
                    "mtu-mismatch",
                    Severity.MEDIUM,
                    f"{link.name} in {container.name} sends {link.mtu} bytes, and the bridge {bridge.name} carries "
                    f"{bridge.mtu}: it drops larger packets, and tells nobody",
                    (Hit(container.id, Direction.OUT, network=network.name),),
                    [
                        Evidence(f"container {container.name}", f"{link.name} mtu {link.mtu}"),
                        of_record(f"device {bridge.name}", f"mtu {bridge.mtu}", bridge),
                    ],
                    [Fix(("ip", "link", "set", bridge.name, "mtu", str(link.mtu)), "the bridge carries them too")],
                )
