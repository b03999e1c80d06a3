"""What netdash changed and can take back, or left unfinished, at one moment. Pure; who lives was asked by apply."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum

from netdash.model.records import dataclass
from netdash.publish.journal import Change, Forward, Journal

Taken = Forward | Journal
"""What can be taken back as a whole."""
LATE = 120.0  # seconds after which an old container that should have been removed is spoken of


class Choice(Enum):
    """What can be done with a record that was left unfinished; `forget` changes nothing else."""

    FINISH = "finish"
    ROLLBACK = "rollback"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that cannot be read: what it was about is not known. `names`: those of containers that its text still
    has; `engine`: its address, "" where the text does not have it."""

    id: str
    path: str
    reason: str
    names: tuple[str, ...] = ()
    engine: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.path} cannot be read: {self.reason}"


@dataclass(frozen=True, slots=True)
class Pending:
    """Oldest first. `lost`: those of `forwards` whose keeper died, or that a reboot ended."""

    forwards: tuple[Forward, ...] = ()
    lost: tuple[Forward, ...] = ()
    journals: tuple[Journal, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    now: float = 0.0  # seconds since the epoch

    @property
    def interrupted(self) -> tuple[Journal, ...]:
        """Also those whose old container could not be removed when its time was over."""
        return tuple(journal for journal in self.journals if journal.due is None or journal.due + LATE < self.now)

    @property
    def last(self) -> Taken | None:
        """The latest of the forwards, and of the containers whose grace time is not over."""
        newest = max(self.forwards, key=lambda forward: forward.created, default=None)
        journal = max(self.journals, key=lambda journal: journal.change.created, default=None)
        if newest is None or (journal is not None and journal.change.created > newest.created):
            return journal
        return newest

    def forward_of(self, proto: str, host_port: int, container_id: str | None) -> Forward | None:
        """The one that opened this port of the host into this container."""
        return next(
            (
                forward
                for forward in self.forwards
                if forward.container_id == container_id
                and any((port.proto, port.host_port) == (proto, host_port) for port in forward.ports)
            ),
            None,
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """A container as the engine lists it; `state` in the engine's word: running, exited, created, paused."""

    id: str
    name: str
    state: str

    @property
    def running(self) -> bool:
        return self.state in ("running", "paused", "restarting")

    @property
    def sentence(self) -> str:
        return f"{self.name} ({self.id[:12]}) is {self.state}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the engine shows of a change. `holder`: the container that has the change's name. `networks`, `volumes`:
    those that the containers need and that do not exist. `image`: whether the new container's is here. `taken`: host
    ports that other containers publish, as sentences: those of the old one, and those of the new."""

    old: Shown | None = None
    new: Shown | None = None
    holder: Shown | None = None
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    image: bool = True
    old_taken: tuple[str, ...] = ()
    new_taken: tuple[str, ...] = ()


class Way(Enum):
    PLANNED = "planned"  # the steps of the journal
    FROM_NEW = "from new"  # the old one is gone: its equal is made from the settings of the new one
    FROM_JOURNAL = "from journal"  # both are gone: made from the settings in the journal
    RECORD = "record"  # nothing of it is left but the record
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Course:
    """What will be done, in sentences; or why nothing will be."""

    way: Way
    steps: tuple[str, ...] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Recovery:
    """One record that was left unfinished. `now`: what the engine shows of it, or why it could not be asked."""

    record: Taken
    now: tuple[str, ...]
    finish: Course
    rollback: Course


@dataclass(frozen=True, slots=True)
class Damaged:
    """A record that cannot be read. `now`: the containers that it may have been about, or why they are not known."""

    record: Unreadable
    now: tuple[str, ...]


def refused(reason: str) -> Course:
    return Course(Way.REFUSED, refusal=reason)


def rollback(journal: Journal, seen: Seen) -> Course:
    """How the change is taken back."""
    change = journal.change
    if not change.old_id:
        return _rollback_new(change, seen)
    if seen.old is not None:
        reason = _needs(seen) or "; ".join(seen.old_taken)
        return refused(reason) if reason else Course(Way.PLANNED, _back(change, seen))
    reason = name_taken(change, seen) or _needs(seen)
    if reason and seen.new is not None:
        return refused(reason)
    gone = f"the old container {change.name} ({change.old_id[:12]}) was removed by somebody else"
    if seen.new is not None:
        what = f"{gone}: make {change.name} anew from the new one, {_without(change)}"
        return Course(Way.FROM_NEW, (what, f"remove the new one when that runs: {seen.new.name}"))
    if "stop" not in {change.steps[at] for at in journal.begun}:
        return Course(Way.RECORD, (f"{gone}, and nothing was changed: only the record is removed",))
    if reason or (change.environment and journal.source is None):
        return refused(reason or f"{gone}, and so was the new one; {_NO_ENVIRONMENT}")
    return Course(Way.FROM_JOURNAL, (f"{gone}, and so was the new one: make {change.name} anew from its settings",))


_NO_ENVIRONMENT = "its environment, which it needs, is not written down: make it anew as it was made at first"


def _rollback_new(change: Change, seen: Seen) -> Course:
    if seen.new is None:
        return Course(Way.RECORD, (f"the new container {change.name} is gone: only the record is removed",))
    volumes = ", with its volumes" if change.kind == "run" else ""
    return Course(Way.PLANNED, (f"stop and remove {seen.new.name}{volumes}",))


def _back(change: Change, seen: Seen) -> tuple[str, ...]:
    old, new = seen.old, seen.new
    steps = []
    if new is not None:
        steps.append(f"stop the new {change.name}" if new.running else f"the new {change.name} is not running")
    if old is not None:
        taken = name_taken(change, seen)
        rename = f"{taken}: it keeps the name {old.name}" if taken else f"rename {old.name} to {change.name}"
        steps += [] if old.name == change.name else [rename]
        steps.append(f"start {old.name if taken else change.name}")
    if new is not None:
        steps.append("when that runs, remove the new one: what it wrote outside its volumes is lost")
    return tuple(steps)


def _without(change: Change) -> str:
    less = ", ".join(f"{opened.host_port}/{opened.proto}" for opened in change.add)
    more = ", ".join(f"{opened.host_port}/{opened.proto}" for opened in change.drop)
    return f"without port {less}" if less else f"with port {more}"


def finish(journal: Journal, seen: Seen) -> Course:
    """How the rest of the change is done."""
    change = journal.change
    reason = name_taken(change, seen) or _needs(seen) or "; ".join(seen.new_taken)
    if reason:
        return refused(reason)
    if seen.new is not None:
        rename = "" if seen.new.name == change.name else f"rename {seen.new.name} to {change.name}"
        return Course(Way.PLANNED, (*([rename] if rename else []), _start(change)))
    if change.kind == "run" or seen.old is not None:
        if not seen.image and seen.old is None:
            return refused(f"the image {change.image} is gone: docker pull {change.image}")
        return Course(Way.PLANNED, (*_stop(seen), f"create the new {change.name}", _start(change)))
    gone = f"{change.name} ({change.old_id[:12]}) and the new container were removed by somebody else"
    if change.environment or not seen.image:
        return refused(f"{gone}; {_NO_ENVIRONMENT if change.environment else 'its image is gone too'}")
    return Course(Way.FROM_JOURNAL, (f"{gone}: make the new one from its settings", _start(change)))


def _stop(seen: Seen) -> list[str]:
    return [f"stop {seen.old.name}"] if seen.old is not None and seen.old.running else []


def _start(change: Change) -> str:
    return f"start {change.name}, and wait until it is well"


def name_taken(change: Change, seen: Seen) -> str:
    ours = {shown.id for shown in (seen.old, seen.new) if shown is not None}
    if seen.holder is None or seen.holder.id in ours:
        return ""
    return f"the name {change.name} is taken by another container ({seen.holder.id[:12]}, {seen.holder.state})"


def _needs(seen: Seen) -> str:
    missing = [f"network {network}" for network in seen.networks] + [f"volume {volume}" for volume in seen.volumes]
    return f"{', '.join(missing)} is gone, and needed: create it again first" if missing else ""


def shown(journal: Journal, seen: Seen) -> tuple[str, ...]:
    """What the engine shows of an unfinished change, what is stopped first."""
    change = journal.change
    found = [shown for shown in (seen.old, seen.new) if shown is not None]
    lines = [f"{shown.sentence}{_role(shown, seen)}" for shown in sorted(found, key=lambda one: one.running)]
    if change.old_id and seen.old is None:
        lines.append(f"the old container {change.name} ({change.old_id[:12]}) does not exist any more")
    if seen.new is None:
        lines.append(f"the new container {change.name} does not exist")
    if not any(shown.running for shown in found):
        lines.insert(0, f"{change.name} is down: none of its containers runs")
    return tuple(lines)


_MADE = re.compile(r"(.+)\.netdash-\d{8}-\d{6}(-new)?")  # the names that a change gives


def suspects(record: Unreadable, found: Iterable[Shown]) -> tuple[str, ...]:
    """What the engine shows that an unreadable record may have been about, what is stopped first."""
    listed = tuple(found)
    names = {*record.names}
    for container in listed:
        made = _MADE.fullmatch(container.name)
        names |= {container.name, made[1]} if made else set()
    there = sorted((container for container in listed if container.name in names), key=lambda it: it.running)
    gone = sorted(name for name in names if name not in {shown.name for shown in there} and not _MADE.fullmatch(name))
    lines = [
        *(f"{shown.sentence}{_meaning(shown)}" for shown in there),
        *(f"there is no container {name}" for name in gone),
    ]
    return tuple(lines) or ("no container that the engine shows has a name of a change",)


def _meaning(it: Shown) -> str:
    made = _MADE.fullmatch(it.name)
    if made is None:
        return ""
    return f", made to replace {made[1]}" if made[2] else f", the original {made[1]}"


def _role(choice: Shown, seen: Seen) -> str:
    return ", the old one" if seen.old is not None and choice.id == seen.old.id else ", the new one"
