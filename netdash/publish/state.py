"""What netdash published and has not finished: the records under its state folders and their JSON. Pure; text that is
not a record of netdash's is None, never an exception."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from netdash.model.records import dataclass

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
        Opened(str(one["proto"]), str(one["host_ip"]), int(one["host_port"]), int(one["container_port"])) for one in raw
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
                return tuple(one for one in found if isinstance(one, str) and one)
    return ()


def target(found: tuple[str, ...], host_ip: str) -> str:
    """The one of the same family, else the one that there is."""
    same = (one for one in found if (":" in one) == (":" in host_ip))
    return next(same, found[0])
