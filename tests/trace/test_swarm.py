"""A container of an overlay network goes out, and publishes its ports, by docker_gwbridge; one of a macvlan or ipvlan
passes this host by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.join.networks import with_gateways
from netdash.model.host import Host
from netdash.trace.model import Verdict
from netdash.trace.question import Asked, question
from netdash.trace.summary import Leaves, asked_of, inbound, outbound
from netdash.trace.tracer import trace
from netdash.view.answer import broken
from tests.conftest import RECORDINGS

NAME = "docker20.10-swarm"


def test_the_address_on_the_gateway_bridge_is_the_containers(host: Callable[[str], Host]) -> None:
    given = host(NAME)
    one = next(one for one in given.containers or () if one.name == "ovc")
    assert [(end.network, *map(str, end.addresses)) for end in one.endpoints] == [
        ("ov", "10.0.1.2/24"),
        ("docker_gwbridge", "172.19.0.3/16"),
    ]
    way = next(way for way in inbound(given, one) if way.port.host_ip.version == 4)
    assert (str(way.port.target_ip), way.bridge, way.veth is not None) == ("172.19.0.3", "docker_gwbridge", True)
    assert broken(asked_of(given, way.port)) == []
    (out,) = [way for way in outbound(given, one) if way.network == "docker_gwbridge"]
    assert str(out.leaves_as) == "203.0.113.2"


def test_what_is_no_member_of_the_gateway_bridge_stays_the_same_object(host: Callable[[str], Host]) -> None:
    containers = host(NAME).containers or ()
    bare = tuple(replace(one, endpoints=()) for one in containers)
    answer = [{"Id": "1", "Name": "docker_gwbridge", "Containers": {"ingress-sbox": {"IPv4Address": "172.19.0.2/16"},
               containers[0].id: {"IPv4Address": "nonsense/x", "IPv6Address": 5}}}]  # fmt: skip
    found = with_gateways(bare, answer)
    assert found[1] is bare[1]
    assert [end.addresses for end in found[0].endpoints] == [()]
    assert with_gateways(bare, None) is bare


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])  # this kernel makes no ipvlan: its shape is the same
def test_a_device_on_the_uplink_meets_no_rule(driver: str, host: Callable[[str], Host]) -> None:
    recorded = host(NAME)
    networks = tuple(replace(one, driver=driver) if one.name == "mv" else one for one in recorded.networks or ())
    given = replace(recorded, networks=networks)
    one = next(one for one in given.containers or () if one.name == "macv")
    (out,) = outbound(given, one)
    assert (out.leaves, out.nat, out.bridge) == (Leaves.DIRECT, None, None)
    assert str(out.leaves_as) == "203.0.113.130"  # its own: nothing translates it
    assert [end.veth for end in one.endpoints] == [None]


INGRESS = """*nat
:OUTPUT ACCEPT [0:0]
:DOCKER-INGRESS - [0:0]
-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER-INGRESS
-A DOCKER-INGRESS -p tcp -m tcp --dport 8088 -j DNAT --to-destination 172.19.0.2:8088
-A DOCKER-INGRESS -j RETURN
COMMIT
"""


def test_the_way_to_the_ingress_is_told_and_then_unknown_with_the_reason() -> None:
    """nat/DOCKER-INGRESS leads to 172.19.0.2, which is the sandbox ingress-sbox and no container."""
    recorded = load(RECORDINGS / NAME)
    rules = {"rules/iptables-legacy-save.txt": INGRESS}
    given = Builder().build(replace(recorded, answers={**recorded.answers, **rules}))
    found = trace(given, question(given, "host", "203.0.113.2:8088", Asked())[0])
    assert (found.verdict, found.answered) == (Verdict.UNKNOWN, None)
    assert found.decided_by is not None
    assert found.decided_by.text == (
        "172.19.0.2 on docker_gwbridge is no container's but swarm's ingress: there IPVS chooses a task, on this host "
        "or another, which is not readable"
    )
    assert "nat/DOCKER-INGRESS #1" in [step.place for step in found.steps]


def test_an_overlay_is_not_followed(host: Callable[[str], Host]) -> None:
    given = host(NAME)
    found = trace(given, question(given, "ovc", "10.0.1.9:80", Asked())[0])
    assert found.answered is None
    assert found.decided_by is not None
    assert found.decided_by.text.startswith("network ov is an overlay, whose bridge is in a namespace of its own")
