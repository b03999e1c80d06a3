"""What the engine shows of a change now: its containers, and what they need. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from netdash.apply import preflight
from netdash.engine.client import EngineClient
from netdash.engine.errors import Refused
from netdash.parse.json_values import items, mapping, text
from netdash.publish.journal import Journal
from netdash.publish.state import Opened
from netdash.publish.undo_check import Seen, Shown

Json = Mapping[str, Any]


def look(engine: EngineClient, journal: Journal) -> Seen:
    """Raises NetdashError where the engine does not say."""
    change = journal.change
    listed = [mapping(item) for item in items(engine.get("/containers/json", all="1"))]
    old = inspect(engine, change.old_id) if change.old_id else None
    new = new_container(engine, journal)
    source = old or new or change.settings
    return Seen(
        old=_shown(old),
        new=_shown(new),
        holder=next((shown for shown in every(engine) if shown.name == change.name), None),
        networks=tuple(_missing_networks(engine, {**change.endpoints, **_networks(old)})),
        volumes=tuple(_missing_volumes(engine, source)),
        image=_has_image(engine, journal, source),
        old_taken=tuple(_taken(listed, {id_of(old), id_of(new)}, _bound(old))),
        new_taken=tuple(_taken(listed, {id_of(old), id_of(new)}, _opened(change.add))),
    )


def inspect(engine: EngineClient, name: str) -> dict[str, Any] | None:
    """Of a container by its name or id; None where there is none."""
    try:
        found: dict[str, Any] = engine.get(f"/containers/{name}/json")
    except Refused as error:
        if error.status == 404:
            return None
        raise
    return found


def new_container(engine: EngineClient, journal: Journal) -> dict[str, Any] | None:
    """The inspect of the new container, which was created, or may have been; None where there is none."""
    created = journal.result("create")
    found = inspect(engine, created) if created else None
    if found is None and journal.change.temporary:
        found = inspect(engine, journal.change.temporary)
    return found


def id_of(found: Json | None) -> str:
    return str(found.get("Id", "")) if found else ""


def _shown(found: Json | None) -> Shown | None:
    if found is None:
        return None
    state = text(mapping(found.get("State")).get("Status")) or "?"
    return Shown(id_of(found), str(found.get("Name", "")).lstrip("/"), state)


def every(engine: EngineClient) -> tuple[Shown, ...]:
    """All containers, as listed."""
    listed = (mapping(item) for item in items(engine.get("/containers/json", all="1")))
    return tuple(
        Shown(str(one.get("Id", "")), str(name).lstrip("/"), text(one.get("State")) or "?")
        for one in listed
        for name in items(one.get("Names"))[:1]
    )


def _networks(found: Json | None) -> Mapping[str, Any]:
    return mapping(mapping((found or {}).get("NetworkSettings")).get("Networks"))


def _missing_networks(engine: EngineClient, wanted: Iterable[str]) -> Iterator[str]:
    there = {str(mapping(item).get("Name")) for item in items(engine.get("/networks"))}
    yield from (name for name in wanted if name not in there)


def _missing_volumes(engine: EngineClient, source: Json) -> Iterator[str]:
    for raw in items(source.get("Mounts")):
        mount = mapping(raw)
        name = text(mount.get("Name"))
        if mount.get("Type") == "volume" and name:
            try:
                engine.get(f"/volumes/{name}")
            except Refused as error:
                if error.status != 404:
                    raise
                yield name


def _has_image(engine: EngineClient, journal: Journal, source: Json) -> bool:
    """Of what the new container is created from."""
    change = journal.change
    name = change.image if change.kind == "run" else journal.result("commit") or str(source.get("Image", ""))
    return not name or preflight.has_image(engine, name)


def _bound(found: Json | None) -> set[tuple[str, int]]:
    """(protocol, host port) that a container's settings publish."""
    bindings = mapping(mapping((found or {}).get("HostConfig")).get("PortBindings"))
    pairs = set()
    for key, value in bindings.items():
        for item in items(value):
            number = str(mapping(item).get("HostPort", ""))
            if number.isascii() and number.isdigit() and int(number):
                pairs.add((str(key).partition("/")[2] or "tcp", int(number)))
    return pairs


def _opened(ports: Iterable[Opened]) -> set[tuple[str, int]]:
    return {(port.proto, port.host_port) for port in ports}


def _taken(listed: Iterable[Json], ours: set[str], wanted: set[tuple[str, int]]) -> Iterator[str]:
    """Sentences on running containers that publish one of these ports."""
    for one in listed:
        if str(one.get("Id", "")) in ours:
            continue
        held = {(str(port.get("Type")), port.get("PublicPort")) for port in map(mapping, items(one.get("Ports")))}
        name = str(next(iter(items(one.get("Names"))), "?")).lstrip("/")
        for proto, number in sorted(held & wanted, key=str):
            yield f"port {number}/{proto} is published by {name} meanwhile"
