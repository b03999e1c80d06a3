"""A container in another's network namespace stays in it when that one is started anew: no way leads in or out."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from netdash.bundle.recording import Recording
from netdash.drift.compare import compare
from netdash.join.host import Builder
from netdash.model.engine_state import DriftKind
from netdash.model.host import Container, Host
from netdash.model.index import why_lost
from netdash.trace.container_namespace import namespaces_of
from netdash.trace.model import Origin, Question, Verdict
from netdash.trace.reachability import reach
from netdash.trace.summary import Leaves, inbound, outbound
from netdash.trace.tracer import trace
from netdash.view.card import card
from netdash.view.json_host import show
from tests.support.drift_hosts import known, texts

OWNER, FOLLOWER = "a" * 64, "b" * 64


def raw(identity: str, name: str, mode: str, state: str = "running") -> dict[str, Any]:
    ends = {"bridge": {"IPAddress": "172.17.0.2", "IPPrefixLen": 16, "NetworkID": "n" * 64, "Gateway": "172.17.0.1"}}
    return {
        "Id": identity,
        "Name": f"/{name}",
        "State": {"Status": state, "Running": state == "running", "Pid": 5},
        "Config": {"Image": "x", "ExposedPorts": {"80/tcp": {}}},
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": ends if mode == "bridge" else {}},
    }


def made(first: str | None, second: str | None, state: str = "running") -> tuple[Host, Container]:
    """`first`, `second`: the namespaces of the owner and of the one that follows it."""
    inspected = [raw(OWNER, "web", "bridge", state), raw(FOLLOWER, "side", f"container:{OWNER}")]
    listed = [{"Id": one["Id"], "Names": [one["Name"]], "State": one["State"]["Status"]} for one in inspected]
    answers: dict[str, Any] = {"docker/containers.json": listed, "docker/inspect.json": inspected}
    for name, text in (("web", first), ("side", second)):
        if text is not None:
            answers[f"containers/{name}/netns.txt"] = text
    host = Builder().build(Recording(answers))
    return host, next(one for one in host.containers or () if one.id == FOLLOWER)


@pytest.mark.parametrize(
    ("first", "second", "state", "left"),
    [
        ("net:[1]", "net:[1]", "running", False),
        ("net:[1]", "net:[2]", "running", True),
        (None, "net:[2]", "running", False),
        ("net:[1]", None, "running", False),
        (None, "net:[2]", "exited", True),
        (None, None, "restarting", False),
    ],
)
def test_the_namespaces_are_compared(first: str | None, second: str | None, state: str, left: bool) -> None:
    _, side = made(first, second, state)
    assert side.left_behind is left


def test_card_ways_and_json_say_so() -> None:
    host, side = made("net:[1]", "net:[2]")
    said = "\n".join("".join(span.text for span in line) for line in card(host, side, 80))
    assert "side was left behind: its network namespace, with lo alone, is not that of web" in " ".join(said.split())
    assert "docker restart side" in said
    assert not inbound(host, side)
    assert {one.leaves for one in outbound(host, side)} == {Leaves.NOWHERE}
    assert show(host, side)["container"]["left_behind"] is True  # type: ignore[index]
    space = namespaces_of(host).of(side)
    assert space is not None
    assert (space.container, space.routes, space.addresses) == (side, (), ())
    asked = Question(Origin.CONTAINER, ip_address("8.8.8.8"), "udp", 53, container=side.id)
    found = trace(host, asked)
    assert not found.verdict.arrives
    assert found.verdict is not Verdict.UNKNOWN
    assert why_lost(side) in found.assumed


def test_nothing_leads_out_of_it_in_the_matrix() -> None:
    for namespace, rows in (("net:[1]", {"outside", "host", "web"}), ("net:[2]", {"outside", "host", "web", "side"})):
        host, _ = made("net:[1]", namespace)
        matrix = reach(host)
        assert {one.name for one in matrix.senders} == rows
        for sender, row in zip(matrix.senders, matrix.rows(), strict=True):
            if sender.name == "side":
                assert row
                assert {cell.reaches for cell in row} == {False}


def test_drift_names_it() -> None:
    given = known("docker20.10-nft-full")
    first, *others = given.containers
    lost = replace(first, shares_with="web", left_behind=True)
    assert texts(compare(given), DriftKind.LEFT) == []
    assert texts(compare(replace(given, containers=(lost, *others))), DriftKind.LEFT) == [
        f"{lost.name} in the network of web"
    ]


def test_the_same_answers_give_the_same_container() -> None:
    inspected = [raw(OWNER, "web", "bridge"), raw(FOLLOWER, "side", f"container:{OWNER}")]
    answers: dict[str, Any] = {"docker/containers.json": inspected, "docker/inspect.json": inspected}
    answers |= {"containers/web/netns.txt": "net:[1]", "containers/side/netns.txt": "net:[2]"}
    builder = Builder()
    first, second = builder.build(Recording(answers)), builder.build(Recording(dict(answers)))
    assert first.containers is second.containers
