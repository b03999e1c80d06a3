"""Compares the rules of one host after the other, and only where something that bears on them has changed."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.drift.compare import Comparer, Comparison, Known, concerns
from netdash.model.engine_state import Drift
from netdash.model.host import Failure, Host, Link, Port, Proxy
from netdash.model.memory import Memory, Unchanged, same
from netdash.model.source import Source

_NEEDED = frozenset({Source.DOCKER, "docker: inspect", Source.RULES, Source.LINKS, Source.PROXIES})
SETTLED = 3.0  # seconds
"""An engine writes rules and tells of containers one after the other, and both are read at their own time: on a live
host a difference counts when it has lasted so long. What the first look finds was there before."""


class Comparing:
    """Keeps the last answer. Counters, and what else moves at every poll, do not make it be worked out anew."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._comparer = Comparer()
        self._containers = Unchanged(concerns)
        self._devices: frozenset[str] | None = None
        self._proxies = Unchanged(_carries)
        self._inputs: tuple[object, ...] = ()
        self._answer = Comparison(None)
        self._since: dict[object, float] | None = None
        self._shown: tuple[Drift, ...] = ()
        self._whole: object = None  # the answer of which all is shown

    def compare(self, host: Host, ports: tuple[Port, ...]) -> tuple[tuple[Drift, ...] | None, Mapping[str, Failure]]:
        """`ports`: of the host, the same objects for as long as only the numbers of their rules change. Gives the
        differences, None where nothing can be compared, and by source why not, or why a part was not."""
        old = host.failures.keys() & _NEEDED  # what was known before a source failed is not what is
        if host.networks is None or host.containers is None or host.ruleset is None or host.pending & _NEEDED or old:
            return None, {}
        if host.engine is None:
            return None, {"drift": Failure("drift", "the engine does not tell its version")}
        devices = self._memory.once("devices", _names, host.links)
        self._devices = devices if devices != self._devices else self._devices
        proxies = None if host.proxies is None else self._proxies.of(host.proxies)
        containers = self._containers.of(host.containers)
        shape = host.ruleset.shape or host.ruleset
        whole = "containers" not in host.failures
        inputs = (
            host.engine,
            host.networks,
            containers,
            shape,
            host.ruleset.unread,
            ports,
            proxies,
            self._devices,
            whole,
        )
        if not same(self._inputs, inputs):
            self._inputs = inputs
            known = (host.engine, host.networks, containers, host.ruleset, proxies, host.ports or (), self._devices)
            self._answer = self._comparer.compare(Known(*known, whole=whole), ports)
        reasons = (
            Failure(f"drift: {undecided.part}" if undecided.part else "drift", undecided.reason)
            for undecided in self._answer.undecided
        )
        return self._lasting(host), {reason.source: reason for reason in reasons}

    def _lasting(self, host: Host) -> tuple[Drift, ...] | None:
        """The differences that have lasted; the same object as before where they are the same."""
        found = self._answer.drift
        if found is None or not host.live or host.taken is None:
            return found
        if found is self._whole:
            return self._shown
        known = self._since
        begin = float("-inf") if known is None else host.taken
        self._since = {drift.identity: (known or {}).get(drift.identity, begin) for drift in found}
        lasting = tuple(drift for drift in found if host.taken - self._since[drift.identity] >= SETTLED)
        self._whole = found if len(lasting) == len(found) else None
        if lasting != self._shown:
            self._shown = lasting
        return self._shown


def _carries(proxy: Proxy) -> tuple[object, ...]:
    """What of a proxy bears on the rules."""
    return proxy.proto, proxy.host_port, proxy.container_ip, proxy.holds_port, proxy.command


def _names(links: tuple[Link, ...] | None) -> frozenset[str] | None:
    return None if links is None else frozenset(link.name for link in links)
