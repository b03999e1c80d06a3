"""The raw answers of a recorded host, read with `json` and regular expressions alone. Golden files must agree.

Nothing of netdash's parsers is used here: a mistake of theirs would be in the golden files and in the facts alike."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import Any, NamedTuple

from tests.conftest import bundle

IPTABLES = {
    "iptables-save.txt": ("ip", "iptables-nft"),
    "ip6tables-save.txt": ("ip6", "iptables-nft"),
    "iptables-legacy-save.txt": ("ip", "iptables-legacy"),
    "ip6tables-legacy-save.txt": ("ip6", "iptables-legacy"),
}
LISTENING = "0A"


class Place(NamedTuple):
    """Where a rule is; `backend` is iptables-nft, iptables-legacy or nft."""

    backend: str
    family: str
    table: str
    chain: str
    rule: int  # 1-based position in its chain


@dataclass(frozen=True, slots=True)
class RawRule:
    text: str  # a line of iptables-save without its counters, or the expressions of nft as JSON
    packets: int | None
    size: int | None
    port: tuple[str, int] | None = None  # protocol and destination port that it asks for
    address: str | None = None  # the one destination address that it asks for
    target: tuple[str, int] | None = None  # where it sends packets on (DNAT)


def text(name: str, path: str) -> str | None:
    """None where the recording has no such file."""
    file = bundle(name) / path
    return file.read_text("utf-8", "replace") if file.exists() else None


def answer(name: str, path: str) -> Any:
    content = text(name, path)
    return json.loads(content) if content else []


@cache
def rules(name: str) -> dict[Place, RawRule]:
    return _iptables(name) | _nft(name)


def _iptables(name: str) -> dict[Place, RawRule]:
    found: dict[Place, RawRule] = {}
    for file, (family, backend) in IPTABLES.items():
        table, positions = "", defaultdict[str, int](int)
        for line in (text(name, f"rules/{file}") or "").splitlines():
            if line.startswith("*"):
                table, positions = line[1:], defaultdict(int)
            elif parts := re.match(r"(?:\[(\d+):(\d+)\] )?(-A (\S+).*)", line):
                packets, size, rule, chain = parts.groups()
                positions[chain] += 1
                place = Place(backend, family, table, chain, positions[chain])
                found[place] = RawRule(rule, _number(packets), _number(size), *_dnat_of_line(rule))
    return found


def _dnat_of_line(rule: str) -> tuple[tuple[str, int] | None, str | None, tuple[str, int] | None]:
    asked = re.search(r" -p (\w+) .*--dport (\d+) ", rule)
    address = re.search(r"(?<!!) -d (\S+)/(?:32|128) ", rule)
    target = re.search(r"--to-destination \[?([0-9a-f.:]+?)\]?:(\d+)$", rule)
    return (
        (asked[1], int(asked[2])) if asked else None,
        address[1] if address else None,
        (target[1], int(target[2])) if target else None,
    )


def _nft(name: str) -> dict[Place, RawRule]:
    """The tables that iptables does not list by itself."""
    content = answer(name, "rules/nft.json")
    positions, found = defaultdict[tuple[str, str, str], int](int), {}
    for entry in content["nftables"] if content else ():
        if rule := entry.get("rule"):
            chain = (rule["family"], rule["table"], rule["chain"])
            positions[chain] += 1
            found[Place("nft", *chain, positions[chain])] = _nft_rule(rule["expr"])
    return found


def _nft_rule(expressions: list[dict[str, Any]]) -> RawRule:
    counter: dict[str, int] = {}
    port = address = target = None
    for expression in expressions:
        match expression:
            case {"counter": {"packets": _} as counter}:
                pass
            case {
                "match": {"op": "==", "left": {"payload": {"protocol": proto, "field": "dport"}}, "right": int(right)}
            }:
                port = (proto, right)
            case {"match": {"op": "==", "left": {"payload": {"field": "daddr"}}, "right": str(right)}}:
                address = right
            case {"dnat": {"addr": str(to), "port": int(number)}}:
                target = (to, number)
    return RawRule(json.dumps(expressions), counter.get("packets"), counter.get("bytes"), port, address, target)


def _number(digits: str | None) -> int | None:
    return None if digits is None else int(digits)


@cache
def sockets(name: str) -> dict[tuple[str, str, int], int | None]:
    """(protocol, address, port) of every socket that `ss` listed on the host -> pid; `*` is `::`."""
    found: dict[tuple[str, str, int], int | None] = {}
    for line in (text(name, "host/listeners.txt") or "").splitlines():
        proto, _, _, _, local, *_ = line.split()
        address, _, port = local.rpartition(":")
        pid = re.search(r"pid=(\d+)", line)
        address = address.partition("%")[0].strip("[]").replace("*", "::")
        found[proto, address, int(port)] = int(pid[1]) if pid else None
    return found


@cache
def proxies(name: str) -> dict[int, tuple[str, str, int, str, int]]:
    """pid -> protocol, address and port on the host, address and port in the container."""
    pattern = re.compile(
        r"(\d+) .*-proto (\w+) -host-ip (\S+) -host-port (\d+) -container-ip (\S+) -container-port (\d+)"
    )
    lines = map(pattern.match, (text(name, "host/docker-proxy.txt") or "").splitlines())
    return {int(found[1]): (found[2], found[3], int(found[4]), found[5], int(found[6])) for found in lines if found}


@cache
def listens_inside(name: str, container: str, address: str, port: int) -> bool | None:
    """Whether a TCP socket inside the container accepts connections to that address; None where it was not recorded."""
    listed = text(name, f"containers/{container}/proc-net.txt")
    if listed is None:
        return None
    for line in listed.splitlines():
        found = re.match(r"\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F:]+ (\w\w) ", line)
        if found and found[3] == LISTENING and int(found[2], 16) == port:
            bound = _kernel_address(found[1])
            if bound in (address, "::") or (bound == "0.0.0.0" and "." in address):
                return True
    return False


def _kernel_address(digits: str) -> str:
    """An address of /proc/net/tcp: words of 32 bits in the byte order of the machine."""
    words = (bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    return str(ip_address(b"".join(words)))


def inspected(name: str) -> dict[str, dict[str, Any]]:
    """By name, what the engine answered of each container."""
    return {container["Name"].lstrip("/"): container for container in answer(name, "docker/inspect.json")}


def endpoint_addresses(container: dict[str, Any]) -> set[tuple[str, str, int, str | None, str]]:
    """(network, address, prefix length, gateway, MAC) of a container as the engine told them."""
    return {
        (network, end[ip], end[length], end[gateway] or None, end["MacAddress"])
        for network, end in (container["NetworkSettings"]["Networks"] or {}).items()
        for ip, length, gateway in (
            ("IPAddress", "IPPrefixLen", "Gateway"),
            ("GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway"),
        )
        if end[ip]
    }


def published(container: dict[str, Any]) -> set[tuple[str, str, int, int]]:
    """(protocol, host address, host port, container port) of a container, as the engine told them."""
    return {
        (spec.partition("/")[2], bound["HostIp"] or "0.0.0.0", int(bound["HostPort"]), int(spec.partition("/")[0]))
        for spec, bindings in (container["NetworkSettings"]["Ports"] or {}).items()
        for bound in bindings or ()
        if bound["HostPort"].strip("0")  # a routed network publishes no port of the host
    }


@cache
def peer_of_veth(name: str, container: str, address: str) -> str | None:
    """The device on the host whose peer inside the container has that address, by the kernel's interface numbers."""
    inside = answer(name, f"containers/{container}/addr.json")
    peers = {
        link["link_index"]
        for link in inside
        if link.get("linkinfo", {}).get("info_kind") == "veth"
        and address in {entry.get("local") for entry in link["addr_info"]}
    }
    devices = {link["ifindex"]: link["ifname"] for link in answer(name, "ip/addr.json")}
    return next((devices.get(index) for index in peers), None)
