"""The steps of a change, each with what takes it back. Every one may be done again after it was interrupted: it looks
at what the engine has, and does what is missing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from netdash.apply import survey
from netdash.apply.proof import prove
from netdash.core.errors import Exit, NetdashError
from netdash.core.parse.decode import integer, mapping, text
from netdash.core.publish import payload
from netdash.core.publish.journal import Change, Journal
from netdash.engine.client import EngineClient
from netdash.engine.errors import Refused

Json = dict[str, Any]
Do = Callable[[EngineClient, Journal, str], str]
_STEADY = 3.0  # seconds that a container without a healthcheck must run
_ANSWER = 30.0  # seconds until its port must answer
_PULL = 300.0  # seconds of silence of a registry
_SECOND = 1_000_000_000  # of the API's durations
_PAUSE = 0.2


def _look(engine: EngineClient, name: str) -> Json | None:
    """Its inspect; None when there is none."""
    try:
        found: Json = engine.get(f"/containers/{name}/json")
    except Refused as error:
        if error.status == 404:
            return None
        raise
    return found


def _name(inspect: Json | None) -> str:
    return str(inspect.get("Name", "")).lstrip("/") if inspect else ""


def new_id(engine: EngineClient, journal: Journal) -> str:
    """Of the new container; "" when it does not exist."""
    found = _look(engine, journal.result("create") or journal.change.temporary)
    return str(found["Id"]) if found else ""


def _needed(engine: EngineClient, journal: Journal) -> str:
    identity = new_id(engine, journal)
    if not identity:
        raise NetdashError("the new container is gone", "netdash recover --rollback", Exit.REFUSED)
    return identity


# --- doing ------------------------------------------------------------------------------------------------------------


def _hold(engine: EngineClient, journal: Journal, _: str) -> str:
    """A dockerd that starts anew must not start the old one beside the new."""
    return _set_restart(engine, journal.change.old_id, ("no", 0))


def _set_restart(engine: EngineClient, identity: str, policy: tuple[str, int]) -> str:
    wanted = {"Name": policy[0], "MaximumRetryCount": policy[1]}
    engine.post(f"/containers/{identity}/update", {"RestartPolicy": wanted})
    return ""


def _stop(engine: EngineClient, journal: Journal, _: str) -> str:
    _stop_one(engine, journal.change.old_id)
    return ""


def _stop_one(engine: EngineClient, identity: str) -> None:
    inspect = _look(engine, identity)
    if inspect is not None:
        patience = integer(mapping(inspect.get("Config")).get("StopTimeout"))
        engine.call("POST", f"/containers/{identity}/stop", limit=60.0 + (10 if patience is None else patience))


def _commit(engine: EngineClient, journal: Journal, _: str) -> str:
    """The image with what the stopped container wrote; "" where it wrote nothing."""
    change = journal.change
    old = _look(engine, change.old_id)
    if old is None:
        raise NetdashError(f"the container {change.name} is gone", code=Exit.REFUSED)
    if survey.changes(engine, old) == 0:
        return ""
    repository, _, tag = change.image.rpartition(":")
    params = {"container": change.old_id, "repo": repository, "tag": tag, "pause": "0"}
    engine.call("POST", "/commit", params=params, limit=3600.0)
    return change.image


def _create(engine: EngineClient, journal: Journal, _: str) -> str:
    change = journal.change
    there = _look(engine, change.temporary)
    if there is None:
        body = _body_of_new(change) if change.kind == "run" else _body_of_equal(engine, journal)
        there = engine.call("POST", "/containers/create", body, {"name": change.temporary}, limit=120.0)
    return str(mapping(there)["Id"])


def _body_of_new(change: Change) -> Json:
    exposed: Json = {f"{one.container_port}/{one.proto}": {} for one in change.add}
    ports = payload.bindings({}, change.add, ())
    return {"Image": change.image, "ExposedPorts": exposed, "HostConfig": {"PortBindings": ports}}


def _body_of_equal(engine: EngineClient, journal: Journal) -> Json:
    change = journal.change
    old = _look(engine, change.old_id)
    if old is None:
        raise NetdashError(f"the container {change.name} is gone", code=Exit.REFUSED)
    image = journal.result("commit") or survey.image_reference(engine, old)
    borrowed, _ = survey.borrowed_from(engine, old)
    wanted = payload.Differences(
        image=image,
        image_config=survey.image_config(engine, image),
        add=change.add,
        drop=change.drop,
        restart=("no", 0),  # until it is known to be well
        borrowed=borrowed,
    )
    several = engine.api >= payload.BY_ENDPOINT
    ends = change.endpoints if several else {change.first: change.endpoints.get(change.first, {})}
    return payload.body(old, ends, wanted)


def _connect(engine: EngineClient, journal: Journal, network: str) -> str:
    identity = _needed(engine, journal)
    inspect = _look(engine, identity) or {}
    if network not in mapping(mapping(inspect.get("NetworkSettings")).get("Networks")):
        endpoint = dict(mapping(journal.change.endpoints.get(network)))
        engine.post(f"/networks/{network}/connect", {"Container": identity, "EndpointConfig": endpoint})
    return ""


def _part(engine: EngineClient, journal: Journal, _: str) -> str:
    return _rename(engine, journal.change.old_id, journal.change.backup)


def _name_new(engine: EngineClient, journal: Journal, _: str) -> str:
    return _rename(engine, _needed(engine, journal), journal.change.name)


def _rename(engine: EngineClient, identity: str, name: str) -> str:
    if _name(_look(engine, identity)) != name:
        engine.post(f"/containers/{identity}/rename", name=name)
    return ""


def _start(engine: EngineClient, journal: Journal, _: str) -> str:
    engine.call("POST", f"/containers/{_needed(engine, journal)}/start", limit=120.0)
    return ""


def _verify(engine: EngineClient, journal: Journal, _: str) -> str:
    """Healthy, or running for some seconds; and the port answers where one answered before."""
    identity = _needed(engine, journal)
    end = time.monotonic() + _health_limit(_look(engine, identity) or {})
    began = time.monotonic()
    while not _is_well(_look(engine, identity) or {}, time.monotonic() - began):
        if time.monotonic() > end:
            raise NetdashError(f"{journal.change.name} does not become healthy", code=Exit.REFUSED)
        time.sleep(_PAUSE)
    if journal.change.answers:
        for one in prove(journal.change.add, _ANSWER):
            if one.works is False:
                raise NetdashError(one.sentence, code=Exit.REFUSED)
    return ""


def _is_well(inspect: Json, running_for: float) -> bool:
    """Raises NetdashError for a container that will not become well."""
    state = mapping(inspect.get("State"))
    name = _name(inspect) or "the new container"
    if state.get("Running") is not True or state.get("Restarting") is True:
        raise NetdashError(f"{name} ended with exit code {state.get('ExitCode')}", f"docker logs {name}", Exit.REFUSED)
    health = text(mapping(state.get("Health")).get("Status"))
    if health == "unhealthy":
        raise NetdashError(f"{name} is unhealthy", f"docker inspect {name}", Exit.REFUSED)
    return health == "healthy" if health not in (None, "none") else running_for >= _STEADY


def _health_limit(inspect: Json) -> float:
    """Seconds until its healthcheck has said yes, or no often enough; Docker's own defaults where it has none."""
    check = mapping(mapping(inspect.get("Config")).get("Healthcheck"))
    interval, limit, start = (
        (integer(check.get(key)) or default * _SECOND) / _SECOND
        for key, default in (("Interval", 30), ("Timeout", 30), ("StartPeriod", 0))
    )
    return 30.0 + start + (integer(check.get("Retries")) or 3) * (interval + limit)


def _release(engine: EngineClient, journal: Journal, _: str) -> str:
    return _set_restart(engine, _needed(engine, journal), journal.change.restart)


def pull(engine: EngineClient, image: str) -> Iterator[Mapping[str, object]]:
    """Not journaled: an image that came for nothing is in nobody's way. The engine's own progress, a JSON object each:
    `status`, `id` of a layer, `progressDetail` with `current` and `total` bytes. Raises NetdashError with what the
    registry said."""
    name, _, tag = image.partition("@")[0].rpartition(":")
    if not name or "/" in tag or "@" in image:
        name, tag = image, "" if "@" in image else "latest"
    params = {"fromImage": name, **({"tag": tag} if tag else {})}
    try:
        for event in engine.lines("POST", "/images/create", _PULL, **params):
            if event.get("error"):
                raise NetdashError(f"{image} cannot be pulled: {event['error']}", code=Exit.REFUSED)
            yield event
    except Refused as error:
        raise NetdashError(f"{image} cannot be pulled: {error.message}", code=Exit.REFUSED) from error


# --- taking back ------------------------------------------------------------------------------------------------------


def _keep(_: EngineClient, __: Journal, ___: str) -> str:
    """Nothing is left of it once the others are taken back."""
    return ""


def _unhold(engine: EngineClient, journal: Journal, _: str) -> str:
    return _set_restart(engine, journal.change.old_id, journal.change.restart)


def _unstop(engine: EngineClient, journal: Journal, _: str) -> str:
    engine.call("POST", f"/containers/{journal.change.old_id}/start", limit=120.0)
    return ""


def _uncommit(engine: EngineClient, journal: Journal, _: str) -> str:
    return _gone(engine, f"/images/{journal.change.image}")


def _uncreate(engine: EngineClient, journal: Journal, _: str) -> str:
    """The volumes stay: they are the old container's. Those of a container that never had a forerunner go with it."""
    identity = new_id(engine, journal) or journal.change.temporary
    volumes = "1" if journal.change.kind == "run" else "0"
    return _gone(engine, f"/containers/{identity}", force="1", v=volumes)


def _gone(engine: EngineClient, path: str, **params: str) -> str:
    try:
        engine.delete(path, **params)
    except Refused as error:
        if error.status != 404:
            raise
    return ""


def _unpart(engine: EngineClient, journal: Journal, _: str) -> str:
    return _rename(engine, journal.change.old_id, journal.change.name)


def _unname(engine: EngineClient, journal: Journal, _: str) -> str:
    identity = new_id(engine, journal)
    return _rename(engine, identity, journal.change.temporary) if identity else ""


def _unstart(engine: EngineClient, journal: Journal, _: str) -> str:
    _stop_one(engine, new_id(engine, journal) or journal.change.temporary)
    return ""


STEPS: dict[str, tuple[Do, Do]] = {
    "hold": (_hold, _unhold),
    "stop": (_stop, _unstop),
    "commit": (_commit, _uncommit),
    "create": (_create, _uncreate),
    "connect": (_connect, _keep),
    "part": (_part, _unpart),
    "name": (_name_new, _unname),
    "start": (_start, _unstart),
    "verify": (_verify, _keep),
    "release": (_release, _keep),
}
"""By the word before the colon: (do, take back). What is after the colon is their last argument."""


def remove_old(engine: EngineClient, journal: Journal) -> None:
    """The last step, that nothing takes back: its volumes stay. Raises NetdashError unless the new one runs."""
    inspect = _look(engine, _needed(engine, journal)) or {}
    _is_well(inspect, _STEADY)
    _gone(engine, f"/containers/{journal.change.old_id}", v="0", force="0")


def kept_image(name: str, when: str) -> str:
    """The reference of an image that keeps a container's changes: a repository is lower case."""
    word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "container"
    return f"netdash-kept/{word}:{when}"
