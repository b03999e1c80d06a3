"""Every committed recording opens and joins, and the host of `netdash demo` is the one its description promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from netdash.bundle.recording import Recording, scrub
from netdash.bundle.storage import dump, load
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.trace.summary import inbound, outbound

RECORDINGS = Path(__file__).parents[1] / "recordings"
NAMES = sorted(path.name for path in RECORDINGS.iterdir() if (path / "ip").is_dir())

NOT_READ = {
    "docker28.5-rootless-CHILDNS": {"neighbours", "networks", "sysctls", "routes: route6", "routes: rule6"},
    "docker28.5-rootless-HOSTNS": {"rules", "flows"},  # they are in the engine's own namespace
    "dockerd-down-live-restore": {"docker"},
    "podman5.8-nftables": {"routes: rule6"},
}


@pytest.mark.parametrize("name", [*NAMES, "su1"])
def test_it_joins_with_nothing_unknown_but_what_was_not_recorded(name: str, host: Callable[[str], Host]) -> None:
    joined = host(name)
    failed = {source for source in joined.failures if not source.startswith("drift")}
    assert failed == NOT_READ.get(name, set())
    assert joined.links
    assert joined.routes
    assert not joined.live
    assert (joined.containers is None) == (name == "dockerd-down-live-restore")


@pytest.mark.parametrize("name", [*NAMES, "su1"])
def test_it_holds_only_what_may_be_kept(name: str, recording: Callable[[str], Recording]) -> None:
    for path, answer in recording(name).answers.items():
        assert scrub(path, answer) == answer, path


def test_every_recording_is_described() -> None:
    text = (RECORDINGS / "README.md").read_text("utf-8")
    assert [name for name in NAMES if f"`{name}`" not in text] == []


# --- the demo host ----------------------------------------------------------------------------------------------------

NETWORKS = {
    "docker0": ("172.17.0.0/16", "172.17.0.1"),
    "br-ba6e4fa36e51": ("172.19.0.0/16", "172.19.0.1"),
    "br-88c3c24e0863": ("172.20.0.0/16", "172.20.0.1"),
    "br-74fb4d7b7af1": ("172.22.0.0/24", "172.22.0.1"),
}
FIREWALLD = """
PREROUTING_direct PREROUTING_ZONES_SOURCE PREROUTING_ZONES POSTROUTING_direct POSTROUTING_ZONES_SOURCE
POSTROUTING_ZONES OUTPUT_direct PRE_public PRE_public_log PRE_public_deny PRE_public_allow POST_public POST_public_log
POST_public_deny POST_public_allow
""".split()


def test_demo_host(host: Callable[[str], Host]) -> None:
    su1 = host("su1")
    assert su1.name == "su1"
    assert su1.privileged
    assert {network.bridge for network in su1.networks or () if network.bridge} == set(NETWORKS)
    default = next(route for route in su1.routes or () if route.default and route.family == 4)
    assert (str(default.gateway), default.dev, default.metric) == ("172.25.34.250", "eth0", 100)
    uplink = next(link for link in su1.links or () if link.name == "eth0")
    assert "172.25.34.8/24" in {str(one) for one in uplink.addresses}


@pytest.mark.parametrize("bridge", NETWORKS)
def test_demo_network_has_its_route_and_its_masquerade(bridge: str, host: Callable[[str], Host]) -> None:
    su1, (subnet, gateway) = host("su1"), NETWORKS[bridge]
    assert [
        str(route.prefsrc)
        for route in su1.routes or ()
        if route.table == "main" and route.dst == ip_network(subnet) and route.dev == bridge
    ] == [gateway]
    assert su1.ruleset
    texts = [rule.text for rule in su1.ruleset.rules if (rule.table, rule.chain) == ("nat", "POSTROUTING")]
    assert f"-A POSTROUTING -s {subnet} ! -o {bridge} -j MASQUERADE" in texts


def test_demo_chains(host: Callable[[str], Host]) -> None:
    ruleset = host("su1").ruleset
    assert ruleset
    assert ruleset.complete
    assert not [rule.text for rule in ruleset.rules if rule.not_understood]
    chains = {chain.name: chain for chain in ruleset.chains if (chain.family, chain.table) == ("ip", "nat")}
    assert set(FIREWALLD) <= set(chains)
    for chain in ("PREROUTING", "OUTPUT"):
        to_docker = [rule for rule in chains[chain].rules if rule.target.chain == "DOCKER"]
        assert ["--dst-type LOCAL" in rule.text for rule in to_docker] == [True]


@pytest.mark.parametrize(
    ("name", "short_id", "ip", "host_port", "pid", "dnat"),
    [
        ("youthful_volhard", "09ca48d094a3", "172.17.0.2", 32768, 2529, ("nat/DOCKER #2", 14)),
        ("trusting_shtern", "f3f0d046efbf", "172.17.0.3", 8080, 2672, ("nat/DOCKER #3", 9)),
    ],
)
def test_demo_container(
    name: str,
    short_id: str,
    ip: str,
    host_port: int,
    pid: int,
    dnat: tuple[str, int],
    host: Callable[[str], Host],
) -> None:
    su1 = host("su1")
    container = next(one for one in su1.containers or () if one.name == name)
    assert (container.short_id, container.image) == (short_id, "httpd")

    (way_in,) = inbound(su1, container)
    assert way_in.port.host_port == host_port
    assert str(way_in.port.host_ip) == "0.0.0.0"
    assert way_in.port.target_ip == ip_address(ip)
    assert way_in.port.listening
    assert way_in.port.dnat
    assert (way_in.port.dnat.place, way_in.port.dnat.packets) == dnat
    assert way_in.port.proxy
    assert way_in.port.proxy.pid == pid
    assert way_in.bridge == "docker0"
    assert way_in.veth

    (way_out,) = outbound(su1, container)
    assert way_out.nat
    assert (way_out.nat.place, way_out.nat.packets) == ("nat/POSTROUTING #1", 52)
    assert way_out.leaves_as == ip_address("172.25.34.8")


# --- broken bundles ---------------------------------------------------------------------------------------------------


def test_a_recording_survives_the_archive(tmp_path: Path, recording: Callable[[str], Recording]) -> None:
    original = recording("su1")
    dump(original, tmp_path / "su1.tar.gz", "0")
    again = load(tmp_path / "su1.tar.gz")
    assert set(again.answers) == set(original.answers)
    for path in original.answers:
        assert again.json(path) == original.json(path) if path.endswith(".json") else again.text(path), path
    assert (again.hostname, again.taken, again.privileged) == (original.hostname, original.taken, original.privileged)


@pytest.mark.parametrize(
    ("file", "source", "read"),
    [
        ("docker/containers.json", "docker", "containers"),
        ("docker/inspect.json", "docker", "containers"),
        ("docker/networks.json", "networks", "networks"),
        ("ip/addr.json", "links", "links"),
        ("ip/neigh.json", "neighbours", "neighbours"),
        ("ip/route4.json", "routes", "routes"),
        ("ip/route6.json", "routes", "routes"),
        ("ip/rule4.json", "policy", "policy"),
    ],
)
@pytest.mark.parametrize("answer", ['{"a": 1}', '"text"', "7", "[{}, 1]", "["])
def test_an_answer_of_another_shape_is_not_an_empty_one(
    file: str, source: str, read: str, answer: str, recording: Callable[[str], Recording]
) -> None:
    whole = recording("docker28.5-nft-full")
    joined = Builder().build(replace(whole, answers={**whole.answers, file: answer}))
    assert getattr(joined, read) is None
    assert "not understood" in joined.failures[source].reason
