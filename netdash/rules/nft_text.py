"""nft syntax from nft's JSON: what a person would type. Never raises on odd shapes: what has no known form is shown as
compact JSON, and cut where it is nested too deeply."""

from __future__ import annotations

import json
from collections.abc import Callable

from netdash.parse.json_values import Json, items, mapping

_DEEP = 16  # levels; nft itself nests six at most
_LONG = 400  # characters of a shape that has no known form


def rule_text(exprs: list[object], comment: str | None) -> str:
    """One rule; its counter without numbers, so that the text stays the same while packets pass."""
    parts = [statement(expr) for expr in exprs]
    if comment:
        parts.append(f"comment {_quoted(comment)}")
    return " ".join(part for part in parts if part)


def statement(expr: object, deep: int = 0) -> str:
    if not isinstance(expr, dict) or len(expr) != 1 or deep > _DEEP:
        return as_json(expr)
    name, value = next(iter(expr.items()))
    write = _STATEMENTS.get(name)
    return write(value, deep + 1) if write else as_json(expr)


def expression(value: object, deep: int = 0) -> str:
    """A value or the left side of a match."""
    if isinstance(value, bool):
        return "exists" if value else "missing"
    if isinstance(value, str | int):
        return str(value)
    if deep > _DEEP:
        return "…"
    if isinstance(value, list):
        return ",".join(expression(item, deep + 1) for item in value)
    if isinstance(value, dict) and len(value) == 1:
        name, inner = next(iter(value.items()))
        if name in ("&", "|", "^", "<<", ">>"):
            return f" {name} ".join(expression(item, deep + 1) for item in items(inner))
        write = _EXPRESSIONS.get(name)
        if write:
            return write(inner, deep + 1)
    return as_json(value)


def as_json(value: object) -> str:
    try:
        text = json.dumps(value, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _quoted(value: object) -> str:
    return '"' + str(value).replace('"', '\\"') + '"'


# --- expressions ------------------------------------------------------------------------------------------------------

_BARE_META = ("iif", "oif", "iifname", "oifname", "iiftype", "oiftype", "skuid", "skgid", "nftrace", "rtclassid")
_NAMES = ("iif", "oif", "iifname", "oifname")


def _meta(value: object, deep: int) -> str:
    key = expression(mapping(value).get("key"), deep)
    return key if key in _BARE_META else f"meta {key}"


def _payload(value: object, deep: int) -> str:
    parts = mapping(value)
    if "field" in parts:
        return f"{expression(parts.get('protocol'), deep)} {expression(parts['field'], deep)}"
    return f"@{','.join(expression(parts.get(name), deep) for name in ('base', 'offset', 'len'))}"


def _ct(value: object, deep: int) -> str:
    parts = mapping(value)
    names = ("ct", parts.get("dir"), parts.get("family"), parts.get("key"))
    return " ".join(expression(name, deep) for name in names if name is not None)


def _fib(value: object, deep: int) -> str:
    flags = mapping(value).get("flags")
    joined = " . ".join(expression(flag, deep) for flag in (flags if isinstance(flags, list) else [flags]))
    return f"fib {joined} {expression(mapping(value).get('result'), deep)}"


def _set(value: object, deep: int) -> str:
    return "{ " + ", ".join(_pair(item, deep) for item in (value if isinstance(value, list) else [value])) + " }"


def _pair(value: object, deep: int) -> str:
    """An element of a set, or of a map when it is a list of two."""
    if isinstance(value, list) and len(value) == 2:
        return f"{expression(value[0], deep)} : {_verdict_or_value(value[1], deep)}"
    return expression(value, deep)


def _verdict_or_value(value: object, deep: int) -> str:
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _STATEMENTS:
        return statement(value, deep)
    return expression(value, deep)


def _prefix(value: object, deep: int) -> str:
    parts = mapping(value)
    return f"{expression(parts.get('addr'), deep)}/{expression(parts.get('len'), deep)}"


def _numgen(value: object, deep: int) -> str:
    parts = mapping(value)
    return (
        f"numgen {expression(parts.get('mode'), deep)} mod {expression(parts.get('mod'), deep)}{_offset(parts, deep)}"
    )


def _hash(name: str) -> Callable[[object, int], str]:
    def write(value: object, deep: int) -> str:
        parts = mapping(value)
        asked = f" {expression(parts['expr'], deep)}" if "expr" in parts else ""
        return f"{name}{asked} mod {expression(parts.get('mod'), deep)}{_offset(parts, deep)}"

    return write


def _offset(parts: Json, deep: int) -> str:
    return f" offset {expression(parts['offset'], deep)}" if parts.get("offset") else ""


def _keyed(word: str) -> Callable[[object, int], str]:
    """`socket transparent`, `rt ipsec`, `tcp option maxseg size`: a word, then what its object names."""

    def write(value: object, deep: int) -> str:
        parts = mapping(value)
        return " ".join([word, *(expression(parts[name], deep) for name in ("key", "name", "field") if name in parts)])

    return write


def _map(value: object, deep: int) -> str:
    parts = mapping(value)
    return f"{expression(parts.get('key'), deep)} map {_set_or_name(parts.get('data'), deep)}"


def _set_or_name(value: object, deep: int) -> str:
    return _set(value, deep) if isinstance(value, list) else expression(value, deep)


_EXPRESSIONS: dict[str, Callable[[object, int], str]] = {
    "meta": _meta,
    "payload": _payload,
    "ct": _ct,
    "fib": _fib,
    "set": _set,
    "prefix": _prefix,
    "map": _map,
    "range": lambda value, deep: "-".join(expression(item, deep) for item in items(value)),
    "concat": lambda value, deep: " . ".join(expression(item, deep) for item in items(value)),
    "elem": lambda value, deep: expression(mapping(value).get("val"), deep),
    "numgen": _numgen,
    "jhash": _hash("jhash"),
    "symhash": _hash("symhash"),
    "socket": _keyed("socket"),
    "rt": _keyed("rt"),
    "tcp option": _keyed("tcp option"),
    "ip option": _keyed("ip option"),
    "exthdr": _keyed("exthdr"),
    "sctp chunk": _keyed("sctp chunk"),
}

# --- statements -------------------------------------------------------------------------------------------------------


def _match(value: object, deep: int) -> str:
    parts = mapping(value)
    left, right, op = parts.get("left"), parts.get("right"), parts.get("op")
    shown = expression(right, deep)
    if mapping(mapping(left).get("meta")).get("key") in _NAMES and isinstance(right, str) and right[:1] != "@":
        shown = _quoted(right)
    between = "" if op in ("==", "in") else f"{expression(op, deep)} "
    return f"{expression(left, deep)} {between}{shown}"


def _verdict(name: str) -> Callable[[object, int], str]:
    def write(value: object, deep: int) -> str:
        return f"{name} {expression(mapping(value).get('target'), deep)}"

    return write


def _nat(name: str) -> Callable[[object, int], str]:
    def write(value: object, deep: int) -> str:
        parts = mapping(value)
        address, port, flags = parts.get("addr"), parts.get("port"), parts.get("flags")
        to = expression(address, deep) if address is not None else ""
        if port is not None:
            to = (f"[{to}]" if ":" in to and isinstance(address, str) else to) + f":{expression(port, deep)}"
        family = f" {expression(parts['family'], deep)}" if "family" in parts else ""
        return f"{name}{family}{' to ' + to if to else ''}{' ' + expression(flags, deep) if flags else ''}"

    return write


def _mangle(value: object, deep: int) -> str:
    parts = mapping(value)
    return f"{expression(parts.get('key'), deep)} set {expression(parts.get('value'), deep)}"


def _limit(value: object, deep: int) -> str:
    if isinstance(value, str):
        return f"limit name {_quoted(value)}"
    parts = mapping(value)
    unit = f" {expression(parts['rate_unit'], deep)}/" if parts.get("rate_unit") not in (None, "packets") else "/"
    over = "over " if parts.get("inv") else ""
    of = expression(parts.get("burst_unit", "packets"), deep)
    burst = f" burst {expression(parts['burst'], deep)} {of}" if "burst" in parts else ""
    return f"limit rate {over}{expression(parts.get('rate'), deep)}{unit}{expression(parts.get('per'), deep)}{burst}"


def _log(value: object, deep: int) -> str:
    parts = mapping(value)
    said = [
        f"{name} {_quoted(parts[name]) if name == 'prefix' else expression(parts[name], deep)}"
        for name in ("prefix", "group", "level", "snaplen", "queue-threshold", "flags")
        if name in parts
    ]
    return " ".join(["log", *said])


def _reject(value: object, deep: int) -> str:
    parts = mapping(value)
    kind = expression(parts["type"], deep) if "type" in parts else ""
    if kind == "tcp reset":
        return "reject with tcp reset"
    answer = f" {expression(parts['expr'], deep)}" if "expr" in parts else ""
    return f"reject with {kind}{answer}" if kind else "reject"


def _vmap(value: object, deep: int) -> str:
    parts = mapping(value)
    return f"{expression(parts.get('key'), deep)} vmap {_set_or_name(parts.get('data'), deep)}"


def _quota(value: object, deep: int) -> str:
    if isinstance(value, str):
        return f"quota name {_quoted(value)}"
    parts = mapping(value)
    over = "over " if parts.get("inv") else ""
    return f"quota {over}{expression(parts.get('val'), deep)} {expression(parts.get('val_unit', 'bytes'), deep)}"


def _ct_count(value: object, deep: int) -> str:
    parts = mapping(value)
    return f"ct count {'over ' if parts.get('inv') else ''}{expression(parts.get('val'), deep)}"


def _of_set(value: object, deep: int) -> str:
    """`add @s { ip saddr timeout 300s limit rate over 10/second }`"""
    parts = mapping(value)
    element = mapping(mapping(parts.get("elem")).get("elem"))
    timeout = f" timeout {expression(element['timeout'], deep)}s" if "timeout" in element else ""
    said = "".join(f" {statement(item, deep)}" for item in items(parts.get("stmt")))
    inner = f"{expression(parts.get('elem'), deep)}{timeout}{said}"
    return f"{expression(parts.get('op'), deep)} {expression(parts.get('set'), deep)} {{ {inner} }}"


def _to(name: str) -> Callable[[object, int], str]:
    """`dup to A device D`, `fwd to D`, `tproxy ip to A:P`."""

    def write(value: object, deep: int) -> str:
        parts = mapping(value)
        family = f" {expression(parts['family'], deep)}" if "family" in parts else ""
        said = [expression(parts[value], deep) for value in ("addr", "port") if value in parts]
        device = expression(parts["dev"], deep) if "dev" in parts else ""
        shown = f"{':'.join(said)} device {device}" if said and device else device or ":".join(said)
        return f"{name}{family} to {shown}"

    return write


def _queue(value: object, deep: int) -> str:
    parts = mapping(value)
    flags = f" flags {expression(parts['flags'], deep)}" if "flags" in parts else ""
    return f"queue{flags} to {expression(parts['num'], deep)}" if "num" in parts else f"queue{flags}"


def _named(word: str) -> Callable[[object, int], str]:
    return lambda value, deep: f"{word} set {_quoted(expression(value, deep))}"


def _xt(value: object, deep: int) -> str:
    parts = mapping(value)
    return f"xt {expression(parts.get('type'), deep)} {_quoted(parts.get('name'))}"


_STATEMENTS: dict[str, Callable[[object, int], str]] = {
    "match": _match,
    "counter": lambda value, _: f"counter name {value}" if isinstance(value, str) else "counter",
    "jump": _verdict("jump"),
    "goto": _verdict("goto"),
    "dnat": _nat("dnat"),
    "snat": _nat("snat"),
    "masquerade": _nat("masquerade"),
    "redirect": _nat("redirect"),
    "mangle": _mangle,
    "limit": _limit,
    "log": _log,
    "reject": _reject,
    "vmap": _vmap,
    "xt": _xt,
    "accept": lambda _, __: "accept",
    "drop": lambda _, __: "drop",
    "return": lambda _, __: "return",
    "continue": lambda _, __: "continue",
    "notrack": lambda _, __: "notrack",
    "last": lambda _, __: "last",
    "quota": _quota,
    "ct count": _ct_count,
    "ct helper": _named("ct helper"),
    "ct timeout": _named("ct timeout"),
    "ct expectation": _named("ct expectation"),
    "set": _of_set,
    "dup": _to("dup"),
    "fwd": _to("fwd"),
    "tproxy": _to("tproxy"),
    "queue": _queue,
    "flow": lambda value, deep: f"flow add {expression(mapping(value).get('flowtable'), deep)}",
}
