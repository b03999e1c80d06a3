"""This namespace as `netdash record` would take it: read by the project's own readers, with the answers that an engine
would give for the containers of the game."""

from __future__ import annotations

import hashlib

from netdash.bundle.recording import Recording
from netdash.collect.netlink import namespace_ids
from netdash.collect.once import Options, read_once
from netdash.collect.sockets import sockets_of
from tests.fuzz.namespaces import run
from tests.fuzz.world import OWN, PEERS, Peer, World

_SOURCES = frozenset(("links", "routes", "neighbours", "rules", "listeners", "sysctls"))
_PROGRAM = "dnsmasq"  # answers from the address that was asked, as the game's servers do
_SUBNETS = {"br0": ("10.1.0.0/24", "fd00:1::/64"), "br1": ("10.2.0.0/24", "fd00:2::/64")}


def container_id(name: str) -> str:
    return hashlib.sha256(f"netdash fuzz {name}".encode()).hexdigest()


def record(world: World) -> Recording:
    read = read_once(Options(sources=_SOURCES))
    names = {"ip/netns.json": namespace_ids(world.pid(peer.name) for peer in PEERS)}
    answers: dict[str, object] = {**read.answers, **names, **_engine(world), **_inside(world)}
    answers["host/docker-proxy.txt"] = ""
    answers["ip/bridge-link.json"] = run("bridge", "-j", "-d", "link")
    answers["ip/bridge-fdb.json"] = run("bridge", "-j", "fdb")
    found = sockets_of({peer.name: world.pid(peer.name) for peer in PEERS if peer.container})
    answers |= {f"containers/{name}/listeners.txt": text for name, text in found.items()}
    for path in [path for path in answers if path.endswith("listeners.txt")]:
        answers[path] = str(answers[path]).replace('"python', f'"{_PROGRAM}')
    return Recording(answers, read.failures, taken=0, hostname="fuzz", live=False, privileged=True)


def _inside(world: World) -> dict[str, object]:
    found: dict[str, object] = {}
    for peer in PEERS:
        if peer.container:
            with world.entered(peer.name):
                found[f"containers/{peer.name}/addr.json"] = run("ip", "-j", "-d", "addr")
                found[f"containers/{peer.name}/neigh.json"] = run("ip", "-j", "neigh")
                found[f"containers/{peer.name}/route.json"] = run("ip", "-j", "-d", "route", "show", "table", "all")
    return found


def _engine(world: World) -> dict[str, object]:
    inspected = [_container(peer, world.pid(peer.name)) for peer in PEERS if peer.container]
    return {
        "docker/version.json": {"Version": "28.5.2", "ApiVersion": "1.51", "Components": []},
        "docker/info.json": {"ServerVersion": "28.5.2", "FirewallBackend": {"Driver": "iptables"}},
        "docker/inspect.json": inspected,
        "docker/networks.json": [_network(bridge) for bridge in _SUBNETS],
    }


def _network(bridge: str) -> dict[str, object]:
    four, six = OWN[bridge][0]
    config = [
        {"Subnet": subnet, "Gateway": gateway} for subnet, gateway in zip(_SUBNETS[bridge], (four, six), strict=True)
    ]
    return {
        "Id": container_id(bridge),
        "Name": f"net-{bridge}",
        "Driver": "bridge",
        "Scope": "local",
        "EnableIPv6": True,
        "Internal": False,
        "IPAM": {"Config": config},
        "Options": {"com.docker.network.bridge.name": bridge},
        "Labels": {},
    }


def _container(peer: Peer, pid: int) -> dict[str, object]:
    four, six = OWN[peer.bridge][0]
    endpoint = {
        "NetworkID": container_id(peer.bridge),
        "MacAddress": peer.mac,
        "IPAddress": peer.addresses[0],
        "IPPrefixLen": 24,
        "Gateway": four,
        "GlobalIPv6Address": peer.addresses[1],
        "GlobalIPv6PrefixLen": 64,
        "IPv6Gateway": six,
    }
    return {
        "Id": container_id(peer.name),
        "Name": f"/{peer.name}",
        "State": {"Status": "running", "Running": True, "Pid": pid},
        "Config": {"Image": "game", "Labels": {}},
        "HostConfig": {"NetworkMode": f"net-{peer.bridge}"},
        "NetworkSettings": {"Networks": {f"net-{peer.bridge}": endpoint}, "Ports": {}},
    }
