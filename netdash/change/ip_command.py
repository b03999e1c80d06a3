"""`ip route`, `ip rule` and `ip link set` -> changes (ip-route(8), ip-rule(8), ip-link(8))."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netdash.change.model import CannotModel, Change, LinkChange, PolicyRuleChange, RouteChange
from netdash.model.addresses import address, subnet
from netdash.model.host import Host
from netdash.model.numbers import decimal
from netdash.model.records import replace
from netdash.parse.iproute import parse_policy

Read = Callable[[list[str], int, str | None], tuple[Change, ...]]


def read(_host: Host, words: list[str], container: str | None) -> tuple[Change, ...]:
    family, args = 4, words[1:]
    while args and args[0].startswith("-"):
        if args[0] not in ("-4", "-6"):
            raise CannotModel(f"ip {args[0]}: only -4 and -6 are understood")
        family, args = int(args[0][1]), args[1:]
    kind = next((name for name in _OBJECTS if args and name.startswith(args[0])), None)
    if kind is None or len(args) < 2:
        raise CannotModel("ip: only route, rule and link are understood")
    return _OBJECTS[kind](args[1:], family, container)


def _verb(args: list[str], known: tuple[str, ...]) -> str:
    verb = next((name for name in known if name.startswith(args[0])), None)
    if verb is None:
        raise CannotModel(f"ip … {args[0]}: only {', '.join(known)} are understood")
    return verb


# --- routes -----------------------------------------------------------------------------------------------------------

_KINDS = ("unicast", "blackhole", "unreachable", "prohibit", "throw")
_TABLES = {"253": "default", "254": "main", "255": "local"}
_IGNORED = ("proto", "protocol", "scope", "mtu", "advmss", "initcwnd", "pref")
"""What a route may say that decides nothing that a trace asks for. An MTU does of large packets only."""


def _route(args: list[str], family: int, container: str | None) -> tuple[Change, ...]:
    verb = _verb(args, ("add", "replace", "delete"))
    args = args[1:]
    kind = args.pop(0) if args and args[0] in _KINDS else "unicast"
    if args and args[0] == "to":
        args.pop(0)
    if not args:
        raise CannotModel(f"ip route {verb}: a destination is missing")
    word = args.pop(0)
    destination = None if word in ("default", "all") else subnet(word)
    if destination is None and word not in ("default", "all"):
        raise CannotModel(f"ip route {verb} {word}: not a network")
    if destination is not None and address(word.partition("/")[0]) != destination.network_address:
        raise CannotModel(f"ip route {verb} {word}: the kernel refuses bits behind the prefix: {destination}")
    family = destination.version if destination is not None else family
    change = RouteChange(verb != "delete", family, destination, kind=kind, replace=verb == "replace")
    return (replace(_with_options(change, args), container=container),)


def _with_options(change: RouteChange, args: list[str]) -> RouteChange:
    while args:
        if len(args) < 2:
            raise CannotModel(f"ip route … {args[0]}: not understood")
        name, value, args = args[0], args[1], args[2:]
        if name == "via" and value in ("inet", "inet6") and args:
            value, args = args[0], args[1:]
        if name in _IGNORED:
            continue
        field, parse = _OPTIONS.get(name, ("", address))
        said: Any = parse(value)
        if not field or said is None:
            raise CannotModel(f"ip route … {name} {value}: not understood")
        change = replace(change, **{field: said})
    if change.destination is None and change.gateway is not None:
        change = replace(change, family=change.gateway.version)
    return change


_OPTIONS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "via": ("gateway", address),
    "src": ("source", address),
    "dev": ("device", str),
    "table": ("table", lambda value: _TABLES.get(value, value)),
    **dict.fromkeys(("metric", "preference", "priority"), ("metric", decimal)),
}


# --- policy rules -----------------------------------------------------------------------------------------------------

_RULE_KEYS = {
    "iif": "iif", "dev": "iif", "oif": "oif", "fwmark": "fwmark", "tos": "tos", "dsfield": "tos", "ipproto": "ipproto",
    "sport": "sport", "dport": "dport", "table": "table", "lookup": "table",
    "suppress_prefixlength": "suppress_prefixlength",
}  # fmt: skip
_PRIORITY = ("pref", "priority", "preference", "order")
_ACTIONS = ("blackhole", "unreachable", "prohibit", "nop")


def _rule(args: list[str], family: int, container: str | None) -> tuple[Change, ...]:
    """Written as `ip -j rule` prints it, and read by the one reader of that."""
    verb = _verb(args, ("add", "delete"))
    raw: dict[str, object] = {}
    named = False
    args = args[1:]
    while args:
        name = args.pop(0)
        if name == "not":
            raw["not"] = None
            continue
        if name in _ACTIONS:
            raw["action"] = name
            continue
        if not args:
            raise CannotModel(f"ip rule … {name}: not understood")
        value = args.pop(0)
        if name in _PRIORITY and decimal(value) is not None:
            raw["priority"], named = decimal(value), True
        elif name in ("from", "to"):
            family = _net(raw, name, value) or family
        elif name in _RULE_KEYS:
            raw.update(_option(_RULE_KEYS[name], value))
        else:
            raise CannotModel(f"ip rule … {name} {value}: not understood")
    if verb == "add" and "action" not in raw:
        raw.setdefault("table", "main")
    found = parse_policy([raw] if family == 4 else [], [raw] if family == 6 else [])
    return (PolicyRuleChange(verb == "add", found[0], named, container),)


def _net(raw: dict[str, object], name: str, value: str) -> int | None:
    """Put the selector in; gives its IP version."""
    if value in ("all", "any", "default"):
        return None
    net = subnet(value)
    if net is None:
        raise CannotModel(f"ip rule … {name} {value}: not a network")
    key = "src" if name == "from" else "dst"
    raw[key] = str(net.network_address)
    if net.prefixlen != net.max_prefixlen:
        raw[f"{key}len"] = net.prefixlen
    return net.version


def _option(key: str, value: str) -> Mapping[str, object]:
    if key == "fwmark":
        mark, _, mask = value.partition("/")
        numbers = [_hex(text) for text in (mark, mask) if text]
        return {"fwmark": numbers[0]} | ({"fwmask": numbers[1]} if len(numbers) > 1 else {})
    if key == "suppress_prefixlength":
        return {"suppress_prefixlen": decimal(value)}
    return {key: _TABLES.get(value, value) if key == "table" else value}


def _hex(text: str) -> str:
    try:
        return hex(int(text, 0)) if int(text, 0) else "0"  # as iproute2 prints it
    except ValueError:
        raise CannotModel(f"ip rule … fwmark {text}: not a mark") from None


# --- devices ----------------------------------------------------------------------------------------------------------


def _link(args: list[str], _family: int, container: str | None) -> tuple[Change, ...]:
    rest = args[1:]
    if rest and rest[0] == "dev":
        rest = rest[1:]
    if not "set".startswith(args[0]) or len(rest) != 2 or rest[1] not in ("up", "down"):
        raise CannotModel("ip link: only `set DEVICE up` and `set DEVICE down` are understood")
    return (LinkChange(rest[0], rest[1] == "up", container),)


_OBJECTS: Mapping[str, Read] = {"link": _link, "route": _route, "rule": _rule}
