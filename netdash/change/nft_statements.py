"""The statements of an nft rule as people type them -> the JSON in which nft lists them. Others are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from netdash.change.model import CannotModel
from netdash.model.addresses import address, subnet
from netdash.model.numbers import decimal

_TOKEN = re.compile(r'"[^"]*"|!=|==|<=|>=|[{},;<>&|]|[^\s{},;"<>&|!=]+|\S')


class Words:
    """The words of a command, taken one after the other."""

    def __init__(self, text: str) -> None:
        self._words: list[str] = _TOKEN.findall(text)
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._words)

    def peek(self, ahead: int = 0) -> str:
        """ "" at the end."""
        at = self._at + ahead
        return self._words[at] if at < len(self._words) else ""

    def take(self) -> str:
        if self.at_end:
            raise CannotModel("nft: the command breaks off")
        self._at += 1
        return self._words[self._at - 1].strip('"')

    def expect(self, word: str) -> None:
        if self.at_end or self.take() != word:
            raise CannotModel(f"nft: {word!r} is missing before {' '.join(self._words[self._at - 1 :])!r}")


def statements(words: Words) -> tuple[list[object], str | None]:
    """What stands there up to the end or a semicolon; and the comment."""
    found: list[object] = []
    comment = None
    while not words.at_end and words.peek() != ";":
        word = words.take()
        if word == "comment":
            comment = words.take()
            continue
        take = _STATEMENTS.get(word)
        if take is not None:
            found.append(take(word, words))
            continue
        found.append(_match(word, words))
    if not found:
        raise CannotModel("nft: a rule without a statement")
    return found, comment


# --- conditions -------------------------------------------------------------------------------------------------------

_META = ("iif", "oif", "iifname", "oifname", "l4proto", "nfproto", "mark", "pkttype", "protocol", "skuid", "skgid")
_FIELDS = {
    "ip": ("saddr", "daddr", "protocol", "ttl", "length"),
    "ip6": ("saddr", "daddr", "nexthdr", "hoplimit", "length"),
    "tcp": ("sport", "dport"),
    "udp": ("sport", "dport"),
    "sctp": ("sport", "dport"),
    "th": ("sport", "dport"),
    "icmp": ("type",),
    "icmpv6": ("type",),
    "ether": ("saddr", "daddr", "type"),
}


def _match(word: str, words: Words) -> object:
    left = _left(word, words)
    if words.peek() in ("set", "&", "|", "<", ">", "<=", ">=", "map", "vmap"):
        if words.peek() == "set" and left in _SETTABLE:
            words.take()
            return {"mangle": {"key": left, "value": _value(words, numeric=True)}}
        raise CannotModel(f"nft … {word} … {words.peek()}: not understood")
    sign = words.take() if words.peek() in ("!=", "==") else "=="
    listed = left in _LISTED
    right = _right(words, listed)
    if sign == "!=" and isinstance(right, list):
        right = {"|": right}  # of bits: nft compares with all of them at once
    op = "!=" if sign == "!=" else "in" if listed and not isinstance(right, dict) else "=="
    return {"match": {"op": op, "left": left, "right": right}}


_LISTED: tuple[dict[str, object], ...] = ({"ct": {"key": "state"}}, {"ct": {"key": "status"}})
"""Of these several values may stand with commas, without braces."""
_SETTABLE: tuple[dict[str, object], ...] = ({"meta": {"key": "mark"}}, {"ct": {"key": "mark"}})


def _left(word: str, words: Words) -> dict[str, object]:
    if word == "meta":
        word = words.take()
        if word not in _META:
            raise CannotModel(f"nft … meta {word}: not understood")
    if word in _META:
        return {"meta": {"key": word}}
    if word == "ct" and words.peek() in ("state", "status", "direction", "mark"):
        return {"ct": {"key": words.take()}}
    if word == "fib":
        flags = [words.take()]
        if words.peek() == ".":
            words.take()
            flags.append(words.take())
        if not set(flags) <= {"saddr", "daddr", "iif", "oif"}:
            raise CannotModel(f"nft … fib {' '.join(flags)}: not understood")
        words.expect("type")
        return {"fib": {"result": "type", "flags": flags if len(flags) > 1 else flags[0]}}
    if words.peek() in _FIELDS.get(word, ()):
        return {"payload": {"protocol": word, "field": words.take()}}
    raise CannotModel(f"nft … {word} {words.peek()}: not understood".replace(" :", ":"))


def _right(words: Words, listed: bool) -> object:
    if words.peek() == "{":
        words.take()
        found = []
        while words.peek() != "}":
            found.append(_value(words))
            if words.peek() != "}":
                words.expect(",")
        words.expect("}")
        return {"set": found}
    value = _value(words)
    if not listed or words.peek() != ",":
        return value
    several = [value]
    while words.peek() == ",":
        words.take()
        several.append(_value(words))
    return several


_NUMBER = re.compile(r"\d+|0x[0-9a-fA-F]+")


def _value(words: Words, numeric: bool = False) -> object:
    """A number, a range, a network, an address or a name."""
    word = words.take()
    if word in ("{", "}", ",", ";", "."):
        raise CannotModel(f"nft: a value is missing before {word!r}")
    if _NUMBER.fullmatch(word):
        return int(word, 0)
    if numeric:
        raise CannotModel(f"nft … {word}: not a number")
    low, dash, high = word.partition("-")
    if dash and (decimal(low) is not None or address(low) is not None):
        pair = [_end(low), _end(high)]
        return {"range": pair}
    if "/" in word:
        net = subnet(word)
        if net is None:
            raise CannotModel(f"nft … {word}: not a network")
        return {"prefix": {"addr": str(net.network_address), "len": net.prefixlen}}
    return word


def _end(word: str) -> int | str:
    number = decimal(word)
    if number is not None:
        return number
    if address(word) is None:
        raise CannotModel(f"nft … {word}: not the end of a range")
    return word


# --- what a rule does -------------------------------------------------------------------------------------------------

_Take = Callable[[str, Words], object]


def _plain(word: str, _words: Words) -> object:
    return {word: None}


def _go(word: str, words: Words) -> object:
    return {word: {"target": words.take()}}


def _counter(_word: str, words: Words) -> object:
    said = {"packets": 0, "bytes": 0}
    while words.peek() in said:
        name = words.take()
        said[name] = decimal(words.take()) or 0
    return {"counter": said}


def _reject(_word: str, words: Words) -> object:
    if words.peek() != "with":
        return {"reject": None}
    words.take()
    kind = words.take()
    if kind == "tcp":
        words.expect("reset")
        return {"reject": {"type": "tcp reset"}}
    if kind not in ("icmp", "icmpv6", "icmpx"):
        raise CannotModel(f"nft … reject with {kind}: not understood")
    if words.peek() == "type":
        words.take()
    return {"reject": {"type": kind, "expr": words.take()}}


def _nat(word: str, words: Words) -> object:
    """`dnat to A:P`, `dnat ip to A`, `redirect to :P`, `masquerade`."""
    said: dict[str, object] = {}
    if words.peek() in ("ip", "ip6"):
        said["family"] = words.take()
    if words.peek() == "to":
        words.take()
        said |= _target(word, words.take())
    elif word in ("dnat", "snat"):
        raise CannotModel(f"nft … {word}: `to` is missing")
    flags = []
    while words.peek() in ("random", "fully-random", "persistent", ","):
        flag = words.take()
        flags += [flag] if flag != "," else []
    if flags:
        said["flags"] = flags if len(flags) > 1 else flags[0]
    return {word: said or None}


def _target(word: str, written: str) -> dict[str, object]:
    found = _TARGET.fullmatch(written)
    if found is None:
        raise CannotModel(f"nft … {word} to {written}: not understood")
    ip = next((part for part in found.groups()[:3] if part), None)
    said: dict[str, object] = {}
    if ip is not None:
        if address(ip) is None:
            raise CannotModel(f"nft … {word} to {written}: not an address")
        said["addr"] = ip
    if found[4]:
        said["port"] = {"range": [int(found[4]), int(found[5])]} if found[5] else int(found[4])
    return said


_TARGET = re.compile(r"(?:\[([^\]]+)\]|([\d.]+)|([0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:.]*))?(?::(\d+)(?:-(\d+))?)?")
"""[IPv6]:PORT, IPv4:PORT, an IPv6 address without a port, or :PORT."""


def _log(_word: str, words: Words) -> object:
    said: dict[str, object] = {}
    while words.peek() in ("prefix", "level", "group"):
        name = words.take()
        said[name] = words.take()
    return {"log": said or None}


def _limit(_word: str, words: Words) -> object:
    words.expect("rate")
    said: dict[str, object] = {}
    if words.peek() == "over":
        words.take()
        said["inv"] = True
    rate, _, per = words.take().partition("/")
    if decimal(rate) is None or per not in ("second", "minute", "hour", "day", "week"):
        raise CannotModel(f"nft … limit rate {rate}/{per}: not understood")
    said |= {"rate": decimal(rate), "burst": 5, "per": per}
    if words.peek() == "burst":
        words.take()
        said["burst"] = decimal(words.take())
        words.expect("packets")
    return {"limit": said}


_STATEMENTS: Mapping[str, _Take] = {
    **dict.fromkeys(("accept", "drop", "return", "continue", "notrack"), _plain),
    **dict.fromkeys(("jump", "goto"), _go),
    **dict.fromkeys(("dnat", "snat", "masquerade", "redirect"), _nat),
    "counter": _counter,
    "reject": _reject,
    "log": _log,
    "limit": _limit,
}
