"""Fixes of what no packet shows are tried too: the check asks the changed host again."""

from __future__ import annotations

import pytest

from netdash.change.model import SysctlChange
from netdash.doctor.candidate import Candidate
from netdash.doctor.prove import proved
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


@pytest.mark.parametrize(
    ("on", "code"),
    [
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
