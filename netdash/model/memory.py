"""What was computed once is kept: results for as long as their inputs are the same objects, conditions and targets of
rules for as long as rules of the host may need them. Not for use by two threads."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import _lru_cache_wrapper, lru_cache
from itertools import compress, count, islice
from operator import eq, is_, not_
from typing import Any, TypeVar

from netdash.model.turn import give_way

S = TypeVar("S")
T = TypeVar("T")
_Call = TypeVar("_Call", bound=Callable[..., Any])


def same(before: Sequence[object] | None, now: Sequence[object]) -> bool:
    """Whether both hold the very same objects."""
    return before is not None and len(before) == len(now) and all(map(is_, before, now))


class Memory:
    """The last result under each name."""

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[tuple[object, ...], Any]] = {}

    def once(self, name: Hashable, make: Callable[..., T], *inputs: object) -> T:
        """`make(*inputs)`, or what it gave last time when all inputs are the very same objects. Each name has one
        `make`: two under one name would replace each other's results."""
        known = self._last.get(name)
        if known is None or not same(known[0], inputs):
            give_way()
            known = self._last[name] = (inputs, make(*inputs))
        result: T = known[1]
        return result


class Unchanged:
    """Gives the tuple of before where the new one differs in nothing that matters."""

    def __init__(self, matters: Callable[[Any], object]) -> None:
        self._matters = matters
        self._last: tuple[Any, ...] = ()

    def of(self, records: tuple[T, ...]) -> tuple[T, ...]:
        last = self._last
        if len(last) == len(records) and all(
            old is new or self._matters(old) == self._matters(new) for old, new in zip(last, records, strict=True)
        ):
            return last
        self._last = records
        return records


class CachedMap:
    """`map` that keeps a result for as long as its thing is among them. Each of these has one `make`."""

    def __init__(self, key: Callable[[Any], Hashable] = id) -> None:
        """`key`: by which a thing is known; `str` for texts."""
        self._key = key
        self._things: Sequence[object] = ()  # kept: the id of a thing is its own for so long
        self._keys: list[Hashable] = []
        self._results: list[Any] = []

    def __call__(self, make: Callable[[S], T], things: Iterable[S]) -> list[T]:
        things = [*things]
        keys = [*map(self._key, things)]
        was, now = differing(self._keys, keys, eq)
        known = dict(zip(self._keys, self._results, strict=True)) if keys[now] else {}
        for key, thing in zip(keys[now], things[now], strict=True):
            if key not in known:
                give_way()
                known[key] = make(thing)
        fresh = map(known.__getitem__, keys[now])
        self._results = [*self._results[: was.start], *fresh, *self._results[was.stop :]]
        self._things, self._keys = things, keys
        return [*self._results]


def exchanged(before: Sequence[T], now: Sequence[T]) -> tuple[list[T], list[T]]:
    """(those that went, those that came), by identity: an index is changed by them in place of being made anew. What is
    there more than once counts as one."""
    was, will = differing(before, now)
    gone, came = ({id(thing): thing for thing in things} for things in (before[was], now[will]))
    for moved, others in ((gone, now), (came, before)):
        for key in moved.keys() & set(map(id, others)) if moved else ():
            del moved[key]
    return [*gone.values()], [*came.values()]


Pairs = Iterable[tuple[S, T]]


def patched(index: Mapping[S, frozenset[T]], gone: Pairs[S, T], came: Pairs[S, T]) -> Mapping[S, frozenset[T]]:
    """The index without the pairs that went, with those that came. The one that is given stays as it is."""
    moved: dict[S, set[T]] = {}
    for change, pairs in ((set.discard, gone), (set.add, came)):
        for key, value in pairs:
            if key not in moved:
                moved[key] = set(index.get(key, ()))
            change(moved[key], value)
    found = {**index, **{key: frozenset(values) for key, values in moved.items()}}
    for key, values in moved.items():
        if not values:
            del found[key]
    return found


def differing(before: Sequence[T], now: Sequence[T], same: Callable[[T, T], bool] = is_) -> tuple[slice, slice]:
    """From the first that differs to the last, in both."""
    most = min(len(before), len(now))
    begin = _equal(before, now, same, most)
    end = _equal(reversed(before), reversed(now), same, most - begin)
    return slice(begin, len(before) - end), slice(begin, len(now) - end)


def _equal(before: Iterable[T], now: Iterable[T], same: Callable[[T, T], bool], most: int) -> int:
    """How many of the first `most` are the same in both, up to the first that is not."""
    return next(compress(count(), map(not_, map(same, islice(before, most), now))), most)


# --- conditions and targets of rules ----------------------------------------------------------------------------------

_MANY = 65536  # what one reading may need
_FEW = 500
_EACH = 4  # of one kind that a rule may need: its own and the engine's, by both tools
_kept: list[_lru_cache_wrapper[Any]] = []


def kept(build: _Call) -> _Call:
    """`build` with a memory; its arguments are hashable."""
    made: Any = lru_cache(maxsize=_MANY)(build)
    _kept.append(made)
    return made  # type: ignore[no-any-return]


def forget(rules: int) -> None:
    """After a reading of so many rules: empties each memory of which they can need only a part. Rules that come and go
    for weeks must not fill it."""
    for memory in _kept:
        if memory.cache_info().currsize > _FEW + _EACH * rules:
            memory.cache_clear()
