"""What the engine shows of a change now: its containers and what they need; single changes of containers; and the
change that makes a container anew, as its journal will have it, with the steps of those that use its network namespace.

Each may be done again: it looks at what the engine has, and does what is missing."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from netdash.apply import preflight
from netdash.engine.client import EngineClient
from netdash.engine.errors import Refused
from netdash.model.errors import NetdashError
from netdash.model.numbers import port_and_protocol, port_number
from netdash.model.records import dataclass
from netdash.parse.json_values import integer, items, mapping, text
from netdash.publish import payload
from netdash.publish.journal import Change, Journal, Opened
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
        Shown(str(value.get("Id", "")), str(name).lstrip("/"), text(value.get("State")) or "?")
        for value in listed
        for name in items(value.get("Names"))[:1]
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
    for value in listed:
        if str(value.get("Id", "")) in ours:
            continue
        held = {(str(port.get("Type")), port.get("PublicPort")) for port in map(mapping, items(value.get("Ports")))}
        name = str(next(iter(items(value.get("Names"))), "?")).lstrip("/")
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


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the new container differs from the old one."""

    address: str
    name: str
    add: tuple[Opened, ...] = ()
    drop: tuple[Opened, ...] = ()
    restart: tuple[str, int] = ("", 0)
    discard: bool = False
    answers: bool = False
    grace: float = 0.0
    followers: tuple[str, ...] = ()  # ids of the containers in its network namespace
    stop_seconds: int | None = None  # as planned


def recreation(engine: EngineClient, inspect: dict[str, Any], wanted: Wanted) -> Change:
    """The change that makes the container anew."""
    ends = payload.endpoints(inspect, engine.api)
    first = payload.first_network(inspect)
    held = wanted.restart[0] not in ("", "no")
    steps = [
        *(["hold"] if held else []),
        *(f"park:{identity}" for identity in wanted.followers),
        "stop",
        *([] if wanted.discard else ["commit"]),
        "create",
        *(f"connect:{network}" for network in ends if network != first),
        *("part", "name", "start", "verify"),
        *(["release"] if held else []),
        *(f"follow:{identity}" for identity in wanted.followers),
    ]
    now = time.time()
    when = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return Change(
        id=fresh(now),
        kind="recreate",
        engine=wanted.address,
        name=wanted.name,
        steps=tuple(steps),
        created=now,
        add=wanted.add,
        drop=wanted.drop,
        old_id=str(inspect["Id"]),
        backup=f"{wanted.name}.netdash-{when}",
        temporary=f"{wanted.name}.netdash-{when}-new",
        image=kept_image(wanted.name, when),
        discard=wanted.discard,
        restart=wanted.restart,
        endpoints=ends,
        first=first,
        answers=wanted.answers,
        grace=wanted.grace,
        settings=payload.settings(inspect),
        environment=_has_environment(engine, inspect),
        stop_seconds=wanted.stop_seconds,
    )


def _has_environment(engine: EngineClient, inspect: dict[str, Any]) -> bool:
    """Whether it has values that its image does not have: those are written down nowhere."""
    try:
        theirs = items(preflight.image_config(engine, str(inspect.get("Image", ""))).get("Env"))
    except NetdashError:
        return True
    return not set(map(str, items(mapping(inspect.get("Config")).get("Env")))) <= set(map(str, theirs))


def fresh(now: float) -> str:
    return f"{int(now)}-{secrets.token_hex(4)}"


# --- containers that use its network namespace ------------------------------------------------------------------------
# They would be left with nothing but `lo`: they are stopped before it, and made anew in the new one's namespace. What
# is after the step's colon is their id.

_STOPPED = "stopped"  # the result of `park` for one that did not run: it is not started either


def park(engine: EngineClient, journal: Journal, identity: str) -> str:
    """Stop it, and give its name free."""
    found = inspect(engine, identity)
    if found is None:
        return ""
    begun = journal.change.steps.index(f"park:{identity}") in journal.begun
    running = mapping(found.get("State")).get("Running") is True
    stop(engine, identity)
    name = name_of(found)
    if not name.endswith(_suffix(journal.change)):
        rename(engine, identity, name + _suffix(journal.change))
    return "" if running or begun else _STOPPED


def unpark(engine: EngineClient, journal: Journal, identity: str) -> str:
    """It runs again, in the namespace of the old container, which runs by now."""
    found = inspect(engine, identity)
    if found is None:
        return ""
    rename(engine, identity, name_of(found).removesuffix(_suffix(journal.change)))
    if journal.result(f"park:{identity}") != _STOPPED:
        stop(engine, identity)
        engine.call("POST", f"/containers/{identity}/start", limit=120.0)
    return ""


def follow(engine: EngineClient, journal: Journal, identity: str) -> str:
    """Its recreation in the namespace of the new container."""
    old = inspect(engine, identity)
    if old is None:
        return ""
    made = id_of(_new(engine, journal, old))
    if not made:
        body = _body(engine, journal, old)
        name = name_of(old).removesuffix(_suffix(journal.change))
        made = id_of(engine.call("POST", "/containers/create", body, {"name": name}, limit=120.0))
    if journal.result(f"park:{identity}") != _STOPPED:
        stop(engine, made)  # one that was started in the namespace of a new container that is gone by now
        engine.call("POST", f"/containers/{made}/start", limit=120.0)
    return made


def unfollow(engine: EngineClient, journal: Journal, identity: str) -> str:
    old = inspect(engine, identity)
    made = id_of(_new(engine, journal, old)) if old else ""
    if made:
        remove(engine, f"/containers/{made}", force="1", v="0")
    if old:
        remove(engine, f"/images/{_image(journal.change, old)}")
    return ""


def remove_parked(engine: EngineClient, journal: Journal) -> None:
    """When the old container goes."""
    for step in journal.change.steps:
        word, _, identity = step.partition(":")
        if word == "park":
            remove(engine, f"/containers/{identity}", force="0", v="0")


def _suffix(change: Change) -> str:
    return change.backup.removeprefix(change.name)


def _new(engine: EngineClient, journal: Journal, old: Json) -> Json | None:
    made = journal.result(f"follow:{id_of(old)}")
    name = name_of(old).removesuffix(_suffix(journal.change))
    found = inspect(engine, made or name)
    return None if id_of(found) == id_of(old) else found


def _image(change: Change, old: Json) -> str:
    return kept_image(name_of(old).removesuffix(_suffix(change)), change.backup.rpartition(".netdash-")[2])


def _body(engine: EngineClient, journal: Journal, old: Json) -> Json:
    image = commit(engine, old, _image(journal.change, old)) or preflight.image_reference(engine, old)
    borrowed, _ = preflight.borrowed_from(engine, old)
    wanted = payload.Differences(
        image=image,
        image_config=preflight.image_config(engine, image),
        restart=payload.restart_policy(old),
        borrowed=borrowed,
    )
    body = payload.body(old, {}, wanted)
    body["HostConfig"]["NetworkMode"] = f"container:{id_of(new_container(engine, journal))}"
    for key in ("Hostname", "Domainname", "ExposedPorts", "MacAddress"):
        body.pop(key, None)  # the engine refuses them for one without a network of its own
    return body
