"""`ipset save`, `conntrack -L`, `nft -j list ruleset` -> members of sets, tracked connections, names of tables."""

from __future__ import annotations

import re
from collections.abc import Mapping

from netdash.model.addresses import address, subnet
from netdash.model.host import Net, TrackedFlow
from netdash.model.numbers import decimal
from netdash.model.packet import Ends

_PLAIN = ("hash:ip", "hash:net", "bitmap:ip")


def parse_ipsets(text: str) -> Mapping[str, tuple[Net, ...]]:
    """Sets of other types, with `nomatch` or with a member that is not understood, are left out: not known."""
    found: dict[str, list[Net] | None] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 2 and words[0] == "create":
            found[words[1]] = [] if words[2] in _PLAIN else None
        elif len(words) > 2 and words[0] == "add":
            members, net = found.get(words[1]), subnet(words[2])
            if members is not None and net is not None and "nomatch" not in words:
                members.append(net)
            else:
                found[words[1]] = None
    return {name: tuple(members) for name, members in found.items() if members is not None}


def parse_counts(text: str) -> Mapping[str, int]:
    """`conntrack -S`: NAME=NUMBER of each processor, summed up."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        for name, _, number in (word.partition("=") for word in line.split()):
            if name != "cpu" and (count := decimal(number, 20)) is not None:
                found[name] = found.get(name, 0) + count
    return found


_PAIR = re.compile(r"\b(src|dst|sport|dport|type|code|id)=(\S+)")


def parse_conntrack(text: str) -> tuple[TrackedFlow, ...]:
    """`PROTO NUMBER SECONDS [STATE] src= dst= sport= dport= [UNREPLIED] src= dst= sport= dport= …` a line."""
    return tuple(flow for line in text.splitlines() if (flow := _flow(line)))


def _flow(line: str) -> TrackedFlow | None:
    words = line.split(None, 4)
    if len(words) < 5 or not words[1].isdigit() or not words[2].isdigit():
        return None
    halves = line.split(" src=")
    if len(halves) != 3 or " zone" in line:
        return None
    original, reply = (_ends(f"src={half}") for half in halves[1:])
    if original is None or reply is None:
        return None
    state = "" if "=" in words[3] or words[3].startswith("[") else words[3]
    return TrackedFlow(words[0], original, reply, "[UNREPLIED]" not in line, state, int(words[2]))


def _ends(text: str) -> Ends | None:
    found = dict(_PAIR.findall(text))
    src, dst = address(found.get("src")), address(found.get("dst"))
    return None if src is None or dst is None else Ends(src, _port(found, "sport"), dst, _port(found, "dport"))


def _port(found: dict[str, str], name: str) -> int | None:
    text = found.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


_TABLE = re.compile(r'"table": ?\{"family": ?"(\w+)", ?"name": ?"([^"]*)"')
_XTABLES = frozenset(("filter", "nat", "mangle", "raw", "security"))


def nft_tables(listing: str) -> frozenset[tuple[str, str]]:
    """(family, name) of each table, without decoding the listing, which may have 10,000 rules."""
    return frozenset(_TABLE.findall(listing))


def is_xtables(table: tuple[str, str], families: tuple[str, ...] = ("ip", "ip6")) -> bool:
    """Whether iptables-nft may have made the table."""
    return table[0] in families and table[1] in _XTABLES
