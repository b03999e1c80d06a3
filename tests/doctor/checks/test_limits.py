"""Tables and ranges that are used up."""

from __future__ import annotations

import pytest

from netdash.change.model import SysctlChange
from netdash.doctor.checks import not_checked
from netdash.model.finding import Severity
from tests.doctor.checks.stage import found, made, of_code
from tests.support.trace_hosts import IDS, host

COUNT, MAX = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"


@pytest.mark.parametrize(
    ("count", "severity"),
    [("1000", Severity.CRITICAL), ("1001", Severity.CRITICAL), ("900", Severity.MEDIUM), ("899", None), ("x", None)],
)
def test_a_connection_table_that_fills(count: str, severity: Severity | None) -> None:
    on = host(sysctls={COUNT: count, MAX: "1000"})
    assert [one.severity for one in found(on, "conntrack-full")] == ([severity] if severity is not None else [])


def test_the_fix_of_a_full_table_is_data() -> None:
    (full,) = of_code(host(sysctls={COUNT: "1000", MAX: "1000"}), "conntrack-full")
    assert full.changes == (SysctlChange(MAX, "2000"),)
    assert full.finding.fix[0].command == ("sysctl", "-w", f"{MAX}=2000")


def test_counters_of_all_processors_are_summed_up() -> None:
    stats = "cpu=0 found=0 insert_failed=2 drop=1\ncpu=1 found=3 insert_failed=5 drop=0\n"
    (finding,) = found(made({"host/conntrack-stats.txt": stats}), "conntrack-insert-failed")
    assert finding.severity is Severity.INFO
    assert finding.evidence[0].text == "insert_failed=7"
    assert not found(made({"host/conntrack-stats.txt": "cpu=0 insert_failed=0\n"}), "conntrack-insert-failed")
    assert "conntrack counters" in not_checked(host())


def flow(sport: int, state: str = "ESTABLISHED", seconds: int = 400, dst: str = "192.0.2.10") -> str:
    ends = f"src=172.17.0.2 dst={dst} sport={sport} dport=80"
    return f"tcp 6 {seconds} {state} {ends} src={dst} dst=203.0.113.2 sport=80 dport={sport} [ASSURED] use=1\n"


RANGE = "net.ipv4.ip_local_port_range = 40000\t40003\n"


@pytest.mark.parametrize(
    ("flows", "severity"),
    [
        ([flow(40000), flow(40001), flow(40002), flow(40003)], Severity.MEDIUM),
        ([flow(40000), flow(40001), flow(40002, "TIME_WAIT", 110), flow(40003, "SYN_SENT", 110)], Severity.MEDIUM),
        ([flow(40000), flow(40001), flow(40002), flow(40003, "TIME_WAIT", 50)], None),  # its socket is gone
        (
            [flow(40000), flow(40001), flow(40002), flow(40003, dst="192.0.2.11")],
            None,
        ),  # a port serves two destinations
    ],
)
def test_ports_that_a_container_sends_from(flows: list[str], severity: Severity | None) -> None:
    on = made({"host/conntrack.txt": "".join(flows)}, inner_sysctls=RANGE)
    findings = found(on, "ephemeral-exhausted")
    assert [one.severity for one in findings] == ([severity] if severity is not None else [])
    assert [hit.container for one in findings for hit in one.hits] == [IDS["web"]] * len(findings)


def test_a_range_that_was_not_read_is_not_used_up() -> None:
    assert not found(made({"host/conntrack.txt": flow(40000) * 4}), "ephemeral-exhausted")
