"""Which process the engine is, whether its network namespace is this one, and what is asked inside it when it is not.
Enters by nsenter, in a process of its own. Parses nothing but that process's answer."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

from netdash.collect.command import find, run
from netdash.collect.container_namespaces import Target
from netdash.model.host import Failure

ENGINE = "host/engine.txt"
_MOST = 100_000  # bytes of the question: the kernel takes 128 KiB in one argument

Found = tuple[Mapping[str, object], Mapping[str, Failure]]


def elsewhere(pid: int, proc: Path = Path("/proc")) -> bool | None:
    """Whether a process is in another network namespace; None where it cannot be told. Its threads are asked: an engine
    sends them into containers, and Podman's first one stays there."""
    try:
        own = _namespace(proc / "self")
    except OSError:
        return None
    found = _threads(pid, proc).values()
    return own not in found if found else None


def home(pid: int, proc: Path = Path("/proc")) -> int:
    """A thread in the network namespace where most of the process is."""
    threads = _threads(pid, proc)
    often = Counter(threads.values()).most_common(1)
    return next((thread for thread, inode in threads.items() if inode == often[0][0]), pid)


def _threads(pid: int, proc: Path) -> dict[int, int]:
    """The network namespace of each thread."""
    found: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(proc / str(pid) / "task"):
            with contextlib.suppress(OSError, ValueError):
                found[int(name)] = _namespace(proc / str(pid) / "task" / name)
    return found


def _namespace(task: Path) -> int:
    """Each network namespace has one inode for its tcp file, which anyone may look at."""
    return os.stat(task / "net" / "tcp").st_ino


def told(pid: int, place: str) -> str:
    """The answer host/engine.txt: `PID COMMAND PLACE UID`, where the place is "here", "entered" or "elsewhere"."""
    try:
        process = psutil.Process(pid)
        command, uid = process.name(), str(process.uids().real)
    except psutil.Error:
        command, uid = "", ""
    return f"{pid} {'_'.join(command.split()) or '?'} {place} {uid}".rstrip() + "\n"


def read_inside(pid: int, sources: Iterable[str], targets: Iterable[Target], limit: float, whole: bool) -> Found | None:
    """What the kernel says in the process's network namespace; None without the right to enter it. Root may enter any,
    another user the one of an own rootless engine, through its user namespace."""
    nsenter = find("nsenter")
    if nsenter is None:
        return None
    enter = [nsenter, f"--target={home(pid)}", "--net"]
    if os.geteuid() != 0:
        enter += ["--user", "--preserve-credentials"]
    asked = json.dumps({"sources": sorted(sources), "limit": limit, "whole": whole, "targets": _few(targets)})
    output = run([*enter, "--", sys.executable, "-m", __name__, asked], limit * 2)
    try:
        answers, failures = json.loads(output.text)
        return dict(answers), {source: Failure(source, *map(str, words)) for source, words in failures.items()}
    except (ValueError, TypeError, AttributeError):
        return None


def _few(targets: Iterable[Target]) -> list[tuple[object, ...]]:
    """As many as the question has room for; of the others is not known who listens inside."""
    rows: list[tuple[object, ...]] = []
    room = _MOST
    for target in targets:
        row = (target.identity, target.name, target.pid, target.published, target.networks)
        room -= len(json.dumps(row)) + 2
        if room < 0:
            break
        rows.append(row)
    return rows


# --- the process inside -----------------------------------------------------------------------------------------------


def main(asked: str, read: Callable[[frozenset[str], tuple[Target, ...], float, bool], Found]) -> int:
    question = json.loads(asked)
    targets = tuple(Target(*row) for row in question["targets"])
    answers, failures = read(frozenset(question["sources"]), targets, question["limit"], question["whole"])
    words = {source: (failure.reason, failure.remedy) for source, failure in failures.items()}
    sys.stdout.write(json.dumps((answers, words)))
    return 0


if __name__ == "__main__":
    from netdash.collect.once import read_kernel

    sys.exit(main(sys.argv[1], read_kernel))
