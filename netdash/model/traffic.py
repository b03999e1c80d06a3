"""What devices and connections carry, read only while somebody looks at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from netdash.model.kernel_state import TrackedFlow, Tracking
from netdash.model.records import dataclass
from netdash.model.rules import IP


@dataclass(frozen=True, slots=True)
class Watched:
    """What somebody looks at. `devices`, `addresses`: of one container, whose card is on screen."""

    flows: bool = False  # all connections
    counters: bool = False  # of all devices
    devices: tuple[int, ...] = ()  # indexes of those whose counters are read where those of all are not
    addresses: tuple[IP, ...] = ()  # whose connections are read where not all are
    drops: bool = False  # the kernel's counters of lost packets

    def __or__(self, other: Watched) -> Watched:
        return Watched(
            self.flows or other.flows,
            self.counters or other.counters,
            self.devices or other.devices,
            self.addresses or other.addresses,
            self.drops or other.drops,
        )


NOTHING = Watched()


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """A device's counters since it was made (struct rtnl_link_stats64)."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_errors: int
    tx_errors: int
    rx_dropped: int
    tx_dropped: int

    @property
    def lost(self) -> int:
        """Errors and drops of both directions."""
        return self.rx_errors + self.tx_errors + self.rx_dropped + self.tx_dropped


@dataclass(frozen=True, slots=True)
class LinkReading:
    """Counters by the device's index, and those of the reading before. `at`, `since`: seconds of a clock that nobody
    sets; None where there was none before."""

    at: float
    counts: Mapping[int, LinkCounts]
    since: float | None
    before: Mapping[int, LinkCounts]

    PATH: ClassVar[str] = "ip/link-counters"
    """Where a recording of a live host has it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What was received and sent in a second, between the last two readings; None where they do not tell it. `history`:
    bytes a second of both directions, the newest last. `lost`: errors and drops since the device was made."""

    rx_bytes: float | None = None
    tx_bytes: float | None = None
    rx_packets: float | None = None
    tx_packets: float | None = None
    lost: int | None = None
    history: tuple[float | None, ...] = ()

    @property
    def total(self) -> float | None:
        return added(self.rx_bytes, self.tx_bytes)

    @property
    def turned(self) -> Rate:
        """The same seen from the other end of a veth pair."""
        return Rate(self.tx_bytes, self.rx_bytes, self.tx_packets, self.rx_packets, self.lost, self.history)


def added(*numbers: float | None) -> float | None:
    """None where one of them is not known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known and len(known) == len(numbers) else None


def together(rates: Iterable[Rate]) -> Rate:
    """Of several devices; what is not known of one is not known of all."""
    found = list(rates)
    if len(found) == 1:
        return found[0]
    lost = added(*(one.lost for one in found))
    long = min((len(one.history) for one in found), default=0)
    histories = zip(*(one.history[len(one.history) - long :] for one in found), strict=True)
    return Rate(
        added(*(one.rx_bytes for one in found)),
        added(*(one.tx_bytes for one in found)),
        added(*(one.rx_packets for one in found)),
        added(*(one.tx_packets for one in found)),
        None if lost is None else int(lost),
        tuple(added(*each) for each in histories),
    )


@dataclass(frozen=True, slots=True)
class UsedReading:
    """What netlink told of the connections of some addresses alone."""

    addresses: tuple[IP, ...]
    tracking: Tracking

    PATH: ClassVar[str] = "host/conntrack-of-one"
    """Where a recording of a live host has it."""


@dataclass(frozen=True, slots=True)
class Used:
    """The same as records. `more`: there are others."""

    addresses: tuple[IP, ...]
    flows: tuple[TrackedFlow, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Traffic:
    """`rates`: by the device's index. None: nobody looks."""

    rates: Mapping[int, Rate] | None = None
    used: Used | None = None  # of one container, where not all connections are read


NOT_READ = Traffic()
