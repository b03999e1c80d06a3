"""The doctor behind the screen: has the newest host examined, one examination at a time, and no key waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from netdash.model.finding import Health, health_of, keep_health
from netdash.model.host import Host
from netdash.model.source import Source
from netdash.tui.interfaces import HostState
from netdash.view import marks
from netdash.view.text import Line, Span, Tone

_NEEDED = frozenset((Source.DOCKER, Source.RULES, Source.ROUTES, Source.LINKS))
_AGAIN = 60.0  # seconds after which a host is examined again of which only counters and neighbours changed
_REST = 1.0  # times the length of an examination until the next: what changes all the time costs half a processor


Examine = Callable[[Host], Health]


def _here(host: Host) -> Health:
    from netdash.doctor.examine import examine  # the first rows do not wait for it

    return examine(host)


class Examiner:
    """`told`: called in the examiner's thread with a host whose health is known then. `failed`: with what ended it.
    `examine`: is waited for in that thread; None to examine in it."""

    def __init__(
        self, told: Callable[[Host], None], failed: Callable[[BaseException], None], examine: Examine | None = None
    ) -> None:
        self._told, self._failed, self._examine = told, failed, examine or _here
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
            from netdash.doctor.watch import Watch

            watches: dict[str | None, Watch] = {}
            while self._wake.wait():
                self._wake.clear()
                host = self._next
                if host is not None:
                    self._at = time.monotonic()
                    self._last = host
                    health = self._examine(host)
                    if host.live:
                        health = watches.setdefault(host.name, Watch()).dated(health, host.taken or time.time())
                    keep_health(host, health)
                    self._told(host)
                self.busy = self._wake.is_set()
                if host is not None and host.live:
                    time.sleep(_REST * (time.monotonic() - self._at))
        except BaseException as error:  # it ends netdash as an error of its own does
            self._failed(error)


def _bearing(host: Host) -> tuple[object, ...]:
    """What the answers hang on, as far as it does not move at every poll."""
    rules = host.ruleset.shape or host.ruleset if host.ruleset is not None else None
    parts = (host.containers, host.networks, host.links, host.routes, host.policy, host.proxies, host.listeners)
    return (*map(id, (*parts, rules, host.sysctls, host.drift)), host.pending, frozenset(host.failures))


class Verdicts:
    """How many containers fare how on each host: worked out one host after the other while somebody looks."""

    def __init__(self, failed: Callable[[BaseException], None], examine: Examine | None = None) -> None:
        self._known: dict[str, tuple[Host, Line]] = {}
        self._examiner = Examiner(self._examined, failed, examine)
        self._asked: tuple[str, Host] | None = None

    def look(self, states: Sequence[HostState]) -> None:
        """Asks for the first host of which this is not known, or known of an older state only."""
        if self._examiner.busy:
            return
        old = (state for state in states if state.host.containers is not None and not state.lost)
        wanted = next((one for one in old if self._known.get(one.name, (None, ()))[0] is not one.host), None)
        if wanted is not None:
            self._asked = (wanted.name, wanted.host)
            self._examiner.look(wanted.host)

    def _examined(self, host: Host) -> None:
        health = health_of(host)
        if self._asked is not None and self._asked[1] is host and health is not None:
            self._known[self._asked[0]] = (host, marks.counts(health) or (Span("✓ ", Tone.GOOD),))

    def of(self, state: HostState) -> Line:
        """✗3 !2 of a host; "…" until that is known."""
        if state.host.containers is None or state.lost:
            return ()
        return self._known.get(state.name, (None, (marks.WAITS, Span(" "))))[1]
