"""Writes a pcapng file: an interface block a capture point, with the container's name in its comment. dpkt's own writer
knows one interface a file, and takes each packet for whole."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

from netdash.capture.model import Plan, Seen, Side
from netdash.model.errors import Exit, NetdashError

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_MAGIC = 0x1A2B3C4D
_COMMENT, _NAME, _DESCRIPTION, _RESOLUTION, _APPLICATION = 1, 2, 3, 9, 4
_NANO = b"\x09"  # if_tsresol: 10^-9 s
_ETHERNET, _RAW = 1, 101  # LINKTYPE_ETHERNET, LINKTYPE_RAW
_LONGEST = 200  # characters of a name in a comment


class PcapngFile:
    """A new file that only its owner may read. Raises NetdashError where it is there already, or cannot be written."""

    def __init__(self, path: Path, force: bool) -> None:
        self.path = path
        self.bytes = 0
        self._file = _open(path, force)

    def begin(self, plan: Plan, ethernet: Sequence[bool], snap: int) -> None:
        body = struct.pack("=IHHq", _MAGIC, 1, 0, -1) + _options([(_APPLICATION, b"netdash")])
        self._write(_block(_SECTION, body))
        for point, has_header in zip(plan.points, ethernet, strict=True):
            kind = _ETHERNET if has_header else _RAW
            options = [
                (_COMMENT, _comment(plan, point.side, point.network)),
                (_NAME, point.device.encode()),
                (_DESCRIPTION, point.side.value.encode()),
                (_RESOLUTION, _NANO),
            ]
            self._write(_block(_INTERFACE, struct.pack("=HHI", kind, 0, snap) + _options(options)))

    def add(self, packets: Iterable[Seen]) -> None:
        for seen in packets:
            high, low = seen.ns >> 32, seen.ns & 0xFFFFFFFF
            head = struct.pack("=IIIII", seen.point, high, low, len(seen.frame), max(seen.size, len(seen.frame)))
            self._write(_block(_PACKET, head + _padded(seen.frame)))

    def _write(self, block: bytes) -> None:
        try:
            self._file.write(block)
        except OSError as error:
            raise _cannot(self.path, error) from error
        self.bytes += len(block)

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise _cannot(self.path, error) from error


def _open(path: Path, force: bool) -> BinaryIO:
    """With `force` a file that is there is emptied: no other is put in its place, so that its owner stays."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        number = os.open(path, flags | (0 if force else os.O_EXCL), 0o600)
        try:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise NetdashError(f"{path} is no file", "name a new one", Exit.REFUSED)
            os.fchmod(number, 0o600)
            os.ftruncate(number, 0)
        except BaseException:
            os.close(number)
            raise
        return os.fdopen(number, "wb")
    except FileExistsError as error:
        raise NetdashError(f"{path} is there already", "--force overwrites it", Exit.REFUSED) from error
    except OSError as error:
        raise _cannot(path, error) from error


def _cannot(path: Path, error: OSError) -> NetdashError:
    return NetdashError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}", code=Exit.OUTPUT)


def _comment(plan: Plan, side: Side, network: str) -> bytes:
    name = plan.name[:_LONGEST]
    text = {
        Side.OUTSIDE: f"packets of the container {name}, on the way to and from other machines",
        Side.PEER: f"packets of the container {name}, at the peer's network {network[:_LONGEST]}",
    }.get(side, f"container {name}, network {network[:_LONGEST]}")
    return text.encode("utf-8", "replace")


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("=I", len(body) + 12)
    return struct.pack("=I", kind) + size + body + size


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("=HH", code, len(value)) + _padded(value) for code, value in options) + bytes(4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
