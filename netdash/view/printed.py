"""How the command line prints a list: which columns, as a table or CSV, and what a terminal folds. A file or a pipe
gets every row in full."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from netdash.drift.compare import ENGINE_CHAINS_GONE
from netdash.model.errors import Exit, NetdashError, did_you_mean
from netdash.model.records import dataclass, replace
from netdash.view import terminal
from netdash.view.table import Row, View
from netdash.view.text import SafeText, Tone, clean, safe


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
        replace(view, columns=tuple(replace(view.columns[each], leaves=0) for each in at)),
        [replace(row, cells=tuple(row.cells[each] for each in at)) for row in rows],
    )


def as_csv(view: View, rows: Iterable[Row], headers: bool) -> Iterator[SafeText]:
    """RFC 4180 but for the newline; what a spreadsheet would take for a formula begins with an apostrophe."""
    shown = [at for at, column in enumerate(view.columns) if not column.screen]
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    if headers:
        write([view.columns[at].key for at in shown])
    for row in rows:
        write([_no_formula(row.cells[at].text) for at in shown])
    yield from map(safe, text.getvalue().splitlines())


def _no_formula(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "@", "-") else text


def table(view: View, rows: Sequence[Row], how: How) -> Iterator[SafeText]:
    """The list as lines; on a terminal without what says little, and with a line that tells how much that is."""
    if how.room is None or how.chosen:
        yield from terminal.table(view, rows, how.room, how.colour, how.headers)
    elif view.name == "rules":
        yield from _rules(view, rows, how)
    elif view.name == "drift":
        yield from _drift(view, rows, how)
    else:
        shorter, folding = _SHORTER.get(view.name, _whole), _FOLDING.get(view.name, _whole)
        rows, note = shorter(view, rows)
        kept, note = (rows, note) if how.every or folding is _whole else folding(view, rows)
        yield from terminal.table(view, kept, how.room, how.colour, how.headers)
        if note:
            line = clean(f"… {note}")
            yield terminal.painted(Tone.DIM, line) if how.colour else line


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
    if not how.every and len(rows) > _ALIKE and all(ENGINE_CHAINS_GONE in _cells(view, row)["why"] for row in rows):
        yield clean(f"✗ all of the engine's chains are gone: {len(rows)} rules")
        yield clean("  systemctl restart docker writes them anew, unless it runs with --iptables=false")
        yield clean("  netdash drift --all lists them")
        return
    groups = [[row] for row in rows] if how.every else list(_groups(view, rows))
    firsts = [group[0] if len(group) == 1 else _stands_for(view, group) for group in groups]
    shown, bare = columns(view, firsts, ("kind", "rule", "container", "port", "network"))
    lines = terminal.table(shown, bare, how.room, how.colour, how.headers)
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
    bare = [_with(shown, row, {"text": _matched(row)}) for row in bare]
    lines = terminal.table(shown, bare, how.room, how.colour, how.headers)
    if how.headers:
        yield next(lines)
    last = None
    for row, line in zip(rows, lines, strict=True):
        if place(row) != last:
            last = place(row)
            title = clean("/".join(last))
            yield terminal.painted(Tone.KEY, title) if how.colour else title
        yield line


def _matched(row: Row) -> str:
    text = f" {row.cells[1].text}"
    return _IMPLIED.sub("", _SAID.sub("", text)).strip() or "every packet"


_SHORTER = {"ports": _holders, "proxies": _known_details}
_FOLDING = {"routes": _routes, "ports": _ports}
