"""Which processes are in a container's network namespace, by the kernel's word. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_NAMED = 3  # processes that are named; the rest is a number


@dataclass(frozen=True, slots=True)
class Sharers:
    """`containers`: ids of those whose first process is in it. `processes`: (pid, name) of all others, but for those
    of the container itself and of `containers`."""

    containers: tuple[str, ...]
    processes: tuple[tuple[int, str], ...]

    @property
    def sentence(self) -> str:
        """Of the processes; "" where there is none."""
        named = ", ".join(f"{name} (pid {pid})" for pid, name in self.processes[:_NAMED])
        more = len(self.processes) - _NAMED
        return f"{named} and {more} more" if more > 0 else named


def sharers(owner: str, pids: Mapping[str, int], proc: Path = _PROC) -> Sharers | None:
    """`pids`: of the first process of each container that runs, by the container's id, as the engine tells them. None
    where the namespace may not be looked at, or that pid is another process here."""
    inside = _namespace(proc, pids.get(owner, 0))
    if inside is None or owner not in _cgroup(proc, pids[owner]) or inside == _namespace(proc, os.getpid()):
        return None
    mine = [
        identity
        for identity, pid in pids.items()
        if identity != owner and _namespace(proc, pid) == inside and identity in _cgroup(proc, pid)
    ]
    return Sharers(tuple(mine), tuple(_others(proc, inside, (owner, *mine))))


def _others(proc: Path, inside: str, known: Iterable[str]) -> Iterator[tuple[int, str]]:
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):
        if _namespace(proc, pid) == inside:
            cgroup = _cgroup(proc, pid)
            if not any(identity in cgroup for identity in known):
                yield pid, _text(proc / str(pid) / "comm").strip() or "?"


def _namespace(proc: Path, pid: int) -> str | None:
    try:
        return os.readlink(proc / str(pid) / "ns/net") if pid else None
    except OSError:
        return None


def _cgroup(proc: Path, pid: int) -> str:
    """Names the container by its id, whoever made the cgroup: systemd or the engine."""
    return _text(proc / str(pid) / "cgroup")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""
