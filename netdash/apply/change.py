"""A change as a whole: its steps in order, each journaled before it is done; finished, rolled back, or settled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netdash.apply import forward, journal_files, preflight
from netdash.apply.containers import Wanted, fresh, look, new_container, recreation
from netdash.apply.journal_files import Stopwatch
from netdash.apply.steps import STEPS, remove_old
from netdash.engine.client import EngineClient, local
from netdash.engine.errors import EngineGone
from netdash.model.errors import Exit, NetdashError
from netdash.model.records import replace
from netdash.publish import payload, undo
from netdash.publish.journal import Change, Journal, Opened, Outage
from netdash.publish.statement import Kind, Statement, say
from netdash.publish.undo import Seen, Way

if TYPE_CHECKING:
    from netdash.publish.plan import Plan
    from netdash.publish.request import Request

Report = Callable[[Statement], None]
"""Called with each step before it is done."""


def recreate(plan: Plan, request: Request, address: str, drop: tuple[Opened, ...], report: Report) -> Journal:
    """Make the container anew as planned. Raises NetdashError(REFUSED); then everything is as it was, or a journal says
    what is left to be done."""
    engine = local(address)
    inspect: dict[str, Any] = engine.get(f"/containers/{plan.container_id}/json")
    wanted = Wanted(
        address=address,
        name=str(inspect.get("Name", "")).lstrip("/"),
        add=() if drop else plan.ports,
        drop=drop,
        restart=payload.restart_policy(inspect),
        discard=request.discard,
        answers=plan.answers is True,
        grace=request.grace,
        followers=preflight.followers(engine, inspect),
        stop_seconds=plan.stop_seconds,
    )
    return _carry_out(engine, replace(journal_files.begin(recreation(engine, inspect, wanted)), source=inspect), report)


def start_new(plan: Plan, image: str, address: str, grace: float, report: Report) -> Journal:
    """Start a container of `image` with the plan's ports. Raises NetdashError as `recreate`."""
    now = time.time()
    when = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    change = Change(
        id=fresh(now),
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
    return _carry_out(local(address), journal_files.begin(change), report)


def _carry_out(engine: EngineClient, journal: Journal, report: Report) -> Journal:
    """All steps; what fails is rolled back at once, unless the engine itself is gone."""
    try:
        return finish(engine, journal, report)
    except EngineGone:
        raise
    except KeyboardInterrupt:
        report(say(Kind.INTERRUPTED))
        raise
    except NetdashError as error:
        raise _failed(engine, journal, report, error) from error


def _failed(engine: EngineClient, journal: Journal, report: Report, error: NetdashError) -> NetdashError:
    """Takes the change back, so that the service runs; answers with why, and with what of that failed too."""
    report(say(Kind.FAILED_TAKES_BACK))
    now = journal_files.load(journal_files.path_of(journal.change)) or journal
    try:
        rollback(engine, replace(now, source=journal.source), report)
    except EngineGone:
        raise
    except NetdashError as second:
        return NetdashError(f"{error.message}; {second.message}", second.hint, Exit.REFUSED)
    report(say(Kind.TAKEN_BACK))
    return NetdashError(f"taken back: {error.message}", error.hint, Exit.REFUSED)


def resume(engine: EngineClient, journal: Journal, report: Report) -> Journal:
    """Finish what was interrupted; where that fails midway, it is taken back. Raises NetdashError(REFUSED)."""
    course = undo.finish(journal, look(engine, journal))
    if course.way is Way.REFUSED:
        raise NetdashError(f"nothing was changed: {course.refusal}", _forget(journal.change), Exit.REFUSED)
    try:
        return _finish_again(engine, journal, report)
    except EngineGone:
        raise
    except NetdashError as error:
        if not journal.change.old_id:
            raise
        raise _failed(engine, journal, report, error) from error


def _finish_again(engine: EngineClient, journal: Journal, report: Report) -> Journal:
    """Whoever died may have taken the new container along: it is started and looked at again."""
    change = journal.change
    seen = look(engine, journal)
    words = ["start", "verify"]
    if seen.new is None:
        words += ["create", "connect", "name", "release", "follow"]
    if not seen.image and seen.old is not None:
        words.append("commit")
    if seen.old is not None and seen.old.name == change.name:
        words.append("part")
    again = {at for at, step in enumerate(change.steps) if step.partition(":")[0] in words}
    done = {at: result for at, result in journal.done.items() if at not in again}
    if any(shown is not None and shown.running for shown in (seen.old, seen.new)):
        journal_files.append(change, journal_files.NONE)
    return finish(engine, replace(journal, done=done), report)


def finish(engine: EngineClient, journal: Journal, report: Report) -> Journal:
    """Do what is left. Raises NetdashError(REFUSED)."""
    change, source = journal.change, journal.source
    left = journal.left
    watch = Stopwatch()
    if journal.undoing:
        journal_files.append(change, {"undoing": False})
    for at in left:
        word, _, argument = change.steps[at].partition(":")
        report(step_statement(change, at))
        stopped = watch.stopped() if word == "stop" else {}
        now = journal_files.append(change, {"begin": at, **stopped})
        result = STEPS[word][0](engine, journal, argument)
        started = watch.started(now) if word == "start" else {}
        journal = replace(journal_files.append(change, {"done": at, "result": result, **started}), source=source)
        if started:
            report(say(Kind.WAS_DOWN, container=change.name, measured=journal.outage))
    journal = journal_files.append(change, {"settled": time.time()})
    if change.grace:
        _reap_later(change)
        return journal
    settle(engine, journal)
    return journal


def rollback(engine: EngineClient, journal: Journal, report: Report, *, agreed: bool = False) -> Outage | None:
    """Take back what was done, and end the journal; where something that it needs is gone, by another way, or not at
    all. `agreed`: its course was shown before. Answers how long that took the service down, None where it did not.
    Raises NetdashError(REFUSED)."""
    change = journal.change
    if not journal.begun:
        journal_files.end(change)
        return None
    seen = look(engine, journal)
    course = undo.rollback(journal, seen)
    if course.way is Way.REFUSED:
        raise NetdashError(f"nothing was changed: {course.refusal}", _forget(change), Exit.REFUSED)
    if course.way is Way.PLANNED:
        ended = _undo_steps(engine, journal, seen, report)
        _named(engine, change, agreed=agreed and bool(undo.name_taken(change, seen)))
        return ended
    for step in course.steps:
        report(say(Kind.COURSE_STEP, text=step))
    if course.way is not Way.RECORD:
        anew = _from_new(engine, journal) if course.way is Way.FROM_NEW else _from_settings(journal)
        journal_files.end(change)
        return _carry_out(engine, anew, report).outage
    journal_files.end(change)
    return None


def _forget(change: Change) -> str:
    return f"netdash recover --forget {change.id} leaves everything as it is"


def _undo_steps(engine: EngineClient, journal: Journal, seen: Seen, report: Report) -> Outage | None:
    """Last first. Until the old one runs the new one is there: where that fails, it is put back."""
    change, results = journal.change, journal.results
    watch, ended = Stopwatch(), None
    old_runs = seen.old is not None and seen.old.running
    new_runs = seen.new is not None and seen.new.running
    journal_files.append(change, {"undoing": True, **(journal_files.NONE if old_runs else {})})
    try:
        for at in journal.to_undo:
            word, _, argument = change.steps[at].partition(":")
            report(say(Kind.TAKE_BACK, step=step_statement(change, at)))
            stops = word == "start" and new_runs and not old_runs
            now = journal_files.append(change, {"undo": at, **(watch.stopped() if stops else {})})
            STEPS[word][1](engine, journal, argument)
            started = watch.started(now) if word == "stop" else {}
            now = journal_files.append(change, {"undone": at, **started})
            if started:
                ended = now.outage
                report(say(Kind.WAS_DOWN, container=change.name, measured=ended))
    except EngineGone:
        raise
    except NetdashError as error:
        return _put_back(engine, journal, seen, report, error)
    if "stop" in change.steps and journal.begun:
        STEPS["stop"][1](engine, replace(journal, results=results), "")
    journal_files.end(change)
    return ended


def _named(engine: EngineClient, change: Change, *, agreed: bool) -> None:
    """Raises NetdashError(REFUSED) where somebody has taken the old one's name and nobody agreed to another."""
    now = look(engine, Journal(change))
    taken = undo.name_taken(change, now)
    if taken and now.old is not None and not agreed:
        hint = f"docker rename {now.old.name} NAME"
        raise NetdashError(f"the old one runs again, as {now.old.name}: {taken}", hint, Exit.REFUSED)


def _put_back(engine: EngineClient, journal: Journal, seen: Seen, report: Report, error: NetdashError) -> Outage | None:
    """The old one cannot be had back: the new one runs again, where it ran before or is the only one that is left.
    Where both are gone the old one is made anew. Raises NetdashError(REFUSED)."""
    now = look(engine, journal)
    if now.new is None and now.old is None:
        return rollback(engine, journal_files.load(journal_files.path_of(journal.change)) or journal, report)
    if now.new is None or not (now.old is None or (seen.new is not None and seen.new.running)):
        hint = error.hint or _forget(journal.change)
        raise NetdashError(f"it is not taken back: {error.message}", hint, Exit.REFUSED) from error
    report(say(Kind.FAILED_PUTS_NEW_BACK))
    try:
        _finish_again(engine, journal_files.load(journal_files.path_of(journal.change)) or journal, report)
    except EngineGone:
        raise
    except NetdashError as second:
        reason = f"{error.message}; the new one is not put back: {second.message}"
        raise NetdashError(f"it is not taken back: {reason}", _forget(journal.change), Exit.REFUSED) from error
    report(say(Kind.NEW_RUNS_AGAIN))
    raise NetdashError(f"it is not taken back, the new one runs: {error.message}", error.hint, Exit.REFUSED) from error


def _from_new(engine: EngineClient, journal: Journal) -> Journal:
    """The journal of making the old one's recreation from the new one."""
    change = journal.change
    inspect = new_container(engine, journal) or {}
    found = preflight.followers(engine, inspect)
    wanted = Wanted(
        change.engine, change.name, add=change.drop, drop=change.add, restart=change.restart, followers=found
    )
    return replace(journal_files.begin(recreation(engine, inspect, wanted)), source=inspect)


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
        id=fresh(time.time()),
        steps=tuple(step for step in change.steps if step.partition(":")[0] not in _OF_OLD),
        add=(),
        drop=(),
        old_id="",
        answers=False,
        grace=0.0,
        settings=payload.settings(source),
    )
    return replace(journal_files.begin(made), source=source)


def settle(engine: EngineClient, journal: Journal) -> None:
    """The grace time is over: the old container goes. Raises NetdashError where the new one does not run."""
    if journal.change.kind == "recreate":
        remove_old(engine, journal)
    journal_files.end(journal.change)


def _reap_later(change: Change) -> None:
    """A process that removes the old container when its time has come; without it the next change does."""
    forward.leave("cleanup_daemon", str(journal_files.path_of(change)))


def overdue() -> tuple[Statement, ...]:
    """Remove what is past its grace time; what was done, and what could not be."""
    notes = []
    for journal in journal_files.listed():
        change, due = journal.change, journal.due
        if due is not None and time.time() >= due:
            try:
                settle(local(change.engine), journal)
            except NetdashError as error:
                notes.append(say(Kind.OLD_KEPT, container=change.backup, reason=error.message))
            else:
                notes.extend([say(Kind.OLD_REMOVED, container=change.backup)] if change.old_id else [])
    return tuple(notes)


def unfinished() -> tuple[Journal, ...]:
    return tuple(journal for journal in journal_files.listed() if journal.unfinished)


def pending() -> tuple[Journal, ...]:
    """Changes that can still be taken back as a whole, and those that were interrupted."""
    return journal_files.listed()


def step_statement(change: Change, at: int) -> Statement:
    """What the step is, for its user."""
    word, _, argument = change.steps[at].partition(":")
    name = change.name
    return {
        "park": say(Kind.STOP_FOLLOWER, container=name, follower=argument[:12]),
        "follow": say(Kind.RECREATE_FOLLOWER, container=name, follower=argument[:12]),
        "hold": say(Kind.HOLD, container=name),
        "stop": say(Kind.STOP, container=name),
        "commit": say(Kind.KEEP_CHANGES, container=name),
        "create": say(Kind.CREATE, container=change.temporary),
        "connect": say(Kind.CONNECT_NETWORK, network=argument),
        "part": say(Kind.RENAME, container=name, name=change.backup),
        "name": say(Kind.RENAME, container=change.temporary, name=name),
        "start": say(Kind.START, container=name),
        "verify": say(Kind.WAIT, container=name),
        "release": say(Kind.RELEASE, container=name),
    }[word]
