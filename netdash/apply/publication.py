"""Changes from an agreed plan to their proof, for the command line and the dashboard alike: who asks and who tells is
theirs. Each holds the lock by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netdash.apply import change, forward, logbook, places
from netdash.apply.proof import prove
from netdash.apply.steps import pull
from netdash.core.errors import Exit, NetdashError
from netdash.core.parse.decode import integer, mapping
from netdash.core.publish.pending import Pending, Taken
from netdash.core.publish.proof import Proof
from netdash.core.publish.request import GRACE, Mode, Request
from netdash.core.publish.state import Forward
from netdash.engine.client import local

if TYPE_CHECKING:
    from netdash.core.publish.facts import Facts
    from netdash.core.publish.plan import Plan

Told = Callable[[str], None]
_PROOF = 5.0  # seconds for a port to answer that answered inside
_MIB = 1 << 20


def publish(made: Plan, request: Request, address: str, facts: Facts, tell: Told) -> tuple[Proof, ...]:
    """Carry out a plan of `core.publish.plan.plan`. Raises NetdashError(REFUSED); then it is taken back, or a journal
    says what is left."""
    with places.one_at_a_time():
        tidy(tell)
        untouched(made.container)
        if made.mode is Mode.RECREATE:
            change.recreate(made, request, address, (), tell)
            return prove(made.ports, 0.0)
        *opening, proving = made.steps
        for step in opening:
            tell(step)
        record = forward.begin(made, address, facts.program or "")
        tell(proving)
        proofs = prove(made.ports, _PROOF if made.answers else 0.0)
        failed = next((one for one in proofs if one.works is False), None)
        if made.answers and failed is not None:
            forward.end_one(record)
            raise NetdashError(f"taken back: {failed.sentence}", code=Exit.REFUSED)
        return proofs


def start(made: Plan, image: str, address: str, facts: Facts, tell: Told, count: Told) -> tuple[Proof, ...]:
    """Carry out a plan of `plan_new`; `count`: how much of the image has come, at the end "". Raises as `publish`."""
    with places.one_at_a_time():
        tidy(tell)
        if not facts.image_here:
            tell(f"pull {image}")
            _pull(address, image, count)
        change.start_new(made, image, address, GRACE, tell)
        return prove(made.ports, _PROOF)


def _pull(address: str, image: str, count: Told) -> None:
    layers: dict[str, tuple[int, int]] = {}
    for event in pull(local(address), image):
        told = mapping(event.get("progressDetail"))
        current, total = integer(told.get("current")), integer(told.get("total"))
        if event.get("status") == "Downloading" and current is not None and total:
            layers[str(event.get("id"))] = (current, total)
            have, whole = (sum(pair[at] for pair in layers.values()) / _MIB for at in (0, 1))
            count(f"{have:.1f} of {whole:.1f} MiB")
    if layers:
        count("")


# --- before and after -------------------------------------------------------------------------------------------------


def tidy(tell: Told) -> None:
    """What is due is done, and what is pending is said. Call it while the change is locked."""
    for note in (*change.overdue(), *forward.reconcile()):
        tell(note)
    for journal in change.unfinished():
        name = journal.change.name
        tell(f"a change of {name} was interrupted: netdash recover --finish, or --rollback")


def untouched(name: str) -> None:
    """Raises NetdashError(REFUSED) where another change of this container is not over."""
    for journal in change.unfinished():
        if name in (journal.change.name, journal.change.backup, journal.change.temporary):
            raise NetdashError(f"a change of {name} was interrupted", "netdash recover", Exit.REFUSED)


def pending() -> Pending:
    """Reads the records alone. Raises NetdashError where they may not be read."""
    forwards = forward.listed()
    return Pending(forwards, forward.lost(forwards), change.pending())


def take_back(one: Taken, tell: Told) -> None:
    """End a forward, or roll a change back. Raises NetdashError(REFUSED)."""
    with places.one_at_a_time():
        if isinstance(one, Forward):
            forward.end_one(one)
            return
        now = logbook.load(logbook.path_of(one.change))
        if now is None:
            raise NetdashError("its time to be taken back is over", code=Exit.REFUSED)
        change.rollback(local(one.change.engine), now, tell)


def recover(finish: bool, tell: Told) -> None:
    """Finish, or roll back, all that was interrupted; forwards that were lost are opened again, or forgotten. Raises
    NetdashError(REFUSED)."""
    with places.one_at_a_time():
        for note in change.overdue():
            tell(note)
        for journal in change.unfinished():
            (change.resume if finish else change.rollback)(local(journal.change.engine), journal, tell)
        if finish:
            for note in forward.reconcile():
                tell(note)
        else:
            for one in forward.lost(forward.listed()):
                forward.end_one(one)
