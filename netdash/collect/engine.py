"""Keeps the engine's answers current: one list, then one inspect per container that the list or an event names. Parses
nothing."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Literal

from netdash.collect.engine_answers import Answers, EngineAnswers
from netdash.engine.client import EngineClient, clock
from netdash.engine.context import engine_pid
from netdash.engine.errors import EngineError, EngineLate, Refused
from netdash.engine.first_answer import First
from netdash.model.host import Failure
from netdash.model.records import dataclass
from netdash.model.source import Source

Tell = Callable[[Answers, Mapping[str, Failure]], None]
"""Called with every docker/*.json that is known, the very same objects where nothing changed, and what is wrong now, by
source. "docker" is the engine as a whole."""

_CHANGES = frozenset("create start die died stop pause unpause rename restart health_status update".split())
_REMOVALS = frozenset(("destroy", "remove"))
_STEADY = 5.0  # seconds; a connection that lasted so long is renewed at once when it ends
_LATE = 2  # inspects without an answer after which the others are put off
_GAP = 0.005  # seconds at most between two inspects, in which a key is worked on


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between two looks at a burst of events, of silence before the engine is asked whether it lives, between
    two lists without any event, from the connection to the first call of `tell` while containers are inspected (each
    later gap is twice as long), and from the first to the longest wait before a new attempt."""

    burst: float = 0.015
    silence: float = 10.0
    resync: float = 30.0
    tell: float = 1.0
    first: float = 0.5
    longest: float = 5.0


@dataclass(frozen=True, slots=True)
class _Note:
    kind: Literal["event", "ended", "refused", "refresh", "stop"]
    stream: int = 0  # of which connection
    event: Mapping[str, object] | None = None
    error: EngineError | None = None


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
        self.heard: float | None = first.heard if first else None  # when it last answered, or sent an event
        self._option = option
        self._limit = limit
        self._tell = tell
        self._pace = pace or Pace()
        self._notes: SimpleQueue[_Note] = SimpleQueue()
        self._stream = 0
        self._since = clock(first.date) if first else None  # when the list was asked for, by the engine's clock
        self._answers = EngineAnswers(first.answers if first else {})
        self._waiting: dict[str, None] = dict.fromkeys(self._answers.ids())  # containers to inspect
        self._patience = self._pace.tell  # seconds from one telling to the next
        self._late = 0  # inspects without an answer, one after the other
        self._events: Failure | None = None  # why no events come
        self._client: EngineClient | None = None
        self._listed_at = self._asked_at = self._told_at = 0.0  # on the monotonic clock

    def start(self) -> None:
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    def refresh(self) -> None:
        """Ask for everything again as soon as possible."""
        self._notes.put(_Note("refresh"))

    def stop(self) -> None:
        self._notes.put(_Note("stop"))

    @property
    def inspected(self) -> bool:
        """Whether no container waits to be inspected."""
        return not self._waiting

    # --- connections --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        wait = self._pace.first
        while True:
            began = time.monotonic()
            try:
                client = self._connect()
                wanted = self._follow(client)
            except EngineError as error:
                wanted = True
                self._tell(self._answers.snapshot(), {Source.DOCKER: error.failure})
            except Exception as error:  # an answer of a shape that nobody foresaw must not end this thread
                wanted = True
                failure = Failure(Source.DOCKER, f"not understood: {type(error).__name__}")
                self._tell(self._answers.snapshot(), {Source.DOCKER: failure})
            if self._client is not None:
                self._client.close()
                self._client = None
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

    def _connect(self) -> EngineClient:
        """The list first, so that something is told early; all containers are inspected behind."""
        client = self._client = EngineClient(self._option, self._limit)
        self.local = client.local
        client.negotiate()
        self.pid = engine_pid(client.socket, self._limit)
        since, self._since = self._since, None
        if since is None:
            since = client.since
            self._list(client)
        self._listed_at = self._asked_at = time.monotonic()
        self._events = None
        self._stream += 1
        stream = (client, self._stream, since)
        threading.Thread(target=self._listen, args=stream, name="engine events", daemon=True).start()
        self._waiting = dict.fromkeys(self._answers.ids())
        self._answers.ask_parts(client)
        self._report()
        return client

    def _listen(self, client: EngineClient, stream: int, since: int | None) -> None:
        end = _Note("ended", stream)
        try:
            for event in client.events(since):
                self._notes.put(_Note("event", stream, event))
        except Refused as error:
            end = _Note("refused", stream, error=error)
        except EngineError:
            pass  # the next call tells the reason
        finally:
            self._notes.put(end)

    def _follow(self, client: EngineClient) -> bool:
        """Works on events and on what waits until the stream ends; False when asked to stop."""
        while True:
            notes = self._arrived()
            kinds = {note.kind for note in notes}
            if "stop" in kinds:
                return False
            if "refresh" in kinds or time.monotonic() >= self._listed_at + self._resync():
                self._list_again(client)
            if notes:
                self._take(client, notes)
            if "ended" in kinds:
                return True
            if self._waiting:
                self._inspect_one(client)
            elif notes:
                time.sleep(self._pace.burst)
            elif time.monotonic() >= self._asked_at + self._pace.silence:
                client.ping()
                self._heard()

    def _take(self, client: EngineClient, notes: list[_Note]) -> None:
        self._heard()
        for note in notes:
            if note.error is not None:
                self._events = Failure("events", note.error.message, note.error.hint)
                self._report()
        self._change(client, [note.event for note in notes if note.event])

    def _arrived(self) -> list[_Note]:
        """What has come; waits for it, but not longer than until the next call is due."""
        now = time.monotonic()
        due = min(self._asked_at + self._pace.silence, self._listed_at + self._resync())
        notes = []
        with contextlib.suppress(Empty):
            notes.append(self._notes.get(timeout=0.0001 if self._waiting else max(0.0001, due - now)))
        while not self._notes.empty():
            notes.append(self._notes.get())
        return [note for note in notes if note.stream in (0, self._stream)]

    def _resync(self) -> float:
        """Seconds between two lists: where no events may come, the list must tell."""
        return min(self._pace.resync, self._pace.silence / 2) if self._events else self._pace.resync

    def _heard(self) -> None:
        self.heard = time.time()
        self._asked_at = time.monotonic()

    # --- answers ------------------------------------------------------------------------------------------------------

    def _list(self, client: EngineClient) -> None:
        changed = self._answers.list_containers(client)
        self._waiting |= dict.fromkeys([*changed, *self._answers.unread])
        self._late = 0
        self._listed_at = time.monotonic()
        self._report()

    def _list_again(self, client: EngineClient) -> None:
        self._list(client)
        self._answers.ask_parts(client, ("networks",))
        self._report()

    def _inspect_one(self, client: EngineClient) -> None:
        """The container that waits longest. Then a pause, so that a key which came meanwhile is worked on."""
        began = time.monotonic()
        identity = next(iter(self._waiting))
        del self._waiting[identity]
        wrong = self._answers.inspect(client, identity)
        self._late = self._late + 1 if isinstance(wrong, EngineLate) else 0
        if wrong is not None and self._late >= _LATE:
            self._answers.put_off(self._waiting, wrong)
            self._waiting = {}
        elif isinstance(wrong, Refused) and began > self._listed_at + self._pace.longest:
            self._list(client)  # is it this container alone, or does the engine refuse everything now?
        if not self._waiting:
            self._patience = self._pace.tell
            self._report()
        elif time.monotonic() > self._told_at + self._patience:
            self._patience *= 2  # each telling costs a host that is built
            self._report()
        if self._waiting:
            time.sleep(min(time.monotonic() - began, _GAP))

    def _change(self, client: EngineClient, events: Iterable[Mapping[str, object]]) -> None:
        removed = relist = False
        for event in events:
            kind, action, identity = _meaning(event)
            relist = relist or _is_overlay(event)
            if kind == "network" and action in ("create", "destroy", "remove", "update"):
                relist = True
            elif kind == "container" and action in _REMOVALS:
                self._waiting.pop(identity, None)
                self._answers.forget(identity)
                removed = True
            elif identity and (kind == "network" or action in _CHANGES):
                self._waiting[identity] = None
        if relist:
            self._answers.ask_parts(client, ("networks",))
        if (removed or relist) and not self._waiting:
            self._report()

    def _report(self) -> None:
        self._heard()
        self._told_at = time.monotonic()
        failures = dict(self._answers.failures())
        if self._events:
            failures["events"] = self._events
        self._tell(self._answers.snapshot(), failures)


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
