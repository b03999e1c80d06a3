"""A change as a whole: its steps in order, each journaled before it is done; finished, rolled back, or settled."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netdash.apply import child, logbook
from netdash.apply.steps import STEPS, kept_image, remove_old
from netdash.core.errors import Exit, NetdashError
from netdash.core.publish import payload
from netdash.core.publish.journal import Change, Journal
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
    ends = payload.endpoints(inspect, engine.api)
    first = payload.first_network(inspect)
    name = str(inspect.get("Name", "")).lstrip("/")
    now = time.time()
    when = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    restart = payload.restart_policy(inspect)
    held = restart[0] not in ("", "no")
    steps = [
        *(["hold"] if held else []),
        "stop",
        *([] if request.discard else ["commit"]),
        "create",
        *(f"connect:{network}" for network in ends if network != first),
        *("part", "name", "start", "verify"),
        *(["release"] if held else []),
    ]
    change = Change(
        id=_fresh(now),
        kind="recreate",
        engine=address,
        name=name,
        steps=tuple(steps),
        created=now,
        add=() if drop else plan.ports,
        drop=drop,
        old_id=plan.container_id,
        backup=f"{name}.netdash-{when}",
        temporary=f"{name}.netdash-{when}-new",
        image=kept_image(name, when),
        discard=request.discard,
        restart=restart,
        endpoints=ends,
        first=first,
        answers=plan.answers is True,
        grace=request.grace,
    )
    return _carry_out(engine, logbook.begin(change), tell)


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
        tell("interrupted: netdash recover --finish, or --rollback")
        raise
    except NetdashError as error:
        tell("it failed: everything is taken back")
        rollback(engine, logbook.load(logbook.path_of(journal.change)) or journal, tell)
        raise NetdashError(f"taken back: {error.message}", error.hint, Exit.REFUSED) from error


def resume(engine: EngineClient, journal: Journal, tell: Told) -> Journal:
    """Finish what was interrupted. Whoever died may have taken the new container along: it is started and looked at
    again. Raises NetdashError(REFUSED)."""
    again = {at for at, step in enumerate(journal.change.steps) if step in ("start", "verify")}
    done = {at: result for at, result in journal.done.items() if at not in again}
    return finish(engine, replace(journal, done=done), tell)


def finish(engine: EngineClient, journal: Journal, tell: Told) -> Journal:
    """Do what is left. Raises NetdashError(REFUSED)."""
    change = journal.change
    left = journal.left
    if journal.undoing:
        logbook.append(change, {"undoing": False})
    for at in left:
        word, _, argument = change.steps[at].partition(":")
        tell(sentence(change, at))
        logbook.append(change, {"begin": at})
        result = STEPS[word][0](engine, journal, argument)
        journal = logbook.append(change, {"done": at, "result": result})
    journal = logbook.append(change, {"settled": time.time()})
    if change.grace:
        _reap_later(change)
        return journal
    settle(engine, journal)
    return journal


def rollback(engine: EngineClient, journal: Journal, tell: Told) -> None:
    """Take back what was done, last first, and end the journal. Raises NetdashError(REFUSED)."""
    change = journal.change
    journal = logbook.append(change, {"undoing": True})
    for at in journal.to_undo:
        word, _, argument = change.steps[at].partition(":")
        tell(f"take back: {sentence(change, at)}")
        before = journal  # the results of the steps: the next line forgets this one's
        logbook.append(change, {"undo": at})
        STEPS[word][1](engine, before, argument)
        journal = logbook.append(change, {"undone": at})
        journal = replace(journal, done={**before.done})
    if "stop" in change.steps and journal.begun:
        STEPS["stop"][1](engine, journal, "")  # a dockerd that died after that step has stopped it again
    logbook.end(change)


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
