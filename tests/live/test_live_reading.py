"""Reading changes nothing, needs no root for what anyone may read, and does not hang with the engine."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, until
from terminal import Terminal
from users import ask

COMMANDS = (
    ["containers"],
    ["networks"],
    ["ports"],
    ["rules"],
    ["routes"],
    ["proxies"],
    ["links"],
    ["ports", "--free", "8080"],
    ["show", "read-web"],
)
VIEWS = ("containers", "networks", "ports", "rules", "routes", "proxies", "links")


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[Lab]:
    lab.httpd("read-web", "-p", "8088:80")
    yield lab
    lab.remove_containers()


def state(lab: Lab) -> dict[str, str]:
    """Everything that a reader might disturb; counters, ages and timers apart."""
    legacy = "cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>/dev/null || true"
    folders = ("ipv4/conf", "ipv6/conf", "bridge", "ipv4/ip_forward")
    switches = " ".join(["grep", "-rs", ".", *(f"/proc/sys/net/{folder}" for folder in folders), "|| true"])
    asked = {
        "nft": ["nft", "--stateless", "list", "ruleset"],
        "iptables": ["iptables-save"],
        "ip6tables": ["ip6tables-save"],
        "legacy tables": ["sh", "-c", legacy],
        "links": ["ip", "-o", "link"],
        "addresses": ["ip", "-o", "addr"],
        "routes": ["ip", "route", "show", "table", "all"],
        "rules": ["ip", "rule"],
        "switches": ["sh", "-c", switches],
        "namespaces": ["ip", "netns", "list-id"],
        "containers": ["docker", "ps", "-a", "--format", "{{.ID}} {{.Names}} {{.State}}"],
    }
    answers = {name: lab.on_host(*command) for name, command in asked.items()}
    noise = re.compile(r"^#.*|\[\d+:\d+\]| valid_lft .*", re.M)
    modules = Path("/proc/modules")
    answers["modules"] = (
        " ".join(line.split()[0] for line in modules.read_text().splitlines()) if modules.exists() else ""
    )
    return {name: noise.sub("", answer) for name, answer in answers.items()}


def test_reading_changes_nothing(host: Lab) -> None:
    assert until(lambda: "tentative" not in host.on_host("ip", "addr"))
    before = state(host)
    assert before["legacy tables"] == ""
    for command in COMMANDS:
        assert host.netdash(*command).returncode == 0, command
    assert host.netdash("record", str(host.folder / "reading")).returncode == 0
    with Terminal(host.netdash_argv(), host.environment) as terminal:
        assert terminal.wait_for("read-web"), terminal.text
        terminal.watch(3)
        for digit in "1234567":
            terminal.press(digit)
        terminal.write(b"q")
        assert terminal.end() == 0
    assert state(host) == before


def test_a_started_container_appears_by_itself(host: Lab) -> None:
    with Terminal(host.netdash_argv(), host.environment) as terminal:
        assert terminal.wait_for("read-web"), terminal.text
        host.docker("run", "-d", "--name", "read-late", "netdash/busybox", "sleep", "99")
        assert terminal.wait_for("read-late"), terminal.text
        host.docker("rm", "-f", "read-late")
        assert terminal.wait_for(lambda: "read-late" not in terminal.text), terminal.text


# --- without root -----------------------------------------------------------------------------------------------------


def test_without_root_what_anyone_may_read_is_shown(host: Lab) -> None:
    done = ask(host, "neither", "routes", "--json")
    assert done.returncode == 0, done.stderr
    mine: Any = json.loads(done.stdout)
    root: Any = host.json("routes")
    assert mine["routes"] == root["routes"]
    done = ask(host, "neither", "proxies", "--json")
    assert {one["pid"] for one in json.loads(done.stdout)["proxies"]} == {
        one["pid"] for one in host.json("proxies")["proxies"]
    }


@pytest.mark.parametrize("view", ["rules", "containers", "networks"])
def test_without_root_the_rest_is_unknown_with_the_reason(host: Lab, view: str) -> None:
    done = ask(host, "neither", view, "--json")
    answer = json.loads(done.stdout)
    assert answer[view] is None
    (reason,) = [
        text for source, text in answer["unknown"].items() if source == ("rules" if view == "rules" else "docker")
    ]
    assert "root" in reason or "permission" in reason.lower()
    assert done.returncode == 3


def test_without_root_no_dnat_is_claimed_absent(host: Lab) -> None:
    done = ask(host, "neither", "ports", "--json")
    ledger = json.loads(done.stdout)["ports"]
    (entry,) = [one for one in ledger if one["host_port"] == 8088 and one["host_ip"] == "0.0.0.0"]
    assert (entry["dnat"], entry["container"]) == (None, None)
    assert {"docker", "rules"} <= set(json.loads(done.stdout)["unknown"])


# --- an engine that hangs ---------------------------------------------------------------------------------------------


@pytest.fixture
def hung(host: Lab) -> Iterator[Lab]:
    assert host.dockerd
    os.kill(host.dockerd.pid, signal.SIGSTOP)
    yield host
    os.kill(host.dockerd.pid, signal.SIGCONT)


def test_a_hung_engine_is_told_and_the_rest_works(hung: Lab) -> None:
    done = hung.netdash("containers", "--json")
    answer = json.loads(done.stdout)
    assert answer["containers"] is None
    assert "answer" in answer["unknown"]["docker"]
    assert done.returncode == 3
    rules: Any = hung.json("rules")["rules"]
    assert any(":80" in rule["text"] and "8088" in rule["text"] for rule in rules)


def test_the_card_says_how_names_are_resolved(host: Lab) -> None:
    """The container's resolv.conf and its own rules are read while its card is on screen. The judge asks inside."""
    host.docker("network", "create", "read-net")
    host.docker("network", "connect", "read-net", "read-web")
    host.inside("read-web", "busybox", "nslookup", "read-web", "127.0.0.11")
    with Terminal(host.netdash_argv(), host.environment) as terminal:
        assert terminal.wait_for(lambda: re.search(r"127\.0\.0\.11:53/udp +✓ ok", terminal.text) is not None), (
            terminal.text
        )
        terminal.write(b"q")
        assert terminal.end() == 0
    host.docker("network", "disconnect", "read-net", "read-web")
    host.docker("network", "rm", "read-net")


def test_a_hung_engine_does_not_hold_the_dashboard(hung: Lab) -> None:
    with Terminal(hung.netdash_argv(), hung.environment) as terminal:
        assert terminal.wait_for("netdash"), terminal.text
        terminal.press("4")
        assert terminal.wait_for("DOCKER"), terminal.text
        terminal.write(b"q")
        assert terminal.end() == 0
