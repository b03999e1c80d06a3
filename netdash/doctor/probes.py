"""Which real connections would confirm what was found: a few, of TCP, from this host or a container, and only to
addresses of this host and its containers that the finding is about."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from netdash.doctor.questions import Asked, questions
from netdash.model.finding import Direction, Finding, Severity
from netdash.model.host import Host
from netdash.model.records import dataclass
from netdash.trace.model import Origin, Question
from netdash.trace.summary import answer

MOST, OF_ONE = 8, 2
"""Connections in all, and of one finding."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A connection that fails if the finding is right."""

    code: str  # of the finding
    question: Question
    proxied: bool  # a userland proxy accepts it, whether or not there is somebody behind it


@dataclass(frozen=True, slots=True)
class Probed:
    """`connected` None: that was not told."""

    probe: Probe
    connected: bool | None
    text: str


def probes(host: Host, findings: tuple[Finding, ...]) -> tuple[Probe, ...]:
    """Of the worst findings first."""
    asked = [one for one in questions(host) if _sent_here(one)]
    found = [probe for finding in findings if finding.severity < Severity.INFO for probe in _of(host, finding, asked)]
    return tuple(found[:MOST])


def _sent_here(asked: Asked) -> bool:
    sent = asked.question
    return sent.proto == "tcp" and sent.origin is not Origin.OUTSIDE and asked.hit.direction is not Direction.OUT


def _of(host: Host, finding: Finding, asked: list[Asked]) -> Iterator[Probe]:
    hit = ((one.question, answer(host, one.question)) for one in asked if one.hit in finding.hits)
    failing = (Probe(finding.code, question, bool(said.proxy)) for question, said in hit if said.answered is False)
    yield from islice(failing, OF_ONE)
