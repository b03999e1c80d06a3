"""The JSON of iproute2's `bridge` -> forwarding tables and VLANs of the bridges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netdash.model.kernel_state import Bridging, FdbEntry, PortVlan
from netdash.parse.json_values import integer, items, mapping, text


def parse_bridging(fdb: object, vlans: object) -> Bridging:
    """`bridge -j fdb` and `bridge -j vlan`; None for one that was not read."""
    return Bridging(None if fdb is None else tuple(_entries(fdb)), None if vlans is None else dict(_vlans(vlans)))


def _entries(fdb: object) -> Iterator[FdbEntry]:
    """Without the addresses that a device itself listens to ("self"): a bridge does not ask them."""
    for raw in map(mapping, items(fdb)):
        mac, port, bridge = text(raw.get("mac")), text(raw.get("ifname")), text(raw.get("master"))
        if mac and port and bridge:
            yield FdbEntry(mac.lower(), port, raw.get("state") in ("static", "permanent"))


def _vlans(vlans: object) -> Iterator[tuple[str, tuple[PortVlan, ...]]]:
    for raw in map(mapping, items(vlans)):
        name = text(raw.get("ifname"))
        if name:
            yield name, tuple(_ranges(raw))


def _ranges(raw: Mapping[str, object]) -> Iterator[PortVlan]:
    for one in map(mapping, items(raw.get("vlans"))):
        first = integer(one.get("vlan"))
        if first is not None:
            flags = items(one.get("flags"))
            last = integer(one.get("vlanEnd"))
            yield PortVlan(first, first if last is None else last, "PVID" in flags, "Egress Untagged" in flags)
