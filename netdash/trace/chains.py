"""The one walk of a packet through base chains: what every rule does with it. Knows hooks and rules, no routes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from netdash.kernel.conntrack_entries import continues, flows_of, takes
from netdash.model.addresses import address
from netdash.model.host import Chain, Effect, Rule, Target, Unread, Verb
from netdash.model.numbers import decimal
from netdash.model.packet import Ends, Packet
from netdash.model.records import replace
from netdash.model.source import Source
from netdash.rules.match import Answer, condition, holds
from netdash.rules.rule_index import mapped
from netdash.trace import translate
from netdash.trace.connection import NO_ZONE, SOURCE, manipulated_at
from netdash.trace.connection import Target as Translated
from netdash.trace.hooks import CONNTRACK, NAT, Hooks, Stage
from netdash.trace.model import Step, Verdict
from netdash.trace.namespace_state import looked_at, number
from netdash.trace.run import Run
from netdash.trace.stateful_rules import first_time, hand_over, remember
from netdash.trace.translate import Untold, translation

_DEEP = 16  # NFT_JUMP_STACK_SIZE
_NEXT, _LEAVE, _ACCEPT = "next", "leave", "accept"
Reroute = Callable[[Packet], None]
"""Called with the packet as it was, where the kernel routes again what the rules changed."""


def ip_hook(run: Run, hook: str, reroute: Reroute | None = None) -> None:
    """Everything at one hook of IPv4 or IPv6. Returns when the packet goes on; raises Ended when it does not."""
    if run.hooks is None and run.space is not None:
        return
    run.hop(run.at(hook), hook=hook)
    if run.hooks is None:
        failure = run.host.failures.get(Source.RULES)
        why = f": {failure.reason}" if failure else ""
        run.unread("rules decide otherwise", f"the packet filter's rules could not be read{why}")
        return
    for stage in run.hooks.ip(hook, run.packet.family):
        before = run.packet
        call(run, hook, stage)
        turned = run.packet.dst != before.dst  # a mark that a chain of nat sets turns nothing (nf_nat_ipv4_local_fn)
        if reroute and (turned if stage.kind == NAT else stage.chains and stage.chains[0].kind == "route"):
            reroute(before)


def call(run: Run, hook: str, stage: Stage) -> None:
    """One call at a hook."""
    if stage.kind == CONNTRACK:
        _known(run)
        translate.find(run)
        _full(run)
        run.packet = run.connection.track(run.packet, translate.loose(run))
    elif stage.kind == NAT:
        _nat(run, hook)
    elif stage.unread is not None:
        not_read(run, stage.unread)
    else:
        base(run, hook, stage.chains[0])


def not_read(run: Run, part: Unread) -> None:
    """Rules that were not read may do anything with the packet here."""
    run.unread("rules that were not read decide otherwise", f"not all rules were read: {part.reason}")


def _known(run: Run) -> None:
    """nf_conntrack_in: a packet of a connection that is tracked already belongs to it, whatever rules say today."""
    packet, connection = run.packet, run.connection
    if run.space is not None or connection.original is not None or connection.untracked or packet.sport is None:
        return
    if run.zone != NO_ZONE:  # entries of zones are not read
        return
    for flow in flows_of(run.host, packet.proto, packet.src, packet.dst, packet.dport):
        if flow.original.sport == packet.sport and continues(flow):
            connection.join(flow)
            run.say(
                f"conntrack has this flow, {'answered' if flow.replied else 'unanswered'}: rules of nat are not asked"
            )


def _full(run: Run) -> None:
    """__nf_conntrack_alloc: a full table drops a new connection, unless early_drop finds one there that may go."""
    connection = run.connection
    if connection.original is not None or connection.answering or connection.untracked:
        return
    if run.host.sysctls is None:
        run.without(Source.SYSCTLS, "the sysctls")
    count, most = (number(run.net, f"net.netfilter.nf_conntrack_{name}") or 0 for name in ("count", "max"))
    if not 0 < most <= count:
        return
    full = f"a full connection table ({count} of {most})"
    counted = (run.host.conntrack_counts if run.space is None else None) or {}
    never = counted.get("drop") and counted.get("early_drop") == 0
    if never or run.choose(f"{full} drops what is new"):
        more = f": it dropped {counted['drop']} so far, and never found an old one to give up" if never else ""
        run.stop(Verdict.DROPPED, "conntrack", f"{full}{more}")


def _nat(run: Run, hook: str) -> None:
    """nf_nat_inet_fn: only the first packet of a connection meets the chains, until one of them has bound it."""
    connection = run.connection
    if connection.original is None or connection.untracked:
        return
    kind = manipulated_at(hook)
    if moved := connection.moved(hook, run.packet):
        raise run.end(Verdict.UNKNOWN, run.at("nat"), moved)
    if not connection.answering and not connection.replied and kind not in connection.bound:
        for chain in _in_order(run, hook):
            base(run, hook, chain)
            if kind in connection.bound:
                break
        else:
            connection.bind(hook, None, run.packet)
    run.packet = looked_at(run.net, connection.shown(connection.translate(run.packet, hook)))


def _in_order(run: Run, hook: str) -> tuple[Chain, ...]:
    """The chains of nat; between iptables-legacy and nft only the moment of their making tells, which is not known."""
    orders = run.hooks.nat(hook, run.packet.family) if run.hooks else ((),)
    if len(orders) > 1:
        if run.legacy_first is None:
            run.legacy_first = not run.choose("nat of nft comes before that of iptables-legacy")
        return orders[not run.legacy_first]
    return orders[0]


def base(run: Run, hook: str, chain: Chain) -> None:
    """One base chain with its policy."""
    if run.hooks is None or _Walk(run, run.hooks, hook).chain(chain) == _ACCEPT:
        return
    policy = chain.policy or "accept"
    step = run.step(hook, chain, None, policy)
    if policy == "drop":
        run.stop(Verdict.DROPPED, step.place, step.text, step)


class _Walk:
    """One packet in one base chain."""

    def __init__(self, run: Run, hooks: Hooks, hook: str) -> None:
        self._run = run
        self._hooks = hooks
        self._hook = hook
        self._changed = 0  # how often a rule changed addresses, ports or marks

    def chain(self, chain: Chain, deep: int = 0) -> str:
        """_ACCEPT, or _NEXT at the chain's end."""
        run = self._run
        if deep > _DEEP:
            raise run.end(Verdict.UNKNOWN, f"{chain.table}/{chain.name}", "jumps more than 16 deep")
        for rule in self._candidates(chain):
            target = self._matched(rule, chain)
            if target is None:
                continue
            then = self._meet(rule, chain, target, deep)
            if then is not _NEXT:
                return _NEXT if then is _LEAVE else then
        return _NEXT

    def _candidates(self, chain: Chain) -> Iterator[Rule]:
        """The rules to try; once a rule has changed the packet, those that the changed one may match."""
        indexed = self._hooks.indexed(chain)
        start: int | None = 0
        while start is not None:
            before, places, start = self._changed, indexed.candidates(self._run.packet, start), None
            for at, rule in places:
                yield rule
                if self._changed != before:
                    start = at + 1
                    break

    # --- does it match ------------------------------------------------------------------------------------------------

    def _matched(self, rule: Rule, chain: Chain) -> Target | None:
        """What the rule does with the packet; None when it does not match."""
        if self._run.packet.ctdir == "" and _reads_connmark(rule):
            return None
        if any(effect.after is not None for effect in rule.target.effects):
            answer = self._by_and_by(rule)
        else:
            answer = first_time(self._run, rule)
        if answer is not Answer.UNSURE and _of_two_meanings(rule):
            answer = Answer.UNSURE
        if answer is Answer.NO:
            return None
        if answer is Answer.UNSURE:
            self._run.leave_open(rule)
            if _idle(rule.target):
                self._run.step(self._hook, chain, rule, "continue", sure=False)
                return None
            if not self._run.choose(f"{rule.place} matches"):
                self._run.step(self._hook, chain, rule, rule.target.verb.value, rule.target.chain, sure=False)
                return None
        return self._case(rule)

    def _by_and_by(self, rule: Rule) -> Answer:
        """Of a rule that changes the packet between its conditions."""
        answer = Answer.UNSURE if rule.not_understood else Answer.YES
        for at, match in enumerate(rule.matches):
            self._effects(rule, (effect for effect in rule.target.effects if effect.after == at))
            held = condition(match, self._run.packet)
            if held is Answer.NO:
                return held
            answer = held if held is Answer.UNSURE else answer
        self._effects(rule, (effect for effect in rule.target.effects if effect.after == len(rule.matches)))
        return answer

    def _case(self, rule: Rule) -> Target | None:
        """What a map says of this packet; the target itself where it has none."""
        target = rule.target
        if target.cases:
            for conditions, case in target.cases:
                answer = holds(conditions, self._run.packet)
                if answer is Answer.YES or (answer is Answer.UNSURE and self._perhaps(rule)):
                    return case
            return None
        if target.verb is not Verb.VMAP:
            return target
        for verdict, answer in mapped(target.elements, target.detail, self._run.packet):
            if answer is Answer.YES or self._perhaps(rule):
                return _of_element(verdict)
        return None

    def _perhaps(self, rule: Rule) -> bool:
        self._run.leave_open(rule)
        return self._run.choose(f"an element of {rule.place}'s map matches")

    # --- what it does -------------------------------------------------------------------------------------------------

    def _effects(self, rule: Rule, effects: Iterable[Effect]) -> None:
        run = self._run
        for effect in effects:
            self._changed += effect.kind in ("mark", "connmark")
            if effect.kind == "mark":
                run.packet = replace(run.packet, mark=_marked(run.packet.mark, run.connection.mark, effect))
            elif effect.kind == "connmark" and run.packet.ctdir:
                run.connection.mark = _marked(run.connection.mark, run.packet.mark, effect)
                run.packet = replace(run.packet, connmark=run.connection.mark)
            elif effect.kind == "set":
                remember(run, rule, effect)
            elif effect.kind in ("ttl", "hoplimit"):
                run.ttl = _set_to(effect.detail) or run.ttl
            elif effect.kind == "rewrite":
                self._rewrite(rule, effect)
            elif effect.kind == "zone":
                translate.put_in(run, rule, effect)
            elif effect.kind == "notrack" and not run.packet.ctdir and self._untracks(rule, effect):
                run.connection.untracked = True
                run.packet = run.connection.shown(run.packet)

    def _rewrite(self, rule: Rule, effect: Effect) -> None:
        """What conntrack has not seen yet, or does not track, goes on as another packet; its answer is not changed
        back. Of a tracked one the entry no longer fits, which is not followed."""
        run = self._run
        name, _, value = effect.detail.partition(" ")
        field, ip, port = _FIELDS.get(name), address(value), decimal(value)
        new = ip if field in ("src", "dst") else port
        if field is None or new is None or run.packet.ctdir != "":
            raise run.end(Verdict.UNKNOWN, rule.place, "it rewrites the packet in a way that is not followed")
        self._changed += 1
        changed: dict[str, Any] = {field: new}
        if field == "sport":
            changed["ephemeral"] = None
        run.packet = looked_at(run.net, run.packet, **changed)

    def _untracks(self, rule: Rule, effect: Effect) -> bool:
        if effect.keep is not None:
            return True
        self._run.leave_open(rule)
        return self._run.choose(f"{rule.place} keeps the packet from being tracked")

    def _meet(self, rule: Rule, chain: Chain, target: Target, deep: int) -> str:
        run, verb = self._run, target.verb
        if verb in (Verb.JUMP, Verb.GOTO):
            return self._enter(rule, chain, target, deep)
        if verb in _NAT or target.net is not None:
            return self._translate(rule, chain, target)
        step = run.step(self._hook, chain, rule, _SAID.get(verb, verb.value))
        self._effects(rule, _remaining(rule, target))
        match verb:
            case Verb.ACCEPT:
                return _ACCEPT
            case Verb.RETURN:
                return _LEAVE
            case Verb.CONTINUE:
                return _NEXT
            case Verb.DROP:
                run.stop(Verdict.DROPPED, step.place, step.text, step)
                return _NEXT
            case Verb.REJECT:
                run.stop(Verdict.REJECTED, step.place, target.detail or "icmp port unreachable", step)
                return _NEXT
        hand_over(run, rule, target, step)
        return _ACCEPT

    def _enter(self, rule: Rule, chain: Chain, target: Target, deep: int) -> str:
        run = self._run
        step = run.step(self._hook, chain, rule, target.verb.value, target.chain)
        self._effects(rule, _remaining(rule, target))
        found = self._hooks.chain(chain, target.chain or "")
        if found is None:
            run.leave_open(rule)
            raise run.end(Verdict.UNKNOWN, step.place, f"there is no chain {target.chain}", step)
        then = self.chain(found, deep + 1)
        return _LEAVE if then is _NEXT and target.verb is Verb.GOTO else then

    def _translate(self, rule: Rule, chain: Chain, target: Target) -> str:
        run = self._run
        found = translation(run, self._hook, rule, target)
        if found is Untold.OTHER_FAMILY:
            run.step(self._hook, chain, rule, "continue")
            return _NEXT
        self._effects(rule, _remaining(rule, target))
        if found is Untold.NOTHING:
            step = run.step(self._hook, chain, rule, "drop")
            run.stop(Verdict.DROPPED, step.place, "the device has no address to translate to", step)
            return _NEXT
        step = run.step(self._hook, chain, rule, "accept", translates=True)
        if isinstance(found, Untold):
            run.leave_open(rule)
            raise run.end(Verdict.UNKNOWN, step.place, "to which address it translates cannot be told", step)
        self._taken(step, target, found)
        run.connection.bind(self._hook, found, run.packet, target.verb is Verb.MASQUERADE)
        return _ACCEPT

    def _taken(self, step: Step, target: Target, found: Translated) -> None:
        """get_unique_tuple: a source that may have one port only, which another connection to the same end has."""
        run, packet = self._run, self._run.packet
        if target.ports is None or target.ports[0] != target.ports[1] or manipulated_at(self._hook) != SOURCE:
            return
        other = takes(run.host, packet.proto, Ends(packet.dst, packet.dport, *found), packet.src)
        if other is not None and run.space is None:
            text = f"port {found[1]} is taken by {other.original.src} (conntrack), and no other is allowed"
            run.stop(Verdict.DROPPED, step.place, text, step)


def _set_to(words: str) -> int | None:
    """`--ttl-set 1`, `ip ttl set 1`, `--hl-set 1`."""
    found = re.search(r"set (\d{1,3})$", words)
    return int(found[1]) if found else None


def _of_two_meanings(rule: Rule) -> bool:
    """ip6tables' addrtype takes UNICAST for what the address is, not for what the routes say (xt_addrtype.c)."""
    return (
        rule.family == "ip6"
        and rule.backend != "nft"
        and any(match.key.startswith(("src_type", "dst_type")) and "UNICAST" in match.values for match in rule.matches)
    )


def _reads_connmark(rule: Rule) -> bool:
    """Whether nft asks for the connection's mark, which ends the rule where there is no connection (nft_ct.c)."""
    return rule.backend == "nft" and any(
        (effect.kind == "connmark" and effect.keep) or (effect.kind == "mark" and effect.other_keep)
        for effect in rule.target.effects
    )


_FIELDS = {"saddr": "src", "daddr": "dst", "sport": "sport", "dport": "dport"}
_NAT = (Verb.DNAT, Verb.SNAT, Verb.MASQUERADE, Verb.REDIRECT)
_SAID = {Verb.REJECT: "drop", Verb.OTHER: "queue"}
_CHANGES = ("mark", "connmark", "notrack", "zone", "rewrite", "set", "ttl", "hoplimit")


def _idle(target: Target) -> bool:
    """Whether nothing of the packet's way hangs on a rule."""
    return (
        target.verb is Verb.CONTINUE
        and not target.cases
        and all(effect.kind not in _CHANGES for effect in target.effects)
    )


def _remaining(rule: Rule, target: Target) -> Iterable[Effect]:
    """What has not happened between the rule's conditions."""
    return (effect for effect in target.effects if effect.after is None or target is not rule.target)


def _of_element(verdict: str) -> Target:
    """A verdict map's value: a chain to jump to, "goto CHAIN", or a verdict."""
    for verb in (Verb.ACCEPT, Verb.DROP, Verb.RETURN, Verb.CONTINUE):
        if verdict == verb.value:
            return Target(verb)
    name = verdict.removeprefix("goto ")
    return Target(Verb.JUMP if name == verdict else Verb.GOTO, chain=name)


def _marked(old: int | None, other: int | None, effect: Effect) -> int | None:
    if effect.keep is None or (old is None and effect.keep) or (other is None and effect.other_keep):
        return None
    return (((old or 0) & effect.keep) ^ ((other or 0) & effect.other_keep) ^ effect.xor) & 0xFFFFFFFF
