"""What the command line hands to the dashboard: its feeds, of this host, of a recording, and of several hosts, each of
which is read by itself and blocks no other; and what it may change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from netdash.bundle.recording import Recording
from netdash.cli.own_records import with_own_records
from netdash.join.host import Builder
from netdash.model.host import Failure, Host
from netdash.model.kernel_state import NOTHING, Watched
from netdash.model.records import replace
from netdash.model.source import SOURCES, Source

if TYPE_CHECKING:
    from netdash.engine.first_answer import First, FirstAnswers
    from netdash.publish.checks import Preflight
    from netdash.publish.journal import Outage, Outcome
    from netdash.publish.plan import Plan
    from netdash.publish.request import NewContainer, Request
    from netdash.publish.undo import Choice, Course, Damaged, Pending, Recovery, Taken, Unreadable
    from netdash.tui.interfaces import HostState, Told


class Reader(Protocol):
    """What a live feed needs of `netdash.collect.live.LiveReader`."""

    def start(self, publish: Callable[[Recording], None]) -> None: ...

    def refresh(self) -> None: ...

    def stop(self) -> None: ...


@runtime_checkable
class Watches(Protocol):
    """A reader that can read what is read only while somebody looks at it."""

    reads_flows: bool

    def watch(self, watched: Watched) -> None: ...


_FOREVER = float("inf")
_ELSEWHERE = Failure(
    Source.FLOWS,
    "the dashboard reads the connections of this machine only",
    "netdash --host ssh://HOST flows lists them",
)


class LiveFeed:
    """Shows the engine's first answers as soon as they and the screen are there, and reads everything else after that:
    loading what reads would keep the screen waiting. `reader` makes the reader; it gets those answers."""

    live = True

    def __init__(self, reader: Callable[[First | None], Reader], asked: FirstAnswers | None = None) -> None:
        self._make, self._asked = reader, asked
        self._reader: Reader | None = None
        self._builder = Builder()
        self._turn = threading.Lock()  # held while a host is handed over, which takes long
        self._lock = threading.Lock()  # never held for long: the screen's thread takes it at each key
        self._newest: Host | None = None
        self._publish: Callable[[Host], None] | None = None
        self._first: First | None = None
        self._watched = NOTHING
        self._taken: threading.Thread | None = None  # takes them where `listed` has not

    def start(self, publish: Callable[[Host], None]) -> None:
        """Hosts go to `publish` from now on, the newest known one at once."""
        with self._turn:
            with self._lock:
                self._publish, newest = publish, self._newest
            if newest is not None:
                publish(newest)
        self._await_first()

    def listed(self, seconds: float) -> Host | None:
        """What the engine has listed; None where it has not within `seconds`. Before `start`."""
        self._take(seconds)
        return self._newest if self._newest is not None and self._newest.containers is not None else None

    def _await_first(self) -> None:
        """What `listed` has not is taken by a thread."""
        if self._first is None and self._taken is None:
            self._taken = threading.Thread(target=self._take, name="first answers", daemon=True)
            self._taken.start()

    def shown(self) -> None:
        threading.Thread(target=self._begin, name="beginning", daemon=True).start()

    def refresh(self) -> None:
        if self._reader:
            self._reader.refresh()

    def watch(self, watched: Watched) -> None:
        with self._lock:
            self._watched = watched
            reader = self._reader
        if isinstance(reader, Watches):
            reader.watch(watched)

    def stop(self) -> None:
        with self._lock:
            self._publish = None
            reader = self._reader
        if reader:
            reader.stop()

    def _take(self, seconds: float = _FOREVER) -> None:
        self._first = self._asked.take(seconds) if self._asked else None
        if self._first:
            self._build(self._first.recording())

    def _begin(self) -> None:
        if self._taken is not None:
            self._taken.join()  # from here on the builder is the reader's
        reader = self._make(self._first)
        with self._lock:
            self._reader = reader
            watched = self._watched
        reader.start(self._build)
        if watched != NOTHING:
            self.watch(watched)

    def _build(self, recording: Recording) -> None:
        """In one thread at a time: the builder is not for two."""
        host = self._builder.build(with_own_records(recording))
        with self._turn:
            with self._lock:
                self._newest, publish = host, self._publish
            if publish is not None:
                publish(host)


class StillFeed:
    """One host that never changes."""

    live = False

    def __init__(self, host: Host) -> None:
        self._host = host

    def start(self, publish: Callable[[Host], None]) -> None:
        publish(self._host)

    def shown(self) -> None:
        """A recording is complete."""

    def watch(self, watched: Watched) -> None:
        """It is in the recording, or is not."""

    def refresh(self) -> None:
        """A recording has nothing newer."""

    def stop(self) -> None:
        """Nothing runs."""


class _Member:
    """One host: its reader, and what is known of it. Its recordings are built in the reader's own thread."""

    def __init__(self, name: str, reader: Reader, changed: Callable[[_Member], None]) -> None:
        self.name = name
        self.reader = reader
        self._changed = changed
        self._builder = Builder()
        pending = Recording(answers={}, pending=frozenset(SOURCES), hostname=name, live=True)
        self.host = self._builder.build(pending)
        self._heard: float | None = None  # when it last answered, by the monotonic clock

    def build(self, recording: Recording) -> None:
        if not (isinstance(self.reader, Watches) and self.reader.reads_flows):
            recording = replace(recording, failures={Source.FLOWS: _ELSEWHERE, **recording.failures})
        host = self._builder.build(recording)
        if "host" not in host.failures:
            self._heard = time.monotonic()
        self.host = host
        self._changed(self)

    def state(self) -> HostState:
        from netdash.tui.interfaces import HostState

        age = None if self._heard is None else max(0.0, time.monotonic() - self._heard)
        return HostState(self.name, self.host, age)


class FleetFeed:
    """`readers`: (name, reader) of each host; the first is shown first. `there`: by name, what makes a command one that
    runs on that host. One thread publishes, so that what comes last is of the host that was chosen last."""

    live = True

    def __init__(
        self, readers: Sequence[tuple[str, Reader]], there: Mapping[str, Callable[[str], str]] | None = None
    ) -> None:
        self._there = there or {}
        self._members = [_Member(name, reader, self._answered) for name, reader in readers]
        self._shown = self._members[0]
        self._news = threading.Condition()
        self._dirty = True
        self._stopped = False
        for member in self._members:
            member.reader.start(member.build)

    def start(self, publish: Callable[[Host], None]) -> None:
        threading.Thread(target=self._run, args=(publish,), name="fleet", daemon=True).start()

    def shown(self) -> None:
        """Everything is being read already."""

    def watch(self, watched: Watched) -> None:
        """Of the host that is on screen."""
        for member in self._members:
            if isinstance(member.reader, Watches):
                member.reader.watch(watched if member is self._shown else NOTHING)

    def refresh(self) -> None:
        for member in self._members:
            member.reader.refresh()

    def stop(self) -> None:
        with self._news:
            already, self._stopped = self._stopped, True
            self._news.notify()
        if not already:
            for member in self._members:
                member.reader.stop()

    # --- the hosts ----------------------------------------------------------------------------------------------------

    def states(self) -> Sequence[HostState]:
        return [member.state() for member in self._members]

    @property
    def chosen(self) -> str:
        return self._shown.name

    def there(self, command: str) -> str:
        """The command so that it runs on the chosen host."""
        make = self._there.get(self.chosen)
        return make(command) if make else command

    def look_at(self, name: str) -> None:
        """Shows another host; its newest state comes at once."""
        with self._news:
            self._shown = next((member for member in self._members if member.name == name), self._shown)
            self._dirty = True
            self._news.notify()

    def _answered(self, member: _Member) -> None:
        with self._news:
            if member is self._shown:
                self._dirty = True
                self._news.notify()

    def _run(self, publish: Callable[[Host], None]) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._dirty or self._stopped)
                if self._stopped:
                    return
                self._dirty = False
                host = self._shown.host
            publish(host)


# --- what the dashboard may change on this host ----------------------------------------------------------------------
# Loads `apply` when it is asked: the first paint does not wait for it.


class LocalChanges:
    """The engine of this machine; `docker_host` as for the feed."""

    def __init__(self, docker_host: str | None) -> None:
        self._docker_host = docker_host

    def _address(self) -> str:
        from netdash.engine.context import locate

        return locate(self._docker_host).address

    def preflight(self, asked: Request | NewContainer, host: Host) -> Preflight:
        from netdash.apply.preflight import preflight
        from netdash.publish.request import Mode, Request

        if isinstance(asked, Request):
            return preflight(self._address(), host, asked.container_id, asked.mode is Mode.RECREATE)
        return preflight(self._address(), host, None, details=False, image=asked.image)

    def act(
        self, asked: Request | NewContainer, made: Plan, facts: Preflight, tell: Told, count: Callable[[str], None]
    ) -> Outcome:
        from netdash.apply import publication
        from netdash.publish.request import Request

        if isinstance(asked, Request):
            return publication.publish(made, asked, self._address(), facts, tell)
        return publication.start(made, asked.image, self._address(), facts, tell, count)

    def pending(self) -> Pending:
        """Asked once at every start, where there mostly is nothing."""
        from netdash.apply import state_directory
        from netdash.publish.undo import Pending

        if state_directory.empty():
            return Pending()
        from netdash.apply import publication

        return publication.pending()

    def take_back(self, taken: Taken, tell: Told) -> Outage | None:
        from netdash.apply import publication

        return publication.take_back(taken, tell)

    def course(self, taken: Taken) -> Course:
        from netdash.apply import publication

        return publication.course(taken)

    def recoveries(self) -> Sequence[Recovery | Damaged]:
        from netdash.apply import publication

        return publication.recoveries(self._address())

    def recover(self, record: Taken | Unreadable, choice: Choice, tell: Told) -> None:
        from netdash.apply import publication

        publication.recover(record, choice, tell)
