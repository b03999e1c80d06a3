"""One walk of a packet: where it is, what it met, and what had to be supposed. Knows no rule and no route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from netdash.core.model import IP, Chain, Host, Rule
from netdash.core.packet import Packet
from netdash.core.trace.answer import UNREAD, Decision, Hop, Step, Verdict
from netdash.core.trace.conntrack import Connection
from netdash.core.trace.hooks import Hooks, hooks_of


class Ended(Exception):  # noqa: N818  # no error: every way ends
    """The packet's way is over."""

    def __init__(self, verdict: Verdict, decision: Decision | None) -> None:
        super().__init__(verdict)
        self.verdict = verdict
        self.decision = decision


class Choices:
    """Answers to what cannot be told: those that are given first, then no. Remembers what was asked."""

    def __init__(self, given: tuple[bool, ...] = ()) -> None:
        self.given = given
        self.taken: list[tuple[str, bool]] = []

    def take(self, what: str) -> bool:
        at = len(self.taken)
        answer = self.given[at] if at < len(self.given) else False
        self.taken.append((what, answer))
        return answer


class Run:
    """`forgiven`: places of decisions that are taken to be mended: the packet goes on there."""

    def __init__(self, host: Host, packet: Packet, choices: Choices, forgiven: frozenset[str] = frozenset()) -> None:
        self.host = host
        self.hooks: Hooks | None = hooks_of(host.ruleset) if host.ruleset is not None else None
        self.packet = packet
        self.connection = Connection()
        self.choices = choices
        self.forgiven = forgiven
        self.hops: list[Hop] = []
        self.unsure: list[Rule] = []
        self.assumed: list[str] = []
        self.next_hop: IP | None = None  # of the route that the packet leaves by
        self.end_at: object = None  # who took it: a Namespace, a device's name, or None for this host
        self.legacy_first: bool | None = None  # which nat is asked first, once that had to be supposed
        self._steps: list[Step] = []
        self.look: Callable[[Host, Packet], Packet] = lambda _, packet: packet  # fills in what the routes say of it

    def seen(self, packet: Packet) -> Packet:
        """The packet with the types of its addresses. The function that finds them is handed the host: as a closure
        over this run it would make a cycle of each trace, which keeps the host and its rules."""
        return self.look(self.host, packet)

    # --- telling ------------------------------------------------------------------------------------------------------

    def hop(self, place: str, text: str = "") -> None:
        """The packet comes to another place."""
        self._close()
        self.hops.append(Hop(place, text, self.packet))

    def say(self, text: str) -> None:
        """What happened at the place where the packet is."""
        last = self.hops[-1]
        self.hops[-1] = replace(last, text=f"{last.text}; {text}" if last.text else text)

    def _close(self) -> None:
        if self.hops:
            self.hops[-1] = replace(self.hops[-1], steps=(*self.hops[-1].steps, *self._steps))
        self._steps = []

    def told(self) -> tuple[Hop, ...]:
        self._close()
        return tuple(self.hops)

    def assume(self, sentence: str) -> None:
        if sentence not in self.assumed:
            self.assumed.append(sentence)

    # --- rules --------------------------------------------------------------------------------------------------------

    def step(
        self, hook: str, chain: Chain, rule: Rule | None, verdict: str, to: str | None = None, sure: bool = True
    ) -> Step:
        """A rule was met, or without one the chain's policy."""
        text = rule.text if rule else f"policy {verdict}"
        position = rule.position if rule else None
        made = Step(
            hook,
            chain.family,
            chain.table,
            chain.name,
            position,
            text,
            verdict,
            self.packet,
            to,
            sure,
            chain.backend,
            rule,
        )
        self._steps.append(made)
        return made

    def leave_open(self, rule: Rule) -> None:
        if not any(rule is one for one in self.unsure):
            self.unsure.append(rule)

    # --- what cannot be told, and the end -----------------------------------------------------------------------------

    def choose(self, what: str) -> bool:
        """Whether something happens that cannot be told; each answer is a walk of its own."""
        return self.choices.take(what)

    def without(self, source: str, what: str) -> None:
        """The way hangs on a source that was not read: `what` it would tell."""
        failure = self.host.failures.get(source)
        self.unread(f"{what} decide otherwise", f"{what} were not read{f': {failure.reason}' if failure else ''}")

    def unread(self, what: str, why: str) -> None:
        """Where the end would not be known if `what` held, which was not read: in a walk of its own it does."""
        if (what, False) not in self.choices.taken and self.choose(what):
            raise self.end(Verdict.UNKNOWN, UNREAD, why)

    def stop(self, verdict: Verdict, place: str, text: str, step: Step | None = None) -> None:
        """Ends the way here, unless this decision is taken to be mended."""
        if place not in self.forgiven:
            raise Ended(verdict, Decision(place, text, step))

    def end(self, verdict: Verdict, place: str, text: str, step: Step | None = None) -> Ended:
        """An end that nothing mends: raise it."""
        return Ended(verdict, Decision(place, text, step))
