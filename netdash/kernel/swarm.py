"""Swarm's own bridge: by it containers of overlay networks go out, and packets come to the ingress behind it."""

from __future__ import annotations

from netdash.model.host import IP, Network

GWBRIDGE = "docker_gwbridge"
"""Who is on it, the engine's API does not tell container by container."""


def ingress(network: Network | None, ip: IP | None) -> str:
    """What takes packets for an address on swarm's bridge that no container has; "" on any other network."""
    if network is None or network.name != GWBRIDGE:
        return ""
    what = f"{ip} on {GWBRIDGE} is no container's but swarm's ingress: there IPVS chooses a task"
    return f"{what}, on this host or another, which is not readable"
