"""Ends the dashboard when its terminal goes away. The signal for that may never come: sudo and make keep it."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable

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
