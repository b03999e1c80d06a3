"""The language of the live filter: plain words, !word, key:value. Pure: text -> does this row stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netdash.show.table import Column, Row


@dataclass(frozen=True, slots=True)
class Term:
    """One word. `column` None: any cell may contain it."""

    text: str  # casefolded
    column: int | None = None
    negated: bool = False

    def matches(self, row: Row, whole: str) -> bool:
        within = whole if self.column is None else row.cells[self.column].text.casefold()
        return (self.text in within) is not self.negated


@dataclass(frozen=True, slots=True)
class Filter:
    """All terms must hold. Case does not matter; a word matches any part of a cell."""

    terms: tuple[Term, ...]

    @staticmethod
    def parse(text: str, columns: Sequence[Column]) -> Filter:
        """`key:value` names a column by its key, its title or the start of one; any other colon is plain text.
        A lone "!" and an empty value hold for every row, so that typing goes on undisturbed."""
        return Filter(tuple(_term(word, columns) for word in text.casefold().split()))

    def matches(self, row: Row) -> bool:
        if not self.terms:
            return True
        whole = haystack(row)
        return all(term.matches(row, whole) for term in self.terms if term.text)


def haystack(row: Row) -> str:
    """All that plain words search, casefolded; cells are apart, so that no word matches across two."""
    return "\n".join([cell.text for cell in row.cells]).casefold()


def _term(word: str, columns: Sequence[Column]) -> Term:
    negated = word.startswith("!")
    word = word.removeprefix("!")
    key, colon, value = word.partition(":")
    if colon and key:
        column = _column(key, columns)
        if column is not None:
            return Term(value, column, negated)
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
