"""The doctor behind the screen: has the newest host examined, one examination at a time, and no key waits for it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from operator import attrgetter

from netdash.model.finding import Health, Severity, health_of, keep_health
from netdash.model.host import Host, Ref, Rule
from netdash.model.index import index_of
from netdash.model.memory import same
from netdash.model.numbers import decimal
from netdash.model.records import dataclass, replace
from netdash.model.relations import ref_of
from netdash.model.source import Source
from netdash.tui.interfaces import HostState
from netdash.view import marks
from netdash.view.text import Line, Span, Tone

_NEEDED = frozenset((Source.DOCKER, Source.RULES, Source.ROUTES, Source.LINKS))
_PATIENCE = 10.0  # seconds that all other sources are waited for: they come at once, or not for long
_AGAIN = 60.0  # seconds after which a host is examined again of which only counts and neighbours changed
_REST = 1.0  # times the length of an examination until the next: what changes all the time costs half a processor
_LONGEST = 10.0  # seconds of that: on a busy machine an examination waits for its turn most of the time
_SETTLES = 0.5  # seconds in which all is read again that a container's start or end changes: until then they disagree
_COMES = 2.0  # seconds after such a change in which a new fault is examined again before it is shown


Examine = Callable[[Host], Health]


def carry(known: Health, before: Host, host: Host) -> None:
    """Keeps for `host` what is known of the one before, without the verdicts on containers that were started, stopped,
    paused or connected since: theirs are waited for."""
    old = index_of(before).containers
    standings = {
        container.id: known.standings[container.id]
        for container in host.containers or ()
        if container.id in known.standings and container.id in old and _state(old[container.id]) == _state(container)
    }
    keep_health(host, known if len(standings) == len(known.standings) else replace(known, standings=standings))


_state = attrgetter("state", "pid", "endpoints")


def _here(host: Host) -> Health:
    from netdash.doctor.examine import examine  # the first rows do not wait for it

    return examine(host)


class Examiner:
    """`examined`: called in the examiner's thread with a host whose health is known then. `failed`: with what ended it.
    `examine`: is waited for in that thread; None to examine in it."""

    def __init__(
        self, examined: Callable[[Host], None], failed: Callable[[BaseException], None], examine: Examine | None = None
    ) -> None:
        self._examined, self._failed, self._examine = examined, failed, examine or _here
        self._wake = threading.Event()
        self._next: Host | None = None
        self._seen: Host | None = None
        self._last: dict[str | None, _Examined] = {}  # by the host's name
        self._began: dict[str | None, float] = {}  # by the host's name: since when all but a part is read
        self._thread: threading.Thread | None = None
        self._examining = False

    @property
    def busy(self) -> bool:
        """Whether a host waits or is being examined."""
        return self._wake.is_set() or self._examining

    def look(self, host: Host) -> None:
        """Any thread may call it. What was known of the same host before is shown until this one is examined."""
        before, self._seen = self._seen, host
        if before is not None and before.name == host.name and health_of(host) is None:
            known = health_of(before)
            if known is not None:
                carry(known, before, host)
        if not self.wants(host):
            return
        self._next = host
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="examiner", daemon=True)
            self._thread.start()
        self._wake.set()

    def wants(self, host: Host) -> bool:
        """Whether it was read far enough, and may fare otherwise than when it was examined."""
        if _NEEDED & host.pending or "host" in host.failures:
            return False
        now, last = time.monotonic(), self._last.get(host.name)
        if not host.pending:
            self._began.pop(host.name, None)
        elif now - self._began.setdefault(host.name, now) < _PATIENCE:
            return False
        return last is None or now - last.at >= _stands(last, host)

    def _has_new_containers(self, host: Host) -> bool:
        last = self._last.get(host.name)
        return host.live and last is not None and last.host.containers is not host.containers

    def _settled(self, host: Host, end: float) -> tuple[Host, Health]:
        """Where a container came or went, a new fault may only be what was not read again yet: until `end` the hosts
        that come are examined too, and the last one counts."""
        before = self._last.get(host.name)
        while True:
            self._last[host.name] = _Examined(host, time.monotonic())
            health = self._examine(host)
            left = end - time.monotonic()
            if before is None or left <= 0 or not _is_worse(before, host, health) or not self._wake.wait(left):
                return host, health
            self._wake.clear()
            newest = self._next
            if newest is None or newest.name != host.name:
                self._wake.set()  # it is examined next
                return host, health
            host = newest

    def _run(self) -> None:
        try:
            from netdash.doctor.watch import Watch

            watches: dict[str | None, Watch] = {}
            while self._wake.wait():
                self._examining = True
                if self._next is not None and self._has_new_containers(self._next):
                    time.sleep(_SETTLES)
                self._wake.clear()
                host = self._next
                if host is not None:
                    host, health = self._settled(host, time.monotonic() + _COMES)
                    last = self._last[host.name]
                    last.named = {
                        evidence.ref for finding in health.findings for evidence in finding.evidence if evidence.ref
                    }
                    last.passing = any(finding.code == _OF_TIME for finding in health.findings)
                    if host.live:
                        found = len(health.findings)
                        health = watches.setdefault(host.name, Watch()).dated(health, host.taken or time.time())
                        last.waiting = len(health.findings) < found
                    last.health = health
                    keep_health(host, health)
                    self._examined(host)
                    newest = self._seen
                    if newest is not None and newest is not host and self.wants(newest):
                        self._next = newest  # it was as the host before, and is not as this one
                        self._wake.set()
                self._examining = False
                if host is not None and host.live:
                    time.sleep(min(_REST * (time.monotonic() - self._last[host.name].at), _LONGEST))
        except BaseException as error:  # it ends netdash as an error of its own does
            self._failed(error)


# --- what an examination hangs on -------------------------------------------------------------------------------------

AT_ONCE = ("containers", "networks", "links", "routes", "policy", "proxies", "listeners", "drift")
LATER = tuple("engine bridging qdiscs ipsets ipsec forged process conntrack_counts flows privileged".split())
MADE_ANEW = ("failures", "kept_until", "other_kernel")  # with each host: they are compared by their values
_parts, _lesser, _made_anew = (attrgetter(*names) for names in (AT_ONCE, LATER, MADE_ANEW))
_COUNT, _MOST = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"
_OF_TIME = "crash-loop"  # the finding that goes by itself when nothing happens


@dataclass(slots=True)
class _Examined:
    """The host that was examined last, and when. `named`: what the findings refer to."""

    host: Host
    at: float
    named: Set[Ref] = frozenset()
    passing: bool = False  # whether one of the findings goes by itself when nothing happens
    waiting: bool = False  # whether one of the findings counts only when it has lasted
    health: Health | None = None


def _is_worse(before: _Examined, host: Host, health: Health) -> bool:
    """Whether a fault is new since a live host's containers were others, or elsewhere."""
    if before.health is None or not host.live or _where(before.host) == _where(host):
        return False
    known = {finding.code for finding in before.health.findings}
    return any(finding.severity is not Severity.INFO and finding.code not in known for finding in health.findings)


def _where(host: Host) -> list[tuple[object, ...]]:
    return [(container.id, container.pid, container.endpoints) for container in host.containers or ()]


def _stands(last: _Examined, host: Host) -> float:
    """Seconds after its examination for which what was found is true of `host` too: for ever where nothing changed that
    was asked."""
    before = last.host
    if last.waiting or not same(_parts(before), _parts(host)) or _shape(before) is not _shape(host):
        return 0.0
    if before.pending != host.pending or before.failures.keys() != host.failures.keys():
        return 0.0
    if before.sysctls is not host.sysctls and _settings(before) != _settings(host):
        return 0.0
    if not same(_lesser(before), _lesser(host)) or _made_anew(before) != _made_anew(host):
        return _AGAIN
    if before.neighbours is not host.neighbours and _neighbours(before) != _neighbours(host):
        return _AGAIN
    moved = last.passing or any(_tells(old, new, last.named) for old, new in _counted(before, host))
    return _AGAIN if moved else math.inf


def _shape(host: Host) -> object:
    """The rules without their counters."""
    return host.ruleset.shape or host.ruleset if host.ruleset is not None else None


def _settings(host: Host) -> Mapping[str, str] | None:
    """The sysctls, without the number of connections where there is much room for more."""
    sysctls = host.sysctls
    count, most = (decimal((sysctls or {}).get(name, "")) for name in (_COUNT, _MOST))
    if sysctls is None or count is None or most is None or 2 * count > most:
        return sysctls
    return {name: value for name, value in sysctls.items() if name != _COUNT}


def _neighbours(host: Host) -> Set[tuple[object, ...]] | None:
    """Those that say something of a container or a bridge, without the states that come and go with packets."""
    from netdash.trace.equivalence import DECIDING  # not before the first rows

    index = index_of(host)
    bridges = {link.name for link in host.links or () if link.kind == "bridge"}
    macs = {end.mac for container in host.containers or () for end in container.endpoints}
    if host.neighbours is None:
        return None
    return {
        (
            neighbour.ip,
            neighbour.dev,
            neighbour.mac,
            neighbour.state if neighbour.state in DECIDING or neighbour.mac not in macs else "",
        )
        for neighbour in host.neighbours
        if neighbour.state in DECIDING or neighbour.dev in bridges or neighbour.ip in index.owners
    }


def _counted(before: Host, host: Host) -> Iterator[tuple[Rule, Rule]]:
    """The same rules with their counters then and now, where they are not the same records."""
    if before.ruleset is None or host.ruleset is None or before.ruleset is host.ruleset:
        return
    for then, now in zip(before.ruleset.chains, host.ruleset.chains, strict=True):
        yield from ((old, new) for old, new in zip(then.rules, now.rules, strict=True) if old is not new)


def _tells(old: Rule, new: Rule, named: Set[Ref]) -> bool:
    """Whether a rule has met its first packet, or a finding says how many it has met."""
    return old.packets != new.packets and (not old.packets or not new.packets or ref_of(new) in named)


class Verdicts:
    """How many containers fare how on each host: worked out one host after the other while somebody looks."""

    def __init__(self, failed: Callable[[BaseException], None], examine: Examine | None = None) -> None:
        self._known: dict[str, Line] = {}
        self._examiner = Examiner(self._examined, failed, examine)
        self._asked: tuple[str, Host] | None = None

    def look(self, states: Sequence[HostState]) -> None:
        """Asks for the first host of which this is not known any more."""
        if self._examiner.busy:
            return
        old = (state for state in states if state.host.containers is not None and not state.lost)
        wanted = next((host_state for host_state in old if self._examiner.wants(host_state.host)), None)
        if wanted is not None:
            self._asked = (wanted.name, wanted.host)
            self._examiner.look(wanted.host)

    def _examined(self, host: Host) -> None:
        health = health_of(host)
        if self._asked is not None and self._asked[1] is host and health is not None:
            self._known[self._asked[0]] = marks.counts(health) or (Span("✓ ", Tone.GOOD),)

    def of(self, state: HostState) -> Line:
        """✗3 !2 of a host; "…" until that is known."""
        if state.host.containers is None or state.lost:
            return ()
        return self._known.get(state.name, (marks.WAITS, Span(" ")))
