"""The doctor behind the screen: examines the newest host in a thread of its own, so that no key waits for it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from netdash.model.finding import health_of, keep_health
from netdash.model.host import Host
from netdash.model.source import Source

_NEEDED = frozenset((Source.DOCKER, Source.RULES, Source.ROUTES, Source.LINKS))
_BRIEF, _USUAL = 0.0005, sys.getswitchinterval()  # seconds
_AGAIN = 60.0  # seconds after which a host is examined again of which only counters and neighbours changed


class Examiner:
    """`told`: called in the examiner's thread with a host whose health is known then. `failed`: with what ended it."""

    def __init__(self, told: Callable[[Host], None], failed: Callable[[BaseException], None]) -> None:
        self._told, self._failed = told, failed
        self._wake = threading.Event()
        self._next: Host | None = None
        self._last: Host | None = None  # that was examined
        self._seen: Host | None = None
        self._at = 0.0
        self._thread: threading.Thread | None = None
        self.busy = False  # whether a host waits or is being examined

    def look(self, host: Host) -> None:
        """Any thread may call it. What was known of the same host before is shown until this one is examined."""
        before, self._seen = self._seen, host
        known = health_of(before) if before is not None and before.name == host.name else None
        if known is not None and health_of(host) is None:
            keep_health(host, known)
        if _NEEDED & host.pending or host.containers is None:
            return
        last, self._next = self._last, host
        if last is not None and _bearing(last) == _bearing(host) and time.monotonic() - self._at < _AGAIN:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="examiner", daemon=True)
            self._thread.start()
        self.busy = True
        self._wake.set()

    def _run(self) -> None:
        try:
            from netdash.doctor.examine import examine  # the first rows do not wait for it
            from netdash.doctor.watch import Watch

            watches: dict[str | None, Watch] = {}
            while self._wake.wait():
                self._wake.clear()
                host = self._next
                if host is not None:
                    self._last, self._at = host, time.monotonic()
                    sys.setswitchinterval(_BRIEF)  # a key waits no longer than this for the interpreter
                    try:
                        health = examine(host)
                    finally:
                        sys.setswitchinterval(_USUAL)
                    if host.live:
                        health = watches.setdefault(host.name, Watch()).dated(health, host.taken or time.time())
                    keep_health(host, health)
                    self._told(host)
                self.busy = self._wake.is_set()
        except BaseException as error:  # it ends netdash as an error of its own does
            self._failed(error)


def _bearing(host: Host) -> tuple[object, ...]:
    """What the answers hang on, as far as it does not move at every poll."""
    rules = host.ruleset.shape or host.ruleset if host.ruleset is not None else None
    parts = (host.containers, host.networks, host.links, host.routes, host.policy, host.proxies, host.listeners)
    return (*map(id, (*parts, rules, host.sysctls, host.drift)), host.pending, frozenset(host.failures))
