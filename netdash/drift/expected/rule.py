"""One rule that an engine should have written: its place, its meaning, whose it is, and its text."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from netdash.model.addresses import socket_text
from netdash.model.host import IP, Binding, Match, Net, Target, Verb
from netdash.model.memory import kept
from netdash.model.records import dataclass
from netdash.rules.parts import name_match, net_match, port_match, protocol_match, word_match

Meaning = tuple[Hashable, ...]
"""(conditions in any order, verb, chain to go to, new address, new ports)."""

PlaceKey = tuple[str, str, str]
"""(family, table, chain)"""

ACCEPT, DROP, RETURN, MASQUERADE = (Target(verb) for verb in (Verb.ACCEPT, Verb.DROP, Verb.RETURN, Verb.MASQUERADE))


@dataclass(frozen=True, slots=True)
class Place:
    family: str  # ip, ip6, inet
    table: str
    chain: str
    native: bool = False  # written by nft, not by iptables

    @property
    def key(self) -> PlaceKey:
        return self.family, self.table, self.chain


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose rule it is."""

    network: str | None = None  # id
    container: str | None = None  # id
    binding: Binding | None = None


NOBODY = Owner()


@dataclass(frozen=True, slots=True)
class Expected:
    """`others` are conditions that mean the same in a mode which the API does not tell. A rule that is not `required`
    may be there, and is not missed. `group` names rules that a setting of the engine leaves out all together."""

    place: Place
    matches: tuple[Match, ...]
    target: Target
    why: str  # what it does, or what it keeps out
    owner: Owner = NOBODY
    required: bool = True
    others: tuple[tuple[Match, ...], ...] = ()
    group: str = ""
    comment: str = ""

    def meanings(self) -> tuple[Meaning, ...]:
        """Every meaning that a live rule in its place may have to be this one."""
        return tuple(meaning(matches, self.target) for matches in (self.matches, *self.others))

    @property
    def text(self) -> str:
        """As the engine would write it: iptables syntax, or nft's."""
        return _nft(self) if self.place.native else _iptables(self)


def meaning(matches: Iterable[Match], target: Target) -> Meaning:
    return frozenset(matches), target.verb, target.chain, target.address, target.ports


def jump(chain: str) -> Target:
    return Target(Verb.JUMP, chain=chain)


def dnat(address: IP, port: int) -> Target:
    return Target(Verb.DNAT, address=address, ports=(port, port))


# --- conditions: built as the parsers build them, so that equal ones are the same object ------------------------------


def iif(device: str, negated: bool = False) -> Match:
    return name_match("iif", device, negated)


def oif(device: str, negated: bool = False) -> Match:
    return name_match("oif", device, negated)


@kept
def src(net: IP | Net, negated: bool = False) -> Match:
    return net_match("src", str(net), negated) or Match("src", (net,), negated)


@kept
def dst(net: IP | Net, negated: bool = False) -> Match:
    return net_match("dst", str(net), negated) or Match("dst", (net,), negated)


@kept
def dport(proto: str, port: int) -> tuple[Match, Match]:
    return protocol_match("proto", proto), port_match("dport", str(port)) or Match("dport", ((port, port),))


def proto(name: str) -> Match:
    return protocol_match("proto", name)


KNOWN_FLOW = word_match("ctstate", "ESTABLISHED,RELATED")
TO_LOCAL = word_match("dst_type", "LOCAL")
FROM_LOCAL = word_match("src_type", "LOCAL")


def in_order(match: Match) -> Match:
    """States come in any order: RELATED,ESTABLISHED is the same condition."""
    if match.key != "ctstate" or len(match.values) < 2:
        return match
    return word_match("ctstate", ",".join(sorted(map(str, match.values))), match.negated)


# --- text -------------------------------------------------------------------------------------------------------------

_OPTIONS = {"src": "-s", "dst": "-d", "iif": "-i", "oif": "-o", "proto": "-p"}
_ORDER = ("src", "dst", "iif", "oif", "proto", "dport", "ctstate", "dst_type", "src_type")


def _iptables(expected: Expected) -> str:
    words = ["-A", expected.place.chain]
    protocol = next((str(match.values[0]) for match in expected.matches if match.key == "proto"), "")
    for match in sorted(expected.matches, key=lambda match: _ORDER.index(match.key)):
        words += ["!"] if match.negated else []
        words += _condition(match, protocol)
    return " ".join([*words, *_action(expected.target)])


def _condition(match: Match, protocol: str) -> list[str]:
    value = match.values[0]
    match match.key:
        case "src" | "dst":
            return [_OPTIONS[match.key], str(value)]
        case "dport":
            return ["-m", protocol, "--dport", _port(value)]
        case "ctstate":
            return ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"]
        case "dst_type" | "src_type":
            return ["-m", "addrtype", f"--{match.key.replace('_', '-')}", str(value)]
        case _:
            return [_OPTIONS[match.key], str(value)]


def _port(value: object) -> str:
    return str(value[0]) if isinstance(value, tuple) else str(value)


def _action(target: Target) -> list[str]:
    if target.verb is Verb.JUMP:
        return ["-j", target.chain or ""]
    words = ["-j", target.verb.name]
    if target.verb is Verb.DNAT:
        words += ["--to-destination", socket(target)]
    elif target.verb is Verb.SNAT:
        words += ["--to-source", str(target.address)]
    return words


def socket(target: Target) -> str:
    """ADDRESS:PORT of a translation, an IPv6 address in brackets."""
    return socket_text(target.address, target.ports[0] if target.ports else None)


def _nft(expected: Expected) -> str:
    words = []
    named = {match.key for match in expected.matches}
    for match in expected.matches:
        if match.key == "proto" and "dport" in named:
            continue
        words.append(_nft_condition(match, expected))
    target = expected.target
    if target.verb is Verb.JUMP:
        words.append(f"jump {target.chain}")
    elif target.verb in (Verb.DNAT, Verb.SNAT):
        family = "" if expected.place.family != "inet" else "ip6 " if ":" in str(target.address) else "ip "
        words.append(f"{target.verb.value} {family}to {socket(target)}")
    else:
        words.append(target.verb.value)
    if expected.comment:
        words.append(f'comment "{expected.comment}"')
    return " ".join(words)


def _nft_condition(match: Match, expected: Expected) -> str:
    value = match.values[0]
    sign = "!= " if match.negated else ""
    match match.key:
        case "src" | "dst":
            ip = "ip6" if getattr(value, "version", 4) == 6 else "ip"
            host = getattr(value, "network_address", value) if getattr(value, "num_addresses", 0) == 1 else value
            return f"{ip} {'saddr' if match.key == 'src' else 'daddr'} {sign}{host}"
        case "iif" | "oif":
            return f'{match.key}name {sign}"{value}"'
        case "dport":
            protocol = next(str(match.values[0]) for match in expected.matches if match.key == "proto")
            return f"{protocol} dport {sign}{_port(value)}"
        case "ctstate":
            return f"ct state {sign}{','.join(map(str, match.values)).lower()}"
        case "dst_type":
            return f"fib daddr type {sign}{str(value).lower()}"
        case "mark":
            number, _, mask = str(value).partition("/")
            return f"meta mark & {mask} == {number}"
        case _:
            return f"ip protocol {value}" if expected.place.family == "ip" else f"meta l4proto {value}"
