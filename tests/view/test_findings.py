"""Findings as lines, as a report for an incident, and with names and addresses replaced."""

from __future__ import annotations

import json
import re

import pytest

from netdash.bundle.storage import load
from netdash.doctor.examine import examine
from netdash.join.host import Builder
from netdash.model.finding import Direction, Evidence, Finding, Fix, Health, Hit, Severity
from netdash.model.host import Host
from netdash.view import findings, report
from netdash.view.json_host import dumps
from netdash.view.layout import size
from netdash.view.report import masked
from tests.conftest import bundle

HOSTILE = Finding(
    "dropped",
    Severity.HIGH,
    "\x1b[31m[red] `x` <b>|",
    (Hit(None, Direction.IN),),
    (Evidence("iptables filter/FORWARD #1", "```\n# title"),),
    (Fix(("docker", "restart", "$(reboot)\x1b[2J"), "restarts it"),),
)


def _found(name: str) -> tuple[Host, Health]:
    host = Builder().build(load(bundle(name)))
    return host, examine(host)


@pytest.mark.parametrize("wide", [40, 80, 120])
@pytest.mark.parametrize("name", ["iptables-flush", "docker-user-host-port", "tailscale-exit-node"])
def test_only_a_command_is_ever_wider_than_the_terminal(name: str, wide: int) -> None:
    host, found = _found(name)
    commands = {findings.command(fix) for one in found.findings for fix in one.fix}
    for line in findings.lines(host, found, wide):
        assert size(line) <= wide or line[-1].text in commands


def test_foreign_text_is_neither_an_escape_sequence_nor_markup() -> None:
    host, _ = _found("iptables-flush")
    told = Health((HOSTILE,), {})
    shown = "\n".join("".join(span.text for span in line) for line in findings.lines(host, told, 80))
    written = "\n".join(report.lines(host, told))
    assert "\x1b" not in shown + written
    assert "# no safe command" in shown
    assert "\n```\n# title" not in written
    assert "\\<b\\>" in written


def test_a_report_names_the_cause_the_evidence_and_how_others_see_it() -> None:
    host, found = _found("docker-user-host-port")
    written = "\n".join(report.lines(host, found))
    assert "## 1. high: docker-user-host-port" in written
    assert "- hits: web 8080/tcp in" in written
    assert "iptables -t filter -S DOCKER-USER" in written
    assert "proved on a model of this host" in written


@pytest.mark.parametrize("name", ["docker-user-host-port", "tailscale-exit-node", "multi-network-wrong-gateway", "su1"])
def test_masked_findings_hold_no_name_and_no_address(name: str) -> None:
    host, found = _found(name)
    told = dumps(findings.json(*masked(host, found)))
    names = {one.name for one in host.containers or ()} | {one.id[:12] for one in host.containers or ()}
    names |= {one.name for one in host.networks or () if one.name not in ("bridge", "host", "none")}
    assert not [word for word in names if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", told)]
    own = {str(own.ip) for link in host.links or () for own in link.addresses if not own.ip.is_loopback}
    assert not [ip for ip in own if ip in told]


def test_the_same_name_is_masked_the_same_everywhere() -> None:
    host, found = _found("docker-user-host-port")
    told = json.loads(dumps(findings.json(*masked(host, found))))
    assert told["findings"][0]["hits"][0]["container"] == "container-1"
    host, found = _found("app-on-loopback")
    told = json.loads(dumps(findings.json(*masked(host, found))))
    assert told["findings"][0]["sentence"].startswith("container-1 listens on 127.0.0.1:80")
