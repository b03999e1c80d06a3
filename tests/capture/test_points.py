"""Where a container's packets are captured, and where that is refused."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from netdash.capture.model import Side
from netdash.capture.points import Wanted, plan
from netdash.model.errors import NetdashError
from netdash.model.index import find_container
from netdash.model.records import replace
from tests.support import frames, trace_hosts


def test_the_veth_and_every_uplink() -> None:
    made = frames.plan_of(trace_hosts.host(frames.NAT))
    assert [(point.device, point.side) for point in made.points] == [
        ("vweb", Side.CONTAINER), ("eth0", Side.OUTSIDE), ("eth1", Side.OUTSIDE),
    ]  # fmt: skip
    assert [(one.proto, one.host_port, one.container_port) for one in made.published] == [("tcp", 8080, 80)]
    assert made.notes == ()


def test_the_bridge_where_the_veth_is_not_known() -> None:
    made = frames.plan_of(trace_hosts.host(frames.NAT, without=("ip/netns.json",)))
    assert made.points[0].device == "docker0"


def test_a_peer_that_is_a_container_has_a_point_of_its_own() -> None:
    made = frames.plan_of(trace_hosts.host(frames.NAT), Wanted(ip_address(trace_hosts.DB)))
    assert [(point.device, point.side) for point in made.points][:2] == [("vweb", Side.CONTAINER), ("vdb", Side.PEER)]


def test_rules_that_were_not_read_narrow_nothing() -> None:
    host = replace(trace_hosts.host(frames.NAT), ruleset=None)
    assert frames.plan_of(host).points[1].clauses[-1].ours is None


def test_an_unknown_list_of_ports_is_told() -> None:
    host = replace(trace_hosts.host(frames.NAT), ports=None)
    assert "published ports could not be read" in frames.plan_of(host).notes[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network_mode": "host"}, "one side only"),
        ({"network_mode": "none", "endpoints": ()}, "is on no network"),
        ({"state": "exited"}, "is exited"),
        ({"network_mode": "slirp4netns"}, "in user space"),
    ],
)
def test_what_is_refused(change: dict[str, object], words: str) -> None:
    host = trace_hosts.host(frames.NAT)
    changed = replace(find_container(host, "web"), **change)
    with pytest.raises(NetdashError, match=words):
        plan(replace(host, containers=(changed,)), changed, Wanted())
