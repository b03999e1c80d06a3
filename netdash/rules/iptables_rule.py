"""One line of iptables-save -> its conditions and its target. Drops nothing: a part that is not interpreted stays in
`not_understood`, and the whole line in `text`."""

from __future__ import annotations

import re
from collections.abc import Callable

from netdash.model.host import Match
from netdash.model.memory import kept
from netdash.rules.iptables_target import CONTINUE, XT_TARGETS, read_target
from netdash.rules.parts import (
    Body,
    icmp_match,
    limit_match,
    lower_match,
    mark_match,
    name_match,
    net_match,
    number,
    owner_match,
    pair_match,
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

    __slots__ = ("comment", "matches", "modules", "not_understood", "types")

    def __init__(self) -> None:
        self.matches: list[Match] = []
        self.modules: list[str] = []
        self.not_understood: list[str] = []
        self.comment: str | None = None
        self.types = 0  # conditions that stood before the last `-m addrtype`

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
            match = _condition(arg if module not in _OWN_MARK else f"{module} {arg}", value, negated)
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
    if module in _MODULES:
        draft.types = len(draft.matches)
        return at + 2
    end = _options_end(args, at + 2)
    take = _WHOLE.get(module)
    match = take(module, args[at + 2 : end]) if take else None
    if match is None:
        draft.leave(args[at:end], negated)
    else:
        draft.matches.append(match)
    return end


def _options_end(args: list[str], at: int) -> int:
    """Where a module's options end: at the next module or plain condition, or at the target."""
    while at < len(args) and args[at] not in _STARTS:
        if args[at] == "!" and at + 1 < len(args) and args[at + 1] in _STARTS:
            break
        at += 2 if args[at] in _ANY_WORD else 1
    return min(at, len(args))


_STARTS = frozenset(("-m", "-j", "-g", "-s", "-d", "-i", "-o", "-p"))
_ANY_WORD = frozenset(("--string", "--hex-string", "--name", "--hashlimit-name", "--path"))
"""Options whose value may look like an option."""


def _other(draft: _Draft, args: list[str], at: int, negated: bool) -> int:
    """Take an option that is no condition of one value."""
    flag = _FLAGS.get(args[at])
    if flag is not None:
        draft.matches.append(Match(flag, (True,), negated))
        return at + 1
    side = _LIMITS.get(args[at])
    if side is not None:
        _limit_iface(draft, side)
        return at + 1
    take = _OTHERS.get(args[at])
    if take is not None and at + 1 < len(args):
        return take(draft, args, at + 1, negated)
    last = at + 1
    while last < len(args) and not args[last].startswith("-") and args[last] != "!":
        last += 1
    draft.leave(args[at:last], negated)
    return last


_FLAGS = {
    "-f": "fragment",
    "--physdev-is-in": "physdev_is_in",
    "--physdev-is-out": "physdev_is_out",
    "--physdev-is-bridged": "physdev_is_bridged",
}

# --- conditions of one value ------------------------------------------------------------------------------------------


def _number_match(key: str, text: str, negated: bool) -> Match | None:
    value = number(text)
    return None if value is None else Match(key, (value,), negated)


def _below(key: str, text: str, negated: bool) -> Match | None:
    value = number(text)
    return pair_match(key, f"0:{value - 1}", negated) if value else None


def _above(key: str, text: str, negated: bool) -> Match | None:
    value = number(text)
    return pair_match(key, f"{value + 1}:255", negated) if value is not None else None


def _length(key: str, text: str, negated: bool) -> Match | None:
    low, colon, high = text.partition(":")
    return pair_match(key, f"{low or 0}:{high or 65535}" if colon else text, negated)


def _mac(key: str, text: str, negated: bool) -> Match | None:
    return lower_match(key, text, negated) if "," not in text else None


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
    "--ctproto": ("ctproto", protocol_match),
    "--ctorigsrc": ("ctorigsrc", net_match),
    "--ctorigdst": ("ctorigdst", net_match),
    "--ctreplsrc": ("ctreplsrc", net_match),
    "--ctrepldst": ("ctrepldst", net_match),
    "--ctorigsrcport": ("ctorigsrcport", port_match),
    "--ctorigdstport": ("ctorigdstport", port_match),
    "--ctreplsrcport": ("ctreplsrcport", port_match),
    "--ctrepldstport": ("ctrepldstport", port_match),
    "--ctexpire": ("ctexpire", pair_match),
    "--state": ("ctstate", word_match),
    "--mark": ("mark", mark_match),
    "connmark --mark": ("connmark", mark_match),
    "--icmp-type": ("icmp_type", lambda _, text, negated: icmp_match(False, text, negated)),
    "--icmpv6-type": ("icmp_type", lambda _, text, negated: icmp_match(True, text, negated)),
    "--tcp-option": ("tcp_option", _number_match),
    "--src-range": ("src", net_match),
    "--dst-range": ("dst", net_match),
    "--physdev-in": ("physdev_in", name_match),
    "--physdev-out": ("physdev_out", name_match),
    "--src-group": ("iifgroup", name_match),
    "--dst-group": ("oifgroup", name_match),
    "--uid-owner": ("uid", owner_match),
    "--gid-owner": ("gid", owner_match),
    "--mac-source": ("mac", _mac),
    "--pkt-type": ("pkttype", name_match),
    "--length": ("length", _length),
    "--dscp": ("dscp", pair_match),
    "--cpu": ("cpu", pair_match),
    "--hl-eq": ("hoplimit", pair_match),
    "--hl-lt": ("hoplimit", _below),
    "--hl-gt": ("hoplimit", _above),
    "--ttl-eq": ("ttl", pair_match),
    "--ttl-lt": ("ttl", _below),
    "--ttl-gt": ("ttl", _above),
}
"""iptables-save's options mean the same in every module that has them, but for --mark."""

_OWN_MARK = frozenset(("connmark",))
_MODULES = frozenset(
    "tcp udp sctp dccp udplite multiport addrtype conntrack state mark connmark comment set icmp icmp6 iprange"
    " physdev owner mac pkttype hl ttl length dscp cpu devgroup".split()
)


@kept
def _condition(option: str, value: str, negated: bool) -> Match | None:
    known = _CONDITIONS.get(option) or _CONDITIONS.get(option.rpartition(" ")[2])
    return known[1](known[0], value, negated) if known else None


# --- modules that are taken with all their options --------------------------------------------------------------------


def _limit(_module: str, options: list[str]) -> Match | None:
    """iptables-save prints the rate always, and the burst where it is not 5."""
    said = dict(zip(options[::2], options[1::2], strict=False))
    rate, _, per = said.pop("--limit", "").partition("/")
    burst = said.pop("--limit-burst", "5")
    return limit_match(rate, per, burst) if rate and per and not said and len(options) % 2 == 0 else None


def _rpfilter(module: str, options: list[str]) -> Match | None:
    known = ("--loose", "--validmark", "--accept-local", "--invert")
    if any(option not in known for option in options):
        return None
    said = sorted(option[2:] for option in options if option != "--invert")
    return Match(module, (",".join(said),), "--invert" in options)


def _words(module: str, options: list[str]) -> Match | None:
    return Match(module, (" ".join(options),))


_WHOLE: dict[str, Callable[[str, list[str]], Match | None]] = {
    "limit": _limit,
    "rpfilter": _rpfilter,
    **dict.fromkeys(
        "hashlimit connlimit connbytes quota statistic recent time string socket policy helper tos cgroup".split(),
        _words,
    ),
}

# --- options that are not one condition of one value: they take words from args[at] on and say where they ended -------


def _comment(draft: _Draft, args: list[str], at: int, _negated: bool) -> int:
    draft.comment = args[at]
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


def _limit_iface(draft: _Draft, side: str) -> None:
    """The types that the module asks for are those on that device."""
    for index in range(draft.types, len(draft.matches)):
        match = draft.matches[index]
        if match.key in ("src_type", "dst_type"):
            draft.matches[index] = Match(match.key + side, match.values, match.negated)


_LIMITS = {"--limit-iface-in": "_iif", "--limit-iface-out": "_oif"}


_OTHERS: dict[str, Callable[[_Draft, list[str], int, bool], int]] = {
    "--comment": _comment,
    "--tcp-flags": _tcp_flags,
    "--match-set": _set,
}
