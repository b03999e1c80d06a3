"""Is what netdash says of a probe what the kernel did with it?"""

from __future__ import annotations

from dataclasses import dataclass

from netdash.model.host import Host
from netdash.trace.model import Origin, Question, Reply, Step, Trace, Tuple4, Verdict
from netdash.trace.tracer import trace
from tests.fuzz.frames import Tuple
from tests.fuzz.kernel import Fate, Met
from tests.fuzz.make import Probe
from tests.fuzz.recorded import container_id
from tests.fuzz.world import BY_NAME, LISTENING

_LOST = (Verdict.NO_ROUTE, Verdict.MARTIAN, Verdict.DROPPED)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`word`: agreed, agreed on the verdict (a rule that cannot be told makes no difference to it, so that the list of
    rules proves nothing), unknown, wrong verdict, wrong rules, wrong translation, wrong answer. `text` says what
    differs."""

    word: str
    text: str = ""

    @property
    def wrong(self) -> bool:
        return self.word.startswith("wrong")


def question(probe: Probe) -> Question:
    packet = probe.packet
    ported = packet.proto in ("tcp", "udp")
    ports = {"dport": packet.dport if ported else None, "sport": packet.sport if ported else None}
    if probe.sender == "host":
        source = None if packet.src.is_unspecified else packet.src
        return Question(Origin.HOST, packet.dst, packet.proto, **ports, src=source, mark=probe.mark)
    peer = BY_NAME[probe.sender]
    if peer.container:
        own = str(packet.src) in peer.addresses
        identity = container_id(probe.sender)
        return Question(
            Origin.CONTAINER, packet.dst, packet.proto, **ports, src=None if own else packet.src, container=identity
        )
    return Question(Origin.OUTSIDE, packet.dst, packet.proto, **ports, src=packet.src, iif=peer.device)


def ask(host: Host, probe: Probe) -> Trace:
    return trace(host, question(probe))


def compare(said: Trace, fate: Fate) -> Judgement:
    if said.verdict is Verdict.UNKNOWN:
        return Judgement("unknown", "; ".join(f"{rule.place} {rule.text}" for rule in said.unsure) or _reason(said))
    expected = (*_verdicts(fate), *_refused_inside(said, fate), *_ignored(said, fate))
    unsure = bool(said.unsure) or not all(step.sure for step in said.steps)
    unsure = unsure or _asks_for_neighbour(said) or _comes_back_too(said)
    blame = unsure or _blames_a_rule(said) is (fate.end == "dropped")
    if said.verdict not in expected and said.verdict is Verdict.DROPPED and _asks_for_neighbour(said):
        return Judgement("unknown", "a neighbour is asked for, which the machines outside know already")
    if said.verdict not in expected or not blame:
        names = " or ".join(one.value for one in expected)
        return Judgement(
            "wrong verdict", f"said {said.verdict.value} ({_reason(said)}), the kernel: {names} ({fate.end})"
        )
    ours, theirs = [_place(step) for step in said.steps], [_of_kernel(met) for met in fate.steps]
    if not unsure and ours != theirs:
        return Judgement("wrong rules", _difference(ours, theirs))
    if fate.end in ("received", "delivered", "gone") and fate.packet and not _same(said.translation, fate.packet):
        return Judgement("wrong translation", f"said {_shown(said.translation)}, the kernel: {fate.packet}")
    if unsure:
        return Judgement("agreed on the verdict")
    return _back(said.reply, fate.answer) or Judgement("agreed")


def _back(said: Reply | None, fate: Fate | None) -> Judgement | None:
    """What is wrong with the way of the answer; None where nothing is, or the kernel showed none."""
    if (
        said is None
        or fate is None
        or said.verdict is Verdict.UNKNOWN
        or said.unsure
        or not all(step.sure for step in said.steps)
        or _asks_for_neighbour(said)
    ):
        return None
    arrived = Verdict.FORWARDED if fate.at and not BY_NAME[fate.at].container else Verdict.DELIVERED
    ends = {"received": (arrived,), "delivered": (arrived,), "dropped": (Verdict.DROPPED, Verdict.REJECTED)}
    expected = ends.get(fate.end, (*_LOST, Verdict.FORWARDED))
    if said.verdict not in expected:
        names = " or ".join(one.value for one in expected)
        return Judgement("wrong answer", f"said {said.verdict.value}, the kernel: {names} ({fate.end})")
    ours, theirs = [_place(step) for step in said.steps], [_of_kernel(met) for met in fate.steps]
    return None if ours == theirs else Judgement("wrong answer", _difference(ours, theirs))


def _of_kernel(met: Met) -> str:
    return str(met).removeprefix("legacy ")


def _place(step: Step) -> str:
    return f"{step.family} {step.table}/{step.chain} {step.rule or 'policy'}"


def _verdicts(fate: Fate) -> tuple[Verdict, ...]:
    heard = fate.packet is not None and (fate.packet.dport in LISTENING or fate.packet.proto.endswith("icmp"))
    arrived = Verdict.DELIVERED if heard else Verdict.NO_LISTENER
    match fate.end:
        case "received":
            return (arrived,) if BY_NAME[fate.at].container else (Verdict.FORWARDED,)
        case "delivered":
            return (arrived,)
        case "dropped":
            return (Verdict.DROPPED, Verdict.REJECTED)
        case "gone":  # nobody has that address
            return (Verdict.FORWARDED, Verdict.NO_ROUTE, Verdict.NO_LISTENER)
        case _:
            return _LOST


def _refused_inside(said: Trace, fate: Fate) -> tuple[Verdict, ...]:
    """What is heard at the receiver's device may still be refused by its routes, which the watcher does not see."""
    inside = bool(said.hops) and said.hops[-1].place == fate.at
    return (Verdict.MARTIAN,) if fate.end == "received" and inside else ()


def _ignored(said: Trace, fate: Fate) -> tuple[Verdict, ...]:
    """Behind the last hook, TCP and ping ignore what is sent to many (tcp_v4_rcv, icmp_echo_ignore_broadcasts)."""
    many = bool(said.hops) and said.hops[-1].packet.dst_type in ("BROADCAST", "MULTICAST")
    return (Verdict.DROPPED,) if many and fate.end in ("delivered", "received") and not _blames_a_rule(said) else ()


def _comes_back_too(said: Trace) -> bool:
    """Whether this host sends it to many, and so to itself: a copy meets rules as well (ip_output, ip_mc_output)."""
    return any(hop.hook == "output" and hop.packet.dst_type in ("BROADCAST", "MULTICAST") for hop in said.hops)


def _asks_for_neighbour(said: Trace | Reply) -> bool:
    """Whether it ends with ARP or neighbour discovery, for which the peers here have their entries already."""
    return any(hop.packet.arp is not None or (hop.packet.icmp or (0,))[0] in (135, 136) for hop in said.hops)


def _blames_a_rule(said: Trace) -> bool:
    return said.decided_by is not None and said.decided_by.step is not None and not said.verdict.arrives


def _reason(said: Trace) -> str:
    if said.decided_by is None:
        return "nothing decided"
    return f"{said.decided_by.place}: {said.decided_by.text}"


def _same(said: Tuple4, packet: Tuple) -> bool:
    ours = (said.src, said.sport, said.dst, said.dport)
    ported = packet.proto in ("tcp", "udp")
    theirs = (packet.src, packet.sport if ported else None, packet.dst, packet.dport if ported else None)
    return all(one is None or two is None or one == two for one, two in zip(ours, theirs, strict=True))


def _shown(said: Tuple4) -> str:
    return f"{said.src}:{said.sport} > {said.dst}:{said.dport}"


def _difference(ours: list[str], theirs: list[str]) -> str:
    same = next(
        (at for at, (one, two) in enumerate(zip(ours, theirs, strict=False)) if one != two), min(len(ours), len(theirs))
    )
    tail = lambda steps: " | ".join(steps[same : same + 3]) or "nothing more"  # noqa: E731
    return f"after {same} steps said {tail(ours)}, the kernel: {tail(theirs)}"
