"""The one exception that netdash raises for its users, the exit codes, and why a source could not be read."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum

from netdash.model.records import dataclass


class Exit(IntEnum):
    FINE = 0
    FINDINGS = 1
    USAGE = 2
    UNREADABLE = 3
    REFUSED = 4
    UNKNOWN = 5  # of a trace whose verdict cannot be told
    FAULT = 70  # an error of netdash itself
    OUTPUT = 74  # what was found could not be written
    INTERRUPTED = 130  # 128 + the number of the signal, as for every signal that ends netdash
    BROKEN_PIPE = 141


class NetdashError(Exception):
    """A message of one line, and a hint of what to do about it ("" when there is nothing to do)."""

    def __init__(self, message: str, hint: str = "", code: Exit = Exit.UNREADABLE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


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


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """ "did you mean NAME?" with the nearest of the names, each behind the prefix; "" where none is near."""
    import difflib  # only where something was mistyped

    near = difflib.get_close_matches(word[:100], [*known], 1)
    return f"did you mean {prefix}{near[0]}?" if near else ""
