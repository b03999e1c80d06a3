"""Why a source could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """Why a source could not be read, as far as anything hangs on it."""

    OTHER = "other"
    NO_ENGINE = "no engine"  # nothing is there that could answer
    NO_RIGHT = "no right"
    NO_TOOL = "no tool"  # the command is not installed


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that could not be read: what, why, and what the user can do about it ("" when nothing)."""

    source: str
    reason: str
    remedy: str = ""
    kind: FailureKind = FailureKind.OTHER

    @property
    def words(self) -> tuple[str, ...]:
        """All but the source, for JSON: reason, remedy, and the kind where it is known."""
        return (self.reason, self.remedy) if self.kind is FailureKind.OTHER else (self.reason, self.remedy, self.kind)

    @classmethod
    def of(cls, source: str, words: object) -> Failure:
        """From `words` as they were read."""
        match words:
            case [str(reason), str(remedy), *rest]:
                kind = next((kind for kind in FailureKind if [kind.value] == rest), FailureKind.OTHER)
                return cls(source, reason, remedy, kind)
            case _:
                return cls(source, "not in this recording")
