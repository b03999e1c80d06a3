"""A change as a whole: its steps in order, each journaled before it is done; finished, rolled back, or settled."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from netdash.apply import child, logbook, survey
from netdash.apply.containers import kept_image
from netdash.apply.look import look, new_container
from netdash.apply.steps import STEPS, remove_old
from netdash.core.errors import Exit, NetdashError
from netdash.core.parse.decode import items, mapping
from netdash.core.publish import payload, preflight
from netdash.core.publish.journal import Change, Journal
from netdash.core.publish.preflight import Seen, Way
from netdash.core.publish.progress import Failed, Note
from netdash.core.publish.state import Opened
from netdash.engine.client import EngineClient, local
from netdash.engine.errors import EngineGone

if TYPE_CHECKING:
    from netdash.core.publish.plan import Plan
    from netdash.core.publish.request import Request

Told = Callable[[str], None]
"""Called with each step before it is done."""


def recreate(plan: Plan, request: Request, address: str, drop: tuple[Opened, ...], tell: Told) -> Journal:
    """Make the container anew as planned. Raises NetdashError(REFUSED); then everything is as it was, or a journal says
    what is left to be done."""
    engine = local(address)
    inspect: dict[str, Any] = engine.get(f"/containers/{plan.container_id}/json")
    wanted = _Wanted(
        address=address,
        name=str(inspect.get("Name", "")).lstrip("/"),
        add=() if drop else plan.ports,
        drop=drop,
        restart=payload.restart_policy(inspect),
        discard=request.discard,
        answers=plan.answers is True,
        grace=request.grace,
        followers=survey.followers(engine, inspect),
    )
    return _carry_out(engine, replace(logbook.begin(_equal(engine, inspect, wanted)), source=inspect), tell)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How an equal of a container shall differ from it."""

    address: str
    name: str
    add: tuple[Opened, ...] = ()
    drop: tuple[Opened, ...] = ()
    restart: tuple[str, int] = ("", 0)
    discard: bool = False
    answers: bool = False
    grace: float = 0.0
    followers: tuple[str, ...] = ()  # ids of the containers in its network namespace


def _equal(engine: EngineClient, inspect: dict[str, Any], wanted: _Wanted) -> Change:
    """The change that makes the container anew."""
    ends = payload.endpoints(inspect, engine.api)
    first = payload.first_network(inspect)
    held = wanted.restart[0] not in ("", "no")
    steps = [
        *(["hold"] if held else []),
        *(f"park:{identity}" for identity in wanted.followers),
        "stop",
        *([] if wanted.discard else ["commit"]),
        "create",
        *(f"connect:{network}" for network in ends if network != first),
        *("part", "name", "start", "verify"),
        *(["release"] if held else []),
        *(f"follow:{identity}" for identity in wanted.followers),
    ]
    now = time.time()
    when = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return Change(
        id=_fresh(now),
        kind="recreate",
        engine=wanted.address,
        name=wanted.name,
        steps=tuple(steps),
        created=now,
        add=wanted.add,
        drop=wanted.drop,
        old_id=str(inspect["Id"]),
        backup=f"{wanted.name}.netdash-{when}",
        temporary=f"{wanted.name}.netdash-{when}-new",
        image=kept_image(wanted.name, when),
        discard=wanted.discard,
        restart=wanted.restart,
        endpoints=ends,
        first=first,
        answers=wanted.answers,
        grace=wanted.grace,
        settings=payload.settings(inspect),
        environment=_has_environment(engine, inspect),
    )


def _has_environment(engine: EngineClient, inspect: dict[str, Any]) -> bool:
    """Whether it has values that its image does not have: those are written down nowhere."""
    try:
        theirs = items(survey.image_config(engine, str(inspect.get("Image", ""))).get("Env"))
    except NetdashError:
        return True
    return not set(map(str, items(mapping(inspect.get("Config")).get("Env")))) <= set(map(str, theirs))


def start_new(plan: Plan, image: str, address: str, grace: float, tell: Told) -> Journal:
    """Start a container of `image` with the plan's ports. Raises NetdashError as `recreate`."""
    now = time.time()
    when = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    change = Change(
        id=_fresh(now),
        kind="run",
        engine=address,
        name=plan.container,
        steps=("create", "name", "start", "verify"),
        created=now,
        add=plan.ports,
        temporary=f"{plan.container}.netdash-{when}-new",
        image=image,
        grace=grace,
    )
    return _carry_out(local(address), logbook.begin(change), tell)


def _fresh(now: float) -> str:
    return f"{int(now)}-{secrets.token_hex(4)}"


def _carry_out(engine: EngineClient, journal: Journal, tell: Told) -> Journal:
    """All steps; what fails is rolled back at once, unless the engine itself is gone."""
    try:
        return finish(engine, journal, tell)
    except EngineGone:
        raise
    except KeyboardInterrupt:
        tell(Note("interrupted: netdash recover --finish, or --rollback"))
        raise
    except NetdashError as error:
        tell(Failed("it failed: everything is taken back"))
        now = logbook.load(logbook.path_of(journal.change)) or journal
        rollback(engine, replace(now, source=journal.source), tell)
        tell(Note("it is taken back"))
        raise NetdashError(f"taken back: {error.message}", error.hint, Exit.REFUSED) from error


def resume(engine: EngineClient, journal: Journal, tell: Told) -> Journal:
    """Finish what was interrupted. Whoever died may have taken the new container along: it is started and looked at
    again. Raises NetdashError(REFUSED)."""
    change = journal.change
    seen = look(engine, journal)
    course = preflight.finish(journal, seen)
    if course.way is Way.REFUSED:
        raise NetdashError(f"nothing was changed: {course.refusal}", _forget(change), Exit.REFUSED)
    words = ["start", "verify"]
    if seen.new is None:
        words += ["create", "connect", "name", "release", "follow"]
    if not seen.image and seen.old is not None:
        words.append("commit")
    if seen.old is not None and seen.old.name == change.name:
        words.append("part")
    again = {at for at, step in enumerate(change.steps) if step.partition(":")[0] in words}
    done = {at: result for at, result in journal.done.items() if at not in again}
    return finish(engine, replace(journal, done=done), tell)


def finish(engine: EngineClient, journal: Journal, tell: Told) -> Journal:
    """Do what is left. Raises NetdashError(REFUSED)."""
    change, source = journal.change, journal.source
    left = journal.left
    stopped = 0.0
    if journal.undoing:
        logbook.append(change, {"undoing": False})
    for at in left:
        word, _, argument = change.steps[at].partition(":")
        tell(sentence(change, at))
        logbook.append(change, {"begin": at})
        stopped = time.monotonic() if word == "stop" else stopped
        result = STEPS[word][0](engine, journal, argument)
        if word == "start" and stopped:
            tell(Note(f"{change.name} was down for {time.monotonic() - stopped:.1f} s"))
        journal = replace(logbook.append(change, {"done": at, "result": result}), source=source)
    journal = logbook.append(change, {"settled": time.time()})
    if change.grace:
        _reap_later(change)
        return journal
    settle(engine, journal)
    return journal


def rollback(engine: EngineClient, journal: Journal, tell: Told) -> None:
    """Take back what was done, and end the journal; where something that it needs is gone, by another way, or not at
    all. Raises NetdashError(REFUSED)."""
    change = journal.change
    if not journal.begun:
        logbook.end(change)
        return
    seen = look(engine, journal)
    course = preflight.rollback(journal, seen)
    if course.way is Way.REFUSED:
        raise NetdashError(f"nothing was changed: {course.refusal}", _forget(change), Exit.REFUSED)
    if course.way is Way.PLANNED:
        _undo_steps(engine, journal, seen, tell)
        return
    for step in course.steps:
        tell(step)
    if course.way is not Way.RECORD:
        anew = _from_new(engine, journal) if course.way is Way.FROM_NEW else _from_settings(journal)
        logbook.end(change)
        _carry_out(engine, anew, tell)
        return
    logbook.end(change)


def _forget(change: Change) -> str:
    return f"netdash recover --forget {change.id} leaves everything as it is"


def _undo_steps(engine: EngineClient, journal: Journal, seen: Seen, tell: Told) -> None:
    """Last first. Until the old one runs the new one is there: where that fails, it is put back."""
    change, results = journal.change, journal.results
    logbook.append(change, {"undoing": True})
    try:
        for at in journal.to_undo:
            word, _, argument = change.steps[at].partition(":")
            tell(f"take back: {sentence(change, at)}")
            logbook.append(change, {"undo": at})
            STEPS[word][1](engine, journal, argument)
            logbook.append(change, {"undone": at})
    except EngineGone:
        raise
    except NetdashError as error:
        _put_back(engine, journal, seen, tell, error)
    if "stop" in change.steps and journal.begun:
        STEPS["stop"][1](engine, replace(journal, results=results), "")
    logbook.end(change)


def _put_back(engine: EngineClient, journal: Journal, seen: Seen, tell: Told, error: NetdashError) -> None:
    """The old one cannot be had back: the new one runs again, where it ran before or is the only one that is left.
    Raises NetdashError(REFUSED)."""
    now = look(engine, journal)
    if now.new is None or not (now.old is None or (seen.new is not None and seen.new.running)):
        hint = error.hint or _forget(journal.change)
        raise NetdashError(f"it is not taken back: {error.message}", hint, Exit.REFUSED) from error
    tell(Failed("it failed: the new one is put back"))
    try:
        resume(engine, logbook.load(logbook.path_of(journal.change)) or journal, tell)
    except EngineGone:
        raise
    except NetdashError as second:
        reason = f"{error.message}; the new one is not put back: {second.message}"
        raise NetdashError(f"it is not taken back: {reason}", _forget(journal.change), Exit.REFUSED) from error
    tell(Note("the new one runs again"))
    raise NetdashError(f"it is not taken back, the new one runs: {error.message}", error.hint, Exit.REFUSED) from error


def _from_new(engine: EngineClient, journal: Journal) -> Journal:
    """The journal of making the old one's equal from the new one."""
    change = journal.change
    inspect = new_container(engine, journal) or {}
    found = survey.followers(engine, inspect)
    wanted = _Wanted(
        change.engine, change.name, add=change.drop, drop=change.add, restart=change.restart, followers=found
    )
    return replace(logbook.begin(_equal(engine, inspect, wanted)), source=inspect)


_OF_OLD = ("hold", "park", "stop", "commit", "part", "follow")
"""Steps that need the old container, or those that used its network."""


def _from_settings(journal: Journal) -> Journal:
    """The journal of making the old one anew where neither it nor the new one is there."""
    change = journal.change
    source = dict(journal.source or change.settings)
    kept = journal.result("commit")
    if kept:
        source["Image"] = kept
    made = replace(
        change,
        id=_fresh(time.time()),
        steps=tuple(step for step in change.steps if step.partition(":")[0] not in _OF_OLD),
        add=(),
        drop=(),
        old_id="",
        answers=False,
        grace=0.0,
        settings=payload.settings(source),
    )
    return replace(logbook.begin(made), source=source)


def settle(engine: EngineClient, journal: Journal) -> None:
    """The grace time is over: the old container goes. Raises NetdashError where the new one does not run."""
    if journal.change.kind == "recreate":
        remove_old(engine, journal)
    logbook.end(journal.change)


def _reap_later(change: Change) -> None:
    """A process that removes the old container when its time has come; without it the next change does."""
    child.leave("reaper", str(logbook.path_of(change)))


def overdue() -> tuple[str, ...]:
    """Remove what is past its grace time; what was done, and what could not be, in sentences."""
    notes = []
    for journal in logbook.listed():
        change, due = journal.change, journal.due
        if due is not None and time.time() >= due:
            try:
                settle(local(change.engine), journal)
            except NetdashError as error:
                notes.append(f"{change.backup} is kept: {error.message}")
            else:
                notes.extend([f"{change.backup} is removed: its time is over"] if change.old_id else [])
    return tuple(notes)


def unfinished() -> tuple[Journal, ...]:
    return tuple(one for one in logbook.listed() if one.unfinished)


def pending() -> tuple[Journal, ...]:
    """Changes that can still be taken back as a whole, and those that were interrupted."""
    return logbook.listed()


def sentence(change: Change, at: int) -> str:
    """What the step is, for its user."""
    word, _, argument = change.steps[at].partition(":")
    return {
        "park": f"stop {argument[:12]}, which uses the network of {change.name}",
        "follow": f"make {argument[:12]} anew in the network of the new {change.name}",
        "hold": f"hold the restart policy of {change.name}",
        "stop": f"stop {change.name}",
        "commit": f"keep what {change.name} wrote outside its volumes",
        "create": f"create {change.temporary}",
        "connect": f"connect network {argument}",
        "part": f"rename {change.name} to {change.backup}",
        "name": f"rename {change.temporary} to {change.name}",
        "start": f"start {change.name}",
        "verify": f"wait until {change.name} is well",
        "release": f"give {change.name} its restart policy",
    }[word]
