"""Hosts by the names that --host gives them: this one, and others by ssh. Reads several at the same time, so that one
which does not answer holds up none."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from netdash.bundle.recording import Recording
from netdash.collect.options import Options
from netdash.collect.remote import RemoteReader
from netdash.collect.ssh import CONNECT, HOST, Address, address, read_remote
from netdash.model.host import Failure
from netdash.model.source import SOURCES

if TYPE_CHECKING:
    from netdash.collect.live import LiveReader

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
