"""Causes that are rules of the engine which are not there."""

from __future__ import annotations

from netdash.doctor.cause import Cause, Failed
from netdash.doctor.checks.parts import masquerade
from netdash.doctor.fixes import NOTHING, engine_restart, restart
from netdash.drift.expected.mode import LEGACY, NATIVE_TABLE
from netdash.model.engine_state import Drift, DriftKind
from netdash.model.finding import Direction, Evidence, Severity
from netdash.model.host import Host, Ref
from netdash.model.index import index_of
from netdash.model.relations import ref_of
from netdash.trace.model import Step


def evidence_of(step: Step) -> Evidence:
    tool = "nft" if step.backend == "nft" else "iptables-legacy" if step.backend == LEGACY else "iptables"
    tool = tool.replace("iptables", "ip6tables") if step.family == "ip6" else tool
    count = step.source.packets if step.source is not None else None
    text = step.text if count is None else f"{step.text} ({count:,} packets)"
    place = f"{step.table}/{step.chain} {'policy' if step.rule is None else f'#{step.rule}'}"
    family = f"{step.family} " if tool == "nft" else ""
    chain = Ref("chain", f"{step.backend} {step.family} {step.table} {step.chain}") if not step.inside else None
    return Evidence(f"{tool} {family}{place}", text, ref_of(step.source) if step.source else chain)


def lost_rules(failed: Failed) -> Cause | None:
    """None of the engine's chains is there."""
    host = failed.host
    if "drift: engine" not in host.failures:
        return None
    native = host.engine is not None and host.engine.firewall == "nftables"
    tables = {(chain.family, chain.table) for chain in host.ruleset.chains} if host.ruleset else set()
    if native:
        code, what = "v29-nft-flush-ruleset", f"table ip {NATIVE_TABLE} is gone"
    elif ("ip", "filter") in tables or ("ip", "nat") in tables:
        code, what = "iptables-flush", "the chain DOCKER is in no table"
    else:
        code, what = "nft-flush-ruleset", "the tables ip nat and ip filter are gone"
    return Cause(
        code,
        Severity.CRITICAL,
        "engine",
        f"the engine's rules are gone, all of them: {what}; something flushed them (a firewall that was reloaded?)",
        (
            Evidence("rules", f"{what}; {len(missing(host))} rules that the engine writes are missing"),
            *((evidence_of(failed.decided_by.step),) if failed.decided_by.step is not None else ()),
        ),
        *engine_restart(host, "writes all of its rules again"),
        confidence=0.9,
    )


def missing(host: Host) -> list[Drift]:
    return [drift for drift in host.drift or () if drift.kind is DriftKind.MISSING]


def missing_rule(failed: Failed) -> Cause | None:
    """One that the engine should have written would have let it through, or translated it."""
    index, port = index_of(failed.host), failed.asked.port
    of_port = index.drift_of_port(port) if port is not None else []
    for drift in of_port:
        if drift.kind is DriftKind.MISSING:
            code = "dnat-missing" if _translates(drift) else "accept-missing"
            return _one_missing(failed, drift, code)
    ends = failed.container.endpoints if failed.container is not None else ()
    for end in ends:
        for drift in index.drift_of_network(end.network_id):
            if drift.kind is DriftKind.MISSING and _bears_on(failed, drift):
                return _one_missing(failed, drift, "masq-missing" if _masquerades(drift) else "accept-missing")
    return None


def missing_masquerade(failed: Failed) -> Cause | None:
    """Of a packet that left with the container's own address, and whose answer a rule drops for it."""
    if not failed.back or failed.asked.hit.direction is not Direction.OUT or failed.container is None:
        return None
    index = index_of(failed.host)
    of_networks = (drift for end in failed.container.endpoints for drift in index.drift_of_network(end.network_id))
    lost = (drift for drift in of_networks if drift.kind is DriftKind.MISSING and _masquerades(drift))
    return next((_one_missing(failed, drift, "masq-missing") for drift in lost), None)


def _translates(drift: Drift) -> bool:
    return drift.table == "nat" or "dnat" in drift.chain or drift.chain.startswith("nat-")


def _masquerades(drift: Drift) -> bool:
    return "POSTROUTING" in drift.chain or "postrouting" in drift.chain


def _bears_on(failed: Failed, drift: Drift) -> bool:
    """A translation of the source decides whether the answer comes back; a rule that accepts, whether it passes."""
    return _masquerades(drift) is (failed.decided_by.step is None)


def _one_missing(failed: Failed, drift: Drift, code: str) -> Cause:
    whose = index_of(failed.host).name(drift.container_id)
    port = failed.asked.port
    target = f"{drift.table}/{drift.chain} lacks a rule of the engine: the one that {drift.why}"
    tool = "nft" if drift.backend == "nft" else "iptables"
    evidence = [Evidence(f"{tool} {drift.table}/{drift.chain}", f"not there: {drift.text}", ref_of(drift))]
    if failed.decided_by.step is not None:
        evidence.append(evidence_of(failed.decided_by.step))
    container = failed.receiver if drift.container_id else None
    severity = Severity.CRITICAL if code == "dnat-missing" else Severity.HIGH
    network = index_of(failed.host).networks.get(drift.network_id or "")
    fix = NOTHING
    if code == "masq-missing" and network is not None and drift.table == "nat":
        fix = masquerade(failed.host, network, "what leaves the network takes this host's address again")
    if not fix[0]:
        fix = (
            restart(container, "the engine writes its rules again")
            if container
            else engine_restart(failed.host, "writes it again")
        )
    thing = (
        (drift.container_id, port.host_port, port.proto)
        if drift.container_id and port
        else (drift.network_id, drift.text)
    )
    return Cause(code, severity, (code, whose, thing), target, tuple(evidence), *fix)
