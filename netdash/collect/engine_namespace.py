"""Which kernel and network namespace the engine has. A namespace that is not this one is asked by nsenter, in a process
of its own. A thread keeps a live host current whose engine is there. Parses nothing but the answer
of that process, changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import psutil

from netdash.collect.answer_store import AnswerStore
from netdash.collect.command import find, run
from netdash.collect.container_namespaces import Target
from netdash.collect.procfs import belongs
from netdash.model.engine_state import ANOTHER, PROVED
from netdash.model.host import Failure
from netdash.model.source import COUNTING, IN_NAMESPACE, Source
from netdash.parse.json_values import integer, items, mapping, text

_CLOSE = 5.0  # seconds between a process's start by the kernel and by the engine
_FIRST_PIDS = 0xEFFFFFFC  # inode of the first process namespace: include/linux/proc_ns.h


def kernel_of(answers: Mapping[str, object]) -> str | None:
    """The answer host/engine-kernel.txt: PROVED, or ANOTHER and the reason; None where neither can be told."""
    theirs = text(mapping(answers.get("docker/version.json")).get("KernelVersion"))
    ours = os.uname().release
    if theirs and theirs != ours:
        return f"{ANOTHER} it runs on kernel {theirs}, this machine on {ours}\n"
    running = list(_running(answers.get("docker/inspect.json")))
    if any(_is_here(*value) for value in running):
        return f"{PROVED}\n"
    if not running or _has_its_bridge(answers.get("docker/networks.json")) or not _sees_all_processes():
        return None
    return f"{ANOTHER} none of its {len(running)} running containers has a process here\n"


def _running(inspected: object) -> Iterator[tuple[int, str, str]]:
    """Process, id and time of the start of each running container."""
    for raw in map(mapping, items(inspected)):
        state = mapping(raw.get("State"))
        pid, identity = integer(state.get("Pid")), text(raw.get("Id"))
        if pid is not None and pid > 1 and identity and len(identity) >= 12:
            yield pid, identity, text(state.get("StartedAt")) or ""


def _is_here(pid: int, identity: str, started: str) -> bool:
    """Its control group names the container, or it began when the engine says."""
    if belongs(pid, identity):
        return True
    try:
        return abs(psutil.Process(pid).create_time() - datetime.fromisoformat(started).timestamp()) < _CLOSE
    except (ValueError, OverflowError, psutil.Error):
        return False


def _has_its_bridge(networks: object) -> bool:
    """A bridge that is named by the id of one of its networks; docker0 may be that of another engine."""
    ours = {name for _, name in socket.if_nameindex()}
    return any(f"br-{text(mapping(item).get('Id')) or ''}"[:15] in ours for item in items(networks))


def _sees_all_processes() -> bool:
    """False in a process namespace of its own, or where /proc is mounted with hidepid."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _FIRST_PIDS and Path("/proc/1").exists()
    except OSError:
        return False


ENGINE = "host/engine.txt"
_INNER_PROGRAM = "netdash.collect.once"
_MOST = 100_000  # bytes of the question: the kernel takes 128 KiB in one argument

Found = tuple[Mapping[str, object], Mapping[str, Failure]]


def in_other_namespace(pid: int, proc: Path = Path("/proc")) -> bool | None:
    """Whether a process is in another network namespace; None where it cannot be told. Its threads are asked: an engine
    sends them into containers, and Podman's main thread may stay there."""
    try:
        own = _namespace(proc / "self")
    except OSError:
        return None
    found = _threads(pid, proc).values()
    return own not in found if found else None


def main_thread(pid: int, proc: Path = Path("/proc")) -> int:
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


def engine_line(pid: int, place: str) -> str:
    """The answer host/engine.txt: `PID COMMAND PLACE UID`, where the place is "here", "entered" or "elsewhere"."""
    try:
        process = psutil.Process(pid)
        command, uid = process.name(), str(process.uids().real)
    except psutil.Error:
        command, uid = "", ""
    return f"{pid} {'_'.join(command.split()) or '?'} {place} {uid}".rstrip() + "\n"


def read_namespace(
    pid: int, sources: Iterable[str], targets: Iterable[Target], limit: float, whole: bool
) -> Found | None:
    """What the kernel says in the process's network namespace; None without the right to enter it. Root may enter any,
    another user the one of an own rootless engine, through its user namespace."""
    nsenter = find("nsenter")
    if nsenter is None:
        return None
    enter = [nsenter, f"--target={main_thread(pid)}", "--net"]
    if os.geteuid() != 0:
        enter += ["--user", "--preserve-credentials"]
    asked = json.dumps({"sources": sorted(sources), "limit": limit, "whole": whole, "targets": _fitting(targets)})
    output = run([*enter, "--", sys.executable, "-m", _INNER_PROGRAM, asked], limit * 2)
    try:
        answers, failures = json.loads(output.text)
        return dict(answers), {source: Failure.of(source, words) for source, words in failures.items()}
    except (ValueError, TypeError, AttributeError):
        return None


def _fitting(targets: Iterable[Target]) -> list[tuple[object, ...]]:
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


_PARTS = (*IN_NAMESPACE, "policy", "netns", Source.INSIDE)
_LEAST = 5.0  # seconds between two looks: each is a process of its own


class MutedStore(AnswerStore):
    """The store as the machine's thread sees it. While it is shut, only the listeners pass."""

    def __init__(self, store: AnswerStore) -> None:
        self._store = store
        self.muted = False

    def put(
        self,
        part: str,
        answers: Mapping[str, object],
        failures: Mapping[str, Failure] | None = None,
        now: bool = True,
    ) -> None:
        if not self.muted or part not in _PARTS:
            self._store.put(part, answers, failures, now)

    def fail(self, part: str, failure: Failure) -> None:
        if not self.muted or part not in _PARTS:
            self._store.fail(part, failure)

    def looked_inside(self) -> None:
        if not self.muted:
            self._store.looked_inside()

    def touch(self) -> None:
        self._store.touch()


class EngineNamespaceReader:
    """`follow` is called with the engine's process whenever the engine told something."""

    def __init__(self, store: AnswerStore, muted: MutedStore, interval: float, limit: float) -> None:
        self._store = store
        self._muted_store = muted
        self._interval = max(interval, _LEAST)
        self._limit = limit
        self._wake = threading.Condition()
        self._pid: int | None = None
        self._targets: tuple[Target, ...] = ()
        self._changed = self._stopped = False
        self._thread: threading.Thread | None = None
        self._known: dict[str, object] = {}
        self._sources = IN_NAMESPACE - {Source.DROPS}

    def follow(self, pid: int | None, targets: Iterable[Target]) -> None:
        with self._wake:
            changed = pid != self._pid
            self._pid, self._targets, self._changed = pid, tuple(targets), True
            self._wake.notify()
        if pid is None or not changed:
            return
        other = in_other_namespace(pid)
        if other and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="engine namespace", daemon=True)
            self._thread.start()
        elif other is False:
            self._muted_store.muted = False
            self._store.put("engine", {ENGINE: engine_line(pid, "here")})

    def watch_drops(self, wanted: bool) -> None:
        """Counters of lost packets too from now on, or no more."""
        with self._wake:
            self._sources = IN_NAMESPACE if wanted else IN_NAMESPACE - {Source.DROPS}
            self._changed = True
            self._wake.notify()

    def stop(self) -> None:
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._stopped:
                    return
                self._changed = False
                pid, targets = self._pid, self._targets
            if pid is not None and in_other_namespace(pid):
                self._look(pid, targets)
            with self._wake:
                self._wake.wait_for(lambda: self._changed or self._stopped, self._interval)

    def _look(self, pid: int, targets: tuple[Target, ...]) -> None:
        found = read_namespace(pid, self._sources, targets, self._limit, whole=False)
        if found is None:
            self._muted_store.muted = False
            self._store.put("engine", {ENGINE: engine_line(pid, "elsewhere")})
            return
        if not self._muted_store.muted:
            self._muted_store.muted = True
            for part in _PARTS:
                self._store.put(part, {}, now=False)
        answers = {path: self._same(path, answer) for path, answer in found[0].items()}
        self._known = answers | {ENGINE: self._same(ENGINE, engine_line(pid, "entered"))}
        self._store.put("engine", self._known, found[1])
        self._store.looked_inside()

    def _same(self, path: str, answer: object) -> object:
        """The object of the look before where it says the same: parsers go by identity."""
        before = self._known.get(path)
        return before if before == answer and path not in COUNTING else answer
