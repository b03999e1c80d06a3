"""Rules that are made at random are read as what they were written to mean: `make fuzz-rules` tries other seeds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rulegen.check import Result, everything
from tests.rulegen.namespace import Namespace

SEED, RULES = 20, 150


@pytest.fixture(scope="module")
def results(rule_tools: None) -> Iterator[dict[str, Result]]:
    with Namespace() as space:
        yield dict(everything(space, SEED, RULES))


TOOLS = [f"{backend} {family}" for backend in ("iptables-nft", "iptables-legacy") for family in ("ip", "ip6")]


@pytest.mark.parametrize("tool", [*TOOLS, "nft"])
def test_what_was_written_is_what_is_read(results: dict[str, Result], tool: str) -> None:
    if tool not in results:
        pytest.skip(f"{tool} is not installed")
    result = results[tool]
    assert result.wrong == []
    assert result.rules > RULES * 0.8, result.refused
    assert result.features > 50, result.refused


def test_what_iptables_save_hides_or_leaves_out_is_never_read_as_another_rule(results: dict[str, Result]) -> None:
    mixed = [result for name, result in results.items() if name.startswith("mixed")]
    assert [said for result in mixed for said in result.wrong] == []
    assert sum(result.features for result in mixed) > 4
