"""What the doctor finds: a cause, who is hit by it, the evidence, and a fix."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from functools import lru_cache

from netdash.model.host import Host, Ref
from netdash.model.records import dataclass, field


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
    `text`: what it says there; `ref`: the row that shows it, None where no pane has it."""

    source: str
    text: str
    ref: Ref | None = None


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
    that were not read and that might tell another cause. `exposes`: nothing fails, but it is open to
    more people than it should be. `fails`: it explains packets that are not answered."""

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
    exposes: bool = False
    fails: bool = False

    @property
    def mark(self) -> Mark:
        if self.severity is Severity.INFO:
            return Mark.NOTHING
        works = self.exposes or (self.severity is Severity.MEDIUM and not self.fails)
        return Mark.RISK if works else Mark.BROKEN


class Mark(Enum):
    """The one alphabet of verdicts: what a glyph and a word stand for on every surface."""

    OK = "ok"  # arrives, and the answer comes back
    BROKEN = "broken"
    RISK = "at risk"  # works, and will not stay so, or works for people for whom it should not
    UNKNOWN = "unknown"
    NOTHING = "nothing"  # not published, not asked, or meant


@dataclass(frozen=True, slots=True)
class Standing:
    """How a container fares: what comes in to it, and what it sends. `findings`: places in `Health.findings` of what
    hits it, the worst first."""

    inwards: Mark
    outwards: Mark
    findings: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Health:
    """`findings`: worst first. `not_checked`: by source, why it could not be read. `standings`: by container id.
    `ports`: by container id and published port, "8080/tcp". `broken`: whose packets of which direction and port are
    not answered although they should be; `unexplained`: the same, and no cause of it is known. `unknown`: by container
    id, why not all of it can be told."""

    findings: tuple[Finding, ...]
    not_checked: Mapping[str, str]
    standings: Mapping[str, Standing] = field(default_factory=dict)
    ports: Mapping[tuple[str, str], Mark] = field(default_factory=dict)
    broken: frozenset[Hit] = frozenset()
    unexplained: frozenset[Hit] = frozenset()
    unknown: Mapping[str, str] = field(default_factory=dict)

    def count(self, mark: Mark) -> int:
        """Containers that fare so in either direction, and no worse."""
        return sum(worst(standing.inwards, standing.outwards) is mark for standing in self.standings.values())


_DECIDING = {"docker", "inside", "links", "listeners", "proxies", "routes", "rules", "sysctls"}


def nothing_hidden(host: Host, health: Health) -> bool:
    """Whether "nothing found" means that nothing is broken. What was not read counts where it may be why a container's
    packets cannot be traced to their end."""
    if None in (host.containers, host.ruleset, host.routes, host.links) or not (host.ruleset and host.ruleset.complete):
        return False
    if not any(source.partition(":")[0] in _DECIDING for source in health.not_checked):
        return True
    return all(Mark.UNKNOWN not in (standing.inwards, standing.outwards) for standing in health.standings.values())


WORST_FIRST = (Mark.BROKEN, Mark.RISK, Mark.UNKNOWN, Mark.OK, Mark.NOTHING)


def worst(*marks: Mark) -> Mark:
    return min(marks, key=WORST_FIRST.index, default=Mark.NOTHING)


@lru_cache(maxsize=4)  # the host on screen, the one before, the one that comes, and one of another machine
def _known(_: Host) -> list[Health]:
    return []


def health_of(host: Host) -> Health | None:
    """What was found on this host; None while it is not examined."""
    return next(iter(_known(host)), None)


def keep_health(host: Host, health: Health) -> None:
    _known(host)[:] = [health]
