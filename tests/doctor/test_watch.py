"""Findings as they appear and go."""

from __future__ import annotations

from netdash.doctor.watch import Watch
from netdash.drift.incremental import SETTLED
from netdash.model.finding import Direction, Evidence, Finding, Health, Hit, Mark, Severity, Standing


def _report(*findings: Finding) -> Health:
    return Health(findings, {})


def _finding(code: str, source: str, packets: int, *containers: str) -> Finding:
    hits = tuple(Hit(one, Direction.IN) for one in containers)
    return Finding(code, Severity.HIGH, f"{code}: {packets} packets", hits, (Evidence(source, f"{packets} packets"),))


def test_a_finding_is_told_when_it_appears_and_when_it_is_gone() -> None:
    watch, one = Watch(), _finding("dropped", "iptables filter/FORWARD #1", 4, "web")
    assert watch.look(_report(), 10.0) == ((), ())
    (new,), gone = watch.look(_report(one), 20.0)
    assert (new.code, new.since, gone) == ("dropped", 20.0, ())
    assert watch.look(_report(one), 30.0) == ((), ())
    new_, (old,) = watch.look(_report(), 40.0)
    assert (new_, old.code, old.since) == ((), "dropped", 20.0)


def test_counters_and_hits_that_change_are_the_same_finding() -> None:
    watch = Watch()
    watch.look(_report(_finding("dropped", "iptables filter/FORWARD #1", 4, "web")), 10.0)
    assert watch.look(_report(_finding("dropped", "iptables filter/FORWARD #1", 9, "web", "db")), 20.0) == ((), ())


def test_the_same_fault_by_another_rule_is_another_finding() -> None:
    watch = Watch()
    watch.look(_report(_finding("dropped", "iptables filter/FORWARD #1", 4, "web")), 10.0)
    new, gone = watch.look(_report(_finding("dropped", "iptables raw/PREROUTING #1", 4, "web")), 20.0)
    assert [one.evidence[0].source for one in new] == ["iptables raw/PREROUTING #1"]
    assert [one.evidence[0].source for one in gone] == ["iptables filter/FORWARD #1"]


def test_a_proxy_without_container_counts_when_it_has_lasted() -> None:
    """The engine starts it before it tells of the container, and ends it after."""
    watch, orphan = Watch(), _finding("proxy-orphaned", "docker-proxy 44", 0)
    other = _finding("dropped", "iptables filter/FORWARD #1", 4, "web")
    assert watch.dated(_report(), 10.0).findings == ()
    assert [one.code for one in watch.dated(_report(orphan, other), 20.0).findings] == ["dropped"]
    assert watch.dated(_report(), 21.0).findings == ()
    assert watch.look(_report(orphan), 22.0) == ((), ())
    (new,), gone = watch.look(_report(orphan), 22.0 + SETTLED)
    assert (new.code, gone) == ("proxy-orphaned", ())
    assert len(Watch().dated(_report(orphan), 20.0).findings) == 1  # what the first look finds was there before


def test_what_hits_a_container_is_still_that_where_a_finding_before_it_is_left_out() -> None:
    orphan, other = (
        _finding("proxy-orphaned", "processes", 0),
        _finding("dropped", "iptables filter/FORWARD #1", 4, "web"),
    )
    watch = Watch()
    watch.dated(_report(), 10.0)
    health = watch.dated(Health((orphan, other), {}, {"web": Standing(Mark.BROKEN, Mark.OK, (0, 1))}), 20.0)
    assert [health.findings[at].code for at in health.standings["web"].findings] == ["dropped"]


def test_findings_of_one_kind_and_source_are_all_dated() -> None:
    """Three ports that are published on an address of this host alone have the list of ports for evidence."""
    same = [_finding("publish-localhost", "ports", port) for port in (8080, 8081, 8082)]
    found = Watch().dated(_report(*same), 20.0).findings
    assert [(one.sentence, one.since) for one in found] == [(one.sentence, 20.0) for one in same]
