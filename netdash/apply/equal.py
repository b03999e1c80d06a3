"""The change that makes a container anew, as its journal will have it: its steps, and all that they need."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from netdash.apply import preflight
from netdash.apply.containers import kept_image
from netdash.engine.client import EngineClient
from netdash.model.errors import NetdashError
from netdash.parse.json_values import items, mapping
from netdash.publish import payload
from netdash.publish.journal import Change
from netdash.publish.state import Opened


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an equal of a container shall differ from it."""

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


def equal(engine: EngineClient, inspect: dict[str, Any], wanted: Wanted) -> Change:
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
