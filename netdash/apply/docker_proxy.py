"""Which docker-proxy a forward may run. Its name and arguments prove nothing: any user's process may have them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from netdash.apply import trusted
from netdash.engine.process import EnginePeer

_NAME = "docker-proxy"
_WELL_KNOWN = tuple(f"{folder}/{_NAME}" for folder in ("/usr/sbin", "/usr/libexec/docker", "/usr/bin"))


def find(named: str | None, running: Iterable[int], engine: EnginePeer | None) -> str | None:
    """The path of one that only root, or this user, can have put there: `named` by the engine (/info, from 29 on); the
    executable of one of the processes `running`, where it is the engine's; else where packages put it."""
    known = _executables(running, engine) if engine is not None and engine.pid is not None else ()
    return next((path for path in _paths(named, known) if _may_run(path)), None)


def _paths(named: str | None, known: Iterable[str]) -> Iterator[str]:
    yield from (named,) if named else ()
    yield from known
    yield from _WELL_KNOWN


def _may_run(path: str) -> bool:
    try:
        os.close(trusted.program(Path(path)))
    except (OSError, RuntimeError, trusted.UntrustedError):
        return False
    return True


def _executables(running: Iterable[int], engine: EnginePeer) -> Iterator[str]:
    """Of the processes that the engine started as its own user."""
    for pid in running:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                started = process.ppid() == engine.pid and set(process.uids()) == {engine.uid}
            path = _executable(pid) if started and engine.uid in (0, os.geteuid()) else None
            if path is not None and process.is_running():  # it is still the process that was looked at
                yield path
        except (OSError, psutil.Error):
            continue


def _executable(pid: int) -> str | None:
    handle = os.open(f"/proc/{pid}/exe", os.O_PATH | os.O_CLOEXEC)
    try:
        path = os.readlink(f"/proc/self/fd/{handle}")
        return path if trusted.is_safe(os.fstat(handle)) and os.path.basename(path) == _NAME else None
    finally:
        os.close(handle)
