"""Which elements of a verdict map a packet meets. Looks at one map and one packet, nothing else."""

from __future__ import annotations

from netdash.model.packet import Packet
from netdash.rules.match import Answer


def mapped(elements: tuple[tuple[str, str], ...], key: str, packet: Packet) -> list[tuple[str, Answer]]:
    """The elements of a verdict map that this packet can meet, as (verdict, YES or UNSURE). `key` is one of Match's."""
    value = getattr(packet, key) if key in _MAPPED else None
    if value is None:
        return [(verdict, Answer.UNSURE) for _, verdict in elements]
    shown = str(value)
    found: list[tuple[str, Answer]] = []
    for name, verdict in elements:
        if name == shown or (len(name) > 1 and name.endswith("*") and shown.startswith(name[:-1])):
            return [*found, (verdict, Answer.YES)]
        if key in _SPANS and set(name) & set("/-"):
            found.append((verdict, Answer.UNSURE))
    otherwise = Answer.UNSURE if found else Answer.YES
    return found + [(verdict, otherwise) for name, verdict in elements if name == "*"]


_SPANS = ("src", "dst", "sport", "dport")  # whose elements may be prefixes and ranges
_MAPPED = ("iif", "oif", "proto", *_SPANS)
