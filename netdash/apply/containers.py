"""What the engine shows of a change now: its containers and what they need; and single changes of containers. Each may
be done again: it looks at what the engine has, and does what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from netdash.apply import preflight
from netdash.engine.client import EngineClient
from netdash.engine.errors import Refused
from netdash.model.numbers import port_and_protocol, port_number
from netdash.parse.json_values import integer, items, mapping, text
from netdash.publish.journal import Journal
from netdash.publish.state import Opened
from netdash.publish.undo import Seen, Shown

Json = dict[str, Any]


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


def id_of(found: Mapping[str, Any] | None) -> str:
    return str(found.get("Id", "")) if found else ""


def _shown(found: Mapping[str, Any] | None) -> Shown | None:
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


def _networks(found: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return mapping(mapping((found or {}).get("NetworkSettings")).get("Networks"))


def _missing_networks(engine: EngineClient, wanted: Iterable[str]) -> Iterator[str]:
    there = {str(mapping(item).get("Name")) for item in items(engine.get("/networks"))}
    yield from (name for name in wanted if name not in there)


def _missing_volumes(engine: EngineClient, source: Mapping[str, Any]) -> Iterator[str]:
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


def _has_image(engine: EngineClient, journal: Journal, source: Mapping[str, Any]) -> bool:
    """Of what the new container is created from."""
    change = journal.change
    name = change.image if change.kind == "run" else journal.result("commit") or str(source.get("Image", ""))
    return not name or preflight.has_image(engine, name)


def _bound(found: Mapping[str, Any] | None) -> set[tuple[str, int]]:
    """(protocol, host port) that a container's settings publish."""
    bindings = mapping(mapping((found or {}).get("HostConfig")).get("PortBindings"))
    pairs = set()
    for key, value in bindings.items():
        for item in items(value):
            number, port = port_number(str(mapping(item).get("HostPort", ""))), port_and_protocol(str(key))
            if number is not None and port is not None:
                pairs.add((port[1], number))
    return pairs


def _opened(ports: Iterable[Opened]) -> set[tuple[str, int]]:
    return {(port.proto, port.host_port) for port in ports}


def _taken(listed: Iterable[Mapping[str, Any]], ours: set[str], wanted: set[tuple[str, int]]) -> Iterator[str]:
    """Sentences on running containers that publish one of these ports."""
    for one in listed:
        if str(one.get("Id", "")) in ours:
            continue
        held = {(str(port.get("Type")), port.get("PublicPort")) for port in map(mapping, items(one.get("Ports")))}
        name = str(next(iter(items(one.get("Names"))), "?")).lstrip("/")
        for proto, number in sorted(held & wanted, key=str):
            yield f"port {number}/{proto} is published by {name} meanwhile"


# --- single changes ---------------------------------------------------------------------------------------------------


def name_of(inspect: Json | None) -> str:
    return str(inspect.get("Name", "")).lstrip("/") if inspect else ""


def set_restart(engine: EngineClient, identity: str, policy: tuple[str, int]) -> str:
    wanted = {"Name": policy[0], "MaximumRetryCount": policy[1]}
    engine.post(f"/containers/{identity}/update", {"RestartPolicy": wanted})
    return ""


def stop(engine: EngineClient, identity: str) -> None:
    found = inspect(engine, identity)
    if found is not None:
        patience = integer(mapping(found.get("Config")).get("StopTimeout"))
        engine.call("POST", f"/containers/{identity}/stop", limit=60.0 + (10 if patience is None else patience))


def rename(engine: EngineClient, identity: str, name: str) -> str:
    if name_of(inspect(engine, identity)) != name:
        engine.post(f"/containers/{identity}/rename", name=name)
    return ""


def remove(engine: EngineClient, path: str, **params: str) -> str:
    try:
        engine.delete(path, **params)
    except Refused as error:
        if error.status != 404:
            raise
    return ""


def kept_image(name: str, when: str) -> str:
    """The reference of an image that keeps a container's changes: a repository is lower case."""
    word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "container"
    return f"netdash-cli/kept/{word}:{when}"


def commit(engine: EngineClient, inspect: Json, image: str) -> str:
    """The image with what the stopped container wrote; "" where it wrote nothing, and its own image is here."""
    if preflight.changes(engine, inspect) == 0 and preflight.has_image(engine, str(inspect.get("Image", ""))):
        return ""
    repository, _, tag = image.rpartition(":")
    params = {"container": str(inspect["Id"]), "repo": repository, "tag": tag, "pause": "0"}
    engine.call("POST", "/commit", params=params, limit=3600.0)
    return image
