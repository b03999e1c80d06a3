"""Long computations in short steps, so that the screen never waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from time import perf_counter
from typing import Generic, TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]

FIRST = 0.006  # seconds that a computation may take at once; most end within and are never seen to wait
SLICE = 0.002  # seconds between two looks at the keyboard


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
            self._task = asyncio.create_task(self._rest(steps, done))

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _rest(self, steps: Steps[Result], done: Callable[[Result], None]) -> None:
        ended = False
        while not ended:
            await asyncio.sleep(0)
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
