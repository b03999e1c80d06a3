"""Which senders and which targets the rules and routes of a host treat alike, apart from naming them: one trace then
answers for all of a kind. Two are alike when the rules that name one are the rules that name the other, in the same
order and at the same places among the rules that name nobody."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network

from netdash.model.addresses import only, subnet
from netdash.model.host import IP, Host, Match, Net, Rule, Target
from netdash.model.records import dataclass

DECIDING = ("FAILED", "INCOMPLETE", "PERMANENT", "NOARP")
"""A neighbour's states that decide something by themselves."""
Span = tuple[int, int]
Twin = tuple[str, str, str, int, str]
"""family, table, chain, how many rules that name nobody stand before it, its text with the names masked"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What rules may call one container: its addresses, and the other words (MACs, devices), each in the same order as
    its twins'."""

    ips: tuple[IP, ...]
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Naming:
    """The rules that speak of one sender or target, in the order of the host's chains."""

    twins: tuple[Twin, ...]
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class _Named:
    """A rule that names somebody. `at`: its place among all rules of the host."""

    at: int
    rule: Rule
    before: int


class Alike:
    """Knows the rules that name these containers and ports. `inner`: the containers' own namespaces; `ephemeral`: the
    ports from which anybody here sends."""

    def __init__(
        self, host: Host, inner: Iterable[Host], who: Iterable[Identity], ports: Iterable[int], ephemeral: Span
    ) -> None:
        self._known: dict[str, IP | str] = {}
        for identity in who:
            self._known |= {str(ip): ip for ip in identity.ips} | {word: word for word in identity.words}
        self._by_name: dict[IP | str, list[_Named]] = {name: [] for name in self._known.values()}
        self._by_port: dict[int, dict[IP | None, list[_Named]]] = {port: {} for port in ports}
        self._ephemeral = ephemeral
        self._patterns: set[str] = set()  # of devices: "veth1+"
        nets, spans = set(_of_host(host)), {ephemeral}
        for net in inner:
            nets |= set(_of_host(net))
            _of_inner_rules(net, nets, spans)
        inside = frozenset(spans)
        at = 0
        for chain in host.ruleset.chains if host.ruleset else ():
            before = 0
            for rule in chain.rules:
                at += 1
                before += not self._note(_Named(at, rule, before), nets, spans)
        self._net_ends = {version: _net_ends(nets, version) for version in (4, 6)}
        self._span_ends = sorted(
            {end for low, high in spans if low != high or (low, high) in inside for end in (low, high + 1)}
        )

    def _note(self, named: _Named, nets: set[Net], spans: set[Span]) -> bool:
        """Keep a rule with those whom it names; False when it names nobody."""
        rule = named.rule
        names, ports = self._in_text(rule.text), set()
        for value in _values(rule):
            if isinstance(value, str):
                if value[-1:] in "+*":
                    self._patterns.add(value[:-1])
            elif isinstance(value, tuple):
                spans.add(value)
                ports |= {value[0]} & self._by_port.keys() if value[0] == value[1] else set()
            elif value.prefixlen < value.max_prefixlen:
                nets.add(value)
            elif value.network_address in self._by_name:
                names.add(value.network_address)
        for name in names:
            self._by_name[name].append(named)
        only_for = _receiver(rule) if ports else None
        for port in ports:
            self._by_port[port].setdefault(only_for, []).append(named)
        return bool(names or ports)

    def _in_text(self, text: str) -> set[IP | str]:
        """Whom a rule's text names, also in what is not understood."""
        found: set[IP | str] = set()
        for token in _TOKEN.findall(text):
            known = self._known.get(token)
            if known is None and ":" in token:  # a MAC, or an address with a port
                known = self._known.get(token.lower()) or self._known.get(token.rpartition(":")[0])
            if known is not None:
                found.add(known)
        return found

    def sender(self, who: Identity) -> Naming:
        """Of whom the twins are equal, those are treated alike, while they do not ask themselves."""
        found = {
            named.at: named for ip in who.ips for named in self._by_name[ip] if self._concerns_sender(named.rule, ip)
        }
        found |= {named.at: named for word in who.words for named in self._by_name[word]}
        return _naming(found, _masks(who))

    def target(self, ip: IP, who: Identity, ports: tuple[int, ...]) -> Naming:
        """The rules that speak of a target by its address, its other words or its ports."""
        found = {named.at: named for named in self._by_name.get(ip, ()) if not self._of_other_ports(named.rule, ports)}
        found |= {named.at: named for word in who.words for named in self._by_name[word]}
        for port in ports:
            for receiver in (None, ip):
                found |= {named.at: named for named in self._by_port[port].get(receiver, ())}
        return _naming(found, {**_masks(who), **{str(port): f"PORT{at}" for at, port in enumerate(ports)}})

    def around(self, who: Identity, ports: tuple[int, ...] = ()) -> Hashable:
        """Equal for those who are in the same nets and ranges, and whose devices fit the same patterns."""
        return (
            tuple((ip.version, bisect_right(self._net_ends[ip.version], int(ip))) for ip in who.ips),
            tuple(bisect_right(self._span_ends, port) for port in ports),
            tuple(word.startswith(start) for word in who.words for start in sorted(self._patterns)),
        )

    def _concerns_sender(self, rule: Rule, ip: IP) -> bool:
        """Whether a rule that names a sender may meet its packets or the answers to them: not one that only translates
        to it, asks for what comes to a port of it, or for what it sends to itself."""
        keys = {match.key for match in rule.matches if any(_is(value, ip) for value in match.values)}
        whole = not any(match.key == "any_of" for match in rule.matches) and not rule.not_understood
        if not keys:
            return not (whole and rule.target.address == ip and not rule.target.cases)
        if keys == {"src", "dst"}:
            return not whole or any(match.negated for match in rule.matches if match.key in keys)
        if keys == {"dst"}:
            return not any(match.key == "dport" and not match.negated and self._below(match) for match in rule.matches)
        return True

    def _of_other_ports(self, rule: Rule, ports: tuple[int, ...]) -> bool:
        """Whether a rule is only for packets to ports that are neither these nor a client's."""
        for match in rule.matches:
            if match.key == "dport" and not match.negated and self._below(match):
                spans = [value for value in match.values if isinstance(value, tuple)]
                if not any(low <= port <= high for low, high in spans for port in ports):
                    return True
        return False

    def _below(self, match: Match) -> bool:
        """Whether no ephemeral port meets it."""
        spans = [value for value in match.values if isinstance(value, tuple)]
        return all(high < self._ephemeral[0] or low > self._ephemeral[1] for low, high in spans)


def _net_ends(nets: Iterable[Net], version: int) -> list[int]:
    """Where nets begin, and the next address behind each."""
    return sorted(
        {
            end
            for net in nets
            if net.version == version
            for end in (int(net.network_address), int(net.broadcast_address) + 1)
        }
    )


# --- names in rules ---------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[0-9A-Za-z_.:-]+")
_PORT = re.compile(r"(?<=port )\d+(?![\d:.-])|(?<=ports )\d+(?![\d:.-])")
_COMMENT = re.compile(r'(?:-m comment )?(?:--)?comment (?:"(?:[^"\\]|\\.)*"|\S+)')


def _masks(who: Identity) -> dict[str, str]:
    masks = {str(ip): f"IP{at}" for at, ip in enumerate(who.ips)}
    return masks | {word: f"WORD{at}" for at, word in enumerate(who.words)}


def _naming(found: Mapping[int, _Named], masks: Mapping[str, str]) -> Naming:
    named = [found[at] for at in sorted(found)]
    return Naming(tuple(_twin(other, masks) for other in named), tuple(other.rule for other in named))


def _twin(named: _Named, masks: Mapping[str, str]) -> Twin:
    rule = named.rule
    return rule.family, rule.table, rule.chain, named.before, _masked(rule.text, masks)


def _masked(text: str, masks: Mapping[str, str]) -> str:
    """The text without its comment, and with other words for the names of `masks`. A number is a port only where it
    stands as one: it may be a mark as well."""

    def mask(found: re.Match[str]) -> str:
        token = found[0]
        name, colon, port = token.rpartition(":")
        if colon and (whole := masks.get(name)):
            return f"{whole}:{masks.get(port, port)}"
        return token if token.isdecimal() else masks.get(token) or masks.get(token.lower()) or token

    ported = _PORT.sub(lambda found: masks.get(found[0], found[0]), _COMMENT.sub("", text))
    return _TOKEN.sub(mask, ported)


def _receiver(rule: Rule) -> IP | None:
    """The one address to which all packets go that a rule asks for, where it names ports only as theirs."""
    for match in rule.matches:
        if match.key != "dport" and (match.key.endswith("port") or match.key == "any_of"):
            return None
    for match in rule.matches:
        if match.key == "dst" and not match.negated and len(match.values) == 1:
            net = match.values[0]
            if isinstance(net, IPv4Network | IPv6Network) and net.prefixlen == net.max_prefixlen:
                return net.network_address
    return None


def _is(value: object, ip: IP) -> bool:
    return getattr(value, "network_address", None) == ip and getattr(value, "num_addresses", 0) == 1


def _values(rule: Rule) -> Iterator[Net | Span | str]:
    """Every address and device that a rule speaks of, and every port of its conditions."""
    yield from _of_matches(rule.matches)
    yield from _of_target(rule.target)


def _of_matches(matches: Iterable[Match]) -> Iterator[Net | Span | str]:
    for match in matches:
        for value in match.values:
            if match.key == "any_of" and isinstance(value, tuple):
                yield from _of_matches(value)
            elif isinstance(value, tuple) and match.key.endswith("port"):
                yield value[0], value[1]
            elif isinstance(value, IPv4Network | IPv6Network | str):
                yield value


def _of_target(target: Target) -> Iterator[Net | Span | str]:
    if target.address is not None:
        yield only(target.address)
    for conditions, case in target.cases:
        yield from _of_matches(conditions)
        yield from _of_target(case)


def _of_host(host: Host) -> Iterator[Net]:
    """The nets, also of one address, by which all else than its rules tells packets apart."""
    for route in host.routes or ():
        if route.table != "local":
            yield from (net for net in (route.dst, route.src) if net is not None)
    for rule in host.policy or ():
        for key, value in rule.selectors:
            if key in ("src", "dst"):
                net = subnet(value)
                if net is not None:
                    yield net
    yield from (only(neighbour.ip) for neighbour in host.neighbours or () if neighbour.state in DECIDING)
    yield from (net for nets in (host.ipsets or {}).values() for net in nets)
    yield from (net for policy in host.ipsec or () for net in (policy.src, policy.dst))


def _of_inner_rules(net: Host, nets: set[Net], spans: set[Span]) -> None:
    """What the rules of a container's own name; those of the engine's resolver name nobody else."""
    for chain in net.ruleset.chains if net.ruleset else ():
        for rule in chain.rules:
            for value in _values(rule) if "127.0.0.11" not in rule.text else ():
                if isinstance(value, tuple):
                    spans.add(value)
                elif not isinstance(value, str):
                    nets.add(value)
