"""Captures the packets of a plan until a limit is met: from the sockets to pairs, and into a pcapng file if asked
for: an interface block a capture point, with the container's name in its comment.

dpkt's own writer knows one interface a file, and takes each packet for whole."""

from __future__ import annotations

import heapq
import os
import stat
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from netdash.capture.absence import Absence
from netdash.capture.model import NANOSECONDS, Fate, Limits, Pair, Plan, Seen, Side
from netdash.capture.pairs import GRACE, Pairing
from netdash.collect.dissect import NEEDED, dissect
from netdash.collect.packet_sockets import PacketSockets, Raw
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Host
from netdash.model.records import replace

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


_HELD_BACK = 0.02  # seconds after which no older packet comes from another socket


class Capture:
    """`with Capture(plan, newest, limits) as capture`: call `step` until it `ended`. `newest` answers with the host as
    it is, and is called when a packet is missed."""

    def __init__(
        self,
        plan: Plan,
        newest: Callable[[], Host],
        limits: Limits,
        save: Callable[[], PcapngFile] | None = None,
    ) -> None:
        """`save` makes the file, once it is sure that there is something to capture."""
        self.plan, self._limits, self._save = plan, limits, save
        self._file: PcapngFile | None = None
        self._pairing = Pairing(plan, newest().flows or (), Absence(newest, plan))
        self._sockets = PacketSockets(plan, max(NEEDED, limits.snap if limits.payload else 0))
        self._stack = ExitStack()
        self._held: list[tuple[int, int, Raw]] = []
        self._read = 0
        self._end = 0.0
        self.ended = ""  # by which limit
        self.packets, self.bytes, self.unread = 0, 0, 0
        self.counts: Counter[Fate] = Counter()

    def __enter__(self) -> Capture:
        with ExitStack() as stack:
            stack.enter_context(self._sockets)
            if self._save is not None:
                self._file = self._save()
                stack.callback(self._file.close)
                ethernet = [self._sockets.ethernet(at) for at in range(len(self.plan.points))]
                self._file.begin(self.plan, ethernet, self._limits.snap)
            self._stack = stack.pop_all()
        self._end = time.monotonic() + self._limits.seconds
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def dropped(self) -> int:
        """Packets that the kernel could not keep for netdash."""
        return self._sockets.count_drops()

    @property
    def gone(self) -> list[str]:
        """Devices that went down or were removed."""
        return self._sockets.gone

    def step(self, seconds: float) -> list[Pair]:
        """Waits at most so long for packets; the pairs that are due."""
        left = self._end - time.monotonic()
        if left <= 0:
            self.ended = self.ended or f"{self._limits.seconds:g} s"
            return self.rest()
        for raw in self._sockets.read(min(seconds, left)):
            self._read += 1
            heapq.heappush(self._held, (raw.ns, self._read, raw))
        now = time.time_ns()
        self._dissect(now - int(_HELD_BACK * NANOSECONDS))
        return list(self._counted(self._pairing.due(now)))

    def rest(self) -> list[Pair]:
        """What came before the end, once its grace time is over."""
        until, last = time.time_ns(), time.monotonic() + GRACE
        while (left := last - time.monotonic()) > 0:
            for raw in self._sockets.read(left):
                if raw.ns <= until + GRACE * NANOSECONDS:
                    self._read += 1
                    heapq.heappush(self._held, (raw.ns, self._read, raw))
        self._dissect(until + int(GRACE * NANOSECONDS))
        pairs = self._pairing.due(time.time_ns(), last=True)
        return list(self._counted(pair for pair in pairs if pair.seen[0].ns <= until))

    def _dissect(self, before: int) -> None:
        while self._held and self._held[0][0] <= before:
            seen = dissect(heapq.heappop(self._held)[2], self._limits.payload, self._limits.snap)
            if seen is None:
                self.unread += 1
            else:
                self._pairing.add(seen)

    def _doubted(self, pair: Pair) -> Pair:
        """One that is missed may be among those that the kernel could not keep for netdash."""
        outcome, dropped = pair.outcome, self.dropped if pair.outcome.fate is Fate.UNKNOWN else 0
        if not dropped:
            return pair
        text = f"{outcome.text}; {dropped} packets came too fast to be captured"
        return replace(pair, outcome=replace(outcome, text=text))

    def _counted(self, pairs: Iterator[Pair]) -> Iterator[Pair]:
        for pair in map(self._doubted, pairs):
            self.counts[pair.outcome.fate] += 1
            if pair.before is None:
                self.packets += 1
            else:  # it was counted as what it seemed to be
                self.counts[pair.before] -= 1
            self.bytes += sum(len(seen.frame) for seen in pair.news)
            if self._file is not None:
                self._file.add(pair.news)
            yield pair
            if self.packets >= self._limits.packets:
                self.ended = f"{self._limits.packets} packets"
                return
            if self.bytes >= self._limits.bytes:
                self.ended = f"{self._limits.bytes >> 20} MiB"
                return
