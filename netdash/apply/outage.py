"""Measures how long no container of a change runs: from the stop of the one until the other has started."""

from __future__ import annotations

import time
from dataclasses import dataclass

from netdash.publish.journal import Journal, Outage

NONE = {"down": None}
"""In a line of the journal: one of the containers runs, and since when is not known."""


@dataclass(slots=True)
class Stopwatch:
    """Its words go into the lines of the journal: where a process dies meanwhile, the next one reads them there."""

    since: float | None = None  # on the monotonic clock; None: nothing was stopped by this process

    def stopped(self) -> dict[str, object]:
        self.since = time.monotonic()
        return {"stopped": time.time()}

    def started(self, journal: Journal) -> dict[str, object]:
        """`down` null: it was not measured, the clock was set back meanwhile."""
        if journal.stopped is None:
            return {}
        if self.since is not None:
            return {"down": time.monotonic() - self.since, "exact": True}
        seconds = time.time() - journal.stopped
        return {"down": seconds if seconds >= 0 else None, "exact": False}


def sentence(name: str, outage: Outage | None) -> str:
    if outage is None:
        return f"how long {name} was down is not known: the clock was set back meanwhile"
    return f"{name} was down for {outage.text}"
