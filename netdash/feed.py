"""Feeds of the dashboard: a live one, where a reader's recordings become hosts, and a still one of a recording."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from netdash.core.join import Builder
from netdash.core.model import Host
from netdash.core.recording import Recording


class Reader(Protocol):
    """What a live feed needs of `netdash.read.live.LiveReader`."""

    def start(self, publish: Callable[[Recording], None]) -> None: ...

    def refresh(self) -> None: ...

    def stop(self) -> None: ...


class LiveFeed:
    """Reads from the moment it is made, so that the screen can be loaded meanwhile; keeps the newest host only."""

    live = True

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._builder = Builder()
        self._lock = threading.Lock()
        self._newest: Host | None = None
        self._publish: Callable[[Host], None] | None = None
        reader.start(self._build)

    def start(self, publish: Callable[[Host], None]) -> None:
        """Hosts go to `publish` from now on, the newest known one at once."""
        with self._lock:
            self._publish = publish
            if self._newest is not None:
                publish(self._newest)

    def refresh(self) -> None:
        self._reader.refresh()

    def stop(self) -> None:
        with self._lock:
            self._publish = None
        self._reader.stop()

    def _build(self, recording: Recording) -> None:
        """In the reader's one publishing thread: the builder is not for two."""
        host = self._builder.build(recording)
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

    def refresh(self) -> None:
        """A recording has nothing newer."""

    def stop(self) -> None:
        """Nothing runs."""
