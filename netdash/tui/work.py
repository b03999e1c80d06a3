"""Long work without holding up the screen: computations in short steps, calls that wait in a thread, and Python's
garbage collector, which stops every thread, in small bites."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Generator
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Generic, TypeVar

from netdash.model.errors import NetdashError

if TYPE_CHECKING:
    import asyncio

    from textual.widget import Widget

Result = TypeVar("Result")
Steps = Generator[None, None, Result]

FIRST = 0.006  # seconds that a computation may take at once; most end within and are never seen to wait
SLICE = 0.002  # seconds between two looks at the keyboard
WAITED = 0.05  # seconds that other work waits for a key's


class Work(Generic[Result]):
    """Runs one computation at a time; a new one takes the place of the one before."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def start(self, steps: Steps[Result], done: Callable[[Result], None]) -> None:
        """Runs `steps` to the end and calls `done`: before returning when it is quick, otherwise in slices."""
        self.stop()
        ended, result = _run(steps, FIRST)
        if ended:
            done(result)  # type: ignore[arg-type]
        else:
            from asyncio import create_task

            self._task = create_task(self._rest(steps, done))

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _rest(self, steps: Steps[Result], done: Callable[[Result], None]) -> None:
        from asyncio import sleep

        ended = False
        while not ended:
            await sleep(0)
            ended, result = _run(steps, SLICE)
        self._task = None
        done(result)  # type: ignore[arg-type]


def _run(steps: Steps[Result], seconds: float) -> tuple[bool, Result | None]:
    until = perf_counter() + seconds
    try:
        while perf_counter() < until:
            next(steps)
    except StopIteration as stop:
        return True, stop.value
    return False, None


class Turn:
    """Lets long work in other threads than the main one, the screen's, wait while a key is worked on: they share one
    interpreter."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._until = 0.0

    def begin(self) -> None:
        """A key has come. Any thread may call it."""
        self._until = monotonic() + WAITED
        self._over.clear()

    def end(self) -> None:
        self._over.set()

    def give_way(self) -> None:
        left = self._until - monotonic()
        if left > 0 and threading.current_thread() is not threading.main_thread():
            self._over.wait(left)


class Background(Generic[Result]):
    """One call at a time; of those that come meanwhile only the newest is made, and only the newest is answered to. The
    thread does not keep the process alive."""

    def __init__(self, screen: Widget) -> None:
        self._screen = screen
        self._next: tuple[Callable[[], Result], Callable[[Result | NetdashError], None]] | None = None
        self._running = False
        self._newest = 0

    @property
    def busy(self) -> bool:
        return self._running

    def start(self, call: Callable[[], Result], done: Callable[[Result | NetdashError], None]) -> None:
        """`done` is called on the screen's side, with the result or with what was raised."""
        self._newest += 1
        self._next = (call, done)
        if not self._running:
            self._begin()

    def forget(self) -> None:
        """What is under way is not answered to."""
        self._newest += 1
        self._next = None

    def _begin(self) -> None:
        if self._next is None:
            return
        (call, done), self._next = self._next, None
        self._running = True
        threading.Thread(target=self._run, args=(self._newest, call, done), name="change", daemon=True).start()

    def _run(self, number: int, call: Callable[[], Result], done: Callable[[Result | NetdashError], None]) -> None:
        result: Result | NetdashError
        try:
            result = call()
        except NetdashError as error:
            result = error
        except Exception as error:  # it must not be lost with the thread
            result = NetdashError(f"internal error: {type(error).__name__}: {error}")
        self._screen.call_later(self._ended, number, done, result)

    def _ended(self, number: int, done: Callable[[Result | NetdashError], None], result: Result | NetdashError) -> None:
        self._running = False
        if number == self._newest:
            done(result)
        self._begin()


YOUNG = 2_000  # new objects looked at in one go: 0.5 ms; 50,000 take 15
NEVER = 1 << 30  # those that stayed are not looked at in the midst of a key's work, which would take 5 to 30 ms
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
        self._first = True  # whether what grew is what the first hosts are made of

    def begin(self) -> None:
        """What was loaded so far lives as long as the program: the collector need not look at it again."""
        gc.freeze()
        gc.set_threshold(YOUNG, NEVER, NEVER)
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
                if not self._first:
                    self._looked = now - EVERYTHING  # the next time that the user is away
                self._first = False
            return
        gc.collect()
        gc.freeze()  # what is left stays: the next look is as short
        self._held = self._blocks()
