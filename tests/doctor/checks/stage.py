"""Findings of the checks, and small hosts for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from netdash.bundle.storage import load
from netdash.doctor.candidate import Candidate
from netdash.doctor.checks import candidates
from netdash.join.host import Builder
from netdash.model.finding import Finding, Severity
from netdash.model.host import Host
from tests.support.trace_hosts import IDS, NETWORK, host

RECORDINGS = Path(__file__).parents[2] / "recordings"
BRIDGE = {
    "Id": NETWORK,
    "Name": "bridge",
    "Driver": "bridge",
    "IPAM": {"Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]},
    "Options": {"com.docker.network.bridge.name": "docker0"},
}


def recorded(name: str, more: Mapping[str, object] | None = None, without: tuple[str, ...] = ()) -> Host:
    recording = load(RECORDINGS / name)
    answers = {path: one for path, one in {**recording.answers, **(more or {})}.items() if path not in without}
    return Builder().build(replace(recording, answers=answers))


@cache
def of_recording(name: str) -> tuple[Finding, ...]:
    return tuple(one.finding for one in candidates(recorded(name)))


def container(
    name: str,
    ip: str = "",
    state: Mapping[str, object] | None = None,
    config: Mapping[str, object] | None = None,
    **settings: object,
) -> dict[str, object]:
    """One of `docker inspect`; without an `ip` it has no network. `settings`: of its HostConfig."""
    end = {"NetworkID": NETWORK, "Gateway": "172.17.0.1", "IPAddress": ip, "IPPrefixLen": 16}
    return {
        "Id": IDS[name],
        "Name": f"/{name}",
        "State": {"Status": "running", "Pid": 11 if name == "web" else 12, **(state or {})},
        "Config": config or {},
        "HostConfig": {"NetworkMode": "bridge", **settings},
        "NetworkSettings": {"Networks": {"bridge": end} if ip else {}},
    }


def made(more: Mapping[str, object], **settings: object) -> Host:
    return host(more=more, **settings)  # type: ignore[arg-type]


def found(on: Host, code: str) -> list[Finding]:
    return [one.finding for one in candidates(on) if one.finding.code == code]


def alarms(on: Host) -> list[str]:
    """Codes of the findings above info, sorted."""
    return above_info(one.finding for one in candidates(on))


def above_info(findings: Iterable[Finding]) -> list[str]:
    return sorted(one.code for one in findings if one.severity is not Severity.INFO)


def of_code(on: Host, code: str) -> Iterator[Candidate]:
    return (one for one in candidates(on) if one.finding.code == code)
