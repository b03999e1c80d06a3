"""Which findings appeared and which are gone since the look before. Pure: told what time it is."""

from __future__ import annotations

from collections.abc import Hashable

from netdash.drift.incremental import SETTLED
from netdash.model.finding import Finding, Health
from netdash.model.records import dataclass, field, replace

_READ_APART = frozenset(("proxy-orphaned",))
"""Findings that compare processes with containers. The engine starts a proxy before it tells of the container, and ends
it after: such a difference counts when it has lasted `SETTLED`, as one of rules does."""


@dataclass(slots=True)
class Watch:
    """Remembers since when each finding is there."""

    known: dict[Hashable, Finding] = field(default_factory=dict)
    _apart: dict[Hashable, float] | None = None  # since when those of `_READ_APART` are there; None: no look yet

    def look(self, report: Health, now: float) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """(those that appeared, those that are gone), each with the time since when it was seen. `now`: seconds since
        the epoch."""
        here = {key_of(finding): finding for finding in self._lasting(report, now)}
        old = self.known
        self.known = {
            key: replace(finding, since=old[key].since if key in old else now) for key, finding in here.items()
        }
        new = tuple(finding for key, finding in self.known.items() if key not in old)
        return new, tuple(finding for key, finding in old.items() if key not in here)

    def dated(self, report: Health, now: float) -> Health:
        """The same with the time since when each finding is there, without those that may go at once. `now` as of
        `look`."""
        self.look(report, now)
        known = [self.known.get(key_of(finding)) for finding in report.findings]
        kept = [at for at, finding in enumerate(known) if finding is not None]
        findings = tuple(
            replace(finding, since=seen.since) for finding, seen in zip(report.findings, known, strict=True) if seen
        )
        if len(kept) == len(known):
            return replace(report, findings=findings)
        place = {old: new for new, old in enumerate(kept)}
        standings = {
            identity: replace(standing, findings=tuple(place[at] for at in standing.findings if at in place))
            for identity, standing in report.standings.items()
        }
        return replace(report, findings=findings, standings=standings)

    def _lasting(self, report: Health, now: float) -> list[Finding]:
        begin = float("-inf") if self._apart is None else now
        before, self._apart = self._apart or {}, {}
        for key, finding in ((key_of(finding), finding) for finding in report.findings):
            if finding.code in _READ_APART:
                self._apart[key] = before.get(key, begin)
        return [finding for finding in report.findings if now - self._apart.get(key_of(finding), 0.0) >= SETTLED]


def key_of(finding: Finding) -> Hashable:
    """The same while it is the same cause: who is hit by it may change, and so may counters in its evidence."""
    return finding.code, finding.evidence[0].source if finding.evidence else finding.sentence
