"""The reach matrix says of every pair what a trace of that pair alone says."""

from __future__ import annotations

import pytest

from netdash.core.join import Builder
from netdash.core.recording import load
from netdash.core.trace.answer import Question
from netdash.core.trace.reach import reach, told
from netdash.core.trace.tracer import trace
from tests.conftest import RECORDINGS

HOSTS = (
    "docker20.10-nft-full",
    "docker28.5-nft-full",
    "docker29.7-nftables-full",
    "podman5.8-nftables",
    "masq-missing",
)


@pytest.mark.parametrize("name", HOSTS)
def test_what_is_traced_for_a_kind_holds_for_each(name: str) -> None:
    host = Builder().build(load(RECORDINGS / name))
    matrix = reach(host)
    paused = {one.id for one in host.containers or () if one.state == "paused"}
    assert matrix.aims
    for sender, row in zip(matrix.senders, matrix.rows(), strict=True):
        for aim, cell in zip(matrix.aims, row, strict=True):
            if aim.container not in paused:
                asked = Question(sender.origin, aim.ip, aim.proto, aim.port, container=sender.container)
                assert told(trace(host, asked)) == cell, (sender, aim)


def test_nobody_answers_from_a_paused_container() -> None:
    host = Builder().build(load(RECORDINGS / "container-paused"))
    cells = [cell for row in reach(host).rows() for cell in row]
    assert any(cell.reaches is False and "paused" in cell.why for cell in cells)
