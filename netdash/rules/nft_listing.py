"""What `nft -j list ruleset` says: every table's chains, rules and sets. Takes the answer object by object: one call
that decodes megabytes would hold the interpreter, and with it the screen, for tens of milliseconds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

from netdash.model.host import Chain, NamedObject, Rule, Ruleset, Table, Target, Verb
from netdash.model.records import dataclass, field
from netdash.model.rules import NamedSet
from netdash.parse.json_values import Json, integer, items, mapping, text
from netdash.parse.json_values import text as word
from netdash.rules.nft_effect import map_elements
from netdash.rules.nft_match import Draft, Elements
from netdash.rules.nft_rule import counters, read_rule
from netdash.rules.nft_text import expression
from netdash.rules.parts import Body

TableKey = tuple[str, str]
"""(family, table)"""


@dataclass(slots=True)
class Skeleton:
    """A chain as nft shows it, with what each of its rules was decided to mean."""

    family: str
    table: str
    name: str
    kind: str | None = None
    hook: str | None = None
    priority: int | None = None
    policy: str | None = None
    device: str | None = None
    dormant: bool | None = False
    bodies: list[Body] = field(default_factory=list)
    native: list[bool] = field(default_factory=list)  # the body is nft's own
    counters: list[tuple[int | None, int | None] | None] = field(default_factory=list)  # None: it does not count
    unparsed: int = 0  # native rules with xt parts, which nft names only

    @property
    def key(self) -> tuple[str, str, str]:
        return self.family, self.table, self.name


Decide = Callable[[Skeleton, int, Draft], "Body | None"]
"""(chain, index, rule as nft shows it) -> what another tool says of that rule, when that can be believed."""


@dataclass(frozen=True, slots=True)
class Listing:
    chains: tuple[Skeleton, ...]
    sets: tuple[NamedSet, ...]
    problems: tuple[str, ...]  # why it is not whole
    tables: tuple[Table, ...] = ()
    objects: tuple[NamedObject, ...] = ()


NOTHING = Listing((), (), ())


def parse_nft(answer: object, decide: Decide) -> Listing:
    """`answer`: the text, or the decoded object. A rule's JSON is let go as soon as `decide` was asked. Never raises;
    what cannot be read is told in `problems`."""
    reader = _Reader(decide)
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


_EMPTY = Body("", (), Target(Verb.OTHER))


class _Reader:
    """Gathers the members of a listing; rules that name a set which comes later wait for it."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self.problems: list[str] = []
        self._chains: dict[tuple[str, str, str], Skeleton] = {}
        self._sets: dict[TableKey, dict[str, Elements]] = {}
        self._named: list[NamedSet] = []
        self._tables: list[Table] = []
        self._objects: list[NamedObject] = []
        self._waiting: list[tuple[Skeleton, int, Json, TableKey]] = []
        self._odd = 0
        self._place: tuple[object, ...] = ()
        self._here = Skeleton("", "", "")

    def take(self, element: object) -> None:
        if not isinstance(element, dict):
            self._odd += 1
            return
        for kind, value in element.items():
            if kind in _KINDS and not (isinstance(value, dict) and self._take(kind, value)):
                self._odd += 1

    def _take(self, kind: str, value: Json) -> bool:
        """A table of bound methods would hold this reader, and with it the whole listing, in a cycle."""
        match kind:
            case "rule":
                return self._rule(value)
            case "chain":
                return self._chain(value)
            case "set" | "map":
                return self._set(value)
            case "table":
                return self._table(value)
        return self._object(kind, value)

    def listing(self) -> Listing:
        for chain, at, rule, table in self._waiting:
            self._put(chain, at, read_rule(rule, self._sets.get(table, {})))
        if self._odd:
            self.problems.append(f"nft's answer has {self._odd} parts of a shape that is not known")
        flags = {(table.family, table.name): table.flags for table in self._tables if table.flags}
        for chain in self._chains.values():
            said = flags.get((chain.family, chain.table), ())
            chain.dormant = True if "dormant" in said else None if UNNAMED in said else False
        return Listing(
            tuple(self._chains.values()),
            tuple(self._named),
            tuple(self.problems),
            tuple(self._tables),
            tuple(self._objects),
        )

    def _table(self, value: Json) -> bool:
        family, name = word(value.get("family")), word(value.get("name"))
        if family is None or name is None:
            return False
        unnamed = value.get("flags") == name  # nft 1.0.6 writes the table's name where its flags should stand
        self._tables.append(Table(family, name, (UNNAMED,) if unnamed else _flags(value)))
        return True

    def _object(self, kind: str, value: Json) -> bool:
        family, table, name = word(value.get("family")), word(value.get("table")), word(value.get("name"))
        if family is None or table is None or name is None:
            return False
        said = ", ".join(f"{key} {expression(value[key])}" for key in value if key not in _PLACE)
        self._objects.append(NamedObject(family, table, kind, name, said))
        return True

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
        place = (value.get("family"), value.get("table"), value.get("chain"))
        if place != self._place:  # rules come chain by chain
            chain = self._of(*place)
            if chain is None:
                return False
            self._place, self._here = place, chain
        chain = self._here
        draft = read_rule(value, self._sets.get((chain.family, chain.table), {}))
        at = len(chain.bodies)
        chain.bodies.append(_EMPTY)
        chain.native.append(False)
        chain.counters.append(counters(draft) if draft.counter is not None else None)
        if draft.missing:
            self._waiting.append((chain, at, value, (chain.family, chain.table)))
        else:
            self._put(chain, at, draft)
        return True

    def _put(self, chain: Skeleton, at: int, draft: Draft) -> None:
        said = self._decide(chain, at, draft)
        if said is not None:
            chain.bodies[at] = said
            return
        chain.bodies[at] = draft.body()
        chain.native[at] = True
        chain.unparsed += bool(draft.modules or draft.target_name)

    def _set(self, value: Json) -> bool:
        family, table, name = word(value.get("family")), word(value.get("table")), word(value.get("name"))
        if family is None or table is None or name is None:
            return False
        kind = value.get("type")
        found = map_elements(value.get("elem"))
        self._sets.setdefault((family, table), {})[name] = found
        shown = " . ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
        gives = word(value.get("map"))
        self._named.append(NamedSet(family, table, name, shown, found, gives, _flags(value)))
        return True


_OBJECTS = (
    *("flowtable", "counter", "quota", "limit", "secmark", "synproxy"),
    *("ct helper", "ct timeout", "ct expectation"),
)
_KINDS = frozenset(("rule", "chain", "set", "map", "table", *_OBJECTS))
_PLACE = ("family", "table", "name", "handle", "packets", "bytes", "used")
"""What of a named object is no part of its detail: its place, and what moves with every packet."""
UNNAMED = "?"
"""A table has flags, and which is not said."""


def _flags(value: Json) -> tuple[str, ...]:
    flags = value.get("flags")
    return tuple(map(expression, flags if isinstance(flags, list) else [flags] if flags else []))


def _policy(value: Json) -> str | None:
    return word(value.get("policy")) or ("accept" if "hook" in value else None)


# --- which rule of a ruleset a handle means ---------------------------------------------------------------------------
# Handles are the kernel's for one moment: only what the kernel tells at that moment is looked up by them.

ChainKey = tuple[str, str, str]
"""(family, table, name)"""


def positions(listing: object) -> Mapping[tuple[ChainKey, int], int]:
    """By (chain, handle) the 1-based position of the rule, of the answer `nft -j -a list ruleset`."""
    found: dict[tuple[ChainKey, int], int] = {}
    count: dict[ChainKey, int] = {}
    for element in elements(listing):
        rule = mapping(mapping(element).get("rule"))
        family, table, chain = (text(rule.get(key)) for key in ("family", "table", "chain"))
        handle = integer(rule.get("handle"))
        if family and table and chain and handle is not None:
            key = (family, table, chain)
            count[key] = found[key, handle] = count.get(key, 0) + 1
    return found


class Handles:
    """The rules and chains of one moment, by the words of the kernel's trace."""

    def __init__(self, listing: object, ruleset: Ruleset) -> None:
        self._positions = positions(listing)
        self._chains: dict[ChainKey, Chain] = {
            (chain.family, chain.table, chain.name): chain
            for chain in ruleset.chains
            if chain.backend != "iptables-legacy"
        }

    def family(self, packet: str, table: str, chain: str, handle: int | None) -> str:
        """The table's own family: the trace tells the packet's, ip or ip6, also of a table of inet."""
        keys = [(family, table, chain) for family in (packet, "inet")]
        known = [key for key in keys if handle is None or (key, handle) in self._positions]
        known = [key for key in known if key in self._chains] or known or keys
        return known[0][0]

    def chain(self, family: str, table: str, name: str) -> Chain | None:
        return self._chains.get((family, table, name))

    def rule(self, family: str, table: str, name: str, handle: int) -> Rule | None:
        """None for a rule that is not there (any more)."""
        position = self._positions.get(((family, table, name), handle))
        chain = self.chain(family, table, name)
        if position is None or chain is None or position > len(chain.rules):
            return None
        return chain.rules[position - 1]
