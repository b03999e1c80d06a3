"""What the doctor says first of each recorded fault, and where the dashboard says it at 80 columns: `python -m
tests.doctor_table DIR`. A folder's name is what is broken there; one that begins with `_healthy` or `neg-`, or is named
with --healthy, has nothing broken."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from netdash.bundle.storage import load
from netdash.doctor.examine import examine
from netdash.join.host import Builder
from netdash.model.finding import Finding, Health, Severity, health_of, keep_health
from netdash.model.host import Host
from netdash.tui import frame
from netdash.tui.host_view import Ask, HostView, Listing
from netdash.tui.inks import Ink, palette
from netdash.tui.list_lines import ListLines
from netdash.view import marks
from netdash.view.card import card
from netdash.view.columns_engine import CONTAINERS
from netdash.view.layout import briefest, shorter
from netdash.view.text import Line, Tone

_CONTROLS = ("upstream-drop", "v29-cross-network-published-port", "neg-icmp-blocked")
"""Hosts on which what fails is not the host's fault, or works."""

_SAME = {"proxy-listens-dnat-blocked-local-only": "accept-missing", "pool-blocked-by-vpn": "vpn-default-capture"}
"""Folders whose host is, to the last rule and socket, that of another: either name is right."""


@dataclass(frozen=True)
class Row:
    name: str
    expected: str  # "" for nothing above info
    first: str
    right: bool
    others: tuple[str, ...]  # alarms beside the expected one
    proved: str
    shown: str  # where the screen says it: "row" of somebody who is hit, else "banner"
    card: bool  # whether the first line of a card that is not calm says it; of a host without a fault, whether all are


def rows(folder: Path, healthy: bool) -> Iterator[Row]:
    for bundle in sorted(path for path in folder.iterdir() if (path / "ip").is_dir() or (path / "docker").is_dir()):
        host = Builder().build(load(bundle))
        health = examine(host)
        keep_health(host, health)
        quiet = healthy or bundle.name.startswith("_healthy") or bundle.name in _CONTROLS
        seen = (_shown(host, health.findings[0]) if health.findings else "", _on_card(host, health))
        yield _row(bundle.name, "" if quiet else bundle.name, health.findings, *seen)


class DrawnRows(ListLines[Ink]):
    """All rows of a host's containers, as they are drawn."""

    cursor = top = 0
    has_focus = faded = False

    def __init__(self, host: Host) -> None:
        self.begin(titled=False, joint=False)
        rows = HostView(host).rows(CONTAINERS)
        self.listing = Listing(Ask(CONTAINERS), rows, range(len(rows)))
        self.colours = palette("netdash")
        self.inks, self.wide, self.page = self.colours.ground, WIDE, len(rows)
        self.hidden = frame.hidden(CONTAINERS, None)

    def texts(self) -> list[str]:
        lines = (self.parts(at + 1, WIDE) for at in range(self.page))
        return ["".join(text for part in line for text, _ in part.pieces) for line in lines]


WIDE = 80


def _shown(host: Host, finding: Finding) -> str:
    """Where it is said: a whole clause of it, or as much of the first one as stands there where that is too long."""
    told = {briefest(finding.sentence), *(shorter(finding.sentence, room) for room in range(30, WIDE))}
    if any(text in row for row in DrawnRows(host).texts() for text in told):
        return "row"
    banner = "".join(span.text for span in marks.banner(health_of(host) or NONE, WIDE))
    return "banner" if any(text in banner for text in told) else ""


NONE = Health((), {})


def _on_card(host: Host, health: Health) -> bool:
    """Whether the cause stands first on somebody's card; where nothing is wrong, whether no card has a red line."""
    alarms = [one for one in health.findings if one.severity < Severity.INFO]
    loud = (Tone.BAD,) if not alarms else (Tone.BAD, Tone.WARN)
    firsts = [_first(card(host, container, 400), loud) for container in host.containers or ()]
    return not any(firsts) if not alarms else any(alarms[0].sentence[:60] in first for first in firsts)


def _first(lines: Sequence[Line], tones: Sequence[Tone]) -> str:
    """The first line below the head in one of these tones."""
    found = (line for line in lines[1:] if any(span.tone in tones for span in line))
    return "".join(span.text for span in next(found, ()))


def _row(name: str, expected: str, found: Sequence[Finding], shown: str, on_card: bool) -> Row:
    alarms = tuple(one.code for one in found if one.severity < Severity.INFO)
    if not expected:
        return Row(name, "", alarms[0] if alarms else "", not alarms, alarms, "", shown, on_card)
    first = found[0] if found else None
    names = {expected, _SAME.get(expected, expected)}
    right = first is not None and first.code in names
    others = tuple(code for code in alarms if code not in names)
    proof = {True: "proved", False: "not mended", None: "-"}[first.proved if first is not None else None]
    return Row(name, expected, first.code if first is not None else "", right, others, proof, shown, on_card)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--healthy", action="store_true", help="nothing is broken on any of these hosts")
    asked = parser.parse_args(arguments)
    told = [row for folder in asked.folders for row in rows(folder, asked.healthy)]
    for row in told:
        mark = "right" if row.right else "WRONG"
        also = f"  also: {', '.join(row.others)}" if row.others else ""
        said = f"{row.shown:7}{'card' if row.card else '':5}"
        sys.stdout.write(f"{mark}  {row.name:40} {row.first or 'silent':32} {row.proved:10} {said}{also}\n")
    faults = [row for row in told if row.expected]
    quiet = [row for row in told if not row.expected]
    right = sum(row.right for row in faults)
    proved = sum(row.proved == "proved" for row in faults)
    beside = sum(len(row.others) for row in faults)
    shown = [sum(row.shown == where for row in faults) for where in ("row", "banner")]
    cards = sum(row.card for row in faults)
    sys.stdout.write(f"{right} of {len(faults)} faults first by name, {proved} fixes proved, {beside} alarms beside\n")
    sys.stdout.write(f"{shown[0]} stand on the row of a container that is hit, {cards} first on its card; ")
    sys.stdout.write(f"{shown[1]} that hit nobody's row stand in the banner\n")
    sys.stdout.write(
        f"{sum(row.right for row in quiet)} of {len(quiet)} hosts without a fault are silent, "
        f"{sum(row.card for row in quiet)} without a red line on a card\n"
    )
    return 0 if all(row.right for row in told) else 1


if __name__ == "__main__":
    sys.exit(main())
