"""A share of the damaged recordings of `python -m tests.damage`, the same ones each time."""

from __future__ import annotations

import pytest

from tests.damage import check


@pytest.mark.parametrize("number", range(0, 200, 20))
def test_a_damaged_recording_is_no_exception(number: int) -> None:
    assert [problem for each in range(number, number + 20) if (problem := check(1, each))] == []
