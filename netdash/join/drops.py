"""What loses packets on a host, from the counters of rules, of policies and of the kernel; and how fast those of the
kernel move between two readings. The rates of rules are the ruleset's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from netdash.bundle.recording import Recording
from netdash.kernel.lost_packets import LOST
from netdash.model.belonging import named_by
from netdash.model.errors import Failure
from netdash.model.finding import Finding, health_of
from netdash.model.host import Host, Network, Ref, Rule, Verb
from netdash.model.kernel_state import Counter, Counters, Drop, DropKind
from netdash.model.relations import ref_of
from netdash.model.source import BY_PATH, CONNTRACK, FILES, Source, SourceFile
from netdash.parse.counters import Counts, parse_tool

_PATHS = tuple(file.path for file in FILES if file.source is Source.DROPS)
TOOL = "host/conntrack-stats.txt"


class CounterReader:
    """Reads the counters of one recording after the other. An answer that is the very object of last time counts as not
    asked again: its counters keep their rates. Not for use by two threads."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float | None, Counters]] = {}

    def read(self, recording: Recording, failures: dict[str, Failure]) -> Mapping[str, Counters]:
        """The counters by path, only of what could be read."""
        known, self._known = self._known, {}
        for path in _PATHS:
            text = recording.text(path)
            if text is not None:
                self._take(path, BY_PATH[path], text, recording.taken, known.get(path), failures)
        tool = recording.text(TOOL) if CONNTRACK not in self._known else None
        if tool is not None and CONNTRACK not in recording.answers:
            self._take(CONNTRACK, BY_PATH[TOOL], tool, recording.taken, known.get(CONNTRACK), failures)
        return {path: counters for path, (_, _, counters) in self._known.items()}

    def _take(
        self,
        path: str,
        file: SourceFile,
        text: str,
        taken: float | None,
        before: tuple[str, float | None, Counters] | None,
        failures: dict[str, Failure],
    ) -> None:
        if before is not None and before[0] is text:
            self._known[path] = before
            return
        try:
            counts: Counts = parse_tool(text) if file.path == TOOL else file.parse()(text)
        except ValueError as error:
            name = BY_PATH[path].name
            failures[name] = Failure(name, f"not understood: {error}")
            return
        _, then, old = before or ("", None, {})
        span = taken - then if taken is not None and then is not None else 0.0
        found = {key: Counter(count, _rate(count, old.get(key), span)) for key, count in counts.items()}
        self._known[path] = (text, taken, found)


def _rate(count: int, old: Counter | None, span: float) -> float | None:
    """Not known where it went back: a reload, a new device of the same name, or more than the counter can hold."""
    return (count - old.count) / span if old is not None and span > 0 and count >= old.count else None


# --- what loses packets -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)  # of the host on screen and of the one that comes
def drops(host: Host) -> tuple[Drop, ...]:
    """What moves first, then what could not be read, then the highest counters, and what is not counted last. A counter
    that is 0 is left out. Nothing where nothing could be read."""
    if host.ruleset is None and host.counters is None:
        return ()
    listed = [drop for drop in (*_of_rules(host), *_of_counters(host)) if drop.count != 0]
    unread = [
        Drop(DropKind.UNREAD, name.removeprefix("drops: "), None, None, why=why) for name, why in unread_parts(host)
    ]
    return tuple(sorted([*unread, *listed], key=_order))


def _order(drop: Drop) -> tuple[bool, bool, int]:
    return not drop.moving, drop.kind is not DropKind.UNREAD, -(drop.count or 0)


_LOSING = (Verb.DROP, Verb.REJECT)
_UNCOUNTED = "the rule has no counter"


def _of_rules(host: Host) -> Iterator[Drop]:
    for chain in host.ruleset.chains if host.ruleset is not None else ():
        for rule in chain.rules:
            if rule.target.verb in _LOSING:
                yield _of_rule(rule)
            elif any(case.verb in _LOSING for _, case in rule.target.cases):
                yield Drop(DropKind.RULE, "", None, None, rule, why="only some of what it decides is dropped")
        if chain.policy == "drop":
            why = "nft counts nothing for a policy" if chain.backend == "nft" else "0, or it has no counter"
            yield Drop(DropKind.POLICY, "", chain.packets, chain.rate, chain, why=why if chain.packets is None else "")


def _of_rule(rule: Rule) -> Drop:
    if rule.packets is None:
        why = _UNCOUNTED if rule.backend == "nft" else "its counter was not read"
        return Drop(DropKind.RULE, "", None, None, rule, why=why)
    if rule.backend == "nft" and not _counts_drops(rule.text):
        return Drop(DropKind.RULE, "", None, None, rule, why="its counter counts more than what it drops")
    return Drop(DropKind.RULE, "", rule.packets, rule.rate, rule)


_QUOTED = r'"(?:[^"\\]|\\.)*"'
_LAST = r"\bcounter(?: log(?: (?:prefix|level|group|snaplen|queue-threshold|flags) \S+)*)? (?:drop|reject)\b"


def _counts_drops(text: str) -> bool:
    """Whether nft counts behind all conditions: `counter tcp dport 22 drop` counts every packet that comes by."""
    return re.search(_LAST, re.sub(_QUOTED, '""', text)) is not None


def _of_counters(host: Host) -> Iterator[Drop]:
    for counters in (host.counters or {}).values():
        for (device, name), counter in counters.items():
            if name in LOST:
                yield Drop(LOST[name][0], name, counter.count, counter.rate, device=device)


def unread_parts(host: Host) -> list[tuple[str, str]]:
    """(what, why) of the counters that could not be read, where some were looked for."""
    found = []
    if host.ruleset is None:
        found.append((str(Source.RULES), _reason(host, Source.RULES)))
    for file in FILES:
        if file.source is Source.DROPS and file.path not in (host.counters or {}):
            untracked = host.live and host.counters and file.module and file.name not in host.failures
            why = f"the kernel's module {file.module} is not loaded" if untracked else _reason(host, file.name)
            found.append((file.name, why))
    return found


def _reason(host: Host, name: str) -> str:
    failure = host.failures.get(name) or host.failures.get(name.partition(":")[0])
    if failure is not None:
        return failure.reason
    return "not read yet" if name in host.pending else "not read"


# --- what they belong to ----------------------------------------------------------------------------------------------


def leads_to(host: Host, drop: Drop) -> Ref | None:
    """The rule, the chain's rules or the device that it is about; None of the counters of the whole host."""
    if drop.place is not None:
        return ref_of(drop.place)
    known = any(link.name == drop.device for link in host.links or ()) if drop.device else False
    return Ref("link", drop.device) if known else None


def networks_of(host: Host, drop: Drop) -> list[Network]:
    """The networks that a rule names, by their bridge or by what of their subnets it names; or a device is of."""
    names: set[object] = set()
    if isinstance(drop.place, Rule):
        names |= named_by(host, ref_of(drop.place))
    elif drop.device:
        link = next((link for link in host.links or () if link.name == drop.device), None)
        names |= {drop.device, link.master if link is not None else None}
    return [network for network in host.networks or () if _concerns(network, names)]


_ISOLATION = ("DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2", "DOCKER-INTERNAL")


def kept_apart(host: Host, rule: Rule) -> Network | None:
    """The network that this rule of Docker keeps apart from all others."""
    if rule.chain not in _ISOLATION or rule.target.verb is not Verb.DROP:
        return None
    bridges = [match.values for match in rule.matches if match.key in ("iif", "oif") and not match.negated]
    return next((network for network in host.networks or () if bridges == [(network.bridge,)]), None)


def _concerns(network: Network, names: Iterable[object]) -> bool:
    return any(name is not None and (name == network.bridge or _overlap(network, name)) for name in names)


def _overlap(network: Network, name: object) -> bool:
    if isinstance(name, IPv4Address | IPv6Address):
        return any(name.version == subnet.version and name in subnet for subnet in network.subnets)
    if isinstance(name, IPv4Network | IPv6Network):
        return any(name.version == subnet.version and name.overlaps(subnet) for subnet in network.subnets)
    return False


def finding_of(host: Host, drop: Drop) -> Finding | None:
    """The worst that the doctor found and that has it for evidence."""
    health, ref, codes = health_of(host), leads_to(host, drop), _CODES.get(drop.name, ())
    apart = kept_apart(host, drop.place) if isinstance(drop.place, Rule) else None
    if apart is not None and not apart.internal:
        codes = ("isolation-between-networks",)
    for finding in health.findings if health is not None else ():
        if finding.code in codes or (ref is not None and any(seen.ref == ref for seen in finding.evidence)):
            return finding
    return None


_CODES: Mapping[str, tuple[str, ...]] = {
    "insert_failed": ("conntrack-insert-failed",),
    "drop": ("conntrack-full",),
    "early_drop": ("conntrack-full",),
    "TcpExtIPReversePathFilter": ("rp-filter-strict",),
    "IpInAddrErrors": ("ip-forward-off", "v29-nft-ip-forward-off", "iface-forward-off"),
    "Ip6InAddrErrors": ("ip-forward-off-v6", "iface-forward-off"),
}
"""Of the findings whose evidence is the counter, or what it counts."""
