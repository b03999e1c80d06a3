"""Calls that may take long, in a thread, for a screen that goes on meanwhile. Knows nothing of what is called."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from textual.widget import Widget

from netdash.model.errors import NetdashError

Result = TypeVar("Result")


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
