"""`trace … --prove` on a real engine: the kernel's own trace beside the prediction, and nothing left of it."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from lab import GATEWAY_IP, HOST_IP, IMAGE, INTERNET_IP, Lab, LabError, until

KILLS = 10


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[Lab]:
    lab.docker("network", "create", "--subnet", "10.81.0.0/24", "proved")
    lab.httpd("proved-web", "-p", "8091:80")
    lab.httpd("proved-peer", "--network", "proved")
    yield lab
    lab.remove_containers()
    lab.docker("network", "rm", "proved")


@pytest.fixture(autouse=True)
def nothing_stays(host: Lab) -> Iterator[None]:
    yield
    assert "netdash" not in host.on_host("nft", "list", "tables")


@pytest.mark.parametrize(
    "words",
    [
        ("host", "127.0.0.1:8091"),
        ("host", f"{HOST_IP}:8091"),
        ("host", "proved-web:80"),
        ("host", f"{INTERNET_IP}:80"),
        ("host", f"{INTERNET_IP}", "--proto", "icmp"),
        ("proved-web", f"{INTERNET_IP}:80"),
        ("proved-web", f"{INTERNET_IP}:53", "--proto", "udp"),
        ("proved-web", f"{INTERNET_IP}", "--proto", "icmp"),
        ("proved-peer", f"{HOST_IP}:8091"),
        ("proved-peer", "10.81.0.1:22"),
    ],
    ids=" ".join,
)
def test_what_netdash_sends_goes_as_predicted(host: Lab, words: tuple[str, ...]) -> None:
    done = host.netdash("trace", *words, "--prove", "--json")
    answer = json.loads(done.stdout)["proved"]
    assert (done.returncode, answer["equal"], answer["differs_at"]) == (0, True, None), _shown(answer)
    assert answer["steps"]
    assert "flags owner" in done.stderr
    assert "note: sends one " in done.stderr


def test_a_packet_that_stays_inside_its_container_proves_nothing(host: Lab) -> None:
    done = host.netdash("trace", "proved-peer", "proved-peer:80", "--prove")
    assert done.returncode == 5
    assert "no such packet came to this host's rules within 3 s, as predicted" in done.stdout


def test_a_packet_that_the_isolation_drops(host: Lab) -> None:
    address = host.docker("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "proved-web")
    done = host.netdash("trace", "proved-peer", f"{address}:80", "--prove")
    assert done.returncode == 0, done.stdout
    assert "✗ dropped" in done.stdout
    assert "the kernel does the same" in done.stdout


def _awaiting(host: Lab, *words: str) -> subprocess.Popen[str]:
    """Returns when the packet is awaited."""
    argv = host.netdash_argv("trace", *words, "--prove", "--json")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(argv, env=host.environment, cwd=host.folder, **pipes)
    assert process.stderr is not None
    assert any("awaits the next packet" in line for line in process.stderr)
    assert until(lambda: "netdash" in host.on_host("nft", "list", "tables"))
    return process


def _ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    out, _ = process.communicate(timeout=60)
    answer: dict[str, Any] = json.loads(out)
    return process.returncode, answer


def _shown(answer: dict[str, Any]) -> str:
    return json.dumps([answer["predicted"], answer["steps"]])


@pytest.mark.parametrize("sender", ["outside", f"outside@{GATEWAY_IP}"])
def test_a_packet_from_outside_is_awaited(host: Lab, sender: str) -> None:
    process = _awaiting(host, sender, ":8091")
    assert host.fetch(f"http://{HOST_IP}:8091/") == "proved-web"
    code, answer = _ended(process)
    assert (code, answer["proved"]["equal"]) == (0, True), _shown(answer["proved"])
    assert answer["question"]["src"] == GATEWAY_IP
    assert [one["hook"] for one in answer["proved"]["steps"] if "chain" not in one] == [
        "prerouting",
        "forward",
        "postrouting",
        None,
    ]


def test_a_rule_that_is_added_before_the_packet_comes_is_the_first_step_that_differs(host: Lab) -> None:
    process = _awaiting(host, "outside", ":8091")
    host.on_host("iptables", "-I", "DOCKER-USER", "-p", "tcp", "-m", "comment", "--comment", "late", "-j", "DROP")
    try:
        with pytest.raises(LabError):
            host.outside("curl", "-sS", "--max-time", "0.5", f"http://{HOST_IP}:8091/")
        code, answer = _ended(process)
    finally:
        host.on_host("iptables", "-D", "DOCKER-USER", "1")
    proved = answer["proved"]
    assert (code, proved["equal"]) == (1, False)
    differs = proved["steps"][proved["differs_at"]]
    assert (differs["table"], differs["chain"], differs["rule"]) == ("filter", "DOCKER-USER", 1)
    assert (differs["verdict"], "late" in differs["text"]) == ("drop", True)
    walks = [
        [{**step, "packets": None} for step in proved[walk][: proved["differs_at"]]] for walk in ("steps", "predicted")
    ]
    assert walks[0] == walks[1]


def test_a_packet_that_does_not_come(host: Lab) -> None:
    done = host.netdash("trace", "outside", ":8091", "--prove", "--seconds", "0.5")
    assert done.returncode == 5
    assert "no such packet came" in done.stdout


def test_nothing_is_left_of_what_is_killed(host: Lab) -> None:
    """At any moment: while it reads, while it loads its table, while it waits, while it reads again."""
    chance = random.Random(13)
    for _ in range(KILLS):
        argv = host.netdash_argv("trace", "outside", ":8091", "--prove", "--seconds", "1")
        process = subprocess.Popen(
            argv, env=host.environment, cwd=host.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        if chance.random() < 0.7:
            assert process.stderr is not None
            assert any(b"awaits" in line for line in process.stderr)
        time.sleep(chance.uniform(0, 1.2))
        process.kill()
        process.communicate(timeout=20)
        assert until(lambda: "netdash" not in host.on_host("nft", "list", "tables"))


def test_a_finding_is_confirmed_by_connections(host: Lab) -> None:
    serve = ("sh", "-c", "exec httpd -f -p 127.0.0.1:80 -h /www")
    host.docker("run", "-d", "--name", "probed", "-p", "8092:80", IMAGE, *serve)
    assert until(lambda: ":80 " in host.inside("probed", "ss", "-Hltn"))
    done = host.netdash("doctor", "probed", "--probe", "--json")
    answer = json.loads(done.stdout)
    assert "app-on-loopback" in {one["code"] for one in answer["findings"]}
    told = [one for one in answer["probes"] if one["code"] == "app-on-loopback"]
    assert told
    assert all(one["connected"] is False for one in told), told
    assert done.stderr.count("note: probes ") == len(answer["probes"])
