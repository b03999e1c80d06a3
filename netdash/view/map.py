"""How a host is wired, as facts: where the Internet is, who publishes what by which rule or proxy, what stops it, by
what each network leaves. Draws nothing: `map_lines` does. The verdicts are those of the list of containers."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TypeVar

from netdash.kernel.routing import entrance
from netdash.model.errors import Exit as Code
from netdash.model.errors import NetdashError
from netdash.model.finding import Finding, Mark, worst
from netdash.model.host import IP, Container, Endpoint, Host, Network, Port, Proxy, Route, Rule
from netdash.model.index import index_of, sharing
from netdash.model.records import dataclass, replace
from netdash.model.relations import ref_of
from netdash.model.source import SOURCES
from netdash.trace.summary import Outbound, outbound
from netdash.view import formatting, marks
from netdash.view.json_host import SCHEMA, Json, unknown
from netdash.view.map_wires import CALM, Exit, Known, Stop, Wire, alike, exits_of, order, taken_by, wires
from netdash.view.table import Column, Filter, Row
from netdash.view.text import Span

FILTERED = (Column("container", ""), Column("network", ""), Column("ports", ""), Column("by", ""), Column("why", ""))
"""What the filter finds a container by."""


class Kind(Enum):
    """What a block stands for; in the order in which calm ones are drawn."""

    NETWORK = "network"
    HOST = "host"
    USER_SPACE = "user space"
    NONE = "none"
    STOPPED = "not running"


@dataclass(frozen=True, slots=True)
class Uplink:
    """Where this host meets the Internet, of one address family."""

    family: int
    device: str
    own: IP | None
    route: Route | None  # the default route by it; None: there is none, or it is not known


@dataclass(frozen=True, slots=True)
class Member:
    """A container at the one place where it is counted. `end`: how it is attached there."""

    container: Container
    mark: Mark | None
    end: Endpoint | None
    wires: tuple[Wire, ...] = ()
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A network and who is on it, or a place that is no network. `guests` are counted on another network."""

    kind: Kind
    name: str
    network: Network | None
    members: tuple[Member, ...]
    exits: tuple[Exit, ...] = ()
    guests: tuple[Container, ...] = ()

    @property
    def counts(self) -> Mapping[Mark | None, int]:
        return Counter(member.mark for member in self.members)

    @property
    def mark(self) -> Mark:
        return worst(*(member.mark for member in self.members if member.mark is not None))


@dataclass(frozen=True, slots=True)
class Map:
    """`blocks`: those in trouble first. `empty`: networks without containers. None: the containers are not known."""

    host: Host
    uplinks: tuple[Uplink, ...]
    blocks: tuple[Block, ...] | None
    empty: tuple[Network, ...] = ()

    @property
    def counts(self) -> Mapping[Mark | None, int]:
        found: Counter[Mark | None] = Counter()
        for block in self.blocks or ():
            found.update(block.counts)
        return found


# --- made of a host ---------------------------------------------------------------------------------------------------

Result = TypeVar("Result")


def made(steps: Generator[None, None, Result]) -> Result:
    """Steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Result = stop.value
            return result


def mapping(host: Host) -> Generator[None, None, Map]:
    """The map of a host, in steps of a few traces each."""
    uplinks = tuple(default_uplinks(host))
    if host.containers is None:
        return Map(host, uplinks, None)
    known: Known = {}
    homes: dict[tuple[Kind, str], list[Member]] = {}
    exits: dict[str, list[Exit]] = {}
    for container in host.containers:
        ways = outbound(host, container) if container.running else ()
        kind, name, end = _home(host, container, ways)
        homes.setdefault((kind, name), []).append(_member(host, container, end, known))
        for exit_ in exits_of(host, container, ways):
            exits.setdefault(exit_.path.network, []).append(exit_)
        yield
    blocks = [_block(host, kind, name, members, exits.get(name, ())) for (kind, name), members in homes.items()]
    named = {block.name for block in blocks if block.kind is Kind.NETWORK}
    guests = _guests(homes)
    blocks = [replace(block, guests=tuple(guests.pop(block.name, ()))) for block in blocks]
    blocks += [
        replace(_block(host, Kind.NETWORK, name, (), exits.get(name, ())), guests=tuple(found))
        for name, found in guests.items()
    ]
    used = named | {block.name for block in blocks}
    empty = tuple(
        network
        for network in host.networks or ()
        if network.name not in used and network.driver not in ("host", "null")
    )
    return Map(host, uplinks, tuple(sorted(blocks, key=_rank)), empty)


def default_uplinks(host: Host) -> Iterator[Uplink]:
    for family in (4, 6):
        device, own = entrance(family, host.links, host.routes)
        if device is not None:
            routes = (
                route
                for route in sorted(host.routes or (), key=lambda route: route.metric)
                if (route.family, route.table, route.dev, route.default) == (family, "main", device, True)
            )
            yield Uplink(family, device, own, next(routes, None))


def _rank(block: Block) -> tuple[object, ...]:
    """In trouble first, then with published ports, then many before few."""
    calm = block.mark in CALM
    wired = any(member.wires for member in block.members)
    kinds = list(Kind)
    return (
        calm,
        0 if calm else marks.rank(block.mark),
        kinds.index(block.kind),
        not wired,
        -len(block.members),
        block.name,
    )


def _home(host: Host, container: Container, ways: Sequence[Outbound]) -> tuple[Kind, str, Endpoint | None]:
    """Where a container is counted: on the network of its first published port, else on that of its way out."""
    if not container.running:
        return Kind.STOPPED, Kind.STOPPED.value, None
    owner = sharing(host, container)
    if owner.network_mode == "host":
        return Kind.HOST, "host", None
    if owner.user_space:
        return Kind.USER_SPACE, owner.user_space, None
    ends = [end for end in owner.endpoints if end.addresses]
    if not ends:
        return Kind.NONE, "none", None
    targets = {port.target_ip for port in index_of(host).ports(owner.id) if port.live}
    published = [end for end in ends if any(own.ip in targets for own in end.addresses)]
    default = [end for end in ends if any(way.network == end.network and way.default for way in ways)]
    end = (*published, *default, *ends)[0]
    return Kind.NETWORK, end.network, end


def _guests(homes: Mapping[tuple[Kind, str], Sequence[Member]]) -> dict[str, list[Container]]:
    """By network: who is on it too, and counted elsewhere."""
    found: dict[str, list[Container]] = {}
    for (kind, name), members in homes.items():
        for member in members if kind is Kind.NETWORK else ():
            for end in member.container.endpoints:
                if end.network != name and end.addresses:
                    found.setdefault(end.network, []).append(member.container)
    return found


def _block(host: Host, kind: Kind, name: str, members: Sequence[Member], exits: Iterable[Exit]) -> Block:
    network = (
        next((network for network in host.networks or () if network.name == name), None)
        if kind is Kind.NETWORK
        else None
    )
    ordered = sorted(members, key=lambda member: (order(member.mark), not member.wires, member.container.name))
    return Block(kind, name, network, tuple(ordered), tuple(alike(exits)))


def _member(host: Host, container: Container, end: Endpoint | None, known: Known) -> Member:
    standing = marks.standing_of(host, container)
    mark = None if standing is None else worst(standing.inwards, standing.outwards)
    found = tuple(wires(host, container, known)) if container.running else ()
    return Member(container, mark, end, found, marks.finding_of(host, standing))


# --- parts of it ------------------------------------------------------------------------------------------------------


def matching(drawn: Map, wanted: Filter) -> Map:
    """Only the containers that the filter leaves, and what they leave by."""
    blocks: list[Block] = []
    for block in drawn.blocks or ():
        members = tuple(member for member in block.members if wanted.matches(_searched(block, member)))
        ids = {member.container.id for member in members}
        exits = tuple(
            replace(exit_, containers=left)
            for exit_ in block.exits
            if (left := tuple(container for container in exit_.containers if container.id in ids))
        )
        if members:
            blocks.append(replace(block, members=members, exits=exits, guests=()))
    return replace(drawn, blocks=None if drawn.blocks is None else tuple(blocks), empty=())


def _searched(block: Block, member: Member) -> Row:
    one = member.container
    ports = " ".join(formatting.run_text(run) for wire in member.wires for run in formatting.fold(wire.ports))
    by = [by.place if isinstance(by, Rule) else str(by.pid) for wire in member.wires if (by := wire.by) is not None]
    why = [wire.stop.text for wire in member.wires if wire.stop is not None]
    why += [member.finding.sentence] if member.finding is not None else []
    cells = (one.name, block.name, ports, " ".join(by), " ".join(why))
    return Row(ref_of(one), tuple(map(Span, cells)), tags=marks.tags(member.mark, member.finding))


def named(drawn: Map, name: str) -> Map:
    """One network by its name or the start of its id, or one of the places that are none: host, none, not running.
    Raises NetdashError where there is none."""
    blocks = drawn.blocks or ()
    found = [block for block in blocks if block.name == name] or [
        block for block in blocks if name and block.network is not None and block.network.id.startswith(name)
    ]
    empty = tuple(network for network in drawn.empty if name and (network.name == name or network.id.startswith(name)))
    if not found and not empty and drawn.blocks is not None:
        near = difflib.get_close_matches(
            name[:256], [*(block.name for block in blocks), *(network.name for network in drawn.empty)], 3, 0.4
        )
        hint = f"did you mean {', '.join(near)}?" if near else "see: netdash networks"
        raise NetdashError(f"no network {name!r}", hint, Code.USAGE)
    return replace(drawn, blocks=tuple(found) if drawn.blocks is not None else None, empty=empty)


# --- JSON -------------------------------------------------------------------------------------------------------------


def json(drawn: Map) -> Json:
    """A list of networks and other places, null where the containers are not known. A verdict is a word of the one
    alphabet, null: not worked out."""
    return {
        "schema": SCHEMA,
        "uplinks": [_json_uplink(uplink) for uplink in drawn.uplinks],
        "networks": None if drawn.blocks is None else [_json_block(block) for block in drawn.blocks],
        "empty": [network.name for network in drawn.empty],
        "unknown": unknown(drawn.host, sorted(SOURCES)),
    }


def _json_uplink(uplink: Uplink) -> Json:
    gateway = uplink.route.gateway if uplink.route is not None else None
    return {
        "family": uplink.family,
        "device": uplink.device,
        "address": str(uplink.own) if uplink.own is not None else None,
        "gateway": str(gateway) if gateway is not None else None,
    }


def _json_block(block: Block) -> Json:
    network = block.network
    return {
        "name": block.name,
        "kind": block.kind.value,
        "driver": network.driver if network is not None else None,
        "subnets": [str(net) for net in network.subnets] if network is not None else None,
        "bridge": network.bridge if network is not None else None,
        "internal": network.internal if network is not None else None,
        "containers": [_json_member(member) for member in block.members],
        "also": [container.name for container in block.guests],
        "out": [_json_exit(exit_) for exit_ in block.exits],
    }


def _json_member(member: Member) -> Json:
    addresses = [str(own.ip) for own in member.end.addresses] if member.end is not None else []
    return {
        "id": member.container.short_id,
        "name": member.container.name,
        "state": member.container.state,
        "verdict": _word(member.mark),
        "addresses": addresses,
        "why": member.finding.sentence if member.finding is not None else None,
        "in": [_json_wire(wire) for wire in member.wires],
    }


def _json_wire(wire: Wire) -> Json:
    return {
        "verdict": _word(wire.mark),
        **_json_stop(wire.stop),
        "finding": wire.finding.sentence if wire.finding is not None else None,
        "ports": [_json_port(port) for port in wire.ports],
    }


def _json_port(port: Port) -> Json:
    by = taken_by(port)
    return {
        "proto": port.proto,
        "host_ip": str(port.host_ip),
        "host_port": port.host_port,
        "container_port": port.container_port,
        "rule": by.place if isinstance(by, Rule) else None,
        "proxy": by.pid if isinstance(by, Proxy) else None,
    }


def _json_stop(stop: Stop | None) -> dict[str, object]:
    """What stands against it, and the rule that decides."""
    rule = stop.rule.place if stop is not None and stop.rule is not None else None
    return {"stopped": stop.text if stop is not None else None, "stopped_by": rule}


def _json_exit(exit_: Exit) -> Json:
    ways = [way for way in (exit_.path, exit_.path6) if way is not None]
    return {
        "containers": [container.name for container in exit_.containers],
        "verdict": _word(exit_.mark),
        **_json_stop(exit_.stop),
        "finding": exit_.finding.sentence if exit_.finding is not None else None,
        "leaves": exit_.path.leaves.value,
        "as": [str(way.leaves_as) for way in ways if way.leaves_as is not None],
        "rules": [way.nat.place for way in ways if way.nat is not None],
        "device": exit_.path.uplink.name if exit_.path.uplink is not None else None,
    }


def _word(mark: Mark | None) -> str | None:
    return mark.value if mark is not None else None
