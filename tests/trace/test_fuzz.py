"""Hosts that random rules once showed a mistake on, shrunk to a few lines: the prediction is what the kernel did."""

from __future__ import annotations

import pytest

from netdash.join.host import Builder
from netdash.trace.tracer import trace
from tests.conftest import RECORDINGS
from tests.fuzz.judge import ask, compare
from tests.fuzz.play_talk import judged, question
from tests.fuzz.saved import ANSWER, TALK, load, load_talk

FOLDERS = sorted(path.parent.name for path in (RECORDINGS / "fuzz").glob(f"*/{ANSWER}"))
TALKS = [name for name in FOLDERS if name.startswith(TALK)]
UNTELLABLE = {
    "talk-answer-by-another-uplink": "whether the answer from 203.0.113.1 comes in by up0, not by up1",
    "talk-masqueraded-by-another-device": "the kernel drops it and forgets the connection",
}
"""What hangs on the routes of other machines, or on what is sent again."""
CASES = [name for name in FOLDERS if name not in TALKS]


def test_there_are_cases() -> None:
    assert len(CASES) > 10


@pytest.mark.parametrize("name", CASES)
def test_the_prediction_is_what_the_kernel_did(name: str) -> None:
    recording, probe, fate = load(RECORDINGS / "fuzz" / name)
    said = ask(Builder().build(recording), probe)
    judgement = compare(said, fate)
    assert judgement.word in ("agreed", "agreed on the verdict"), judgement


@pytest.mark.parametrize("name", TALKS)
def test_who_is_said_to_be_answered_was(name: str) -> None:
    recording, asked, heard = load_talk(RECORDINGS / "fuzz" / name)
    said = trace(Builder().build(recording), question(asked))
    why = said.exchange.why or said.decided_by
    if name in UNTELLABLE:
        assert said.answered is None
        assert why is not None
        assert UNTELLABLE[name] in why.text
    else:
        assert judged(said, heard).word == "agreed", why
