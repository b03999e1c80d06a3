"""What is read only while somebody looks at it: each screen says what it shows of that, and the feed is told."""

from __future__ import annotations

from collections.abc import Iterable, Set
from functools import reduce
from operator import or_
from typing import Protocol, runtime_checkable

from netdash.join.rates import veths
from netdash.model.host import Container, Host
from netdash.model.index import sharing
from netdash.model.traffic import NOTHING, Watched
from netdash.tui.interfaces import Feed
from netdash.view.table import View


@runtime_checkable
class LooksAt(Protocol):
    """A screen that shows something of the kind."""

    @property
    def watched(self) -> Watched: ...


def tell(feed: Feed, screens: Iterable[object]) -> None:
    """Called whenever another thing is on screen; returns at once."""
    feed.watch(reduce(or_, (screen.watched for screen in screens if isinstance(screen, LooksAt)), NOTHING))


def of_list(view: View, hidden: Set[str]) -> Watched:
    """Its columns of counters, and connections and lost packets where it lists those."""
    counted = any(column.counted and column.key not in hidden for column in view.columns)
    return Watched(view.kind == "flow", counted, drops=view.kind == "drop")


def of_card(host: Host, container: Container) -> Watched:
    """What a card tells of the container's traffic."""
    owner = sharing(host, container)
    if not owner.running:
        return NOTHING
    return Watched(
        devices=tuple(link.index for link in veths(host, owner) if link is not None),
        addresses=tuple(own.ip for end in owner.endpoints for own in end.addresses),
    )
