"""Views and cards as text for a terminal or a pipe: which columns, as a table or CSV, and what a terminal folds; a file
or a pipe gets every row in full. Owns the escape sequences of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from netdash.model.errors import Exit, NetdashError, did_you_mean
from netdash.model.records import dataclass, replace
from netdash.view.table import Column, Row, View, widths
from netdash.view.text import Line, SafeText, Span, Tone, clean, fit, safe, width

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


@dataclass(frozen=True, slots=True)
class How:
    room: int | None  # cells of the terminal; None: a file or a pipe
    colour: bool
    headers: bool = True
    every: bool = False  # nothing is folded
    chosen: bool = False  # the columns were chosen: they stay as they are


def columns(view: View, rows: Sequence[Row], keys: Sequence[str]) -> tuple[View, list[Row]]:
    """Only these columns, in this order. Raises NetdashError(USAGE)."""
    known = {column.key: at for at, column in enumerate(view.columns) if not column.screen}
    for key in keys:
        if key not in known:
            hint = did_you_mean(key, known) or f"columns: {', '.join(known)}"
            raise NetdashError(f"{view.name} has no column {key!r}", hint, Exit.USAGE)
    at = [known[key] for key in keys]
    return (
        replace(view, columns=tuple(replace(view.columns[value], leaves=0) for value in at)),
        [replace(row, cells=tuple(row.cells[value] for value in at)) for row in rows],
    )


def as_csv(view: View, rows: Iterable[Row], headers: bool) -> Iterator[SafeText]:
    """RFC 4180 but for the newline; what a spreadsheet would take for a formula begins with an apostrophe."""
    shown = [at for at, column in enumerate(view.columns) if not column.screen]
    import csv
    import io

    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    if headers:
        write([view.columns[at].key for at in shown])
    for row in rows:
        write([_no_formula(row.cells[at].text) for at in shown])
    yield from map(safe, text.getvalue().splitlines())


def _no_formula(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "@", "-") else text


def listing(view: View, rows: Sequence[Row], how: How) -> Iterator[SafeText]:
    """The list as lines; on a terminal without what says little, and with a line that tells how much that is."""
    if how.room is None or how.chosen:
        yield from table(view, rows, how.room, how.colour, how.headers)
    elif view.name == "rules":
        yield from _rules(view, rows, how)
    elif view.name == "drift":
        yield from _drift(view, rows, how)
    else:
        shorter, folding = _SHORTER.get(view.name, _whole), _FOLDING.get(view.name, _whole)
        rows, note = shorter(view, rows)
        kept, note = (rows, note) if how.every or folding is _whole else folding(view, rows)
        yield from table(view, kept, how.room, how.colour, how.headers)
        if note:
            line = clean(f"… {note}")
            yield painted(Tone.DIM, line) if how.colour else line


def _whole(_: View, rows: Sequence[Row]) -> tuple[Sequence[Row], str]:
    return rows, ""


def _cells(view: View, row: Row) -> dict[str, str]:
    return {column.key: cell.text for column, cell in zip(view.columns, row.cells, strict=True)}


def _with(view: View, row: Row, texts: Mapping[str, str]) -> Row:
    cells = [
        replace(cell, text=clean(texts[column.key], 400)) if column.key in texts else cell
        for column, cell in zip(view.columns, row.cells, strict=True)
    ]
    return replace(row, cells=tuple(cells))


# --- routes -----------------------------------------------------------------------------------------------------------


def _routes(view: View, rows: Sequence[Row]) -> tuple[Sequence[Row], str]:
    kept = [row for row in rows if not _noise(_cells(view, row))]
    left = len(rows) - len(kept)
    return (
        (kept, f"{left} more of the local table and of link-local addresses: netdash routes --all")
        if left and kept
        else (rows, "")
    )


def _noise(route: Mapping[str, str]) -> bool:
    return route["table"] == "local" or route["dst"] in ("fe80::/64", "ff00::/8", "fe80::/10")


# --- drift ------------------------------------------------------------------------------------------------------------

_ALIKE = 3  # rules of one chain that differ alike and are listed one by one


def _drift(view: View, rows: Sequence[Row], how: How) -> Iterator[SafeText]:
    """Why a rule is there stands on a line of its own: the one thing that must not be cut."""
    import textwrap

    from netdash.drift.compare import ENGINE_CHAINS_GONE  # other lists need none of this

    if not how.every and len(rows) > _ALIKE and all(ENGINE_CHAINS_GONE in _cells(view, row)["why"] for row in rows):
        yield clean(f"✗ all of the engine's chains are gone: {len(rows)} rules")
        yield clean("  systemctl restart docker writes them anew, unless it runs with --iptables=false")
        yield clean("  netdash drift --all lists them")
        return
    groups = [[row] for row in rows] if how.every else list(_groups(view, rows))
    firsts = [group[0] if len(group) == 1 else _stands_for(view, group) for group in groups]
    shown, bare = columns(view, firsts, ("kind", "rule", "container", "port", "network"))
    lines = table(shown, bare, how.room, how.colour, how.headers)
    if how.headers:
        yield next(lines)
    for first, line in zip(firsts, lines, strict=True):
        yield line
        for part in textwrap.wrap(_cells(view, first)["why"], (how.room or 80) - 9):
            yield clean(f"         {part}", 400)
    if left := len(rows) - len(groups):
        yield clean(f"… {left} more rules, each like one above: netdash drift --all")


def _groups(view: View, rows: Sequence[Row]) -> Iterator[list[Row]]:
    def alike(row: Row) -> tuple[str, str]:
        cells = _cells(view, row)
        return cells["kind"], cells["rule"]

    for _, group in groupby(rows, key=alike):
        same = list(group)
        yield from [same] if len(same) > _ALIKE else [[row] for row in same]


def _stands_for(view: View, group: Sequence[Row]) -> Row:
    first = _cells(view, group[0])["why"]
    return _with(view, group[0], {"container": f"{len(group)} rules", "port": "", "network": "", "why": f"as: {first}"})


# --- ports and proxies ------------------------------------------------------------------------------------------------


def _holders(view: View, rows: Sequence[Row]) -> tuple[Sequence[Row], str]:
    """The pid stays: of the proxy's name one word says enough."""
    holders = (_cells(view, row)["holder"] for row in rows)
    return [
        _with(view, row, {"holder": text.replace("docker-proxy ", "proxy ")})
        for row, text in zip(rows, holders, strict=True)
    ], ""


def _known_details(view: View, rows: Sequence[Row]) -> tuple[Sequence[Row], str]:
    """A column of nothing but ? gives its room to the others, and one line says so."""
    lost = [key for key in ("memory", "sockets") if rows and all(_cells(view, row)[key] == "?" for row in rows)]
    bare = [_with(view, row, dict.fromkeys(lost, "")) for row in rows] if lost else rows
    return bare, f"{' and '.join(lost)} of the processes: not read" if lost else ""


def _ports(view: View, rows: Sequence[Row]) -> tuple[Sequence[Row], str]:
    """IPv4 and IPv6 of one publication are one row, where all but the address and the process is the same, and one rule
    at most takes them."""
    kept: dict[tuple[str, ...], Row] = {}
    for row in rows:
        cells = _cells(view, row)
        same = tuple(cells[key] for key in ("port", "proto", "scope", "container", "target", "listening"))
        first = kept.get(same) if cells["container"] not in ("", "—") else None
        if first is None or cells["rule"] not in ("—", _cells(view, first)["rule"]):
            kept[same if same not in kept else (*same, cells["bind"])] = row
            continue
        before = _cells(view, first)
        kept[same] = _with(view, first, {"bind": f"{before['bind']}, {cells['bind']}", "holder": _both(before, cells)})
    return list(kept.values()), ""


def _both(first: Mapping[str, str], second: Mapping[str, str]) -> str:
    name, _, pid = second["holder"].rpartition(" ")
    return f"{first['holder']}, {pid}" if name and first["holder"].startswith(f"{name} ") else first["holder"]


# --- rules ------------------------------------------------------------------------------------------------------------

_SAID = re.compile(
    r" -[jg] .*$| counter( packets \d+ bytes \d+)?(?= |$).*$"
    r"| (accept|drop|return|masquerade|reject|queue)( .*)?$| (jump|goto|dnat|snat|redirect) .*$"
)
"""The end of a rule, which the column of its action tells."""
_IMPLIED = re.compile(r" -m (tcp|udp|sctp)(?= |$)")


def _rules(view: View, rows: Sequence[Row], how: How) -> Iterator[SafeText]:
    """A title a chain; a rule's text without what its action tells."""

    def place(row: Row) -> tuple[str, str]:
        cells = _cells(view, row)
        return cells["table"], cells["chain"]

    shown, bare = columns(view, rows, ("rule", "text", "action", "packets"))
    shown = replace(shown, columns=tuple(replace(column, middle=column.key == "text") for column in shown.columns))
    bare = [_with(shown, row, {"text": _matched(row)}) for row in bare]
    lines = table(shown, bare, how.room, how.colour, how.headers)
    if how.headers:
        yield next(lines)
    last = None
    for row, line in zip(rows, lines, strict=True):
        if place(row) != last:
            last = place(row)
            title = clean("/".join(last))
            yield painted(Tone.KEY, title) if how.colour else title
        yield line


def _matched(row: Row) -> str:
    text = f" {row.cells[1].text}"
    return _IMPLIED.sub("", _SAID.sub("", text)).strip() or "every packet"


_SHORTER = {"ports": _holders, "proxies": _known_details}
_FOLDING = {"routes": _routes, "ports": _ports}
