"""What devices carry, and the connections of the container whose card is on screen: read again and again, for as long
as somebody looks. Asks only."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

from netdash.collect.conntrack import read_of
from netdash.collect.netlink import link_counters
from netdash.model.errors import NetdashError
from netdash.model.kernel_state import NOTHING, LinkReading, Tracking, UsedReading, Watched

MOST = 500  # connections of one container
_EACH = 2.0  # seconds between two readings for columns and the map
_OF_ONE = 5.0  # and for a card, which is always on screen
_SOON = 1.0  # seconds that the cursor stays on a container before it is asked for, and before it is asked again
_SELDOM = 30.0  # seconds after which connections are asked for although no packet came: they are forgotten
_SHARE = 200  # times as long as it takes the kernel to find them among all are they not asked for again


class TrafficReader:
    """`put` gets what was read, by path, unless it says nothing new; nothing where nobody looks any more."""

    def __init__(self, put: Callable[[Mapping[str, object]], None]) -> None:
        self._put = put
        self._changed = threading.Condition()
        self._watched = NOTHING
        self._running = False
        self._counters: LinkReading | None = None
        self._used: UsedReading | None = None
        self._used_at = self._used_took = 0.0
        self._used_moved = False  # whether packets came before the last reading: the next one tells that they ended
        self._unread = False  # whether packets came since

    def watch(self, watched: Watched) -> None:
        """Any thread may call it; returns at once."""
        with self._changed:
            if watched == self._watched:
                return
            self._watched = watched
            self._changed.notify()
            if watched != NOTHING and not self._running:
                self._running = True
                threading.Thread(target=self._run, name="traffic", daemon=True).start()

    def _run(self) -> None:
        done, readings = NOTHING, 0
        while (watched := self._next(done, readings)) is not None:
            done, readings = watched, readings + 1 if watched == done else 1
            answers: dict[str, object] = {}
            new = [self._read_counters(watched, answers), self._read_used(watched, answers)]
            if any(new):
                self._put(answers)

    def _next(self, done: Watched, readings: int) -> Watched | None:
        """What to read now, when it is time for it; None where nobody looks any more. The second reading, which tells
        rates, comes soon."""
        began = time.monotonic()
        with self._changed:
            while self._watched != NOTHING:
                watched = self._watched
                if watched.counters:  # the cursor may move all the time
                    wait = 0.0 if not done.counters else began + (_EACH if readings > 1 else _SOON) - time.monotonic()
                else:
                    wait = _OF_ONE if watched == done and readings > 1 else _SOON
                if not self._changed.wait_for(partial(self._is_other, watched), max(0.0, wait)):
                    return watched
            self._nothing()
            self._running = False
        return None

    def _is_other(self, watched: Watched) -> bool:
        return self._watched != watched

    def _read_counters(self, watched: Watched, answers: dict[str, object]) -> bool:
        """Whether it says another thing than the last reading. What is refused stays unknown."""
        last, self._counters = self._counters, None
        if watched.counters or watched.devices:
            with contextlib.suppress(OSError):
                counts = link_counters(() if watched.counters else watched.devices)
                before = (last.at, last.counts) if last is not None else (None, {})
                self._counters = answers[LinkReading.PATH] = LinkReading(time.monotonic(), counts, *before)
        reading = self._counters
        if reading is None or last is None:
            return reading is not last
        return watched.counters or (reading.counts, reading.before) != (last.counts, last.before)

    def _read_used(self, watched: Watched, answers: dict[str, object]) -> bool:
        """The same of connections, which may be refused where counters are not: those need no privilege. Not asked for
        again where no packet came to the container's devices or left them."""
        last, began = self._used, time.monotonic()
        moved = self._have_moved(watched) or self._unread
        if last is not None and last.addresses == watched.addresses and not watched.flows:
            waits = self._used_took * _SHARE
            if not moved and not (self._used_moved and last.tracking.entries):
                waits = _SELDOM if last.tracking.entries else math.inf
            if began < self._used_at + waits:
                answers[UsedReading.PATH], self._unread = last, moved
                return False
        self._used = None
        if watched.addresses and not watched.flows:
            with contextlib.suppress(OSError, NetdashError):
                entries, more = read_of(watched.addresses, MOST)
                now = time.time()
                tracking = Tracking(tuple((body, None) for body in entries), now, now, left_out=more)
                self._used = answers[UsedReading.PATH] = UsedReading(watched.addresses, tracking)
        self._used_at, self._used_took = began, time.monotonic() - began
        self._used_moved, self._unread = moved, False
        reading = self._used
        if reading is None or last is None:
            return reading is not last
        return bool(reading.tracking.entries or last.tracking.entries or reading.addresses != last.addresses)

    def _have_moved(self, watched: Watched) -> bool:
        """Whether packets came to the devices, or left them, since the reading before; also where that is not known."""
        reading = self._counters
        if reading is None or reading.since is None or not watched.devices:
            return True
        return any(
            index not in reading.counts or reading.counts[index] != reading.before.get(index)
            for index in watched.devices
        )

    def _nothing(self) -> None:
        self._counters = self._used = None
        self._put({})
