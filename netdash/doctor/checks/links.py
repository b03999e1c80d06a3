"""Devices: shapers that let nothing through, bridges that do not do for Docker what it needs of them, and packets
that are too large for a part of their way."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdash.doctor.candidate import Candidate
from netdash.doctor.cause import rule_evidence
from netdash.doctor.checks.parts import KEPT, candidate, hit_of_port, members, of_record, of_sysctl
from netdash.doctor.fixes import hairpin, plain_queue, sysctl
from netdash.kernel.routing import entrance
from netdash.model.finding import Direction, Evidence, Fix, Hit, Severity
from netdash.model.host import Container, Host, Link, Network, Port, Rule, Verb
from netdash.model.index import index_of
from netdash.trace.model import Origin, Question, Verdict
from netdash.trace.summary import answer

_RATE = re.compile(r"\brate (\d+)([KMGT]?)bit\b")
_LOSS = re.compile(r"\bloss (?:random )?(\d+(?:\.\d+)?)%")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_USELESS = 8000  # bits a second: a full packet takes longer than a connection waits for it
_FEW = 4  # questions that a fix is tried with
_BRIDGE_NF = "net.bridge.bridge-nf-call-iptables"


def check_queues(host: Host) -> Iterator[Candidate]:
    index = index_of(host)
    for device, text in (host.qdiscs or {}).items():
        link, owner = index.link(device), index.veths.get(device)
        bad = _stops(text)
        if not bad and owner is None:
            continue
        who = f"the veth of {owner.name}" if owner else "this host"
        hits = [Hit(owner.id, Direction.IN), Hit(owner.id, Direction.OUT)] if owner else [Hit(None, Direction.OUT)]
        yield candidate(
            "tc-drop",
            Severity.HIGH if bad else Severity.INFO,
            f"a traffic shaper on {device} ({who}) {bad or 'limits or delays what leaves by it'}: "
            "no rule and no counter shows it",
            hits,
            [of_record("tc qdisc", f"{device}: {text}", link) if link else Evidence("tc qdisc", f"{device}: {text}")],
            *plain_queue(device, "takes the shaper away until somebody sets it again"),
            confidence=1.0 if bad else 0.5,
        )


def _stops(text: str) -> str:
    """What it does to nearly all packets; "" where it only limits."""
    rate, loss = _RATE.search(text), _LOSS.search(text)
    if rate is not None and int(rate[1][:18]) * _UNITS[rate[2]] < _USELESS:
        return f"lets {rate[0].removeprefix('rate ')} a second through, which is nothing"
    if loss is not None and float(loss[1]) >= 20:
        return f"loses {loss[1]} % of the packets"
    return ""


# --- without userland proxies -----------------------------------------------------------------------------------------


def check_bridges(host: Host) -> Iterator[Candidate]:
    """Without a proxy a container comes back to its own bridge by the host's rules: the bridge must ask them, and must
    send a frame out by the port that it came in by."""
    index = index_of(host)
    for network in host.networks or ():
        if network.driver != "bridge" or not network.bridge:
            continue
        attached = members(host, network)
        ports = [
            port for container in attached for port in index.ports(container.id) if _without_proxy(port, network.bridge)
        ]
        if not ports:
            continue
        if len(attached) > 1:
            yield from _unfiltered(host, network, attached, ports)
        yield from _one_way(host, network, attached, ports)


def _without_proxy(port: Port, bridge: str) -> bool:
    """Its rule takes what comes in by the bridge itself too, as the engine writes it without proxies."""
    rule = port.dnat
    if not port.live or rule is None or port.proxy is not None:
        return False
    return not any(match.key == "iif" and match.negated and bridge in match.values for match in rule.matches)


def _unfiltered(host: Host, network: Network, attached: list[Container], ports: list[Port]) -> Iterator[Candidate]:
    value = (host.sysctls or {}).get(_BRIDGE_NF)
    failing = [
        asked
        for port in ports[:1]
        for container in attached
        if container.id != port.container_id and (asked := _called(host, container, port)) and _fails(host, asked)
    ]
    if value != "0" or not failing:
        return
    yield candidate(
        "bridge-nf-off",
        Severity.HIGH,
        f"containers on {network.name} cannot call each other by this host's address and a published port: answers "
        "cross the bridge past the rules and are not translated back",
        map(hit_of_port, ports),
        [of_sysctl(_BRIDGE_NF, value), *(rule_evidence(port.dnat) for port in ports[:1] if port.dnat)],
        *sysctl(_BRIDGE_NF, "1", "bridged packets meet the rules"),
        tuple(failing[:_FEW]),
    )


def _called(host: Host, caller: Container, port: Port) -> Question | None:
    """The caller's first packet to the port by an address of this host."""
    ip = port.host_ip if not port.host_ip.is_unspecified else entrance(4, host.links, host.routes)[1]
    if ip is None or ip.is_loopback:
        return None
    return Question(Origin.CONTAINER, ip, port.proto, port.host_port, container=caller.id)


def _fails(host: Host, question: Question) -> bool:
    found = answer(host, question)
    return found.answered is False or (found.verdict is not Verdict.UNKNOWN and not found.verdict.arrives)


def _one_way(host: Host, network: Network, attached: list[Container], ports: list[Port]) -> Iterator[Candidate]:
    index = index_of(host)
    for container in attached:
        link = next((index.link(end.veth) for end in container.endpoints if index.network(end) is network), None)
        if link is None or link.hairpin is not False:
            continue
        own = [port for port in ports if port.container_id == container.id]
        failing = [asked for port in own if (asked := _called(host, container, port)) and _fails(host, asked)]
        if failing:
            yield _without_hairpin(network, container, link, own, failing)


def _without_hairpin(
    network: Network, container: Container, link: Link, own: list[Port], failing: list[Question]
) -> Candidate:
    return candidate(
        "hairpin-no-proxy-mode",
        Severity.MEDIUM,
        f"{container.name} cannot call its own published port: its bridge port {link.name} does not send frames "
        "back, as this host's address would need",
        [Hit(container.id, Direction.PEERS, f"{port.host_port}/{port.proto}", network.name) for port in own],
        [of_record(f"bridge link {link.name}", "hairpin off", link)],
        *hairpin(link.name, "frames may leave by the port that they came in by, until the container is started anew"),
        asks=tuple(failing),
    )


_TOO_LARGE = 3  # of ICMP: destination unreachable, code 4
_SENT_BY = ("output", "forward", "postrouting")


def check_mtu(host: Host) -> Iterator[Candidate]:
    uplinks = list(_uplinks(host))
    for network in host.networks or ():
        bridge = index_of(host).link(network.bridge)
        if network.driver != "bridge" or bridge is None or bridge.mtu is None:
            continue
        narrow = [link for link in uplinks if link.mtu is not None and link.mtu < bridge.mtu]
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
        [Hit(container.id, Direction.OUT, network=network.name) for container in members(host, network)],
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
