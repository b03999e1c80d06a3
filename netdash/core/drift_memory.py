"""Compares the rules of one host after the other, and only where something that bears on them has changed."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.core.drift import Comparison, Known, compare
from netdash.core.drift_live import Carried, carried
from netdash.core.drift_model import Drift
from netdash.core.model import Failure, Host, Port

_NEEDED = frozenset({"docker", "rules", "links", "proxies"})


class Comparing:
    """Keeps the last answer. Counters, and what else moves at every poll, do not make it be worked out anew."""

    def __init__(self) -> None:
        self._devices: frozenset[str] | None = None
        self._carried: Carried | None = None
        self._inputs: tuple[object, ...] = ()
        self._answer = Comparison(None)

    def compare(self, host: Host, ports: tuple[Port, ...]) -> tuple[tuple[Drift, ...] | None, Mapping[str, Failure]]:
        """`ports`: the ledger's, the same object for as long as only counters move. Gives the differences, None where
        nothing can be compared, and by source why not, or why a part was not."""
        if host.networks is None or host.containers is None or host.ruleset is None or host.pending & _NEEDED:
            return None, {}
        if host.engine is None:
            return None, {"drift": Failure("drift", "the engine does not tell its version")}
        devices = None if host.links is None else frozenset(link.name for link in host.links)
        self._devices = devices if devices != self._devices else self._devices
        held = carried(host.proxies)
        self._carried = held if held != self._carried else self._carried
        shape = host.ruleset.shape or host.ruleset
        inputs = (host.engine, host.networks, host.containers, shape, ports, self._carried, self._devices)
        if len(inputs) != len(self._inputs) or any(a is not b for a, b in zip(inputs, self._inputs, strict=True)):
            self._inputs = inputs
            self._answer = compare(
                Known(
                    *(host.engine, host.networks, host.containers, host.ruleset),
                    *(self._carried, ports, self._devices),
                )
            )
        reasons = (Failure(f"drift: {one.part}" if one.part else "drift", one.reason) for one in self._answer.undecided)
        return self._answer.drift, {one.source: one for one in reasons}
