"""Fixes of what no packet shows are tried too: the check asks the changed host again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netdash.change.model import SysctlChange
from netdash.doctor.candidate import Candidate
from netdash.doctor.prove import all_proved, proved
from netdash.model.host import Host
from tests.doctor.checks.stage import container, of_code
from tests.support.trace_hosts import DB, PUBLISHED, WEB, host, table

PORTS = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}
COUNT, MAX = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"


def of(on: Host, code: str) -> Candidate:
    (one,) = of_code(on, code)
    return one


def exposed() -> Host:
    web = container("web", WEB, PortBindings=PORTS)
    web["NetworkSettings"] = {**web["NetworkSettings"], "Ports": PORTS}  # type: ignore[dict-item]
    asked = ("-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -j RETURN", "-A INPUT -p tcp -m tcp --dport 8080 -j DROP")
    return host(PUBLISHED + table("filter", *asked), more={"docker/inspect.json": [web, container("db", DB)]})


def on_loopback() -> Host:
    ports = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    web = container("web", WEB, PortBindings=ports)
    web["NetworkSettings"] = {**web["NetworkSettings"], "Ports": ports}  # type: ignore[dict-item]
    rule = f"-A PREROUTING -d 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {WEB}:80"
    more = {"docker/inspect.json": [web, container("db", DB)]}
    return host(table("nat", rule) + table("raw"), more=more, sysctls={"net.ipv4.conf.docker0.route_localnet": "1"})


def with_stale_datagrams() -> Host:
    ports = {"80/udp": [{"HostIp": "0.0.0.0", "HostPort": "5000"}]}
    web = container("web", WEB, PortBindings=ports)
    web["NetworkSettings"] = {**web["NetworkSettings"], "Ports": ports}  # type: ignore[dict-item]
    ends = "src=192.0.2.10 dst=203.0.113.2 sport=7 dport=5000", "src=203.0.113.2 dst=192.0.2.10 sport=5000 dport=7"
    line = f"udp 17 25 {ends[0]} [UNREPLIED] {ends[1]} use=1\n"
    rule = f"-A PREROUTING -p udp -m udp --dport 5000 -j DNAT --to-destination {WEB}:80"
    more = {"docker/inspect.json": [web, container("db", DB)], "host/conntrack.txt": line}
    return host(table("nat", rule), more=more)


def with_an_address_twice() -> Host:
    own = [{"family": "inet", "local": DB, "prefixlen": 16}, {"family": "inet", "local": WEB, "prefixlen": 16}]
    inside = [{"ifindex": 2, "ifname": "eth0", "flags": ["UP"], "mtu": 1500, "addr_info": own}]
    more = {"docker/inspect.json": [container("web", WEB), container("db", DB)], "containers/db/addr.json": inside}
    return host(more=more)


def shaped() -> Host:
    return host(more={"rules/tc.txt": "qdisc netem 8001: dev vweb root refcnt 2 limit 1000 loss 100%\n"})


@pytest.mark.parametrize(
    ("on", "code"),
    [
        (with_stale_datagrams(), "udp-stale-conntrack"),
        (with_an_address_twice(), "duplicate-ip"),
        (shaped(), "tc-drop"),
        (on_loopback(), "v29-loopback-publish-from-lan"),
        (host(sysctls={COUNT: "1000", MAX: "1000"}), "conntrack-full"),
        (exposed(), "ufw-bypass"),
    ],
)
def test_a_fix_after_which_the_check_finds_nothing_is_proved(on: Host, code: str) -> None:
    assert proved(on, of(on, code)).proved is True


def test_a_fix_that_leaves_the_cause_is_not() -> None:
    on = host(sysctls={COUNT: "1000", MAX: "1000"})
    full = of(on, "conntrack-full")
    little = Candidate(full.finding, (SysctlChange(MAX, "1001"),), again=full.again)
    assert proved(on, little).proved is None
    assert proved(on, little).fix == full.finding.fix


def test_of_many_findings_of_one_code_the_first_are_tried() -> None:
    on = shaped()
    (one,) = all_proved(on, [of(on, "tc-drop")])
    assert one.proved is True
    told = [finding.proved for finding in all_proved(on, [of(on, "tc-drop")] * 6)]
    assert told == [True, True, True, True, None, None]


def test_a_check_that_is_not_told_any_more_proves_nothing() -> None:
    on = shaped()
    candidate = of(on, "tc-drop")
    assert candidate.again is not None
    assert candidate.again(replace(on, qdiscs=None)) is None
    assert list(candidate.again(replace(on, qdiscs={})) or ()) == []
