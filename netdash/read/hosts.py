"""Hosts by the names that --host gives them: this one, and others by ssh. Reads several at the same time, so that one
which does not answer holds up none."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from netdash.core.model import Failure
from netdash.core.recording import SOURCES, Recording
from netdash.read.remote import RemoteReader
from netdash.read.ssh import CONNECT, HOST, LIMIT, Address, address, read_remote

if TYPE_CHECKING:
    from netdash.read.live import LiveReader

LOCAL = ("local", ".")  # names of this host


def parsed(name: str) -> Address | None:
    """Where a host is; None for this one. Raises NetdashError(USAGE)."""
    return None if name in LOCAL else address(name)


def named(names: Sequence[str]) -> list[tuple[str, Address | None]]:
    """What each host is called in a column and in JSON, and where it is. One that is named twice is told apart. Raises
    NetdashError(USAGE)."""
    found: list[tuple[str, Address | None]] = []
    for where in map(parsed, names):
        name = where.name if where else LOCAL[0]
        before = sum(1 for known, _ in found if known.partition("#")[0] == name)
        found.append((f"{name}#{before + 1}" if before else name, where))
    return found


def reader(where: Address | None, docker_host: str | None, interval: float) -> RemoteReader | LiveReader:
    """Keeps one host current; `interval` in seconds."""
    if where is not None:
        return RemoteReader(where, docker_host, interval)
    from netdash.read.live import LiveReader

    return LiveReader(docker_host, interval)


def read_host(name: str, sources: frozenset[str], docker_host: str | None, whole: bool = False) -> Recording:
    """Raises NetdashError(USAGE) for a name that is none, nothing else."""
    return _read(parsed(name), sources, docker_host, whole)


def _read(where: Address | None, sources: frozenset[str], docker_host: str | None, whole: bool = False) -> Recording:
    if where is None:
        from netdash.read.once import Options, read_once

        return read_once(Options(sources=sources, docker_host=docker_host, whole=whole))
    return read_remote(where, sources, docker_host)


def read_hosts(
    hosts: Sequence[tuple[str, Address | None]], sources: frozenset[str], docker_host: str | None
) -> list[Recording]:
    """One recording for each of `named`, in their order."""
    found: dict[int, Recording] = {}

    def read(at: int) -> None:
        found[at] = _read(hosts[at][1], sources, docker_host)

    threads = [threading.Thread(target=read, args=(at,), daemon=True) for at in range(len(hosts))]
    for thread in threads:
        thread.start()
    until = time.monotonic() + LIMIT + CONNECT
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [found.get(at) or _late(name) for at, (name, _) in enumerate(hosts)]


def _late(name: str) -> Recording:
    failures = {source: Failure(source, "did not answer in time") for source in (HOST, *SOURCES)}
    return Recording(answers={}, failures=failures, taken=time.time(), hostname=name, live=True)
