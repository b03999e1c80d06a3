"""The reach matrix says of every pair what a trace of that pair alone says."""

from __future__ import annotations

import pytest

from netdash.trace.model import Question
from netdash.trace.reachability import reach_of
from netdash.trace.tracer import trace
from tests.conftest import joined, matrix

HOSTS = (
    "docker20.10-nft-full",
    "docker28.5-nft-full",
    "docker29.7-nftables-full",
    "podman5.8-nftables",
    "masq-missing",
)


@pytest.mark.parametrize("name", HOSTS)
def test_what_is_traced_for_a_kind_holds_for_each(name: str) -> None:
    host, found = joined(name), matrix(name)
    assert found.aims
    for sender, row in zip(found.senders, found.rows(), strict=True):
        for aim, cell in zip(found.aims, row, strict=True):
            asked = Question(sender.origin, aim.ip, aim.proto, aim.port, container=sender.container)
            assert reach_of(trace(host, asked)) == cell, (sender, aim)


def test_nobody_answers_from_a_paused_container() -> None:
    cells = [cell for row in matrix("container-paused").rows() for cell in row]
    assert any(cell.reaches is False and "paused" in cell.why for cell in cells)
