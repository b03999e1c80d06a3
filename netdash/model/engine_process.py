"""Where the engine's process is, seen from the reader: in which network namespace the kernel's answers were given."""

from __future__ import annotations

from enum import Enum

from netdash.model.numbers import PID_DIGITS, UID_DIGITS, decimal
from netdash.model.records import dataclass


class Place(Enum):
    """Which network namespace the kernel's answers are of, seen from the engine's."""

    HERE = "here"  # the reader's own, which is the engine's
    ENTERED = "entered"  # the engine's, another than the reader's; the listeners are of the reader's own all the same
    ELSEWHERE = "elsewhere"  # the reader's own; the engine's is another, and could not be entered


KERNEL = "host/engine-kernel.txt"
"""Bundle path of what tells whether the engine's kernel is the one that was read: PROVED, or ANOTHER and the reason.
Without it, that is not told."""
PROVED, ANOTHER = "here", "another"


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """The process that made the engine's socket."""

    pid: int
    command: str
    place: Place
    uid: int | None = None  # of its user

    @property
    def title(self) -> str:
        return f"{self.command} (pid {self.pid})"


def other_kernel(line: str | None) -> str:
    """Why the engine's kernel is another one than was read; "" where nothing tells that."""
    word, _, reason = (line or "").strip().partition(" ")
    return reason if word == ANOTHER else ""


def is_proved(line: str | None) -> bool:
    """Whether a process of the engine's containers was found on the machine that was read."""
    return (line or "").strip() == PROVED


def parse_engine_process(line: str) -> EngineProcess | None:
    """`PID COMMAND PLACE`, and perhaps the user's id; None for anything else."""
    match line.split():
        case [pid, command, place, *uid] if (number := decimal(pid, PID_DIGITS)) is not None:
            places = [one for one in Place if one.value == place]
            user = decimal(uid[0], UID_DIGITS) if uid else None
            return EngineProcess(number, command, places[0], user) if places else None
        case _:
            return None
