"""The language of the live filter: plain words, !word, key:value. Pure: text -> does this row stay."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

from netdash.model.errors import Exit, NetdashError, did_you_mean
from netdash.model.records import dataclass
from netdash.view.table import Column, Row, View

_RANGE = re.compile(r"(?<![\w.:-])(?:[\d.]+:|\[[^]]*\]:)?(\d{1,5})-(\d{1,5})(?![\w.:-])")
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
    return any(int(first) <= number <= int(last) for first, last in _RANGE.findall(within))


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
