"""What the collector sends of an answer that it sent before: only what changed. Both ends keep the last texts."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from netdash.model.errors import NetdashError

_SAME = re.compile(r"@([0-9]{1,9}) ([0-9]{1,9})")
_FASTEST = 1  # of zlib: a tenth of the size in 10 ms a megabyte


class Parts:
    """Of one collector, which keeps the same texts at its end. After an error both ends differ: begin anew."""

    def __init__(self, most: int) -> None:
        """`most`: characters of one answer of the collector, when it is whole again."""
        self._most = most
        self._kept: dict[str, bytes] = {}

    def whole(self, lines: Iterator[str], mark: str) -> Iterator[str]:
        """The lines of a stream with all that they stand for. `mark` begins the collector's own. Raises NetdashError
        when they stand for what is not known here, or for too much."""
        beginning, end = f"{mark}part ", f"{mark}whole "
        room = self._most
        for line in lines:
            if not line.startswith(beginning):
                yield line
                continue
            key = line[len(beginning) :]
            before = self._lines(key)
            now: list[str] = []
            for other in lines:
                if other.startswith(end):
                    self._keep(key, before, now, other[len(end) :])
                    break
                found = _meant(other, before)
                room -= sum(map(len, found)) + len(found)
                if room < 0:
                    raise NetdashError(f"it stands for more than {self._most >> 20} MiB")
                now += found
            yield from now

    def _lines(self, key: str) -> list[str]:
        return zlib.decompress(self._kept[key]).decode().split("\n") if key in self._kept else []

    def _keep(self, key: str, before: list[str], now: list[str], count: str) -> None:
        if count != str(len(now)):
            raise NetdashError("changes that are not whole")
        if now != before:
            self._kept[key] = zlib.compress("\n".join(now).encode(), _FASTEST)


def _meant(line: str, before: list[str]) -> list[str]:
    """The lines that a line stands for: itself, or some of those before."""
    found = _SAME.fullmatch(line)
    if found is None:
        return [line]
    first, count = int(found[1]) - 1, int(found[2])
    if first < 0 or first + count > len(before):
        raise NetdashError("changes of what is not known")
    return before[first : first + count]
