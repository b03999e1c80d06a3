"""When cycles are looked for: where memory has grown and nobody would feel it. And that netdash makes none itself."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from netdash.model.records import replace
from netdash.trace.reachability import reach
from netdash.trace.tracer import trace
from netdash.tui.work import AWAY, EVERYTHING, GROWN, IDLE, RUNAWAY, YOUNG, Collector
from netdash.view.card import card
from netdash.view.views import VIEWS
from tests.support.trace_hosts import questions_of


class Ring:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


class Moment:
    """A collector with a clock and a count of blocks that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.blocks = 500_000
        self.collector = Collector(lambda: self.now, lambda: self.blocks)
        self.ring = weakref.ref(Ring())

    def after(self, seconds: float, blocks: int) -> bool:
        """Whether a tick so long after a key, with so many blocks more, finds the ring."""
        self.collector.touched()
        self.now += seconds
        self.blocks += blocks
        self.collector.tick()
        return self.ring() is None


@pytest.fixture
def moment() -> Iterator[Moment]:
    gc.disable()
    gc.freeze()  # what other tests left is not looked at: it takes long
    try:
        yield Moment()
    finally:
        gc.unfreeze()
        gc.enable()


@pytest.mark.parametrize(
    ("seconds", "blocks", "looks"),
    [
        (IDLE / 2, GROWN + 1, False),
        (IDLE * 2, GROWN + 1, True),
        (IDLE * 2, GROWN - 1, False),
        (IDLE * 2, GROWN * 4, False),  # a look of 30 ms
        (IDLE * 5, GROWN * 4, True),
        (0.0, RUNAWAY + 1, False),
        (AWAY + 1, 0, False),
        (EVERYTHING + 1, 0, True),
    ],
)
def test_a_look_comes_when_memory_has_grown_and_no_key_waits(
    moment: Moment, seconds: float, blocks: int, looks: bool
) -> None:
    assert moment.after(seconds, blocks) is looks


def test_what_the_first_hosts_are_made_of_is_not_looked_at_soon(moment: Moment) -> None:
    assert moment.after(0.0, RUNAWAY + 1) is False
    assert moment.after(AWAY + 1, 0) is False
    assert moment.after(EVERYTHING, 0) is True


def test_what_came_while_somebody_typed_is_looked_at_once_they_are_away(moment: Moment) -> None:
    assert moment.after(0.0, RUNAWAY + 1) is False
    assert moment.after(0.0, RUNAWAY + 1) is False
    assert moment.after(IDLE * 2, GROWN + 1) is False
    assert moment.after(AWAY + 1, 0) is True


def test_growth_counts_from_the_least_that_was_held(moment: Moment) -> None:
    assert moment.after(IDLE * 2, -GROWN) is False
    assert moment.after(IDLE * 2, GROWN + 1) is True


def test_what_a_look_left_is_looked_at_again_only_when_the_user_is_away(moment: Moment) -> None:
    ring = moment.ring()
    assert moment.after(IDLE * 2, GROWN + 1) is False
    del ring
    assert moment.after(IDLE * 2, GROWN + 1) is False
    assert moment.after(EVERYTHING + 1, 0) is True


# --- no cycle of our own ----------------------------------------------------------------------------------------------

RECORDED = ["docker28.5-nft-full", "docker29.7-nftables-full", "docker20.10-legacy", "forward-drop-ahead"]


@pytest.fixture
def cycles() -> Iterator[Callable[[Callable[[], object]], int]]:
    """Counts the objects that only the collector finds after some work. What was there before the test is frozen, so
    that the collector looks at the objects of the test alone. A cycle of the work is there each time; what a first
    import or another thread leaves is not."""
    gc.disable()
    gc.freeze()

    def count(work: Callable[[], object]) -> int:
        found = 0
        for _ in range(2):
            gc.collect()
            work()
            if not (found := gc.collect()):
                break
        return found

    yield count
    gc.unfreeze()
    gc.enable()


def test_a_cycle_is_counted(cycles) -> None:
    assert cycles(Ring) > 0


def test_what_only_the_first_time_leaves_is_not_counted(cycles) -> None:
    first = [Ring]
    assert cycles(lambda: first.pop()() and None if first else None) == 0


@pytest.mark.parametrize("name", RECORDED)
def test_a_trace_leaves_no_cycle(host, cycles, name: str) -> None:
    joined = host(name)
    questions = [usual.question for one in joined.containers for usual in questions_of(joined, one)]
    assert cycles(lambda: [trace(joined, one) for one in questions] and None) == 0
    assert cycles(lambda: reach(joined) and None) == 0


@pytest.mark.parametrize("name", RECORDED)
def test_cards_and_rows_leave_no_cycle(host, cycles, name: str) -> None:
    joined = host(name)
    assert cycles(lambda: [card(joined, one, 100) for one in joined.containers] and None) == 0
    assert cycles(lambda: [list(view.rows(joined)) for view in VIEWS] and None) == 0


def changed(recording: Recording) -> Iterator[tuple[str, Recording]]:
    """The recording with one part of one answer gone."""
    for path in sorted(recording.answers):
        answer = recording.answers[path]
        read = recording.json(path) if path.endswith(".json") else str(answer).splitlines()
        if isinstance(read, dict) and "nftables" in read:
            fewer: object = {"nftables": read["nftables"][2:]}
        elif isinstance(read, list) and not path.startswith("containers/"):
            fewer = read[1:] if path.endswith(".json") else "\n".join(map(str, read[:-3]))
        else:
            continue
        yield path, replace(recording, answers={**recording.answers, path: fewer})


@pytest.mark.parametrize("name", RECORDED)
def test_a_host_that_changes_leaves_no_cycle(recording, cycles, name: str) -> None:
    builder = Builder()
    for path, fewer in changed(recording(name)):
        both = recording(name), fewer
        assert cycles(lambda hosts=both: [builder.build(one) for one in hosts] and None) == 0, path


def test_by_itself_it_looks_at_new_objects_only(moment: Moment) -> None:
    thresholds, looks = gc.get_threshold(), list[int]()
    gc.callbacks.append(lambda phase, info: looks.append(info["generation"]) if phase == "start" else None)
    try:
        moment.collector.begin()
        kept = [[number] for number in range(YOUNG * 30)]
    finally:
        gc.callbacks.pop()
        gc.set_threshold(*thresholds)
    assert len(looks) > 20
    assert {*looks} == {0}, f"{len(kept)} objects that stay are looked at while a key may wait"
