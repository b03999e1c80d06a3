"""Keeps a live host current whose engine is in another network namespace: a thread asks there, and what the machine's
own thread finds here is held back, the listeners apart. Parses nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from netdash.collect.answer_store import Board
from netdash.collect.container_namespaces import Target
from netdash.collect.namespaces import ENGINE, elsewhere, read_inside, told
from netdash.model.host import Failure

_SOURCES = ("links", "routes", "neighbours", "rules", "proxies", "sysctls")
_PARTS = (*_SOURCES, "policy", "netns", "inside")
_LEAST = 5.0  # seconds between two looks: each is a process of its own


class Gate(Board):
    """The board as the machine's thread sees it. While it is shut, only the listeners pass."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.shut = False

    def put(
        self,
        part: str,
        answers: Mapping[str, object],
        failures: Mapping[str, Failure] | None = None,
        now: bool = True,
    ) -> None:
        if not self.shut or part not in _PARTS:
            self._board.put(part, answers, failures, now)

    def fail(self, part: str, failure: Failure) -> None:
        if not self.shut or part not in _PARTS:
            self._board.fail(part, failure)

    def looked_inside(self) -> None:
        if not self.shut:
            self._board.looked_inside()

    def touch(self) -> None:
        self._board.touch()


class Beyond:
    """`follow` is called with the engine's process whenever the engine told something."""

    def __init__(self, board: Board, gate: Gate, interval: float, limit: float) -> None:
        self._board = board
        self._gate = gate
        self._interval = max(interval, _LEAST)
        self._limit = limit
        self._bell = threading.Condition()
        self._pid: int | None = None
        self._targets: tuple[Target, ...] = ()
        self._rung = self._stopped = False
        self._thread: threading.Thread | None = None
        self._known: dict[str, object] = {}

    def follow(self, pid: int | None, targets: Iterable[Target]) -> None:
        with self._bell:
            changed = pid != self._pid
            self._pid, self._targets, self._rung = pid, tuple(targets), True
            self._bell.notify()
        if pid is None or not changed:
            return
        other = elsewhere(pid)
        if other and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="beyond", daemon=True)
            self._thread.start()
        elif other is False:
            self._gate.shut = False
            self._board.put("engine", {ENGINE: told(pid, "here")})

    def stop(self) -> None:
        with self._bell:
            self._stopped = True
            self._bell.notify()

    def _run(self) -> None:
        while True:
            with self._bell:
                if self._stopped:
                    return
                self._rung = False
                pid, targets = self._pid, self._targets
            if pid is not None and elsewhere(pid):
                self._look(pid, targets)
            with self._bell:
                self._bell.wait_for(lambda: self._rung or self._stopped, self._interval)

    def _look(self, pid: int, targets: tuple[Target, ...]) -> None:
        found = read_inside(pid, _SOURCES, targets, self._limit, whole=False)
        if found is None:
            self._gate.shut = False
            self._board.put("engine", {ENGINE: told(pid, "elsewhere")})
            return
        if not self._gate.shut:
            self._gate.shut = True
            for part in _PARTS:
                self._board.put(part, {}, now=False)
        answers = {path: self._same(path, answer) for path, answer in found[0].items()}
        self._known = answers | {ENGINE: self._same(ENGINE, told(pid, "entered"))}
        self._board.put("engine", self._known, found[1])
        self._board.looked_inside()

    def _same(self, path: str, answer: object) -> object:
        """The object of the look before where it says the same: parsers go by identity."""
        before = self._known.get(path)
        return before if before == answer else answer
