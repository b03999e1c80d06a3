"""What an nft map says, from a rule's JSON: for each element what the packet must be, and the value as text."""

from __future__ import annotations

from collections.abc import Callable

from netdash.model.host import Match, Target, Verb
from netdash.parse.json_values import Json, items, mapping
from netdash.parse.json_values import text as word
from netdash.rules.nft_match import Draft, Elements, conditions, element_text, fields_of, implied_by, imply
from netdash.rules.nft_text import expression

Arms = tuple[tuple[tuple[Match, ...], str], ...]
"""(conditions, value) an element; the one without conditions is last."""
Cases = tuple[tuple[tuple[Match, ...], Target], ...]


def elements_of(draft: Draft, data: object) -> Elements | None:
    """The elements of an anonymous map, or of the one that "@name" names."""
    if isinstance(data, str) and data.startswith("@"):
        return draft.named(data)
    return map_elements(mapping(data).get("set"))


def arms(draft: Draft, parts: Json) -> Arms | None:
    """`parts`: {"key": …, "data": …}. None when the key or an element is not interpreted."""
    fields, elements = fields_of(parts.get("key"), draft.wide), elements_of(draft, parts.get("data"))
    if fields is None or elements is None:
        return None
    plain: list[tuple[tuple[Match, ...], str]] = []
    rest: list[tuple[tuple[Match, ...], str]] = []
    for key, value in elements:
        matches = () if key == "*" else conditions(fields, key)
        if matches is None or value is None:
            return None
        (plain if matches else rest).append((matches, value))
    imply(draft, implied_by(fields, parts.get("key"), draft.wide))
    return (*plain, *rest)


def key_name(draft: Draft, key: object) -> str | None:
    """The names of the fields that a map is asked with, as Match has them, with " . " between."""
    fields = fields_of(key, draft.wide)
    return None if fields is None else " . ".join(field.key for field in fields)


def cases(found: Arms | None, make: Callable[[str], Target | None]) -> Cases | None:
    """The arms with their values made into targets; None when one is not interpreted."""
    made: list[tuple[tuple[Match, ...], Target]] = []
    for matches, text in found or ():
        target = make(text)
        if target is None:
            return None
        made.append((matches, target))
    return None if found is None else tuple(made)


def verdict(text: str) -> Target | None:
    """A verdict as `map_elements` writes it."""
    chain = text.removeprefix("goto ")
    if chain != text:
        return Target(Verb.GOTO, chain=chain)
    return _VERDICTS.get(text) or Target(Verb.JUMP, chain=text)


_VERDICTS = {name: Target(Verb(name)) for name in ("accept", "drop", "return", "continue")}


def map_elements(value: object) -> Elements:
    """[[key, value], …] of a map, [key, …] of a set, as text; what has no text is shown in nft's words."""
    return tuple(_element(item) for item in items(value))


def _element(value: object) -> tuple[str, str | None]:
    if isinstance(value, list) and len(value) == 2:
        return element_text(value[0]) or expression(value[0]), _value_text(value[1])
    return element_text(value) or expression(value), None


def _value_text(value: object) -> str:
    if isinstance(value, dict) and len(value) == 1:
        name, inner = next(iter(value.items()))
        chain = word(mapping(inner).get("target"))
        if name == "jump" and chain:
            return chain
        if name == "goto" and chain:
            return f"goto {chain}"
        return name if inner is None else element_text(value) or expression(value)
    return element_text(value) or expression(value)
