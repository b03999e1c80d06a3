"""`netdash capture` on a real engine: packets in pairs before and after NAT, counts that agree with what was sent and
with tshark, and a packet that a rule drops."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import GATEWAY_IP, GATEWAY_IP6, HOST_IP, HOST_IP6, IMAGE, INTERNET_IP, Lab, LabError
from truth import backend

PINGS = 3
SUBNET6 = "fd00:15::/64"
FORWARDING = "net.ipv6.conf.all.forwarding"


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[Lab]:
    lab.docker("network", "create", "--ipv6", "--subnet", SUBNET6, "captured")
    lab.httpd("captured-web", "-p", "8315:80")
    lab.httpd("captured-peer")
    lab.docker("run", "-d", "--name", "captured-six", "--network", "captured", IMAGE, "sleep", "600")
    lab.serve_outside("udp", GATEWAY_IP, 5315)
    forwarding = lab.on_host("sysctl", "-n", FORWARDING).strip()
    lab.on_host("sysctl", "-qw", f"{FORWARDING}=1")
    lab.outside("ip", "-6", "route", "add", SUBNET6, "via", HOST_IP6)  # older engines translate no IPv6
    yield lab
    lab.outside("ip", "-6", "route", "del", SUBNET6)
    lab.on_host("sysctl", "-qw", f"{FORWARDING}={forwarding}")
    lab.remove_containers()
    lab.docker("network", "rm", "captured")


class Captured:
    """`with Captured(lab, …) as capture`: packets are captured within; then `pairs`, `code` and `notes`."""

    def __init__(self, lab: Lab, *words: str) -> None:
        self._argv = lab.netdash_argv("capture", *words, "--json")
        self._lab = lab
        self.pairs: list[dict[str, Any]] = []

    def __enter__(self) -> Captured:
        self._process = subprocess.Popen(
            self._argv, env=self._lab.environment, cwd=self._lab.folder,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        begun = self._process.stdout.readline()
        assert begun, self._process.stderr.read() if self._process.stderr else ""
        self.plan = json.loads(begun)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        out, self.notes = self._process.communicate(timeout=90)
        self.code = self._process.returncode
        self.pairs = [json.loads(line) for line in out.splitlines()]

    def of(self, what: str) -> list[dict[str, Any]]:
        return [pair for pair in self.pairs if pair["what"].startswith(what)]


def address(lab: Lab, name: str, network: str = "bridge", key: str = "IPAddress") -> str:
    return lab.docker("inspect", "-f", f'{{{{(index .NetworkSettings.Networks "{network}").{key}}}}}', name)


def test_the_ping_of_the_story_is_seen_before_and_after_masquerading(host: Lab) -> None:
    with Captured(host, "captured-web", "--peer", INTERNET_IP) as capture:
        host.docker("exec", "captured-web", "ping", "-c", str(PINGS), INTERNET_IP)
    ip = address(host, "captured-web")
    requests, replies = capture.of("ICMP echo request"), capture.of("ICMP echo reply")
    assert (len(requests), len(replies), len(capture.pairs)) == (PINGS, PINGS, 2 * PINGS), capture.pairs
    for pair in requests:
        assert [(one["src"], one["dst"]) for one in pair["seen"]] == [(ip, INTERNET_IP), (HOST_IP, INTERNET_IP)]
        assert [one["device"] for one in pair["seen"]][1] == "eth0"
        assert pair["fate"] == "paired"
    for pair in replies:
        assert [(one["src"], one["dst"]) for one in pair["seen"]] == [(INTERNET_IP, HOST_IP), (INTERNET_IP, ip)]
    assert capture.code == 0, capture.notes


def test_an_inbound_request_is_seen_before_and_after_dnat(host: Lab) -> None:
    with Captured(host, "captured-web", "--port", "8315") as capture:
        assert host.fetch(f"http://{HOST_IP}:8315/") == "captured-web"
    ip = address(host, "captured-web")
    assert capture.pairs
    assert {pair["fate"] for pair in capture.pairs} == {"paired"}, capture.pairs
    (syn,) = [pair for pair in capture.pairs if pair["what"] == "TCP SYN"]
    ends = [(one["src"], one["dst"], one["dport"]) for one in syn["seen"]]
    assert ends == [(GATEWAY_IP, HOST_IP, 8315), (GATEWAY_IP, ip, 80)]
    (answer,) = [pair for pair in capture.pairs if pair["what"] == "TCP SYN ACK"]
    ends = [(one["src"], one["sport"]) for one in answer["seen"]]
    assert ends == [(ip, 80), (HOST_IP, 8315)]


def test_docker_proxy_makes_another_connection(host: Lab) -> None:
    with Captured(host, "captured-web") as capture:
        host.on_host("curl", "-sS", "--max-time", "5", "http://127.0.0.1:8315/")
    syns = [pair for pair in capture.pairs if pair["what"] == "TCP SYN"]
    assert [pair["fate"] for pair in syns] == ["proxy"], capture.pairs
    assert {pair["fate"] for pair in capture.pairs} == {"proxy"}
    assert "docker-proxy" in syns[0]["why"]


def test_container_to_container(host: Lab) -> None:
    peer = address(host, "captured-peer")
    with Captured(host, "captured-web", "--peer", peer) as capture:
        host.docker("exec", "captured-web", "wget", "-qO-", f"http://{peer}/")
    assert {pair["fate"] for pair in capture.pairs} == {"paired"}, capture.pairs
    assert all(len({one["device"] for one in pair["seen"]}) == 2 for pair in capture.pairs)
    with Captured(host, "captured-web") as alone:
        host.docker("exec", "captured-web", "wget", "-qO-", f"http://{peer}/")
    assert {pair["fate"] for pair in alone.pairs} == {"local"}, alone.pairs
    assert "container captured-peer" in {pair["why"] for pair in alone.pairs}


def test_udp_and_ipv6(host: Lab) -> None:
    with Captured(host, "captured-web", "--port", "5315") as capture:
        host.inside("captured-web", "python3", "-c", _UDP)
    fates = [(pair["proto"], pair["fate"], pair["outwards"]) for pair in capture.pairs]
    assert sorted(fates) == [("udp", "paired", False)] * 2 + [("udp", "paired", True)] * 2, capture.pairs
    with Captured(host, "captured-six", "--peer", GATEWAY_IP6) as six:
        host.docker("exec", "captured-six", "ping", "-6", "-c", str(PINGS), GATEWAY_IP6)
    echoes = six.of("ICMPv6 echo")
    assert len(echoes) == 2 * PINGS, six.pairs
    assert {pair["fate"] for pair in echoes} == {"paired"}


_UDP = f"""
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.settimeout(5)
for text in (b"first", b"first"):
    one.sendto(text, ("{GATEWAY_IP}", 5315))
    one.recv(100)
"""


def test_a_packet_that_docker_user_drops_is_lost_and_the_rule_is_named(host: Lab) -> None:
    host.on_host("iptables", "-I", "DOCKER-USER", "-d", INTERNET_IP, "-p", "tcp", "--dport", "81", "-j", "DROP")
    try:
        with (
            Captured(host, "captured-web", "--peer", INTERNET_IP, "--seconds", "60") as capture,
            pytest.raises(LabError),
        ):
            host.docker("exec", "captured-web", "timeout", "2", "wget", "-qO-", f"http://{INTERNET_IP}:81/")
    finally:
        host.on_host("iptables", "-D", "DOCKER-USER", "1")
    assert capture.pairs
    assert {pair["fate"] for pair in capture.pairs} == {"lost"}, capture.pairs
    assert all(pair["by"] == "filter/DOCKER-USER #1" for pair in capture.pairs), capture.pairs
    assert all(len(pair["seen"]) == 1 for pair in capture.pairs)
    assert [pair["note"] for pair in capture.pairs][:2] == [None, "retransmission"]
    assert capture.code == 1


def test_a_rule_that_is_added_while_packets_are_captured(host: Lab) -> None:
    if backend(host) == "iptables-legacy":
        pytest.skip("the kernel does not say when rules of iptables-legacy change")
    with Captured(host, "captured-web", "--peer", INTERNET_IP, "--seconds", "40") as capture:
        host.docker("exec", "captured-web", "ping", "-c", "1", INTERNET_IP)
        host.on_host("iptables", "-I", "DOCKER-USER", "-d", INTERNET_IP, "-p", "udp", "-j", "DROP")
        try:
            host.inside(
                "captured-web", "python3", "-c", _UDP.replace("one.recv(100)", "").replace(GATEWAY_IP, INTERNET_IP)
            )
            host.on_host("sleep", "8")
        finally:
            host.on_host("iptables", "-D", "DOCKER-USER", "1")
    lost = [pair for pair in capture.pairs if pair["proto"] == "udp"]
    assert {(pair["fate"], pair["by"]) for pair in lost} == {("lost", "filter/DOCKER-USER #1")}, capture.pairs


def test_the_saved_file_has_the_same_packets_and_no_payload(host: Lab, tmp_path: Path) -> None:
    path = tmp_path / "saved.pcapng"
    with Captured(host, "captured-web", "-w", str(path)) as capture:
        assert host.docker("exec", "captured-web", "wget", "-qO-", f"http://{INTERNET_IP}/?secret-word") == HOST_IP
    assert path.stat().st_mode & 0o777 == 0o600
    data = path.read_bytes()
    assert b"container captured-web, network bridge" in data
    assert b"secret-word" not in data
    again = host.netdash("capture", "captured-web", "-w", str(path))
    assert (again.returncode, path.read_bytes()) == (4, data), again.stderr
    if shutil.which("tshark") is None:
        pytest.skip("no tshark here")
    fields = ("-T", "fields", "-E", "occurrence=f", "-e", "frame.interface_name", "-e", "ip.src")
    told = subprocess.run(["tshark", "-r", str(path), *fields], capture_output=True, text=True, check=True)
    seen = [one for pair in capture.pairs for one in pair["seen"]]
    assert sorted(told.stdout.splitlines()) == sorted(f"{one['device']}\t{one['src']}" for one in seen)
    assert {pair["fate"] for pair in capture.pairs if pair["proto"] == "tcp"} == {"paired"}, capture.pairs


def test_without_the_right_it_is_refused_in_one_line(host: Lab) -> None:
    argv = host.netdash_argv("capture", "captured-web")
    without = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]
    done = subprocess.run(
        [*argv[:2], *without, *argv[2:]], capture_output=True, text=True, timeout=60, env=host.environment
    )
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1] == (
        "netdash: packets cannot be captured without CAP_NET_RAW (in a container: docker run --privileged)"
    )
