"""One host and what the panes look up in it, worked out once a host. Owns no widget; keeps nothing between hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from netdash.model.host import Container, Host, Port, Proxy, Ref, Rule, Verb
from netdash.model.index import index_of
from netdash.model.relations import containers_of, ref_of, related
from netdash.view.table import Rows, View
from netdash.view.views import VIEWS, destination

BY_NAME: Mapping[str, View] = {view.name: view for view in VIEWS}


@runtime_checkable
class ShowsHost(Protocol):
    """A screen that follows the host as it changes."""

    def update_sheet(self, sheet: Sheet) -> None: ...


_WEIGHTS = {Verb.DNAT: 0, Verb.REDIRECT: 0, Verb.SNAT: 1, Verb.MASQUERADE: 1}


class Sheet:
    """Rows and relations of one frozen host. Filled on demand, or ahead in the feed's thread by `warm`."""

    def __init__(self, host: Host, before: Sheet | None = None) -> None:
        """`before`: the sheet of the host before this one, whose indexes serve again where no row came or went."""
        self.host = host
        self._before = before
        self._rows: dict[str, Rows] = {}
        self._index: dict[str, dict[Ref, int]] = {}
        self._related: dict[Ref, frozenset[Ref]] = {}

    def rows(self, view: View) -> Rows:
        """Every row of the view, in the view's own order."""
        found = self._rows.get(view.name)
        if found is None:
            found = self._rows[view.name] = view.rows(self.host)
        return found

    def index(self, view: View) -> Mapping[Ref, int]:
        """Where each thing stands among `rows`."""
        found = self._index.get(view.name)
        if found is None:
            rows = self.rows(view)
            found = self._kept_index(view, rows) or {rows.ref(place): place for place in range(len(rows))}
            self._index[view.name] = found
        return found

    def _kept_index(self, view: View, rows: Rows) -> dict[Ref, int] | None:
        before = self._before
        if before is None or view.name not in before._index:
            return None
        old, new = before.rows(view).things, rows.things
        same = len(old) == len(new) and all(a is b or ref_of(a) == ref_of(b) for a, b in zip(old, new, strict=True))
        return before._index[view.name] if same else None

    def warm(self) -> Sheet:
        """Fills what the first paint and the first key need; meant for the feed's thread."""
        for view in VIEWS:
            self.index(view)
        _ = index_of(self.host).callers
        for row in self.rows(VIEWS[0])[:1]:
            self.related(row.ref)
            self._trace(row.ref)
        self._before = None
        return self

    def _trace(self, ref: Ref) -> None:
        """The first trace of a host makes the indexes that all of them use."""
        container = self.container(ref.key)
        if container is not None and self.host.ruleset is not None:
            from netdash.view.card import card

            card(self.host, container, 80)

    def related(self, ref: Ref) -> frozenset[Ref]:
        """Everything that belongs to the same containers as `ref`, itself included."""
        found = self._related.get(ref)
        if found is None:
            found = self._related[ref] = related(self.host, ref) | {ref}
        return found

    def containers(self, ref: Ref) -> tuple[str, ...]:
        return containers_of(self.host, ref)

    def container(self, key: str) -> Container | None:
        return index_of(self.host).containers.get(key)

    def thing(self, ref: Ref) -> object | None:
        """The record of the row that `ref` leads to."""
        found = self.find(ref)
        return self.rows(found[0]).things[found[1]] if found else None

    def find(self, ref: Ref) -> tuple[View, int] | None:
        """The view and the row that `ref` leads to; None where this host has nothing of the kind."""
        led = destination(self.host, ref)
        if led is None:
            return None
        view = BY_NAME[led[0]]
        place = self.index(view).get(led[1])
        return None if place is None else (view, place)

    def direct(self, ref: Ref) -> frozenset[Ref]:
        """What decides on a port itself, as not all that belongs to its container does: its rule and its proxy. And
        from those to the port."""
        thing = self.thing(ref)
        ports = self.host.ports or ()
        if isinstance(thing, Port):
            return frozenset(ref_of(one) for one in (thing.dnat, thing.proxy) if one is not None)
        if isinstance(thing, Proxy):
            where = (thing.proto, thing.host_ip, thing.host_port)
            mine = [port for port in ports if (port.proto, port.host_ip, port.host_port) == where]
            return frozenset(ref_of(one) for port in mine for one in (port, port.dnat) if one is not None)
        return (
            frozenset(ref_of(port) for port in ports if port.dnat is thing) if isinstance(thing, Rule) else frozenset()
        )

    def deciding(self, view: View, ref: Ref) -> list[int]:
        """`belonging`, but first what decides: what is the thing's own, and of rules those that translate or accept."""
        own, things = self.direct(ref), self.rows(view).things
        places = self.belonging(view, ref)
        return sorted(places, key=lambda place: (own.isdisjoint((ref_of(things[place]),)), _weight(things[place])))

    def belonging(self, view: View, ref: Ref) -> list[int]:
        """Places of the view's rows that belong to `ref`, in the view's order."""
        index = self.index(view)
        return sorted(index[each] for each in self.related(ref) if each in index)


def _weight(thing: object) -> int:
    """How near a rule is to a packet's fate: translations, then what lets a port in, then the rest in its own order."""
    if not isinstance(thing, Rule):
        return 0
    if thing.target.verb is Verb.ACCEPT and any(match.key in ("dport", "dst") for match in thing.matches):
        return 2
    return _WEIGHTS.get(thing.target.verb, 3)
