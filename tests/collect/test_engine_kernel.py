"""Whether the engine's kernel is the one that was read: by evidence, once, for every view and for publishing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from netdash.apply.preflight import preflight
from netdash.bundle.recording import Recording
from netdash.collect import engine_namespace
from netdash.collect.engine_namespace import kernel_of
from netdash.collect.once import Options, read_once
from netdash.join.host import Builder
from netdash.model.engine_state import KERNEL
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Host
from netdash.model.source import SOURCES
from netdash.trace.model import Origin, Question, Verdict
from netdash.trace.question import Asked, question
from netdash.trace.summary import Leaves, outbound
from netdash.trace.tracer import trace
from netdash.view.statements import text
from tests.support.read_engines import FakeEngine

Recorded = Callable[[str], Recording]
OURS = os.uname().release
GONE = 2**22 + 5  # no process has this number


def answers(pid: int = 0, kernel: str = OURS, started: str = "", network: str = "e" * 64) -> dict[str, object]:
    return {
        "docker/version.json": {"KernelVersion": kernel},
        "docker/inspect.json": [{"Id": "a" * 64, "State": {"Pid": pid, "StartedAt": started}}],
        "docker/networks.json": [{"Id": network}],
    }


def now() -> str:
    return datetime.fromtimestamp(psutil.Process().create_time(), UTC).isoformat()


def test_another_kernel_by_its_name() -> None:
    assert kernel_of(answers(os.getpid(), "6.10.14-linuxkit", now())) == (
        f"another it runs on kernel 6.10.14-linuxkit, this machine on {OURS}\n"
    )


def test_a_process_of_a_container_proves_it() -> None:
    assert kernel_of(answers(os.getpid(), started=now())) == "here\n"


@pytest.mark.parametrize("started", ["", "x", "2001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"])
def test_a_process_that_is_not_the_containers_proves_nothing(started: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_namespace, "_sees_all_processes", lambda: True)
    for pid in (os.getpid(), GONE):
        told = kernel_of(answers(pid, started=started))
        assert told == "another none of its 1 running containers has a process here\n"


def test_what_is_not_seen_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process namespace of its own; with a bridge of the engine's here; without a running container."""
    monkeypatch.setattr(engine_namespace, "_sees_all_processes", lambda: False)
    assert kernel_of(answers(GONE)) is None
    monkeypatch.setattr(engine_namespace, "_sees_all_processes", lambda: True)
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "br-eeeeeeeeeeee")])
    assert kernel_of(answers(GONE)) is None
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "docker0")])
    assert kernel_of(answers(0)) is None
    for broken in (None, 1, [1], [{"Id": 1, "State": 2}], {"a": "b"}):
        assert kernel_of({"docker/inspect.json": broken, "docker/networks.json": broken}) is None


def told(recording: Recording, line: str) -> Host:
    return Builder().build(replace(recording, live=True, answers={**recording.answers, KERNEL: line}))


def test_of_another_kernel_nothing_is_joined(recording: Recorded) -> None:
    host = told(recording("docker28.5-nft-full"), "another it is a virtual machine\n")
    assert host.containers
    nothing = (host.links, host.routes, host.policy, host.neighbours, host.ruleset, host.proxies, host.listeners)
    assert set(nothing) == {None}
    assert host.drift is None
    for source in set(SOURCES) - {"docker"}:
        assert host.failures[source].reason == "the engine is not on this machine: it is a virtual machine"
    published = [port for port in host.ports or () if port.container_id and port.live]
    assert published
    assert {port.holder for port in published} == {None}
    web = next(one for one in host.containers if one.name == "web")
    answer = trace(host, Question(Origin.CONTAINER, ip_address("192.0.2.1"), "tcp", 80, container=web.id))
    assert answer.verdict is Verdict.UNKNOWN
    with pytest.raises(NetdashError, match="not on this machine: it is a virtual machine") as raised:
        question(host, "outside", ":8080", Asked())
    assert raised.value.code is Exit.UNKNOWN
    facts = preflight("unix:///none", host, web.id, details=False)
    assert facts.unable is not None
    assert "not on this machine: it is a virtual machine" in text(facts.unable)


@pytest.mark.parametrize("line", ["here\n", "", "nonsense", "anotherx y"])
def test_of_this_kernel_all_is_joined(line: str, recording: Recorded) -> None:
    host = told(recording("docker28.5-nft-full"), line)
    assert host.other_kernel == ""
    assert host.ruleset is not None
    assert host.drift == Builder().build(recording("docker28.5-nft-full")).drift


def test_an_engine_that_is_here_may_have_lost_all_its_bridges(recording: Recorded) -> None:
    """Its process alone proves nothing: it may be the near end of a tunnel."""
    given = recording("docker28.5-nft-full")
    bare = {**given.answers, "ip/link.json": "[]", "ip/addr.json": "[]", "host/engine.txt": "812 dockerd here 0\n"}
    assert told(replace(given, answers=bare), "here\n").ruleset is not None
    assert told(replace(given, answers=bare), "").ruleset is None


def test_an_engine_in_a_virtual_machine_is_not_compared(tmp_path: Path) -> None:
    engine = FakeEngine(tmp_path / "docker.sock")
    version = {"ApiVersion": "1.51", "Version": "28.5.2", "KernelVersion": "6.10.14-linuxkit"}
    engine.refuse["/version"] = (200, json.dumps(version).encode())
    engine.start()
    try:
        recording = read_once(Options(docker_host=engine.address))
    finally:
        engine.stop()
    assert Builder().build(recording).other_kernel.startswith("it runs on kernel 6.10.14-linuxkit")


# --- in user space ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["pasta", "slirp4netns", "pasta:--map-gw", "slirp4netns:port_handler=rootlesskit"])
def test_a_way_out_in_user_space_is_not_known(mode: str, recording: Recorded) -> None:
    host = Builder().build(recording("podman5.8-nftables"))
    containers = tuple(
        replace(one, network_mode=mode, endpoints=()) if one.name == "web" else one for one in host.containers or ()
    )
    host = replace(host, containers=containers)
    web = next(one for one in containers if one.name == "web")
    (way,) = outbound(host, web)
    name = mode.partition(":")[0]
    assert (way.leaves, way.why) == (Leaves.UNKNOWN, f"by {name}, in user space: not readable")
    answer = trace(host, Question(Origin.CONTAINER, ip_address("192.0.2.1"), "tcp", 80, container=web.id))
    assert answer.verdict is Verdict.UNKNOWN
