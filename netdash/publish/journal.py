"""What netdash published and has not finished, the records under its state folders and their JSON; and the journal
of a change that has several steps: a line before each step, a line after it.

Pure: text <-> records. Text that is not a record of netdash's is None, never an exception. A last line that was cut off
when the machine stopped counts for nothing: its step was not done yet, or may be done again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from netdash.model.addresses import socket_text
from netdash.model.records import dataclass, field

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Opened:
    """One port of the host that leads into a container. Addresses as text: the keeper loads as little as it can."""

    proto: str
    host_ip: str
    host_port: int
    container_port: int


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one with its number: `ticks` is field 22 of /proc/PID/stat."""

    pid: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Forward:
    """One publication by `forward`. `phase`: starting, up, waiting (the container is not running or the port is not to
    be had: `problem`). `until`, `created`: seconds since the epoch. `boot`: /proc/sys/kernel/random/boot_id."""

    id: str
    engine: str  # its address, unix://…
    container_id: str
    container: str  # its name
    network: str  # the one that is preferred
    program: str  # path of docker-proxy; "" for netdash's own forwarder
    ports: tuple[Opened, ...]
    created: float
    boot: str
    until: float | None = None
    phase: str = "starting"
    target: tuple[str, ...] = ()  # the container's addresses that the proxies lead to
    problem: str = ""
    keeper: Process | None = None

    def dumps(self) -> str:
        return json.dumps({"netdash": SCHEMA, **asdict(self)}, indent=1) + "\n"


def load_forward(text: str) -> Forward | None:
    raw = _object(text)
    if raw is None:
        return None
    try:
        keeper = raw["keeper"]
        return Forward(
            id=str(raw["id"]),
            engine=str(raw["engine"]),
            container_id=str(raw["container_id"]),
            container=str(raw["container"]),
            network=str(raw["network"]),
            program=str(raw["program"]),
            ports=_ports(raw["ports"]),
            created=float(raw["created"]),
            boot=str(raw["boot"]),
            until=None if raw["until"] is None else float(raw["until"]),
            phase=str(raw["phase"]),
            target=tuple(map(str, raw["target"])),
            problem=str(raw["problem"]),
            keeper=Process(int(keeper["pid"]), int(keeper["ticks"])) if keeper else None,
        )
    except (KeyError, TypeError, ValueError):
        return None


def _ports(raw: Iterable[Mapping[str, str]]) -> tuple[Opened, ...]:
    return tuple(
        Opened(str(value["proto"]), str(value["host_ip"]), int(value["host_port"]), int(value["container_port"]))
        for value in raw
    )


def _object(text: str) -> dict[str, Any] | None:  # the callers check it field by field
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return raw if isinstance(raw, dict) and raw.get("netdash") == SCHEMA else None


def verdict(forward: Forward, boot: str, alive: bool, now: float) -> str:
    """What is to be done with a record: `kept` (its keeper lives), `over` (its time has ended), `lost` (the machine or
    the keeper died in between: to be started anew)."""
    if forward.until is not None and now >= forward.until:
        return "over"
    return "kept" if alive and forward.boot == boot else "lost"


def running(inspect: Mapping[str, Any]) -> bool:
    state = inspect.get("State")
    return isinstance(state, dict) and state.get("Running") is True and state.get("Paused") is not True


def addresses(inspect: Mapping[str, Any], network: str) -> tuple[str, ...]:
    """Its IPv4 and IPv6 address on that network, or on the first that gives it any."""
    settings = inspect.get("NetworkSettings")
    networks = settings.get("Networks") if isinstance(settings, dict) else None
    if not isinstance(networks, dict):
        return ()
    first = [networks[network]] if network in networks else []
    for raw in (*first, *networks.values()):
        if isinstance(raw, dict):
            found = (raw.get("IPAddress"), raw.get("GlobalIPv6Address"))
            if any(found):
                return tuple(text for text in found if isinstance(text, str) and text)
    return ()


def target(found: tuple[str, ...], host_ip: str) -> str:
    """The one of the same family, else the one that there is."""
    same = (text for text in found if (":" in text) == (":" in host_ip))
    return next(same, found[0])


@dataclass(frozen=True, slots=True)
class Outage:
    """How long no container of a change ran. `exact`: one process measured all of it; else it is the time between two
    lines of the journal, and the container may have run for a part of that."""

    seconds: float
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """What a journal is about; holds all that its steps need and none of the container's environment: that is read from
    the old container, or from the new one. `backup` is the old container's name meanwhile, `temporary` the new one's
    until it takes over. `settings`: of the old one's inspect, for the case that somebody removes both; `environment`:
    whether it has values that neither the settings nor its image have."""

    id: str
    kind: str  # recreate, run
    engine: str
    name: str
    steps: tuple[str, ...]
    created: float  # seconds since the epoch
    add: tuple[Opened, ...] = ()
    drop: tuple[Opened, ...] = ()
    old_id: str = ""
    backup: str = ""
    temporary: str = ""
    image: str = ""  # run: the image; recreate: what the kept changes are committed to
    discard: bool = False
    restart: tuple[str, int] = ("", 0)  # the old container's restart policy
    endpoints: Mapping[str, Any] = field(default_factory=dict)  # by network, as the API takes them
    first: str = ""  # the network that it is created on
    answers: bool = False  # whether something listened behind every port that is added
    grace: float = 0.0  # seconds
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: bool = True
    stop_seconds: int | None = None  # of the plan: None where nothing is stopped

    def line(self) -> str:
        return json.dumps({"netdash": SCHEMA, **asdict(self)})


@dataclass(frozen=True, slots=True)
class Journal:
    """`begun`: steps whose first line is there, or that a line that cannot be read may have been about; `done`: their
    results. `settled`: when the last step was done, and the grace time began. `undoing`: taking back was chosen;
    `undone`: steps that are taken back. `results`: of all that were ever done. `source`: the old container's inspect,
    in the process that began the change only. `stopped`: since when no container of it runs (seconds since the epoch),
    None while one does. `outage`: the last one that ended."""

    change: Change
    begun: tuple[int, ...] = ()
    done: Mapping[int, str] = field(default_factory=dict)
    settled: float | None = None
    undoing: bool = False
    undone: tuple[int, ...] = ()
    results: Mapping[int, str] = field(default_factory=dict)
    source: Mapping[str, Any] | None = None
    stopped: float | None = None
    outage: Outage | None = None

    @property
    def unfinished(self) -> bool:
        return self.settled is None

    @property
    def due(self) -> float | None:
        """When the grace time ends, in seconds since the epoch; None while it has not begun."""
        return None if self.settled is None else self.settled + self.change.grace

    @property
    def left(self) -> tuple[int, ...]:
        return tuple(at for at in range(len(self.change.steps)) if at not in self.done)

    @property
    def to_undo(self) -> tuple[int, ...]:
        """Last first, but what cannot be done twice, the removal of the new container and its image, after all others;
        a step that was begun may have happened."""
        left = set(self.begun) - set(self.undone)
        return tuple(sorted(left, key=lambda at: (self.change.steps[at] in ("create", "commit"), -at)))

    def result(self, step: str) -> str:
        return self.results.get(self.change.steps.index(step), "") if step in self.change.steps else ""


_CUT_OFF = re.compile(r"\{[ -|~]*")  # the beginning of a line, as a death while it was written leaves it


def load_journal(text: str) -> Journal | None:
    """None for what is no journal of netdash's."""
    head, *rest = text.split("\n")
    change = None if "\ufffd" in head else _change(_line(head))  # a byte that was no text
    if change is None:
        return None
    found = _Read()
    for line in rest:
        found.take(_line(line), damaged=bool(line) and not _CUT_OFF.fullmatch(line))
    steps = range(len(change.steps))
    begun = tuple(dict.fromkeys(at for at in found.begun if at in steps))
    done = {at: result for at, result in found.done.items() if at in steps}
    return Journal(
        change,
        begun,
        done,
        found.settled,
        found.undoing,
        found.undone,
        found.results,
        stopped=found.stopped,
        outage=found.outage,
    )


@dataclass(slots=True)
class _Read:
    """What the lines said so far."""

    begun: list[int] = field(default_factory=list)
    done: dict[int, str] = field(default_factory=dict)
    settled: float | None = None
    undoing: bool = False
    undone: tuple[int, ...] = ()
    results: dict[int, str] = field(default_factory=dict)
    stopped: float | None = None
    outage: Outage | None = None

    def take(self, entry: Mapping[str, Any], damaged: bool) -> None:
        """`damaged`: an entry without a word was no empty line; it may have been the beginning of the next step."""
        self._time(entry)
        match entry:
            case {"begin": int(at)}:
                self._begin(at)
            case {"done": int(at), "result": str(result)}:
                if at not in self.begun:
                    self._begin(at)
                self.done[at] = self.results[at] = result
            case {"settled": float(when) | int(when)}:
                self.settled = float(when)
            case {"undoing": bool(undoing)}:
                self.undoing, self.settled = undoing, None
            case {"undo": int(at)}:  # from here on nobody knows whether the step is still done
                self.done.pop(at, None)
            case {"undone": int(at)}:
                self.undone = (*self.undone, at)
            case _ if damaged:
                self._begin(max(self.begun, default=-1) + 1)

    def _time(self, entry: Mapping[str, Any]) -> None:
        match entry:
            case {"stopped": float(when) | int(when)} if self.stopped is None:
                self.stopped = float(when)
            case {"down": None}:
                self.stopped = self.outage = None
            case {"down": float(seconds) | int(seconds), "exact": bool(exact)}:
                self.stopped, self.outage = None, Outage(float(seconds), exact)

    def _begin(self, at: int) -> None:
        self.begun.append(at)
        self.undone = tuple(value for value in self.undone if value != at)


def _line(text: str) -> dict[str, Any]:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _change(raw: dict[str, Any]) -> Change | None:
    if raw.get("netdash") != SCHEMA:
        return None
    try:
        return Change(
            **{name: str(raw[name]) for name in _TEXTS},
            steps=tuple(map(str, raw["steps"])),
            created=float(raw["created"]),
            add=tuple(Opened(**value) for value in raw["add"]),
            drop=tuple(Opened(**value) for value in raw["drop"]),
            discard=raw["discard"] is True,
            answers=raw["answers"] is True,
            restart=(str(raw["restart"][0]), int(raw["restart"][1])),
            endpoints=dict(raw["endpoints"]),
            grace=float(raw["grace"]),
            settings=dict(raw.get("settings", {})),
            environment=raw.get("environment") is not False,
            stop_seconds=None if raw.get("stop_seconds") is None else int(raw["stop_seconds"]),
        )
    except (KeyError, TypeError, ValueError, IndexError):
        return None


_TEXTS = ("id", "kind", "engine", "name", "old_id", "backup", "temporary", "image", "first")


# --- what a real connection to a published port said ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proof:
    """`works` None: sent, and nothing came back that says either way (UDP)."""

    proto: str
    address: str
    port: int
    works: bool | None
    what: str

    @property
    def sentence(self) -> str:
        return f"{self.proto} {socket_text(self.address, self.port)} {self.what}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a plan. `outage` None: nothing was stopped, or how long is not known."""

    proofs: tuple[Proof, ...] = ()
    outage: Outage | None = None
