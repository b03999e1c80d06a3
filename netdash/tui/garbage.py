"""When Python's garbage collector looks, which stops every thread: in small bites, and at more only in moments when no
key waits for it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from time import monotonic

YOUNG = 2_000  # new objects looked at in one go: 0.5 ms; 50,000 take 15
MIDDLE = 10  # such goes until those that stayed are looked at once more: 5 ms
NEVER = 1 << 30
EVERY = 2.0  # seconds between two ticks
GROWN = 30_000  # blocks of memory more than after the look before, 2 to 3 MiB: 8 ms
IDLE = 1.0  # seconds without a key for each such look's length: the next key is not likely to come within it
RUNAWAY = 6 * GROWN  # where keys never pause: frozen without a look, which would take 45 to 200 ms
AWAY = 30.0  # seconds without a key: a look at everything is not felt
EVERYTHING = 600.0  # seconds between two looks at everything


class Collector:
    """What an old host was made of goes with its last reference. Cycles are the libraries' (a message that was drawn,
    an answer of the kernel), and are looked for among what came since the last look: all objects of a host of 10,000
    rules take 120 ms."""

    def __init__(
        self, clock: Callable[[], float] = monotonic, blocks: Callable[[], int] = sys.getallocatedblocks
    ) -> None:
        self._clock = clock
        self._blocks = blocks
        self._touched = self._looked = clock()
        self._held = blocks()

    def begin(self) -> None:
        """What was loaded so far lives as long as the program: the collector need not look at it again."""
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, NEVER)
        gc.enable()
        self._held = self._blocks()

    def touched(self) -> None:
        """The user did something."""
        self._touched = self._clock()

    def tick(self) -> None:
        """Looks, where there is reason to and nobody would feel it."""
        now, grown = self._clock(), self._blocks() - self._held
        quiet = now - self._touched
        if quiet > AWAY and now - self._looked > EVERYTHING:
            gc.unfreeze()
            self._looked = now
        elif grown < GROWN or quiet < IDLE * grown / GROWN:
            self._held += min(0, grown)
            if grown > RUNAWAY:
                gc.freeze()
                self._held = self._blocks()
                self._looked = now - EVERYTHING  # the next time that the user is away
            return
        gc.collect()
        gc.freeze()  # what is left stays: the next look is as short
        self._held = self._blocks()
