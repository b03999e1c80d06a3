"""The list views in the order of their digits, each a pane, a command and a golden test; where a reference leads."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.join.drops import leads_to
from netdash.model.addresses import address
from netdash.model.host import Host, Ref
from netdash.model.index import index_of
from netdash.model.kernel_state import Drop
from netdash.model.packet import Flow
from netdash.model.relations import ref_of
from netdash.view.columns_engine import CONTAINERS, DRIFT, NETWORKS
from netdash.view.columns_flows import FLOWS, rule_of
from netdash.view.columns_kernel import DROPS, LINKS, ROUTES
from netdash.view.columns_ports import PORTS, PROXIES, RULES
from netdash.view.findings import HEALTH
from netdash.view.table import View

VIEWS: tuple[View, ...] = (CONTAINERS, PORTS, NETWORKS, RULES, ROUTES, PROXIES, LINKS, DRIFT, FLOWS, DROPS)
"""The lists, each also a command."""

PANES: tuple[View, ...] = (HEALTH, *VIEWS)
"""What the dashboard has, in the order of its tabs."""

BY_NAME: dict[str, View] = {view.name: view for view in PANES}

LINKED_VIEWS: Mapping[str, tuple[str, str, str]] = {
    "health": ("containers", "rules", "routes"),
    "containers": ("rules", "routes", "proxies"),
    "ports": ("containers", "rules", "proxies"),
    "networks": ("containers", "rules", "routes"),
    "rules": ("containers", "ports", "routes"),
    "routes": ("containers", "networks", "rules"),
    "proxies": ("containers", "ports", "rules"),
    "links": ("containers", "networks", "routes"),
    "drift": ("containers", "ports", "rules"),
    "flows": ("containers", "ports", "rules"),
    "drops": ("rules", "networks", "containers"),
}
"""The views that stand beside a view and list what belongs to its selection."""


# --- where a reference leads ------------------------------------------------------------------------------------------

VIEW_OF = {
    **{view.kind: view.name for view in PANES},
    "chain": "rules",
    "note": "rules",
    "policy": "routes",
    "neighbour": "links",
}
"""View by kind; an address has no row of its own and leads to whatever owns it."""


def destination(host: Host, ref: Ref) -> tuple[str, Ref] | None:
    """(view name, row) that `ref` leads to: a chain's first rule, an address's owner, a shared port's holder.
    None where this host has nothing of the kind, as for an address of the Internet."""
    if ref.kind == "address":
        found = _owner(host, ref.key)
    elif ref.kind == "chain":
        found = _first_rule(host, ref.key)
    elif ref.kind == "network":
        found = _network_row(host, ref.key)
    else:
        found = ref
    return (VIEW_OF[found.kind], found) if found and found.kind in VIEW_OF else None


def decides(host: Host, thing: object) -> Ref | None:
    """Of a connection the proxy that carries it or the rule that translates it; of lost packets the rule or the device;
    None of all else."""
    if isinstance(thing, Drop):
        return leads_to(host, thing)
    found = (thing.proxy or rule_of(host, thing)) if isinstance(thing, Flow) else None
    return ref_of(found) if found is not None else None


def _owner(host: Host, text: str) -> Ref | None:
    """A container before a link before a neighbour."""
    ip = address(text)
    if ip is None:
        return None
    container = index_of(host).owners.get(ip)
    if container is not None:
        return ref_of(container)
    for link in host.links or ():
        if any(own.ip == ip for own in link.addresses):
            return ref_of(link)
    return next((ref_of(neighbour) for neighbour in host.neighbours or () if neighbour.ip == ip), None)


def _first_rule(host: Host, key: str) -> Ref | None:
    """The chain's first rule; for an empty chain, the first that jumps there."""
    for chain in host.ruleset.chains if host.ruleset else ():
        if chain.rules and ref_of(chain).key == key:
            return ref_of(chain.rules[0])
    *where, name = key.split(" ", 3)
    for rule in host.ruleset.rules if host.ruleset else ():
        if rule.target.chain == name and [rule.backend, rule.family, rule.table] == where:
            return ref_of(rule)
    return None


def _network_row(host: Host, key: str) -> Ref | None:
    return Ref("network", key) if key in index_of(host).networks else None
