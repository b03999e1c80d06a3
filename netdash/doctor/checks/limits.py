"""Tables and ranges of numbers that are used up: conntrack's entries, the ports that connections are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from netdash.doctor.candidate import Candidate
from netdash.doctor.checks.parts import candidate, hit_of_port, of_container, of_sysctl
from netdash.doctor.fixes import sysctl
from netdash.doctor.questions import leads_out
from netdash.kernel.conntrack_entries import unzoned
from netdash.model.finding import Direction, Evidence, Hit, Severity
from netdash.model.host import IP, Container, Host, TrackedFlow
from netdash.model.index import index_of
from netdash.model.numbers import decimal

_MAX, _COUNT = "net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_count"
_RANGE = "net.ipv4.ip_local_port_range"
_NEARLY = 0.9
_WIDE = "1024 65535"
_TIME_WAIT = 60  # seconds that a socket stays; conntrack keeps its entry for 120


FULL = "the connection table is full: new connections through this host are dropped, at random"


def check_conntrack(host: Host) -> Iterator[Candidate]:
    """Whom a full table hits is told by their packets."""
    most, count = (decimal((host.sysctls or {}).get(name, "")) for name in (_MAX, _COUNT))
    if not most or count is None or count < most * _NEARLY:
        return
    full = is_full(host)
    text = (
        FULL
        if full
        else f"the connection table is nearly full ({count} of {most}): when it is, new connections are dropped"
    )
    evidence = [of_sysctl(_COUNT, str(count)), of_sysctl(_MAX, str(most))]
    counts = host.conntrack_counts or {}
    if counts.get("drop") or counts.get("early_drop"):
        evidence.append(
            Evidence("conntrack -S", f"drop={counts.get('drop', 0)} early_drop={counts.get('early_drop', 0)}")
        )
    yield candidate(
        "conntrack-full",
        Severity.CRITICAL if full else Severity.MEDIUM,
        text,
        _all(host) if full else (),
        evidence,
        *sysctl(_MAX, str(most * 2), "makes room for twice as many connections, of about 320 bytes each"),
    )


def _all(host: Host) -> list[Hit]:
    hits = [hit_of_port(port) for port in host.ports or () if port.live and port.container_id]
    for container in host.containers or ():
        ends = [end for end in container.endpoints if container.running and leads_out(host, end, 4)]
        hits += [Hit(container.id, Direction.OUT, network=end.network) for end in ends]
    return hits


def is_full(host: Host) -> bool:
    most, count = (decimal((host.sysctls or {}).get(name, "")) for name in (_MAX, _COUNT))
    return most is not None and count is not None and 0 < most <= count


def check_inserts(host: Host) -> Iterator[Candidate]:
    """Entries that could not be made since the start: two packets came at once, or no port was free to translate to."""
    counts = host.conntrack_counts or {}
    failed = counts.get("insert_failed", 0)
    if failed:
        yield candidate(
            "conntrack-insert-failed",
            Severity.INFO,
            f"{failed} packets were dropped since the start because conntrack could not add their connection: "
            "mostly two DNS requests of one socket at the same moment",
            evidence=[Evidence("conntrack -S", f"insert_failed={failed}")],
        )


def check_ephemeral(host: Host) -> Iterator[Candidate]:
    """Of each container whose connections to one destination use all ports that it may send from."""
    owners = index_of(host).owners
    used: Counter[tuple[str, IP, int]] = Counter()
    for flow in unzoned(host):
        owner = owners.get(flow.original.src) if flow.original.src else None
        if owner is not None and _holds_a_port(flow) and flow.original.dst and flow.original.dport:
            used[(owner.id, flow.original.dst, flow.original.dport)] += 1
    for (identity, ip, port), count in used.items():
        container = index_of(host).containers[identity]
        span = _range(container)
        if span is not None and count >= (span[1] - span[0] + 1) * _NEARLY:
            yield _exhausted(container, f"{ip} port {port}", count, span)


def _exhausted(container: Container, aim: str, count: int, span: tuple[int, int]) -> Candidate:
    size = span[1] - span[0] + 1
    full = count >= size
    used = f"{container.name} has used {count} of its {size} ports for connections to {aim}"
    left = f"{container.name} has no port left for {aim}: all its {size} are used by connections there"
    return candidate(
        "ephemeral-exhausted",
        Severity.MEDIUM if full else Severity.INFO,
        left if full else used,
        (Hit(container.id, Direction.OUT),),
        [
            of_container(container, f"{_RANGE} = {span[0]} {span[1]}"),
            Evidence("conntrack", f"{count} connections of {container.name} to {aim}"),
        ],
        *sysctl(_RANGE, _WIDE, "lets it send from all ports", container),
    )


def _holds_a_port(flow: TrackedFlow) -> bool:
    if flow.proto != "tcp":
        return False
    return flow.state in ("SYN_SENT", "ESTABLISHED") or (flow.state == "TIME_WAIT" and (flow.seconds or 0) > _TIME_WAIT)


def _range(container: Container) -> tuple[int, int] | None:
    """The ports that its programs send from; None where that was not read."""
    sysctls: Mapping[str, str] = dict(container.inside.sysctls) if container.inside else {}
    words = sysctls.get(_RANGE, "").split()
    low, high = (decimal(words[0], 5), decimal(words[1], 5)) if len(words) == 2 else (None, None)
    return (low, high) if low is not None and high is not None and low <= high else None
