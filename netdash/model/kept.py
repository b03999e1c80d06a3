"""The old containers that a change keeps until they are removed: what the journals say of them, as a source of a host.
Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from netdash.model.host import Container
from netdash.model.numbers import decimal

_OLD = re.compile(r"(.+)\.netdash-\d{8}-\d{6}")


def old_of(container: Container) -> str:
    """The container whose old one this is, by the name that netdash gave it; "" for all others, and while it runs."""
    found = None if container.running else _OLD.fullmatch(container.name)
    return found[1] if found else ""


def may_be_kept(names: Iterable[str]) -> bool:
    """Whether the journals are worth a look."""
    return any(".netdash-" in name for name in names)


def parse_kept(text: str | None) -> Mapping[str, float]:
    """When each is removed, by id; those of which that is known."""
    words = (line.split() for line in (text or "").splitlines())
    pairs = ((pair[0], decimal(pair[1])) for pair in words if len(pair) == 2)
    return {identity: float(until) for identity, until in pairs if until is not None}
