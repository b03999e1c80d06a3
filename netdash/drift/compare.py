"""What the engine should have written, against what is there: by meaning, never by text."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from operator import not_

from netdash.drift.engine_rules import Entry, Live, Targets, asked_of, has_docker_proxy
from netdash.drift.expected.mode import LEGACY, Evidence, Layout, Mode, Undecided, mode_of
from netdash.drift.expected.rule import Expected, socket
from netdash.drift.expected.rules import ExpectedRules
from netdash.drift.shadowing import Shadows, taker
from netdash.drift.unexpected import Judgement, World, judge
from netdash.kernel.devices import GWBRIDGE
from netdash.model.engine_state import Drift, DriftKind
from netdash.model.host import Container, Engine, Network, Port, Proxy, Rule, Ruleset, Verb
from netdash.model.index import why_lost
from netdash.model.memory import Memory, exchanged
from netdash.model.records import dataclass

_ORDER = {kind: at for at, kind in enumerate(DriftKind)}
ENGINE_CHAINS_GONE = "none of the engine's chains is there"


@dataclass(frozen=True, slots=True)
class Known:
    """What a comparison needs, all of it read. `devices` None: not read."""

    engine: Engine
    networks: tuple[Network, ...]
    containers: tuple[Container, ...]
    ruleset: Ruleset
    proxies: tuple[Proxy, ...] | None
    ports: tuple[Port, ...]
    devices: frozenset[str] | None
    whole: bool = True  # False: a container could not be inspected


@dataclass(frozen=True, slots=True)
class Comparison:
    drift: tuple[Drift, ...] | None  # None: nothing could be compared
    undecided: tuple[Undecided, ...] = ()  # what was not compared, and why


_Group = tuple[str, str, bool]
"""Family and name of a group of rules, and whether a rule of it is there."""


class _Part:
    """The rules that the engine should have written for one container, or for all, each with the live rules that are
    it, the first of which counts."""

    def __init__(
        self, rules: Iterable[Expected], owner: str | None = None, networks: frozenset[str] = frozenset()
    ) -> None:
        """`owner`: the container's id; `networks`: ids of those that it is on while it runs."""
        self.owner = owner
        self.networks = networks
        self._rules = [(rule, asked_of(rule)) for rule in rules]
        self.asked = frozenset(itertools.chain.from_iterable(asked for _, asked in self._rules))
        self._found: list[tuple[Expected, list[Entry]]] = []
        self._ahead: list[Entry | None] = []
        self.groups: frozenset[_Group] = frozenset()
        self.absent: list[Expected] = []
        self.repeated: list[tuple[Expected, list[Entry]]] = []
        self.translating: list[tuple[Expected, list[Entry]]] = []
        self.is_shadowed = False
        self.version = -1  # of the shadows that it was compared with

    def leave(self) -> None:
        """The live rules that it found are asked for no more."""
        for entry in itertools.chain.from_iterable(entries for _, entries in self._found):
            entry.asked -= 1

    def look_up(self, live: Live) -> None:
        self.leave()
        self._found = [(rule, live.of(asked)) for rule, asked in self._rules]
        for entry in itertools.chain.from_iterable(entries for _, entries in self._found):
            entry.asked += 1
        required = [(rule, entries) for rule, entries in self._found if rule.required]
        self.groups = frozenset((rule.place.family, rule.group, bool(entries)) for rule, entries in required)
        self.absent = [rule for rule, entries in required if not entries]
        self.repeated = [(rule, entries) for rule, entries in self._found if len(entries) > 1]
        self.translating = [
            (rule, entries) for rule, entries in self._found if entries and rule.target.verb is Verb.DNAT
        ]
        self.version = -1

    def shadowed(self, shadows: Shadows, ports: Sequence[Port]) -> Iterator[tuple[Expected, Rule, Rule]]:
        """(what should be, the live rule that is it, the rule that decides before). `ports`: of the container."""
        if self.version != shadows.version:
            self._ahead = [shadows.ahead(rule, entries[0]) if entries else None for rule, entries in self._found]
        self.version = shadows.version
        self.is_shadowed = any(self._ahead) or any(taker(*value, ports) for value in self.translating)
        if self.is_shadowed:
            for (rule, entries), ahead in zip(self._found, self._ahead, strict=True):
                decides = ahead.rule if ahead else taker(rule, entries, ports)
                if entries and decides:
                    yield rule, entries[0].rule, decides


def compare(known: Known) -> Comparison:
    return Comparer().compare(known, known.ports)


class Comparer:
    """Compares one host after the other. What an engine should have written for a container, which live rules are
    that, and what decides before them, is kept for as long as nothing that bears on it changes."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._mode: Mode | None = None
        self._live: Live | None = None
        self._targets: Targets | None = None
        self._own: dict[str, dict[str, _Own]] = {}
        self._groups: Counter[frozenset[_Group]] = Counter()
        self._shared: dict[str, tuple[ExpectedRules, frozenset[str], _Part]] = {}
        self._parts_before: list[_Part] = []
        self._shadows = Shadows()
        self._ports: tuple[Port, ...] = ()

    def compare(self, known: Known, ports: tuple[Port, ...]) -> Comparison:
        """`ports`: those that are known, as the same objects for as long as only the numbers of their rules change."""
        once, ruleset = self._memory.once, known.ruleset
        shape, proxied = ruleset.shape or ruleset, has_docker_proxy(known.proxies)
        mode = once("mode", lambda *_: mode_of(known.engine, ruleset, proxied), known.engine, shape, proxied)
        if isinstance(mode, Undecided):
            return Comparison(None, (mode,))
        if mode != self._mode or self._live is None or self._targets is None:
            self._mode, self._live, self._targets = mode, Live(mode, ruleset), Targets(mode.layout)
        touched = self._live.follow(ruleset)
        parts = self._parts(known, self._mode, self._targets, self._targets.follow(ruleset, known.proxies))
        gone, came = exchanged(self._parts_before, parts)
        self._parts_before = parts
        for part in gone:
            part.leave()
            self._groups[part.groups] -= 1
        self._groups.update(part.groups for part in came)
        kept = map(touched.isdisjoint, [part.asked for part in parts])
        for part in dict.fromkeys((*came, *itertools.compress(parts, map(not_, kept)))):
            self._groups[part.groups] -= 1
            part.look_up(self._live)
            self._groups[part.groups] += 1
        world = once(
            "world",
            World,
            *(known.networks, known.containers, known.devices, known.whole),
        )
        moved = {port.container_id for port in itertools.chain(*exchanged(self._ports, ports))}
        self._ports = ports
        work = _Work(known, self._live, parts, self._shadows, world, moved)
        work.waived = set() if self._mode.empty else _left_out(frozenset().union(*+self._groups))
        found = [*work.against_expected(), *work.leftovers(), *_left_behind(known.containers)]
        found.sort(
            key=lambda drift: (_ORDER[drift.kind], drift.binding is None, drift.family, drift.table, drift.chain)
        )
        return Comparison(tuple(found), tuple(work.undecided()))

    def _parts(self, known: Known, mode: Mode, targets: Targets, moved: set[tuple[str, int]]) -> list[_Part]:
        """`moved`: the ports that are sent elsewhere than last time."""
        rules = self._memory.once("rules", ExpectedRules, mode, known.networks)
        before, self._own = self._own, {}
        parts: list[_Part] = []
        for family in mode.families:
            known_before, here = before.get(family, {}), self._own.setdefault(family, {})
            for container in known.containers:
                made = known_before.get(container.id)
                is_known = made is not None and made.container is container and made.rules is rules
                if made is None or not is_known or not moved.isdisjoint(made.ports):
                    made = _Own(container, rules, family, targets.agreed, made)
                here[container.id] = made
            own = [made.part for made in here.values()]
            used: frozenset[str] = frozenset()
            if mode.layout is Layout.NETAVARK:
                used = used.union(*{part.networks for part in own})
            shared = self._shared.get(family)
            if shared is None or shared[:2] != (rules, used):
                shared = self._shared[family] = (rules, used, _Part(rules.of_networks(family, used)))
            parts += [shared[2], *own]
        parts.append(self._memory.once("isolation", lambda *_: _Part(rules.isolation()), rules))
        return parts


class _Own:
    """The rules of one container in one family, and what they were made of."""

    def __init__(
        self, container: Container, rules: ExpectedRules, family: str, targets: Evidence, before: _Own | None
    ) -> None:
        self.part: _Part
        self.container = container
        self.rules = rules
        self.ports = frozenset((binding.proto, binding.host_port or 0) for binding in container.bindings)
        self._relevant = (rules, [targets.get(port) for port in sorted(self.ports)], *concerns(container))
        if before is not None and before._relevant == self._relevant:
            self.part = before.part
        else:
            networks = rules.networks_of(family, container)
            self.part = _Part(rules.of_container(family, container, targets), container.id, networks)


def concerns(container: Container) -> tuple[object, ...]:
    """What of a container bears on the rules."""
    return (
        *(container.id, container.name, container.state, container.endpoints, container.bindings),
        *(container.default_gateways, container.left_behind, container.shares_with),
    )


def _left_behind(containers: tuple[Container, ...]) -> Iterator[Drift]:
    """Containers in a namespace that is their owner's no more: no rule differs, and no packet arrives."""
    for container in containers:
        if container.left_behind:
            what, why = f"{container.name} in the network of {container.shares_with}", why_lost(container)
            yield Drift(DriftKind.LEFT, "", "", "", what, why, "", None, container_id=container.id)


class _Work:
    """One comparison on its way."""

    def __init__(
        self, known: Known, live: Live, parts: list[_Part], shadows: Shadows, world: World, moved: Set[str | None]
    ) -> None:
        """`moved`: the containers whose ports are not the same as last time."""
        mode = live.mode
        self._known = known
        self._mode = mode
        self._live = live
        self._parts = parts
        self._shadows = shadows
        self._world = world
        self._moved = moved
        self._foreign = [entry for entry in live.entries if not entry.asked]
        shadows.update(live, self._foreign)
        self._opaque = 0
        self._backend = _backend(mode)
        self.waived: set[tuple[str, str]] = set()

    # --- what should be there -----------------------------------------------------------------------------------------

    def against_expected(self) -> Iterator[Drift]:
        yield from self._missing()
        yield from self._duplicates()
        yield from self._shadowed()

    def _missing(self) -> Iterator[Drift]:
        for expected in itertools.chain.from_iterable([part.absent for part in self._parts]):
            if (expected.place.family, expected.group) in self.waived:
                continue
            if not self._read(expected) or self._live.may_be(expected):
                self._opaque += 1
                continue
            why = f"{expected.why}; {ENGINE_CHAINS_GONE}" if self._mode.empty else expected.why
            yield self._drift(DriftKind.MISSING, expected, None, why)

    def _read(self, expected: Expected) -> bool:
        """Whether all rules of its family were read."""
        families = {"ip": (4,), "ip6": (6,)}.get(expected.place.family, (4, 6))
        return all(map(self._known.ruleset.whole, families))

    def _duplicates(self) -> Iterator[Drift]:
        reported: set[int] = set()
        for expected, entries in itertools.chain.from_iterable([part.repeated for part in self._parts]):
            for entry in entries[1:]:
                if id(entry.rule) not in reported:
                    reported.add(id(entry.rule))
                    yield self._drift(DriftKind.DUPLICATE, expected, entry.rule, f"the same as {entries[0].rule.place}")

    def _shadowed(self) -> Iterator[Drift]:
        version = self._shadows.version
        parts = [
            part
            for part in self._parts
            if part.version != version or part.is_shadowed or (part.translating and part.owner in self._moved)
        ]
        ports: dict[str | None, list[Port]] = {part.owner: [] for part in parts}
        for port in self._known.ports if parts else ():
            if port.container_id in ports:
                ports[port.container_id].append(port)
        for part in parts:
            for expected, rule, decides in part.shadowed(self._shadows, ports[part.owner]):
                yield self._drift(DriftKind.SHADOWED, expected, rule, _decision(decides))

    # --- what is there ------------------------------------------------------------------------------------------------

    def leftovers(self) -> Iterator[Drift]:
        reported: set[int] = set()
        for entry in self._foreign:
            found = judge(entry, self._mode, self._world)
            if found is not None and id(entry.rule) not in reported:
                reported.add(id(entry.rule))
                yield _of_rule(entry.rule, found)

    def _drift(self, kind: DriftKind, expected: Expected, rule: Rule | None, why: str) -> Drift:
        place, owner = expected.place, expected.owner
        return Drift(
            kind,
            *(place.family, place.table, place.chain),
            rule.text if rule else expected.text,
            why,
            rule.backend if rule else self._backend,
            rule,
            owner.container,
            owner.network,
            owner.binding,
        )

    # --- what was not compared ----------------------------------------------------------------------------------------

    def undecided(self) -> Iterator[Undecided]:
        """Ask after the others."""
        known, mode = self._known, self._mode
        if mode.empty and known.ruleset.complete:
            yield Undecided("engine", f"{ENGINE_CHAINS_GONE}: flushed, or it was told to write none (--iptables=false)")
        nft = next((part for part in known.ruleset.unread if part.source == "nft"), None)
        if nft is not None and not self._opaque and not mode.legacy:
            yield Undecided("rules", f"not all rules were read, and another table may decide first: {nft.reason}")
        if self._opaque:
            many = "a rule" if self._opaque == 1 else f"{self._opaque} rules"
            why = (
                "; ".join(unread_part.reason for unread_part in known.ruleset.unread)
                or "what may be theirs is not understood"
            )
            yield Undecided("rules", f"{many} could not be compared: {why}")
        if any(group == "direct routing" for _, group in self.waived):
            yield Undecided(
                "direct routing", "no rule keeps others from containers' addresses: --allow-direct-routing?"
            )
        if mode.layout is Layout.SHARED:
            reason = f"of Docker {known.engine.version[:40]} only nat and published ports are known"
            yield Undecided("filter", reason)
        if (
            "ip6" not in mode.families
            and known.ruleset.whole(6)
            and any(network.ipv6 and network.bridge for network in known.networks)
        ):
            yield Undecided("IPv6", "none of the engine's chains is there: ip6tables is off, or they were flushed")
        if mode.layout is Layout.NETAVARK:
            yield Undecided("isolation", "whether networks are isolated is not in the API")
        if any(network.name == GWBRIDGE or network.driver == "overlay" for network in known.networks):
            yield Undecided("swarm", "what swarm publishes is not in the API of this host")
        if _both_backends(mode, known.ruleset):
            yield Undecided(
                "backend", "the engine's chains are in iptables-legacy and in nft: one of them is left over"
            )


def _decision(rule: Rule) -> str:
    target = rule.target
    does = target.verb.value if target.address is None else f"{target.verb.value} to {socket(target)}"
    return f"{rule.place} decides first: {does}"


def _left_out(groups: frozenset[_Group]) -> set[tuple[str, str]]:
    """Groups of which not one rule is there while others are: a setting of the engine, most likely."""
    here = {(family, group) for family, group, there in groups if there}
    return {
        (family, group) for family, group, _ in groups if group and (family, group) not in here and (family, "") in here
    }


def _backend(mode: Mode) -> str:
    if mode.layout in (Layout.NATIVE, Layout.NETAVARK):
        return "nft"
    return LEGACY if mode.legacy else "iptables-nft"


def _both_backends(mode: Mode, ruleset: Ruleset) -> bool:
    sides = {chain.backend == LEGACY for chain in ruleset.chains if chain.name == "DOCKER" and chain.rules}
    return len(sides) > 1 and mode.layout not in (Layout.NATIVE, Layout.NETAVARK)


def _of_rule(rule: Rule, found: Judgement) -> Drift:
    return Drift(
        found.kind,
        *(rule.family, rule.table, rule.chain),
        rule.text,
        found.why,
        rule.backend,
        rule,
        found.container_id,
        found.network_id,
        found.binding,
    )
