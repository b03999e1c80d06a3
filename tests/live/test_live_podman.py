"""Podman behind its Docker-compatible socket, with both firewall drivers of netavark, judged by the packets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import podman
import pytest
from lab import GATEWAY_IP6, HOST_IP, HOST_IP6, INTERNET_IP, LabError
from podman import PodmanLab
from truth import arguments, bridge_of, host_veth, networks, out_by, ports


@pytest.fixture(scope="module", params=["nftables", "iptables"])
def host(possible: None, request: pytest.FixtureRequest) -> Iterator[PodmanLab]:
    reason = podman.why_not()
    if reason:
        pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        try:
            lab = stack.enter_context(PodmanLab(request.param))
        except LabError as error:
            pytest.skip(str(error))
        lab.docker("network", "create", "--ipv6", "--subnet", "fd00:7::/64", "--subnet", "10.89.9.0/24", "dual")
        lab.docker("network", "create", "--internal", "--subnet", "10.89.8.0/24", "inner")
        lab.docker("network", "create", "idle")
        lab.httpd("web", "-p", "8080:80")
        lab.httpd("six", "--network", "dual", "-p", "8083:80")
        lab.httpd("inner-web", "--network", "inner")
        lab.httpd("lo-web", "-p", "127.0.0.1:8084:80")
        lab.pod("trio", "inpod", "8092")
        yield lab


def counted(host: PodmanLab, seen: Any) -> bool:
    """netavark's own tables count nothing; with iptables every rule counts."""
    return seen is None if host.driver == "nftables" else seen > 0


def test_inbound(host: PodmanLab) -> None:
    assert host.fetch(f"http://{HOST_IP}:8080/") == "web"
    shown: Any = host.json("show", "web")
    published = ports(shown)["tcp", 8080]
    ip = networks(host, "web")["podman"]["IPAddress"]
    assert (published["target_ip"], published["container_port"], published["listening"]) == (ip, 80, True)
    dnat = published["dnat"]
    assert dnat["backend"] == ("nft" if host.driver == "nftables" else "iptables-nft")
    assert dnat["chain"].startswith("nv_" if host.driver == "nftables" else "NETAVARK-DN-")
    assert counted(host, dnat["packets"])
    assert published["proxy"] is None
    assert shown["unknown"] == {}


def test_the_holder_of_a_port_is_conmon(host: PodmanLab) -> None:
    ledger: Any = host.json("ports")["ports"]
    (entry,) = [one for one in ledger if one["host_port"] == 8080]
    assert (entry["container"], entry["holder"]["kind"]) == ("web", "conmon")
    assert "conmon" in arguments(host, entry["holder"]["pid"])


def test_outbound_and_veth(host: PodmanLab) -> None:
    assert host.docker("exec", "web", "wget", "-qO-", f"http://{INTERNET_IP}/") == HOST_IP
    shown: Any = host.json("show", "web")
    way = out_by(shown, "podman")
    assert (way["uplink"], way["leaves_as"]) == ("eth0", HOST_IP)
    assert "masquerade" in way["nat"]["text"].lower()
    assert counted(host, way["nat"]["packets"])
    (address,) = [one for one in shown["addresses"] if ":" not in one["ip"]]
    veth = host_veth(host, "web", address["ip"])
    assert (address["veth"], address["bridge"]) == (veth, bridge_of(host, veth))


def test_a_dual_stack_port_is_open_for_ipv6_too(host: PodmanLab) -> None:
    assert host.fetch(f"http://{HOST_IP}:8083/") == "six"
    assert host.outside("curl", "-sSg", "--noproxy", "*", "--max-time", "5", f"http://[{HOST_IP6}]:8083/") == "six\n"
    shown: Any = host.json("show", "six")
    by_ip = {one["host_ip"]: one for one in shown["published"]}
    truth = networks(host, "six")["dual"]
    assert by_ip["0.0.0.0"]["target_ip"] == truth["IPAddress"]
    assert by_ip["::"]["target_ip"] == truth["GlobalIPv6Address"] == "fd00:7::2"
    (six,) = [one for one in shown["outbound"] if one["source"] == "fd00:7::2"]
    assert (six["leaves_as"], six["route"]["gateway"]) == (HOST_IP6, GATEWAY_IP6)


def test_a_container_of_a_pod(host: PodmanLab) -> None:
    assert host.fetch(f"http://{HOST_IP}:8092/") == "inpod"
    (entry,) = [one for one in ledger(host) if one["host_port"] == 8092]
    assert entry["container"].endswith("-infra")
    published = ports(host.json("show", "inpod"))["tcp", 8092]
    assert (published["target_ip"], published["listening"]) == (entry["target_ip"], True)


def ledger(host: PodmanLab) -> Any:
    return host.json("ports")["ports"]


def test_bound_to_loopback(host: PodmanLab) -> None:
    with pytest.raises(LabError):
        host.fetch(f"http://{HOST_IP}:8084/")
    published = ports(host.json("show", "lo-web"))["tcp", 8084]
    assert (published["host_ip"], published["scope"]) == ("127.0.0.1", "loopback")


def test_networks(host: PodmanLab) -> None:
    found: Any = {one["name"]: one for one in host.json("networks")["networks"]}
    assert found["idle"]["bridge"] is None  # made with its first container
    for name, container in (("bridge", "web"), ("dual", "six"), ("inner", "inner-web")):
        (endpoint,) = networks(host, container).values()
        assert found[name]["bridge"] == bridge_of(host, host_veth(host, container, endpoint["IPAddress"]))
    way = out_by(host.json("show", "inner-web"), "inner")
    assert (way["nat"], way["leaves_as"], way["leaves"]) == (None, None, "internal")
