"""When everything is looked at for garbage: never while somebody is at the keyboard."""

from __future__ import annotations

import weakref

from netdash.tui.collector import AWAY, Collector


class Ring:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


def test_everything_is_looked_at_only_when_the_user_is_away() -> None:
    now = [100.0]
    collector = Collector(lambda: now[0])
    ring = weakref.ref(Ring())
    collector.touched()
    now[0] += AWAY - 1
    collector.tidy()
    assert ring() is not None
    now[0] += 2
    collector.tidy()
    assert ring() is None


def test_a_key_counts_as_being_there() -> None:
    now = [100.0]
    collector = Collector(lambda: now[0])
    ring = weakref.ref(Ring())
    now[0] += 2 * AWAY
    collector.touched()
    collector.tidy()
    assert ring() is not None
