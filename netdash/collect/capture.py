"""Captures the packets of a plan until a limit is met: from the sockets to pairs, and into a file if asked for."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType

from netdash.capture.absence import Absence
from netdash.capture.model import NANOSECONDS, Fate, Limits, Pair, Plan
from netdash.capture.pairs import GRACE, Pairing
from netdash.collect.dissect import NEEDED, dissect
from netdash.collect.packet_sockets import PacketSockets, Raw
from netdash.collect.pcapng import PcapngFile
from netdash.model.host import Host
from netdash.model.records import replace

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
