"""Conditions and targets of rules, which are built once and kept for the next reading: rules that come and go for weeks
must not fill the memory with those of rules that are gone."""

from __future__ import annotations

from collections.abc import Callable
from functools import _lru_cache_wrapper, lru_cache
from typing import Any, TypeVar

_Call = TypeVar("_Call", bound=Callable[..., Any])

_MANY = 65536  # what one reading may need
_FEW = 500
_EACH = 4  # of one kind that a rule may need: its own and the engine's, by both tools
_all: list[_lru_cache_wrapper[Any]] = []


def kept(build: _Call) -> _Call:
    """`build` with a memory; its arguments are hashable."""
    made: Any = lru_cache(maxsize=_MANY)(build)
    _all.append(made)
    return made  # type: ignore[no-any-return]


def forget(rules: int) -> None:
    """After a reading of so many rules: empties each memory of which they can need only a part."""
    for memory in _all:
        if memory.cache_info().currsize > _FEW + _EACH * rules:
            memory.cache_clear()
