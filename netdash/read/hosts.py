"""Hosts by the names that --host gives them: this one, and others by ssh. Reads several at the same time, so that one
which does not answer holds up none."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from netdash.core.model import Failure
from netdash.core.recording import SOURCES, Recording
from netdash.read.once import Options, read_once
from netdash.read.ssh import CONNECT, HOST, LIMIT, Address, address, read_remote

LOCAL = ("local", ".")  # names of this host


def parsed(name: str) -> Address | None:
    """Where a host is; None for this one. Raises NetdashError(USAGE)."""
    return None if name in LOCAL else address(name)


def shown(name: str) -> str:
    """What a host is called in a column and in JSON."""
    where = parsed(name)
    return where.name if where else LOCAL[0]


def read_host(name: str, sources: frozenset[str], docker_host: str | None, whole: bool = False) -> Recording:
    """Raises NetdashError(USAGE) for a name that is none, nothing else."""
    where = parsed(name)
    if where is None:
        return read_once(Options(sources=sources, docker_host=docker_host, whole=whole))
    return read_remote(where, sources, docker_host)


def read_hosts(names: Sequence[str], sources: frozenset[str], docker_host: str | None) -> list[Recording]:
    """One recording for each name, in their order. Raises NetdashError(USAGE) before anything is read."""
    for name in names:
        parsed(name)
    found: dict[int, Recording] = {}

    def read(at: int) -> None:
        found[at] = read_host(names[at], sources, docker_host)

    threads = [threading.Thread(target=read, args=(at,), daemon=True) for at in range(len(names))]
    for thread in threads:
        thread.start()
    until = time.monotonic() + LIMIT + CONNECT
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [found.get(at) or _late(names[at]) for at in range(len(names))]


def _late(name: str) -> Recording:
    why = "did not answer in time"
    return Recording(
        answers={},
        failures={source: Failure(source, why) for source in (HOST, *SOURCES)},
        taken=time.time(),
        hostname=shown(name),
        live=True,
    )
