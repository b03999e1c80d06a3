"""Subnets that take what is others', and that are full."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from netdash.change.model import RouteChange
from netdash.model.finding import Direction, Severity
from tests.doctor.checks.stage import BRIDGE, container, found, made, of_code
from tests.support.trace_hosts import WEB

OWN = "e" * 64


def network(subnet: str, name: str = "shop", **more: object) -> dict[str, object]:
    return {"Id": OWN, "Name": name, "Driver": "bridge", "IPAM": {"Config": [{"Subnet": subnet}]}, **more}


@pytest.mark.parametrize(
    ("dst", "severity"), [("172.17.0.0/24", Severity.CRITICAL), ("172.17.8.0/24", Severity.MEDIUM)]
)
def test_a_narrower_route_of_others_wins(dst: str, severity: Severity) -> None:
    """Containers with addresses in it are cut off; without any, those that will get one."""
    lan = [{"dst": dst, "gateway": "203.0.113.9", "dev": "eth0"}]
    (one,) = of_code(made({}, routes=lan), "subnet-overlap-lan")
    assert one.finding.severity is severity
    assert f"{dst} dev eth0" in one.finding.sentence
    assert [each.source for each in one.finding.evidence] == ["network bridge", "route table main"]
    assert one.finding.fix[0].command == ("ip", "route", "del", dst, "dev", "eth0")
    assert [change.destination for change in one.changes if isinstance(change, RouteChange)] == [ip_network(dst)]


@pytest.mark.parametrize("dst", ["172.16.0.0/12", "0.0.0.0/1", "172.18.0.0/16"])
def test_wider_and_other_routes_are_not(dst: str) -> None:
    routes = [{"dst": dst, "gateway": "203.0.113.9", "dev": "eth0"}]
    assert not found(made({}, routes=routes), "subnet-overlap-lan")


def test_a_resolver_whose_address_a_subnet_took() -> None:
    more = {"containers/web/resolv.conf": "nameserver 172.17.9.9\n"}
    (finding,) = found(made(more), "subnet-overlap-lan")
    assert "172.17.9.9" in finding.sentence
    assert [hit.container for hit in finding.hits if hit.direction is Direction.NAMES] == ["a" * 64]
    (finding,) = found(
        made({"containers/web/resolv.conf": "nameserver 172.17.9.9\nnameserver 9.9.9.9\n"}), "subnet-overlap-lan"
    )
    assert not any(hit.direction is Direction.NAMES for hit in finding.hits)  # it asks the other one
    assert not found(made({"containers/web/resolv.conf": "nameserver 172.17.0.3\n"}), "subnet-overlap-lan")  # db


def test_an_address_that_answered_before_and_is_sought_on_the_bridge_now() -> None:
    ends = "src=172.17.0.2 dst=172.17.9.9 sport=50000 dport=80 src=172.17.9.9 dst=203.0.113.2 sport=80 dport=50000"
    more = {
        "ip/neigh.json": [{"dst": "172.17.9.9", "dev": "docker0", "state": ["FAILED"]}],
        "host/conntrack.txt": f"tcp 6 100 TIME_WAIT {ends} [ASSURED] use=1\n",
    }
    assert len(found(made(more), "subnet-overlap-lan")) == 1
    del more["host/conntrack.txt"]
    assert not found(made(more), "subnet-overlap-lan")  # somebody may look for a container that is gone


INFO: dict[str, object] = {"ServerVersion": "28.5.2"}
POOL = {**INFO, "DefaultAddressPools": [{"Base": "172.29.0.0/23", "Size": 24}]}
TWO = [
    network("172.29.0.0/24", "p1"),
    {**network("172.29.1.0/24", "p2"), "Id": "d" * 64},
]
HALVES = [{"dst": "0.0.0.0/1", "dev": "tun0"}, {"dst": "128.0.0.0/1", "dev": "tun0"}]


@pytest.mark.parametrize(
    ("info", "networks", "routes", "code"),
    [
        (POOL, TWO, [], "pool-exhausted"),
        (POOL, TWO[:1], [], ""),
        (INFO, [BRIDGE], HALVES, "pool-blocked-by-vpn"),
        (INFO, [BRIDGE], HALVES[:1], ""),  # 172.16/12 and 192.168/16 are in the other half
        (INFO, [BRIDGE], [{**one, "gateway": "203.0.113.1"} for one in HALVES], ""),  # since 28 not looked at
        ({}, TWO, HALVES, ""),  # the pools are not told
    ],
)
def test_address_pools(info: object, networks: object, routes: list[dict[str, object]], code: str) -> None:
    on = made({"docker/info.json": info, "docker/networks.json": networks}, routes=routes)
    codes = [one.code for name in ("pool-exhausted", "pool-blocked-by-vpn") for one in found(on, name)]
    assert codes == ([code] if code else [])


def test_before_28_routes_by_a_gateway_block_too() -> None:
    routes: list[dict[str, object]] = [{**one, "gateway": "203.0.113.1"} for one in HALVES]
    more = {"docker/version.json": {"Version": "24.0.7"}, "docker/info.json": {"ServerVersion": "24.0.7"}}
    assert found(made(more, routes=routes), "pool-blocked-by-vpn")


@pytest.mark.parametrize(
    ("config", "full"),
    [
        ({"Subnet": "172.17.0.0/30"}, True),  # .1 is the gateway, .2 web's
        ({"Subnet": "172.17.0.0/29"}, False),
        ({"Subnet": "172.17.0.0/16", "IPRange": "172.17.0.2/32"}, True),
        ({"Subnet": "172.17.0.0/29", "AuxiliaryAddresses": {f"a{n}": f"172.17.0.{n}" for n in (3, 4, 5, 6)}}, True),
    ],
)
def test_addresses_of_one_network(config: dict[str, object], full: bool) -> None:
    networks = [{**BRIDGE, "IPAM": {"Config": [{"Gateway": "172.17.0.1", **config}]}}]
    on = made({"docker/networks.json": networks, "docker/inspect.json": [container("web", WEB)]})
    assert bool(found(on, "subnet-ips-exhausted")) is full
