"""What Podman tells in another way than Docker, on a recorded host with a pod, a shared namespace and a dual stack."""

from __future__ import annotations

from collections.abc import Callable

from netdash.model.host import Host
from netdash.trace.summary import inbound

NAME = "podman5.8-pods"


def test_a_network_without_a_container_has_no_bridge_yet(host: Callable[[str], Host]) -> None:
    bridges = {one.name: one.bridge for one in host(NAME).networks or ()}
    assert bridges == {"bridge": "podman0", "dual": "podman2", "idle": None}


def test_a_port_is_the_owners_and_stands_once(host: Callable[[str], Host]) -> None:
    """Podman repeats addresses and ports of a namespace in every container that uses it."""
    given = host(NAME)
    names = {one.id: one.name for one in given.containers or ()}
    owners = {(port.host_port, port.host_ip.version): names[port.container_id] for port in given.ports or ()
              if port.container_id}  # fmt: skip
    assert owners == {
        (8083, 4): "dual-web",
        (8083, 6): "dual-web",
        (8084, 4): "owner",
        (8092, 4): next(name for name in names.values() if name.endswith("-infra")),
    }
    assert len([port for port in given.ports or () if port.host_port == 8092]) == 1
    veths = [end.veth for one in given.containers or () for end in one.endpoints]
    assert len(veths) == len(set(veths)) == 3


def test_a_container_of_a_pod_is_reached_by_the_pods_port(host: Callable[[str], Host]) -> None:
    given = host(NAME)
    inpod = next(one for one in given.containers or () if one.name == "inpod")
    (way,) = inbound(given, inpod)
    assert (way.port.host_port, str(way.port.target_ip), way.veth) == (8092, "10.88.0.3", "veth2")


def test_a_port_that_the_api_calls_ipv4_and_the_rules_open_for_ipv6_too(host: Callable[[str], Host]) -> None:
    (port,) = [one for one in host(NAME).ports or () if one.host_port == 8083 and one.host_ip.version == 6]
    assert str(port.target_ip) == "fd00:7::2"
    assert port.dnat
    assert port.dnat.chain.startswith("nv_c5e00a1b_fd00")
    assert port.holder
    assert port.holder.kind == "rule"  # conmon holds the IPv4 socket only
