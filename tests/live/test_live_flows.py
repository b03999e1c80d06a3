"""The connections of a real engine's containers: rows name both ends and what translates, counters agree with what was
sent, and nothing is told twice."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from lab import GATEWAY_IP6, HOST_IP, HOST_IP6, IMAGE, INTERNET_IP, Lab, until
from sshd import Sshd, why_not
from terminal import Terminal
from truth import networks

Flow = dict[str, Any]
SUBNET6 = "2001:db8:6::/64"
FORWARDING = "net.ipv6.conf.all.forwarding"


@pytest.fixture(scope="module")
def talk(lab: Lab) -> Iterator[Lab]:
    lab.on_host("sysctl", "-qw", "net.netfilter.nf_conntrack_acct=1", "net.netfilter.nf_conntrack_timestamp=1")
    lab.httpd("flow-web", "-p", "8080:80", "-p", "5353:5353/udp")
    lab.httpd("flow-peer")
    lab.on_host("conntrack", "-F")  # what the tests of other files left there
    yield lab
    lab.remove_containers()


def _flows(lab: Lab, *words: str) -> list[Flow]:
    found = lab.json("flows", *words)["flows"]
    assert isinstance(found, list)
    return found


def _address(lab: Lab, name: str) -> str:
    ip: str = networks(lab, name)["bridge"]["IPAddress"]
    return ip


def _tracked(lab: Lab, proto: str) -> int:
    return sum(line.startswith(proto) for line in lab.on_host("conntrack", "-L", "-p", proto).splitlines())


def test_in_through_dnat(talk: Lab) -> None:
    assert talk.fetch(f"http://{HOST_IP}:8080/") == "flow-web"
    (flow,) = [one for one in _flows(talk, "flow-web") if one["dnat"] and one["asked"]["port"] == 8080]
    assert (flow["server"]["container"], flow["server"]["ip"]) == ("flow-web", _address(talk, "flow-web"))
    assert (flow["asked"]["ip"], flow["asked"]["host"], flow["client"]["host"]) == (HOST_IP, True, False)
    assert "--dport 8080" in flow["rule"]["text"]
    assert flow["trouble"] is None
    (line,) = [line for line in talk.on_host("conntrack", "-L", "-p", "tcp").splitlines() if "dport=8080" in line]
    counted = [word.partition("=")[2] for word in line.split() if word.startswith(("packets=", "bytes="))]
    told = [flow["entry"][way][what] for way in ("original", "reply") for what in ("packets", "bytes")]
    assert told == [int(number) for number in counted]
    assert flow["entry"]["age"] is not None


def test_in_through_the_proxy_is_one_row(talk: Lab) -> None:
    talk.on_host("curl", "-sS", "--noproxy", "*", "--max-time", "5", "http://127.0.0.1:8080/")
    before = _tracked(talk, "tcp")
    flows = [one for one in _flows(talk, "tcp") if one["entry"]["original"]["dst"].startswith("127.")]
    (flow,) = [one for one in flows if one["asked"]["port"] == 8080]
    assert flow["proxy"]["command"] == "docker-proxy"
    assert flow["server"]["container"] == "flow-web"
    assert flow["behind"]["original"]["dst"] == _address(talk, "flow-web")
    assert len(_flows(talk, "tcp")) == before - 1, "its two connections are one row, every other has one"


_SERVER = """
import os, socket, threading
server = socket.create_server(("0.0.0.0", 81))
os.write(1, b"listens\\n")
def serve(client, peer):
    name = client.recv(4).decode()
    os.write(1, f"{name} {peer[1]}\\n".encode())
    while asked := client.recv(4096):
        client.sendall(b"x" * len(asked) * 3)
while True:
    threading.Thread(target=serve, args=server.accept(), daemon=True).start()
"""
_CLIENT = """
import random, socket, sys, time
chance, held = random.Random(7), []
for number in range(int(sys.argv[1])):
    client = socket.create_connection(("127.0.0.1", 8081))
    client.sendall(b"%04d" % number)
    held.append(client)
    print(f"{number:04} {client.getsockname()[1]}", flush=True)
    time.sleep(chance.choice((0, 0, 0.05)))
for _ in range(40):
    chance.choice(held[: len(held) // 2]).sendall(b"x" * chance.randrange(1, 900))
time.sleep(0.3)
print("held", flush=True)
time.sleep(120)
"""


def _ports(lines: Iterable[str]) -> dict[str, int]:
    """By what a connection is called, its port."""
    return {name: int(port) for name, port in (line.split() for line in lines)}


def test_many_at_one_proxy_are_joined_or_not_known_and_never_wrong(talk: Lab) -> None:
    number = 30
    talk.docker("run", "-d", "--name", "flow-many", "-p", "8081:81", IMAGE, "sleep", "600")
    inside = ["nsenter", f"--net=/proc/{talk.pid('flow-many')}/ns/net", sys.executable, "-c", _SERVER]
    host = ["nsenter", f"--net=/run/netns/{talk.host_ns}", sys.executable, "-c", _CLIENT, str(number)]
    pipe = subprocess.PIPE
    with subprocess.Popen(inside, stdout=pipe, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "listens\n"
        with subprocess.Popen(host, stdout=pipe, text=True) as client:
            try:
                assert client.stdout is not None
                fronts = _ports(iter(client.stdout.readline, "held\n"))
                backs = _ports(server.stdout.readline() for _ in range(number))
                found = _flows(talk, "flow-many")
            finally:
                client.kill()
                server.kill()
    truth = {port: backs[name] for name, port in fronts.items()}
    told = {one["client"]["port"]: one["behind"] and one["behind"]["original"]["sport"] for one in found}
    assert told.keys() == truth.keys(), "each has one row"
    assert [told[port] for port in truth if told[port] is not None] == [
        truth[port] for port in truth if told[port] is not None
    ]
    assert all(one["behind"] or one["behind_among"] for one in found)
    assert sum(one["behind"] is not None for one in found) >= number // 3, "those that carried different numbers"


def test_out_by_masquerade(talk: Lab) -> None:
    assert talk.docker("exec", "flow-web", "wget", "-qO-", f"http://{INTERNET_IP}/") == HOST_IP
    talk.docker("exec", "flow-web", "ping", "-c", "2", "-W", "2", INTERNET_IP)
    out = [one for one in _flows(talk, "flow-web") if one["server"]["ip"] == INTERNET_IP]
    assert {one["proto"] for one in out} == {"tcp", "icmp"}
    for flow in out:
        assert flow["client"]["container"] == "flow-web"
        assert flow["source_nat"]["ip"] == HOST_IP
        assert "MASQUERADE" in flow["rule"]["text"]
        assert f"MASQUERADE as {HOST_IP}" in flow["path"]
    (ping,) = [one for one in out if one["proto"] == "icmp"]
    assert (ping["entry"]["original"]["packets"], ping["entry"]["reply"]["packets"]) == (2, 2)


def test_from_container_to_container(talk: Lab) -> None:
    ip = _address(talk, "flow-web")
    assert talk.docker("exec", "flow-peer", "wget", "-qO-", f"http://{ip}/") == "flow-web"
    (flow,) = [one for one in _flows(talk, "flow-peer") if one["server"]["ip"] == ip]
    assert (flow["client"]["container"], flow["server"]["container"]) == ("flow-peer", "flow-web")
    assert (flow["dnat"], flow["source_nat"], flow["rule"]) == (False, None, None)
    assert {one["container"] for one in talk.json("flows", "--by", "container")["groups"]} >= {"flow-peer", "flow-web"}


def test_a_datagram_that_nobody_answers_stands_out(talk: Lab) -> None:
    program = f"import socket; socket.socket(2, 2).sendto(b'hello', ('{HOST_IP}', 5353))"
    talk.outside(sys.executable, "-c", program)

    def found() -> list[Flow]:
        return [one for one in _flows(talk, "flow-web") if one["asked"]["port"] == 5353]

    assert found()
    assert until(lambda: [one for one in found() if one["trouble"] == "unanswered"] or None, 10)
    assert found()[0]["server"]["container"] == "flow-web"


def test_reading_loads_nothing_and_changes_nothing(talk: Lab) -> None:
    before = talk.on_host("conntrack", "-L").splitlines()
    _flows(talk)
    _flows(talk)
    after = talk.on_host("conntrack", "-L").splitlines()
    assert len(after) <= len(before)


def test_by_ssh_they_are_the_same(talk: Lab) -> None:
    if reason := why_not():
        pytest.skip(reason)
    talk.fetch(f"http://{HOST_IP}:8080/")
    with Sshd(talk) as sshd:
        done = sshd.netdash(*sshd.options(), "flows", "flow-web", "--json")
    assert done.returncode == 0, done.stderr
    there = {one["path"] for one in json.loads(done.stdout)["flows"] if one["dnat"]}
    here = {one["path"] for one in _flows(talk, "flow-web") if one["dnat"]}
    assert there
    assert there <= here, "what ended meanwhile apart"


def test_of_one_container_the_kernel_tells_its_connections_alone(talk: Lab) -> None:
    talk.fetch(f"http://{HOST_IP}:8080/")
    talk.docker("exec", "flow-web", "ping", "-c", "1", "-W", "2", INTERNET_IP)
    program = (
        "import sys; from ipaddress import ip_address; from netdash.collect import conntrack;"
        "ip = ip_address(sys.argv[1]);"
        "found = conntrack.read_of([ip], 500)[0]; all = list(conntrack._dump());"
        "print(len(found), sum(ip.packed in body for body in all), len(all))"
    )
    told = talk.on_host(sys.executable, "-c", program, _address(talk, "flow-web"))
    mine, naming, every = map(int, told.split())
    assert 0 < mine <= naming <= every


def test_the_counters_of_a_veth_are_those_that_ip_prints(talk: Lab) -> None:
    program = "from netdash.collect.netlink import link_counters as c; print({k: v.rx_bytes for k, v in c().items()})"
    listed = json.loads(talk.on_host("ip", "-s", "-j", "link"))
    told = ast.literal_eval(talk.on_host(sys.executable, "-c", program))
    assert told.keys() == {one["ifindex"] for one in listed}
    veth = next(one for one in listed if one["ifname"].startswith("veth"))
    assert told[veth["ifindex"]] >= veth["stats64"]["rx"]["bytes"] > 0


def test_the_card_says_that_a_way_is_in_use(talk: Lab) -> None:
    ends = f"('{HOST_IP}', 8080)"
    held = f"import socket, time; s = socket.create_connection({ends}); print(1, flush=True); time.sleep(60)"
    argv = ["nsenter", f"--net=/run/netns/{talk.outside_ns}", sys.executable, "-c", held]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        client.stdout.readline()
        try:
            with Terminal(talk.netdash_argv("--no-mouse"), talk.environment, 140, 40) as screen:
                assert screen.wait_for("flow-web") is not None
                screen.write(b"/flow-web\r")
                assert screen.wait_for("1 open", 40) is not None
        finally:
            client.kill()


@pytest.fixture
def tracked6(talk: Lab) -> Iterator[None]:
    """The kernel tracks IPv6 in a namespace only where a rule asks for it, and older engines write none."""
    rule = ("FORWARD", "-m", "conntrack", "--ctstate", "INVALID", "-j", "ACCEPT")
    talk.on_host("ip6tables", "-A", *rule)
    yield
    talk.on_host("ip6tables", "-D", *rule)


@pytest.mark.usefixtures("tracked6")
def test_a_row_of_ipv6_names_its_proxy(talk: Lab) -> None:
    assert talk.fetch(f"http://[{HOST_IP6}]:8080/") == "flow-web"
    (flow,) = [one for one in _flows(talk, "flow-web") if one["asked"]["ip"] == HOST_IP6]
    assert flow["proxy"]["command"] == "docker-proxy"
    assert (flow["client"]["ip"], flow["server"]["ip"]) == (GATEWAY_IP6, _address(talk, "flow-web"))


@pytest.mark.usefixtures("tracked6")
def test_ipv6_from_a_container_of_a_network_that_has_it(talk: Lab) -> None:
    forwarding = talk.on_host("sysctl", "-n", FORWARDING).strip()
    talk.docker("network", "create", "--ipv6", "--subnet", SUBNET6, "flow-net")
    try:
        talk.on_host("sysctl", "-qw", f"{FORWARDING}=1")
        talk.outside("ip", "-6", "route", "add", SUBNET6, "via", HOST_IP6)  # older engines translate no IPv6
        talk.docker("run", "-d", "--name", "flow-six", "--network", "flow-net", IMAGE, "sleep", "600")
        ping = ("exec", "flow-six", "ping", "-c", "2", "-W", "2", GATEWAY_IP6)
        assert until(lambda: "0% packet loss" in talk.docker(*ping), 20)
        found = [one for one in _flows(talk, "flow-six") if one["server"]["ip"] == GATEWAY_IP6]
        assert {(one["proto"], one["client"]["container"]) for one in found} == {("icmpv6", "flow-six")}
        assert all(one["trouble"] is None for one in found if one["entry"]["reply"]["packets"])
    finally:
        talk.docker("rm", "-f", "flow-six")
        talk.docker("network", "rm", "flow-net")
        talk.outside("ip", "-6", "route", "del", SUBNET6)
        talk.on_host("sysctl", "-qw", f"{FORWARDING}={forwarding}")
