"""One line of iptables-save -> its conditions and its target. Drops nothing: a part that is not interpreted stays in
`not_understood`, and the whole line in `text`."""

from __future__ import annotations

import re
from collections.abc import Callable

from netdash.core.iptables_target import CONTINUE, XT_TARGETS, read_target
from netdash.core.model import Match
from netdash.core.rule_parts import (
    Body,
    limit_match,
    mark_match,
    net_match,
    port_match,
    protocol,
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

    __slots__ = ("burst", "comment", "limit", "matches", "modules", "negated", "not_understood", "proto")

    def __init__(self) -> None:
        self.matches: list[Match] = []
        self.modules: list[str] = []
        self.not_understood: list[str] = []
        self.comment: str | None = None
        self.limit: str | None = None
        self.burst = "5"  # what iptables takes, and does not print
        self.negated = False
        self.proto = ""

    def add(self, match: Match | None, option: str, value: str) -> None:
        if match is None:
            self.leave((option, value))
        else:
            self.matches.append(match)

    def leave(self, parts: tuple[str, ...] | list[str]) -> None:
        self.not_understood.append(" ".join(("! " if self.negated else "", *parts)).strip().replace("!  ", "! "))


def parse_line(line: str) -> Body:
    """One "-A CHAIN …" line. Never raises."""
    args = words(line)
    draft = _Draft()
    end = len(args)
    at, module = 2, ""
    target, name = CONTINUE, ""
    while at < end:
        arg = args[at]
        if arg == "!":
            draft.negated = True
            at += 1
            continue
        if arg == "-m":
            module = args[at + 1] if at + 1 < end else ""
            at = _module(draft, args, at, module)
        elif arg in ("-j", "-g"):
            name = args[at + 1] if at + 1 < end else ""
            target, rest = read_target(arg, name, args[at + 2 :])
            draft.not_understood += [rest] if rest else []
            break
        else:
            at = _option(draft, module, args, at)
        draft.negated = False
    if draft.limit is not None:
        rate, _, per = draft.limit.partition("/")
        draft.matches.append(limit_match(rate, per, draft.burst))
    return Body(
        text=line,
        matches=tuple(draft.matches),
        target=target,
        comment=draft.comment,
        not_understood=tuple(draft.not_understood),
        modules=tuple(draft.modules),
        target_name=name if name in XT_TARGETS else "",
    )


def _module(draft: _Draft, args: list[str], at: int, module: str) -> int:
    """Take `-m module`; one that is not known is left with all its options."""
    draft.modules.append(module)
    if module in _MODULES:
        return at + 2
    return _leave_until_next(draft, args, at, at + 2)


def _leave_until_next(draft: _Draft, args: list[str], start: int, at: int) -> int:
    while at < len(args) and args[at] not in _STARTS:
        if args[at] == "!" and at + 1 < len(args) and args[at + 1] in _STARTS:
            break
        at += 1
    draft.leave(args[start:at])
    return at


def _option(draft: _Draft, module: str, args: list[str], at: int) -> int:
    option = args[at]
    take = _PLAIN.get(option)
    if take is None:
        take = _OPTIONS.get((_SAME.get(module, module), option))
    if take is None:
        last = at + 1
        while last < len(args) and not args[last].startswith("-") and args[last] != "!":
            last += 1
        draft.leave(args[at:last])
        return last
    if at + 1 >= len(args):
        draft.leave([option])
        return at + 1
    return at + 2 + take(draft, option, args, at + 1)


# Each takes the option's value at args[at] and says how many more words it took.
_Take = Callable[[_Draft, str, list[str], int], int]


def _net(key: str) -> _Take:
    def take(draft: _Draft, option: str, args: list[str], at: int) -> int:
        draft.add(net_match(key, args[at], draft.negated), option, args[at])
        return 0

    return take


def _ports(key: str) -> _Take:
    def take(draft: _Draft, option: str, args: list[str], at: int) -> int:
        draft.add(port_match(key, args[at], draft.negated), option, args[at])
        return 0

    return take


def _words(key: str) -> _Take:
    def take(draft: _Draft, _option: str, args: list[str], at: int) -> int:
        draft.matches.append(word_match(key, args[at], draft.negated))
        return 0

    return take


def _name(key: str) -> _Take:
    def take(draft: _Draft, _option: str, args: list[str], at: int) -> int:
        draft.matches.append(Match(key, (args[at],), draft.negated))
        return 0

    return take


def _mark(key: str) -> _Take:
    def take(draft: _Draft, option: str, args: list[str], at: int) -> int:
        draft.add(mark_match(key, args[at], draft.negated), option, args[at])
        return 0

    return take


def _proto(draft: _Draft, _option: str, args: list[str], at: int) -> int:
    draft.proto = protocol(args[at])
    if draft.proto != "all":
        draft.matches.append(word_match("proto", draft.proto, draft.negated))
    return 0


def _comment(draft: _Draft, _option: str, args: list[str], at: int) -> int:
    draft.comment = args[at]
    return 0


def _limit(draft: _Draft, option: str, args: list[str], at: int) -> int:
    if option == "--limit":
        draft.limit = args[at]
    else:
        draft.burst = args[at]
    return 0


def _tcp_flags(draft: _Draft, option: str, args: list[str], at: int) -> int:
    if at + 1 >= len(args):
        draft.leave([option, args[at]])
        return 0
    mask, flags = (frozenset(word.lower() for word in text.split(",") if word != "NONE") for text in args[at : at + 2])
    every = frozenset(("fin", "syn", "rst", "psh", "ack", "urg"))
    draft.matches.append(
        tcp_flags_match(every if "all" in mask else mask, every if "all" in flags else flags, draft.negated)
    )
    return 1


def _set(draft: _Draft, _option: str, args: list[str], at: int) -> int:
    direction = args[at + 1] if at + 1 < len(args) else ""
    draft.matches.append(Match("set", (f"{args[at]} {direction}",), draft.negated))
    return 1


_PLAIN: dict[str, _Take] = {
    "-s": _net("src"),
    "-d": _net("dst"),
    "-i": _name("iif"),
    "-o": _name("oif"),
    "-p": _proto,
}
_OPTIONS: dict[tuple[str, str], _Take] = {
    ("tcp", "--sport"): _ports("sport"),
    ("tcp", "--dport"): _ports("dport"),
    ("tcp", "--tcp-flags"): _tcp_flags,
    ("multiport", "--sports"): _ports("sport"),
    ("multiport", "--dports"): _ports("dport"),
    ("multiport", "--ports"): _ports("port"),
    ("addrtype", "--dst-type"): _words("dst_type"),
    ("addrtype", "--src-type"): _words("src_type"),
    ("conntrack", "--ctstate"): _words("ctstate"),
    ("conntrack", "--ctstatus"): _words("ctstatus"),
    ("conntrack", "--ctdir"): _words("ctdir"),
    ("conntrack", "--ctproto"): _words("proto"),
    ("state", "--state"): _words("ctstate"),
    ("mark", "--mark"): _mark("mark"),
    ("connmark", "--mark"): _mark("connmark"),
    ("comment", "--comment"): _comment,
    ("limit", "--limit"): _limit,
    ("limit", "--limit-burst"): _limit,
    ("set", "--match-set"): _set,
    ("icmp", "--icmp-type"): _words("icmp_type"),
    ("icmp6", "--icmpv6-type"): _words("icmp_type"),
    ("iprange", "--src-range"): _net("src"),
    ("iprange", "--dst-range"): _net("dst"),
    ("physdev", "--physdev-in"): _name("physdev_in"),
    ("physdev", "--physdev-out"): _name("physdev_out"),
    ("owner", "--uid-owner"): _name("uid"),
    ("owner", "--gid-owner"): _name("gid"),
    ("mac", "--mac-source"): _name("mac"),
    ("pkttype", "--pkt-type"): _name("pkttype"),
    ("hl", "--hl-eq"): _name("hoplimit"),
    ("ttl", "--ttl-eq"): _name("ttl"),
}
_SAME = {"udp": "tcp", "sctp": "tcp", "dccp": "tcp", "udplite": "tcp", "icmpv6": "icmp6"}
_MODULES = frozenset({module for module, _ in _OPTIONS} | set(_SAME))
_STARTS = frozenset(("-m", "-j", "-g", *_PLAIN))
