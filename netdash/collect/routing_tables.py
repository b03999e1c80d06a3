"""Links, addresses, routes, policy rules and neighbours of a live host, as iproute2 prints them. A table is asked again
when an event says that it changed."""

from __future__ import annotations

import time
from collections.abc import Mapping

from netdash.collect.command import ask
from netdash.model.host import Failure
from netdash.model.source import BY_PATH
from netdash.parse.json_values import items, load_json, mapping

TABLES: Mapping[str, tuple[str, ...]] = {
    "links": ("ip/addr.json",),
    "policy": ("ip/rule4.json", "ip/rule6.json"),
    "routes": ("ip/route4.json", "ip/route6.json"),
    "neighbours": ("ip/neigh.json",),
}
_SHARE = 20  # times as long as reading a table took it is left alone: 3,000 devices take a third of a second


class RoutingTables:
    """`limit`: seconds for each command."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._known: dict[str, object] = {}
        self._links: list[object] = []
        self.rested: dict[str, float] = {}  # by time.monotonic(): when each table may be read again for an event

    def read(self, table: str) -> tuple[Mapping[str, object], Mapping[str, Failure]]:
        """The answers by path, the same objects where nothing changed, and failures. What fails keeps its last answer:
        the failure says that it is no longer current."""
        began = time.monotonic()
        answers, failures = ask((BY_PATH[path] for path in TABLES[table]), self._limit)
        for path, answer in answers.items():
            found = self._rows(str(answer)) if table == "links" else answer
            if found != self._known.get(path):
                self._known[path] = found
        now = time.monotonic()
        self.rested[table] = now + _SHARE * (now - began)
        return {path: self._known[path] for path in TABLES[table] if path in self._known}, failures

    def _rows(self, text: str) -> list[object]:
        """One for each link; a link that did not change is the same object, which is not parsed again."""
        before = {mapping(row).get("ifindex"): row for row in self._links}
        rows = items(load_json(text))
        self._links = [old if (old := before.get(mapping(row).get("ifindex"))) == row else row for row in rows]
        return self._links

    def devices(self) -> list[str]:
        """The links that are no port of a bridge."""
        rows = map(mapping, self._links)
        return [str(row["ifname"]) for row in rows if "ifname" in row and "master" not in row]
