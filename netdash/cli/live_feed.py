"""Feeds of the dashboard: a live one, where a reader's recordings become hosts, and a still one of a recording."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from netdash.bundle.recording import Recording
from netdash.cli.kept import with_kept
from netdash.join.host import Builder
from netdash.model.host import Host

if TYPE_CHECKING:
    from netdash.collect.first_answer import First, FirstAnswers


class Reader(Protocol):
    """What a live feed needs of `netdash.collect.live.LiveReader`."""

    def start(self, publish: Callable[[Recording], None]) -> None: ...

    def refresh(self) -> None: ...

    def stop(self) -> None: ...


class LiveFeed:
    """Shows the engine's first answers as soon as they and the screen are there, and reads everything else after that:
    loading what reads would keep the screen waiting. `reader` makes the reader; it gets those answers."""

    live = True

    def __init__(self, reader: Callable[[First | None], Reader], asked: FirstAnswers | None = None) -> None:
        self._make = reader
        self._reader: Reader | None = None
        self._builder = Builder()
        self._lock = threading.Lock()
        self._newest: Host | None = None
        self._publish: Callable[[Host], None] | None = None
        self._first: First | None = None
        self._taken = threading.Thread(target=self._take, args=(asked,), name="first answers", daemon=True)
        self._taken.start()

    def start(self, publish: Callable[[Host], None]) -> None:
        """Hosts go to `publish` from now on, the newest known one at once."""
        with self._lock:
            self._publish = publish
            if self._newest is not None:
                publish(self._newest)

    def shown(self) -> None:
        threading.Thread(target=self._begin, name="beginning", daemon=True).start()

    def refresh(self) -> None:
        if self._reader:
            self._reader.refresh()

    def stop(self) -> None:
        with self._lock:
            self._publish = None
            reader = self._reader
        if reader:
            reader.stop()

    def _take(self, asked: FirstAnswers | None) -> None:
        self._first = asked.take() if asked else None
        if self._first:
            self._build(self._first.recording())

    def _begin(self) -> None:
        self._taken.join()  # from here on the builder is the reader's
        reader = self._make(self._first)
        with self._lock:
            self._reader = reader
        reader.start(self._build)

    def _build(self, recording: Recording) -> None:
        """In one thread at a time: the builder is not for two."""
        host = self._builder.build(with_kept(recording))
        with self._lock:
            self._newest = host
            if self._publish is not None:
                self._publish(host)


class StillFeed:
    """One host that never changes."""

    live = False

    def __init__(self, host: Host) -> None:
        self._host = host

    def start(self, publish: Callable[[Host], None]) -> None:
        publish(self._host)

    def shown(self) -> None:
        """A recording is complete."""

    def refresh(self) -> None:
        """A recording has nothing newer."""

    def stop(self) -> None:
        """Nothing runs."""
