"""What a user asks to publish: ports, ranges and durations as they are typed. Asks nothing of the host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from netdash.model.addresses import address
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import IP
from netdash.model.numbers import port_number

MOST = 256  # ports of one range
GRACE = 600.0  # seconds that the replaced container is kept by default
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,9})([smhd]?)")


class Mode(Enum):
    FORWARD = "forward"
    RECREATE = "recreate"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One port; `host_port` None: of netdash's choice."""

    container_port: int
    host_port: int | None


@dataclass(frozen=True, slots=True)
class Spec:
    """One `-p` as it was typed; `bind` None: every address."""

    ports: tuple[Wanted, ...]
    proto: str = "tcp"
    bind: IP | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """`seconds`: how long a forward lasts, None without end. `discard`: lose what the container wrote outside its
    volumes. `grace`: seconds that the replaced container is kept. `force`: past the refusals that may be forced."""

    container_id: str
    spec: Spec
    mode: Mode = Mode.FORWARD
    seconds: float | None = None
    discard: bool = False
    grace: float = GRACE
    force: bool = False


@dataclass(frozen=True, slots=True)
class NewContainer:
    """What `docker run -d --name NAME -p … IMAGE` would start."""

    image: str
    name: str
    specs: tuple[Spec, ...]


def parse_spec(text: str, proto: str | None = None, bind: str | None = None) -> Spec:
    """`[[IP:]HOST:]PORT[/PROTO]`, where HOST and PORT may be ranges of one length. Raises NetdashError(USAGE)."""
    body, slash, told = text.strip().partition("/")
    told = told.lower() if slash else ""
    if told not in ("tcp", "udp") and slash:
        raise _wrong(f"{text!r}: the protocol is tcp or udp")
    if proto and told and proto != told:
        raise _wrong(f"{text!r} says {told}, --proto says {proto}")
    before, _, inner = body.rpartition(":")
    ip, _, outer = before.rpartition(":")
    if ip and bind:
        raise _wrong(f"{text!r} names an address, and so does --bind")
    return Spec(_pairs(text, outer, inner), proto or told or "tcp", _ip(ip or bind))


def _ip(text: str | None) -> IP | None:
    if not text:
        return None
    ip = address(text.removeprefix("[").removesuffix("]"))
    if ip is None or "%" in text or ip.is_multicast:
        raise _wrong(f"{text!r} is not an address that can be bound")
    return ip


def _pairs(text: str, outer: str, inner: str) -> tuple[Wanted, ...]:
    inside = _range(text, inner)
    if not outer:
        return tuple(Wanted(port, None) for port in inside)
    outside = _range(text, outer)
    if len(outside) != len(inside):
        raise _wrong(f"{text!r}: {len(outside)} host ports for {len(inside)} container ports")
    return tuple(Wanted(port, host) for host, port in zip(outside, inside, strict=True))


def _range(text: str, words: str) -> range:
    first, dash, last = words.partition("-")
    low = _port(text, first)
    high = _port(text, last) if dash else low
    if high < low or high - low >= MOST:
        raise _wrong(f"{text!r}: a range runs upwards, and over {MOST} ports at most")
    return range(low, high + 1)


def _port(text: str, digits: str) -> int:
    port = port_number(digits)
    if port is None:
        raise _wrong(f"{text!r} is not [HOST:]PORT")
    return port


def parse_duration(text: str) -> float:
    """Seconds of `90`, `45s`, `30m`, `2h`, `1d`. Raises NetdashError(USAGE)."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise _wrong(f"{text!r} is not a duration", "as 45s, 30m, 2h or 1d")
    return int(found[1]) * _UNITS[found[2]]


def parse_lasting(text: str) -> float:
    """The same for what lasts that long: not no time at all."""
    seconds = parse_duration(text)
    if not seconds:
        raise _wrong(f"{text!r} is no time at all", "as 45s, 30m, 2h or 1d; without it there is no end")
    return seconds


def _wrong(message: str, hint: str = "as 8080:80, 80, or 8000-8002:8000-8002") -> NetdashError:
    return NetdashError(message, hint, Exit.USAGE)


def last_word(image: str) -> str:
    """What an image is called without registry, path, tag and digest: `postgres` of `docker.io/library/postgres:16`."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]
