"""Two web servers on a real engine: netdash shows what iptables, ps, ip and docker say, and what the packets did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lab import GATEWAY_IP, HOST_IP, INTERNET_IP, Lab
from truth import arguments, backend, bridge_of, host_veth, inspect, nat_rules, networks, out_by, ports

WEB = ("story-any", "story-8080")


@pytest.fixture(scope="module")
def story(lab: Lab) -> Iterator[Lab]:
    lab.httpd("story-any", "-p", "80")
    lab.httpd("story-8080", "-p", "8080:80")
    yield lab
    lab.remove_containers()


def host_port(lab: Lab, name: str) -> int:
    bindings = inspect(lab, name)["NetworkSettings"]["Ports"]["80/tcp"]
    return int(bindings[0]["HostPort"])


@pytest.mark.parametrize("name", WEB)
def test_inbound(story: Lab, name: str) -> None:
    port, ip = host_port(story, name), networks(story, name)["bridge"]["IPAddress"]
    before = nat_rules(story)
    assert story.fetch(f"http://{HOST_IP}:{port}/") == name
    assert story.fetch(f"http://{HOST_IP}:{port}/") == name
    after = nat_rules(story)

    shown = story.json("show", name)
    published = ports(shown)["tcp", port]
    assert (published["host_ip"], published["container_port"], published["target_ip"]) == ("0.0.0.0", 80, ip)
    assert published["scope"] == "all"
    assert published["listening"] is True

    dnat = published["dnat"]
    truth = after[dnat["text"]]
    assert truth.text.endswith(f"-j DNAT --to-destination {ip}:80")
    assert f"--dport {port} " in truth.text
    assert truth.packets == before[dnat["text"]].packets + 2
    assert (dnat["family"], dnat["table"], dnat["chain"], dnat["rule"]) == ("ip", "nat", "DOCKER", truth.position)
    assert (dnat["packets"], dnat["backend"]) == (truth.packets, backend(story))

    proxy = published["proxy"]
    argv = arguments(story, proxy["pid"])
    assert "docker-proxy" in argv
    assert f"-host-port {port} -container-ip {ip} -container-port 80" in argv
    assert (proxy["host_port"], proxy["container_ip"], proxy["container_port"]) == (port, ip, 80)
    assert shown["unknown"] == {}


@pytest.mark.parametrize("name", WEB)
def test_outbound(story: Lab, name: str) -> None:
    before = nat_rules(story)
    seen = story.docker("exec", name, "wget", "-qO-", f"http://{INTERNET_IP}/")
    after = nat_rules(story)
    assert seen == HOST_IP

    shown = story.json("show", name)
    way = out_by(shown, "bridge")
    nat = way["nat"]
    assert after[nat["text"]].packets == before[nat["text"]].packets + 1 == nat["packets"]
    assert (nat["chain"], nat["rule"]) == ("POSTROUTING", after[nat["text"]].position)
    assert nat["text"].endswith("! -o docker0 -j MASQUERADE")
    assert way["source"] == networks(story, name)["bridge"]["IPAddress"]
    assert (way["route"]["dst"], way["route"]["gateway"], way["route"]["dev"]) == ("default", GATEWAY_IP, "eth0")
    assert (way["uplink"], way["leaves_as"]) == ("eth0", seen)


@pytest.mark.parametrize("name", WEB)
def test_address_and_veth(story: Lab, name: str) -> None:
    shown: dict[str, Any] = story.json("show", name)
    (address,) = [one for one in shown["addresses"] if ":" not in one["ip"]]
    truth = networks(story, name)["bridge"]
    assert (address["ip"], address["prefix"]) == (truth["IPAddress"], truth["IPPrefixLen"])
    assert (address["gateway"], address["mac"]) == (truth["Gateway"], truth["MacAddress"])
    veth = host_veth(story, name, truth["IPAddress"])
    assert address["veth"] == veth
    assert address["bridge"] == bridge_of(story, veth) == "docker0"
    details = inspect(story, name)
    assert shown["container"]["id"] == details["Id"][:12]
    assert shown["container"]["state"] == "running"


def test_the_ledger_names_the_holder_of_each_port(story: Lab) -> None:
    ledger: Any = story.json("ports")["ports"]
    for name in WEB:
        (entry,) = [one for one in ledger if one["host_port"] == host_port(story, name) and one["host_ip"] == "0.0.0.0"]
        assert entry["container"] == name
        assert entry["holder"]["kind"] == "docker-proxy"
        assert "docker-proxy" in arguments(story, entry["holder"]["pid"])


def test_a_recording_of_the_host_says_the_same(story: Lab) -> None:
    live: Any = story.json("show", "story-8080")
    bundle = story.folder / "story.tar.gz"
    done = story.netdash("record", str(bundle))
    assert done.returncode == 0, done.stderr
    recorded: Any = story.json("--from", str(bundle), "show", "story-8080")
    for key in ("container", "addresses", "published", "outbound", "links"):
        assert recorded[key] == live[key]
    bundle.unlink()


def test_a_container_that_stops_keeps_its_configured_port(story: Lab) -> None:
    story.httpd("story-gone", "-p", "8090:80")
    story.docker("kill", "story-gone")
    shown: Any = story.json("show", "story-gone")
    assert shown["container"]["state"] == "exited"
    assert all(one["dnat"] is None and one["proxy"] is None for one in shown["published"])
    taken = story.netdash("ports", "--free", "8090")
    assert taken.returncode == 0, taken.stdout
    assert story.netdash("ports", "--free", "8080").returncode == 1
