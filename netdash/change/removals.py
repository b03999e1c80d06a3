"""What is taken away beside rules and devices: a queue, entries of conntrack, a process."""

from __future__ import annotations

from dataclasses import replace

from netdash.change.errors import CannotModel
from netdash.change.model import ProcessEnd, QdiscRemoval, TrackedRemoval
from netdash.model.host import Host


def removed_state(host: Host, change: QdiscRemoval | TrackedRemoval | ProcessEnd) -> Host:
    """Raises CannotModel where it is not there, or was not read."""
    match change:
        case QdiscRemoval():
            return _without_queue(host, change.device)
        case TrackedRemoval():
            return _forgotten(host, change)
        case ProcessEnd():
            return _ended(host, change.pid)


def _without_queue(host: Host, device: str) -> Host:
    if host.qdiscs is None or device not in host.qdiscs:
        raise CannotModel(f"no queue of {device} was read that could be taken away")
    return replace(host, qdiscs={name: text for name, text in host.qdiscs.items() if name != device})


def _forgotten(host: Host, change: TrackedRemoval) -> Host:
    if host.flows is None:
        raise CannotModel("the connections were not read")
    left = tuple(flow for flow in host.flows if (flow.proto, flow.original.dport) != (change.proto, change.port))
    return replace(host, flows=left)


def _ended(host: Host, pid: int) -> Host:
    """Its sockets are closed. A container's program ends its container: that is not modelled."""
    if host.listeners is None or all(one.pid != pid for one in host.listeners):
        raise CannotModel(f"no socket of the process {pid} was read")
    if any(pid == one.pid or any(own.pid == pid for own in one.listeners or ()) for one in host.containers or ()):
        raise CannotModel(f"the process {pid} is of a container: what becomes of that is not modelled")
    return replace(
        host,
        listeners=tuple(one for one in host.listeners if one.pid != pid),
        proxies=None if host.proxies is None else tuple(one for one in host.proxies if one.pid != pid),
    )
