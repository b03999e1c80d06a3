"""Who will reach a port that the engine will publish: traced on the host as it will be."""

from __future__ import annotations

import pytest

from netdash.bundle.storage import load
from netdash.change.apply import apply
from netdash.change.difference import read_command
from netdash.join.host import Builder
from netdash.model.addresses import parse_spec
from netdash.model.host import Host
from netdash.model.index import find_container
from netdash.publish.checks import Preflight
from netdash.publish.plan import plan
from netdash.publish.plan_new import plan_new
from netdash.publish.planned_reach import Reach
from netdash.publish.request import Mode, Request
from netdash.view.statements import text
from tests.conftest import bundle


@pytest.fixture(scope="module")
def recorded() -> Host:
    return Builder(compare=False).build(load(bundle("accept-missing")))


@pytest.fixture(scope="module")
def healthy(recorded: Host) -> Host:
    return apply(recorded, read_command(recorded, "docker restart web"))


def _said(found: tuple[Reach, ...]) -> list[tuple[bool | None, str]]:
    return [(one.yes, text(one.why)) for one in found]


def _recreated(host: Host, port: str = "9090:80") -> list[tuple[bool | None, str]]:
    web = find_container(host, "web")
    return _said(plan(Request(web.id, parse_spec(port), Mode.RECREATE), host, Preflight()).reach)


def test_a_recreated_container_is_reached_by_its_new_port(healthy: Host) -> None:
    assert _recreated(healthy) == [
        (True, "at 127.0.0.1"),
        (True, "at 203.0.113.2"),
        (True, "at 203.0.113.2, as far as this host decides"),
    ]


def test_a_rule_that_will_keep_others_out_is_named(healthy: Host) -> None:
    closed = apply(healthy, read_command(healthy, "iptables -I DOCKER-USER -i eth0 -j DROP"), compare=False)
    here, near, far = _recreated(closed)
    assert here[0] is True
    assert near == far
    assert near[0] is False
    assert "filter/DOCKER-USER #1: -A DOCKER-USER -i eth0 -j DROP" in near[1]


def test_what_nobody_listens_on_is_not_reached(healthy: Host) -> None:
    assert [yes for yes, _ in _recreated(healthy, "9090:99")] == [False, False, False]


def test_of_a_new_container_the_image_decides_what_listens(healthy: Host) -> None:
    made = plan_new("nginx", "fresh", (parse_spec("9091:80"),), healthy, Preflight())
    assert _said(made.reach)[1:] == [(True, "at 203.0.113.2, if the image listens on 80/tcp")] * 2


def test_an_engine_whose_chains_are_gone_starts_nothing(healthy: Host) -> None:
    gone = healthy
    for command in ("iptables -F", "iptables -X", "iptables -t nat -F", "iptables -t nat -X"):
        gone = apply(gone, read_command(gone, command), compare=False)
    assert [yes for yes, _ in _recreated(gone)] == [None, None, None]
    assert "the engine's chains are gone" in _recreated(gone)[0][1]
