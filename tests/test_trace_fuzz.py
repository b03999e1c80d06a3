"""Hosts that random rules once showed a mistake on, shrunk to a few lines: the prediction is what the kernel did."""

from __future__ import annotations

import pytest

from netdash.core.join import Builder
from tests.conftest import RECORDINGS
from tests.fuzz.judge import ask, compare
from tests.fuzz.saved import ANSWER, load

CASES = sorted(path.parent.name for path in (RECORDINGS / "fuzz").glob(f"*/{ANSWER}"))


def test_there_are_cases() -> None:
    assert len(CASES) > 10


@pytest.mark.parametrize("name", CASES)
def test_the_prediction_is_what_the_kernel_did(name: str) -> None:
    recording, probe, fate = load(RECORDINGS / "fuzz" / name)
    said = ask(Builder().build(recording), probe)
    judgement = compare(said, fate)
    assert judgement.word in ("agreed", "agreed on the verdict"), judgement
