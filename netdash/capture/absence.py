"""Why a packet was not seen on the other side: its way by the rules and routes, as the trace knows it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address

from netdash.capture.model import Fate, Outcome, Plan, Seen, Side
from netdash.capture.pairs import Flow, Open, Tuple5, key_in, opens
from netdash.model.host import IP, Host
from netdash.model.index import index_of
from netdash.trace.model import Origin, Question, Trace, Verdict
from netdash.trace.tracer import trace

_MOST = 1024  # answers that are kept
_STOPPED = (Verdict.DROPPED, Verdict.REJECTED, Verdict.NO_ROUTE, Verdict.MARTIAN)
_BROADCAST = ip_address("255.255.255.255")
_ECHOES = (0, 8, 128, 129)
_NOT_SEEN = "who began this connection was not seen"
_NO_TRACE = "the trace does not follow ICMP of this type"
_LET_THROUGH = "rules and routes let it through"


class Absence:
    """`newest` answers with the host as it is when it is asked."""

    def __init__(self, newest: Callable[[], Host], plan: Plan) -> None:
        self._newest, self._plan = newest, plan
        self._host = newest()
        self._answers: OrderedDict[Question, Trace] = OrderedDict()
        self._outside = frozenset(point.device for point in plan.points if point.side is Side.OUTSIDE)
        self._has_peer = any(point.side is Side.PEER for point in plan.points)

    # --- without a trace ----------------------------------------------------------------------------------------------

    def waits(self, seen: Seen) -> bool:
        """Whether another point may see it yet."""
        side = self._plan.points[seen.point].side
        if side is Side.DIRECT:
            return False
        return side is not Side.CONTAINER or not (self._stays(seen.src) or self._stays(seen.dst))

    def _stays(self, ip: IP) -> bool:
        """Whether a packet from or to there is seen at the container only: as far as addresses tell."""
        if ip in self._plan.addresses:
            return False
        return _of_the_link(ip) or ip in self._plan.own or (not self._has_peer and self._beside(ip))

    def _beside(self, ip: IP) -> bool:
        """Whether it is on one of the container's networks."""
        return any(ip in own.network for end in self._plan.container.endpoints for own in end.addresses)

    # --- by the trace -------------------------------------------------------------------------------------------------

    def outcome(self, opened: Open) -> Outcome:
        seen, flow = opened.seen[0], opened.flow
        if self._plan.points[seen.point].side is Side.DIRECT:
            return Outcome(Fate.LOCAL, "one side only: past this host's rules and NAT")
        if _of_the_link(seen.dst) or _of_the_link(seen.src):
            return Outcome(Fate.LOCAL, "of its own network: not forwarded")
        inside = self._plan.points[seen.point].side is Side.CONTAINER
        if seen.icmp is not None and seen.icmp.type not in _ECHOES:
            ours = inside and (seen.src in self._plan.own or seen.dst in self._plan.own)
            return Outcome(Fate.LOCAL, "this host itself") if ours else Outcome(Fate.UNKNOWN, _NO_TRACE)
        if flow is None or flow.begun is None or opened.outwards is None:
            return Outcome(Fate.UNKNOWN, _NOT_SEEN)
        if inside and not (opened.outwards and (flow.begun or flow.outer is not None)):
            return self._from_here(seen.src if not opened.outwards else seen.dst, seen, flow.begun)
        if not inside and opened.outwards and flow.inner is not None:
            return Outcome(Fate.UNKNOWN, "not seen at the container, whose packet it is")
        found = self._trace(_question(self._plan, opened, flow, self._plan.points[seen.point].device))
        if found.verdict is Verdict.PROXY:
            return Outcome(Fate.PROXY, f"{found.proxy} takes it and makes another connection")
        if opened.outwards is not flow.begun:
            return _of_answer(found)
        known = flow.inner is not None and flow.outer is not None
        if not (opens(seen) or (seen.tcp is None and not known)):
            return self._of_later(found)
        return self._of_first(found)

    def _from_here(self, peer: IP, seen: Seen, begun: bool) -> Outcome:
        """A packet of a peer that is not behind any captured device, or one to it that answers."""
        if peer in self._plan.own:
            port = seen.dport if seen.src == peer else seen.sport
            proxied = not begun and any(
                published.proxy and (published.proto, published.container_port) == (seen.proto, port)
                for published in self._plan.published
            )
            if proxied:
                return Outcome(Fate.PROXY, "of this host or its docker-proxy, whose client has another connection")
            return Outcome(Fate.LOCAL, "this host itself")
        owners = index_of(self._host).ends_at(peer)
        if owners:
            return Outcome(Fate.LOCAL, f"container {owners[0][0].name}")
        return Outcome(Fate.UNKNOWN, "the peer is behind a device that is not captured, or is not known")

    def _of_first(self, found: Trace) -> Outcome:
        """What the trace says of a packet that opens a flow."""
        verdict, decided = found.verdict, found.decided_by
        if verdict in _STOPPED and decided is not None:
            if decided.step is not None and decided.step.inside:
                return Outcome(Fate.UNKNOWN, f"{decided.place} should have stopped it before it was seen")
            return Outcome(Fate.LOST, verdict.value, decided)
        if verdict is Verdict.UNKNOWN:
            return Outcome(Fate.UNKNOWN, f"hangs on {decided.place}: {decided.text}" if decided else "")
        if found.translation.dst in self._plan.addresses or verdict in _STOPPED:
            return Outcome(Fate.UNKNOWN, _LET_THROUGH)
        if verdict is Verdict.FORWARDED:
            return self._leaves(found)
        owner = index_of(self._host).name(found.receiver)
        if owner is not None and self._has_peer:
            return Outcome(Fate.UNKNOWN, _LET_THROUGH)
        ended = ", where nobody listens" if verdict is Verdict.NO_LISTENER else ""
        return Outcome(Fate.LOCAL, f"container {owner}{ended}" if owner is not None else f"this host itself{ended}")

    def _of_later(self, found: Trace) -> Outcome:
        """A packet of a flow whose first one had passed."""
        exchange = found.exchange
        if exchange.answered is False and exchange.stuck is not None and exchange.why is not None:
            return Outcome(Fate.LOST, exchange.packet, exchange.why)
        if found.verdict in _STOPPED and found.decided_by is not None:
            what = f"{found.decided_by.place} stops a new connection; what stops this one is not known"
            return Outcome(Fate.UNKNOWN, what)
        return self._of_first(found)

    def _leaves(self, found: Trace) -> Outcome:
        device = next((hop.routed.device for hop in reversed(found.hops) if hop.routed and not hop.inside), None)
        if device is None or device in self._outside:
            return Outcome(Fate.UNKNOWN, _LET_THROUGH)
        return Outcome(Fate.ELSEWHERE, f"leaves by {device}, which is not captured")

    def _trace(self, asked: Question) -> Trace:
        host = self._newest()
        if host is not self._host:
            self._host = host
            self._answers.clear()
        found = self._answers.get(asked)
        if found is None:
            found = self._answers[asked] = trace(self._host, asked)
            if len(self._answers) > _MOST:
                self._answers.popitem(last=False)
        return found


def _of_the_link(ip: IP) -> bool:
    """IPv4's link-local addresses are forwarded: clouds answer at one of them."""
    return ip.is_multicast or ip == _BROADCAST or (ip.version == 6 and ip.is_link_local)


def _question(plan: Plan, opened: Open, flow: Flow, device: str) -> Question:
    """The first packet of the flow. One from outside came in by the device at which it was seen; by which one a flow
    came whose answer is lost, is for the routes to say."""
    if flow.begun and flow.inner is not None:
        return _asked(Origin.CONTAINER, flow.inner, container=plan.container.id)
    proto, ip, port, peer, peer_port = flow.outer or key_in(opened.seen[0])
    return _asked(Origin.OUTSIDE, (proto, peer, peer_port, ip, port), iif=None if opened.outwards else device)


def _asked(origin: Origin, ends: Tuple5, container: str | None = None, iif: str | None = None) -> Question:
    proto, src, sport, dst, dport = ends
    if proto in ("icmp", "ipv6-icmp"):
        return Question(origin, dst, "icmp", src=src, container=container, iif=iif)
    return Question(origin, dst, proto, dport, sport, src, iif, container=container)


def _of_answer(found: Trace) -> Outcome:
    exchange = found.exchange
    if found.verdict.arrives and exchange.answered is False and exchange.why is not None:
        return Outcome(Fate.LOST, "the answer is stopped", exchange.why)
    return Outcome(Fate.UNKNOWN, _LET_THROUGH if exchange.answered else _hangs(found))


def _hangs(found: Trace) -> str:
    why = found.exchange.why or found.decided_by
    return f"hangs on {why.place}: {why.text}" if why is not None else "the trace does not tell"
