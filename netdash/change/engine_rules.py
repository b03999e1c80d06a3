"""The engine's own rules after a container starts or stops, and after the engine itself starts: what `drift.expected`
says that it writes, in the places where it writes them. Measured on Docker 20.10 to 29.7."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy

from netdash.change.model import CannotModel, ChainPlace, PolicyChange
from netdash.change.rules import changed_rules, leads_to, numbered
from netdash.drift.engine_rules import Live, asked_of, evidence, has_docker_proxy
from netdash.drift.expected.iptables import FIRST
from netdash.drift.expected.mode import LEGACY, NATIVE_TABLE, Evidence, Layout, Mode, Undecided, is_own, mode_of
from netdash.drift.expected.rule import Expected, PlaceKey
from netdash.drift.expected.rules import ExpectedRules
from netdash.model.host import Chain, Container, Endpoint, Engine, Host, Network, Rule, Ruleset, Verb
from netdash.model.records import replace
from netdash.rules.merge import IPTABLES, NFT
from netdash.rules.ruleset import builtin_chain


class EngineRules:
    """Of one host's engine, as it writes them now."""

    def __init__(self, host: Host) -> None:
        if host.engine is None or host.networks is None or host.ruleset is None:
            raise CannotModel("the rules that the engine would write are not known: not all was read")
        if host.engine.name != "docker":
            raise CannotModel("what Podman does to its rules is not modelled")
        mode = mode_of(host.engine, host.ruleset, has_docker_proxy(host.proxies))
        if isinstance(mode, Undecided) or mode.layout is Layout.SHARED:
            raise CannotModel(f"the rules that the engine would write are not known: {_why(mode, host.engine)}")
        self.mode: Mode = mode
        self._evidence: Evidence = evidence(mode.layout, host.ruleset, host.proxies)
        self._expected = ExpectedRules(mode, host.networks)
        self._direct = self._keeps_direct(host.ruleset, host.containers or ())

    @property
    def native(self) -> bool:
        """Whether it writes with nftables."""
        return self.mode.layout is Layout.NATIVE

    def leading(self, container: Container) -> Endpoint | None:
        """The attachment that its published ports lead to now."""
        told = {
            ip
            for binding in container.bindings
            for ip in self._evidence.get((binding.proto, binding.host_port or 0), ())
        }
        found = [end for end in container.endpoints if any(address.ip in told for address in end.addresses)]
        return found[0] if len(found) == 1 else None

    def after(self, host: Host) -> EngineRules:
        """The same, by what rules and proxies of this host send where."""
        made = copy(self)
        if host.ruleset is not None:
            made._evidence = evidence(self.mode.layout, host.ruleset, host.proxies)
        return made

    def with_chains(self) -> EngineRules:
        """The same, when its chains are there."""
        made = copy(self)
        made.mode = replace(self.mode, empty=False)
        return made

    # --- one container ------------------------------------------------------------------------------------------------

    def without(self, ruleset: Ruleset, containers: Iterable[Container]) -> Ruleset:
        """`containers`: as they ran."""
        live = Live(self.mode, ruleset)
        gone = {
            id(entry.rule)
            for container in containers
            for expected in self._of(container)
            for entry in live.of(asked_of(expected))
        }
        return _replaced(ruleset, {}, gone)

    def without_network(self, ruleset: Ruleset, network: Network) -> Ruleset:
        """Without what it writes for this network alone."""
        live = Live(self.mode, ruleset)
        gone = {
            id(entry.rule)
            for family in self.mode.families
            for expected in self._expected.of_networks(family, frozenset())
            if expected.owner.network == network.id
            for entry in live.of(asked_of(expected))
        }
        return _replaced(ruleset, {}, gone)

    def with_(self, ruleset: Ruleset, container: Container) -> Ruleset:
        """`container`: as it will run."""
        if self.mode.empty:
            raise CannotModel(
                "the engine's chains are gone: it starts no container before it is restarted itself",
                "systemctl restart docker",
            )
        fresh = [expected for expected in self._of(container) if self._writes(expected)]
        written: dict[PlaceKey, list[Rule]] = {}
        for expected in fresh:
            chain = self._chain(ruleset, expected.place.key)
            if chain is None:
                raise CannotModel(
                    f"{'/'.join(expected.place.key[1:])} is gone: the engine cannot start {container.name}"
                )
            rules = written.setdefault(expected.place.key, list(chain.rules))
            rules.insert(self._at(expected, rules), self._rule(expected))
        return _replaced(ruleset, {key: (self._chain(ruleset, key), rules) for key, rules in written.items()}, set())

    def _of(self, container: Container) -> Iterator[Expected]:
        for family in self.mode.families:
            yield from self._expected.of_container(family, container, self._evidence)

    def _writes(self, expected: Expected) -> bool:
        return expected.required and (self._direct or expected.group != "direct routing")

    def _keeps_direct(self, ruleset: Ruleset, containers: Iterable[Container]) -> bool:
        """Whether the engine keeps others from containers' addresses: a setting of it may leave that out for all."""
        live = Live(self.mode, ruleset)
        others = [
            bool(live.of(asked_of(expected)))
            for container in containers
            for expected in self._of(container)
            if expected.group == "direct routing"
        ]
        return any(others) or not others or self.mode.empty

    def _at(self, expected: Expected, rules: list[Rule]) -> int:
        """Where the engine puts it among these: from 0."""
        if self.native:
            ends = (at for at, rule in enumerate(rules) if rule.target.verb is Verb.DROP and not rule.matches)
            return next(ends, len(rules))
        first = self.mode.since_28 and expected.place.key[1:] == ("filter", "DOCKER")
        return 0 if first else len(rules)

    def _rule(self, expected: Expected) -> Rule:
        comment = expected.comment or None
        where = (*expected.place.key, 1, expected.text)
        return Rule(*where, expected.matches, expected.target, 0, 0, self._backend, comment)

    @property
    def _backend(self) -> str:
        return NFT if self.mode.layout is Layout.NATIVE else LEGACY if self.mode.legacy else IPTABLES

    def _chain(self, ruleset: Ruleset, key: PlaceKey) -> Chain | None:
        for chain in ruleset.chains:
            same = (chain.family, chain.table, chain.name) == key
            if same and (chain.backend == LEGACY) is (self._backend == LEGACY):
                return chain
        return None

    # --- all of them --------------------------------------------------------------------------------------------------

    def anew(self, ruleset: Ruleset, containers: Iterable[Container]) -> Ruleset:
        """After the engine's start: its own chains hold what it writes, and nothing else; in those that it shares with
        others it puts what is missing, and its jumps from FORWARD first."""
        used: list[Expected] = []
        for family in self.mode.families:
            used += self._expected.of_networks(family, frozenset())
        for container in containers:
            used += self._of(container)
        by_place: dict[PlaceKey, list[Expected]] = {}
        for expected in used:
            if self._writes(expected):
                by_place.setdefault(expected.place.key, []).append(expected)
        for key in self._chains_beside(used):
            by_place.setdefault(key, [])
        live = Live(self.mode, ruleset)
        made: dict[PlaceKey, tuple[Chain | None, list[Rule]]] = {}
        for key, wanted in by_place.items():
            chain = self._chain(ruleset, key) or self._new(key)
            if is_own(self.mode.layout, chain):
                made[key] = chain, [self._rule(expected) for expected in sorted(wanted, key=self._rank)]
            else:
                made[key] = chain, self._shared(chain, wanted, live)
        for chain in ruleset.chains:  # of what is no more
            key = (chain.family, chain.table, chain.name)
            if is_own(self.mode.layout, chain) and key not in made and chain.backend == self._backend:
                made[key] = chain, []
        return _replaced(ruleset, made, set())

    def _chains_beside(self, used: Iterable[Expected]) -> Iterator[PlaceKey]:
        """Chains that it makes whether a rule of its own is in them or not."""
        for family in self.mode.families:
            if self.mode.layout is Layout.NATIVE:
                yield from ((family, NATIVE_TABLE, name) for name in _NATIVE_BASES)
            else:
                yield family, "filter", "DOCKER-USER"
        for expected in used:
            family, table, _ = expected.place.key
            yield from ((family, table, name) for name in leads_to(expected.target))

    def closed(self, ruleset: Ruleset) -> Ruleset:
        """With a FORWARD chain that drops what no rule lets through."""
        chain = self._chain(ruleset, ("ip", "filter", "FORWARD")) or self._new(("ip", "filter", "FORWARD"))
        place = ChainPlace("ip", "filter", "FORWARD", chain.backend)
        return changed_rules(ruleset, PolicyChange(place, "drop"))

    def _rank(self, expected: Expected) -> int:
        """The order of an own chain's rules."""
        verb, own = expected.target.verb, expected.owner
        if expected.place.chain == FIRST and expected.matches and verb in (Verb.RETURN, Verb.ACCEPT):
            return 0  # of a routed network
        if (expected.target.chain or "").startswith("filter-forward-in"):
            return 0  # a verdict map before that of what leaves
        if not expected.matches and verb in (Verb.RETURN, Verb.DROP):
            return 9
        if self.mode.since_28 and expected.place.key[1:] == ("filter", "DOCKER"):
            return 0 if own.container else 1
        return 3 if own.container else 2 if own.network else 1

    def _shared(self, chain: Chain, wanted: list[Expected], live: Live) -> list[Rule]:
        """What stands there stays; of the jumps from FORWARD the engine makes sure that they come first."""
        rules = list(chain.rules)
        missing = [expected for expected in wanted if not live.of(asked_of(expected))]
        if chain.name == "FORWARD":
            jumps = [
                expected for expected in wanted if not expected.owner.network and expected.target.verb is Verb.JUMP
            ]
            stay = {id(entry.rule) for expected in jumps for entry in live.of(asked_of(expected))}
            rules = [rule for rule in rules if id(rule) not in stay]
            return [
                self._rule(expected)
                for expected in (*jumps, *(expected for expected in missing if expected not in jumps))
            ] + rules
        fresh = [self._rule(expected) for expected in missing]
        return fresh + rules if chain.name == "POSTROUTING" else rules + fresh

    def _new(self, key: PlaceKey) -> Chain:
        family, table, name = key
        if self.mode.layout is not Layout.NATIVE:
            return builtin_chain(family, table, name, self._backend, "accept")
        return Chain(family, table, name, NFT, (), *_NATIVE_BASES.get(name, (None, None, None, None)))


_NATIVE_BASES = {
    "filter-FORWARD": ("filter", "forward", 0, "accept"),
    "nat-PREROUTING": ("nat", "prerouting", -100, "accept"),
    "nat-OUTPUT": ("nat", "output", -100, "accept"),
    "nat-POSTROUTING": ("nat", "postrouting", 100, "accept"),
    "raw-PREROUTING": ("filter", "prerouting", -300, "accept"),
}


def _replaced(ruleset: Ruleset, made: dict[PlaceKey, tuple[Chain | None, list[Rule]]], gone: set[int]) -> Ruleset:
    """With these chains' rules, and without the rules of these ids."""
    fresh = dict(made)
    chains = []
    for chain in ruleset.chains:
        old, rules = fresh.get((chain.family, chain.table, chain.name), (None, []))
        if old is chain:
            del fresh[chain.family, chain.table, chain.name]
            chains.append(replace(chain, rules=numbered(rules)))
        elif any(id(rule) in gone for rule in chain.rules):
            chains.append(replace(chain, rules=numbered(rule for rule in chain.rules if id(rule) not in gone)))
        else:
            chains.append(chain)
    chains += [replace(chain, rules=numbered(rules)) for chain, rules in fresh.values() if chain is not None]
    return replace(ruleset, chains=tuple(chains), shape=None)


def _why(mode: Mode | Undecided, engine: Engine) -> str:
    return mode.reason if isinstance(mode, Undecided) else f"of Docker {engine.version[:40]} not all are"
