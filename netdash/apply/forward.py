"""Forwards as a whole: begin one, end one, list them, and bring records and processes together again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from netdash.apply import child, state_directory
from netdash.apply.state_directory import Records
from netdash.model.errors import Exit, NetdashError
from netdash.model.records import replace
from netdash.publish.state import Forward, load_forward, verdict
from netdash.publish.statement import Kind, Statement, say

if TYPE_CHECKING:
    from netdash.publish.plan import Plan

_PATIENCE = 20.0  # seconds for a keeper to begin, or to end
_PAUSE = 0.02
_RECORDS = Records(state_directory.forwards, ".json", load_forward, lambda forward: forward.created)
listed, unreadable = _RECORDS.listed, _RECORDS.unreadable


def begin(plan: Plan, engine: str, program: str) -> Forward:
    """Start what the plan says, and answer when the port is open. Raises NetdashError(REFUSED), and leaves nothing."""
    now = time.time()
    record = Forward(
        id=f"{int(now)}-{secrets.token_hex(4)}",
        engine=engine,
        container_id=plan.container_id,
        container=plan.container,
        network=plan.network,
        program=program,
        ports=plan.ports,
        created=now,
        boot=state_directory.boot_id(),
        until=now + plan.seconds if plan.seconds else None,
    )
    return _start(record)


def _start(record: Forward) -> Forward:
    state_directory.ensure(state_directory.forwards())
    path = _RECORDS.path(record.id)
    state_directory.write(path, record.dumps())
    if not child.leave("forward_daemon", str(path)):
        state_directory.remove(path)
        raise NetdashError("the process that keeps the port does not start", code=Exit.REFUSED)
    return _begun(path)


def _begun(path: Path) -> Forward:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        record = _RECORDS.load(path)
        if record is None:
            raise NetdashError("the container is gone", code=Exit.REFUSED)
        if record.phase == "failed":
            state_directory.remove(path)
            raise NetdashError(f"the port could not be opened: {record.problem}", code=Exit.REFUSED)
        if record.phase != "starting":
            return record
        time.sleep(_PAUSE)
    record = _RECORDS.load(path)
    if record is not None:
        end_one(record)
    raise NetdashError("the port did not open in time", code=Exit.REFUSED)


def end_one(record: Forward) -> None:
    """End its keeper, which ends the proxies, and forget it. Raises NetdashError(REFUSED) when the keeper stays."""
    path = _RECORDS.path(record.id)
    keeper = record.keeper
    if keeper is not None and record.boot == state_directory.boot_id():
        state_directory.end(keeper)
        end = time.monotonic() + _PATIENCE
        while state_directory.alive(keeper):
            if time.monotonic() > end:
                raise NetdashError(f"process {keeper.pid}, which keeps the port, does not end", code=Exit.REFUSED)
            time.sleep(_PAUSE)
    state_directory.remove(path)


def state(forward: Forward) -> str:
    """starting, up, waiting; `lost` when its keeper died or a reboot ended it, `over` when its time came besides."""
    found = verdict(forward, state_directory.boot_id(), state_directory.alive(forward.keeper), time.time())
    return forward.phase if state_directory.alive(forward.keeper) and found != "lost" else found


def waiting() -> Iterator[Forward]:
    """Those of which a port may be closed, and is opened again."""
    return (one for one in listed() if state(one) in ("waiting", "lost"))


def lost(records: Iterable[Forward]) -> tuple[Forward, ...]:
    """Those whose keeper died, or that a reboot ended."""
    return tuple(record for record in records if state(record) == "lost")


def reconcile() -> tuple[Statement, ...]:
    """Records and processes made to agree: what was lost is started again, or dropped with a reason. What was done."""
    notes = []
    for forward in listed():
        if state(forward) == "over":
            end_one(forward)
            notes.append(_say(Kind.FORWARD_OVER, forward))
        elif state(forward) == "lost":
            notes.append(again(forward))
    return tuple(notes)


def again(forward: Forward) -> Statement:
    """Start it anew: its keeper died. A port that is to be had no more is dropped, and said."""
    end_one(forward)
    try:
        _start(replace(forward, phase="starting", target=(), problem="", keeper=None, boot=state_directory.boot_id()))
    except NetdashError as error:
        return _say(Kind.FORWARD_DROPPED, forward, reason=error.message)
    return _say(Kind.FORWARD_REOPENED, forward)


def _say(kind: Kind, forward: Forward, **values: str) -> Statement:
    ports = tuple(str(number) for number in sorted({port.host_port for port in forward.ports}))
    return say(kind, container=forward.container, ports=ports, **values)
