"""What of a Host follows from its other parts: its ports, and where its rules differ from the engine's. Derives them
anew for a host that was made of another; a `Builder` does it for hosts that are read one after the other."""

from __future__ import annotations

from netdash.drift.incremental import Comparing
from netdash.join.host_ports import HostPorts
from netdash.kernel.devices import entrance_of
from netdash.model.host import Host
from netdash.model.records import replace


def derived(host: Host, compare: bool = True) -> Host:
    """`compare` False: `drift` is None."""
    if host.containers is not None or host.listeners is not None:
        entrance = entrance_of(host.links, host.routes)
        ports = HostPorts(entrance, host.ruleset, host.proxies, host.listeners).ports(host.containers or ())
        host = replace(host, ports=ports)
    failures = {name: failure for name, failure in host.failures.items() if name.partition(":")[0] != "drift"}
    host = replace(host, drift=None, failures=failures)
    if not compare:
        return host
    drift, reasons = Comparing().compare(host, host.ports or ())
    return replace(host, drift=drift, failures={**failures, **reasons})
