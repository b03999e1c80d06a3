"""When Python's garbage collector looks, which stops every thread: in small bites, and at everything only while nobody
is at the keyboard."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import monotonic

YOUNG = 2_000  # new objects looked at in one go: 0.5 ms; 50,000 take 15
MIDDLE = 10  # such goes until those that stayed are looked at once more: 5 ms
NEVER = 1 << 30
EVERY = 600.0  # seconds between two looks at everything
AWAY = 30.0  # seconds without a key


class Collector:
    """To look at all objects of a host of 10,000 rules takes 120 ms. It can wait: what an old host was made of goes
    with its last reference, and hardly anything is ever part of a cycle."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._touched = clock()

    def begin(self) -> None:
        """What was loaded so far lives as long as the program: the collector need not look at it again."""
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, NEVER)
        gc.enable()

    def touched(self) -> None:
        """The user did something."""
        self._touched = self._clock()

    def tidy(self) -> None:
        """Looks at everything, unless somebody is at the keyboard."""
        if self._clock() - self._touched > AWAY:
            gc.collect()
