"""The list, the card and the trace fare alike: one owner weighs what traces say against what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from netdash.doctor.examine import examine
from netdash.model.finding import Direction, Finding, Hit, Mark, Severity, health_of, keep_health, worst
from netdash.model.host import Container, Host
from netdash.model.index import sharing
from netdash.trace.summary import against
from netdash.trace.tracer import trace
from netdash.view import marks
from netdash.view.card import card
from netdash.view.questions import Asked, asked
from netdash.view.table import Row
from netdash.view.text import Tone
from netdash.view.views import BY_NAME
from tests.support.changed_hosts import NAMES, changed

SEEDS = range(100, 140)
OF_GLYPH = {glyph: mark for mark, glyph in marks.GLYPHS.items()}
COLUMN = {"IN": "IN", "PEERS": "IN", "OUT": "OUT", "NAMES": "OUT"}
LOUD = (Mark.BROKEN, Mark.RISK)


@pytest.fixture(scope="module", params=[*NAMES, *SEEDS])
def known(request: pytest.FixtureRequest, examined: Callable[[str], Host]) -> Host:
    """A recorded host, or by number one that was changed afterwards, as the doctor knows it."""
    if isinstance(request.param, str):
        return examined(request.param)
    found = replace(changed(request.param))
    keep_health(found, examine(found))
    return found


def rows(host: Host) -> Iterator[tuple[Container, Row, list[Asked]]]:
    for container, row in zip(host.containers or (), BY_NAME["containers"].rows(host), strict=True):
        yield container, row, asked(host, container)


def mark(line: Asked) -> Mark:
    return OF_GLYPH[line.verdict.text[0]]


def hits(host: Host, container: Container) -> Iterator[tuple[Finding, Hit]]:
    """What alarms and hits it, or the container whose network namespace it uses."""
    health, owner = health_of(host), sharing(host, container) if container.running else container
    for finding in health.findings if health is not None else ():
        for hit in finding.hits if finding.severity is not Severity.INFO else ():
            if hit.container in (container.id, owner.id):
                yield finding, hit


def test_a_row_is_as_bad_as_the_worst_line_of_its_card_and_what_hits_it(known: Host) -> None:
    for container, row, lines in rows(known):
        shown = {"IN": Mark.NOTHING, "OUT": Mark.NOTHING}
        for line in lines:
            if line.label in shown or mark(line) in LOUD:
                shown[COLUMN[line.label]] = worst(shown[COLUMN[line.label]], mark(line))
        for finding, hit in hits(known, container):
            column = COLUMN[hit.direction.name]
            shown[column] = worst(shown[column], finding.mark)
        cells = [OF_GLYPH[cell.text] for cell in row.cells[1:3]]
        assert cells == [shown["IN"], shown["OUT"]], container.name


def test_each_mark_of_a_row_can_be_filtered(known: Host) -> None:
    words = {Mark.BROKEN: "broken", Mark.RISK: "risk", Mark.UNKNOWN: "unknown"}
    for _, row, _ in rows(known):
        for cell in row.cells[1:3]:
            found = OF_GLYPH[cell.text]
            assert found not in words or words[found] in row.tags


def test_a_line_is_never_better_than_its_trace(known: Host) -> None:
    """What arrives may be at risk or open to too many; what does not may be meant; and what the trace cannot tell may
    have been seen to fail."""
    for container, _, lines in rows(known):
        seen = {hit.direction for finding, hit in hits(known, container) if finding.mark is Mark.BROKEN}
        for line in lines:
            if line.usual is None or line.found is None:
                continue
            found = trace(known, line.usual.question)
            stop = against(known, found, line.usual.port)
            unsure = found.answered is None or (stop is not None and stop.verdict.value == "unknown")
            if mark(line) in (Mark.OK, Mark.RISK):
                assert (found.answered, stop) == (True, None), line.text
            elif mark(line) is Mark.UNKNOWN:
                assert unsure, line.text
            elif mark(line) is Mark.BROKEN:
                assert stop is not None or found.answered is False or seen, line.text
                assert not unsure or Direction[line.label] in seen or found.answered is False, line.text
            else:
                assert not found.answered or stop is not None, line.text


def test_a_row_that_is_broken_says_why_and_its_card_says_it_first(known: Host) -> None:
    for container, row, _ in rows(known):
        if Mark.BROKEN not in [OF_GLYPH[cell.text] for cell in row.cells[1:3]]:
            continue
        assert row.why is not None, container.name
        loud = [line for line in card(known, container, 400)[1:] if any(span.tone is Tone.BAD for span in line)]
        assert loud, container.name
        first = "".join(span.text for span in card(known, container, 400)[1])
        assert row.why.text[:60] in first, container.name


def test_a_port_is_as_bad_as_the_worst_of_its_lines(known: Host) -> None:
    by_port: dict[tuple[str, str], list[Mark]] = {}
    for container, _, lines in rows(known):
        for line in lines if not container.shares_with else ():
            if line.usual is not None and line.usual.about is not None and line.label == "IN":
                by_port.setdefault((container.id, line.usual.about.port), []).append(mark(line))
    for port in known.ports or ():
        key = (port.container_id or "", f"{port.host_port}/{port.proto}")
        if port.live and key in by_port:
            shown = marks.of_port(known, port)
            assert shown is not None
            assert worst(shown, *by_port[key]) is shown, key
