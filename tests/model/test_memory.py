"""What is computed again, and what is kept: compared with what is computed anew, on random sequences."""

from __future__ import annotations

from random import Random

import pytest

from netdash.model.memory import CachedMap, differing, exchanged


class Thing:
    """Known by its identity alone."""


def _changed(random: Random, things: list[Thing]) -> list[Thing]:
    """Things taken out, put in, moved and exchanged, often none."""
    things = list(things)
    for _ in range(random.choice((0, 1, 1, 2))):
        at = random.randrange(len(things) + 1)
        match random.randrange(4):
            case 0:
                del things[at : at + 2]
            case 1:
                things.insert(at, Thing())
            case 2:
                things.insert(at, random.choice(things) if things else Thing())  # the same once more
            case _:
                things.insert(at, things.pop(random.randrange(len(things))) if things else Thing())
    return things


@pytest.mark.parametrize("seed", range(20))
def test_a_result_is_kept_for_as_long_as_its_thing_is_there(seed: int) -> None:
    random, cached, things = Random(seed), CachedMap(), [Thing() for _ in range(6)]
    results: dict[Thing, object] = {}
    for _ in range(40):
        made: list[Thing] = []

        def make(thing: Thing, made: list[Thing] = made) -> object:
            made.append(thing)
            return object()

        found = cached(make, things)
        assert made == [*dict.fromkeys(thing for thing in things if thing not in results)]
        assert all(results.get(thing, result) is result for thing, result in zip(things, found, strict=True))
        results = dict(zip(things, found, strict=True))
        found.clear()  # what was given out is the caller's
        things = _changed(random, things)


def test_equal_texts_have_one_result() -> None:
    cached, made = CachedMap(str), []
    for lines in (["a", "b", "a"], ["a", "b", "a"], ["b", "a"], ["a", "a", "c"]):
        assert cached(lambda line: made.append(line) or line.upper(), lines) == [line.upper() for line in lines]
    assert made == ["a", "b", "c"]


def test_a_thing_that_cannot_be_made_leaves_what_is_known() -> None:
    cached, things = CachedMap(), [Thing(), Thing()]
    known = cached(lambda _: object(), things)
    with pytest.raises(ValueError, match="no"):
        cached(lambda _: _raise(), [*things, Thing()])
    assert cached(lambda _: object(), things) == known


def _raise() -> None:
    raise ValueError("no")


@pytest.mark.parametrize("seed", range(20))
def test_what_differs_stands_between_equal_ends(seed: int) -> None:
    random, before = Random(seed), [Thing() for _ in range(6)]
    for _ in range(40):
        now = _changed(random, before)
        was, will = differing(before, now)
        assert [*before[: was.start], *now[will], *before[was.stop :]] == now
        assert not before[was] or not now[will] or before[was][0] is not now[will][0]
        assert not before[was] or not now[will] or before[was][-1] is not now[will][-1]
        gone, came = exchanged(before, now)
        assert {*gone} == {*before} - {*now}
        assert {*came} == {*now} - {*before}
        before = now
