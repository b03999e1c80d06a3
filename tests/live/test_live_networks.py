"""Every kind of network and published port on a real engine, judged by the other tools and by the packets."""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from lab import GATEWAY_IP, HOST_IP, INTERNET_IP, Lab, LabError, until
from truth import arguments, bridge_of, host_veth, nat_rules, networks, out_by, ports

SEND = (
    "import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(3); "
    "s.sendto(b'ping',(sys.argv[1],int(sys.argv[2]))); print(s.recv(99).decode())"
)


@pytest.fixture
def host(lab: Lab) -> Iterator[Lab]:
    yield lab
    lab.remove_containers()
    lab.docker("network", "prune", "-f")


def test_user_defined_bridge_with_ipv6(host: Lab) -> None:
    host.docker("network", "create", "--ipv6", "--subnet", "fd00:7::/64", "--subnet", "10.77.0.0/24", "six")
    host.httpd("six-web", "--network", "six", "-p", "8081:80", "--network-alias", "front")
    host.httpd("six-peer", "--network", "six")
    truth = networks(host, "six-web")["six"]
    before = nat_rules(host)
    assert host.fetch(f"http://{HOST_IP}:8081/") == "six-web"
    assert host.docker("exec", "six-web", "wget", "-qO-", f"http://{INTERNET_IP}/") == HOST_IP

    shown: Any = host.json("show", "six-web")
    found = {one["ip"]: one for one in shown["addresses"]}
    assert set(found) == {truth["IPAddress"], str(ipaddress.ip_address(truth["GlobalIPv6Address"]))}
    veth = host_veth(host, "six-web", truth["IPAddress"])
    assert {(one["network"], one["veth"], one["bridge"]) for one in found.values()} == {
        ("six", veth, bridge_of(host, veth))
    }
    dnat = ports(shown)["tcp", 8081]["dnat"]
    assert dnat["packets"] == before[dnat["text"]].packets + 1
    way = out_by(shown, "six")
    assert way["nat"]["packets"] == before[way["nat"]["text"]].packets + 1
    assert way["leaves_as"] == HOST_IP
    peer = next(one for one in shown["links"] if one["container"] == "six-peer")
    assert "six-peer" in peer["names"]
    assert host.docker("exec", "six-web", "wget", "-qO-", "http://six-peer/") == "six-peer"
    back = next(one for one in host.json("show", "six-peer")["links"] if one["container"] == "six-web")
    assert {"six-web", "front"} <= set(back["names"])


def test_internal_network(host: Lab) -> None:
    host.docker("network", "create", "--internal", "--subnet", "10.78.0.0/24", "inner")
    host.httpd("inner-web", "--network", "inner", "-p", "8082:80")
    with pytest.raises(LabError):
        host.docker("exec", "inner-web", "wget", "-T", "1", "-qO-", f"http://{INTERNET_IP}/")
    shown: Any = host.json("show", "inner-web")
    assert [one["ip"] for one in shown["addresses"]] == [networks(host, "inner-web")["inner"]["IPAddress"]]
    way = out_by(shown, "inner")
    assert (way["nat"], way["leaves_as"]) == (None, None)
    assert way["leaves"] == "internal"
    assert all(one["dnat"] is None for one in shown["published"])


def test_bound_to_loopback(host: Lab) -> None:
    host.httpd("lo-web", "-p", "127.0.0.1:8083:80")
    assert host.on_host("curl", "-sS", "--noproxy", "*", "http://127.0.0.1:8083/").strip() == "lo-web"
    with pytest.raises(LabError):
        host.fetch(f"http://{HOST_IP}:8083/")
    published = ports(host.json("show", "lo-web"))["tcp", 8083]
    assert (published["host_ip"], published["scope"]) == ("127.0.0.1", "loopback")
    assert "-d 127.0.0.1/32" in published["dnat"]["text"]
    assert "-host-ip 127.0.0.1" in arguments(host, published["proxy"]["pid"])


def test_udp_port(host: Lab) -> None:
    host.httpd("udp-echo", "-p", "5353:53/udp")
    host.serve_in("udp-echo", "udp", "0.0.0.0", 53)
    assert until(lambda: ":53 " in host.inside("udp-echo", "ss", "-Hlun"))
    before = nat_rules(host)
    assert host.outside("python3", "-c", SEND, HOST_IP, "5353").strip() == "ping"
    published = ports(host.json("show", "udp-echo"))["udp", 5353]
    assert published["listening"] is True
    assert published["dnat"]["packets"] == before[published["dnat"]["text"]].packets + 1
    assert "-proto udp" in arguments(host, published["proxy"]["pid"])


def test_range_of_ports(host: Lab) -> None:
    host.httpd("range-web", "-p", "9000-9002:9000-9002", port=9001)
    assert host.fetch(f"http://{HOST_IP}:9001/") == "range-web"
    published = ports(host.json("show", "range-web"))
    assert {(key[1], one["container_port"]) for key, one in published.items()} == {(n, n) for n in (9000, 9001, 9002)}
    assert [published["tcp", port]["listening"] for port in (9000, 9001, 9002)] == [False, True, False]
    assert published["tcp", 9001]["dnat"]["packets"] == 1
    assert "9000-9002" in host.netdash("containers").stdout


def test_container_on_two_networks(host: Lab) -> None:
    host.docker("network", "create", "--subnet", "10.79.1.0/24", "one")
    host.docker("network", "create", "--subnet", "10.79.2.0/24", "two")
    host.httpd("both-web", "--network", "one", "-p", "8084:80")
    host.docker("network", "connect", "two", "both-web")
    truth = networks(host, "both-web")
    before = nat_rules(host)
    assert host.fetch(f"http://{HOST_IP}:8084/") == "both-web"

    shown: Any = host.json("show", "both-web")
    found = {one["network"]: one for one in shown["addresses"]}
    assert {name: one["ip"] for name, one in found.items()} == {
        name: endpoint["IPAddress"] for name, endpoint in truth.items()
    }
    for name, endpoint in truth.items():
        veth = host_veth(host, "both-web", endpoint["IPAddress"])
        assert (found[name]["veth"], found[name]["bridge"]) == (veth, bridge_of(host, veth))

    # The engine chooses one of the two for the port: the kernel's counter says which.
    (used,) = [
        text
        for text, rule in nat_rules(host).items()
        if "--dport 8084" in text and rule.packets == before[text].packets + 1
    ]
    published = ports(shown)["tcp", 8084]
    assert published["dnat"]["text"] == used
    assert used.endswith(f"--to-destination {published['target_ip']}:80")
    for name in truth:
        assert out_by(shown, name)["nat"]["text"].startswith(f"-A POSTROUTING -s 10.79.{1 + (name == 'two')}.0/24")


def test_network_modes_without_an_address_of_their_own(host: Lab) -> None:
    host.httpd("mode-owner", "-p", "8085:80")
    host.docker(
        "run", "-d", "--name", "mode-shares", "--network", "container:mode-owner", "netdash/busybox", "sleep", "99"
    )
    host.docker("run", "-d", "--name", "mode-none", "--network", "none", "netdash/busybox", "sleep", "99")
    host.docker("run", "-d", "--name", "mode-host", "--network", "host", "netdash/busybox", "sleep", "99")
    assert host.json("show", "mode-none")["addresses"] == []
    out: Any = host.json("show", "mode-none")["outbound"]
    assert all(one["leaves_as"] is None for one in out)
    text = host.netdash("containers").stdout
    lines = {line.split()[0]: line for line in text.splitlines() if "mode-" in line}
    assert "mode-owner" in lines["mode-shares"]
    assert "host" in lines["mode-host"].replace("mode-host", "")
    assert "none" in lines["mode-none"].replace("mode-none", "")


def test_macvlan_passes_this_host_by(host: Lab) -> None:
    subnet = ["--subnet", "203.0.113.0/24", "--gateway", GATEWAY_IP]
    host.docker("network", "create", "-d", "macvlan", "-o", "parent=eth0", *subnet, "past")
    host.httpd("mac-web", "--network", "past", "--ip", "203.0.113.130")
    ip = networks(host, "mac-web")["past"]["IPAddress"]
    assert host.outside("curl", "-sS", "--noproxy", "*", "--max-time", "5", f"http://{ip}/").strip() == "mac-web"
    shown: Any = host.json("show", "mac-web")
    assert [(one["ip"], one["veth"], one["bridge"]) for one in shown["addresses"]] == [(ip, None, None)]
    way = out_by(shown, "past")
    assert (way["leaves"], way["nat"], way["uplink"]) == ("direct", None, "eth0")
    (network,) = [one for one in host.json("networks")["networks"] if one["name"] == "past"]  # type: ignore[attr-defined]
    assert (network["driver"], network["bridge"], network["parent"]) == ("macvlan", None, "eth0")


def test_overlay_goes_by_the_gateway_bridge(host: Lab) -> None:
    host.docker("swarm", "init", "--advertise-addr", HOST_IP)
    try:
        host.docker("network", "create", "-d", "overlay", "--attachable", "over")
        host.httpd("over-web", "--network", "over", "-p", "8089:80")
        before = nat_rules(host)
        assert host.fetch(f"http://{HOST_IP}:8089/") == "over-web"
        assert host.docker("exec", "over-web", "wget", "-qO-", f"http://{INTERNET_IP}/") == HOST_IP
        shown: Any = host.json("show", "over-web")
        published = ports(shown)["tcp", 8089]
        assert published["dnat"]["packets"] == before[published["dnat"]["text"]].packets + 1
        assert published["listening"] is True
        assert published["target_ip"] in {one["ip"] for one in shown["addresses"]}
        assert out_by(shown, "docker_gwbridge")["leaves_as"] == HOST_IP
        # What is sent from the overlay's address goes by docker_gwbridge too, where no rule translates that address.
        over = out_by(shown, "over")
        assert (over["leaves"], over["leaves_as"], over["default"]) == ("untranslated", over["source"], False)
    finally:
        host.remove_containers()
        host.docker("swarm", "leave", "--force")


def test_hostile_names_reach_nothing_raw(host: Lab) -> None:
    host.docker(
        "run",
        "-d",
        "--name",
        "hostile",
        "--label",
        "com.docker.compose.project=[red]\x1b[31mX",
        "netdash/busybox",
        "sleep",
        "99",
    )
    for command in (["containers"], ["show", "hostile"]):
        done = host.netdash(*command)
        assert done.returncode == 0, done.stderr
        assert "\x1b" not in done.stdout + done.stderr


# --- other ways to run the engine -------------------------------------------------------------------------------------


def test_without_userland_proxy(lab_without_proxy: Lab) -> None:
    host = lab_without_proxy
    host.httpd("np-web", "-p", "8086:80")
    before = nat_rules(host)
    assert host.fetch(f"http://{HOST_IP}:8086/") == "np-web"
    shown: Any = host.json("show", "np-web")
    published = ports(shown)["tcp", 8086]
    assert published["proxy"] is None
    assert published["listening"] is True
    assert published["dnat"]["packets"] == before[published["dnat"]["text"]].packets + 1
    assert host.json("proxies")["proxies"] == []
    assert out_by(shown, "bridge")["leaves_as"] == HOST_IP


def test_iptables_legacy(possible: None, request: pytest.FixtureRequest) -> None:
    if shutil.which("iptables-legacy-save") is None:
        pytest.skip("no iptables-legacy here")
    host: Lab = request.getfixturevalue("lab_with_legacy")
    host.httpd("old-web", "-p", "8087:80")
    before = nat_rules(host)
    assert host.fetch(f"http://{HOST_IP}:8087/") == "old-web"
    assert host.docker("exec", "old-web", "wget", "-qO-", f"http://{INTERNET_IP}/") == HOST_IP
    shown: Any = host.json("show", "old-web")
    dnat, way = ports(shown)["tcp", 8087]["dnat"], out_by(shown, "bridge")
    assert dnat["backend"] == way["nat"]["backend"] == "iptables-legacy"
    assert dnat["packets"] == before[dnat["text"]].packets + 1
    assert way["nat"]["packets"] == before[way["nat"]["text"]].packets + 1
    assert way["leaves_as"] == HOST_IP
