"""What the dashboard asks of whoever changes the host for it, and why it may not. Knows no engine and no file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from netdash.model.host import Container, Host
    from netdash.publish.journal import Outage
    from netdash.publish.outcome import Outcome
    from netdash.publish.plan import Plan
    from netdash.publish.preflight import Facts
    from netdash.publish.request import NewContainer, Request
    from netdash.publish.undo import Choice, Course, Damaged, Pending, Recovery, Taken, Unreadable
    from netdash.tui.app import Netdash

Told = Callable[[str], None]
"""Called with a sentence, from the thread that does the work."""


@dataclass(frozen=True, slots=True)
class Made:
    """A container that a change made, or brought back: the one of this name whose id is not `before`."""

    name: str
    before: str | None

    def container(self, host: Host) -> Container | None:
        """None as long as the host does not show it."""
        found = (one for one in host.containers or () if one.name == self.name and one.id != self.before)
        return next(found, None)


KEYS = ("publish", "run", "undo")
LOCAL = "local"  # what a fleet calls this machine


class Changes(Protocol):
    """Every call may take long: none is made by the screen's own thread. All raise NetdashError."""

    def survey(self, asked: Request | NewContainer, host: Host) -> Facts:
        """What a plan needs beside the host; changes nothing."""

    def act(self, asked: Request | NewContainer, made: Plan, facts: Facts, tell: Told, count: Told) -> Outcome:
        """Carries out an agreed plan: `tell` hears each step before it is done, `count` how far one has come."""

    def pending(self) -> Pending:
        """What can be taken back, and what was interrupted; changes nothing."""

    def take_back(self, one: Taken, tell: Told) -> Outage | None:
        """How long that took a container down."""

    def course(self, one: Taken) -> Course:
        """What taking it back will do, by what the engine shows now; changes nothing."""

    def recoveries(self) -> Sequence[Recovery | Damaged]:
        """What was left unfinished, with what the engine shows of it and what can be done; changes nothing."""

    def recover(self, one: Taken | Unreadable, choice: Choice, tell: Told) -> None:
        """Finishes a record, rolls it back, or forgets it."""


@runtime_checkable
class Holds(Protocol):
    """A screen that must not be left at any time."""

    def holds(self) -> bool:
        """Whether it keeps netdash from quitting; says so on the screen."""


def why_not(app: Netdash) -> str:
    """Why nothing can be changed from here, for people; "" where it can."""
    if app.options.read_only:
        return "read-only (--read-only, or read_only in the config)"
    if not app.feed.live:
        return "a recording cannot be changed"
    if app.changes is None or (app.fleet is not None and app.fleet.chosen != LOCAL):
        return "only this machine's own engine: run netdash on that host"
    host = app.sheet.host if app.sheet else None
    failure = host.failures.get("docker") if host else None
    if failure is not None:
        return f"no engine: {failure.reason}"
    return "" if host is not None and host.containers is not None else "the engine has not answered yet"
