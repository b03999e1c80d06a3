"""Which translation a packet meets: walks the nat chains of every table and backend as the kernel does. What it cannot
tell it says, with the rules that leave it open. Routes and addresses are the caller's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netdash.model.host import IP, Chain, Rule, Ruleset, Verb
from netdash.model.packet import Packet
from netdash.model.records import replace
from netdash.rules.match import Answer, applies
from netdash.rules.verdict_map import mapped
from netdash.trace.hooks import Hooks, hooks_of, sets_mark
from netdash.trace.translate import of_family, port_of

__all__ = ["Answer", "DestinationNat", "Found", "Packet", "SourceNat", "applies", "translated"]

_DEEP = 16  # jumps; NFT_JUMP_STACK_SIZE
_WIDE = 32  # elements of a map that a packet may meet; beyond that the map itself is named


Asked = tuple[str, int]
"""A protocol and a destination port."""


@dataclass(frozen=True, slots=True)
class Found:
    """The first rule that surely translates, and the rules before it that may decide otherwise."""

    rule: Rule | None
    unsure: tuple[Rule, ...] = ()


def _either(one: Found, other: Found) -> Found:
    """What is certain where the kernel takes the one way or the other."""
    if one == other:
        return one
    rules = tuple(found.rule for found in (one, other) if found.rule)
    unsure = tuple(dict.fromkeys((*one.unsure, *other.unsure, *rules)))
    if len(rules) == 2 and rules[0].target == rules[1].target:
        return Found(rules[0], tuple(rule for rule in unsure if rule is not rules[0]))
    return Found(None, unsure)


class _Then(Enum):
    """What comes after a rule."""

    NEXT = "the next rule"
    LEAVE = "the rest of this chain is not tried"
    END = "the rest of this base chain is not tried"


class _Search:
    """One packet on its way through one hook."""

    def __init__(self, hooks: Hooks, packet: Packet, verbs: frozenset[Verb]) -> None:
        self.found: Rule | None = None
        self.ended = False  # dropped: no later base chain sees it
        self.unsure: list[Rule] = []
        self._hooks = hooks
        self._packet = packet
        self._verbs = verbs
        self._through: set[tuple[int, bool]] = set()  # chains that this packet has passed: again, nothing is new

    def walk(self, chain: Chain, sure: bool = True, deep: int = 0) -> _Then:
        """Try a chain's rules; `sure`: the packet certainly comes here. NEXT at the chain's end."""
        if (id(chain), sure) in self._through:
            return _Then.NEXT
        self._through.add((id(chain), sure))
        for rule in self._hooks.indexed(chain).candidates(self._packet):
            if deep > _DEEP:
                self._leave_open(rule)
                return _Then.NEXT
            answer = applies(rule, self._packet)
            if answer is not Answer.NO and of_family(rule.target, self._packet.family):
                then = self._meet(rule, chain, sure, answer is Answer.YES, deep)
                if then is not _Then.NEXT:
                    return _Then.NEXT if then is _Then.LEAVE else then
        return _Then.NEXT

    def _meet(self, rule: Rule, chain: Chain, sure: bool, matches: bool, deep: int) -> _Then:
        """What the rule does with the packet, that it matches for certain, or may match."""
        verb, target = rule.target.verb, rule.target
        if verb is Verb.CONTINUE:
            return _Then.NEXT
        if verb in (Verb.JUMP, Verb.GOTO):
            return self._enter(rule, chain, target.chain or "", verb is Verb.GOTO, sure, matches, deep)
        if verb is Verb.VMAP:
            return self._map(rule, chain, sure, matches, deep)
        if verb is Verb.RETURN and matches:
            return _Then.LEAVE
        named = {one.address.version for one in (target, *(case for _, case in target.cases)) if one.address}
        if verb in self._verbs and named and self._packet.family not in named:
            return _Then.NEXT
        if not (sure and matches) or verb is Verb.OTHER or target.cases:
            self._leave_open(rule)
            return _Then.LEAVE if matches and verb is not Verb.OTHER else _Then.NEXT
        if verb in self._verbs:
            self.found = rule
        self.ended = verb not in (Verb.ACCEPT, *self._verbs)
        return _Then.END

    def _enter(self, rule: Rule, chain: Chain, name: str, goto: bool, sure: bool, matches: bool, deep: int) -> _Then:
        target = self._hooks.chain(chain, name)
        if target is None:
            self._leave_open(rule)
            return _Then.NEXT
        then = self.walk(target, sure and matches, deep + 1)
        return _Then.LEAVE if then is _Then.NEXT and goto and matches else then

    def _map(self, rule: Rule, chain: Chain, sure: bool, matches: bool, deep: int) -> _Then:
        met = mapped(rule.target.elements, rule.target.detail, self._packet)
        if len(met) > _WIDE or (not met and not matches and rule.not_understood):
            self._leave_open(rule)
            return _Then.NEXT
        for verdict, answer in met:
            certain = matches and answer is Answer.YES
            then = self._verdict(rule, chain, verdict, sure, certain, deep)
            if certain:
                return then
        return _Then.NEXT

    def _verdict(self, rule: Rule, chain: Chain, verdict: str, sure: bool, matches: bool, deep: int) -> _Then:
        if verdict == "continue":
            return _Then.NEXT
        if verdict == "return" and matches:
            return _Then.LEAVE
        if verdict in ("accept", "drop", "return"):
            if not (sure and matches):
                self._leave_open(rule)
                return _Then.NEXT
            self.ended = verdict == "drop"
            return _Then.END
        name = verdict.removeprefix("goto ")
        return self._enter(rule, chain, name, name != verdict, sure, matches, deep)

    def _leave_open(self, rule: Rule) -> None:
        if not any(rule is one for one in self.unsure[-64:]):
            self.unsure.append(rule)


class _Nat:
    """Asks the chains of nat of one ruleset, of which the trace's own index tells names, hooks and order."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.hooks = hooks_of(ruleset)
        self._asking: dict[str, bool] = {}

    def find(self, hook: str, packet: Packet, verbs: frozenset[Verb]) -> Found:
        marked = self._marked(hook, packet)
        orders = reversed(self.hooks.nat(hook, packet.family))  # of two that do the same nft's is named
        first, *others = (self._first(bases, marked, verbs) for bases in orders)
        return _either(first, others[0]) if others else first

    def _first(self, bases: tuple[Chain, ...], packet: Packet, verbs: frozenset[Verb]) -> Found:
        search = _Search(self.hooks, packet, verbs)
        for chain in bases:
            search.walk(chain)
            if search.found or search.ended:
                break
        unsure = search.unsure
        if search.found is None:  # what only might have ended the search makes no difference then
            unsure = [rule for rule in unsure if rule.target.verb not in _ENDING]
        return Found(search.found, tuple(unsure))

    def _marked(self, hook: str, packet: Packet) -> Packet:
        """A packet comes without a mark: it has one only where a rule could have set it."""
        if packet.mark is not None or not self._asks_mark(hook):
            return packet
        return packet if self.hooks.marking and self._may_be_marked(hook, packet) else replace(packet, mark=0)

    def _asks_mark(self, hook: str) -> bool:
        known = self._asking.get(hook)
        if known is None:
            rules = (rule for chain in self.hooks.reachable(hook) for rule in chain.rules)
            known = self._asking[hook] = any(match.key == "mark" for rule in rules for match in rule.matches)
        return known

    def _may_be_marked(self, hook: str, packet: Packet) -> bool:
        for name in _ways(hook, packet):
            asked = replace(packet, oif=None) if name in ("prerouting", "output") else packet
            waiting = self.hooks.bases(name, packet.family)
            seen = {id(chain) for chain in waiting}
            while waiting:
                chain = waiting.pop()
                found = self.hooks.indexed(chain).candidates(asked)
                may = [rule for rule in found if applies(rule, asked) is not Answer.NO]
                if id(chain) in self.hooks.marking and any(map(sets_mark, may)):
                    return True
                for entered in self.hooks.entered(chain, may):
                    if id(entered) not in seen:
                        seen.add(id(entered))
                        waiting.append(entered)
        return False


def _ways(hook: str, packet: Packet) -> tuple[str, ...]:
    """The hooks that a packet has been through, or may have been, when it comes to this one's nat chains."""
    if hook != "postrouting":
        return (hook,)
    if packet.iif == "":
        return ("output", "postrouting")
    forwarded = ("prerouting", "forward", "postrouting")
    return forwarded if packet.iif else (*forwarded, "output")


_ENDING = frozenset((Verb.ACCEPT, Verb.DROP, Verb.REJECT, Verb.RETURN))


_SOURCE = frozenset((Verb.SNAT, Verb.MASQUERADE))
_DESTINATION = frozenset((Verb.DNAT, Verb.REDIRECT))


class SourceNat:
    """Asks the postrouting hook. Keeps an index of the ruleset: make one, ask often."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._nat = _Nat(ruleset)

    def find(self, packet: Packet) -> Found:
        """`packet` as it leaves: with its outgoing device, and "" as the incoming one when the host itself sends it."""
        if packet.dst_type is None and packet.oif not in (None, "", "lo") and not _special(packet.dst):
            packet = replace(packet, dst_type="UNICAST")
        return self._nat.find("postrouting", packet, _SOURCE)


def _special(address: IP | None) -> bool:
    return address is not None and (address.is_multicast or address.is_loopback)


class DestinationNat:
    """Asks the prerouting hook, or output for packets that the host itself sends. Make one, ask often."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._nat = _Nat(ruleset)

    def find(self, packet: Packet, output: bool = False) -> Found:
        """`packet` as it comes in; with `output`, as the host's own process sends it."""
        if output:
            return self._nat.find("output", replace(packet, iif=""), _DESTINATION)
        if packet.oif is None:
            packet = replace(packet, oif="")
        return self._nat.find("prerouting", packet, _DESTINATION)

    def targets(self) -> tuple[tuple[Rule, Asked | None], ...]:
        """Every DNAT rule that a packet from elsewhere can come to; with it the protocol and port that a jump on the
        way there asked for (Kubernetes' NodePorts), None where none did."""
        hooks = self._nat.hooks
        found: dict[tuple[int, Asked | None], tuple[Rule, Asked | None]] = {}
        bases = [chain for version in (4, 6) for chain in hooks.bases("prerouting", version) if chain.kind == "nat"]
        waiting: list[tuple[Chain, Asked | None]] = [(chain, None) for chain in bases]
        seen = {(id(chain), asked) for chain, asked in waiting}
        while waiting:
            chain, asked = waiting.pop(0)
            for rule in chain.rules:
                if rule.target.verb is Verb.DNAT:
                    own = None if any(match.key == "dport" for match in rule.matches) else asked
                    found.setdefault((id(rule), own), (rule, own))
                    continue
                for entered in hooks.entered(chain, (rule,)):
                    for more in _asked(rule, asked):
                        if (id(entered), more) not in seen:
                            seen.add((id(entered), more))
                            waiting.append((entered, more))
        return tuple(found.values())


def _asked(rule: Rule, before: Asked | None) -> tuple[Asked | None, ...]:
    """What the packets ask for that a jump lets through: one of its ports, where it is for this host's addresses."""
    plain = {match.key: match.values for match in rule.matches if not match.negated}
    protos, ports = plain.get("proto", ()), plain.get("dport", ())
    if before is not None or "dst" in plain or len(protos) != 1 or not ports or len(ports) > _WIDE:
        return (before,)
    exact = [port for port in ports if isinstance(port, tuple) and port[0] == port[1]]
    return tuple((str(protos[0]), int(low)) for low, _ in exact) or (before,)


def translated(rule: Rule, port: int | None) -> tuple[IP | None, int | None]:
    """Where a DNAT rule sends a packet for `port`: (address, port). None: left as it is, or the kernel will choose."""
    target = rule.target
    address = target.address if target.address_to in (None, target.address) else None
    return address, None if target.ports is None else port_of(target, port, source=False)


def destination(rule: Rule) -> tuple[str | None, int | None, IP | None]:
    """(protocol, port, address) of a rule for one exact port; None where it does not say."""
    proto, port, dst = None, None, None
    for match in rule.matches:
        if match.negated or len(match.values) != 1:
            continue
        value = match.values[0]
        if match.key == "proto" and isinstance(value, str):
            proto = value
        elif match.key == "dport" and isinstance(value, tuple) and value[0] == value[1]:
            port = value[0]
        elif match.key == "dst" and not isinstance(value, (str, tuple)) and getattr(value, "num_addresses", 0) == 1:
            dst = getattr(value, "network_address", None)
    return proto, port, dst
