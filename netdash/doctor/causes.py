"""A failed trace -> its cause: the first explanation that fits, the deeper ones first."""

from __future__ import annotations

from netdash.doctor.cause import Cause, Failed
from netdash.doctor.cause_devices import of_device
from netdash.doctor.cause_engine_rules import lost_rules, missing_rule
from netdash.doctor.cause_routes import of_route, of_sysctl
from netdash.doctor.cause_rules import of_rule
from netdash.doctor.cause_sockets import of_address, of_socket, of_state, of_translation
from netdash.doctor.checks.limits import FULL, is_full
from netdash.doctor.fixes import sysctl
from netdash.model.finding import Direction, Evidence, Severity
from netdash.model.index import index_of
from netdash.trace.hooks import CONNTRACK
from netdash.trace.model import Verdict

_EXPLAIN = (of_state, of_address, of_translation, of_device, of_route, of_sysctl, of_rule, of_socket)
"""Where a packet went astray explains more than the rule that met it there."""


def cause(failed: Failed) -> Cause | None:
    """None where it is no fault: a port that only its own container is meant to reach."""
    if _contradicted(failed):
        return None
    for explain in _EXPLAIN:
        found = explain(failed)
        if found is not None:
            return found
    return _answer(failed) or _unexplained(failed)


def _contradicted(failed: Failed) -> bool:
    """A bridge's own address that the devices show and the routes do not: both were read while it came."""
    place, end = failed.decided_by.place, failed.hops[-1] if failed.hops else None
    link = index_of(failed.host).link(place.removeprefix("bridge "))
    if failed.verdict is not Verdict.NO_ROUTE or link is None or failed.sender is None or end is None:
        return False
    gateways = {
        ip for endpoint in failed.sender.endpoints for ip in endpoint.gateways if ip.version == end.packet.family
    }
    return bool(gateways) and gateways <= {own.ip for own in link.addresses}


def _answer(failed: Failed) -> Cause | None:
    """It arrives and no answer comes back, by no rule: most often nobody translated the source."""
    if failed.verdict.arrives:
        return lost_rules(failed) or missing_rule(failed) or _bridged(failed)
    return None


_CALLS = "net.bridge.bridge-nf-call-iptables"


def _bridged(failed: Failed) -> Cause | None:
    """The answer goes from port to port of the bridge, where nobody turns its address back."""
    value = (failed.host.sysctls or {}).get(_CALLS)
    sender, receiver = failed.sender, failed.receiver
    if not failed.back or value == "1" or sender is None or receiver is None:
        return None
    shared = {end.network for end in sender.endpoints} & {end.network for end in receiver.endpoints}
    if not shared:
        return None
    text = f"{_CALLS} is off" if value == "0" else "br_netfilter is not loaded"
    return Cause(
        "bridge-nf-off",
        Severity.HIGH,
        _CALLS,
        f"{text}: containers of one network do not reach each other by this host's published ports, without a proxy",
        (Evidence(f"sysctl {_CALLS}", value or "not there"), Evidence("answer", failed.decided_by.text)),
        *sysctl(_CALLS, "1", "answers within a bridge are translated back"),
    )


def _unexplained(failed: Failed) -> Cause | None:
    """No rule, route, device or socket was found to blame: told as the trace tells it."""
    if failed.verdict is Verdict.NO_LISTENER and failed.asked.hit.direction is Direction.PEERS:
        return None
    if failed.decided_by.place == CONNTRACK and failed.verdict is Verdict.DROPPED and is_full(failed.host):
        seen = (Evidence(CONNTRACK, failed.decided_by.text),)
        return Cause("conntrack-full", Severity.CRITICAL, CONNTRACK, FULL, seen)
    loopback = failed.asked.question.dst.version == 6 and failed.asked.question.dst.is_loopback
    severity = Severity.INFO if loopback else Severity.HIGH
    code = failed.verdict.value.replace(" ", "-") if not failed.verdict.arrives else "no-answer"
    text = failed.decided_by.text
    evidence = (Evidence(failed.decided_by.place, text),)
    return Cause(code, severity, (failed.decided_by.place, text), text, evidence, confidence=0.7)
