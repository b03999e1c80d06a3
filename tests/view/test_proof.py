"""A prediction beside the kernel's walk, as lines."""

from __future__ import annotations

import pytest

from netdash.trace.proof import unseen
from netdash.view.text import width
from netdash.view.trace import beside_kernel
from tests.trace.test_proof import _asked, _events, _host, _log_first, _walk, proved, replace


def _text(shown: object) -> list[str]:
    return ["".join(span.text for span in line).rstrip() for line in shown]  # type: ignore[attr-defined]


def test_both_walks_stand_side_by_side() -> None:
    host = _host()
    answer = _asked(host, "translated")
    shown = _text(beside_kernel(host, answer, proved(answer, _walk(_events("translated"))), 120))
    assert shown[2] == "✓ the kernel does the same: 6 rules and policies at 4 hooks"
    assert [row.split("│")[0].strip() for row in shown[5:8]] == [
        "output  to 127.0.0.1:8080  from 127.0.0.1:40000",
        "nat/output #1  DNAT → 127.0.0.1:80",
        "inet filter/output #1  goes on",
    ]
    assert all(len({half.strip(" │") for half in row.split("│")}) == 1 for row in shown[5:])
    assert "   postrouting  to 127.0.0.1:80" in shown[9]


@pytest.mark.parametrize("room", [60, 80])
def test_the_first_difference_is_marked_and_lines_fit(room: int) -> None:
    host = _host()
    events = _events("dropped")
    at = next(at for at, event in enumerate(events) if event.chain == "input")
    added = replace(events[at], handle=99, verdict="continue", to=None)
    answer = _asked(host, "dropped")
    proof = proved(answer, _walk([*events[:at], added, *events[at:]], _log_first))
    shown = _text(beside_kernel(host, answer, proof, room))
    assert max(map(width, shown)) <= room
    assert shown[2] == "✗ the kernel does otherwise"
    (marked,) = [row for row in shown[3:] if row.startswith(" ✗ ")]
    ours, theirs = marked.split("│")
    assert ours.rstrip().endswith("input #1  ─▶ guard")
    assert theirs.rstrip().endswith("input #1  goes on")


def test_without_a_packet_the_reason_stands_there() -> None:
    host = _host()
    answer = _asked(host, "dropped")
    shown = _text(beside_kernel(host, answer, unseen(answer, "no such packet came"), 80))
    assert shown[2] == "? not proved: no such packet came"
    assert shown[5].rstrip().endswith("│")
