"""Where the readers put their answers, and the one thread that publishes them as a recording."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from netdash.bundle.recording import Recording
from netdash.model.host import Failure
from netdash.model.source import AWAITED, Source

_GAP = 0.015  # seconds between two publications; the first of a burst goes out at once
_REST = 4.0  # times what one cost until the next, once all is read: keys need the interpreter too
_LONGEST = 1.0  # seconds of that
_CAP_NET_ADMIN = 12


class AnswerStore:
    """`put` may be called by any thread. Unchanged answers stay the very same objects: parsers go by identity."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._parts: dict[str, tuple[Mapping[str, object], Mapping[str, Failure]]] = {}
        self._pending = set(AWAITED)
        self._dirty = False
        self._stopped = False
        self._publish: Callable[[Recording], None] | None = None
        self._hostname = socket.gethostname()
        self._privileged = privileged()
        self.heard: Callable[[], float | None] = lambda: None  # when the engine last answered, or sent an event

    def start(self, publish: Callable[[Recording], None]) -> None:
        self._publish = publish
        threading.Thread(target=self._run, name="publisher", daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def put(
        self,
        part: str,
        answers: Mapping[str, object],
        failures: Mapping[str, Failure] | None = None,
        now: bool = True,
    ) -> None:
        """All that is known of one part, which takes the place of what was; a part named like a source ends its being
        pending, Source.INSIDE apart. Without `now` it is published with the next change or `touch`."""
        new = (dict(answers), dict(failures or {}))
        with self._changed:
            old = self._parts.get(part)
            if old and old[1] == new[1] and _same(old[0], new[0]):
                return
            self._parts[part] = new
            if part != Source.INSIDE:
                self._pending.discard(part)
            self._dirty = self._dirty or now
            self._changed.notify()

    def fail(self, part: str, failure: Failure) -> None:
        """Keeps the part's last answers and says that they are no longer current, or were never read."""
        self.put(part, self._parts.get(part, ({}, {}))[0], {failure.source: failure})

    def looked_inside(self) -> None:
        """Every container that runs was looked into once, or none can be."""
        with self._changed:
            if Source.INSIDE in self._pending:
                self._pending.discard(Source.INSIDE)
                self._dirty = True
                self._changed.notify()

    def touch(self) -> None:
        """Everything was looked at again: publish, though nothing may have changed."""
        with self._changed:
            self._dirty = True
            self._changed.notify()

    def recording(self) -> Recording:
        with self._changed:
            parts, pending = list(self._parts.values()), frozenset(self._pending)
        answers: dict[str, object] = {}
        failures: dict[str, Failure] = {}
        for some_answers, some_failures in parts:
            answers.update(some_answers)
            failures.update(some_failures)
        return Recording(
            answers=answers,
            failures=failures,
            pending=pending,
            taken=time.time(),
            hostname=self._hostname,
            live=True,
            privileged=self._privileged,
            heard=self.heard(),
        )

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._dirty and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                self._dirty = False
            recording, began = self.recording(), time.thread_time()
            if self._publish:
                self._publish(recording)
            rest = 0.0 if recording.pending else _REST * (time.thread_time() - began)
            time.sleep(min(max(_GAP, rest), _LONGEST))


def _same(before: Mapping[str, object], now: Mapping[str, object]) -> bool:
    return before.keys() == now.keys() and all(before[path] is answer for path, answer in now.items())


def privileged() -> bool:
    """Whether the rules may be read: CAP_NET_ADMIN, which root in a container may lack."""
    try:
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return os.geteuid() == 0
    return any(line.startswith("CapEff:") and int(line[7:], 16) >> _CAP_NET_ADMIN & 1 for line in lines)


def more_rights() -> str:
    """What to do where the kernel refuses: root lacks a right where it is in a container."""
    return "run with sudo" if os.geteuid() else "in a container: docker run --privileged"
