"""The rule tools' answers -> Ruleset. nft's list of chains is the skeleton, iptables-save adds what nft cannot say of
xt rules, legacy listings add their own chains. Owns the memory between two readings, and so the rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress, count
from operator import ne
from typing import TypeVar

from netdash.bundle.recording import Recording
from netdash.model.host import Chain, NamedObject, Rule, Ruleset, Table, Unread
from netdash.model.memory import differing, forget, same
from netdash.model.records import dataclass, replace
from netdash.model.rules import NamedSet
from netdash.rules.iptables_rule import parse_line
from netdash.rules.iptables_save import TABLES, Listing, SavedChain, counters_of, parse_save, same_rules, torn
from netdash.rules.merge import IPTABLES, LEGACY, Shape, agree, shape_of_native, shape_of_saved
from netdash.rules.nft_listing import NOTHING, UNNAMED, Decide, Skeleton, parse_nft
from netdash.rules.nft_match import Draft
from netdash.rules.parts import Body

T = TypeVar("T")
_NFT_ANSWER = "rules/nft.json"
_SAVES = {"ip": "rules/iptables-save.txt", "ip6": "rules/ip6tables-save.txt"}
_LEGACY_SAVES = {"ip": "rules/iptables-legacy-save.txt", "ip6": "rules/ip6tables-legacy-save.txt"}
_PATHS = (_NFT_ANSWER, *_SAVES.values(), *_LEGACY_SAVES.values())

_HOOKS = {
    "PREROUTING": "prerouting",
    "INPUT": "input",
    "FORWARD": "forward",
    "OUTPUT": "output",
    "POSTROUTING": "postrouting",
}
PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}
"""enum nf_ip_hook_priorities; nat has -100 where the destination changes, 100 where the source does. iptables-nft
hooks its security table at 150."""


def read_ruleset(recording: Recording) -> Ruleset | None:
    """The rules of one recording; None when it holds no rule tool's answer. Never raises: what is missing stands in
    `notes`, and where rules may be missing, in `unread`."""
    return RulesetReader().read(recording)


@dataclass(slots=True)
class _Known:
    """One chain as it was read last."""

    shape: Shape
    strings: list[str]  # counters as the listing wrote them
    chain: Chain


@dataclass(frozen=True, slots=True)
class _Shapes:
    shapes: tuple[Shape, ...]
    sets: tuple[NamedSet, ...]
    notes: tuple[str, ...]
    unread: tuple[Unread, ...]
    tables: tuple[Table, ...]
    objects: tuple[NamedObject, ...]


class RulesetReader:
    """Reads rulesets one after the other and works only on what changed: counters alone cost far less than rules.
    Not for use by two threads."""

    def __init__(self) -> None:
        self._bodies: dict[str, Body] = {}
        self._before: dict[str, Body] = {}
        self._answers: dict[str, object] = {}
        self._taken: dict[str, float | None] = {}
        self._listings: dict[str, Listing] = {}
        self._shapes: _Shapes | None = None
        self._known: dict[tuple[str, str, str, str], _Known] = {}
        self._last: Ruleset | None = None

    def read(self, recording: Recording) -> Ruleset | None:
        """The rules of this recording, with rates since the reading before; the same object when nothing changed.
        An answer that is the very object of last time counts as not asked again: its rules keep their rates."""
        answers = {path: recording.answers.get(path) for path in _PATHS}
        if all(answer is None for answer in answers.values()):
            return None
        spans = self._spans(answers, recording.taken)
        shapes = self._reshape(answers, spans)
        known: dict[tuple[str, str, str, str], _Known] = {}
        changed = shapes is not self._shapes
        for shape in shapes.shapes:
            frame = shape.frame
            key = (frame.family, frame.table, frame.name, frame.backend)
            before = self._known.get(key)
            made = self._count(shape, before, spans)
            known[key] = made
            changed = changed or before is None or made.chain is not before.chain
        self._shapes, self._known, self._answers = shapes, known, answers
        if changed or self._last is None:
            chains = tuple(other.chain for other in known.values())
            forget(sum(len(chain.rules) for chain in chains))
            self._last = Ruleset(
                chains, shapes.sets, shapes.notes, shapes.unread, shapes, shapes.tables, shapes.objects
            )
        return self._last

    def _spans(self, answers: Mapping[str, object], taken: float | None) -> dict[str, float | None]:
        """Seconds since the answer before, for those that are new; None where that is not known."""
        spans: dict[str, float | None] = {}
        for path, answer in answers.items():
            if path in self._answers and answer is self._answers[path]:
                continue
            before = self._taken.get(path)
            spans[path] = taken - before if taken is not None and before is not None and taken > before else None
            self._taken[path] = taken
        return spans

    # --- meaning ------------------------------------------------------------------------------------------------------

    def _reshape(self, answers: Mapping[str, object], fresh: Mapping[str, object]) -> _Shapes:
        """What was known when nft says the same and the listings differ in counters only."""
        counted = self._shapes is not None and answers[_NFT_ANSWER] == self._answers.get(_NFT_ANSWER)
        for path in _PATHS[1:]:
            if path in fresh:
                text = answers[path]
                listing = parse_save(text) if isinstance(text, str) else Listing({}, (), frozenset())
                counted = counted and same_rules(self._listings.get(path), listing)
                self._listings[path] = listing
        if self._shapes is not None and counted:
            return self._shapes
        self._bodies, self._before = {}, self._bodies
        shapes = self._merge(answers)
        self._before = {}
        return shapes

    def _body(self, text: str) -> Body:
        """What a line means; kept for as long as the listings show it."""
        found = self._bodies.get(text)
        if found is None:
            found = self._bodies[text] = self._before.get(text) or parse_line(text)
        return found

    def _each_body(self, texts: list[str]) -> tuple[Body, ...]:
        known = map(self._before.get, texts)
        bodies = tuple([body or self._body(text) for text, body in zip(texts, known, strict=True)])
        self._bodies.update(zip(texts, bodies, strict=True))
        return bodies

    def _merge(self, answers: Mapping[str, object]) -> _Shapes:
        notes: list[str] = []
        unread: list[Unread] = []
        shapes: list[Shape] = []
        listing = NOTHING
        if answers[_NFT_ANSWER] is None:
            notes.append("nft was not read: tables that iptables does not own are missing")
            unread.append(Unread("nft", "nft was not read"))
            for family, path in _SAVES.items():
                shapes += self._saved(family, path, IPTABLES, None)
        else:
            listing = parse_nft(answers[_NFT_ANSWER], self._decide(set()))
            mismatched = {chain.key for chain in listing.chains if self._count_mismatch(chain, notes)}
            if mismatched:
                listing = parse_nft(answers[_NFT_ANSWER], self._decide(mismatched))
            notes += listing.problems
            unread += [Unread("nft", problem) for problem in listing.problems]
            seen = {chain.key for chain in listing.chains}
            shapes += [self._skeleton(chain, mismatched, answers, notes) for chain in listing.chains]
            for family, path in _SAVES.items():
                more = list(self._saved(family, path, IPTABLES, seen))
                notes += [f"nft did not show {_place(shape.frame)}, {_tool(path)} does" for shape in more]
                shapes += more
        for family, path in _LEGACY_SAVES.items():
            shapes += self._saved(family, path, LEGACY, None)
        for path, saved in self._listings.items():
            if not saved.whole:
                why = torn(_tool(path), saved)
                notes.append(why)
                if path in _LEGACY_SAVES.values():
                    unread.append(Unread(_tool(path).removesuffix("-save"), why, saved.torn))
        notes += [
            _FLAGGED[flag].format(f"table {table.family} {table.name}")
            for table in listing.tables
            for flag in table.flags
            if flag in _FLAGGED
        ]
        return _Shapes(
            tuple(shapes), listing.sets, tuple(dict.fromkeys(notes)), tuple(unread), listing.tables, listing.objects
        )

    def _listed(self, chain: Skeleton) -> SavedChain | None:
        """The chain in iptables-save's listing."""
        path = _SAVES.get(chain.family)
        listing = self._listings.get(path) if path and chain.table in TABLES else None
        return listing.chains.get((chain.table, chain.name)) if listing else None

    def _decide(self, mismatched: set[tuple[str, str, str]]) -> Decide:
        known: Skeleton | None = None
        texts: list[str] = []  # of that chain; empty where they cannot be its rules

        def decide(chain: Skeleton, at: int, rule: Draft) -> Body | None:
            nonlocal known, texts
            if chain is not known:
                known, saved = chain, self._listed(chain)
                texts = saved.texts if saved and chain.key not in mismatched else []
            if at >= len(texts):
                return None
            line = self._body(texts[at])
            return line if agree(rule, line) else None

        return decide

    def _count_mismatch(self, chain: Skeleton, notes: list[str]) -> bool:
        """Whether the i-th line cannot be the i-th rule, because there are more of the one than of the other."""
        saved = self._listed(chain)
        if saved is None or len(saved.texts) == len(chain.bodies):
            return False
        counts = f"{len(saved.texts)} rules in {chain.table}/{chain.name}, nft {len(chain.bodies)}"
        notes.append(f"{_tool(_SAVES[chain.family])} shows {counts}: shown as nft does")
        return True

    def _skeleton(
        self, chain: Skeleton, mismatched: set[tuple[str, str, str]], answers: Mapping[str, object], notes: list[str]
    ) -> Shape:
        """A chain of nft's list, its xt rules from iptables-save where that shows them."""
        path = _SAVES.get(chain.family, "") if chain.table in TABLES else ""
        listed = self._listed(chain) is not None and chain.key not in mismatched
        if chain.unparsed and path and chain.key not in mismatched:
            notes.append(_unparsed_parts(chain, path, listed, self._listings.get(path), answers))
        return shape_of_native(chain, path, listed)

    def _saved(self, family: str, path: str, backend: str, seen: set[tuple[str, str, str]] | None) -> Iterator[Shape]:
        """Chains that a listing shows and nft does not; of nft's tables, only those with rules: iptables-save prints
        base chains that do not exist."""
        listing = self._listings.get(path)
        for (table, name), saved in listing.chains.items() if listing else ():
            if seen is not None and ((family, table, name) in seen or not saved.texts):
                continue
            yield shape_of_saved(
                builtin_chain(family, table, name, backend, saved.policy), path, saved, self._each_body
            )

    # --- numbers ------------------------------------------------------------------------------------------------------

    def _count(self, shape: Shape, before: _Known | None, spans: Mapping[str, float | None]) -> _Known:
        strings = self._strings(shape)
        if before is not None and before.shape is shape and shape.path not in spans and _NFT_ANSWER not in spans:
            return before
        old, was = _aligned(shape, before)
        save_fresh, nft_fresh = shape.path in spans, _NFT_ANSWER in spans
        save_span, nft_span = spans.get(shape.path), spans.get(_NFT_ANSWER)
        idle_rate = 0.0 if save_span else None
        rules: list[Rule] = []
        each = zip(shape.bodies, old, shape.counters, was, strings, strict=True)
        for at, (body, rule, counters, written, string) in enumerate(each, 1):
            if (
                (counters is None and rule is not None and written == string and rule.matches is body.matches)
                and rule.text is body.text
                and (not save_fresh or rule.rate == idle_rate)
            ):
                rules.append(rule if rule.position == at else replace(rule, position=at))
                continue
            if counters is not None:
                fresh, span = nft_fresh, nft_span
            elif rule is not None and written == string:
                fresh, span, counters = save_fresh, save_span, (rule.packets, rule.bytes)
            else:
                fresh, span, counters = save_fresh, save_span, counters_of(string)
            rules.append(_rule(shape, at, body, counters, rule, span, fresh))
        made, frame = tuple(rules), self._policy(shape, before.chain if before is not None else None, spans)
        if before is not None and _unchanged(before.chain, frame, made):
            return _Known(shape, strings, before.chain)
        return _Known(shape, strings, replace(frame, rules=made))

    def _policy(self, shape: Shape, old: Chain | None, spans: Mapping[str, float | None]) -> Chain:
        """The chain with what its policy counted. One that iptables-nft did not make may have no counter: then it says
        0."""
        if shape.frame.policy is None:
            return shape.frame
        listing = self._listings.get(shape.path)
        saved = listing.chains.get(shape.listed) if listing else None
        packets = counters_of(saved.counted)[0] if saved else None
        packets = None if packets == 0 and shape.frame.backend != LEGACY else packets
        if old is not None and shape.path not in spans:
            return replace(shape.frame, packets=old.packets, rate=old.rate)
        return replace(shape.frame, packets=packets, rate=_rate(packets, old, spans.get(shape.path)))

    def _strings(self, shape: Shape) -> list[str]:
        listing = self._listings.get(shape.path)
        saved = listing.chains.get(shape.listed) if listing else None
        return saved.counters if saved and len(saved.counters) == len(shape.bodies) else [""] * len(shape.bodies)


def _rule(
    shape: Shape,
    at: int,
    body: Body,
    counters: tuple[int | None, int | None],
    old: Rule | None,
    span: float | None,
    fresh: bool,
) -> Rule:
    packets, size = counters
    rate = old.rate if old is not None and not fresh else _rate(packets, old, span)
    if (
        old is not None
        and (old.packets == packets and old.bytes == size and old.rate == rate)
        and old.not_understood == body.not_understood
        and (old.matches is body.matches or (old.matches, old.target) == (body.matches, body.target))
    ):
        return old if old.position == at else replace(old, position=at)
    frame = shape.frame
    return Rule(
        frame.family,
        frame.table,
        frame.name,
        at,
        body.text,
        body.matches,
        body.target,
        packets,
        size,
        shape.backends[at - 1],
        body.comment,
        body.not_understood,
        rate,
        shape.occurrences[at - 1],
    )


def _rate(packets: int | None, old: Rule | Chain | None, span: float | None) -> float | None:
    if old is None or not span or packets is None or old.packets is None or packets < old.packets:
        return None
    return (packets - old.packets) / span


def _aligned(shape: Shape, before: _Known | None) -> tuple[list[Rule | None], list[str | None]]:
    """For each rule of the shape the one of last time that means the same: same text, same n-th, same backend; and its
    counters as they were written."""
    if before is None:
        return [None] * len(shape.bodies), [None] * len(shape.bodies)
    rules, strings = before.chain.rules, before.strings
    if before.shape is shape:
        return [*rules], [*strings]
    counted = [text if of_nft is None else None for text, of_nft in zip(strings, before.shape.counters, strict=True)]
    was, now = differing(before.shape.bodies, shape.bodies)

    def shifted(values: Sequence[T]) -> list[T | None]:
        return [*values[: was.start], *[None] * (now.stop - now.start), *values[was.stop :]]

    old, written = shifted(rules), shifted(counted)
    numbers, backends = shape.occurrences, shape.backends
    known_as = zip(shifted(before.shape.occurrences), shifted(before.shape.backends), strict=True)
    moved = [*compress(count(), map(ne, known_as, zip(numbers, backends, strict=True)))]
    open_ones = (*zip(rules[was], counted[was], strict=True), *((old[at], written[at]) for at in moved))
    known = {(rule.text, rule.occurrence, rule.backend): (rule, text) for rule, text in open_ones if rule}
    for at in moved:
        old[at], written[at] = known.get((shape.bodies[at].text, numbers[at], backends[at]), (None, None))
    return old, written


def _unchanged(chain: Chain, frame: Chain, rules: tuple[Rule, ...]) -> bool:
    return same(chain.rules, rules) and replace(chain, rules=()) == frame


def builtin_chain(family: str, table: str, name: str, backend: str, policy: str | None) -> Chain:
    """A chain of iptables, without its rules: a base chain where iptables has one of that name, with this policy."""
    hook = _HOOKS.get(name)
    if hook is None or table not in TABLES:
        return Chain(family, table, name, backend, ())
    nat = -100 if hook in ("prerouting", "output") else 100
    kind = "nat" if table == "nat" else "route" if table == "mangle" and hook == "output" else "filter"
    priority = 150 if (table, backend) == ("security", IPTABLES) else PRIORITIES.get(table, nat)
    return Chain(family, table, name, backend, (), kind, hook, priority, policy)


def _unparsed_parts(
    chain: Skeleton, path: str, listed: bool, listing: Listing | None, answers: Mapping[str, object]
) -> str:
    tool, table = _tool(path), f"table {chain.family} {chain.table}"
    if answers[path] is None:
        return f"{tool} was not read: nft does not say the details of xt rules in {table}"
    if listing and chain.table in listing.left_out:
        return f"{tool} left out {table} as incompatible: nft does not say the details of its xt rules"
    if listed:
        return f"{tool} and nft disagree on rules of {table}, chain {chain.name}: shown as nft does"
    return f"{tool} does not show {table}, chain {chain.name}: nft does not say the details of its xt rules"


_FLAGGED = {
    "dormant": "{} is dormant: no packet meets its rules",
    UNNAMED: "{} has a flag that nft does not name: if it is dormant, no packet meets its rules",
}


def _tool(path: str) -> str:
    return path.removeprefix("rules/").removesuffix(".txt")


def _place(chain: Chain) -> str:
    return f"{chain.family} {chain.table}/{chain.name}"
