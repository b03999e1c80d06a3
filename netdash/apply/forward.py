"""Forwards as a whole: begin one, end one, list them, and bring records and processes together again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netdash.apply import child, places
from netdash.core.errors import Exit, NetdashError
from netdash.core.publish.pending import Unreadable
from netdash.core.publish.state import Forward, load_forward, verdict

if TYPE_CHECKING:
    from netdash.core.publish.plan import Plan

_SUFFIX = ".json"
_PATIENCE = 20.0  # seconds for a keeper to begin, or to end
_PAUSE = 0.02


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
        boot=places.boot_id(),
        until=now + plan.seconds if plan.seconds else None,
    )
    return _start(record)


def _start(record: Forward) -> Forward:
    path = places.ensure(places.forwards()) / f"{record.id}{_SUFFIX}"
    places.write(path, record.dumps())
    if not child.leave("keeper", str(path)):
        places.remove(path)
        raise NetdashError("the process that keeps the port does not start", code=Exit.REFUSED)
    return _begun(path)


def _begun(path: Path) -> Forward:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        record = _load(path)
        if record is None:
            raise NetdashError("the container is gone", code=Exit.REFUSED)
        if record.phase == "failed":
            places.remove(path)
            raise NetdashError(f"the port could not be opened: {record.problem}", code=Exit.REFUSED)
        if record.phase != "starting":
            return record
        time.sleep(_PAUSE)
    record = _load(path)
    if record is not None:
        end_one(record)
    raise NetdashError("the port did not open in time", code=Exit.REFUSED)


def _load(path: Path) -> Forward | None:
    try:
        return load_forward(places.read(path))
    except FileNotFoundError:
        return None


def listed() -> tuple[Forward, ...]:
    """The records as they are on disk, oldest first, those that can be read."""
    found = (load_forward(text) for _, text in _texts() if isinstance(text, str))
    return tuple(sorted((one for one in found if one), key=lambda one: one.created))


def unreadable() -> tuple[Unreadable, ...]:
    """The others: their keepers may hold ports."""
    found = (places.unreadable(path, text, load_forward) for path, text in _texts())
    return tuple(one for one in found if one is not None)


def _texts() -> Iterator[tuple[Path, str | NetdashError]]:
    return places.texts(places.forwards(), _SUFFIX)


def end_one(record: Forward) -> None:
    """End its keeper, which ends the proxies, and forget it. Raises NetdashError(REFUSED) when the keeper stays."""
    path = places.forwards() / f"{record.id}{_SUFFIX}"
    keeper = record.keeper
    if keeper is not None and record.boot == places.boot_id():
        places.end(keeper)
        end = time.monotonic() + _PATIENCE
        while places.alive(keeper):
            if time.monotonic() > end:
                raise NetdashError(f"process {keeper.pid}, which keeps the port, does not end", code=Exit.REFUSED)
            time.sleep(_PAUSE)
    places.remove(path)


def state(one: Forward) -> str:
    """starting, up, waiting; `lost` when its keeper died or a reboot ended it, `over` when its time came besides."""
    found = verdict(one, places.boot_id(), places.alive(one.keeper), time.time())
    return one.phase if places.alive(one.keeper) and found != "lost" else found


def lost(records: Iterable[Forward]) -> tuple[Forward, ...]:
    """Those whose keeper died, or that a reboot ended."""
    return tuple(one for one in records if state(one) == "lost")


def reconcile() -> tuple[str, ...]:
    """Records and processes made to agree: what was lost is started again, or dropped with a reason. What was done, in
    sentences."""
    notes = []
    for one in listed():
        ports = ", ".join(str(port) for port in sorted({port.host_port for port in one.ports}))
        if state(one) == "over":
            end_one(one)
            notes.append(f"the forward of {one.container} port {ports} is over: its time has ended")
        elif state(one) == "lost":
            notes.append(f"the forward of {one.container} port {ports} {again(one)}")
    return tuple(notes)


def again(one: Forward) -> str:
    """Start it anew: its keeper died. A port that is to be had no more is dropped, and said."""
    end_one(one)
    try:
        _start(replace(one, phase="starting", target=(), problem="", keeper=None, boot=places.boot_id()))
    except NetdashError as error:
        return f"was lost, and is dropped: {error.message}"
    return "was lost, and is open again"
