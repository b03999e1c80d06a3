"""However netdash ends, and when its terminal goes away, the terminal is as before and the exit code says why."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)


@contextlib.contextmanager
def restoring(
    leave: Callable[[], None], stop: Callable[[], None], fail: Callable[[BaseException], None]
) -> Iterator[None]:
    """While this lasts, a signal that ends netdash calls `leave`, which gives the terminal back, and `stop`; what a
    thread raises goes to `fail`, called in that thread."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        try:
            leave()
            stop()
        finally:
            os._exit(128 + number)

    def failed(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            fail(args.exc_value)

    before = {number: signal.signal(number, end) for number in ENDS}
    hook, threading.excepthook = threading.excepthook, failed
    try:
        yield
    finally:
        threading.excepthook = hook
        leave()
        for number, handler in before.items():
            signal.signal(number, handler)


HUNG_UP = 129  # as a shell tells an end by SIGHUP


def watch(stop: Callable[[], None]) -> None:
    """From now on, when the terminal on stdin goes away, calls `stop` and ends the process. Costs a sleeping thread."""
    threading.Thread(target=_wait, args=(sys.stdin.fileno(), stop), name="hangup", daemon=True).start()


def _wait(terminal: int, stop: Callable[[], None]) -> None:
    poll = select.poll()
    poll.register(terminal, 0)  # errors and hangups are always told
    poll.poll()
    try:
        stop()
    finally:
        os._exit(HUNG_UP)  # the main thread may wait for ever for its last line to be written
