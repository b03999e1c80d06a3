"""Copies of records with some fields changed, much faster than dataclasses.replace: a trace makes a hundred."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


def replace(record: T, **changes: Any) -> T:
    """Of a frozen dataclass with two fields or more and no __post_init__; one without slots is copied faster still."""
    kind: Any = type(record)
    made: T = object.__new__(kind)
    read, setters = _fields_of(kind)
    if read is None:
        values = made.__dict__
        values.update(record.__dict__)
        known = len(values)
        values.update(changes)
        if len(values) > known:
            raise KeyError(*changes)
        return made
    for write, value in zip(setters.values(), read(record), strict=True):
        write(made, value)
    for name, value in changes.items():
        setters[name](made, value)
    return made


@cache
def _fields_of(kind: Any) -> tuple[Callable[[Any], tuple[Any, ...]] | None, dict[str, Callable[[Any, Any], None]]]:
    """How its fields are read and written; (None, {}) of one that keeps them in a dictionary."""
    if kind.__dictoffset__:
        return None, {}
    names = [field.name for field in fields(kind)]
    return attrgetter(*names), {name: getattr(kind, name).__set__ for name in names}
