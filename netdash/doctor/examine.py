"""What is broken on a host, and why: the questions that fail, their causes, and what the checks find beside them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from netdash.doctor.candidate import Candidate
from netdash.doctor.cause import Cause, failed
from netdash.doctor.causes import cause
from netdash.doctor.questions import Asked, questions
from netdash.model.finding import Finding, Hit
from netdash.model.host import Host
from netdash.model.source import Source
from netdash.trace.summary import answer

_NEEDED = (Source.DOCKER, Source.RULES, Source.ROUTES, Source.LINKS, Source.SYSCTLS, Source.LISTENERS, Source.PROXIES)


@dataclass(frozen=True, slots=True)
class Report:
    """`findings`: worst first. `not_checked`: by source, why it could not be read."""

    findings: tuple[Finding, ...]
    not_checked: Mapping[str, str]


def examine(host: Host) -> Report:
    candidates = list(_of_traces(host))
    return Report(tuple(sorted((one.finding for one in candidates), key=_rank)), not_checked(host))


def not_checked(host: Host) -> Mapping[str, str]:
    return {str(failure.source): failure.reason for failure in host.failures.values()}


def _of_traces(host: Host) -> Iterator[Candidate]:
    found: dict[Hashable, tuple[Cause, list[Asked]]] = {}
    for asked in questions(host):
        trouble = failed(host, asked, answer(host, asked.question))
        why = cause(trouble) if trouble is not None else None
        if why is not None:
            found.setdefault((why.code, why.thing), (why, []))[1].append(asked)
    for why, asks in found.values():
        yield Candidate(_finding(why, asks), why.changes, tuple(asked.question for asked in asks))


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
