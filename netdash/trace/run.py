"""One walk of a packet: where it is, what it met, and what had to be supposed; and one question walked to every end
that cannot be told apart, and past what stops it.

Knows no rule and no route."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Protocol

from netdash.kernel.conntrack_entries import flows_of
from netdash.model.host import IP, Chain, Container, Host, Listener, Rule
from netdash.model.packet import Packet
from netdash.model.records import dataclass, replace
from netdash.model.turn import give_way
from netdash.trace.connection import NO_ZONE, Connection
from netdash.trace.hooks import Hooks, hooks_of
from netdash.trace.model import UNREAD, Decision, End, Hop, Routed, Step, Tuple4, Verdict

MOST_WALKS = 64  # of one packet, until it is given up to tell the ends apart


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


class Space(Protocol):
    """A container's network namespace."""

    @property
    def container(self) -> Container: ...
    @property
    def name(self) -> str: ...
    @property
    def net(self) -> Host: ...
    @property
    def hooks(self) -> Hooks | None: ...
    def read(self, run: Run) -> None: ...


class Run:
    """`forgiven`: places of decisions that are taken to be mended: the packet goes on there."""

    def __init__(self, host: Host, packet: Packet, choices: Choices, forgiven: frozenset[str] = frozenset()) -> None:
        self.host = host
        self.net = host  # whose routes, rules, devices and switches the packet meets: this host's, or a container's
        self.space: Space | None = None  # the container's namespace where the packet is; None: this host's own
        self.hooks: Hooks | None = hooks_of(host.ruleset) if host.ruleset is not None else None
        self.packet = packet
        self.connection = Connection()
        self.connections: dict[str, Connection] = {"": self.connection}  # by container id; "" is this host's
        self.zone = NO_ZONE  # of conntrack, that rules put the packet in
        self.later = False  # a packet of a connection that is already open: it meets no listener any more
        self.resolved: set[tuple[str, IP]] = set()  # (who, an address whose MAC it has learned)
        self.choices = choices
        self.forgiven = forgiven
        self.hops: list[Hop] = []
        self.unsure: list[Rule] = []
        self._open: set[int] = set()  # their ids
        self.assumed: list[str] = []
        self.next_hop: IP | None = None  # of the route that the packet leaves by
        self.sent: Packet | None = None  # the packet as its sender sends it
        self.asked: Packet | None = None  # of a later packet or an answer: the first one, as it was sent
        self.came_by: str | None = None  # the device by which a packet from outside came in
        self.asker: str | None = None  # the container that sends it, by id; None: this host
        self.beside = False  # it left by macvlan or ipvlan, with an address of that wire
        self.end_at: object = None  # who took it: a Namespace, a device's name, or None for this host
        self.proven = False  # conntrack shows that the same was answered, which no walk could tell
        self.silent = ""  # why whoever took it answers nobody
        self.heard: Listener | None = None  # the socket that took it; of an answer, the one that sends it
        self.legacy_first: bool | None = None  # which nat is asked first, once that had to be supposed
        self.remembered: set[tuple[str, str, str]] = set()  # what rules have put on lists: (table, list, field)
        self.mtus: list[tuple[int, str]] = []  # of the devices that it passed: (MTU, name)
        self.may_be_lost = False  # a queue or a narrower device on its way drops what is larger, or more
        self.ttl: int | None = None  # once a rule has set it
        self._place: tuple[str, Packet, str, str] | None = None  # of the hop where the packet is: as Hop has them
        self._said: list[str] = []  # there
        self._steps: list[Step] = []
        self._routed: Routed | None = None
        self.facts: dict[str, bool] = {}  # what was supposed, and holds for the whole exchange
        self.of_flow: dict[str, bool] = {}  # the same of packets in this direction

    def enter(self, space: Space | None) -> None:
        """The packet comes to another namespace, a container's or (None) this host's. Marks and conntrack's entries
        stay behind (skb_scrub_packet)."""
        if space is self.space:
            return
        self.space = space
        self.zone = NO_ZONE
        self.net = space.net if space is not None else self.host
        self.hooks = space.hooks if space is not None else hooks_of(self.host.ruleset) if self.host.ruleset else None
        self.connection = self.connections.setdefault(space.container.id if space is not None else "", Connection())
        self.packet = replace(
            self.packet, iif=None, oif=None, mark=0, ctstate="INVALID", ctdir="", ctstatus=None, connmark=None,
            original=None, reply=None, physdev_in="", physdev_out="", bridged=False,
        )  # fmt: skip

    @property
    def inside(self) -> str:
        """ " inside web", or "" on this host."""
        return "" if self.space is None else f" inside {self.space.name}"

    def at(self, place: str) -> str:
        """A place's name, with the container where it is one's."""
        return place if self.space is None else f"{self.space.name} {place}"

    # --- telling ------------------------------------------------------------------------------------------------------

    def hop(self, place: str, text: str = "", hook: str = "") -> None:
        """The packet comes to another place."""
        self._close()
        self._place = place, self.packet, hook, self.space.name if self.space is not None else ""
        self._said = [text] if text else []

    def routed(self, decision: Routed) -> None:
        """A routing decision at the place where the packet is."""
        self._routed = decision

    def say(self, text: str) -> None:
        """What happened at the place where the packet is."""
        self._said.append(text)

    def _close(self) -> None:
        if self._place is not None:
            place, packet, hook, inside = self._place
            self.hops.append(Hop(place, "; ".join(self._said), packet, tuple(self._steps), hook, self._routed, inside))
        self._place, self._said, self._steps, self._routed = None, [], [], None

    def finished(self) -> tuple[Hop, ...]:
        self._close()
        return tuple(self.hops)

    def aside(self) -> Run:
        """A copy that asks routes and says nothing of them."""
        made = copy(self)
        made._said, made.assumed = [], []
        return made

    def add(self, hops: tuple[Hop, ...]) -> None:
        """What was met by another packet that this one needs."""
        more = [hop for hop in hops if hop.steps]
        if not more:
            return
        self._close()
        last = more.pop()
        self.hops += more
        self._place = last.place, last.packet, last.hook, last.inside
        self._said, self._steps, self._routed = [last.text] if last.text else [], list(last.steps), last.routed

    def assume(self, sentence: str) -> None:
        if sentence not in self.assumed:
            self.assumed.append(sentence)

    # --- rules --------------------------------------------------------------------------------------------------------

    def step(
        self,
        hook: str,
        chain: Chain,
        rule: Rule | None,
        verdict: str,
        to: str | None = None,
        sure: bool = True,
        translates: bool = False,
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
            self.space.name if self.space is not None else "",
            translates,
        )
        self._steps.append(made)
        return made

    def leave_open(self, rule: Rule) -> None:
        if id(rule) not in self._open:
            self._open.add(id(rule))
            self.unsure.append(rule)

    # --- what cannot be told, and the end -----------------------------------------------------------------------------

    def choose(self, what: str) -> bool:
        """Whether something happens that cannot be told; each answer is a walk of its own. Ends the way where there
        are more of them than walks are made."""
        taken = self.choices.taken
        if len(taken) >= MOST_WALKS:
            place = self.unsure[0].place if self.unsure else "trace"
            text = f"cannot tell whether {taken[0][0]}, nor {len(taken)} more things like that"
            raise self.end(Verdict.UNKNOWN, place, text)
        return self.choices.take(what)

    def unread(self, what: str, why: str) -> None:
        """Where the end would not be known if `what` held, which was not read: in a walk of its own it does."""
        if (what, False) not in self.choices.taken and self.choose(what):
            raise self.end(Verdict.UNKNOWN, UNREAD, why)

    def without(self, source: str, what: str) -> None:
        """The way hangs on a source that was not read: `what` it would tell."""
        failure = self.host.failures.get(source)
        self.unread(f"{what} decide otherwise", f"{what} were not read{f': {failure.reason}' if failure else ''}")

    def answered_before(self) -> bool:
        """Whether conntrack shows that the same was asked and answered."""
        return bool(self.answered_at())

    def answered_at(self) -> set[IP | None]:
        """The addresses at which it was answered: the sender's, or what this host made of it."""
        asked = self.asked or self.sent
        flows = flows_of(self.host, asked.proto, asked.src, asked.dst, asked.dport) if asked is not None else []
        return {flow.reply.dst for flow in flows if flow.replied}

    def suppose_drop(self, place: str, fact: str) -> None:
        """The packet may be dropped here by what is not read."""
        if self.suppose(fact):
            raise self.end(Verdict.DROPPED, place, fact)

    def suppose(self, fact: str, of_flow: bool = False) -> bool:
        """The same of a fact that holds for the whole exchange, or (`of_flow`) for all packets in this direction: asked
        once."""
        known = self.of_flow if of_flow else self.facts
        if fact not in known:
            known[fact] = self.choices.take(fact)
        return known[fact]

    def stop(self, verdict: Verdict, place: str, text: str, step: Step | None = None) -> None:
        """Ends the way here, unless this decision is taken to be mended."""
        if place not in self.forgiven:
            raise Ended(verdict, Decision(place, text, step))

    def end(self, verdict: Verdict, place: str, text: str, step: Step | None = None) -> Ended:
        """An end that nothing mends: raise it."""
        return Ended(verdict, Decision(place, text, step))


_BLOCKERS = 8


@dataclass(slots=True)
class Walked:
    """What came of one walk."""

    run: Run
    hops: tuple[Hop, ...]
    verdict: Verdict
    decision: Decision | None

    @property
    def tuple(self) -> Tuple4:
        packet = self.run.packet
        return Tuple4(packet.src, packet.sport, packet.dst, packet.dport)

    def same(self, other: Walked) -> bool:
        """Whether both end alike."""
        return (self.verdict, self.tuple) == (other.verdict, other.tuple) and _end_of(self.run) == _end_of(other.run)


def _end_of(run: Run) -> object:
    at = run.end_at
    return getattr(at, "container", at)


Walk = Callable[[Choices, frozenset[str]], Walked]


def walk(run: Run, start: Callable[[], Ended]) -> Walked:
    give_way()
    try:
        ended = start()
    except Ended as stopped:  # it must not outlive this block: its traceback holds this frame, and so the whole host
        return Walked(run, run.finished(), stopped.verdict, stopped.decision)
    return Walked(run, run.finished(), ended.verdict, ended.decision)


@dataclass(slots=True)
class Explored:
    """What came of all walks of one packet."""

    first: Walked  # the one that supposes nothing
    ends: tuple[End, ...]  # two of them when they differ
    unsure: tuple[Rule, ...]  # that cannot be told
    others: tuple[Walked, ...] = ()  # that leave otherwise than `first`, where all leave for the same end


def explore(walk: Walk) -> Explored:
    """Walks every answer to what cannot be told, until the verdicts differ."""
    first = walk(Choices(), frozenset())
    unsure = list(first.run.unsure)
    others: list[Walked] = []
    waiting = [first]
    walked = 1
    while waiting:
        last = waiting.pop()
        taken = last.run.choices.taken
        for at in range(len(last.run.choices.given), len(taken)):
            if walked >= MOST_WALKS:
                return Explored(first, (_end(first), replace(_end(last), verdict=Verdict.UNKNOWN)), tuple(unsure))
            given = (*(answer for _, answer in taken[:at]), True)
            other = walk(Choices(given), frozenset())
            walked += 1
            unsure += [rule for rule in other.run.unsure if not any(rule is other for other in unsure)]
            if not other.same(first):
                if not _alike(first, other):
                    return Explored(first, (_end(first), _end(other)), tuple(unsure))
                if not any(other.same(walked) for walked in others):
                    others.append(other)
            waiting.append(other)
    ends = (_end(first), _end(others[0])) if others else ()
    return Explored(first, ends, tuple(unsure), tuple(others))


def _alike(one: Walked, other: Walked) -> bool:
    """Whether the asker gets the same from both: it leaves for the same end, be it by another device or source."""
    if one.verdict is not Verdict.FORWARDED or other.verdict is not Verdict.FORWARDED:
        return False
    return (one.tuple.dst, one.tuple.dport) == (other.tuple.dst, other.tuple.dport)


def undecided(explored: Explored) -> Decision:
    """What the verdict hangs on: the first thing that was supposed differently in the two ends."""
    ends, unsure, first = explored.ends, explored.unsure, explored.first
    if first.verdict is Verdict.UNKNOWN and first.decision is not None:
        return first.decision
    decided = ends[-1].decided_by
    if decided is not None and decided.place == UNREAD:
        return decided
    supposed = [what for what, happens in ends[-1].supposed if happens]
    place = unsure[0].place if unsure else "trace"
    return Decision(place, f"cannot tell whether {supposed[0]}" if supposed else "too much cannot be told")


def _end(walked: Walked) -> End:
    return End(tuple(walked.run.choices.taken), walked.verdict, walked.decision, walked.tuple)


def blockers(walk: Walk, first: Walked) -> tuple[Decision, ...]:
    """What would stop the packet next, once the decision before is mended, and so on."""
    found: list[Decision] = []
    forgiven: set[str] = set()
    decision = first.decision
    while decision is not None and len(found) < _BLOCKERS and decision.place not in forgiven:
        forgiven.add(decision.place)
        again = walk(Choices(), frozenset(forgiven))
        decision = again.decision
        if decision is None or again.verdict is Verdict.UNKNOWN or decision.place in forgiven:
            break
        found.append(decision)
    return tuple(found)
