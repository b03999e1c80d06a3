"""Who reaches what, told once for all that are treated alike: classes of senders, classes of ports, and a cell for each
pair of them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from netdash.model.host import IP, Rule
from netdash.model.records import dataclass, replace
from netdash.trace.model import Origin, Verdict


@dataclass(frozen=True, slots=True)
class Sender:
    name: str  # "outside", "host", or the container's
    origin: Origin
    container: str | None = None  # its id


@dataclass(frozen=True, slots=True)
class Aim:
    """A port that may be asked for."""

    kind: str  # published, container, host
    proto: str
    ip: IP
    port: int
    container: str | None = None  # id of whom it leads to


@dataclass(frozen=True, slots=True)
class Reach:
    """`reaches` None: cannot be told. `why`: the first thing that stops the packet or its answer. `verdict`: of the
    packet that does not arrive; one that arrives and is not answered has the verdict of the first packet."""

    reaches: bool | None
    why: str
    rule: Rule | None = None  # the one that decides, where one does
    verdict: Verdict = Verdict.UNKNOWN


@dataclass(frozen=True, slots=True)
class Kind:
    """What distinguishes a sender or aim from others of its class: what sentences may name, and the rules that speak of
    it. In the same order for all of a class."""

    names: tuple[str, ...]
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """What holds for a whole class, as it was traced for one pair of it."""

    reach: Reach
    sender: int
    aim: int


@dataclass(frozen=True, slots=True)
class Alone:
    """Pairs of a sender and an aim that are not like others of their classes: mostly a container that asks itself."""

    pairs: tuple[tuple[int, int], ...]
    cell: Cell


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Numbers are places in `senders` and `aims`."""

    senders: tuple[Sender, ...]
    aims: tuple[Aim, ...]
    sender_classes: tuple[tuple[int, ...], ...]
    aim_classes: tuple[tuple[int, ...], ...]
    cells: tuple[tuple[Cell | None, ...], ...]  # by class of senders, then of aims; None where every pair is `alone`
    alone: tuple[Alone, ...]
    asking: tuple[Kind, ...]  # by sender
    asked: tuple[Kind, ...]  # by aim

    def said(self, cell: Cell, sender: int, aim: int) -> Reach:
        """What a cell says of this pair."""
        found = cell.reach
        if found.reaches or (cell.sender, cell.aim) == (sender, aim):
            return found
        theirs = (self.asking[cell.sender], self.asked[cell.aim])
        return _renamed(found, theirs, (self.asking[sender], self.asked[aim]))

    def by_aim(self) -> tuple[Mapping[int, Cell], ...]:
        """Of each aim, the cell of every sender that is alone there."""
        found: tuple[dict[int, Cell], ...] = tuple({} for _ in self.aims)
        for alone in self.alone:
            for sender, aim in alone.pairs:
                found[aim][sender] = alone.cell
        return found

    def rows(self) -> tuple[tuple[Reach, ...], ...]:
        """Every cell by itself, by sender, then by aim. Large hosts have millions."""
        alone = self.by_aim()
        of_sender = _places(self.sender_classes)
        of_aim = _places(self.aim_classes)
        rows = []
        for sender in range(len(self.senders)):
            row = []
            for aim in range(len(self.aims)):
                cell = alone[aim].get(sender) or self.cells[of_sender[sender]][of_aim[aim]]
                row += [self.said(cell, sender, aim)] if cell is not None else []
            rows.append(tuple(row))
        return tuple(rows)


def _places(classes: tuple[tuple[int, ...], ...]) -> dict[int, int]:
    return {member: at for at, members in enumerate(classes) for member in members}


_WORD = re.compile(
    r"(?:(?:ip6|inet|bridge|arp|netdev) )?[^\s/#]+/[^\s#]+ #[0-9]+|[0-9]+(?:\.[0-9]+){3}"
    r"|[0-9a-f]*:[0-9a-f]*:[0-9a-f:]*[0-9a-f]|[\w.-]*\w"
)
"""A rule's place, an address, a MAC, a name or a number."""


def _renamed(found: Reach, theirs: tuple[Kind, Kind], ours: tuple[Kind, Kind]) -> Reach:
    """What is said of one pair, said of another of the same classes."""
    rules = [pair for one, other in zip(theirs, ours, strict=True) for pair in zip(one.rules, other.rules, strict=True)]
    names = {rule.place: twin.place for rule, twin in rules}
    for one, other in zip(theirs, ours, strict=True):
        names |= dict(zip(one.names, other.names, strict=True))
    why = _WORD.sub(lambda word: names.get(word[0], word[0]), found.why)
    rule = next((twin for rule, twin in rules if rule is found.rule), found.rule)
    return replace(found, why=why, rule=rule)
