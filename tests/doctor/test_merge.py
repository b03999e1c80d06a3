"""What several tell of one cause is one finding; two causes of one kind stay two."""

from __future__ import annotations

from netdash.change.model import ContainerChange, ContainerEdit
from netdash.doctor.candidate import Candidate, merged, supported
from netdash.model.finding import Direction, Evidence, Finding, Fix, Hit, Severity
from netdash.model.host import Ref

RESTART = Fix(("docker", "restart", "web"), "writes its rules again")


def _candidate(code: str, container: str | None, source: str, severity: Severity = Severity.HIGH) -> Candidate:
    hits = () if container is None else (Hit(container, Direction.IN),)
    return Candidate(Finding(code, severity, f"{code} by {source}", hits, (Evidence(source, "seen"),)))


def test_one_cause_told_twice_is_one_finding_with_all_of_its_evidence() -> None:
    check = Candidate(
        Finding(
            "proxy-dead",
            Severity.MEDIUM,
            "check",
            (Hit("web", Direction.OUT),),
            (Evidence("b", "seen"),),
            (RESTART,),
        ),
        (ContainerChange("web", ContainerEdit.RESTART),),
    )
    (one,) = merged([_candidate("proxy-dead", "web", "a"), check])
    assert one.finding.sentence == "proxy-dead by a"
    assert one.finding.severity is Severity.HIGH
    assert [evidence.source for evidence in one.finding.evidence] == ["a", "b"]
    assert [hit.direction for hit in one.finding.hits] == [Direction.IN, Direction.OUT]
    assert (one.finding.fix, one.changes) == ((RESTART,), check.changes)


def test_what_hits_the_same_port_takes_connections_as_evidence() -> None:
    """And what hits another leaves them a finding of their own."""
    silent, other = _candidate("published-unanswered", "web", "conntrack"), _candidate("proxy-dead", "db", "b")
    assert supported([silent, other], "published-unanswered") == [silent, other]
    (one,) = supported([_candidate("drop", "web", "a"), silent], "published-unanswered")
    assert (one.finding.code, [each.source for each in one.finding.evidence]) == ("drop", ["a", "conntrack"])


def test_the_same_fault_of_two_containers_is_two_findings() -> None:
    assert len(merged([_candidate("app-on-loopback", "web", "a"), _candidate("app-on-loopback", "db", "b")])) == 2


def test_what_is_said_of_the_whole_host_is_one_finding() -> None:
    assert len(merged([_candidate("conntrack-full", "web", "a"), _candidate("conntrack-full", None, "b")])) == 1


def test_other_causes_stay_apart() -> None:
    assert len(merged([_candidate("ip-forward-off", "web", "a"), _candidate("masq-missing", "web", "b")])) == 2


def test_two_rules_of_one_chain_are_two_findings_whoever_both_hit() -> None:
    """Each container that one of them cuts off is told which."""

    def dropped(rule: str, *hit: str) -> Candidate:
        seen = Evidence(rule, "drops", Ref("rule", f"iptables ip filter {rule}"))
        hits = tuple(Hit(one, Direction.IN) for one in hit)
        return Candidate(Finding("docker-user-drop", Severity.HIGH, rule, hits, (seen,)))

    first, second = dropped("DOCKER-USER -s a", "web", "db"), dropped("DOCKER-USER -s b", "web", "job")
    assert len(merged([first, second])) == 2
    assert len(merged([first, dropped("DOCKER-USER -s a", "web")])) == 1
    assert len(merged([first, dropped("FORWARD -s b", "web")])) == 1
