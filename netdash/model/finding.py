"""What the doctor finds: a cause, who is hit by it, the evidence, and a fix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class Severity(IntEnum):
    """Worst first."""

    CRITICAL = 0
    HIGH = 1
    MEDIUM = 2
    INFO = 3  # meant, or without effect today: never alarms


class Direction(Enum):
    """Which packets are hit, as seen from the container."""

    IN = "in"  # to its published ports
    OUT = "out"  # to the Internet
    PEERS = "peers"  # to and from other containers
    NAMES = "names"  # its names are not resolved


class Lasts(Enum):
    """What a fix survives."""

    NOTHING = "until the engine, the firewall or the machine restarts"
    FIREWALL = "a restart of the firewall"
    ENGINE = "a restart of the engine"
    BOOT = "a restart of the machine"


@dataclass(frozen=True, slots=True)
class Hit:
    """Who is hit. `container`: its id, None for this host or all; `port`: as published, "8080/tcp", "" for no port;
    `network`: its name, "" for none."""

    container: str | None
    direction: Direction
    port: str = ""
    network: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """`source`: where it was read, as one would name it: "iptables nat/DOCKER #3", "sysctl net.ipv4.ip_forward";
    `text`: what it says there; `ref`: (view, key of the row) that shows it, None where no pane has it."""

    source: str
    text: str
    ref: tuple[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Fix:
    """One command to copy: its arguments, what it changes, and what it survives."""

    command: tuple[str, ...]
    changes: str
    survives: tuple[Lasts, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause. `code`: a catalogue's id ("accept-missing"), or of a cause without a name "dropped", "no-route" ….
    `since`: seconds since the epoch when it was first seen, None in a single reading. `proved`: whether the questions
    that fail are answered on the model after the fix; None where no fix is known or it cannot be modelled.
    `also_opens`: sentences on what the fix lets through beside that. `confidence`: 0 to 1. `not_checked`: sources
    that were not read and that might tell another cause."""

    code: str
    severity: Severity
    sentence: str
    hits: tuple[Hit, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    fix: tuple[Fix, ...] = ()
    proved: bool | None = None
    also_opens: tuple[str, ...] = ()
    confidence: float = 1.0
    not_checked: tuple[str, ...] = ()
    since: float | None = None
