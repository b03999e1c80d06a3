"""Counters of devices, read again and again, become rates; those of a container and of a network are their veths'."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.model.host import Container, Host, Link, Network
from netdash.model.index import index_of, sharing
from netdash.model.kernel_state import LinkCounts, LinkReading, Rate, together

_KEPT = 16  # readings that the history shows


class LinkRates:
    """Rates by the device's index, of one reading after the other."""

    def __init__(self) -> None:
        self._rates: dict[int, Rate] = {}

    def read(self, reading: LinkReading) -> Mapping[int, Rate]:
        seconds = reading.at - reading.since if reading.since is not None else 0.0
        self._rates = {
            index: _rate(reading.before.get(index), now, seconds, self._rates.get(index, UNTOLD).history)
            for index, now in reading.counts.items()
        }
        return self._rates


UNTOLD = Rate()


def _rate(before: LinkCounts | None, now: LinkCounts, seconds: float, history: tuple[float | None, ...]) -> Rate:
    """A counter that went back is of another device, or was set back: that tells no rate."""
    if before is None or seconds <= 0:
        return Rate(lost=now.lost, history=history)
    moved = [getattr(now, name) - getattr(before, name) for name in _COUNTED]
    if min(moved) < 0:
        return Rate(lost=now.lost, history=(*history, None)[-_KEPT:])
    rx_bytes, tx_bytes, rx_packets, tx_packets = (value / seconds for value in moved)
    history = (*history, rx_bytes + tx_bytes)[-_KEPT:]
    return Rate(rx_bytes, tx_bytes, rx_packets, tx_packets, now.lost, history)


_COUNTED = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")


def link_rate(host: Host, link: Link | None) -> Rate | None:
    """None where it was not read."""
    rates = host.traffic.rates
    return rates.get(link.index) if link is not None and rates is not None else None


def veths(host: Host, container: Container) -> list[Link | None]:
    """The host's ends of its devices; None for one that is not known. Empty where it has none: it does not run, or is
    on the network of the host."""
    owner = sharing(host, container)
    if not owner.running or owner.network_mode in ("host", "none"):
        return []
    return [index_of(host).link(end.veth) for end in owner.endpoints]


def container_rate(host: Host, container: Container) -> Rate | None:
    """What it receives and sends; None where it has no device of its own. Those that share a namespace share that."""
    return _of_devices(host, veths(host, container))


def network_rate(host: Host, network: Network) -> Rate | None:
    """What its containers receive and send; None where it has none that runs."""
    index = index_of(host)
    members = (index.containers[identity] for identity in index.on_network(network))
    ends = [
        index.link(end.veth)
        for container in members
        if container.running
        for end in container.endpoints
        if end.network not in ("host", "none") and index.network(end) is network
    ]
    return _of_devices(host, ends)


def _of_devices(host: Host, ends: list[Link | None]) -> Rate | None:
    if not ends:
        return None
    return together((link_rate(host, link) or UNTOLD).turned for link in ends)
