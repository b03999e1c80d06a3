"""Which connections are tried for a finding, and what their outcome says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netdash.apply import probe_socket
from netdash.bundle.storage import load
from netdash.cli import probe
from netdash.cli.main import main
from netdash.doctor.examine import examine
from netdash.doctor.prove import MOST, OF_ONE, Probe, Probed, probes
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.model.records import replace
from netdash.trace.model import Origin
from tests.conftest import RECORDINGS


def _host(name: str) -> Host:
    return Builder().build(load(RECORDINGS / name))


def _probes(host: Host) -> tuple[Probe, ...]:
    return probes(host, examine(host).findings)


def test_only_what_fails_and_is_sent_here_is_tried() -> None:
    host = _host("app-on-loopback")
    found = _probes(host)
    assert [(one.code, str(one.question.dst), one.question.dport, one.proxied) for one in found] == [
        ("app-on-loopback", "127.0.0.1", 8080, True),
        ("app-on-loopback", "::1", 8080, True),
    ]
    assert all(one.question.origin is not Origin.OUTSIDE for one in found)


def test_the_way_out_is_never_tried() -> None:
    assert _probes(_host("iptables-flush")) == ()


def test_they_are_bounded() -> None:
    host = _host("app-on-loopback")
    (finding, *_) = examine(host).findings
    many = tuple(replace(finding, code=f"code-{number}") for number in range(20))
    assert len(probes(host, many)) == MOST
    assert len(probes(host, many[:1])) == OF_ONE


@pytest.mark.parametrize(
    ("proxied", "outcome", "connected", "verdict"),
    [
        (True, (None, "is accepted"), None, "tells nothing"),
        (False, (None, "is accepted"), True, "contradicts it"),
        (True, (False, "is accepted and closed at once"), False, "confirms it"),
        (False, (False, "no answer within 2 s"), False, "confirms it"),
        (True, (True, "answers"), True, "contradicts it"),
    ],
)
def test_what_an_outcome_says(
    proxied: bool,
    outcome: tuple[bool | None, str],
    connected: bool | None,
    verdict: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = _host("app-on-loopback")
    monkeypatch.setattr(probe_socket.ProbeSocket, "send", lambda _: "")
    monkeypatch.setattr(probe_socket.ProbeSocket, "connected", lambda *_: outcome)
    (one,) = probe.probed(host, [replace(_probes(host)[0], proxied=proxied)])
    assert (one.connected, one.text) == (connected, outcome[1])
    assert probe.sentence(host, one).endswith(verdict)
    assert json.loads(json.dumps(probe.json(one)))["connected"] is connected


def test_a_container_whose_process_is_not_here_is_not_entered() -> None:
    """A recording's process ids are of another machine."""
    host = _host("app-on-loopback")
    container = (host.containers or ())[0]
    wanted = _probes(host)[0]
    inside = replace(wanted, question=replace(wanted.question, origin=Origin.CONTAINER, container=container.id))
    assert list(probe.probed(host, [inside])) == [Probed(inside, None, "its process is not found on this machine")]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--from", str(RECORDINGS / "accept-missing"), "doctor", "--probe"], 2),
        (["--host", "ssh://root@box", "doctor", "--probe"], 2),
        (["--read-only", "doctor", "--probe"], 4),
    ],
)
def test_refusals(words: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(words) == code
