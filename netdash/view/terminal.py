"""Views and cards as text for a terminal or a pipe. Owns the escape sequences of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from netdash.view.table import Column, Row, View, widths
from netdash.view.text import Line, SafeText, Span, Tone, fit, safe, width

_CODES: Mapping[Tone, str] = {
    Tone.DIM: "2",
    Tone.TITLE: "1;36",
    Tone.KEY: "1",
    Tone.GOOD: "32",
    Tone.WARN: "33",
    Tone.BAD: "1;31",
    Tone.UNKNOWN: "3;33",
    Tone.HOP: "36",
}
_GAP = "  "


def table(view: View, rows: Sequence[Row], room: int | None, colour: bool, headers: bool = True) -> Iterator[SafeText]:
    """A header and a line a row. `room` None: everything in full, and a dash for what is empty, so that columns can be
    counted; otherwise columns in which no row says anything make room for the others. No line ends in spaces."""
    sizes = widths(view.columns, rows, room, shown=_telling(view, rows)) if room else _full(view, rows)
    sizes = [0 if column.screen else size for size, column in zip(sizes, view.columns, strict=True)]
    heads = [Span(column.title, Tone.TITLE) for column in view.columns]
    for cells in (*([heads] if headers else []), *(row.cells for row in rows)):
        parts = [
            (span, _aligned(span.text or safe("" if room else "—"), size, column))
            for span, size, column in zip(cells, sizes, view.columns, strict=True)
            if size
        ]
        text = [painted(span.tone, part) if colour else part for span, part in parts]
        yield SafeText(_GAP.join(text).rstrip())


def text(lines: Iterable[Line], colour: bool) -> Iterator[SafeText]:
    """The lines of a card."""
    for line in lines:
        yield SafeText("".join(painted(span.tone, span.text) if colour else span.text for span in line).rstrip())


def painted(tone: Tone, text: SafeText) -> SafeText:
    """`text` in the tone's colour; the spaces around it stay plain, so that lines can be trimmed."""
    code = _CODES.get(tone)
    inner = text.strip(" ")
    if not code or not inner:
        return text
    lead = text[: len(text) - len(text.lstrip(" "))]
    return SafeText(f"{lead}\x1b[{code}m{inner}\x1b[0m{text[len(lead) + len(inner) :]}")


def _telling(view: View, rows: Sequence[Row]) -> list[bool]:
    return [
        not column.screen and any(row.cells[at].text not in ("", "—") for row in rows)
        for at, column in enumerate(view.columns)
    ]


def _full(view: View, rows: Sequence[Row]) -> list[int]:
    sizes = [width(column.title) for column in view.columns]
    for row in rows:
        sizes = [max(size, width(cell.text)) for size, cell in zip(sizes, row.cells, strict=True)]
    return sizes


def _aligned(text: SafeText, size: int, column: Column) -> SafeText:
    shown = fit(text, size, column.middle)
    if not column.right:
        return shown
    bare = shown.rstrip(" ")
    return SafeText(" " * (size - width(bare)) + bare)
