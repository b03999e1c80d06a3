"""What is broken on a host, and why: the questions that fail, their causes, and what the checks find beside them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from netdash.doctor import checks
from netdash.doctor.candidate import Candidate, merged, supported
from netdash.doctor.cause import Cause, failed
from netdash.doctor.causes import cause
from netdash.doctor.checks.connections import UNANSWERED
from netdash.doctor.fixes import both, by_hand, for_podman, sysctl
from netdash.doctor.prove import all_proved, classes
from netdash.doctor.questions import Asked, questions
from netdash.doctor.standing import judged
from netdash.drift.expected.mode import NATIVE_TABLE
from netdash.model.finding import Direction, Evidence, Finding, Health, Hit, Lasts, Severity
from netdash.model.host import Host
from netdash.model.records import replace
from netdash.model.source import Source
from netdash.trace.summary import answer

_FORWARD = "net.ipv4.ip_forward"
_DOCKERS = re.compile(r"docker0|br-[0-9a-f]{12}")


def candidates(host: Host) -> Iterator[Candidate]:
    """Docker with nftables does not start while forwarding is off, and no container of any engine gets out."""
    if any(container.running for container in host.containers or ()) or (host.sysctls or {}).get(_FORWARD) != "0":
        return
    rules = host.ruleset
    tables = {chain.table for chain in rules.chains} | {table.name for table in rules.tables} if rules else set()
    native = NATIVE_TABLE in tables
    if not native and not any(link.kind == "bridge" and _DOCKERS.fullmatch(link.name) for link in host.links or ()):
        return
    more = "; Docker with nftables does not turn it on, and does not start without it" if native else ""
    start = by_hand(("systemctl", "start", "docker"), "starts the engine, where it does not run", (Lasts.BOOT,))
    fixes, changes = both(sysctl(_FORWARD, "1", "this host forwards again"), start)
    found = Finding(
        "v29-nft-ip-forward-off" if native else "ip-forward-off",
        Severity.CRITICAL,
        f"{_FORWARD} is 0: this host forwards nothing, and no container will reach others{more}",
        (Hit(None, Direction.IN), Hit(None, Direction.OUT)),
        (Evidence(f"sysctl {_FORWARD}", "0"),),
        fixes,
    )
    yield Candidate(found, changes, again=candidates)


_NEEDED = (Source.DOCKER, Source.RULES, Source.ROUTES, Source.LINKS, Source.SYSCTLS, Source.LISTENERS, Source.PROXIES)


def examine(host: Host) -> Health:
    """Of a host that was read to the end."""
    groups = classes(host, list(questions(host)))
    tried = all_proved(host, supported(merged(_candidates(host, groups)), UNANSWERED))
    found = sorted((_for_engine(host, finding) for finding in tried), key=_rank)
    return judged(host, found, not_checked(host), groups)


def _for_engine(host: Host, finding: Finding) -> Finding:
    if host.engine is None or host.engine.name != "podman":
        return finding
    return replace(finding, fix=tuple(map(for_podman, finding.fix)))


def _candidates(host: Host, groups: Iterable[Sequence[Asked]]) -> Iterator[Candidate]:
    yield from _of_traces(host, groups)
    yield from candidates(host)
    yield from checks.candidates(host)


def not_checked(host: Host) -> Mapping[str, str]:
    """What is known not to have been read, and what a check wanted."""
    failed = {str(failure.source): failure.reason for failure in host.failures.values()}
    notes = host.ruleset.notes if host.ruleset is not None else ()
    if notes:
        failed.setdefault(
            str(Source.RULES), notes[0] + (f", and {len(notes) - 1} more: netdash rules" if notes[1:] else "")
        )
    return failed | {source: reason for source, reason in checks.not_checked(host).items() if source not in failed}


def _of_traces(host: Host, groups: Iterable[Sequence[Asked]]) -> Iterator[Candidate]:
    found: dict[Hashable, tuple[Cause, list[Asked]]] = {}
    for members in groups:
        for why, asks in _of_class(host, members):
            found.setdefault((why.code, why.thing), (why, []))[1].extend(asks)
    for why, asks in found.values():
        yield Candidate(_finding(why, asks), why.changes, tuple(asked.question for asked in asks))


_SAMPLE = 3  # of a class whose questions fail


def _of_class(host: Host, members: Sequence[Asked]) -> Iterator[tuple[Cause, Sequence[Asked]]]:
    """The causes of questions that fare alike. Where the first few have one cause, the others have it too."""
    first = _cause(host, members[0]) if members[0].ought else None
    if first is None:
        return
    causes = [first, *(_cause(host, asked) for asked in members[1:_SAMPLE])]
    if len(members) > _SAMPLE and all(why is not None and _same(why, first) for why in causes):
        yield first, members
        return
    causes += [_cause(host, asked) for asked in members[_SAMPLE:]]
    for why, asked in zip(causes, members, strict=True):
        if why is not None:
            yield why, (asked,)


def _cause(host: Host, asked: Asked) -> Cause | None:
    trouble = failed(host, asked, answer(host, asked.question))
    return cause(trouble) if trouble is not None else None


def _same(one: Cause, other: Cause) -> bool:
    return (one.code, one.thing) == (other.code, other.thing)


def _finding(why: Cause, asks: Iterable[Asked]) -> Finding:
    return Finding(
        why.code,
        why.severity,
        why.sentence,
        tuple(dict.fromkeys(asked.hit for asked in asks)),
        why.evidence,
        why.fix,
        confidence=why.confidence,
    )


def _rank(finding: Finding) -> tuple[int, int, float, int]:
    return finding.severity, -len(_who(finding.hits)), -finding.confidence, -len(finding.evidence)


def _who(hits: Iterable[Hit]) -> set[tuple[object, ...]]:
    return {(hit.container, hit.direction) for hit in hits}
