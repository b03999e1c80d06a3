"""Who runs a process, and whether a userland proxy is the engine's: by user, parent and executable. A process chooses
its name and its arguments itself, so they prove nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

from netdash.model.engine_state import EngineProcess
from netdash.model.host import Listener, Proxy
from netdash.model.memory import same
from netdash.model.numbers import PID_DIGITS, UID_DIGITS, decimal
from netdash.model.records import dataclass, replace

OWN_PROXY = "netdash-proxy"  # argv[0] of the proxies that netdash starts: by this it knows them

PROXIES = "host/docker-proxy.txt"
OWNERS = "host/process-owner.txt"
"""Bundle path of who runs these processes: a line each, `PID UID EXECUTABLE USER`. EXECUTABLE is `UID:MODE` of its
file, MODE in octal, or "-" where it could not be looked at. The reader's own line has SELF for its PID."""

STOPPED = "host/stopped.txt"
"""Bundle path of the pids of those that are stopped (state T in /proc/PID/stat, after a SIGSTOP), a line each."""

SELF = "self"
HOLDERS = frozenset(("docker-proxy", OWN_PROXY, "dockerd", "rootlesskit", "conmon"))
"""Names of processes that hold published ports for an engine."""

_OTHERS_WRITE = 0o022


@dataclass(frozen=True, slots=True)
class Owner:
    """`executable`: (user id, mode) of the file that runs; None where it could not be looked at."""

    uid: int
    user: str
    executable: tuple[int, int] | None


class Standing(Enum):
    """What is known of a process that looks like one of an engine's."""

    PROVED = "proved"
    OPEN = "open"  # nothing speaks against it, but not all could be read
    FORGED = "forged"  # something speaks against it


@dataclass(frozen=True, slots=True)
class Owners:
    """`reader`: the user id that they were read with; None where that is not told."""

    by_pid: Mapping[int, Owner]
    reader: int | None

    def standing(self, proxy: Proxy, engine: EngineProcess | None) -> Standing:
        """The engine starts docker-proxy itself, as its own user, from a file that nobody else can write."""
        if proxy.command == OWN_PROXY:
            return self._run_by(proxy.pid, {0, self.reader})
        found = self.holder(proxy.pid, engine)
        if found is not Standing.PROVED:
            return found
        if engine is None:
            return Standing.OPEN
        if proxy.ppid == engine.pid:
            return Standing.PROVED
        # Who answers on the engine's socket may be a guard before it, which starts no proxy.
        return Standing.FORGED if engine.command == "dockerd" and proxy.ppid is not None else Standing.OPEN

    def holder(self, pid: int, engine: EngineProcess | None) -> Standing:
        """Whether the process may be one of the engine's, by who runs it alone."""
        return self._run_by(pid, {0, engine.uid if engine is not None else None})

    def _run_by(self, pid: int, users: set[int | None]) -> Standing:
        owner = self.by_pid.get(pid)
        if owner is None:
            return Standing.OPEN
        if owner.uid not in users:
            return Standing.FORGED
        if owner.executable is None:
            return Standing.OPEN
        uid, mode = owner.executable
        return Standing.PROVED if uid in users and not mode & _OTHERS_WRITE else Standing.FORGED


def parse_owners(text: str | None) -> Owners:
    """Lines that are malformed are left out."""
    found: dict[int, Owner] = {}
    reader = None
    for line in (text or "").splitlines():
        words = line.split(None, 3)
        uid = decimal(words[1], UID_DIGITS) if len(words) == 4 else None
        if uid is None:
            continue
        if words[0] == SELF:
            reader = uid
        elif (pid := decimal(words[0], PID_DIGITS)) is not None:
            found[pid] = Owner(uid, words[3], _executable(words[2]))
    return Owners(found, reader)


def parse_stopped(text: str) -> frozenset[int]:
    return frozenset(pid for line in text.splitlines() if (pid := decimal(line.strip(), PID_DIGITS)) is not None)


def mark_silent(listeners: tuple[Listener, ...], stopped: frozenset[int]) -> tuple[Listener, ...]:
    """The listeners, with a mark on those of stopped processes."""
    return tuple(replace(listener, stopped=True) if listener.pid in stopped else listener for listener in listeners)


def _executable(text: str) -> tuple[int, int] | None:
    owner, _, mode = text.partition(":")
    uid = decimal(owner, UID_DIGITS)
    return None if uid is None or not re.fullmatch(_MODE, mode) else (uid, int(mode, 8))


_MODE = "[0-7]{1,6}"


def split_forged(
    proxies: tuple[Proxy, ...], owners: Owners, engine: EngineProcess | None
) -> tuple[tuple[Proxy, ...], tuple[Proxy, ...]]:
    """(those that may be the engine's or netdash's, those that are not, with their user)."""
    ours, forged = [], []
    for proxy in proxies:
        if owners.standing(proxy, engine) is Standing.FORGED:
            forged.append(replace(proxy, user=owners.by_pid[proxy.pid].user))
        else:
            ours.append(proxy)
    return tuple(ours), tuple(forged)


def mark_forged(listeners: tuple[Listener, ...], owners: Owners, engine: EngineProcess | None) -> tuple[Listener, ...]:
    """The listeners, with the user of each that has the name of an engine's process and is none."""
    forged = {
        pid: owner.user
        for pid, owner in owners.by_pid.items()
        if owners.holder(pid, engine) is Standing.FORGED and (engine is not None or owner.uid != owners.reader)
    }
    return tuple(
        replace(listener, user=forged[listener.pid]) if listener.pid in forged else listener for listener in listeners
    )


class ProxyProcesses:
    """The proxies with what else is known of their processes; one of which that is as before stays the same object."""

    def __init__(self) -> None:
        self._bare: tuple[Proxy, ...] = ()  # kept: the id of each is its own for so long
        self._known: dict[int, Proxy] = {}

    def of(
        self,
        proxies: tuple[Proxy, ...],
        memory: Mapping[int, int] | None,
        stopped: frozenset[int] | None,
        listeners: tuple[Listener, ...] | None,
    ) -> tuple[Proxy, ...]:
        """`memory`: bytes by pid. `listeners`: of the proxies' namespace, None where they were not read."""
        sizes, found = memory or {}, []
        for proxy, held in zip(proxies, _held(proxies, listeners), strict=True):
            rss, silent = sizes.get(proxy.pid), None if stopped is None else proxy.pid in stopped
            known = self._known.get(id(proxy))
            if known is None or known.rss != rss or known.stopped is not silent or not _same(known.listeners, held):
                known = replace(proxy, rss=rss, stopped=silent, listeners=None if held is None else tuple(held))
            found.append(known)
        self._bare, self._known = proxies, dict(zip(map(id, proxies), found, strict=True))
        return tuple(found)


def _same(before: Sequence[Listener] | None, now: Sequence[Listener] | None) -> bool:
    return before is now if now is None else same(before, now)


def _held(proxies: tuple[Proxy, ...], listeners: tuple[Listener, ...] | None) -> Iterator[Sequence[Listener] | None]:
    """The sockets of each; None where the owners of sockets could not be read. An unprivileged reader is told of its
    own sockets alone, and a recording may hold the pid of what started a proxy, not of the one that has the socket."""
    if listeners is None or (listeners and not any(listener.pid for listener in listeners)):
        yield from (None for _ in proxies)
        return
    pids = {proxy.pid for proxy in proxies}
    nobodys = {
        (listener.proto, listener.port)
        for listener in listeners
        if listener.pid is None
        or (listener.command == "docker-proxy" and listener.user is None and listener.pid not in pids)
    }
    held: dict[int | None, list[Listener]] = {}
    for listener in listeners:
        held.setdefault(listener.pid, []).append(listener)
    for proxy in proxies:
        found = held.get(proxy.pid, ())
        yield None if not found and (proxy.proto, proxy.host_port) in nobodys else found
