"""Hosts by the names that --host gives them: this one, and others by ssh. A thread keeps each of those current. Several
are read at the same time, so that one which does not answer holds up none."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from netdash.bundle.collector_stream import ASKED, source_of
from netdash.bundle.recording import Recording
from netdash.collect.ssh import (
    CONNECT,
    DROPS,
    ENGINE,
    HOST,
    LIMIT,
    Address,
    Session,
    address,
    again,
    failures,
    read_remote,
    unreachable,
)
from netdash.collect.ssh_reason import HostError
from netdash.model.host import Failure
from netdash.model.kernel_state import Watched
from netdash.model.records import replace
from netdash.model.source import COUNTING, SOURCES, Options, Source

if TYPE_CHECKING:
    from netdash.collect.live import LiveReader


_PEACE = 5  # times as long as a collection took the host is left alone
_PEACE_CHANGED = 1  # the same when its engine told of a change
# What is asked at every interval, what seldom, and only then also the engine, because events tell of its changes.
QUICK = tuple(source for source in ASKED if source not in (ENGINE, Source.INSIDE, Source.SYSCTLS))
SLOW = tuple(source for source in ASKED if source != ENGINE)
_RESTLESS = frozenset(("host/memory.txt", "ip/neigh.json"))  # these differ all the time
_LISTEN = 2  # seconds that the shell there waits for events at a time, and may stay when the line is cut
_QUIET = 3  # times as long as the interval it is left alone, at most, while no answer differs from the one before
_SLOW, _ALL = 30.0, 60.0  # seconds until slow sources are asked, and until the engine is without an event
_RARELY = 20  # the same, as times as long as a collection took
_FIRST, _LONGEST = 2.0, 30.0  # seconds between two attempts to reach it


class RemoteReader:
    """`interval`: least seconds between two collections. `docker_host`: as DOCKER_HOST, seen from there."""

    reads_flows = False

    def __init__(self, where: Address, docker_host: str | None, interval: float, limit: float = LIMIT) -> None:
        self._where = where
        self._docker_host = docker_host
        self._interval = interval
        self._limit = limit
        self._session: Session | None = None
        self._wake = threading.Event()
        self._stopped = False
        self._last: Recording | None = None
        self._asks: tuple[str, ...] = ASKED  # the sources of the next collection
        self._also: tuple[str, ...] = ()  # what else is asked for as long as somebody looks at it
        self._asked_at = dict.fromkeys((SLOW, ASKED), 0.0)  # when these were asked last, by the monotonic clock
        self._quiet = 1  # collections without a difference
        self._whole = False  # whether the last one came to its end
        self._drops = 0
        self._answered = 0.0  # by the monotonic clock
        self._took = 0.0  # seconds of the last collection
        self._publish: Callable[[Recording], None] = lambda _: None

    def start(self, publish: Callable[[Recording], None]) -> None:
        self._publish = publish
        threading.Thread(target=self._run, name=f"ssh {self._where.name}", daemon=True).start()

    def watch(self, watched: Watched) -> None:
        """Counters of lost packets at every collection from now on, or no more."""
        also = (Source.DROPS,) if watched.drops else ()
        if also != self._also:
            self._also = also
            self._wake.set()

    def refresh(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        """Ends ssh and takes its status."""
        self._stopped = True
        self._wake.set()
        session = self._session
        if session:
            session.kill()

    def _run(self) -> None:
        wait = _FIRST
        while not self._stopped:
            error = self._attempt() or self._listen()
            if self._stopped:
                break
            self._drops = self._drops + 1 if error is not None and error.dropped else 0
            if error is None:
                wait = _FIRST
                continue
            if 0 < self._drops < DROPS:
                pause = again()
            else:
                self._publish(self._stale(error))
                pause, wait = wait, min(wait * 2, _LONGEST)
            self._wake.wait(pause)
            self._wake.clear()
        self._hang_up()

    def _listen(self) -> HostError | None:
        """Leaves the host alone until the next collection, which comes earlier when the engine tells of a change."""
        took, now = self._took, time.monotonic()
        interval = self._interval * min(self._quiet, _QUIET)
        soonest, until = now + _PEACE_CHANGED * took, now + max(interval, _PEACE * took)
        changed: bool | None = False
        while changed is False and not self._wake.is_set() and (left := until - time.monotonic()) > 0:
            try:
                changed = self._session.changed(min(_LISTEN, math.ceil(left))) if self._session else None
            except HostError as error:
                self._hang_up()
                return error
        pause = {None: until, True: soonest}.get(changed, 0.0) - time.monotonic()
        self._wake.wait(max(0.0, pause))
        self._asks = ASKED if changed is not False or self._wake.is_set() else self._due()
        self._wake.clear()
        return None

    def _due(self) -> tuple[str, ...]:
        """The sources whose time has come."""
        now, least = time.monotonic(), _RARELY * self._took
        if now > self._asked_at[ASKED] + max(_ALL, least):
            return ASKED
        return SLOW if now > self._asked_at[SLOW] + max(_SLOW, least) else QUICK

    def _attempt(self) -> HostError | None:
        """Asks once and publishes; what went wrong."""
        try:
            if self._session is None:
                self._session = Session(self._where, self._docker_host)
                self._asks = ASKED
            began = time.monotonic()
            asked = (*self._asks, *self._also)
            recording = self._session.ask(asked, self._limit)
            now = time.monotonic()
            self._took = now - began
            self._asked_at |= {sources: now for sources in (SLOW, ASKED) if set(sources) <= set(self._asks)}
        except HostError as error:
            self._hang_up()
            return error
        except Exception as error:  # an answer of a shape that nobody foresaw must not end this thread
            self._hang_up()
            return HostError(f"not understood: {type(error).__name__}")
        trouble = self._session.trouble
        if trouble:
            self._hang_up()
        if self._stopped or (trouble and self._whole):
            return trouble
        if self._last:
            recording = _with_what_was_not_asked(recording, self._last, asked)
        before = self._last.answers if self._last else {}
        answers = {path: _same(before.get(path), answer) for path, answer in recording.answers.items()}
        differ = (path for path in {*before, *answers} if before.get(path) is not answers.get(path))
        self._quiet = 1 if set(differ) - _RESTLESS else self._quiet + 1
        answers |= {path: recording.answers[path] for path in COUNTING & recording.answers.keys()}
        self._last, self._answered = replace(recording, answers=answers), time.monotonic()
        self._whole = trouble is None
        if self._whole:
            self._publish(self._last)
        return trouble

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _stale(self, error: HostError) -> Recording:
        """What was last known, at the age that it has."""
        last = self._last
        if last is None:
            return unreachable(self._where, error, time.time())
        failed: dict[str, Failure] = {**failures(error), **last.failures}
        if self._whole:
            failed |= failures(error)
        taken = None if last.taken is None else last.taken + time.monotonic() - self._answered
        return replace(last, failures=failed, taken=taken)


def _with_what_was_not_asked(recording: Recording, before: Recording, asked: Sequence[str]) -> Recording:
    """A recording of some sources, and what was last known of the others."""
    answers = {path: answer for path, answer in before.answers.items() if source_of(path) not in asked}
    failed = {
        name: failure for name, failure in before.failures.items() if name.partition(":")[0] not in (*asked, HOST)
    }
    return replace(recording, answers={**answers, **recording.answers}, failures={**failed, **recording.failures})


def _same(before: object, now: object) -> object:
    """The answer of last time where it says the same, and of a list the entries that do: parsers go by identity."""
    if before == now:
        return before
    if not isinstance(before, list) or not isinstance(now, list):
        return now
    known: Mapping[object, object] = {
        value["Id"]: value for value in before if isinstance(value, dict) and "Id" in value
    }
    return [_known(known, value) for value in now]


def _known(known: Mapping[object, object], value: object) -> object:
    old = known.get(value["Id"]) if isinstance(value, dict) and isinstance(value.get("Id"), str) else None
    return old if old == value else value


LOCAL = ("local", ".")  # names of this host


def parsed(name: str, sudo: bool = False) -> Address | None:
    """Where a host is; None for this one. `sudo`: read it as root. Raises NetdashError(USAGE)."""
    return None if name in LOCAL else replace(address(name), sudo=sudo)


def named(names: Sequence[str], sudo: bool = False) -> list[tuple[str, Address | None]]:
    """What each host is called in a column and in JSON, and where it is. One that is named twice is told apart. Raises
    NetdashError(USAGE)."""
    found: list[tuple[str, Address | None]] = []
    for where in (parsed(name, sudo) for name in names):
        name = where.name if where else LOCAL[0]
        before = sum(1 for known, _ in found if known.partition("#")[0] == name)
        found.append((f"{name}#{before + 1}" if before else name, where))
    return found


def reader(where: Address | None, options: Options, interval: float) -> RemoteReader | LiveReader:
    """Keeps one host current; `interval` in seconds."""
    if where is not None:
        return RemoteReader(where, options.docker_host, interval, options.host_limit)
    from netdash.collect.live import LiveReader

    return LiveReader(options.docker_host, interval, options.limit, options.tool_limit)


def read_host(name: str, options: Options) -> Recording:
    """Raises NetdashError(USAGE) for a name that is none, nothing else."""
    return _read(parsed(name, options.sudo), options)


def _read(where: Address | None, options: Options) -> Recording:
    if where is None:
        from netdash.collect.once import read_once

        return read_once(options)
    return read_remote(where, options)


def read_hosts(hosts: Sequence[tuple[str, Address | None]], options: Options) -> list[Recording]:
    """One recording for each of `named`, in their order."""
    found: dict[int, Recording] = {}

    def read(at: int) -> None:
        found[at] = _read(hosts[at][1], options)

    threads = [threading.Thread(target=read, args=(at,), daemon=True) for at in range(len(hosts))]
    for thread in threads:
        thread.start()
    until = time.monotonic() + options.host_limit + CONNECT
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [found.get(at) or _late(name) for at, (name, _) in enumerate(hosts)]


def _late(name: str) -> Recording:
    failures = {source: Failure(source, "did not answer in time") for source in (HOST, *SOURCES)}
    return Recording(answers={}, failures=failures, taken=time.time(), hostname=name, live=True)
