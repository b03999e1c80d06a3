"""Which rows a pane shows, and in what order: filter, sort, and what belongs to a selection. Pure; no widget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge

from netdash.model.host import Ref
from netdash.tui.host_view import Sheet
from netdash.tui.slices import Steps
from netdash.view.filter import Filter
from netdash.view.table import Row, Rows, View

RUN = 1_000  # rows sorted at once
CHUNK = 64  # rows between two looks at the clock


@dataclass(frozen=True, slots=True)
class Ask:
    """What a pane is asked to show."""

    view: View
    text: str = ""  # the filter's own language
    sort: int | None = None  # a column; None for the view's own order
    down: bool = False  # sorted from the greatest
    within: Ref | None = None  # only what belongs to this


@dataclass(frozen=True, slots=True)
class Listing:
    """The answer: `order` holds places in `rows`. A row that is `gone` from it stays where it was, for as long as the
    cursor stands on it."""

    ask: Ask
    rows: Rows
    order: Sequence[int]
    gone: Row | None = None
    gone_at: int = -1
    struck: bool = False  # whether it is nowhere else either

    def __len__(self) -> int:
        return len(self.order) + (self.gone is not None)

    def __getitem__(self, at: int) -> Row:
        if self.gone is not None and at >= self.gone_at:
            if at == self.gone_at:
                return self.gone
            at -= 1
        return self.rows[self.order[at]]

    def __iter__(self) -> Iterator[Row]:
        return (self[at] for at in range(len(self)))

    def keeping(self, gone: Row, at: int, struck: bool) -> Listing:
        return replace(self, gone=gone, gone_at=min(at, len(self.order)), struck=struck)

    def without_gone(self) -> Listing:
        return Listing(self.ask, self.rows, self.order)

    def place(self, ref: Ref, index: Mapping[Ref, int] | None = None, near: int = 0) -> int | None:
        """Where `ref` stands among the shown rows; looks at `near` first, which is where it mostly is."""
        if 0 <= near < len(self) and self[near].ref == ref:
            return near
        if index is None:
            return next((at for at, row in enumerate(self) if row.ref == ref), None)
        place = index.get(ref)
        if place is None:
            return None
        try:
            at = self.order.index(place)
        except ValueError:
            return None
        return at + (self.gone is not None and at >= self.gone_at)


def arrange(sheet: Sheet, ask: Ask) -> Steps[Listing]:
    """The listing for `ask`, in steps of well under a millisecond where the rows allow it."""
    rows = sheet.rows(ask.view)
    order: Sequence[int] = range(len(rows))
    if ask.within is not None:
        order = sheet.belonging(ask.view, ask.within)
        yield
    if ask.text.strip():
        order = yield from _matching(rows, order, Filter.parse(ask.text, ask.view.columns))
    if ask.sort is not None:
        order = yield from _sorted(rows, order, ask.sort, ask.down)
    return Listing(ask, rows, order)


def _matching(rows: Rows, order: Sequence[int], wanted: Filter) -> Steps[Sequence[int]]:
    kept: list[int] = []
    for start in range(0, len(order), CHUNK):
        kept += [place for place in order[start : start + CHUNK] if wanted.matches(rows[place])]
        yield
    return kept


def _sorted(rows: Rows, order: Sequence[int], column: int, down: bool) -> Steps[Sequence[int]]:
    keys: dict[int, tuple[int, object]] = {}
    for start in range(0, len(order), CHUNK):
        for place in order[start : start + CHUNK]:
            keys[place] = _key(rows[place], column)
        yield
    try:
        return (yield from _merged(order, keys, down))
    except TypeError:  # sort keys of one column that do not compare, such as addresses of both families
        return (yield from _merged(order, {place: (rank, str(key)) for place, (rank, key) in keys.items()}, down))


def _merged(order: Sequence[int], keys: Mapping[int, tuple[int, object]], down: bool) -> Steps[Sequence[int]]:
    """Sorted in runs that are merged bit by bit: one sort of all would hold up the screen."""
    key = keys.__getitem__
    runs: list[list[int]] = []
    for start in range(0, len(order), RUN):
        runs.append(sorted(order[start : start + RUN], key=key, reverse=down))
        yield
    merged: list[int] = []
    for place in merge(*runs, key=key, reverse=down):
        merged.append(place)
        if not len(merged) % CHUNK:
            yield
    return merged


def _key(row: Row, column: int) -> tuple[int, object]:
    """What is unknown or absent comes last when ascending."""
    value: object = row.sort[column] if column < len(row.sort) else row.cells[column].text.casefold()
    if value is None or value in ("", "—", "?"):
        return 2, 0
    return (0, value) if isinstance(value, (int, float)) else (1, value)
