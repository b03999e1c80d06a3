"""What a failed trace is turned into: the part of the walk that ended, and its cause."""

from __future__ import annotations

from collections.abc import Hashable

from netdash.change.model import Change
from netdash.doctor.questions import Asked
from netdash.drift.expected.mode import LEGACY
from netdash.model.finding import Evidence, Fix, Severity
from netdash.model.host import Container, Host, Rule
from netdash.model.index import index_of
from netdash.model.records import dataclass
from netdash.model.relations import ref_of
from netdash.trace.model import Decision, Hop, Trace, Verdict


@dataclass(frozen=True, slots=True)
class Failed:
    """A question that got no answer. `hops`, `verdict`, `decided_by`: of the packet that did not arrive, which may be
    the proxy's own or (`back`) the answer."""

    host: Host
    asked: Asked
    trace: Trace
    hops: tuple[Hop, ...]
    verdict: Verdict
    decided_by: Decision
    back: bool = False

    @property
    def rule(self) -> Rule | None:
        """The rule that ended it."""
        return self.decided_by.step.source if self.decided_by.step is not None else None

    @property
    def receiver(self) -> Container | None:
        return index_of(self.host).containers.get(self.asked.receiver or "")

    @property
    def sender(self) -> Container | None:
        return index_of(self.host).containers.get(self.asked.question.container or "")

    @property
    def container(self) -> Container | None:
        """Whose packet it is: who ought to get it, else who sends it."""
        return self.receiver or self.sender


@dataclass(frozen=True, slots=True)
class Cause:
    """`thing`: what tells it apart from other causes of the same code: a rule's place, a device …"""

    code: str
    severity: Severity
    thing: Hashable
    sentence: str
    evidence: tuple[Evidence, ...] = ()
    fix: tuple[Fix, ...] = ()
    changes: tuple[Change, ...] = ()
    confidence: float = 1.0


def failed(host: Host, asked: Asked, trace: Trace) -> Failed | None:
    """None where the asker gets its answer, or where that cannot be told. Of a packet that comes in by a named device
    only the way in is asked: its answer may well leave by another one."""
    if trace.verdict is Verdict.UNKNOWN:
        return None
    if not trace.verdict.arrives:
        return _ended(host, asked, trace, trace.hops, trace.verdict, trace.decided_by)
    if trace.then is not None and not trace.then.verdict.arrives:
        return failed(host, asked, trace.then)
    if trace.exchange.answered is not False or asked.question.iif is not None:
        return None
    if trace.then is not None and trace.then.exchange.answered is False:
        return failed(host, asked, trace.then)
    reply = trace.exchange.stuck or trace.reply
    why = trace.exchange.why
    if reply is None:
        inner = trace.then or trace
        return _ended(host, asked, inner, inner.hops, trace.verdict, why)
    return _ended(host, asked, trace, reply.hops, reply.verdict, why, back=True)


def _ended(
    host: Host,
    asked: Asked,
    trace: Trace,
    hops: tuple[Hop, ...],
    verdict: Verdict,
    decision: Decision | None,
    back: bool = False,
) -> Failed | None:
    return None if decision is None else Failed(host, asked, trace, hops, verdict, decision, back)


def rule_evidence(rule: Rule) -> Evidence:
    """A rule as the tool that lists it names it, with its counter."""
    tool = {"iptables-nft": "iptables", LEGACY: LEGACY}.get(rule.backend, f"nft {rule.family}")
    tool = tool.replace("iptables", "ip6tables") if rule.family == "ip6" else tool
    count = "" if rule.packets is None else f" ({rule.packets:,} packets)"
    return Evidence(f"{tool} {rule.table}/{rule.chain} #{rule.position}", f"{rule.text}{count}", ref_of(rule))
