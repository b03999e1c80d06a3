"""What `nft -j list ruleset` says: every table's chains, rules and sets. Takes the answer object by object: one call
that decodes megabytes would hold the interpreter, and with it the screen, for tens of milliseconds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from netdash.core.decode import Json, integer, items, mapping
from netdash.core.decode import text as word
from netdash.core.model import NamedSet
from netdash.core.nft_match import Elements
from netdash.core.nft_rule import Native, map_elements, read_rule
from netdash.core.nft_text import expression

TableKey = tuple[str, str]
"""(family, table)"""


@dataclass(slots=True)
class Skeleton:
    """A chain as nft shows it."""

    family: str
    table: str
    name: str
    kind: str | None = None
    hook: str | None = None
    priority: int | None = None
    policy: str | None = None
    device: str | None = None
    rules: list[Native] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.family, self.table, self.name


@dataclass(frozen=True, slots=True)
class Listing:
    chains: tuple[Skeleton, ...]
    sets: tuple[NamedSet, ...]
    problems: tuple[str, ...]  # why it is not whole


def parse_nft(answer: object) -> Listing:
    """`answer`: the text, or the decoded object. Never raises; what cannot be read is told in `problems`."""
    reader = _Reader()
    try:
        for element in elements(answer):
            reader.take(element)
    except (ValueError, RecursionError) as error:
        reader.problems.append(f"nft's answer is cut off or not JSON: {error}")
    return reader.listing()


_START = re.compile(r'\s*\{\s*"nftables"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")


def elements(answer: object) -> Iterator[object]:
    """The members of "nftables", one at a time. Raises ValueError or RecursionError where the text is not JSON."""
    if not isinstance(answer, str):
        if answer is not None and not isinstance(mapping(answer).get("nftables"), list):
            raise ValueError('no list "nftables"')
        yield from items(mapping(answer).get("nftables"))
        return
    if not answer.strip():
        return
    start = _START.match(answer)
    if start is None:
        raise ValueError('no list "nftables"')
    decode, at = json.JSONDecoder().raw_decode, start.end()
    while True:
        at = _skip(answer, at)
        if answer[at : at + 1] == "]":
            return
        element, at = decode(answer, at)
        yield element


def _skip(text: str, at: int) -> int:
    if text[at : at + 3] == ", {":
        return at + 2
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


class _Reader:
    """Gathers the members of a listing; rules that name a set which comes later wait for it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._chains: dict[tuple[str, str, str], Skeleton] = {}
        self._sets: dict[TableKey, dict[str, Elements]] = {}
        self._named: list[NamedSet] = []
        self._waiting: list[tuple[Skeleton, int, Json, TableKey]] = []
        self._odd = 0

    def take(self, element: object) -> None:
        if not isinstance(element, dict):
            self._odd += 1
            return
        for kind, value in element.items():
            take = {"rule": self._rule, "chain": self._chain, "set": self._set, "map": self._set}.get(kind)
            if take is None:
                continue
            if not isinstance(value, dict) or not take(value):
                self._odd += 1

    def listing(self) -> Listing:
        for chain, at, rule, table in self._waiting:
            chain.rules[at] = read_rule(rule, self._sets.get(table, {}))
        if self._odd:
            self.problems.append(f"nft's answer has {self._odd} parts of a shape that is not known")
        return Listing(tuple(self._chains.values()), tuple(self._named), tuple(self.problems))

    def _of(self, family: object, table: object, name: object) -> Skeleton | None:
        if not (isinstance(family, str) and isinstance(table, str) and isinstance(name, str)):
            return None
        found = self._chains.get((family, table, name))
        if found is None:
            found = self._chains[family, table, name] = Skeleton(family, table, name)
        return found

    def _chain(self, value: Json) -> bool:
        chain = self._of(value.get("family"), value.get("table"), value.get("name"))
        if chain is None:
            return False
        chain.kind, chain.hook, chain.policy = word(value.get("type")), word(value.get("hook")), _policy(value)
        chain.priority = integer(value.get("prio"))
        device = value.get("dev")
        chain.device = expression(device) if isinstance(device, str | list) and device else None
        return True

    def _rule(self, value: Json) -> bool:
        chain = self._of(value.get("family"), value.get("table"), value.get("chain"))
        if chain is None:
            return False
        table = (chain.family, chain.table)
        sets = self._sets.get(table, {})
        rule = read_rule(value, sets)
        if rule.body.not_understood and "@" in "".join(rule.body.not_understood):
            self._waiting.append((chain, len(chain.rules), value, table))
        chain.rules.append(rule)
        return True

    def _set(self, value: Json) -> bool:
        family, table, name = word(value.get("family")), word(value.get("table")), word(value.get("name"))
        if family is None or table is None or name is None:
            return False
        kind = value.get("type")
        found = map_elements(value.get("elem"))
        self._sets.setdefault((family, table), {})[name] = found
        shown = " . ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
        self._named.append(NamedSet(family, table, name, shown, found))
        return True


def _policy(value: Json) -> str | None:
    return word(value.get("policy")) or ("accept" if "hook" in value else None)
