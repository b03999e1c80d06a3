"""What the engine says of its containers."""

from __future__ import annotations

import pytest

from netdash.bundle.recording import scrub
from netdash.model.finding import Severity
from tests.doctor.checks.stage import container, found, made
from tests.support.trace_hosts import DB, PUBLISHED, WEB

PORTS = {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}


def of_web(state: dict[str, object], published: bool = True, **more: object) -> dict[str, object]:
    web = container("web", WEB, state, PortBindings=PORTS if published else {})
    web["NetworkSettings"] = {**web["NetworkSettings"], "Ports": PORTS if published else {}}  # type: ignore[dict-item]
    return {"docker/inspect.json": [{**web, **more}, container("db", DB)]}


@pytest.mark.parametrize(("published", "severity"), [(True, Severity.HIGH), (False, Severity.INFO)])
def test_a_paused_container_alarms_where_others_wait_for_it(published: bool, severity: Severity) -> None:
    on = made(of_web({"Status": "paused"}, published), legacy=PUBLISHED if published else None)
    assert [one.severity for one in found(on, "container-paused")] == [severity]


def test_only_a_check_that_fails_is_unhealthy() -> None:
    for status, count in (("unhealthy", 1), ("healthy", 0), ("starting", 0)):
        assert len(found(made(of_web({"Health": {"Status": status}})), "unhealthy")) == count


@pytest.mark.parametrize(
    ("state", "restarts", "severity"),
    [
        ({"Status": "restarting", "ExitCode": 1}, 4, Severity.HIGH),
        ({"Status": "running", "StartedAt": "2026-11-01T10:00:00Z"}, 4, None),  # it is not known what time it is
        ({"Status": "running"}, 0, None),
    ],
)
def test_a_program_that_ends_after_each_start(
    state: dict[str, object], restarts: int, severity: Severity | None
) -> None:
    on = made(of_web(state, RestartCount=restarts), legacy=PUBLISHED)
    assert [one.severity for one in found(on, "crash-loop")] == ([severity] if severity is not None else [])


def test_of_proxy_variables_only_the_names_are_kept() -> None:
    config = {"Env": ["PATH=/bin", "http_proxy=http://me:hunter2@127.0.0.1:3128", "HTTPS_PROXY=x"]}
    (kept,) = scrub("docker/inspect.json", [container("web", WEB, config=config)])  # type: ignore[misc]
    assert kept["Config"]["Env"] == ["http_proxy", "HTTPS_PROXY"]
    (finding,) = found(made({"docker/inspect.json": [kept]}), "http-proxy-env")
    assert finding.severity is Severity.INFO
    assert "http_proxy and HTTPS_PROXY" in finding.sentence
    assert not found(
        made({"docker/inspect.json": [container("web", WEB, config={"Env": ["PATH=/bin"]})]}), "http-proxy-env"
    )


TAKEN = "driver failed: listen tcp4 0.0.0.0:8080: bind: address already in use"
HELD = 'tcp LISTEN 0 9 0.0.0.0:8080 0.0.0.0:* users:(("nginx",pid=77,fd=3))\n'


@pytest.mark.parametrize(
    ("error", "listeners", "severity"),
    [(TAKEN, HELD, Severity.HIGH), ("", HELD, Severity.INFO), (TAKEN, "", None)],
)
def test_a_port_that_another_process_holds(error: str, listeners: str, severity: Severity | None) -> None:
    web = container("web", "", {"Status": "exited", "Pid": 0, "Error": error}, PortBindings=PORTS)
    on = made({"docker/inspect.json": [web], "host/listeners.txt": listeners})
    findings = found(on, "port-taken-by-process")
    assert [one.severity for one in findings] == ([severity] if severity is not None else [])
    assert all("nginx (pid 77)" in one.sentence for one in findings)


def test_ports_beside_the_hosts_own_network() -> None:
    web = container("web", NetworkMode="host", PortBindings=PORTS)
    heard = "tcp LISTEN 0 9 0.0.0.0:8080 0.0.0.0:*\n"
    (vain,) = found(made({"docker/inspect.json": [web]}), "host-network-ports-ignored")
    assert vain.severity is Severity.MEDIUM
    (same,) = found(made({"docker/inspect.json": [web], "host/listeners.txt": heard}), "host-network-ports-ignored")
    assert same.severity is Severity.INFO


def test_extra_hosts_that_lead_to_nobody() -> None:
    def names(*extra: str) -> list[str]:
        inspected = [container("web", WEB, ExtraHosts=list(extra)), container("db", DB)]
        return [one.sentence for one in found(made({"docker/inspect.json": inspected}), "stale-extra-host")]

    assert len(names("db:172.17.0.9")) == 1
    assert names(f"db:{DB}", "far:192.0.2.1", "host:host-gateway", "gate=172.17.0.1", "broken") == []
