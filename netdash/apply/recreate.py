"""The change that makes a container anew, as its journal will have it: its steps, and all that they need. And the steps
of the containers that use its network namespace."""

from __future__ import annotations

import secrets
import time
from typing import Any

from netdash.apply import preflight
from netdash.apply.containers import (
    Json,
    commit,
    id_of,
    inspect,
    kept_image,
    name_of,
    new_container,
    remove,
    rename,
    stop,
)
from netdash.engine.client import EngineClient
from netdash.model.errors import NetdashError
from netdash.model.records import dataclass
from netdash.parse.json_values import items, mapping
from netdash.publish import payload
from netdash.publish.journal import Change, Journal
from netdash.publish.state import Opened


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
