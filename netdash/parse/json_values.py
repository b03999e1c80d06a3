"""Values of foreign JSON, at their word or not at all: a wrong type is None, never an exception."""

from __future__ import annotations

import json
from collections.abc import Mapping

Json = Mapping[str, object]
_NOTHING: Json = {}


def mapping(value: object) -> Json:
    """`value` when it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else _NOTHING


def items(value: object) -> list[object]:
    """`value` when it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str | None:
    """`value` when it is a string that says something."""
    return value if isinstance(value, str) and value else None


def integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


MAX_VALUES = 2_000_000
"""In one JSON text: small ones take thirty times the memory of their text."""


def load_json(text: str) -> object:
    """Raises ValueError for what is not JSON, or more of it than a host can have."""
    if text.count(",") > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES:,} values")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def decoded(answer: object) -> object:
    """An answer that is held as its text, decoded; others as they are. Raises ValueError when it is not JSON."""
    if not isinstance(answer, str):
        return answer
    return load_json(answer) if answer.strip() else None


def objects(answer: object) -> list[object] | None:
    """A list of JSON objects, decoded; None where there is no answer. Raises ValueError for anything else, which must
    not be taken for an empty list."""
    value = decoded(answer)
    if value is not None and not (
        isinstance(value, list) and all(issubclass(kind, dict) for kind in {*map(type, value)})
    ):
        raise ValueError("a list of objects was expected")
    return value
