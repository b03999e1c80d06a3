"""What the engine should have written, against what is there: by meaning, never by text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netdash.drift.engine_rules import Carried, Entry, Live, evidence
from netdash.drift.expected.mode import LEGACY, NATIVE_TABLE, Layout, Mode, Undecided, mode_of
from netdash.drift.expected.rule import TO_LOCAL, Expected, socket
from netdash.drift.expected.rules import expected_rules
from netdash.drift.shadowing import Before
from netdash.drift.unexpected import Judgement, World, judge
from netdash.kernel.swarm import GWBRIDGE
from netdash.model.drift import Drift, DriftKind
from netdash.model.host import IP, Container, Engine, Network, Port, Rule, Ruleset, Verb
from netdash.model.shared_namespace import why_lost

_ORDER = {kind: at for at, kind in enumerate(DriftKind)}
_GONE = "none of the engine's chains is there"


@dataclass(frozen=True, slots=True)
class Known:
    """What a comparison needs, all of it read. `devices` None: not read."""

    engine: Engine
    networks: tuple[Network, ...]
    containers: tuple[Container, ...]
    ruleset: Ruleset
    proxies: Carried | None
    ports: tuple[Port, ...]
    devices: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    drift: tuple[Drift, ...] | None  # None: nothing could be compared
    undecided: tuple[Undecided, ...] = ()  # what was not compared, and why


def compare(known: Known) -> Comparison:
    mode = mode_of(known.engine, known.ruleset, known.proxies is not None and known.proxies.dockers)
    if isinstance(mode, Undecided):
        return Comparison(None, (mode,))
    work = _Work(known, mode)
    found = [*work.against_expected(), *work.leftovers(), *_left_behind(known.containers)]
    found.sort(key=lambda one: (_ORDER[one.kind], one.binding is None, one.family, one.table, one.chain))
    return Comparison(tuple(found), tuple(work.undecided()))


def _left_behind(containers: tuple[Container, ...]) -> Iterator[Drift]:
    """Containers in a namespace that is their owner's no more: no rule differs, and no packet arrives."""
    for container in containers:
        if container.left_behind:
            what, why = f"{container.name} in the network of {container.shares_with}", why_lost(container)
            yield Drift(DriftKind.LEFT, "", "", "", what, why, "", None, container_id=container.id)


class _Work:
    """One comparison on its way."""

    def __init__(self, known: Known, mode: Mode) -> None:
        self._known = known
        self._mode = mode
        self._live = Live(mode, known.ruleset)
        targets = evidence(mode.layout, known.ruleset, known.proxies)
        rules = expected_rules(mode, known.networks, known.containers, targets)
        self._found: list[tuple[Expected, list[Entry]]] = [(rule, self._live.of(rule)) for rule in rules]
        self._matched = {id(entry) for _, entries in self._found for entry in entries}
        self._foreign = [entry for entry in self._live.entries if id(entry) not in self._matched]
        self._opaque = 0
        self._entrances: dict[tuple[str, str, str], list[Entry]] = {}
        self._backend = _backend(mode)
        self._waived = _left_out(self._found) if not mode.empty else set()

    # --- what should be there -----------------------------------------------------------------------------------------

    def against_expected(self) -> Iterator[Drift]:
        yield from self._missing()
        yield from self._duplicates()
        yield from self._shadowed()

    def _missing(self) -> Iterator[Drift]:
        for one, entries in self._found:
            if entries or not one.required or (one.place.family, one.group) in self._waived:
                continue
            if not self._read(one) or self._live.may_be(one):
                self._opaque += 1
                continue
            why = f"{one.why}; {_GONE}" if self._mode.empty else one.why
            yield self._drift(DriftKind.MISSING, one, None, why)

    def _read(self, one: Expected) -> bool:
        """Whether all rules of its family were read."""
        families = {"ip": (4,), "ip6": (6,)}.get(one.place.family, (4, 6))
        return all(map(self._known.ruleset.whole, families))

    def _duplicates(self) -> Iterator[Drift]:
        told: set[int] = set()
        for one, entries in self._found:
            for entry in entries[1:]:
                if id(entry.rule) not in told:
                    told.add(id(entry.rule))
                    yield self._drift(DriftKind.DUPLICATE, one, entry.rule, f"the same as {entries[0].rule.place}")

    def _shadowed(self) -> Iterator[Drift]:
        before = self._before()
        takers = _takers(self._known.ports)
        for one, entries in self._found:
            if not entries:
                continue
            other = self._ahead(before, one, entries[0])
            decides = other.rule if other else self._taker(one, entries, takers)
            if decides is not None:
                yield self._drift(DriftKind.SHADOWED, one, entries[0].rule, _decision(decides))

    def _ahead(self, before: dict[tuple[str, str, str], Before], one: Expected, entry: Entry) -> Entry | None:
        """Another's rule that takes all packets before this one: in its own chain, or in the one that leads there."""
        place, verb = (entry.place.family, entry.place.table, entry.place.chain), entry.target.verb
        found = before[place].covering(entry.matches, verb, entry.rule.position) if place in before else None
        outer = _ENTRANCES.get(place[1:])
        if found or outer is None or one.owner.binding is None or (place[0], *outer) not in before:
            return found
        asked = (*entry.matches, *((TO_LOCAL,) if outer[1] != "FORWARD" else ()))
        jumps = [jump for jump in self._jumps(place[0], outer) if set(jump.matches) <= set(asked)]
        if not jumps:
            return None  # no packet comes here: the jump is missing
        return before[place[0], *outer].covering(asked, verb, min(jump.rule.position for jump in jumps))

    def _jumps(self, family: str, outer: tuple[str, str]) -> list[Entry]:
        """The rules that lead from there to the published ports."""
        found = self._entrances.get((family, *outer))
        if found is None:
            here = (entry for entry in self._live.entries if entry.target.chain in _LEADS)
            found = [
                each for each in here if (each.place.family, each.place.table, each.place.chain) == (family, *outer)
            ]
            self._entrances[family, *outer] = found
        return found

    def _before(self) -> dict[tuple[str, str, str], Before]:
        by_place: dict[tuple[str, str, str], list[Entry]] = {}
        for entry in self._foreign:
            by_place.setdefault((entry.place.family, entry.place.table, entry.place.chain), []).append(entry)
        return {place: Before(entries) for place, entries in by_place.items()}

    def _taker(self, one: Expected, entries: list[Entry], takers: dict[_PortKey, Port]) -> Rule | None:
        """The rule that translates a published port in place of the engine's."""
        if one.target.verb is not Verb.DNAT or one.owner.binding is None:
            return None
        binding = one.owner.binding
        if one.target.address is None or one.target.address.version != (
            binding.host_ip.version if binding.host_ip else 4
        ):
            return None
        port = takers.get((one.owner.container, binding.proto, binding.host_ip, binding.host_port))
        if port is None or port.dnat is None or port.unsure:
            return None
        return None if any(_same(port.dnat, entry.rule) for entry in entries) else port.dnat

    # --- what is there ------------------------------------------------------------------------------------------------

    def leftovers(self) -> Iterator[Drift]:
        world = World(self._known.networks, self._known.containers, self._known.devices)
        told: set[int] = set()
        for entry in self._foreign:
            found = judge(entry, self._mode, world)
            if found is not None and id(entry.rule) not in told:
                told.add(id(entry.rule))
                yield _of_rule(entry.rule, found)

    def _drift(self, kind: DriftKind, one: Expected, rule: Rule | None, why: str) -> Drift:
        place, owner = one.place, one.owner
        return Drift(
            kind,
            *(place.family, place.table, place.chain),
            rule.text if rule else one.text,
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
            yield Undecided("engine", f"{_GONE}: flushed, or it was told to write none (--iptables=false)")
        if self._opaque:
            many = "a rule" if self._opaque == 1 else f"{self._opaque} rules"
            why = "; ".join(one.reason for one in known.ruleset.unread) or "what may be theirs is not understood"
            yield Undecided("rules", f"{many} could not be compared: {why}")
        if any(group == "direct routing" for _, group in self._waived):
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


_ENTRANCES = {
    ("nat", "DOCKER"): ("nat", "PREROUTING"),
    ("filter", "DOCKER"): ("filter", "FORWARD"),
    (NATIVE_TABLE, "nat-prerouting-and-output"): (NATIVE_TABLE, "nat-PREROUTING"),
}
"""Where packets for published ports come from, by table and chain. What stands in DOCKER-USER is the user's will."""
_LEADS = frozenset(("DOCKER", "DOCKER-FORWARD", "nat-prerouting-and-output"))

_PortKey = tuple[str | None, str, IP | None, int | None]


def _takers(ports: Iterable[Port]) -> dict[_PortKey, Port]:
    return {(port.container_id, port.proto, port.host_ip, port.host_port): port for port in ports if port.live}


def _same(one: Rule, other: Rule) -> bool:
    return (one.backend, one.family, one.table, one.chain, one.position) == (
        *(other.backend, other.family, other.table, other.chain),
        other.position,
    )


def _decision(rule: Rule) -> str:
    target = rule.target
    does = target.verb.value if target.address is None else f"{target.verb.value} to {socket(target)}"
    return f"{rule.place} decides first: {does}"


def _left_out(found: Iterable[tuple[Expected, list[Entry]]]) -> set[tuple[str, str]]:
    """Groups of which not one rule is there while others are: a setting of the engine, most likely."""
    groups: dict[tuple[str, str], bool] = {}
    for one, entries in found:
        if one.required:
            key = (one.place.family, one.group)
            groups[key] = groups.get(key, False) or bool(entries)
    return {
        (family, group) for (family, group), here in groups.items() if group and not here and groups.get((family, ""))
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
