"""What an nft rule does beside its verdict, from its JSON: marks as numbers, the rest by name."""

from __future__ import annotations

from collections.abc import Callable

from netdash.model.host import Effect, Match, Target, Verb
from netdash.parse.json_values import Json, items, mapping
from netdash.parse.json_values import text as word
from netdash.rules.nft_match import Draft, Elements, conditions, element_text, fields_of, implied_by, imply
from netdash.rules.nft_text import expression, statement
from netdash.rules.parts import FULL, number

_MARKS = {"meta": "mark", "ct": "connmark"}
_META = {"nftrace": "trace", "priority": "priority", "pkttype": "pkttype"}
_CT = {"zone": "zone", "label": "label", "event": "CT", "helper": "helper"}
_PAYLOAD = {"dscp": "dscp", "ttl": "ttl", "hoplimit": "hoplimit"}

REWRITES = ("saddr", "daddr", "sport", "dport")
"""Fields of the packet that a rule may change where a translation would be usual."""


def add_effect(draft: Draft, kind: str, detail: str = "") -> bool:
    draft.effects.append(Effect(kind, detail=detail, after=len(draft.matches)))
    return True


def named_effect(name: str, kind: str) -> Callable[[Draft, object], bool]:
    """A statement after which the rule goes on, and that changes no mark."""

    def take(draft: Draft, value: object) -> bool:
        return add_effect(draft, kind, statement({name: value}).removeprefix(name).strip())

    return take


def log(draft: Draft, value: object) -> bool:
    detail = statement({"log": mapping(value)}).removeprefix("log").strip()
    return add_effect(draft, "nflog" if "group" in mapping(value) else "log", detail)


def mangle(draft: Draft, value: object) -> bool:
    """`meta mark set …` and its like. What rewrites addresses or ports is left: it is a translation of its own."""
    key, said = mapping(mapping(value).get("key")), mapping(value).get("value")
    if len(key) != 1:
        return False
    side, what = next(iter(key.items()))
    name = mapping(what).get("key", mapping(what).get("field"))
    if side in _MARKS and mapping(what) == {"key": "mark"}:
        return _mark(draft, _MARKS[side], said)
    kinds = {"meta": _META, "ct": _CT, "payload": _PAYLOAD}.get(side, {})
    kind = "mss" if side == "tcp option" and name == "size" else kinds.get(name) if isinstance(name, str) else None
    if side == "payload" and name in REWRITES and (isinstance(said, str) or type(said) is int):
        return add_effect(draft, "rewrite", f"{name} {said}")
    if kind is None:
        add_effect(draft, "rewrite", statement({"mangle": value}))
        return False
    way = mapping(what).get("dir") if kind == "zone" else None
    return add_effect(draft, kind, f"{way} {expression(said)}" if isinstance(way, str) else expression(said))


def _mark(draft: Draft, kind: str, said: object) -> bool:
    after = len(draft.matches)
    if isinstance(said, dict) and set(said) == {"map"}:
        found = arms(draft, mapping(said["map"]))
        made = [(matches, _number(kind, text, after)) for matches, text in found or ()]
        if found is not None and draft.mapped is None and all(effect is not None for _, effect in made):
            known = tuple((matches, effect) for matches, effect in made if effect is not None)
            draft.mapped = len(draft.effects), known
            return True
    form = _form(said, kind)
    if form is None:
        draft.effects.append(Effect(kind, None, detail=expression(said), after=after))
        return False
    keep, other, xor = form
    draft.effects.append(Effect(kind, keep, xor, other, after=after))
    return True


def _number(kind: str, text: str, after: int) -> Effect | None:
    value = number(text)
    return Effect(kind, xor=value, after=after) if value is not None and 0 <= value <= FULL else None


_Form = tuple[int, int, int]
"""(keep, other_keep, xor) of Effect."""


def _form(said: object, kind: str, deep: int = 0) -> _Form | None:
    """The value as bits of the old one, bits of the other mark and constant bits; None where it is not that."""
    if type(said) is int:
        return (0, 0, said) if 0 <= said <= FULL else None
    if not isinstance(said, dict) or len(said) != 1 or deep > 8:
        return None
    ((name, inner),) = said.items()
    if name in _MARKS and mapping(inner) == {"key": "mark"}:
        return (FULL, 0, 0) if _MARKS[name] == kind else (0, FULL, 0)
    parts = [_form(item, kind, deep + 1) for item in items(inner)]
    if name not in ("&", "|", "^") or len(parts) < 2:
        return None
    whole = parts[0]
    for part in parts[1:]:
        whole = _joined(name, whole, part) if whole and part else None
    return whole


def _joined(op: str, one: _Form, two: _Form) -> _Form | None:
    if two[:2] != (0, 0):
        one, two = two, one
    if two[:2] != (0, 0):
        return _both(op, one, two)
    (keep, other, xor), bits = one, two[2]
    if op == "&":
        return keep & bits, other & bits, xor & bits
    if op == "|":
        return keep & ~bits & FULL, other & ~bits & FULL, xor & ~bits & FULL | bits
    return keep, other, xor ^ bits


def _both(op: str, one: _Form, two: _Form) -> _Form | None:
    """Two that both vary: where no bit of the one can meet one of the other, | is ^."""
    spans = [keep | other | xor for keep, other, xor in (one, two)]
    if op == "&" or spans[0] & spans[1]:
        return None
    return one[0] | two[0], one[1] | two[1], one[2] | two[2]


# --- what a map says: for each element what the packet must be, and the value as text ---------------------------------

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
