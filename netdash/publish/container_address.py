"""Where a container is right now, from its inspect. Addresses as text, and no record: the keeper loads this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def running(inspect: Mapping[str, Any]) -> bool:
    state = inspect.get("State")
    return isinstance(state, dict) and state.get("Running") is True and state.get("Paused") is not True


def addresses(inspect: Mapping[str, Any], network: str) -> tuple[str, ...]:
    """Its IPv4 and IPv6 address on that network, or on the first that gives it any."""
    settings = inspect.get("NetworkSettings")
    networks = settings.get("Networks") if isinstance(settings, dict) else None
    if not isinstance(networks, dict):
        return ()
    first = [networks[network]] if network in networks else []
    for raw in (*first, *networks.values()):
        if isinstance(raw, dict):
            found = (raw.get("IPAddress"), raw.get("GlobalIPv6Address"))
            if any(found):
                return tuple(one for one in found if isinstance(one, str) and one)
    return ()


def target(found: tuple[str, ...], host_ip: str) -> str:
    """The one of the same family, else the one that there is."""
    same = (one for one in found if (":" in one) == (":" in host_ip))
    return next(same, found[0])
