"""Which rule of nat translates what comes in for a port, as the walk of a trace meets it at that one hook: without
routes, and past what drops the packet; and which ports a change of the rules concerns.

Rules are asked with a packet, not read. A trace of the whole path for each of many ports would take too long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from netdash.kernel.devices import Entrance
from netdash.kernel.routing import OUTSIDE, entrance, uplinks_of
from netdash.kernel.sockets import device_of
from netdash.model.addresses import LOOPBACK
from netdash.model.host import IP, Chain, Host, Port, Rule, Ruleset, Verb
from netdash.model.memory import differing
from netdash.model.packet import Packet
from netdash.model.records import dataclass, replace
from netdash.trace.chains import call
from netdash.trace.hooks import CHAIN, CONNTRACK, NAT, Hooks, hooks_of
from netdash.trace.model import Verdict
from netdash.trace.run import Choices, Ended, Explored, Run, Walked, explore, walk
from netdash.trace.translate import port_of

_WIDE = 32  # ports of one rule that are told apart

Asked = tuple[str, int]
"""A protocol and a destination port."""


@dataclass(frozen=True, slots=True)
class Found:
    """The rule that translates, to which address and port (None: as it is, or not known), and the rules that may decide
    otherwise, which cannot be told."""

    rule: Rule | None
    unsure: tuple[Rule, ...] = ()
    target: tuple[IP | None, int | None] = (None, None)


class DestinationNat:
    """The rules of nat of one ruleset. Keeps an index: make one, ask often."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._hooks = hooks_of(ruleset)
        self._host = Host(
            name=None, taken=None, live=False, engine=None, containers=None, networks=None, links=None, routes=None,
            policy=None, neighbours=None, ruleset=ruleset, proxies=None, listeners=None, ports=None, sysctls={},
            privileged=None,
        )  # fmt: skip

    def coming_in(self, entrance: Entrance, proto: str, host_ip: IP, port: int) -> Found:
        """What is done with what comes in by the uplink for a port of this host."""
        device, local = entrance.uplinks[host_ip.version]
        packet = Packet(
            family=host_ip.version,
            proto=proto,
            src=OUTSIDE[host_ip.version],
            dst=local if host_ip.is_unspecified else host_ip,
            dport=port,
            iif=device,
            dst_type="LOCAL" if host_ip.is_unspecified else entrance.kind(host_ip),
        )
        return self.find(packet)

    def from_here(self, entrance: Entrance, proto: str, host_ip: IP, port: int) -> bool | None:
        """Whether the output hook translates what a process of this host sends there; None: cannot be told."""
        dst = LOOPBACK[host_ip.version] if host_ip.is_unspecified else host_ip
        here = entrance.takes(dst)
        device, source = (None, None) if here is None else entrance.uplinks[dst.version]
        if here:
            device, source = "lo", dst
        packet = Packet(
            family=dst.version,
            proto=proto,
            src=source,
            dst=dst,
            dport=port,
            oif=device,
            src_type="LOCAL",
            dst_type=entrance.kind(dst),
        )
        found = self.find(packet, output=True)
        return None if found.unsure else found.rule is not None

    def find(self, packet: Packet, output: bool = False) -> Found:
        """`packet` as it comes in; with `output`, as a process of this host sends it."""
        if output:
            packet = replace(packet, iif="", mark=packet.mark or 0)
        else:
            packet = replace(packet, oif=packet.oif or "", mark=packet.mark or 0)
        met: dict[int, Rule] = {}  # the rules that translate, of all walks
        torn: set[bool | None] = set()  # which of two rulesets is asked first, where that had to be supposed

        def walked(choices: Choices, _: frozenset[str]) -> Walked:
            run = Run(self._host, packet, choices)
            made = walk(run, lambda: self._start(run, "output" if output else "prerouting"))
            rule = _translating(made)
            run.end_at = rule and rule.target
            torn.add(run.legacy_first)
            if rule is not None:
                met[id(rule)] = rule
            return made

        explored = explore(walked)
        found = _found(explored.first, tuple(met.values()), explored, len(torn) > 1)
        return found if found.rule is None else replace(found, target=_target(explored.first, found.rule, packet))

    def _start(self, run: Run, hook: str) -> Ended:
        """The calls at the hook up to the chains of nat, past what ends a packet's path before; chains that change
        nothing of a packet are left out."""
        run.hop(hook, hook=hook)
        for stage in self._hooks.ip(hook, run.packet.family):
            if stage.kind == NAT:
                call(run, hook, stage)
                break
            if stage.kind == CONNTRACK or (stage.kind == CHAIN and self._hooks.changing):
                with suppress(Ended):
                    call(run, hook, stage)
        return run.end(Verdict.FORWARDED, "", "")

    def targets(self) -> tuple[tuple[Rule, Asked | None], ...]:
        """Every DNAT rule that a packet from elsewhere can come to; with it the protocol and port that a jump on the
        way there asked for (Kubernetes' NodePorts), None where none did."""
        found: dict[tuple[int, Asked | None], tuple[Rule, Asked | None]] = {}
        bases = [chain for version in (4, 6) for chain in self._hooks.bases("prerouting", version)]
        waiting: list[tuple[Chain, Asked | None]] = [(chain, None) for chain in bases if chain.kind == "nat"]
        seen = {(id(chain), asked) for chain, asked in waiting}
        while waiting:
            chain, asked = waiting.pop(0)
            for rule in chain.rules:
                if rule.target.verb is Verb.DNAT:
                    own = None if asked and any(match.key == "dport" for match in rule.matches) else asked
                    found.setdefault((id(rule), own), (rule, own))
                    continue
                for entered in self._hooks.entered(chain, (rule,)):
                    for more in _asked(rule, asked):
                        if (id(entered), more) not in seen:
                            seen.add((id(entered), more))
                            waiting.append((entered, more))
        return tuple(found.values())


def _translating(made: Walked) -> Rule | None:
    """The rule of nat that ended a walk; where that is certain."""
    steps = (step for hop in made.hops for step in hop.steps)
    rule = next((step.source for step in steps if step.translates), None)
    if made.verdict is Verdict.UNKNOWN and rule is not None and rule.target.verb is not Verb.REDIRECT:
        return None  # to which address cannot be told; that of a device is another's question
    return rule


def _found(first: Walked, met: tuple[Rule, ...], explored: Explored, torn: bool) -> Found:
    rule = _translating(first)
    if rule is not None and torn:  # of two that do the same nft's is named
        same = [other for other in met if other.target == rule.target]
        named = next((other for other in same if other.backend != "iptables-legacy"), rule)
        rule = named if len(same) == len(met) else None
        return Found(rule, tuple(other for other in met if other is not rule))
    if not explored.ends and (rule is not None or first.verdict is not Verdict.UNKNOWN):
        return Found(rule)
    unsure = (*explored.unsure, *(other for other in met if other is not rule))
    steps = [step.source for hop in first.hops for step in hop.steps if step.source]
    return Found(rule, tuple(dict.fromkeys(unsure)) or tuple(steps[-1:]))


def _target(first: Walked, rule: Rule, packet: Packet) -> tuple[IP | None, int | None]:
    ends = first.tuple
    if first.verdict is Verdict.UNKNOWN:
        return translated(rule, packet.dport)
    return None if ends.dst == packet.dst and rule.target.address is None else ends.dst, ends.dport


def _asked(rule: Rule, before: Asked | None) -> tuple[Asked | None, ...]:
    """What the packets ask for that a jump lets through: one of its ports, where it is for this host's addresses."""
    plain = {match.key: match.values for match in rule.matches if not match.negated}
    protos, ports = plain.get("proto", ()), plain.get("dport", ())
    if before is not None or "dst" in plain or len(protos) != 1 or not ports or len(ports) > _WIDE:
        return (before,)
    exact = [port for port in ports if isinstance(port, tuple) and port[0] == port[1]]
    return tuple((str(protos[0]), int(low)) for low, _ in exact) or (before,)


def translated(rule: Rule, port: int | None) -> tuple[IP | None, int | None]:
    """Where a DNAT rule sends a packet for `port`: (address, port). None: left as it is, or the kernel will choose."""
    target = rule.target
    address = target.address if target.address_to in (None, target.address) else None
    return address, None if target.ports is None else port_of(target, port, source=False)


def destination(rule: Rule) -> tuple[str | None, int | None, IP | None]:
    """(protocol, port, address) of a rule for one exact port; None where it does not say."""
    proto, port, dst = None, None, None
    for match in rule.matches:
        if match.negated or len(match.values) != 1:
            continue
        value = match.values[0]
        if match.key == "proto" and isinstance(value, str):
            proto = value
        elif match.key == "dport" and isinstance(value, tuple) and value[0] == value[1]:
            port = value[0]
        elif match.key == "dst" and not isinstance(value, (str, tuple)) and getattr(value, "num_addresses", 0) == 1:
            dst = getattr(value, "network_address", None)
    return proto, port, dst


_HOOKS = ("prerouting", "output")
_MOST_PORTS = 32  # ports of one condition


def changes(before: Ruleset, after: Ruleset) -> set[Asked] | None:
    """The ports that a rule asks for which came, went or changed; None: any port may be led elsewhere."""
    hooks = (hooks_of(before), hooks_of(after))
    if len(before.chains) != len(after.chains) or before.sets != after.sets or _stages(hooks[0]) != _stages(hooks[1]):
        return None
    if any(other.changing for other in hooks):
        return None  # rules outside of nat decide too
    bases = {_table(chain) for other in hooks for hook in _HOOKS for chain in _nat_chains(other, hook)}
    ports: set[Asked] = set()
    for old, new in zip(before.chains, after.chains, strict=True):
        if old is new:
            continue
        if replace(old, rules=()) != replace(new, rules=()):
            return None
        if _table(old) in bases and old.hook in (None, *_HOOKS):
            asked = _compared(old.rules, new.rules)
            if asked is None:
                return None
            ports |= asked
    return ports


def _stages(hooks: Hooks) -> list[str]:
    return [stage.kind for hook in _HOOKS for family in (4, 6) for stage in hooks.ip(hook, family)]


def _nat_chains(hooks: Hooks, hook: str) -> Iterator[Chain]:
    return (chain for family in (4, 6) for chain in hooks.bases(hook, family) if chain.kind == "nat")


def _table(chain: Chain) -> tuple[bool, str, str]:
    return chain.backend == "iptables-legacy", chain.family, chain.table


def _compared(old: tuple[Rule, ...], new: tuple[Rule, ...]) -> set[Asked] | None:
    """The ports of the rules between the first and the last that differ."""
    was, will = differing(old, new, Rule.same_meaning)
    ports: set[Asked] = set()
    for rule in (*old[was], *new[will]):
        asked = _asks(rule)
        if asked is None:
            return None
        ports |= asked
    return ports


def _asks(rule: Rule) -> set[Asked] | None:
    """The ports whose packets alone it can meet; None: of any port, or that is not certain."""
    plain = {match.key: match.values for match in rule.matches if not match.negated}
    protos, ports = plain.get("proto", ()), plain.get("dport", ())
    ranges = [span for span in ports if isinstance(span, tuple)]
    changing = any(effect.after is not None for effect in rule.target.effects)
    if rule.not_understood or "@" in rule.text or changing or not protos or not ranges or len(ranges) != len(ports):
        return None
    if sum(high - low + 1 for low, high in ranges) > _MOST_PORTS:
        return None
    return {(str(proto), port) for proto in protos for low, high in ranges for port in range(low, high + 1)}


def recounted(ports: tuple[Port, ...], ruleset: Ruleset | None) -> tuple[Port, ...]:
    """The same ports with their rules as they are in `ruleset`, which has the rules that the ports were found by, with
    other counters and positions; the same objects where nothing moved."""
    rules = {_place(chain.backend, chain): chain.rules for chain in (ruleset.chains if ruleset else ())}
    by_text: dict[tuple[object, ...], dict[str, Rule]] = {}
    moved = False
    fresh = []
    for port in ports:
        old = port.dnat
        if old is not None:
            place = _place(old.backend, old)
            if place not in by_text:
                by_text[place] = {rule.text: rule for rule in rules[place]}
            now = by_text[place][old.text]
            if now.occurrence != old.occurrence:
                same = (rule for rule in rules[place] if rule.text == old.text)
                now = next(rule for rule in same if rule.occurrence == old.occurrence)
            if now is not old:
                moved, port = True, replace(port, dnat=now)
        fresh.append(port)
    return tuple(fresh) if moved else ports


def _place(backend: str, where: Chain | Rule) -> tuple[bool, str, str, str]:
    chain = where.name if isinstance(where, Chain) else where.chain
    return backend == "iptables-legacy", where.family, where.table, chain


Takers = tuple[tuple[Rule, ...], tuple[Rule, ...]]
"""Rules that translate a packet for the port, and those that may."""
ANYWHERE: tuple[IP, ...] = (IPv4Address(0), IPv6Address(0))
TRIED = 256  # ports that are asked for in search of a free one: a rule may take them all


def takers(host: Host, proto: str, ips: Iterable[IP], number: int) -> Takers:
    """Of a port at these addresses; an unspecified one stands for all addresses of its family. Rules that already make
    up one of the host's ports are left out."""
    if host.ruleset is None:
        return (), ()
    nat = _destination_nat(host.ruleset)
    known = {id(port.dnat) for port in host.ports or () if port.dnat is not None}
    found = [_taken(host, nat, proto, ip, number) for address in ips for ip in _own(host, address)]
    sure = {id(other.rule): other.rule for other in found if other.rule is not None and id(other.rule) not in known}
    unsure = {id(rule): rule for other in found for rule in other.unsure if id(rule) not in known}
    return tuple(sure.values()), tuple(rule for key, rule in unsure.items() if key not in sure)


def unread(host: Host) -> str:
    """What was not read of all that may take a port; "" where a port that nobody has is free."""
    if host.listeners is None:
        return "the host's sockets could not be read"
    if host.ruleset is None:
        return "the rules could not be read"
    if not host.ruleset.complete:
        return f"not all rules were read: {host.ruleset.unread[0].reason}"
    return "the engine's containers could not be read" if host.containers is None else ""


@lru_cache(maxsize=2)
def _destination_nat(ruleset: Ruleset) -> DestinationNat:

    return DestinationNat(ruleset)


def _own(host: Host, ip: IP) -> tuple[IP, ...]:
    """The addresses that a socket bound to `ip` may be asked at from outside."""
    if not ip.is_unspecified:
        return (ip,)
    devices = set(uplinks_of(ip.version, host.routes)) | {entrance(ip.version, host.links, host.routes)[0]}
    own = (address.ip for link in host.links or () if link.name in devices for address in link.addresses)
    return tuple(dict.fromkeys(other for other in own if other.version == ip.version and not other.is_link_local)) or (
        ip,
    )


def _taken(host: Host, nat: DestinationNat, proto: str, ip: IP, number: int) -> Found:
    """By the device that has the address, else by the uplink; at loopback as this host's own processes ask."""
    if ip.is_loopback:
        packet = Packet(ip.version, proto, ip, ip, dport=number, oif="lo", src_type="LOCAL", dst_type="LOCAL")
        return nat.find(packet, output=True)
    device = device_of(host.links, ip) or entrance(ip.version, host.links, host.routes)[0]
    dst = None if ip.is_unspecified else ip
    return nat.find(Packet(ip.version, proto, OUTSIDE[ip.version], dst, dport=number, iif=device, dst_type="LOCAL"))
