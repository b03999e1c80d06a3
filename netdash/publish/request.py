"""What a user asks to publish: ports, ranges and durations as they are typed. Asks nothing of the host."""

from __future__ import annotations

import re
from enum import Enum

from netdash.model.addresses import Spec
from netdash.model.errors import Exit, NetdashError
from netdash.model.records import dataclass

GRACE = 600.0  # seconds that the replaced container is kept by default
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,9})([smhd]?)")


class Mode(Enum):
    FORWARD = "forward"
    RECREATE = "recreate"


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


def _wrong(message: str, hint: str) -> NetdashError:
    return NetdashError(message, hint, Exit.USAGE)


def last_word(image: str) -> str:
    """What an image is called without registry, path, tag and digest: `postgres` of `docker.io/library/postgres:16`."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]
