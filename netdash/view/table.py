"""What a list view is made of, how columns share a width, and the language of the live filter: plain words, !word,
key:value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, overload

from netdash.model.errors import Exit, NetdashError, did_you_mean
from netdash.model.host import Host, Ref
from netdash.model.records import dataclass
from netdash.model.relations import ref_of
from netdash.view.text import Span, width


@dataclass(frozen=True, slots=True)
class Column:
    key: str  # JSON-like name, also the key of a `key:value` filter
    title: str
    right: bool = False  # numbers
    leaves: int = 0  # 0 always stays; otherwise the higher, the sooner it leaves a narrow screen
    most: int = 40  # cells at most, unless there is room left
    short: str = ""  # title where it is narrow
    least: int = 0  # cells that it may be cut to before another column leaves; 0: none of it is cut
    middle: bool = False  # cut in the middle: names that differ at their ends only
    counted: bool = False  # made of counters that are read only while it is shown: it is shown only where chosen
    screen: bool | None = None  # True: only in the dashboard, False: only printed, None: everywhere


class Belongs(NamedTuple):
    """What a row is grouped under. `key`: two things of one name are apart; "" of what belongs to nothing."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Row:
    ref: Ref
    cells: tuple[Span, ...]  # one a column
    sort: tuple[object, ...] = ()  # per column sort keys, when the text does not sort right
    lead: Span | None = None  # one glyph before the first column, in the dashboard
    tags: tuple[str, ...] = ()  # what `is:` asks for
    why: Span | None = None  # in the dashboard it stands in the place of the last columns, and is not cut for them
    groups: tuple[tuple[Belongs, ...], ...] = ()  # by each of the view's groupings
    note: Span | None = None  # in the dashboard, where a clause of it has room beside the columns that say something


EXTRA = 8  # rank of a column from which it only takes what the others leave
LEAST = 4  # cells under which a column says nothing


class Rows(Sequence[Row]):
    """Rows that are built when they are looked at, and kept: a screen of a host of 10,000 rules builds forty."""

    __slots__ = ("_build", "_built", "things")

    def __init__(self, things: Sequence[Any], build: Callable[[Any], Row]) -> None:
        self.things = things
        self._build = build
        self._built: list[Row | None] = [None] * len(things)

    def __len__(self) -> int:
        return len(self.things)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        if isinstance(at, slice):
            return [self[index] for index in range(*at.indices(len(self)))]
        row = self._built[at]
        if row is None:
            row = self._built[at] = self._build(self.things[at])
        return row

    def ref(self, at: int) -> Ref:
        """The reference of one row without building it."""
        return ref_of(self.things[at])


@dataclass(frozen=True, slots=True)
class View:
    """One list of things: a pane, a digit key, a palette command, a CLI subcommand and a golden test."""

    name: str  # plural, the subcommand: containers
    title: str
    short: str  # title at 80 columns
    digit: str  # the key that shows it, after ten views a letter
    kind: str  # Ref.kind of its rows
    columns: tuple[Column, ...]
    sources: tuple[str, ...]  # without these there is nothing to list
    rows: Callable[[Host], Rows]
    empty: str  # what to say when there is nothing
    known: Callable[[Host], bool]  # whether the list could be read at all; else no rows mean nothing
    findings: bool = False  # each row is something wrong
    doubt: Callable[[Host], str] = lambda _: ""  # why no rows do not mean that there is nothing
    keeps: int = 1  # columns, from the left, that a row's `why` never covers
    groupings: tuple[str, ...] = ()  # what its rows can be grouped by
    sums: Callable[[Sequence[Row]], str] = lambda _: ""  # what rows of one group carry together
    notes: Callable[[Host], Sequence[str]] = lambda _: ()  # what is not known of all rows, and why

    def nothing(self, host: Host) -> str:
        """What to say when there are no rows."""
        return self.doubt(host) or self.empty


def widths(
    columns: Sequence[Column], rows: Sequence[Row], room: int, gap: int = 2, shown: Sequence[bool] | None = None
) -> list[int]:
    """Cells for each column so that they fit `room`; 0 for one that leaves, or is not `shown`. Columns leave by their
    rank while not even the least of all fits, then the widest shrink; what is left over goes to the first that need
    it."""
    need = [width(column.title) for column in columns]
    for row in rows:
        for index, cell in enumerate(row.cells):
            size = width(cell.text)
            if size > need[index]:
                need[index] = size
    wanted = [min(size, column.most) for size, column in zip(need, columns, strict=True)]
    if shown is not None:
        wanted = [size if show else 0 for size, show in zip(wanted, shown, strict=True)]
    least = [min(size, column.least or size) for size, column in zip(wanted, columns, strict=True)]
    kept = _kept(columns, wanted, least, room, gap)
    sizes = [size if keep else 0 for size, keep in zip(wanted, kept, strict=True)]
    _shrink(sizes, least, room, gap)
    _shrink(sizes, [LEAST] * len(sizes), room, gap)
    _drop(sizes, room, gap)
    _grow(sizes, need, room, gap)
    return sizes


def _kept(columns: Sequence[Column], wanted: Sequence[int], least: Sequence[int], room: int, gap: int) -> list[bool]:
    """Which columns stay: those of the highest ranks leave until the least of the others fits, and an extra one before
    any other is cut."""
    kept = [True] * len(columns)
    for index in sorted(range(len(columns)), key=lambda index: -columns[index].leaves):
        rank = columns[index].leaves
        sizes = wanted if rank >= EXTRA else least
        if not rank or _total([size for size, keep in zip(sizes, kept, strict=True) if keep], gap) <= room:
            break
        kept[index] = False
    return kept


def _total(sizes: Sequence[int], gap: int) -> int:
    shown = [size for size in sizes if size]
    return sum(shown) + gap * max(0, len(shown) - 1)


def _shrink(sizes: list[int], least: Sequence[int], room: int, gap: int) -> None:
    """The widest of those above their least gives way, cell by cell."""
    while _total(sizes, gap) > room:
        above = [index for index, size in enumerate(sizes) if size > least[index]]
        if not above:
            return
        sizes[max(above, key=sizes.__getitem__)] -= 1


def _drop(sizes: list[int], room: int, gap: int) -> None:
    """Not even the least fits: the last ones leave, and the first takes what there is."""
    while _total(sizes, gap) > room and sum(map(bool, sizes)) > 1:
        sizes[max(index for index, size in enumerate(sizes) if size)] = 0
    if _total(sizes, gap) > room:
        sizes[next(index for index, size in enumerate(sizes) if size)] = max(1, room)


def _grow(sizes: list[int], need: Sequence[int], room: int, gap: int) -> None:
    for index, size in enumerate(sizes):
        if size:
            sizes[index] = min(need[index], size + max(0, room - _total(sizes, gap)))


def noted_from(row: Row, columns: Sequence[Column], sizes: Sequence[int]) -> Iterator[int]:
    """The columns of which the row's note may take the place, best first: of the last ones those that say nothing
    there, then those that are extra."""
    shown = [at for at, size in enumerate(sizes) if size]
    told = [at for at in shown if row.cells[at].text not in ("", "—")]
    last = 1 + max(told, default=0)
    least = 1 + max((at for at in told if columns[at].leaves < EXTRA), default=0)
    yield last
    yield from (at for at in reversed(shown) if least <= at < last)


_RANGE = r"(?<![\w.:-])(?:[\d.]+:|\[[^]]*\]:)?(\d{1,5})-(\d{1,5})(?![\w.:-])"
"""Ports that are shown folded: 8000-8002, perhaps with an address before it."""


TAGS = -1
_TAGS = ("broken", "risk", "exposed", "unknown", "ok", "nothing")


@dataclass(frozen=True, slots=True)
class Term:
    """One word. `column` None: any cell may contain it."""

    text: str  # casefolded
    column: int | None = None  # TAGS: of `is:`
    negated: bool = False
    key: str = ""  # what stands before a colon like a column's key, and is none

    def matches(self, row: Row, whole: str) -> bool:
        return self.found(row, whole) is not self.negated

    def found(self, row: Row, whole: str) -> bool:
        if self.column == TAGS:
            return any(tag.startswith(self.text) for tag in row.tags)
        within = whole if self.column is None else row.cells[self.column].text.casefold()
        return self.text in within or (self.text.isascii() and self.text.isdigit() and _folded(self.text, within))


def _folded(port: str, within: str) -> bool:
    """Whether a port lies in one of the ranges."""
    number = int(port[:6])
    return any(int(first) <= number <= int(last) for first, last in re.findall(_RANGE, within))


@dataclass(frozen=True, slots=True)
class Filter:
    """All terms must hold. Case does not matter; a word matches any part of a cell."""

    terms: tuple[Term, ...]
    cells: int | None = None  # how many of a row plain words search; None: all

    @staticmethod
    def parse(text: str, columns: Sequence[Column]) -> Filter:
        """`is:broken`, `is:risk`, `is:exposed`, `is:unknown`, `is:ok` ask how a row fares. `key:value` names a column
        by its key, its title or the start of one; any other colon is plain text.
        A lone "!" and an empty value hold for every row, so that typing goes on undisturbed."""
        words = tuple(_term(word, columns) for word in text.casefold().split())
        return Filter(words, sum(not column.counted for column in columns))

    @property
    def stray(self) -> tuple[str, ...]:
        """Keys that name no column: their words are plain text."""
        return tuple(term.key for term in self.terms if term.key)

    @property
    def asks_how_rows_fare(self) -> bool:
        return any(term.column == TAGS for term in self.terms)

    def check(self, view: View, rows: Iterable[Row]) -> None:
        """Raises NetdashError(USAGE) for a key that names no column, where no row has the word as plain text, and for
        what `is:` never finds."""
        for term in self.terms:
            if term.column == TAGS and not any(tag.startswith(term.text) for tag in _TAGS):
                hint = did_you_mean(term.text, _TAGS, "is:") or f"is: {', '.join(_TAGS)}"
                raise NetdashError(f"no row is {term.text!r}", hint, Exit.USAGE)
            if term.key and not any(term.found(row, haystack(row, self.cells)) for row in rows):
                near = nearest(term.key, view.columns)
                hint = f"did you mean {near}:{term.text.partition(':')[2]}? " if near else ""
                raise NetdashError(f"{view.name} has no column {term.key!r}", hint + columns_of(view), Exit.USAGE)

    def matches(self, row: Row) -> bool:
        if not self.terms:
            return True
        whole = haystack(row, self.cells)
        return all(term.matches(row, whole) for term in self.terms if term.text)


def columns_of(view: View) -> str:
    return f"columns: {', '.join(column.key for column in view.columns if not column.screen)}"


def nearest(key: str, columns: Sequence[Column]) -> str:
    """The column's key that may be meant; "" for none. Rules have what else can be asked of them in their text."""
    import difflib  # only where something was mistyped

    keys = [column.key for column in columns]
    near = difflib.get_close_matches(key[:100], keys, 1)
    return near[0] if near else "text" if "text" in keys else ""


def haystack(row: Row, cells: int | None = None) -> str:
    """All that plain words search, casefolded; cells are apart, so that no word matches across two. What moves by
    itself stands in the last cells and is not searched."""
    return "\n".join([cell.text for cell in row.cells[:cells]]).casefold()


def _term(word: str, columns: Sequence[Column]) -> Term:
    negated = word.startswith("!")
    word = word.removeprefix("!")
    key, colon, value = word.partition(":")
    if colon and key == "is":
        return Term(value, TAGS, negated)
    if colon and key:
        column = _column(key, columns)
        if column is not None:
            return Term(value, column, negated)
        if value and key.isascii() and key.isalpha():
            return Term(word, None, negated, key)
    return Term(word, None, negated)


def _column(key: str, columns: Sequence[Column]) -> int | None:
    named: tuple[Callable[[Column], bool], ...] = (
        lambda column: column.key == key,
        lambda column: column.title.casefold() == key,
        lambda column: len(key) > 1 and column.key.startswith(key),
    )
    for matches in named:
        for index, column in enumerate(columns):
            if matches(column):
                return index
    return None
