"""Changes from an agreed plan to their proof, for the command line and the dashboard alike: who asks and who tells is
theirs. Each holds the lock by itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from netdash.apply import change, forward, journal_files, state_directory
from netdash.apply.containers import every, look
from netdash.apply.probe_socket import prove
from netdash.apply.steps import pull
from netdash.engine.client import local
from netdash.model.errors import Exit, NetdashError
from netdash.model.records import replace
from netdash.parse.json_values import integer, mapping
from netdash.publish import undo
from netdash.publish.checks import port_list
from netdash.publish.journal import Forward, Journal, Outage, Outcome
from netdash.publish.request import GRACE, Mode, Request
from netdash.publish.statement import Kind, Statement, say
from netdash.publish.undo import Choice, Course, Damaged, Pending, Recovery, Taken, Unreadable, Way

if TYPE_CHECKING:
    from netdash.publish.checks import Preflight
    from netdash.publish.plan import Plan

Report = Callable[[Statement], None]
_PROOF = 5.0  # seconds for a port to answer that answered inside
_MIB = 1 << 20
_NAMES = 3.0  # seconds for the engine to tell the names of its containers


def publish(made: Plan, request: Request, address: str, facts: Preflight, report: Report) -> Outcome:
    """Carry out a plan of `core.publish.plan.plan`. Raises NetdashError(REFUSED); then it is taken back, or a journal
    says what is left."""
    with state_directory.one_at_a_time():
        tidy(report)
        untouched(made.container)
        if made.mode is Mode.RECREATE:
            outage = change.recreate(made, request, address, (), report).outage
            return Outcome(prove(made.ports, 0.0), outage)
        *opening, proving = made.steps
        report(say(Kind.STEPS, steps=tuple(opening)))  # one process does them: which of them failed is not told apart
        record = forward.begin(made, address, facts.program or "")
        report(proving)
        proofs = prove(made.ports, _PROOF if made.answers else 0.0)
        failed = next((proof for proof in proofs if proof.works is False), None)
        if made.answers and failed is not None:
            forward.end_one(record)
            raise NetdashError(f"taken back: {failed.sentence}", code=Exit.REFUSED)
        return Outcome(proofs)


def start(
    made: Plan, image: str, address: str, facts: Preflight, report: Report, count: Callable[[str], None]
) -> Outcome:
    """Carry out a plan of `plan_new`; `count`: how much of the image has come, at the end "". Raises as `publish`."""
    with state_directory.one_at_a_time():
        tidy(report)
        if not facts.image_here:
            report(say(Kind.PULL, image=image))
            _pull(address, image, count)
        change.start_new(made, image, address, GRACE, report)
        return Outcome(prove(made.ports, _PROOF))


def _pull(address: str, image: str, count: Callable[[str], None]) -> None:
    layers: dict[str, tuple[int, int]] = {}
    for event in pull(local(address), image):
        detail = mapping(event.get("progressDetail"))
        current, total = integer(detail.get("current")), integer(detail.get("total"))
        if event.get("status") == "Downloading" and current is not None and total:
            layers[str(event.get("id"))] = (current, total)
            have, whole = (sum(pair[at] for pair in layers.values()) / _MIB for at in (0, 1))
            count(f"{have:.1f} of {whole:.1f} MiB")
    if layers:
        count("")


# --- before and after -------------------------------------------------------------------------------------------------


def tidy(report: Report) -> None:
    """What is due is done, and what is pending is said. Call it while the change is locked."""
    for note in (*change.overdue(), *forward.reconcile()):
        report(note)
    for journal in change.unfinished():
        report(say(Kind.CHANGE_INTERRUPTED, container=journal.change.name))


def untouched(name: str) -> None:
    """Raises NetdashError(REFUSED) where another change of this container is not over, or may not be."""
    readable(pending())
    for journal in change.unfinished():
        if name in (journal.change.name, journal.change.backup, journal.change.temporary):
            raise NetdashError(f"a change of {name} was interrupted", "netdash recover", Exit.REFUSED)


def readable(found: Pending) -> None:
    """Raises NetdashError(REFUSED) where a record cannot be read: what it was about is not known."""
    for record in found.unreadable:
        raise NetdashError(record.sentence, "netdash recover tells what the engine shows of it", Exit.REFUSED)


def pending() -> Pending:
    """Reads the records, and the names of the containers. Raises NetdashError where the records may not be read."""
    forwards = forwards_now()
    unreadable = (*forward.unreadable(), *journal_files.unreadable())
    return Pending(forwards, forward.lost(forwards), change.pending(), unreadable, time.time())


def forwards_now() -> tuple[Forward, ...]:
    """The records of forwards, oldest first, with the name that each container has now; the one that it had where the
    engine does not answer."""
    found = forward.listed()
    names: dict[str, str] = {}
    for address in {other.engine for other in found}:
        with contextlib.suppress(NetdashError):
            names |= {container.id: container.name for container in every(local(address, _NAMES))}
    return tuple(replace(other, container=names.get(other.container_id, other.container)) for other in found)


def take_back(taken: Taken, report: Report) -> Outage | None:
    """End a forward, or roll a change back; how long that took a container down. Raises NetdashError(REFUSED)."""
    with state_directory.one_at_a_time():
        if isinstance(taken, Forward):
            forward.end_one(taken)
            return None
        return change.rollback(local(taken.change.engine), _now(taken), report, agreed=True)


def _now(journal: Journal) -> Journal:
    found = journal_files.load(journal_files.path_of(journal.change))
    if found is None:
        raise NetdashError("its time to be taken back is over", code=Exit.REFUSED)
    return found


# --- what was interrupted ---------------------------------------------------------------------------------------------


def course(taken: Taken) -> Course:
    """What taking it back does, by what the engine shows now; changes nothing. Raises NetdashError where that is not
    known."""
    if isinstance(taken, Forward):
        return Course(Way.PLANNED, (f"end the forward of {port_list(taken.ports)} to {taken.container}",))
    if not taken.begun:
        return Course(Way.RECORD, ("nothing was begun: only the record is removed",))
    return undo.rollback(taken, look(local(taken.change.engine), taken))


def recoveries(address: str) -> tuple[Recovery | Damaged, ...]:
    """What was left unfinished, each with what can be done; changes nothing. `address`: the engine of records that do
    not tell theirs."""
    found = pending()
    return (
        *map(_recovery, found.interrupted),
        *map(_recovery_of_forward, found.lost),
        *(Damaged(record, _shown_of(record, address)) for record in found.unreadable),
    )


def _recovery(journal: Journal) -> Recovery:
    try:
        seen = look(local(journal.change.engine), journal)
    except NetdashError as error:
        unknown = undo.refused(f"the engine does not say what is there: {error.message}")
        rolled = unknown if journal.begun else course(journal)
        return Recovery(journal, (unknown.refusal,), unknown, rolled)
    rolled = undo.rollback(journal, seen) if journal.begun else course(journal)
    return Recovery(journal, undo.shown(journal, seen), undo.finish(journal, seen), rolled)


def _recovery_of_forward(running: Forward) -> Recovery:
    again = Course(Way.PLANNED, (f"forward {port_list(running.ports)} to {running.container} again",))
    forgotten = Course(Way.RECORD, ("remove the record",))
    return Recovery(running, ("its process is gone: the port is closed",), again, forgotten)


def _shown_of(record: Unreadable, address: str) -> tuple[str, ...]:
    """The containers that such a record may have been about, as the engine shows them now."""
    try:
        found = every(local(record.engine or address))
    except NetdashError as error:
        return (f"what the engine shows of it is not known: {error.message}",)
    return undo.suspects(record, found)


def recover(record: Taken | Unreadable, choice: Choice, report: Report) -> Outage | None:
    """Finish a record, roll it back, or forget it; one that cannot be read is only forgotten. How long its change took
    a container down. Raises NetdashError(REFUSED)."""
    with state_directory.one_at_a_time():
        if isinstance(record, Unreadable):
            if choice is not Choice.FORGET:
                raise NetdashError(record.sentence, code=Exit.REFUSED)
            state_directory.set_aside(Path(record.path))
            return None
        if isinstance(record, Forward):
            if choice is Choice.FINISH:
                report(forward.again(record))
            else:
                forward.end_one(record)
            return None
        now = _now(record)
        if choice is Choice.FORGET:
            journal_files.end(now.change)
            return None
        if choice is Choice.FINISH:
            return change.resume(local(now.change.engine), now, report).outage
        return change.rollback(local(now.change.engine), now, report)


def recover_all(choice: Choice, report: Report) -> tuple[tuple[Outage, ...], tuple[str, ...]]:
    """Every record by itself: how long their changes took containers down; why some could not be, in sentences."""
    outages, failed = [], []
    with state_directory.one_at_a_time():
        for note in change.overdue():
            report(note)
    found = pending()
    records: tuple[Taken, ...] = (*found.interrupted, *found.lost)
    for record in records:
        try:
            outages.append(recover(record, choice, report))
        except NetdashError as error:
            hint = f" ({error.hint})" if error.hint else ""
            failed.append(f"{_title(record)}: {error.message}{hint}")
    return tuple(filter(None, outages)), (*failed, *(record.sentence for record in found.unreadable))


def _title(taken: Taken) -> str:
    return f"the forward to {taken.container}" if isinstance(taken, Forward) else taken.change.name


def forget(identity: str, report: Report) -> None:
    """End the record of that id, whatever it is about: nothing else is changed. Raises NetdashError(REFUSED)."""
    found = pending()
    records: tuple[Taken | Unreadable, ...] = (*found.journals, *found.lost, *found.unreadable)
    for record in records:
        if identity == (record.change.id if isinstance(record, Journal) else record.id):
            recover(record, Choice.FORGET, report)
            return
    raise NetdashError(f"there is no record {identity}", "netdash recover lists them", Exit.REFUSED)
