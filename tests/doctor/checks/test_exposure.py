"""Who gets in although somebody meant otherwise."""

from __future__ import annotations

import pytest

from netdash.model.finding import Severity
from tests.doctor.checks.stage import container, found, made
from tests.support.trace_hosts import DB, PUBLISHED, WEB, table

PORTS = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}


def published(ports: dict[str, object]) -> dict[str, object]:
    web = container("web", WEB, PortBindings=ports)
    web["NetworkSettings"] = {**web["NetworkSettings"], "Ports": ports}  # type: ignore[dict-item]
    return {"docker/inspect.json": [web, container("db", DB)]}


DENY = "-A INPUT -p tcp -m tcp --dport 8080 -j DROP"


@pytest.mark.parametrize(
    ("rules", "code", "severity"),
    [
        ([DENY], "ufw-bypass", Severity.CRITICAL),
        (
            ["-A INPUT -p tcp -m tcp --dport 8000:9000 -j REJECT --reject-with icmp-port-unreachable"],
            "ufw-bypass",
            Severity.CRITICAL,
        ),
        (["-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT", DENY], "ufw-bypass", None),  # allowed before
        ([DENY.replace("8080", "8081")], "ufw-bypass", None),
        (["-A FORWARD -i eth0 -j DROP", DENY], "ufw-bypass", None),  # it does not come in anyway
        (["-A INPUT -j DROP"], "firewall-not-asked", Severity.INFO),
        ([], "firewall-not-asked", None),
    ],
)
def test_a_firewall_that_published_ports_pass_by(rules: list[str], code: str, severity: Severity | None) -> None:
    on = made(published(PORTS), legacy=PUBLISHED + table("filter", *rules))
    assert [one.severity for one in found(on, code)] == ([severity] if severity is not None else [])


LOOPBACK: dict[str, object] = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
TO_LOOPBACK = table(
    "nat", f"-A PREROUTING -d 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {WEB}:80"
)
GUARD = table("raw", "-A PREROUTING -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 8080 -j DROP")
SEEN = (
    "tcp 6 100 TIME_WAIT src=203.0.113.1 dst=127.0.0.1 sport=5000 dport=8080 "
    f"src={WEB} dst=203.0.113.1 sport=80 dport=5000 [ASSURED] use=1\n"
)


@pytest.mark.parametrize(
    ("rules", "sysctls", "flows", "severity"),
    [
        (TO_LOOPBACK, {}, "", Severity.INFO),
        (TO_LOOPBACK, {"net.ipv4.conf.docker0.route_localnet": "1"}, "", Severity.HIGH),
        (TO_LOOPBACK, {}, SEEN, Severity.HIGH),
        (TO_LOOPBACK + GUARD, {"net.ipv4.conf.docker0.route_localnet": "1"}, "", None),
    ],
)
def test_a_port_on_loopback_that_a_neighbour_reaches(
    rules: str, sysctls: dict[str, str], flows: str, severity: Severity | None
) -> None:
    on = made({**published(LOOPBACK), "host/conntrack.txt": flows}, legacy=rules, sysctls=sysctls)
    findings = found(on, "v29-loopback-publish-from-lan")
    assert [one.severity for one in findings] == ([severity] if severity is not None else [])
    assert [one.severity for one in found(on, "publish-localhost")] == [Severity.INFO]


def counted(text: str, packets: int) -> str:
    return table("raw", text).replace("-A PREROUTING", f"[{packets}:60] -A PREROUTING")


def test_packets_for_a_containers_own_address_that_were_dropped() -> None:
    rule = f"-A PREROUTING -d {WEB}/32 ! -i docker0 -j DROP"
    (finding,) = found(made({}, legacy=counted(rule, 3)), "v29-direct-routing-drop")
    assert finding.severity is Severity.MEDIUM
    assert "3 packets" in finding.sentence
    assert not found(made({}, legacy=counted(rule, 0)), "v29-direct-routing-drop")
    old = {"docker/version.json": {"Version": "20.10.24"}}
    assert found(made(old, legacy=counted(rule, 3)), "raw-direct-drop")


def test_a_rule_that_hides_who_asks() -> None:
    def seen(rule: str) -> list[Severity]:
        rules = PUBLISHED.replace("COMMIT", f"{rule}\nCOMMIT")
        return [one.severity for one in found(made(published(PORTS), legacy=rules), "source-ip-lost-broad-masq")]

    assert seen("-A POSTROUTING -j MASQUERADE") == [Severity.MEDIUM]
    assert seen("-A POSTROUTING -o eth0 -j MASQUERADE") == []
    assert seen("-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE") == []
