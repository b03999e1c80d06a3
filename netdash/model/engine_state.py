"""What of an engine bears on the kernel's state: in which network namespace its process is, the published ports that
it was asked for, and the differences between the rules that it should have written and those that are there."""

from __future__ import annotations

from enum import Enum

from netdash.model.numbers import PID_DIGITS, UID_DIGITS, decimal
from netdash.model.records import dataclass
from netdash.model.rules import IP, Rule


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
            places = [other for other in Place if other.value == place]
            user = decimal(uid[0], UID_DIGITS) if uid else None
            return EngineProcess(number, command, places[0], user) if places else None
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Binding:
    """One -p as the API tells it; `host_port` None where it is exposed, or routed, without a host port, and in the
    settings of a container also where the engine chooses one when it starts."""

    proto: str
    container_port: int
    host_ip: IP | None
    host_port: int | None
    choice: tuple[int, int] | None = None  # the engine chooses one of these; (0, 0) is any free one


class DriftKind(Enum):
    """How a rule differs from what the engine should have written."""

    MISSING = "missing"
    SHADOWED = "shadowed"  # another rule before it decides
    STALE = "stale"  # names an address, a network or a device that is gone
    DUPLICATE = "duplicate"
    EXTRA = "extra"  # in the engine's own chains, and not its work
    LEFT = "left behind"  # a container in a namespace that is its owner's no more; no rule


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference between the rules that the engine should have written and those that are there."""

    kind: DriftKind
    family: str
    table: str
    chain: str
    text: str  # the live rule's, or what the engine would have written
    why: str
    backend: str
    rule: Rule | None  # the live one; None where it is missing. Its counters may be old.
    container_id: str | None = None
    network_id: str | None = None
    binding: Binding | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """The same for as long as it is the same difference; counters are no part."""
        place = (self.kind, self.backend, self.family, self.table, self.chain, self.text)
        return (*place, self.container_id, self.network_id, self.binding)
