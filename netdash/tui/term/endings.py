"""However netdash ends, the terminal is as before and the exit code says why."""

from __future__ import annotations

import contextlib
import os
import signal
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
