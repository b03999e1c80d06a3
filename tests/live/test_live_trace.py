"""Every kind of published port and network, asked and then tried: a trace says of a packet what a real connection does,
and as whom the receiver sees its sender."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from lab import GATEWAY_IP, GATEWAY_IP6, HOST_IP, HOST_IP6, IMAGE, INTERNET_IP, OUTSIDE, Lab, LabError, until
from truth import inspect, networks

MACVLAN_IP = "203.0.113.131"
NETWORKS: Mapping[str, tuple[str, ...]] = {
    "six": ("--ipv6", "--subnet", "fd00:7::/64", "--subnet", "10.77.0.0/24"),
    "inner": ("--internal", "--subnet", "10.78.0.0/24"),
    "one": ("--subnet", "10.79.1.0/24"),
    "two": ("--subnet", "10.79.2.0/24"),
    "plain": ("--subnet", "10.79.3.0/24", "-o", "com.docker.network.bridge.enable_ip_masquerade=false"),
    "past": ("-d", "macvlan", "-o", "parent=eth0", "--subnet", "203.0.113.0/24", "--gateway", GATEWAY_IP),
}
CONTAINERS: Mapping[str, tuple[str, ...]] = {
    "any": ("-p", "80"),
    "web": ("-p", "8080:80"),
    "six-web": ("--network", "six", "-p", "8081:80"),
    "six-peer": ("--network", "six"),
    "inner-web": ("--network", "inner", "-p", "8082:80"),
    "lo-web": ("-p", "127.0.0.1:8083:80"),
    "udp": ("-p", "5353:53/udp"),
    "range": ("-p", "9000-9002:9000-9002"),
    "both": ("--network", "one", "-p", "8084:80"),
    "one-peer": ("--network", "one"),
    "two-peer": ("--network", "two"),
    "plain-web": ("--network", "plain", "-p", "8087:80"),
    "quiet": ("-p", "8088:80"),  # nothing listens in it
    "mac": ("--network", "past", "--ip", MACVLAN_IP),
}
SERVED: Mapping[str, tuple[tuple[str, str, int], ...]] = {
    "udp": (("udp-peer", "0.0.0.0", 53),),
    "range": (("http", "0.0.0.0", 9001),),
    "quiet": (),
    "six-web": (("http", "0.0.0.0", 80), ("http", "fd00:7::a", 80)),
    "six-peer": (("http", "0.0.0.0", 80), ("http", "fd00:7::b", 80)),
}
OUT = f"outside@{GATEWAY_IP}"
WAYS = {
    # from outside to published ports
    "8080": (OUT, f"{HOST_IP}:8080"),
    "any port": (OUT, f"{HOST_IP}:ANY"),
    "user bridge": (OUT, f"{HOST_IP}:8081"),
    "internal": (OUT, f"{HOST_IP}:8082"),
    "loopback": (OUT, f"{HOST_IP}:8083"),
    "two networks": (OUT, f"{HOST_IP}:8084"),
    "without masquerade": (OUT, f"{HOST_IP}:8087"),
    "nobody listens in it": (OUT, f"{HOST_IP}:8088"),
    "range, first": (OUT, f"{HOST_IP}:9000"),
    "range": (OUT, f"{HOST_IP}:9001"),
    "not published": (OUT, f"{HOST_IP}:8099"),
    "udp": (OUT, f"{HOST_IP}:5353", "udp"),
    "udp, not published": (OUT, f"{HOST_IP}:5354", "udp"),
    "IPv6": (f"outside@{GATEWAY_IP6}", f"[{HOST_IP6}]:8081"),
    "IPv6 to an IPv4 container": (f"outside@{GATEWAY_IP6}", f"[{HOST_IP6}]:8080"),
    "to the container's address": (OUT, "web:80"),
    "to the container's address, not published": (OUT, "web:81"),
    "macvlan": (OUT, f"{MACVLAN_IP}:80"),
    "macvlan, nobody listens": (OUT, f"{MACVLAN_IP}:81"),
    # from this host
    "host by loopback": ("host", "127.0.0.1:8080"),
    "host by its address": ("host", f"{HOST_IP}:8080"),
    "host by the bridge": ("host", "172.17.0.1:8080"),
    "host to a loopback port": ("host", "127.0.0.1:8083"),
    "host to an internal port": ("host", "127.0.0.1:8082"),
    "host to a range": ("host", "127.0.0.1:9001"),
    "host to a port without listener": ("host", "127.0.0.1:8088"),
    "host to udp": ("host", "127.0.0.1:5353", "udp"),
    "host by IPv6 loopback": ("host", "[::1]:8081"),
    "host to the container": ("host", "web:80"),
    "host to the container, not listening": ("host", "web:81"),
    "host to the internal container": ("host", "inner-web:80"),
    "host to two networks, second": ("host", "10.79.2.BOTH:80"),
    "host out": ("host", f"{INTERNET_IP}:80"),
    "host to macvlan": ("host", f"{MACVLAN_IP}:80"),
    # from containers
    "out": ("web", f"{INTERNET_IP}:80"),
    "user bridge out": ("six-web", f"{INTERNET_IP}:80"),
    "out by IPv6": ("six-web", f"[{GATEWAY_IP6}]:80"),
    "internal out": ("inner-web", f"{INTERNET_IP}:80"),
    "two networks out": ("both", f"{INTERNET_IP}:80"),
    "without masquerade out": ("plain-web", f"{INTERNET_IP}:80"),
    "macvlan out": ("mac", f"{GATEWAY_IP}:80"),
    "macvlan out by its gateway": ("mac", f"{INTERNET_IP}:80"),
    "macvlan to the host": ("mac", f"{HOST_IP}:8080"),
    "to macvlan": ("web", f"{MACVLAN_IP}:80"),
    "its own port": ("web", f"{HOST_IP}:8080"),
    "its own port by the bridge": ("web", "172.17.0.1:8080"),
    "a neighbour's port": ("any", f"{HOST_IP}:8080"),
    "another bridge's port": ("web", f"{HOST_IP}:8081"),
    "another bridge's udp port": ("six-web", f"{HOST_IP}:5353", "udp"),
    "a loopback port": ("web", f"{HOST_IP}:8083"),
    "internal to a port": ("inner-web", f"{HOST_IP}:8080"),
    "internal to its bridge": ("inner-web", "10.78.0.1:8080"),
    "same bridge": ("web", "any@:80"),
    "same bridge, not listening": ("web", "any@:81"),
    "same bridge by IPv6": ("six-web", "[fd00:7::b]:80"),
    "another bridge": ("web", "six-web@:80"),
    "an internal bridge": ("web", "inner-web@:80"),
    "two networks, first": ("both", "one-peer@:80"),
    "two networks, second": ("both", "two-peer@:80"),
    "itself": ("web", "127.0.0.1:80"),
}
"""Sender, target as it is asked, protocol. `NAME@` stands for that container's address."""
WITHOUT_PROXY = {
    "8086": (OUT, f"{HOST_IP}:8086"),
    "host by loopback": ("host", "127.0.0.1:8086"),
    "host by its address": ("host", f"{HOST_IP}:8086"),
    "its own port": ("np-web", f"{HOST_IP}:8086"),
    "a neighbour's port": ("np-near", f"{HOST_IP}:8086"),
    "another bridge's port": ("np-far", f"{HOST_IP}:8086"),
    "by the bridge": ("np-near", "172.17.0.1:8086"),
    "to the container": ("host", "np-web:80"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """What was asked and what a real connection did: "ok PEER", or how it failed."""

    trace: dict[str, Any]
    done: str

    def expected(self) -> str:
        """What the trace says that the connection does."""
        told = self.trace
        if not told["arrives"]:
            return _failure(told)
        if told["then"] is not None and not told["then"]["arrives"]:
            return "closed" if told["then"]["verdict"] in ("no listener", "rejected") else "timeout"
        if told["reply"] is None or told["reply"]["verdict"] not in ("delivered", "forwarded out"):
            return "timeout"
        return f"ok {(told['then'] or told)['translation']['src']}"


def _failure(told: dict[str, Any]) -> str:
    """DROP is silence; a closed port and a REJECT as Docker's hosts have it refuse."""
    return {
        "dropped": "timeout",
        "martian": "timeout",
        "no listener": "refused",
        "rejected": "refused",
        "no route": "unreachable",
    }.get(told["verdict"], told["verdict"])


def _started(host: Lab) -> None:
    for name, options in NETWORKS.items():
        host.docker("network", "create", *options, name)
    for name, options in CONTAINERS.items():
        address = {"six-web": ("--ip6", "fd00:7::a"), "six-peer": ("--ip6", "fd00:7::b")}.get(name, ())
        host.docker("run", "-d", "--name", name, *options, *address, IMAGE, "sleep", "999")
    host.docker("network", "connect", "two", "both")
    for name in CONTAINERS:
        for kind, ip, port in SERVED.get(name, (("http", "0.0.0.0", 80),)):
            host.serve_in(name, kind, ip, port)
    host.serve_outside("http", GATEWAY_IP6, 80)
    for name in CONTAINERS:
        for _, ip, port in SERVED.get(name, (("http", "0.0.0.0", 80),)):
            shown = f"[{ip}]:{port} " if ":" in ip else f":{port} "
            assert until(lambda: shown in host.inside(name, "ss", "-Hltun")), name  # noqa: B023


def address(host: Lab, name: str) -> str:
    return str(next(iter(networks(host, name).values()))["IPAddress"])


def _asked(host: Lab, target: str) -> str:
    name, port = target.rpartition(":")[::2]
    if name.endswith("@"):
        return f"{address(host, name[:-1])}:{port}"
    if port == "ANY":
        return f"{name}:{inspect(host, 'any')['NetworkSettings']['Ports']['80/tcp'][0]['HostPort']}"
    if name.endswith("BOTH"):
        return f"{networks(host, 'both')['two']['IPAddress']}:{port}"
    return target


def _case(host: Lab, sender: str, target: str, proto: str = "tcp") -> Case:
    asked = _asked(host, target)
    name, port = asked.rpartition(":")[::2]
    ip = name.strip("[]") if not name[0].isalpha() else address(host, name)
    answer = host.netdash("trace", sender, asked, "--proto", proto, "--json")
    assert answer.returncode in (0, 1, 5), answer.stderr
    words = (sys.executable, str(OUTSIDE), "ask", proto, ip, port)
    if sender.startswith("outside"):
        done = host.outside(*words)
    else:
        done = host.on_host(*words) if sender == "host" else host.inside(sender, *words)
    return Case(json.loads(answer.stdout), done.strip())


def _all(host: Lab, ways: Mapping[str, tuple[str, ...]]) -> dict[str, Case]:
    """Everything asked and tried, some at once: most of the time is waiting."""
    with ThreadPoolExecutor(8) as pool:
        asked = {name: pool.submit(_case, host, *words) for name, words in ways.items()}
        return {name: one.result() for name, one in asked.items()}


@pytest.fixture(scope="module")
def cases(lab: Lab) -> Iterator[dict[str, Case]]:
    _started(lab)
    routes = (f"{address(lab, 'web')}/32", "10.79.3.0/24")
    for route in routes:  # the world outside knows ways to one container, and to networks that nothing masquerades
        lab.outside("ip", "route", "add", route, "via", HOST_IP)
    lab.outside("ip", "-6", "route", "add", "fd00:7::/64", "via", HOST_IP6)
    yield _all(lab, WAYS)
    for route in routes:
        lab.outside("ip", "route", "del", route)
    lab.outside("ip", "-6", "route", "del", "fd00:7::/64")
    lab.remove_containers()
    lab.docker("network", "prune", "-f")


@pytest.fixture(scope="module")
def without_proxy(lab_without_proxy: Lab) -> dict[str, Case]:
    host = lab_without_proxy
    host.docker("network", "create", "far")
    for name, options in {"np-web": ("-p", "8086:80"), "np-near": (), "np-far": ("--network", "far")}.items():
        host.docker("run", "-d", "--name", name, *options, IMAGE, "sleep", "999")
    host.serve_in("np-web", "http", "0.0.0.0", 80)
    assert until(lambda: ":80 " in host.inside("np-web", "ss", "-Hltn"))
    return _all(host, WITHOUT_PROXY)


def _agrees(case: Case) -> None:
    done = case.done.split(maxsplit=1)[0] if case.done.startswith("unreachable") else case.done
    assert done == case.expected(), (case.trace["verdict"], case.trace["decided_by"], case.trace["assumed"])


@pytest.mark.parametrize("name", WAYS)
def test_a_connection_does_what_was_told(cases: dict[str, Case], name: str) -> None:
    _agrees(cases[name])


@pytest.mark.parametrize("name", WITHOUT_PROXY)
def test_it_does_so_without_userland_proxy(without_proxy: dict[str, Case], name: str) -> None:
    _agrees(without_proxy[name])


@pytest.mark.parametrize(("sender", "name"), [("six-web", "six-peer"), ("web", "any"), ("both", "two-peer")])
def test_a_name_is_resolved_as_the_container_does(cases: dict[str, Case], lab: Lab, sender: str, name: str) -> None:
    assert cases
    family = ("-6",) if name == "six-peer" else ()  # of two addresses a resolver prefers that of IPv6
    told = lab.netdash("trace", sender, f"{name}:80", *family, "--json")
    try:
        seen = lab.docker("exec", sender, "wget", "-qO-", f"http://{name}/")
    except LabError:
        assert told.returncode == 1
        assert f"cannot resolve {name}" in told.stderr
        return
    answer = json.loads(told.stdout)
    assert (answer["arrives"], answer["translation"]["src"]) == (True, seen)
