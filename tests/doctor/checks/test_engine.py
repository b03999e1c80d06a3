"""An engine that does not answer, its rules and its proxies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netdash.model.finding import Severity
from netdash.model.host import Failure
from tests.doctor.checks.stage import found, made, recorded
from tests.support.trace_hosts import DB, WEB, table

GONE = ("docker/version.json", "docker/inspect.json", "docker/networks.json", "docker/info.json")
PUBLISHING = table("nat", f"-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {WEB}:80")


@pytest.mark.parametrize(
    ("more", "down"),
    [
        ({}, True),
        ({"host/listeners.txt": 'tcp LISTEN 0 9 0.0.0.0:8080 0.0.0.0:* users:(("dockerd",pid=9,fd=3))\n'}, False),
        ({"host/engine.txt": "9 dockerd\n", "host/listeners.txt": None}, False),
    ],
)
def test_an_engine_that_only_cannot_be_asked_is_not_down(more: dict[str, object], down: bool) -> None:
    missing = tuple(path for path, one in more.items() if one is None)
    on = made({path: one for path, one in more.items() if one}, legacy=PUBLISHING, without=(*GONE, *missing))
    assert bool(found(on, "dockerd-down-live-restore")) is down


def test_a_proxy_of_a_container_that_is_gone() -> None:
    def proxy(target: str) -> dict[str, object]:
        argv = f"docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip {target} -container-port 80"
        sockets = 'tcp LISTEN 0 9 0.0.0.0:8080 0.0.0.0:* users:(("docker-proxy",pid=44,fd=4))\n'
        return {"host/docker-proxy.txt": f"44 1 /usr/bin/{argv}\n", "host/listeners.txt": sockets}

    (orphan,) = found(made(proxy("172.17.0.9")), "proxy-orphaned")
    assert orphan.severity is Severity.MEDIUM
    assert orphan.fix[0].command == ("kill", "44")
    assert not found(made(proxy(DB)), "proxy-orphaned")
    assert not found(made(proxy("172.17.0.9"), without=("docker/inspect.json",)), "proxy-orphaned")
    late = replace(made(proxy("172.17.0.9")), failures={"containers": Failure("containers", "no answer within 3 s")})
    assert not found(late, "proxy-orphaned")  # it may be the address of the one that was not inspected


def test_a_container_that_lost_the_rule_of_its_port_names_it() -> None:
    (finding,) = found(recorded("dnat-missing-proxied"), "dnat-missing-proxied")
    assert "8080/tcp of web" in finding.sentence
    assert "--dport 8080" in finding.evidence[0].text


def test_a_lost_rule_alarms_only_where_it_is_known_whether_a_proxy_answers() -> None:
    unread = recorded("dnat-missing-proxied", without=("host/docker-proxy.txt",))
    assert not found(unread, "dnat-missing")
    assert not found(unread, "dnat-missing-proxied")
