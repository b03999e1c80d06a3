"""One line of iptables-save -> its conditions and its target. Drops nothing: a part that is not interpreted stays in
`not_understood`, and the whole line in `text`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from netdash.core.iptables_target import CONTINUE, XT_TARGETS, read_target
from netdash.core.model import Match
from netdash.core.rule_parts import (
    Body,
    limit_match,
    mark_match,
    name_match,
    net_match,
    port_match,
    protocol_match,
    tcp_flags_match,
    word_match,
)

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


def words(line: str) -> list[str]:
    """The line as arguments: iptables-save quotes with " and escapes with a backslash."""
    if '"' not in line:
        return line.split()
    return [re.sub(r"\\(.)", r"\1", found[1]) if found[2] is None else found[2] for found in _WORD.finditer(line)]


class _Draft:
    """A rule while its words are read."""

    __slots__ = ("burst", "comment", "limit", "matches", "modules", "not_understood")

    def __init__(self) -> None:
        self.matches: list[Match] = []
        self.modules: list[str] = []
        self.not_understood: list[str] = []
        self.comment: str | None = None
        self.limit: str | None = None
        self.burst = "5"  # what iptables takes, and does not print

    def leave(self, parts: list[str], negated: bool) -> None:
        self.not_understood.append(" ".join(["!", *parts] if negated else parts))


def parse_line(line: str) -> Body:
    """One "-A CHAIN …" line. Never raises."""
    args = words(line)
    draft = _Draft()
    end = len(args)
    at, module, negated = 2, "", False
    target, name = CONTINUE, ""
    while at < end:
        arg = args[at]
        if arg == "!":
            negated = True
            at += 1
            continue
        value = args[at + 1] if at + 1 < end else ""
        if arg in _CONDITIONS and value:
            match = _condition(arg if module != "connmark" else f"connmark {arg}", value, negated)
            if match is None:
                draft.leave([arg, value], negated)
            else:
                draft.matches.append(match)
            at += 2
        elif arg == "-m":
            module = value
            at = _module(draft, args, at, negated)
        elif arg in ("-j", "-g"):
            name = value
            target, rest = read_target(arg, name, args[at + 2 :])
            draft.not_understood += [rest] if rest else []
            break
        else:
            at = _other(draft, args, at, negated)
        negated = False
    if draft.limit is not None:
        rate, _, per = draft.limit.partition("/")
        draft.matches.append(limit_match(rate, per, draft.burst))
    return Body(
        line,
        tuple(draft.matches),
        target,
        draft.comment,
        tuple(draft.not_understood),
        tuple(draft.modules),
        name if name in XT_TARGETS else "",
    )


def _module(draft: _Draft, args: list[str], at: int, negated: bool) -> int:
    """Take `-m module`; one that is not known is left with all its options."""
    module = args[at + 1] if at + 1 < len(args) else ""
    draft.modules.append(module)
    start, at = at, at + 2
    if module in _MODULES:
        return at
    while at < len(args) and args[at] not in _STARTS:
        if args[at] == "!" and at + 1 < len(args) and args[at + 1] in _STARTS:
            break
        at += 1
    draft.leave(args[start:at], negated)
    return at


def _other(draft: _Draft, args: list[str], at: int, negated: bool) -> int:
    """Take an option that is no condition of one value."""
    take = _OTHERS.get(args[at])
    if take is not None and at + 1 < len(args):
        return take(draft, args, at + 1, negated)
    last = at + 1
    while last < len(args) and not args[last].startswith("-") and args[last] != "!":
        last += 1
    draft.leave(args[at:last], negated)
    return last


_CONDITIONS: dict[str, tuple[str, Callable[[str, str, bool], Match | None]]] = {
    "-s": ("src", net_match),
    "-d": ("dst", net_match),
    "-i": ("iif", name_match),
    "-o": ("oif", name_match),
    "-p": ("proto", protocol_match),
    "--sport": ("sport", port_match),
    "--dport": ("dport", port_match),
    "--sports": ("sport", port_match),
    "--dports": ("dport", port_match),
    "--ports": ("port", port_match),
    "--dst-type": ("dst_type", word_match),
    "--src-type": ("src_type", word_match),
    "--ctstate": ("ctstate", word_match),
    "--ctstatus": ("ctstatus", word_match),
    "--ctdir": ("ctdir", word_match),
    "--state": ("ctstate", word_match),
    "--mark": ("mark", mark_match),
    "connmark --mark": ("connmark", mark_match),
    "--icmp-type": ("icmp_type", name_match),
    "--icmpv6-type": ("icmp_type", name_match),
    "--src-range": ("src", net_match),
    "--dst-range": ("dst", net_match),
    "--physdev-in": ("physdev_in", name_match),
    "--physdev-out": ("physdev_out", name_match),
    "--uid-owner": ("uid", name_match),
    "--gid-owner": ("gid", name_match),
    "--mac-source": ("mac", name_match),
    "--pkt-type": ("pkttype", name_match),
    "--hl-eq": ("hoplimit", name_match),
    "--ttl-eq": ("ttl", name_match),
}
"""Conditions of one value. iptables-save's options mean the same in every module that has them, but for connmark."""

_MODULES = frozenset(
    "tcp udp sctp dccp udplite multiport addrtype conntrack state mark connmark comment limit set icmp icmp6 iprange"
    " physdev owner mac pkttype hl ttl".split()
)


@lru_cache(maxsize=65536)
def _condition(option: str, value: str, negated: bool) -> Match | None:
    known = _CONDITIONS.get(option)
    return known[1](known[0], value, negated) if known else None


# --- options that are not one condition of one value: they take words from args[at] on and say where they ended -------


def _comment(draft: _Draft, args: list[str], at: int, _negated: bool) -> int:
    draft.comment = args[at]
    return at + 1


def _limit(draft: _Draft, args: list[str], at: int, _negated: bool) -> int:
    draft.limit = args[at]
    return at + 1


def _burst(draft: _Draft, args: list[str], at: int, _negated: bool) -> int:
    draft.burst = args[at]
    return at + 1


def _tcp_flags(draft: _Draft, args: list[str], at: int, negated: bool) -> int:
    pair = args[at : at + 2]
    if len(pair) < 2:
        draft.leave(args[at - 1 :], negated)
        return len(args)
    mask, flags = (_EVERY if text == "ALL" else frozenset(text.lower().split(",")) - {"none"} for text in pair)
    draft.matches.append(tcp_flags_match(mask, flags, negated))
    return at + 2


_EVERY = frozenset("fin syn rst psh ack urg".split())


def _set(draft: _Draft, args: list[str], at: int, negated: bool) -> int:
    draft.matches.append(Match("set", (" ".join(args[at : at + 2]),), negated))
    return at + 2


_OTHERS: dict[str, Callable[[_Draft, list[str], int, bool], int]] = {
    "--comment": _comment,
    "--limit": _limit,
    "--limit-burst": _burst,
    "--tcp-flags": _tcp_flags,
    "--match-set": _set,
}
_STARTS = frozenset(("-m", "-j", "-g", "-s", "-d", "-i", "-o", "-p"))
