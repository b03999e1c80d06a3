"""Numbers in foreign text."""

from __future__ import annotations

import pytest

from netdash.model.numbers import decimal, port_number


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1_0", "²", "٣", "9" * 21, "1.0"])
def test_what_is_no_number(text: str) -> None:
    assert decimal(text) is None


@pytest.mark.parametrize(
    ("text", "port"),
    [("1", 1), ("0080", 80), ("65535", 65535), ("0", None), ("65536", None), ("000080123", None), ("80 ", None)],
)
def test_a_port_that_is_typed(text: str, port: int | None) -> None:
    assert port_number(text) == port
