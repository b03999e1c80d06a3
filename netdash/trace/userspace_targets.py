"""Rules that hand a packet to a program: queues, transparent proxies, and targets whose effect is not known."""

from __future__ import annotations

from netdash.model.host import Rule, Target
from netdash.trace.model import Step, Verdict
from netdash.trace.run import Ended, Run

_QUEUES = ("NFQUEUE", "QUEUE", "queue")


def hand_over(run: Run, rule: Rule, target: Target, step: Step) -> None:
    """Returns when the packet passes."""
    if target.detail in _QUEUES:
        if run.choose(f"the program behind {rule.place} lets the packet pass"):
            return
        run.leave_open(rule)
        raise run.end(Verdict.DROPPED, step.place, "the program that reads the queue drops it", step)
    if target.detail == "TPROXY":
        _to_proxy(run, rule, target, step)
        return
    if target.detail == "SYNPROXY" and run.answered_before():
        run.assume(f"{step.place} opens the connection itself, then asks the receiver: conntrack shows that it answers")
        run.proven = True
        raise Ended(Verdict.DELIVERED, None)
    run.leave_open(rule)
    raise run.end(Verdict.UNKNOWN, step.place, f"what {target.detail or 'this rule'} does is not known", step)


def _to_proxy(run: Run, rule: Rule, target: Target, step: Step) -> None:
    """tproxy_tg4: the packet goes to a transparent socket on this port, and is dropped where there is none."""
    port, listeners = target.ports[0] if target.ports else run.packet.dport, run.net.listeners
    found = [listener for listener in listeners or () if (listener.proto, listener.port) == (run.packet.proto, port)]
    if listeners is not None and not found:
        run.stop(Verdict.DROPPED, step.place, f"TPROXY hands it to port {port}, where nothing listens", step)
        return
    run.leave_open(rule)
    who = found[0].program if found and found[0].program else "whatever listens"
    what = f"TPROXY hands it to {who} on port {port}: how that answers is not known"
    raise run.end(Verdict.UNKNOWN, step.place, what, step)
