"""Keeps the engine's answers current: one list, then one inspect per container that an event names. Parses nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal

from netdash.core.model import Failure
from netdash.core.scrub import scrub
from netdash.read.engine_api import EngineApi, EngineError, allowed, listed, networks
from netdash.read.first import First

Answers = Mapping[str, object]
Tell = Callable[[Answers, Failure | None], None]
"""Called with every docker/*.json that is known, the very same objects where nothing changed, and what is wrong now."""

_CHANGES = frozenset("create start die died stop pause unpause rename restart health_status update".split())
_REMOVALS = frozenset(("destroy", "remove"))
_BATCH = 100  # inspects between two calls of `tell`
_STEADY = 5.0  # seconds; a connection that lasted so long is renewed at once when it ends


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between two looks at a burst of events, of silence before the engine is asked whether it lives, and
    from the first to the longest wait before a new attempt."""

    burst: float = 0.015
    silence: float = 10.0
    first: float = 0.5
    longest: float = 5.0


@dataclass(frozen=True, slots=True)
class _Note:
    kind: Literal["event", "ended", "refresh", "stop"]
    stream: int = 0  # of which connection
    event: Mapping[str, object] | None = None


class EngineReader:
    """One thread for the calls, one for the stream of events; both daemons. When the engine goes, its last answers
    stay known and the failure is told with them."""

    def __init__(
        self,
        option: str | None,
        limit: float,
        tell: Tell,
        pace: Pace | None = None,
        first: First | None = None,
    ) -> None:
        self.local: bool | None = None  # whether the engine's process ids are this machine's; None before it answered
        self.pid: int | None = None  # of the engine's own process
        self._option = option
        self._limit = limit
        self._tell = tell
        self._pace = pace or Pace()
        self._since = first.since if first else None  # when those answers were given, by the engine's clock
        self._notes: SimpleQueue[_Note] = SimpleQueue()
        self._stream = 0
        self._answers: dict[str, object] = dict(first.answers) if first else {}
        self._inspected: dict[str, object] = {}
        self._api: EngineApi | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    def refresh(self) -> None:
        """Ask for everything again as soon as possible."""
        self._notes.put(_Note("refresh"))

    def stop(self) -> None:
        self._notes.put(_Note("stop"))

    # --- connections --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        wait = self._pace.first
        while True:
            began = time.monotonic()
            try:
                api = self._connect()
                wanted = self._follow(api)
            except EngineError as error:
                wanted = True
                self._tell(dict(self._answers), error.failure)
            except Exception as error:  # an answer of a shape that nobody foresaw must not end this thread
                wanted = True
                self._tell(dict(self._answers), Failure("docker", f"not understood: {type(error).__name__}"))
            if self._api is not None:
                self._api.close()
                self._api = None
            if not wanted:
                return
            if time.monotonic() - began > _STEADY:
                wait = self._pace.first
            elif not self._wait(wait):
                return
            wait = min(wait * 2, self._pace.longest)

    def _wait(self, seconds: float) -> bool:
        """Waits, or until a refresh is asked for; False when it is time to stop."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                note = self._notes.get(timeout=left)
            except Empty:
                return True
            if note.kind == "stop":
                return False
            if note.kind == "refresh":
                return True
        return True

    def _connect(self) -> EngineApi:
        api = self._api = EngineApi(self._option, self._limit)
        self.local = api.local
        self._keep("docker/version.json", api.negotiate())
        self.pid = api.pid
        since, self._since = self._since, None
        self._stream += 1
        stream = (api, self._stream, api.since if since is None else since)
        threading.Thread(target=self._listen, args=stream, name="engine events", daemon=True).start()
        if since is None:
            self._list(api)
        self._keep("docker/info.json", allowed(api, "/info"))
        self._inspect(api, self._listed_ids())
        return api

    def _listen(self, api: EngineApi, stream: int, since: int | None) -> None:
        try:
            for event in api.events(since):
                self._notes.put(_Note("event", stream, event))
        except EngineError:
            pass  # the next call tells the reason
        finally:
            self._notes.put(_Note("ended", stream))

    def _follow(self, api: EngineApi) -> bool:
        """Works on events until the stream ends; False when asked to stop."""
        while True:
            try:
                note = self._notes.get(timeout=self._pace.silence)
            except Empty:
                api.ping()
                continue
            notes = [note]
            while not self._notes.empty():
                notes.append(self._notes.get())
            kinds = {one.kind for one in notes if one.stream in (0, self._stream)}
            if "stop" in kinds:
                return False
            if "refresh" in kinds:
                self._list(api)
                self._inspect(api, self._listed_ids())
            else:
                self._change(api, [one.event for one in notes if one.event and one.stream == self._stream])
            if "ended" in kinds:
                return True
            time.sleep(self._pace.burst)

    # --- answers ------------------------------------------------------------------------------------------------------

    def _list(self, api: EngineApi) -> None:
        self._keep("docker/containers.json", listed(api))
        self._keep("docker/networks.json", networks(api))
        known = set(self._listed_ids())
        self._inspected = {identity: answer for identity, answer in self._inspected.items() if identity in known}
        self._told()

    def _inspect(self, api: EngineApi, identities: Iterable[str]) -> None:
        count = 0
        for count, identity in enumerate(identities, 1):
            self._inspect_one(api, identity)
            if count % _BATCH == 0:
                self._told()
        if count % _BATCH or not count:
            self._told()

    def _inspect_one(self, api: EngineApi, identity: str) -> None:
        try:
            answer = scrub("docker/inspect.json", api.get(f"/containers/{identity}/json"))
        except EngineError as error:
            if error.status is None:
                raise
            if error.status == 404:
                self._forget(identity)
            return
        if isinstance(answer, dict) and answer != self._inspected.get(identity):
            self._inspected[identity] = answer

    def _change(self, api: EngineApi, events: Iterable[Mapping[str, object]]) -> None:
        changed: dict[str, None] = {}
        removed: list[str] = []
        relist = False
        for event in events:
            kind, action, identity = _meaning(event)
            relist = relist or _is_overlay(event)
            if kind == "network" and action in ("create", "destroy", "remove", "update"):
                relist = True
            elif kind == "container" and action in _REMOVALS:
                changed.pop(identity, None)
                removed.append(identity)
            elif identity and (kind == "network" or action in _CHANGES):
                changed[identity] = None
        for identity in removed:
            self._forget(identity)
        if relist:
            self._keep("docker/networks.json", networks(api))
        if changed or removed or relist:
            self._inspect(api, changed)

    def _forget(self, identity: str) -> None:
        self._inspected.pop(identity, None)
        listed = self._answers.get("docker/containers.json")
        if isinstance(listed, list):
            rest = [one for one in listed if not (isinstance(one, dict) and one.get("Id") == identity)]
            self._keep("docker/containers.json", rest)

    def _listed_ids(self) -> list[str]:
        listed = self._answers.get("docker/containers.json")
        found = (one.get("Id") for one in listed if isinstance(one, dict)) if isinstance(listed, list) else ()
        return [identity for identity in found if isinstance(identity, str) and identity.isalnum()]

    def _keep(self, path: str, answer: object) -> None:
        """An answer that says the same as the one before stays the very same object."""
        if answer is None:
            self._answers.pop(path, None)
        elif path not in self._answers or self._answers[path] != answer:
            self._answers[path] = answer

    def _told(self) -> None:
        inspected = list(self._inspected.values())
        if not _same(self._answers.get("docker/inspect.json"), inspected):
            self._answers["docker/inspect.json"] = inspected
        self._tell(dict(self._answers), None)


def _same(before: object, now: list[object]) -> bool:
    """Whether both hold the very same objects."""
    return isinstance(before, list) and [id(one) for one in before] == [id(one) for one in now]


def _is_overlay(event: Mapping[str, object]) -> bool:
    """Whether a container came to an overlay network, or left it: docker_gwbridge then has other members."""
    actor = event.get("Actor")
    attributes = actor.get("Attributes") if isinstance(actor, dict) else None
    return event.get("Type") == "network" and isinstance(attributes, dict) and attributes.get("type") == "overlay"


def _meaning(event: Mapping[str, object]) -> tuple[str, str, str]:
    """(type, action, id of the container that it concerns). "health_status: healthy" is the action health_status."""
    kind, action, actor = event.get("Type"), event.get("Action"), event.get("Actor")
    if not isinstance(kind, str) or not isinstance(action, str) or not isinstance(actor, dict):
        return "", "", ""
    identity = actor.get("ID")
    if kind == "network":
        attributes = actor.get("Attributes")
        identity = attributes.get("container") if isinstance(attributes, dict) else None
    known = isinstance(identity, str) and identity.isalnum()
    return kind, action.partition(":")[0], str(identity) if known else ""
