"""A finding before its fix has been tried: what a cause and a check hand to `examine`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netdash.change.model import Change
from netdash.model.finding import Finding
from netdash.model.host import Host
from netdash.model.records import dataclass
from netdash.trace.model import Question


@dataclass(frozen=True, slots=True)
class Candidate:
    """`finding`: without proof. `changes`: what the commands of its fix change, () where that cannot be told as data.
    `asks`: the questions that fail today and that the fix must answer, () where no packet shows the fault: there
    `again`, the check that found it, must find nothing on the changed host; None there is not told."""

    finding: Finding
    changes: tuple[Change, ...] = ()
    asks: tuple[Question, ...] = ()
    again: Callable[[Host], Iterator[Candidate] | None] | None = None
