"""What no single packet shows. A check asks one subject of the host and yields what is wrong; what it needs and was not
read is not checked, and said so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from netdash.doctor.candidate import Candidate
from netdash.doctor.checks import (
    addresses,
    connections,
    containers,
    exposure,
    limits,
    links,
    meant,
    ports,
    rules,
    subnets,
)
from netdash.join.derived import derived
from netdash.model.host import Host
from netdash.model.records import replace
from netdash.model.source import Source

Check = Callable[[Host], Iterator[Candidate]]


class Needs(NamedTuple):
    """`of`: what of a host was read, under the name that a user knows; None or empty where nothing was."""

    name: str
    read: Callable[[Host], bool]


_ENGINE = Needs(Source.DOCKER, lambda host: host.containers is not None)
_NETWORKS = Needs("networks", lambda host: host.networks is not None)
_RULES = Needs(Source.RULES, lambda host: host.ruleset is not None and host.ruleset.complete)
_DRIFT = Needs("drift", lambda host: host.drift is not None)
_ROUTES = Needs(Source.ROUTES, lambda host: host.routes is not None)
_LINKS = Needs(Source.LINKS, lambda host: host.links is not None)
_LISTENERS = Needs(Source.LISTENERS, lambda host: host.listeners is not None)
_PROXIES = Needs(Source.PROXIES, lambda host: host.proxies is not None)
_SYSCTLS = Needs(Source.SYSCTLS, lambda host: host.sysctls is not None)
_CONNTRACK = Needs(Source.FLOWS, lambda host: host.flows is not None)
_COUNTS = Needs("conntrack counters", lambda host: host.conntrack_counts is not None)
_QDISCS = Needs("tc", lambda host: host.qdiscs is not None)
_INSIDE = Needs(
    Source.INSIDE,
    lambda host: all(
        container.inside is not None and container.inside.links is not None
        for container in host.containers or ()
        if container.running and container.network_mode != "host"
    ),
)
_POOLS = Needs("address pools", lambda host: host.engine is not None and host.engine.pools is not None)

CHECKS: tuple[tuple[Check, tuple[Needs, ...]], ...] = (
    (containers.check, (_ENGINE,)),
    (containers.check_engine_gone, (_RULES, _LISTENERS, _PROXIES)),
    (limits.check_conntrack, (_SYSCTLS,)),
    (limits.check_inserts, (_COUNTS,)),
    (limits.check_ephemeral, (_CONNTRACK, _INSIDE)),
    (subnets.check_overlaps, (_NETWORKS, _ROUTES)),
    (subnets.check_public, (_NETWORKS,)),
    (subnets.check_pools, (_POOLS, _NETWORKS, _ROUTES)),
    (subnets.check_addresses_left, (_NETWORKS, _ENGINE)),
    (rules.check_drift, (_DRIFT,)),
    (ports.check_taken, (_ENGINE, _LISTENERS)),
    (ports.check_proxies, (_PROXIES, _LISTENERS)),
    (ports.check_ignored, (_ENGINE, _LISTENERS)),
    (ports.check_loopback, (_ENGINE,)),
    (ports.check_unpublished, (_ENGINE,)),
    (addresses.check, (_ENGINE, _INSIDE)),
    (connections.check_stale_udp, (_CONNTRACK,)),
    (connections.check_loopback_services, (_CONNTRACK, _LISTENERS)),
    (connections.check_unanswered, (_CONNTRACK, _ENGINE)),
    (connections.check_gone, (_CONNTRACK, _NETWORKS)),
    (connections.check_untranslated, (_CONNTRACK, _NETWORKS)),
    (connections.check_extra_hosts, (_ENGINE, _NETWORKS)),
    (exposure.check_firewall, (_RULES, _ROUTES)),
    (exposure.check_loopback, (_RULES, _ROUTES)),
    (exposure.check_unpublished, (_RULES, _INSIDE)),
    (exposure.check_direct, (_RULES,)),
    (addresses.check_router_advertisements, (_SYSCTLS, _ROUTES)),
    (addresses.check_published, (_RULES, _LISTENERS)),
    (links.check_queues, (_QDISCS,)),
    (links.check_bridges, (_LINKS, _SYSCTLS)),
    (meant.check, (_NETWORKS,)),
    (links.check_mtu, (_LINKS, _ROUTES, _RULES)),
    (containers.check_names, (_INSIDE,)),
    (rules.check_tables, (_RULES,)),
    (rules.check_clients, (_RULES, _ROUTES)),
)


def candidates(host: Host) -> Iterator[Candidate]:
    """Of all checks. A check of which a part was not read may still find something in what was."""
    for check, needs in CHECKS:
        again = partial(_again, check, needs, host)
        for found in check(host):
            yield replace(found, again=again)


def _again(check: Check, needs: tuple[Needs, ...], before: Host, after: Host) -> Iterator[Candidate] | None:
    """What the check finds on the changed host; None where it is not told there what it was told before."""
    after = derived(after) if _DRIFT in needs else after
    blind = any(need.read(before) and not need.read(after) for need in needs)
    return None if blind else check(after)


def not_checked(host: Host) -> dict[str, str]:
    """What the checks needed and could not read: source -> reason."""
    needed = {need.name: need for _, needs in CHECKS for need in needs}
    return {name: _reason(host, name) for name, need in needed.items() if not need.read(host)}


def _reason(host: Host, name: str) -> str:
    parts = (failure.reason for source, failure in host.failures.items() if source.partition(":")[0] == name)
    return ", ".join(dict.fromkeys(parts)) or "not read"
