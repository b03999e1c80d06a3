"""A real engine's rules against what it should have written: nothing differs in any mode, and each change is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import _labs
from lab import HOST_IP, Lab, LabError

MODES: dict[str, tuple[str, ...]] = {
    "proxy": (),
    "no proxy": ("--userland-proxy=false",),
    "no icc": ("--icc=false",),
    "IPv6": ("--experimental", "--ip6tables", "--ipv6", "--fixed-cidr-v6=fd00:20::/64"),
    "IPv6 without proxy": (
        *("--experimental", "--ip6tables", "--ipv6", "--fixed-cidr-v6=fd00:20::/64"),
        "--userland-proxy=false",
    ),
}
BRIDGE = "com.docker.network.bridge."
NETWORKS = {
    "plain": (),
    "inner": ("--internal",),
    "innerstrict": ("--internal", "-o", f"{BRIDGE}enable_icc=false"),
    "strict": ("-o", f"{BRIDGE}enable_icc=false"),
    "bare": ("-o", f"{BRIDGE}enable_ip_masquerade=false"),
    "lo": ("-o", f"{BRIDGE}host_binding_ipv4=127.0.0.1"),
    "snat": ("-o", f"com.docker.network.host_ipv4={HOST_IP}"),
    "six": ("--ipv6", "--subnet", "fd00:7::/64", "--subnet", "10.77.0.0/24"),
}


@pytest.fixture(scope="module", params=[*MODES, "legacy"])
def crowded(possible: None, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """An engine in one mode, with every kind of network and of published port."""
    mode: str = request.param
    for host in _labs(*MODES.get(mode, ()), legacy=mode == "legacy"):
        for name, options in NETWORKS.items():
            host.docker("network", "create", *options, name)
        host.httpd("web", "-p", "8080:80", "-p", "8090:80", "-p", f"{HOST_IP}:8083:80", "-p", "5353:53/udp")
        host.httpd("ranged", "-p", "9000-9002:9000-9002", "--network", "plain")
        host.httpd("two", "-p", "127.0.0.1:8081:80", "--network", "plain")
        host.docker("network", "connect", "six", "two")
        for at, name in enumerate(NETWORKS):
            host.httpd(f"on-{name}", "-p", f"{7000 + at}:80", "--network", name)
        host.httpd("idle", "--network", "plain")
        host.httpd("linked", "--link", "web:db")
        yield host


def drift(host: Lab) -> list[dict[str, Any]]:
    """What differs, without the jump that the engine inserts twice when its `iptables -C` fails on a busy host."""
    done = host.netdash("drift", "--json")
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    assert bool(found["drift"]) == bool(done.returncode)
    doubled = ("duplicate", "-A FORWARD -j DOCKER-USER", None)
    return [one for one in found["drift"] if kinds([one]) != [doubled]]


def kinds(found: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [(one["kind"], one["rule"]["text"], one["container"]) for one in found]


def test_nothing_differs_in_any_mode(crowded: Lab) -> None:
    assert kinds(drift(crowded)) == []


def test_what_comes_and_goes_leaves_nothing(crowded: Lab) -> None:
    host = crowded
    host.docker("network", "create", "passing")
    host.httpd("passes", "-p", "8181:80", "--network", "passing")
    assert kinds(drift(host)) == []
    host.docker("rm", "-f", "passes")
    assert kinds(drift(host)) == []
    host.docker("network", "rm", "passing")
    assert kinds(drift(host)) == []


@pytest.fixture
def host(lab: Lab) -> Iterator[Lab]:
    yield lab
    lab.remove_containers()
    lab.docker("network", "prune", "-f")


def test_each_change_is_told(host: Lab) -> None:
    host.httpd("d-web", "-p", "8280:80")
    assert drift(host) == []
    ip = host.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "d-web")
    dnat = f"DOCKER ! -i docker0 -p tcp -m tcp --dport 8280 -j DNAT --to-destination {ip}:80"
    accept = f"DOCKER -d {ip}/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT"
    for table, rule in (("nat", dnat), ("filter", accept)):
        host.on_host("iptables", "-t", table, "-D", *rule.split())
        assert kinds(drift(host)) == [("missing", f"-A {rule}", "d-web")]
        host.on_host("iptables", "-t", table, "-A", *rule.split())
        assert drift(host) == []
    host.on_host("iptables", "-t", "nat", "-A", *dnat.split())
    assert kinds(drift(host)) == [("duplicate", f"-A {dnat}", "d-web")]
    host.on_host("iptables", "-t", "nat", "-D", *dnat.split())
    foreign = "PREROUTING -p tcp -m tcp --dport 8280 -j DNAT --to-destination 203.0.113.1:80".split()
    host.on_host("iptables", "-t", "nat", "-I", *foreign)
    assert kinds(drift(host)) == [("shadowed", f"-A {dnat}", "d-web")]
    with pytest.raises(LabError):  # the kernel says so too
        host.fetch(f"http://{HOST_IP}:8280/")
    host.on_host("iptables", "-t", "nat", "-D", *foreign)
    stale = dnat.replace(ip, "172.17.200.200").replace("8280", "8281")
    host.on_host("iptables", "-t", "nat", "-A", *stale.split())
    assert kinds(drift(host)) == [("stale", f"-A {stale}", None)]
    host.on_host("iptables", "-t", "nat", "-D", *stale.split())
    assert drift(host) == []
    saved = host.on_host("iptables-save")
    host.on_host("nft", "flush", "ruleset")
    assert {one["kind"] for one in drift(host)} == {"missing"}
    (host.folder / "saved").write_text(saved)
    host.on_host("iptables-restore", str(host.folder / "saved"))
    assert drift(host) == []
