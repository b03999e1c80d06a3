"""What was computed once is kept: results for as long as their inputs are the same objects, conditions and targets of
rules for as long as rules of the host may need them. Not for use by two threads."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import _lru_cache_wrapper, lru_cache
from operator import is_
from typing import Any, TypeVar

T = TypeVar("T")
_Call = TypeVar("_Call", bound=Callable[..., Any])


def same(before: tuple[object, ...] | None, now: tuple[object, ...]) -> bool:
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
