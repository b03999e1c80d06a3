"""One host and what the panes look up in it, worked out once a host. Owns no widget; keeps nothing between hosts."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.core.model import Container, Host, Ref
from netdash.core.related import containers_of, related
from netdash.show.refs import destination
from netdash.show.table import Rows, View
from netdash.show.views import VIEWS

BY_NAME: Mapping[str, View] = {view.name: view for view in VIEWS}


class Sheet:
    """Rows and relations of one frozen host. Filled on demand, or ahead in the feed's thread by `warm`."""

    def __init__(self, host: Host) -> None:
        self.host = host
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
            found = self._index[view.name] = {rows.ref(place): place for place in range(len(rows))}
        return found

    def warm(self) -> Sheet:
        """Fills what the first paint and the first key need; meant for the feed's thread."""
        for view in VIEWS:
            self.index(view)
        for row in self.rows(VIEWS[0])[:1]:
            self.related(row.ref)
        return self

    def related(self, ref: Ref) -> frozenset[Ref]:
        """Everything that belongs to the same containers as `ref`, itself included."""
        found = self._related.get(ref)
        if found is None:
            found = self._related[ref] = related(self.host, ref) | {ref}
        return found

    def containers(self, ref: Ref) -> tuple[str, ...]:
        return containers_of(self.host, ref)

    def container(self, key: str) -> Container | None:
        return next((each for each in self.host.containers or () if each.id == key), None)

    def find(self, ref: Ref) -> tuple[View, int] | None:
        """The view and the row that `ref` leads to; None where this host has nothing of the kind."""
        led = destination(self.host, ref)
        if led is None:
            return None
        view = BY_NAME[led[0]]
        place = self.index(view).get(led[1])
        return None if place is None else (view, place)

    def belonging(self, view: View, ref: Ref) -> list[int]:
        """Places of the view's rows that belong to `ref`, in the view's order."""
        index = self.index(view)
        return sorted(index[each] for each in self.related(ref) if each in index)
