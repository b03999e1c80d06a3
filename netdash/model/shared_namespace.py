"""Containers that share another's network namespace, and those that were left behind in it. Pure."""

from __future__ import annotations

from netdash.model.host import Container, Host


def namespace_owner(container: Container) -> str | None:
    """Name of the container whose network namespace it has now; None for one with its own alone."""
    return None if container.left_behind else container.shares_with


def sharing(host: Host, container: Container) -> Container:
    """The container whose namespace this one uses: itself, or X of `container:X`."""
    owner = namespace_owner(container)
    return container if not owner else next((one for one in host.containers or () if one.name == owner), container)


def why_lost(container: Container) -> str:
    """Why one that was left behind has no way in or out."""
    owner = container.shares_with
    return f"{container.name} was left behind: its network namespace, with lo alone, is not that of {owner} any more"
