"""One host as the panes show it: rows, relations and indexes worked out once a host, and which rows a pane lists in
what order. Knows no widget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import merge
from typing import Protocol, runtime_checkable

from netdash.model.belonging import containers_of, related
from netdash.model.host import Container, Host, Port, Proxy, Ref, Rule, Verb
from netdash.model.index import index_of
from netdash.model.packet import Flow
from netdash.model.records import dataclass, replace
from netdash.model.relations import ref_of
from netdash.model.source import Source
from netdash.tui.work import Steps
from netdash.view.groups import headline, members
from netdash.view.marks import blamed
from netdash.view.table import Filter, Row, Rows, View
from netdash.view.views import BY_NAME, LINKED_VIEWS, VIEWS, decides, destination

BESIDE = 20  # rows of a linked pane that are made ahead
NEAREST = 100  # linked rows that are looked at for the best one


@runtime_checkable
class ShowsHost(Protocol):
    """A screen that follows the host as it changes."""

    def update_host(self, host_view: HostView) -> None: ...


@dataclass(frozen=True, slots=True)
class Looked:
    """What the user looks at: the thing under the cursor, and the places of the rows around it."""

    view: View
    ref: Ref | None = None
    places: Sequence[int] = ()


_WEIGHTS = {Verb.DNAT: 0, Verb.REDIRECT: 0, Verb.SNAT: 1, Verb.MASQUERADE: 1}


class HostView:
    """Rows and relations of one frozen host. Filled on demand, or ahead in the feed's thread by `warm`."""

    def __init__(self, host: Host, before: HostView | None = None) -> None:
        """`before`: the view of the host before this one, whose indexes serve again where no row came or went."""
        self.host = host
        self._before = before
        self._rows: dict[str, Rows] = {}
        self._index: dict[str, dict[Ref, int]] = {}
        same = before is not None and before.host is host
        self._related: dict[Ref, frozenset[Ref]] = before._related if before is not None and same else {}

    def rows(self, view: View) -> Rows:
        """Every row of the view, in the view's own order."""
        found = self._rows.get(view.name)
        if found is None:
            found = self._rows[view.name] = view.rows(self.host)
        return found

    def row(self, view: View, ref: Ref) -> Row | None:
        """The row of the view that stands for the thing itself."""
        place = self.index(view).get(ref)
        return None if place is None else self.rows(view)[place]

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

    def warm(self, looked: Looked, give_way: Callable[[], None] = lambda: None) -> HostView:
        """Fills what the next paint and key need, in another thread than the screen's. `give_way`: after each step."""
        for _ in self._warmed(looked):
            give_way()
        self._before = None
        return self

    def _warmed(self, looked: Looked) -> Iterator[object]:
        # Lost packets look at all rules, also while nobody looks at them.
        yield from (self.index(view) for view in VIEWS if Source.DROPS not in view.sources)
        yield index_of(self.host).callers
        rows = self.rows(looked.view)
        yield from (rows[place] for place in looked.places if 0 <= place < len(rows))
        ref = looked.ref if looked.ref in self.index(looked.view) else rows.ref(0) if len(rows) else None
        if ref is not None:
            yield from self._traced(ref)
            for name in LINKED_VIEWS[looked.view.name]:
                beside = self.rows(BY_NAME[name])
                yield from (beside[place] for place in self.deciding(BY_NAME[name], ref)[:BESIDE])

    def _traced(self, ref: Ref) -> Iterator[object]:
        """The packets of its card. The first trace of a host makes the indexes that all of them use."""
        yield (owners := self.containers(ref))
        container = self.container(owners[0]) if len(owners) == 1 else None
        if container is not None and self.host.ruleset is not None:
            from netdash.trace.container_namespace import namespaces_of
            from netdash.view.card import card
            from netdash.view.questions import MOST_TRACED, each_asked

            yield namespaces_of(self.host)
            yield from each_asked(self.host, container, MOST_TRACED)
            yield card(self.host, container, 80, on_screen=True)

    def related(self, ref: Ref) -> frozenset[Ref]:
        """Everything that belongs to the same containers as `ref`, itself included."""
        found = self._related.get(ref)
        if found is None:
            owners = [Ref("container", identity) for identity in self.containers(ref)] if ref.kind == "flow" else []
            found = frozenset({ref}.union(related(self.host, ref), *(related(self.host, owner) for owner in owners)))
            self._related[ref] = found
        return found

    def containers(self, ref: Ref) -> tuple[str, ...]:
        """Ids of those that it belongs to."""
        thing = self.thing(ref) if ref.kind == "flow" else None
        return thing.containers if isinstance(thing, Flow) else containers_of(self.host, ref)

    def leads_to(self, ref: Ref) -> Ref | None:
        """What decides on a connection or on lost packets; else, and of all else, the first of its containers."""
        thing = self.thing(ref) if ref.kind in ("flow", "drop") else None
        owners = self.containers(ref)
        return decides(self.host, thing) or (Ref("container", owners[0]) if owners else None)

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
            return frozenset(ref_of(own) for own in (thing.dnat, thing.proxy) if own is not None)
        if isinstance(thing, Proxy):
            where = (thing.proto, thing.host_ip, thing.host_port)
            mine = [port for port in ports if (port.proto, port.host_ip, port.host_port) == where]
            return frozenset(ref_of(own) for port in mine for own in (port, port.dnat) if own is not None)
        return (
            frozenset(ref_of(port) for port in ports if port.dnat is thing) if isinstance(thing, Rule) else frozenset()
        )

    def deciding(self, view: View, ref: Ref) -> list[int]:
        """`belonging`, but first what decides: what is to blame where something is wrong, what is the thing's own, and
        of rules those that translate or accept."""
        own, things, index = self.direct(ref), self.rows(view).things, self.index(view)
        first = sorted(index[other] for other in blamed(self.host, ref) if other in index)
        places = [place for place in self.belonging(view, ref) if place not in first]
        places.sort(key=lambda place: (own.isdisjoint((ref_of(things[place]),)), _weight(things[place])))
        return first + places

    def counterpart(self, view: View, ref: Ref, current: Ref | None) -> Ref | None:
        """The row of another view that stands for `ref`: what is to blame where something is wrong with it; None where
        `current`, its cursor, still belongs; else one that belongs to the same containers only; else the first that
        belongs."""
        index = self.index(view)
        guilty = [other for other in blamed(self.host, ref) if other in index]
        if guilty:
            return min(guilty, key=index.__getitem__)
        linked = self.belonging(view, ref)
        rows = self.rows(view)
        refs = [rows.ref(place) for place in linked]
        if not refs or current in refs:
            return None
        owners = self.containers(ref)
        own = [place for place in linked[:NEAREST] if self.containers(rows.ref(place)) == owners] or linked
        return rows.ref(next((place for place in own if _translates(rows.things[place])), own[0]))

    def belonging(self, view: View, ref: Ref) -> list[int]:
        """Places of the view's rows that belong to `ref`, in the view's order."""
        if view.kind == "flow":
            owners = frozenset(self.containers(ref))
            found = self.rows(view).things
            return [place for place, flow in enumerate(found) if not owners.isdisjoint(flow.containers)]
        index = self.index(view)
        return sorted(index[other] for other in self.related(ref) if other in index)


def _translates(thing: object) -> bool:
    """Of a container's rules, the one that is looked for: its port's."""
    return isinstance(thing, Rule) and thing.target.verb is Verb.DNAT


def _weight(thing: object) -> int:
    """How near a rule is to a packet's fate: translations, then what lets a port in, then the rest in its own order."""
    if not isinstance(thing, Rule):
        return 0
    if thing.target.verb is Verb.ACCEPT and any(match.key in ("dport", "dst") for match in thing.matches):
        return 2
    return _WEIGHTS.get(thing.target.verb, 3)


RUN = 1_000  # rows sorted at once
CHUNK = 64  # rows between two looks at the clock


@dataclass(frozen=True, slots=True)
class Ask:
    """What a pane is asked to show."""

    view: View
    text: str = ""  # the filter's own language
    sort: int | None = None  # a column; None for the view's own order
    down: bool = False  # sorted from the greatest
    within: Ref | None = None  # only what belongs to this
    grouped: int = 0  # by which of the view's groupings, from 1; 0: not grouped
    folded: frozenset[Ref] = frozenset()  # groups of which only the headline is shown

    @property
    def grouping(self) -> str:
        """The name of what it is grouped by; "" where it is not."""
        return self.view.groupings[self.grouped - 1] if 0 < self.grouped <= len(self.view.groupings) else ""


@dataclass(frozen=True, slots=True)
class Listing:
    """The answer: `order` holds places in `rows`; `~place` is one in `headlines`. A row that is `gone` from it stays
    where it was, for as long as the cursor stands on it."""

    ask: Ask
    rows: Rows
    order: Sequence[int]
    gone: Row | None = None
    gone_at: int = -1
    struck: bool = False  # whether it is nowhere else either
    headlines: Sequence[Row] = ()
    folded: int = 0  # rows that are under folded headlines
    again: int = 0  # times that rows stand under another headline, too

    @property
    def matching(self) -> int:
        """The rows that are asked for, folded ones included."""
        return len(self.order) - len(self.headlines) + self.folded - self.again

    def __len__(self) -> int:
        return len(self.order) + (self.gone is not None)

    def __getitem__(self, at: int) -> Row:
        if self.gone is not None and at >= self.gone_at:
            if at == self.gone_at:
                return self.gone
            at -= 1
        place = self.order[at]
        return self.rows[place] if place >= 0 else self.headlines[~place]

    def __iter__(self) -> Iterator[Row]:
        return (self[at] for at in range(len(self)))

    def keeping(self, gone: Row, at: int, struck: bool) -> Listing:
        return replace(self, gone=gone, gone_at=min(at, len(self.order)), struck=struck)

    def without_gone(self) -> Listing:
        return replace(self, gone=None, gone_at=-1, struck=False)

    def place(self, ref: Ref, index: Mapping[Ref, int] | None = None, near: int = 0) -> int | None:
        """Where `ref` stands among the shown rows; looks at `near` first, which is where it mostly is."""
        if 0 <= near < len(self) and self[near].ref == ref:
            return near
        if index is None:
            return next((at for at, row in enumerate(self) if row.ref == ref), None)
        place = index.get(ref)
        if place is None:
            place = next((~at for at, row in enumerate(self.headlines) if row.ref == ref), None)
        if place is None:
            return None
        try:
            at = self.order.index(place)
        except ValueError:
            return None
        return at + (self.gone is not None and at >= self.gone_at)


def named(listing: Listing, current: Ref | None) -> int | None:
    """Where the row stands that the filter's one word is the name of, or else the start of its name; None where there
    is none, or where the row under the cursor is as good."""
    word = listing.ask.text.strip().casefold()
    found: list[tuple[bool, bool, int]] = []
    for at, row in enumerate(listing if word else ()):
        name = row.cells[0].text.casefold()
        if name.startswith(word):
            found.append((name != word, row.ref != current, at))
    return min(found)[2] if found else None


def arrange(host_view: HostView, ask: Ask) -> Steps[Listing]:
    """The listing for `ask`, in steps of well under a millisecond where the rows allow it."""
    listing = yield from _narrowed(host_view, ask)
    return (yield from _grouped(listing)) if ask.grouping else listing


def _grouped(listing: Listing) -> Steps[Listing]:
    """By project or what else is asked, each with a headline; the rows of folded ones are counted."""
    ask, rows = listing.ask, listing.rows
    order, headlines, folded = list[int](), list[Row](), 0
    for start in range(0, len(listing.order), CHUNK):
        for place in listing.order[start : start + CHUNK]:
            rows[place]  # built in steps
        yield
    for ref, places in members(rows, listing.order, ask.grouped, ask.sort is None).items():
        order.append(~len(headlines))
        headlines.append(headline(ask.view, ref, [rows[place] for place in places], ask.folded, ask.grouped))
        yield
        if ref in ask.folded:
            folded += len(places)
        else:
            order += places
    counted = len(order) - len(headlines) + folded
    return Listing(ask, rows, order, headlines=headlines, folded=folded, again=counted - len(listing.order))


def _narrowed(host_view: HostView, ask: Ask) -> Steps[Listing]:
    rows = host_view.rows(ask.view)
    order: Sequence[int] = range(len(rows))
    if ask.within is not None:
        order = host_view.belonging(ask.view, ask.within)
        yield
    return (yield from ordered(rows, order, ask))


def ordered(rows: Rows, order: Sequence[int], ask: Ask) -> Steps[Listing]:
    """Those of the rows that the filter leaves, sorted."""
    if ask.text.strip():
        order = yield from _matching(rows, order, Filter.parse(ask.text, ask.view.columns))
    if ask.sort is not None:
        order = yield from _sorted(rows, order, ask.sort, ask.down)
    return Listing(ask, rows, order)


def _matching(rows: Rows, order: Sequence[int], wanted: Filter) -> Steps[Sequence[int]]:
    kept: list[int] = []
    for start in range(0, len(order), CHUNK):
        kept += [place for place in order[start : start + CHUNK] if wanted.matches(rows[place])]
        yield
    return kept


def _sorted(rows: Rows, order: Sequence[int], column: int, down: bool) -> Steps[Sequence[int]]:
    keys: dict[int, tuple[int, object]] = {}
    for start in range(0, len(order), CHUNK):
        for place in order[start : start + CHUNK]:
            keys[place] = _key(rows[place], column)
        yield
    try:
        return (yield from _merged(order, keys, down))
    except TypeError:  # sort keys of one column that do not compare, such as addresses of both families
        return (yield from _merged(order, {place: (rank, str(key)) for place, (rank, key) in keys.items()}, down))


def _merged(order: Sequence[int], keys: Mapping[int, tuple[int, object]], down: bool) -> Steps[Sequence[int]]:
    """Sorted in runs that are merged bit by bit: one sort of all would hold up the screen."""
    key = keys.__getitem__
    runs: list[list[int]] = []
    for start in range(0, len(order), RUN):
        runs.append(sorted(order[start : start + RUN], key=key, reverse=down))
        yield
    merged: list[int] = []
    for place in merge(*runs, key=key, reverse=down):
        merged.append(place)
        if not len(merged) % CHUNK:
            yield
    return merged


def _key(row: Row, column: int) -> tuple[int, object]:
    """What is unknown or absent comes last when ascending."""
    value: object = row.sort[column] if column < len(row.sort) else row.cells[column].text.casefold()
    if value is None or value in ("", "—", "?"):
        return 2, 0
    return (0, value) if isinstance(value, (int, float)) else (1, value)
