"""Addresses, ports of bridges, queues, connections and processes that a change adds or takes away."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network

import pytest

from netdash.change.apply import CannotModel, apply
from netdash.change.model import (
    AddressChange,
    Change,
    HairpinChange,
    MasterChange,
    ProcessEnd,
    QdiscRemoval,
    TrackedRemoval,
)
from netdash.model.host import Host, Interface, Link
from netdash.model.index import index_of
from tests.support.trace_hosts import IDS, host

GATEWAY = ip_interface("172.17.0.1/16")
SECOND = ip_interface("172.17.9.1/16")


def _link(on: Host, name: str) -> Link:
    found = index_of(on).link(name)
    assert found is not None
    return found


def _kept(on: Host, address: Interface) -> set[str]:
    """The routes of the bridge whose source is this address."""
    return {f"{one.kind} {one.dst}" for one in on.routes or () if one.dev == "docker0" and one.prefsrc == address.ip}


def test_an_address_goes_with_its_routes_and_comes_with_them() -> None:
    gone = apply(host(), [AddressChange(False, "docker0", GATEWAY)])
    assert GATEWAY not in _link(gone, "docker0").addresses
    assert _kept(gone, GATEWAY) == set()
    back = apply(gone, [AddressChange(True, "docker0", GATEWAY)])
    assert _link(back, "docker0").addresses[-1] == GATEWAY
    routes = {"local 172.17.0.1/32", "unicast 172.17.0.0/16", "broadcast 172.17.255.255/32"}
    assert _kept(back, GATEWAY) == routes


def test_a_second_address_of_a_network_has_a_local_route_only() -> None:
    two = apply(host(), [AddressChange(True, "docker0", SECOND)])
    assert _kept(two, SECOND) == {"local 172.17.9.1/32"}
    one = apply(two, [AddressChange(False, "docker0", SECOND)])
    assert any(route.dst == ip_network("172.17.0.0/16") for route in one.routes or ())
    assert _kept(one, SECOND) == set()


def test_an_address_inside_a_container() -> None:
    added = apply(host(), [AddressChange(True, "eth0", SECOND, IDS["web"])])
    inside = index_of(added).containers[IDS["web"]].inside
    assert inside is not None
    assert any(SECOND in link.addresses for link in inside.links or ())
    assert SECOND not in _link(added, "docker0").addresses


def test_a_port_that_joins_a_bridge() -> None:
    on = apply(host(), [MasterChange("eth1", "docker0")])
    assert _link(on, "eth1").master == "docker0"
    assert _link(on, "eth1").hairpin is False
    assert _link(apply(on, [HairpinChange("eth1", True)]), "eth1").hairpin is True


def test_a_queue_connections_and_a_process_that_are_no_more() -> None:
    ends = "src=192.0.2.10 dst=203.0.113.2 sport=7 dport={} src=203.0.113.2 dst=192.0.2.10 sport={} dport=7 use=1"
    lines = "".join(f"udp 17 25 {ends.format(port, port)}\n" for port in (5000, 53))
    more = {"host/conntrack.txt": lines, "rules/tc.txt": "qdisc netem 1: dev vweb root refcnt 2 loss 100%\n"}
    on = apply(host(more=more), [QdiscRemoval("vweb"), TrackedRemoval("udp", 5000), ProcessEnd(7)])
    assert on.qdiscs == {}
    assert [flow.original.dport for flow in on.flows or ()] == [53]
    assert [one for one in on.listeners or () if one.pid == 7] == []


@pytest.mark.parametrize(
    "change",
    [
        AddressChange(True, "docker0", GATEWAY),
        AddressChange(False, "docker0", SECOND),
        AddressChange(True, "docker0", ip_interface("2001:db8::1/64")),
        AddressChange(True, "none", GATEWAY),
        MasterChange("eth1", "eth0"),
        MasterChange("vweb", "docker0"),
        HairpinChange("eth0", True),
        QdiscRemoval("eth0"),
        TrackedRemoval("udp", 53),
        ProcessEnd(4711),
    ],
)
def test_what_the_kernel_refuses_or_was_not_read_is_said(change: Change) -> None:
    with pytest.raises(CannotModel):
        apply(host(), [change])


def test_the_first_of_several_addresses_is_not_modelled() -> None:
    """The kernel takes the others of its network with it, or promotes one of them."""
    two = apply(host(), [AddressChange(True, "docker0", SECOND)])
    with pytest.raises(CannotModel):
        apply(two, [AddressChange(False, "docker0", GATEWAY)])
