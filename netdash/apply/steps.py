"""The steps of a change, each with what takes it back. Every one may be done again after it was interrupted: it looks
at what the engine has, and does what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from netdash.apply import containers, preflight
from netdash.apply.containers import commit, id_of, name_of, new_container, remove, rename, set_restart, stop
from netdash.apply.containers import inspect as look
from netdash.apply.probe_socket import prove
from netdash.engine.client import EngineClient
from netdash.engine.errors import Refused
from netdash.model.errors import Exit, NetdashError
from netdash.parse.json_values import integer, mapping, text
from netdash.publish import payload
from netdash.publish.journal import Change, Journal

Json = dict[str, Any]
Do = Callable[[EngineClient, Journal, str], str]
_STEADY = 3.0  # seconds that a container without a healthcheck must run
_ANSWER = 30.0  # seconds until its port must answer
_PULL = 300.0  # seconds of silence of a registry
_SECOND = 1_000_000_000  # of the API's durations
_PAUSE = 0.2


def new_id(engine: EngineClient, journal: Journal) -> str:
    """Of the new container; "" when it does not exist."""
    return id_of(new_container(engine, journal))


def _needed(engine: EngineClient, journal: Journal) -> str:
    identity = new_id(engine, journal)
    if not identity:
        raise NetdashError("the new container is gone", "netdash recover", Exit.REFUSED)
    return identity


def _old(engine: EngineClient, journal: Journal) -> Json | None:
    identity = journal.change.old_id
    return look(engine, identity) if identity else None


# --- doing ------------------------------------------------------------------------------------------------------------


def _hold(engine: EngineClient, journal: Journal, _: str) -> str:
    """A dockerd that starts anew must not start the old one beside the new."""
    return set_restart(engine, journal.change.old_id, ("no", 0)) if _old(engine, journal) else ""


def _stop(engine: EngineClient, journal: Journal, _: str) -> str:
    if journal.source and not _old(engine, journal):
        raise NetdashError(f"{journal.change.name} was removed by somebody else", code=Exit.REFUSED)
    stop(engine, journal.change.old_id)
    return ""


def _commit(engine: EngineClient, journal: Journal, _: str) -> str:
    """The image with what the stopped container wrote; "" where it wrote nothing."""
    change = journal.change
    old = _old(engine, journal)
    if old is None:
        return ""  # somebody removed it, and what it wrote with it
    return commit(engine, old, change.image)


def _create(engine: EngineClient, journal: Journal, _: str) -> str:
    change = journal.change
    there = new_container(engine, journal)
    if there is None:
        body = _body_of_new(change) if change.kind == "run" else _body_of_equal(engine, journal)
        there = engine.call("POST", "/containers/create", body, {"name": change.temporary}, limit=120.0)
    return str(mapping(there)["Id"])


def _body_of_new(change: Change) -> Json:
    exposed: Json = {f"{opened.container_port}/{opened.proto}": {} for opened in change.add}
    ports = payload.bindings({}, change.add, ())
    return {"Image": change.image, "ExposedPorts": exposed, "HostConfig": {"PortBindings": ports}}


def _body_of_equal(engine: EngineClient, journal: Journal) -> Json:
    """As the old one is; where somebody removed it, as it was when the change began."""
    change = journal.change
    settings = None if change.environment else change.settings
    old = _old(engine, journal) or dict(journal.source or settings or {})
    if not old:
        raise NetdashError(f"{change.name} is gone, and its environment is not known", code=Exit.REFUSED)
    image = journal.result("commit") or preflight.image_reference(engine, old)
    borrowed, _ = preflight.borrowed_from(engine, old)
    wanted = payload.Differences(
        image=image,
        image_config=preflight.image_config(engine, image),
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
    inspect = look(engine, identity) or {}
    if network not in mapping(mapping(inspect.get("NetworkSettings")).get("Networks")):
        endpoint = dict(mapping(journal.change.endpoints.get(network)))
        engine.post(f"/networks/{network}/connect", {"Container": identity, "EndpointConfig": endpoint})
    return ""


def _part(engine: EngineClient, journal: Journal, _: str) -> str:
    return rename(engine, journal.change.old_id, journal.change.backup) if _old(engine, journal) else ""


def _name_new(engine: EngineClient, journal: Journal, _: str) -> str:
    return rename(engine, _needed(engine, journal), journal.change.name)


def _start(engine: EngineClient, journal: Journal, _: str) -> str:
    """The old one is stopped where somebody started it meanwhile: both want the same addresses."""
    if journal.change.old_id:
        stop(engine, journal.change.old_id)
    engine.call("POST", f"/containers/{_needed(engine, journal)}/start", limit=120.0)
    return ""


def _verify(engine: EngineClient, journal: Journal, _: str) -> str:
    """Healthy, or running for some seconds; and the port answers where one answered before."""
    identity = _needed(engine, journal)
    end = time.monotonic() + _health_limit(look(engine, identity) or {})
    began = time.monotonic()
    while not _is_well(look(engine, identity) or {}, time.monotonic() - began):
        if time.monotonic() > end:
            raise NetdashError(f"{journal.change.name} does not become healthy", code=Exit.REFUSED)
        time.sleep(_PAUSE)
    if journal.change.answers:
        for proof in prove(journal.change.add, _ANSWER):
            if proof.works is False:
                raise NetdashError(proof.sentence, code=Exit.REFUSED)
    return ""


def _is_well(inspect: Json, running_for: float) -> bool:
    """Raises NetdashError for a container that will not become well."""
    state = mapping(inspect.get("State"))
    name = name_of(inspect) or "the new container"
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
    """Where somebody stopped it meanwhile its policy would not start it: that is a failure like one before."""
    identity = _needed(engine, journal)
    _is_well(look(engine, identity) or {}, _STEADY)
    return set_restart(engine, identity, journal.change.restart)


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
    return set_restart(engine, journal.change.old_id, journal.change.restart) if _old(engine, journal) else ""


def _unstop(engine: EngineClient, journal: Journal, _: str) -> str:
    """The new one may run again: a dockerd that starts anew starts it by its restart policy."""
    _unstart(engine, journal, "")
    if _old(engine, journal):
        engine.call("POST", f"/containers/{journal.change.old_id}/start", limit=120.0)
    return ""


def _old_runs(engine: EngineClient, journal: Journal) -> None:
    time.sleep(_PAUSE)  # one that ends at once is not taken for running
    state = mapping((_old(engine, journal) or {}).get("State"))
    if state.get("Running") is not True:
        raise NetdashError(f"the old {journal.change.name} does not run", code=Exit.REFUSED)


def _unrelease(engine: EngineClient, journal: Journal, _: str) -> str:
    """A dockerd that starts anew must not start the new one beside the old."""
    identity = new_id(engine, journal)
    return set_restart(engine, identity, ("no", 0)) if identity else ""


def _uncommit(engine: EngineClient, journal: Journal, _: str) -> str:
    """It is all that is left of the old one where somebody removed that meanwhile."""
    _unstop(engine, journal, "")
    _old_runs(engine, journal)
    return remove(engine, f"/images/{journal.change.image}")


def _uncreate(engine: EngineClient, journal: Journal, _: str) -> str:
    """The volumes stay: they are the old container's. Those of a container that never had a forerunner go with it.
    Nothing takes this back: the old one must run first."""
    if journal.change.old_id:
        _unstop(engine, journal, "")  # a dockerd that died after that step has stopped it again
        _old_runs(engine, journal)
    identity = new_id(engine, journal) or journal.change.temporary
    volumes = "1" if journal.change.kind == "run" else "0"
    return remove(engine, f"/containers/{identity}", force="1", v=volumes)


def _unpart(engine: EngineClient, journal: Journal, _: str) -> str:
    """A name that a stranger has taken meanwhile stays its own: that the old one runs counts for more."""
    change = journal.change
    if not _old(engine, journal) or look(engine, change.name):
        return ""
    return rename(engine, change.old_id, change.name)


def _unname(engine: EngineClient, journal: Journal, _: str) -> str:
    identity = new_id(engine, journal)
    return rename(engine, identity, journal.change.temporary) if identity else ""


def _unstart(engine: EngineClient, journal: Journal, _: str) -> str:
    identity = new_id(engine, journal)
    if identity:
        stop(engine, identity)
    return ""


STEPS: dict[str, tuple[Do, Do]] = {
    "hold": (_hold, _unhold),
    "park": (containers.park, containers.unpark),
    "stop": (_stop, _unstop),
    "commit": (_commit, _uncommit),
    "create": (_create, _uncreate),
    "connect": (_connect, _keep),
    "part": (_part, _unpart),
    "name": (_name_new, _unname),
    "start": (_start, _unstart),
    "verify": (_verify, _keep),
    "release": (_release, _unrelease),
    "follow": (containers.follow, containers.unfollow),
}
"""By the word before the colon: (do, take back). What is after the colon is their last argument."""


def remove_old(engine: EngineClient, journal: Journal) -> None:
    """The last step, that nothing takes back: its volumes stay. Raises NetdashError unless the new one runs."""
    if not _old(engine, journal):
        return
    inspect = look(engine, _needed(engine, journal)) or {}
    _is_well(inspect, _STEADY)
    remove(engine, f"/containers/{journal.change.old_id}", v="0", force="0")
    containers.remove_parked(engine, journal)
