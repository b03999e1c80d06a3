"""What belongs to what: from any thing on the screen to its containers, and from containers to everything of theirs."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from netdash.model.drift import Drift
from netdash.model.drop import Drop
from netdash.model.finding import Finding
from netdash.model.flow import Flow
from netdash.model.host import (
    IP,
    Chain,
    Container,
    Link,
    Neighbour,
    Net,
    Network,
    PolicyRule,
    Port,
    Proxy,
    Ref,
    Route,
    Rule,
    RulesNote,
)

# --- names of things, the same in every refresh -----------------------------------------------------------------------


def ref_of(thing: object) -> Ref:
    """The reference of a record. Raises KeyError for a type that no view lists."""
    return Ref(*_KEYS[type(thing)](thing))


@lru_cache(maxsize=16384)
def _text(ip: IP | Net | None) -> str:
    """Writing an address takes ten times as long as looking it up, and every refresh names all."""
    return str(ip)


def address_ref(ip: IP) -> Ref:
    return Ref("address", _text(ip))


def chain_ref(rule: Rule) -> Ref:
    return Ref("chain", f"{rule.backend} {rule.family} {rule.table} {rule.chain}")


def _port_key(port: Port) -> str:
    down = "" if port.live else f"/{port.container_id}"
    device = f"%{port.device}" if port.device else ""
    return f"{port.proto}/{_text(port.host_ip)}{device}/{port.host_port}{down}"


def _rule_key(rule: Rule) -> str:
    nth = f" #{rule.occurrence}" if rule.occurrence > 1 else ""
    return f"{rule.backend} {rule.family} {rule.table} {rule.chain} {rule.text}{nth}"


def _route_key(route: Route) -> str:
    return f"{route.table} {route.kind} {_text(route.dst)} {_text(route.gateway)} {route.dev} {route.metric}"


def _drift_key(drift: Drift) -> str:
    """Of a live rule by the rule; of a missing one by what it would say."""
    binding = drift.binding
    port = f" {binding.proto}/{_text(binding.host_ip)}/{binding.host_port}" if binding else ""
    what = (
        _rule_key(drift.rule)
        if drift.rule
        else f"{drift.backend} {drift.family} {drift.table} {drift.chain} {drift.text}"
    )
    return f"{drift.kind.value} {what}{port} {drift.container_id}"


def _drop_key(drop: Drop) -> str:
    place = ref_of(drop.place) if drop.place is not None else None
    return f"{place.kind} {place.key}" if place is not None else f"{drop.kind} {drop.device} {drop.name}"


_KEYS: dict[type, Callable[[Any], tuple[str, str]]] = {
    Container: lambda one: ("container", one.id),
    Network: lambda one: ("network", one.id),
    Port: lambda one: ("port", _port_key(one)),
    Rule: lambda one: ("rule", _rule_key(one)),
    RulesNote: lambda one: ("note", one.text),
    Chain: lambda one: ("chain", f"{one.backend} {one.family} {one.table} {one.name}"),
    Route: lambda one: ("route", _route_key(one)),
    PolicyRule: lambda one: ("policy", f"{one.family} {one.priority} {one.text}"),
    Proxy: lambda one: ("proxy", str(one.pid)),
    Link: lambda one: ("link", one.name),
    Drift: lambda one: ("drift", _drift_key(one)),
    Finding: lambda one: ("finding", f"{one.code} {one.sentence}"),
    Neighbour: lambda one: ("neighbour", f"{one.dev} {_text(one.ip)}"),
    Flow: lambda one: ("flow", one.key),
    Drop: lambda one: ("drop", _drop_key(one)),
}
