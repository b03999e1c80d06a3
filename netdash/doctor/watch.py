"""Which findings appeared and which are gone since the look before. Pure: told what time it is."""

from __future__ import annotations

from collections.abc import Hashable

from netdash.model.finding import Finding, Health
from netdash.model.records import dataclass, field, replace


@dataclass(slots=True)
class Watch:
    """Remembers since when each finding is there."""

    known: dict[Hashable, Finding] = field(default_factory=dict)

    def look(self, report: Health, now: float) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
        """(those that appeared, those that are gone), each with the time since when it was seen. `now`: seconds since
        the epoch."""
        here = {key_of(finding): finding for finding in report.findings}
        old = self.known
        self.known = {
            key: replace(finding, since=old[key].since if key in old else now) for key, finding in here.items()
        }
        new = tuple(finding for key, finding in self.known.items() if key not in old)
        return new, tuple(finding for key, finding in old.items() if key not in here)

    def dated(self, report: Health, now: float) -> Health:
        """The same with the time since when each finding is there. `now` as of `look`."""
        self.look(report, now)
        return replace(
            report, findings=tuple(replace(finding, since=self._since(finding)) for finding in report.findings)
        )

    def _since(self, finding: Finding) -> float | None:
        return self.known[key_of(finding)].since


def key_of(finding: Finding) -> Hashable:
    """The same while it is the same cause: who is hit by it may change, and so may counters in its evidence."""
    return finding.code, finding.evidence[0].source if finding.evidence else finding.sentence
