"""What the dashboard is handed: the hosts (`Feed`, `Fleet`), what may change this one (`Changes`); and what is read
only while somebody looks at it.

Knows no source, no engine and no file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from netdash.join.rates import veths
from netdash.model.host import Container, Host
from netdash.model.index import sharing
from netdash.model.kernel_state import NOTHING, Watched
from netdash.model.records import dataclass
from netdash.view.table import View

if TYPE_CHECKING:
    from netdash.capture.model import Fate, Pair
    from netdash.capture.model import Plan as Points
    from netdash.publish.checks import Preflight
    from netdash.publish.journal import Outage, Outcome
    from netdash.publish.plan import Plan
    from netdash.publish.request import NewContainer, Request
    from netdash.publish.statement import Statement
    from netdash.publish.undo import Choice, Course, Damaged, Pending, Recovery, Taken, Unreadable

Publish = Callable[[Host], None]


class Feed(Protocol):
    """Supplies one `Host` after another. `live` is False for a recording, which publishes once."""

    @property
    def live(self) -> bool: ...

    def start(self, publish: Publish) -> None:
        """Begins to call `publish`, from any thread; returns at once. A host known already may be published before
        the return. Must not keep the process alive: threads are daemons."""

    def shown(self) -> None:
        """The screen is up: what takes long to load or to read may begin."""

    def refresh(self) -> None:
        """Asks for a new host as soon as possible; returns at once."""

    def watch(self, watched: Watched) -> None:
        """Reads from now on what somebody looks at, and nothing else of the kind; returns at once."""

    def stop(self) -> None:
        """Ends the supply; returns at once, even when a source hangs."""


@dataclass(frozen=True, slots=True)
class HostState:
    """One host of several. `host` is the newest that is known of it; `age`: seconds since it last answered, None when
    it never has."""

    name: str
    host: Host
    age: float | None

    @property
    def lost(self) -> bool:
        """Whether it could not be asked the last time."""
        return "host" in self.host.failures

    @property
    def reading(self) -> bool:
        return self.age is None and not self.lost


@runtime_checkable
class Fleet(Feed, Protocol):
    """A feed of several hosts, one of which it publishes."""

    @property
    def chosen(self) -> str:
        """The name of the host that is published."""

    def states(self) -> Sequence[HostState]:
        """Every host, in a lasting order; returns at once."""

    def there(self, command: str) -> str:
        """A command of a shell so that it runs on the chosen host."""

    def look_at(self, name: str) -> None:
        """Publishes another host from now on, beginning with what is known of it; returns at once."""


Told = Callable[["Statement"], None]
"""Called with what is done next, from the thread that does the work."""


@dataclass(frozen=True, slots=True)
class Made:
    """A container that a change made, or brought back: the one of this name whose id is not `before`."""

    name: str
    before: str | None

    def container(self, host: Host) -> Container | None:
        """None as long as the host does not show it."""
        containers = host.containers or ()
        return next(
            (container for container in containers if container.name == self.name and container.id != self.before), None
        )


LOCAL = "local"  # what a fleet calls this machine


class Capturing(Protocol):
    """Packets of a container being captured, in one thread."""

    @property
    def ended(self) -> str:
        """By which limit; "" as long as it goes on."""

    @property
    def packets(self) -> int: ...

    @property
    def counts(self) -> Mapping[Fate, int]: ...

    @property
    def dropped(self) -> int: ...

    @property
    def unread(self) -> int: ...

    @property
    def gone(self) -> Sequence[str]:
        """Devices that went down or were removed."""

    def step(self, seconds: float) -> Sequence[Pair]:
        """Waits at most so long."""


OpenCapture = Callable[["Points", Callable[[], Host]], AbstractContextManager[Capturing]]
"""Begins to capture when it is entered; the second argument answers with the newest host. Raises NetdashError."""


class Changes(Protocol):
    """Every call may take long: none is made by the screen's own thread. All raise NetdashError."""

    def preflight(self, asked: Request | NewContainer, host: Host) -> Preflight:
        """What a plan needs beside the host; changes nothing."""

    def act(
        self, asked: Request | NewContainer, made: Plan, facts: Preflight, tell: Told, count: Callable[[str], None]
    ) -> Outcome:
        """Carries out an agreed plan: `tell` hears each step before it is done, `count` how far one has come."""

    def pending(self) -> Pending:
        """What can be taken back, and what was interrupted; changes nothing."""

    def take_back(self, taken: Taken, tell: Told) -> Outage | None:
        """How long that took a container down."""

    def course(self, taken: Taken) -> Course:
        """What taking it back will do, by what the engine shows now; changes nothing."""

    def recoveries(self) -> Sequence[Recovery | Damaged]:
        """What was left unfinished, with what the engine shows of it and what can be done; changes nothing."""

    def recover(self, record: Taken | Unreadable, choice: Choice, tell: Told) -> None:
        """Finishes a record, rolls it back, or forgets it."""


@runtime_checkable
class Holds(Protocol):
    """A screen that must not be left at any time."""

    def holds(self) -> bool:
        """Whether it keeps netdash from quitting; says so on the screen."""


@runtime_checkable
class LooksAt(Protocol):
    """A screen that shows something of the kind."""

    @property
    def watched(self) -> Watched: ...


def tell(feed: Feed, screens: Iterable[object]) -> None:
    """Called whenever another thing is on screen; returns at once."""
    feed.watch(reduce(or_, (screen.watched for screen in screens if isinstance(screen, LooksAt)), NOTHING))


def of_list(view: View, hidden: Set[str]) -> Watched:
    """Its columns of counters, and connections and lost packets where it lists those."""
    counted = any(column.counted and column.key not in hidden for column in view.columns)
    return Watched(view.kind == "flow", counted, drops=view.kind == "drop")


def of_card(host: Host, container: Container) -> Watched:
    """What a card says of the container's traffic, and of its own network namespace."""
    owner = sharing(host, container)
    if not owner.running:
        return NOTHING
    devices = [link.index for link in veths(host, owner) if link is not None]
    return Watched(
        devices=tuple(devices) if len(devices) == len(owner.endpoints) else (),  # those of some tell nothing of it
        addresses=tuple(own.ip for end in owner.endpoints for own in end.addresses),
        container=owner.id,
    )
