"""What conntrack remembers of connections that do not come where they should."""

from __future__ import annotations

import pytest

from netdash.doctor.checks.connections import check_unanswered
from netdash.model.finding import Severity
from netdash.model.records import replace
from tests.doctor.checks.stage import BRIDGE, container, found, made
from tests.support.trace_hosts import DB, WEB, table

UDP = {"5000/udp": [{"HostIp": "0.0.0.0", "HostPort": "5000"}]}
DNAT = table("nat", f"-A PREROUTING -p udp -m udp --dport 5000 -j DNAT --to-destination {WEB}:5000")


def datagram(src: str, answered_by: str, replied: str = "[UNREPLIED] ") -> str:
    return (
        f"udp 17 25 src={src} dst=203.0.113.2 sport=7777 dport=5000 {replied}"
        f"src={answered_by} dst={src} sport=5000 dport=7777 use=1\n"
    )


@pytest.mark.parametrize(
    ("line", "stale"),
    [
        (datagram("192.0.2.10", "203.0.113.2"), True),
        (datagram("192.0.2.10", "172.17.0.9"), True),  # the container's address of before
        (datagram("192.0.2.10", WEB), False),
        (datagram("203.0.113.2", "203.0.113.2"), False),  # this host's own, which a proxy takes
        (datagram("172.17.0.3", "203.0.113.2"), False),  # a container's, which a proxy takes
        (datagram("192.0.2.10", "203.0.113.2", ""), False),  # somebody answers
    ],
)
def test_datagrams_that_an_old_entry_keeps_away(line: str, stale: bool) -> None:
    web = container("web", WEB, PortBindings=UDP)
    web["NetworkSettings"] = {**web["NetworkSettings"], "Ports": UDP}  # type: ignore[dict-item]
    more = {"docker/inspect.json": [web, container("db", DB)], "host/conntrack.txt": line}
    assert bool(found(made(more, legacy=DNAT), "udp-stale-conntrack")) is stale


def asked(state: str = "SYN_SENT", replied: str = "[UNREPLIED] ", back: str = WEB, seconds: int = 100) -> str:
    return (
        f"tcp 6 {seconds} {state} src=192.0.2.10 dst=203.0.113.2 sport=7777 dport=8080 {replied}"
        f"src={back} dst=192.0.2.10 sport=80 dport=7777 use=1\n"
    )


@pytest.mark.parametrize(
    ("line", "started", "silent"),
    [
        (asked(), 10.0, True),
        (asked(), 95.0, False),  # it was not there yet
        (asked(seconds=120), 10.0, False),  # an answer may be on its way
        (asked("SYN_RECV"), 10.0, False),  # the client is silent, as of a scan
        (asked("ESTABLISHED", ""), 10.0, False),
        (asked(back="203.0.113.2"), 10.0, False),  # a proxy's, which answers for itself
    ],
)
def test_connections_that_the_container_does_not_answer(line: str, started: float, silent: bool) -> None:
    tcp = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}
    web = container("web", WEB, PortBindings=tcp)
    web["NetworkSettings"] = {**web["NetworkSettings"], "Ports": tcp}  # type: ignore[dict-item]
    dnat = table("nat", f"-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination {WEB}:80")
    host = made({"docker/inspect.json": [web, container("db", DB)], "host/conntrack.txt": line}, legacy=dnat)
    own = tuple(replace(one, started_at=started) for one in host.containers or ())
    told = [one.finding for one in check_unanswered(replace(host, containers=own, taken=100.0))]
    assert bool(told) is silent
    if silent:
        assert "from 192.0.2.10 for 8080/tcp came to web by the rules" in told[0].sentence
        assert "has waited 20 s for an answer" in told[0].evidence[0].text
        assert told[0].hits[0].port == "8080/tcp"


def syn(dst: str, seconds: int = 100) -> str:
    ends = f"src={WEB} dst={dst} sport=40000 dport=80"
    return f"tcp 6 {seconds} SYN_SENT {ends} [UNREPLIED] src={dst} dst={WEB} sport=80 dport=40000 use=1\n"


@pytest.mark.parametrize(
    ("dst", "gone"), [("172.17.0.9", True), ("172.17.0.3", False), ("172.17.0.1", False), ("192.0.2.10", False)]
)
def test_a_container_that_calls_an_address_which_nobody_has(dst: str, gone: bool) -> None:
    assert bool(found(made({"host/conntrack.txt": syn(dst)}), "stale-upstream-ip")) is gone


@pytest.mark.parametrize(
    ("option", "code", "asked"),
    [
        ("com.docker.network.bridge.enable_ip_masquerade=false", "masq-missing", Severity.HIGH),
        ("com.docker.network.bridge.gateway_mode_ipv4=routed", "v29-routed-no-return", Severity.MEDIUM),
    ],
)
def test_what_leaves_untranslated_alarms_once_somebody_does_not_answer(option: str, code: str, asked: Severity) -> None:
    """Routers beyond the host may know the way back: a setting alone is no fault."""
    name, value = option.split("=")
    networks = [{**BRIDGE, "Options": {"com.docker.network.bridge.name": "docker0", name: value}}]
    for line, severity in (("", Severity.INFO), (syn("192.0.2.10", 119), Severity.INFO), (syn("192.0.2.10"), asked)):
        (finding,) = found(made({"docker/networks.json": networks, "host/conntrack.txt": line}), code)
        assert finding.severity is severity, line


def test_an_old_entry_is_no_alarm_once_a_rule_translates() -> None:
    option = {"com.docker.network.bridge.name": "docker0", "com.docker.network.bridge.enable_ip_masquerade": "false"}
    more = {"docker/networks.json": [{**BRIDGE, "Options": option}], "host/conntrack.txt": syn("192.0.2.10")}
    rules = table("nat", "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE")
    assert not found(made(more, legacy=rules), "masq-missing")


HEARD = 'tcp LISTEN 0 5 127.0.0.1:9000 0.0.0.0:* users:(("python3",pid=7,fd=3))\n'


def call(dst: str, port: int, answered_by: str = "") -> str:
    ends = f"src={WEB} dst={dst} sport=45218 dport={port}"
    reply = f"src={answered_by or dst} dst={WEB} sport={port} dport=45218"
    return f"tcp 6 118 TIME_WAIT {ends} {reply} [ASSURED] use=1\n"


@pytest.mark.parametrize(
    ("line", "listeners", "refused"),
    [
        (call("172.17.0.1", 9000), HEARD, True),
        (call("203.0.113.2", 9000), HEARD, True),
        (call("172.17.0.1", 9000), HEARD + "tcp LISTEN 0 5 172.17.0.1:9000 0.0.0.0:*\n", False),
        (call("172.17.0.1", 9001), HEARD, False),  # nobody listens: it may be gone on purpose
        (call("192.0.2.10", 9000), HEARD, False),
        (call("203.0.113.2", 9000, DB), HEARD, False),  # translated to a container
    ],
)
def test_a_service_of_this_host_that_containers_cannot_reach(line: str, listeners: str, refused: bool) -> None:
    on = made({"host/conntrack.txt": line, "host/listeners.txt": listeners})
    assert bool(found(on, "host-service-loopback")) is refused
