"""Whether a device carries packets, by what the kernel says of it. Knows no routes and no rules."""

from __future__ import annotations

import re

from netdash.model.host import Link

_NO_CARRIER = ("DOWN", "LOWERLAYERDOWN", "NOTPRESENT")


def carrier(link: Link) -> bool:
    """Whether the kernel gives its routes the flag linkdown."""
    return link.state not in _NO_CARRIER


def trouble(link: Link | None) -> str:
    """Why nothing passes the device: "down" (ip link set down), "no carrier" (its other end is down); "" otherwise."""
    if link is None or (link.up and carrier(link)):
        return ""
    return "no carrier" if link.up else "down"


def queue_drops(queue: str, size: int) -> bool:
    """Whether a queue, as tc tells it, lets no frame of `size` bytes pass: tbf_enqueue drops what is larger than its
    burst, netem_enqueue what it is told to lose."""
    kind, _, options = queue.partition(" ")
    burst = _BURST.search(options)
    if kind == "tbf" and burst is not None:
        return int(burst[1]) < size
    return kind == "netem" and "loss 100%" in options


_BURST = re.compile(r"\bburst (\d{1,9})b\b")  # larger ones are told in Kb
