"""The conditions of an nft rule, from its JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from netdash.model.host import Effect, Match, Target, Verb
from netdash.model.records import replace
from netdash.parse.json_values import Json, items, mapping
from netdash.rules.nft_field import Field, Texts, field_of
from netdash.rules.nft_text import expression, rule_text, statement
from netdash.rules.parts import Body, mark_match, number, tcp_flags_match, word_match

Elements = tuple[tuple[str, str | None], ...]
Sets = Mapping[str, Elements]
"""Elements of the named sets and maps of one table, by name."""


class Draft:
    """A rule while its statements are read."""

    __slots__ = (
        "comment",
        "counted_behind",
        "counter",
        "effects",
        "exprs",
        "mapped",
        "matches",
        "missing",
        "modules",
        "sets",
        "target",
        "target_name",
        "unread",
        "wide",
    )

    def __init__(self, sets: Sets, exprs: list[object], comment: str | None, wide: bool = True) -> None:
        self.sets = sets
        self.exprs = exprs
        self.comment = comment
        self.wide = wide  # its table sees more than one IP version
        self.matches: list[Match] = []
        self.unread: list[object] = []  # statements that are not interpreted
        self.missing = False  # a set that it names is not known, or not yet
        self.modules: list[str] = []  # xt matches by name
        self.target: Target | None = None
        self.target_name = ""  # of an xt target
        self.effects: list[Effect] = []
        self.mapped: tuple[int, tuple[tuple[tuple[Match, ...], Effect], ...]] | None = None
        """An effect that a map tells, by the map's key, and how many effects stand before it."""
        self.counter: Json | None = None
        self.counted_behind = 0  # how many of the conditions stand before the counter

    def named(self, name: str) -> Elements | None:
        """The elements of "@name"."""
        found = self.sets.get(name[1:])
        self.missing = self.missing or found is None
        return found

    def body(self) -> Body:
        """The rule as nft alone tells it."""
        return Body(
            rule_text(self.exprs, self.comment),
            tuple(self.matches),
            self._whole_target(),
            self.comment,
            tuple(map(statement, self.unread)),
            tuple(self.modules),
            self.target_name,
        )

    def _whole_target(self) -> Target:
        target = self.target or CONTINUE
        if not self.effects and not self.mapped:
            return target
        count = len(self.matches)
        effects = tuple([_when(effect, count) for effect in self.effects])
        if not target.detail and target.verb is Verb.CONTINUE:
            target = replace(target, detail=self._shown())
        if self.mapped is None:
            cases = tuple((matches, replace(case, effects=effects)) for matches, case in target.cases)
            return replace(target, effects=effects, cases=cases)
        at, arms = self.mapped
        made = [
            (said, replace(target, effects=(*effects[:at], _when(effect, count), *effects[at:])))
            for said, effect in arms
        ]
        return replace(target, effects=(), cases=tuple(made))

    def _shown(self) -> str:
        """What the rule does beside counting, in nft's words."""
        return " ".join(statement(expr) for expr in self.exprs if isinstance(expr, dict) and not set(expr) & _SILENT)


def _when(effect: Effect, count: int) -> Effect:
    return replace(effect, after=None) if effect.after == count else effect


CONTINUE = Target(Verb.CONTINUE)
_SILENT = {"match", "counter", "limit", "xt", "quota", "ct count", "continue", "last"}


# --- conditions -------------------------------------------------------------------------------------------------------

_Known = tuple[tuple[Match, ...], Match]
"""What a condition implies, and the condition."""


def read_match(draft: Draft, value: object) -> bool:
    """Take one "match" statement; False when it is not interpreted."""
    if not isinstance(value, dict):
        return False
    key = _simple(value, draft.wide)
    known = _KNOWN.get(key) if key else None
    if known is None:
        known = _condition(draft, value)
        if known is None:
            return False
        if key:
            if len(_KNOWN) >= _MANY:
                _KNOWN.clear()
            _KNOWN[key] = known
    imply(draft, known[0])
    draft.matches.append(known[1])
    return True


def imply(draft: Draft, matches: tuple[Match, ...]) -> None:
    """`tcp dport` says that the protocol is tcp; once is enough."""
    for match in matches:
        if not any(other is match for other in draft.matches) and match not in draft.matches:
            draft.matches.append(match)


def first(draft: Draft, match: Match) -> None:
    """A condition that holds before anything that the rule does."""
    if match not in draft.matches:
        draft.matches.insert(0, match)
        draft.effects = [
            replace(effect, after=None if effect.after is None else effect.after + 1) for effect in draft.effects
        ]


_Key = tuple[object, ...]
_KNOWN: dict[_Key, _Known] = {}
"""Conditions of one plain value, as most are: a host has few, and each of them many times."""
_MANY = 65536  # conditions that are kept


def _simple(value: Mapping[str, Any], wide: bool) -> _Key | None:
    """The words of a condition on one field and one value that no named set is part of."""
    left, right, op = value.get("left"), value.get("right"), value.get("op")
    kind = type(right)
    if type(left) is not dict or len(left) != 1 or not (kind is int or (isinstance(right, str) and right[:1] != "@")):
        return None
    field = left.get("payload")
    if type(field) is dict:
        proto, name = field.get("protocol"), field.get("field")
    else:
        field, proto = left.get("meta"), ""
        name = field.get("key") if type(field) is dict else None
    return (wide, op, proto, name, kind, right) if type(op) is type(proto) is type(name) is str else None


def _condition(draft: Draft, value: Mapping[str, Any]) -> _Known | None:
    left, right, op = value.get("left"), value.get("right"), value.get("op")
    if not isinstance(left, dict) or len(left) != 1 or op not in _OPS:
        return None
    kind, what = next(iter(left.items()))
    special = _SPECIAL.get(kind)
    if special is not None:
        return special(draft, what, right, op)
    if left == _TCP_FLAGS:
        return _tcp_flags(None, right, op)
    field = field_of(left, draft.wide)
    if field is None or not _plausible(kind, what, right):
        return None
    match = _compared(field, right, op) if op in _BOUNDS else _held(draft, field, right, op)
    return (field.implied, match) if match else None


_OPS = ("==", "!=", "in", "!", "<", ">", "<=", ">=")
_BOUNDS = ("<", ">", "<=", ">=")


def _plausible(kind: str, what: object, right: object) -> bool:
    """A device that nft shows by its number only is not one of that name."""
    return not (kind == "meta" and mapping(what).get("key") in ("iif", "oif")) or _all_words(right)


def _all_words(right: object) -> bool:
    if isinstance(right, dict):
        return all(isinstance(item, str) for item in items(right.get("set")))
    return isinstance(right, str)


def _compared(field: Field, right: object, op: str) -> Match | None:
    """Above or below a number."""
    if field.most is None or type(right) is not int:
        return None
    low, high = {">": (right + 1, field.most), ">=": (right, field.most), "<": (0, right - 1), "<=": (0, right)}[op]
    return field.match((f"{low}-{high}",)) if 0 <= low <= high <= field.most else None


def _held(draft: Draft, field: Field, right: object, op: str) -> Match | None:
    if isinstance(right, dict) and len(items(right.get("|"))) > 1:  # `ct state != new | untracked`: all bits at once
        return Match("ctstate", (), op == "!=") if field.key == "ctstate" and op in ("==", "!=") else None
    texts = texts_of(draft, right)
    if texts is None or (field.bits and op not in ("in", "!")) or (op == "!" and field.key not in _BITMASKS):
        return None
    return field.match(texts, op in ("!=", "!"))


_BITMASKS = ("ctstatus", "ctstate")


# --- left sides that are more than a field ----------------------------------------------------------------------------

_TCP_FLAGS = {"payload": {"protocol": "tcp", "field": "flags"}}
_ALL_FLAGS = frozenset("fin syn rst psh ack urg ecn cwr".split())
_TCP = (word_match("proto", "tcp"),)


def _masked(draft: Draft, what: object, right: object, op: str) -> _Known | None:
    """A mark under a mask, tcp flags under a mask, the offset of a fragment."""
    parts = items(what)
    if len(parts) != 2 or op not in ("==", "!="):
        return None
    left, mask = mapping(parts[0]), parts[1]
    if left == _TCP_FLAGS:
        return _tcp_flags(mask, right, op)
    if left == _FRAGMENT and (mask, right) == (0x1FFF, 0):
        return (_V4 if draft.wide else ()), Match("fragment", (True,), op == "==")
    field = field_of(left, draft.wide)
    texts = texts_of(draft, right)
    if field is None or field.key not in _MARKED or type(mask) is not int or texts is None:
        return None
    if not all(number(text) is not None for text in texts):
        return None
    match = mark_match(field.key, ",".join(f"{text}/{mask}" for text in texts), op == "!=")
    return ((), match) if match else None


_MARKED = ("mark", "connmark", "socket_mark")
_FRAGMENT = {"payload": {"protocol": "ip", "field": "frag-off"}}
_V4, _V6 = (word_match("family", "ipv4"),), (word_match("family", "ipv6"),)


def _tcp_flags(mask: object, right: object, op: str) -> _Known | None:
    """Without a mask: `tcp flags syn` (in) asks for any of the flags, ! for none, == for these and no others."""
    bits = _ALL_FLAGS if mask is None else _flags(mask)
    if isinstance(right, dict) and set(right) == {"set"}:
        sets = [_flags(item) for item in items(right["set"])]
    else:
        sets = [_flags(right)]
    flags = [named_set for named_set in sets if named_set is not None]
    if bits is None or len(flags) != len(sets) or op in _BOUNDS:
        return None
    if op in ("in", "!"):
        return _TCP, tcp_flags_match(flags[0], frozenset(), op == "in")
    found = [tcp_flags_match(bits, flag, False).values[0] for flag in flags]
    return _TCP, Match("tcp_flags", tuple(found), op == "!=")


def _flags(value: object) -> frozenset[str] | None:
    if isinstance(value, dict) and set(value) == {"|"}:
        value = value["|"]
    if value == 0 and type(value) is int:
        return frozenset()
    names = value if isinstance(value, list) else [value]
    found = [_flags(name) if isinstance(name, dict) and set(name) == {"|"} else name for name in names]
    flat: set[str] = set()
    for item in found:
        if isinstance(item, frozenset):
            flat |= item
        elif isinstance(item, str):
            flat.add(item)
        else:
            return None
    return frozenset(flat)


def _fib(draft: Draft, what: object, right: object, op: str) -> _Known | None:
    """The type of an address, or whether a route back exists."""
    parts = mapping(what)
    if parts.get("result") == "type":
        field = field_of({"fib": what}, draft.wide)
        match = _held(draft, field, right, op) if field else None
        return ((), match) if match else None
    flags = {str(flag) for flag in items(parts.get("flags"))}
    there = {"True": True, "False": False, "0": False}.get(str(right))
    if parts.get("result") not in ("oif", "oifname") or there is None or op not in ("==", "!="):
        return None
    if "saddr" not in flags or not flags <= {"saddr", "iif", "mark"}:
        return None
    options = [name for name, said in (("loose", "iif" not in flags), ("validmark", "mark" in flags)) if said]
    return (), Match("rpfilter", (",".join(options),), there is (op == "!="))


def _concat(draft: Draft, what: object, right: object, op: str) -> _Known | None:
    fields = fields_of({"concat": what}, draft.wide)
    texts = _concat_texts(draft, right)
    if fields is None or texts is None or op not in ("==", "!="):
        return None
    values = [conditions(fields, text) for text in texts]
    if None in values:
        return None
    return implied_by(fields, {"concat": what}, draft.wide), Match("any_of", tuple(values), op == "!=")


_SPECIAL: dict[str, Callable[[Draft, object, object, str], _Known | None]] = {
    "&": _masked,
    "fib": _fib,
    "concat": _concat,
}


def fields_of(key: object, wide: bool) -> tuple[Field, ...] | None:
    """The fields of a map's key, or of the left side of a match; several in a concatenation."""
    parts = items(key["concat"]) if isinstance(key, dict) and set(key) == {"concat"} else [key]
    fields = [field_of(part, wide) for part in parts]
    if not fields or any(field is None or field.bits for field in fields):
        return None
    return tuple(field for field in fields if field is not None)


def implied_by(fields: tuple[Field, ...], key: object, wide: bool) -> tuple[Match, ...]:
    """What a packet must be to have these fields at all: one of the other IP version meets neither an element, nor the
    contrary of one, nor a map's `*`."""
    parts = items(key["concat"]) if isinstance(key, dict) and set(key) == {"concat"} else [key]
    named = {mapping(mapping(part).get("payload")).get("protocol") for part in parts} if wide else set()
    versions = (*(_V4 if "ip" in named else ()), *(_V6 if "ip6" in named else ()))
    return tuple(dict.fromkeys((*versions, *(match for field in fields for match in field.implied))))


def conditions(fields: tuple[Field, ...], text: str) -> tuple[Match, ...] | None:
    """What an element of a set or map asks, each of its parts being the field's value."""
    parts = text.split(" . ") if len(fields) > 1 else [text]
    if len(parts) != len(fields):
        return None
    found = [field.match((part,)) for field, part in zip(fields, parts, strict=True)]
    return None if None in found else tuple(match for match in found if match is not None)


# --- right sides ------------------------------------------------------------------------------------------------------


def texts_of(draft: Draft, right: object) -> Texts | None:
    """The alternatives on the right as text: one value, a list, a set, or the elements of a named set."""
    if isinstance(right, str):
        if not right.startswith("@"):
            if right.endswith(_OF_NO_TYPE):
                text = element_text(right)
                return None if text is None else (text,)
            return (right,) if "," not in right else None  # a device's name may hold an @
        elements = draft.named(right)
        return None if elements is None else tuple(key for key, _ in elements)
    if isinstance(right, dict) and len(right) == 1:
        right = right.get("set", right.get("|", right))
    values = right if isinstance(right, list) else [right]
    found = [element_text(value) for value in values]
    return None if None in found else tuple(text for text in found if text is not None)


def _concat_texts(draft: Draft, right: object) -> Texts | None:
    if isinstance(right, dict) and set(right) == {"concat"}:
        right = [right]
    return texts_of(draft, right)


_OF_NO_TYPE = " [invalid type]"
"""What nft 1.0.6 adds to the port of `ct original proto-dst`."""


def element_text(value: object) -> str | None:
    """A value, prefix, range or concatenation as text; None for other shapes."""
    if isinstance(value, str) and value.endswith(_OF_NO_TYPE):
        value = value.removesuffix(_OF_NO_TYPE)
        return str(int(value, 16)) if re.fullmatch(r"0x[0-9a-f]{1,8}", value) else None
    if isinstance(value, dict) and len(value) == 1:
        name, inner = next(iter(value.items()))
        if name == "elem":
            return element_text(mapping(inner).get("val")) if "elem" not in mapping(mapping(inner).get("val")) else None
        if name in ("prefix", "range"):
            return expression(value)
        if name == "concat":
            parts = [element_text(item) if not mapping(item).get("concat") else None for item in items(inner)]
            return None if None in parts or not parts else " . ".join(map(str, parts))
        return None
    if isinstance(value, str) and value and not set(value) & {",", "@"}:
        return value
    return str(value) if type(value) is int else None
