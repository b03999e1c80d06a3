"""An engine in another network namespace than netdash, as a rootless one is: its namespace is found by the socket, and
read where that is allowed; where not, nothing is said of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from lab import HOST_IP, Lab
from terminal import Terminal
from truth import nat_rules, out_by, ports
from users import ask, command, environment


class FromOutside:
    """The lab, with netdash in the other host's namespace."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.home = lab.host_ns

    def __enter__(self) -> Lab:
        self.lab.host_ns = self.lab.outside_ns
        return self.lab

    def __exit__(self, *_: object) -> None:
        self.lab.host_ns = self.home


@pytest.fixture(scope="module")
def engine(lab: Lab) -> Iterator[Lab]:
    lab.httpd("far-web", "-p", "8096:80")
    yield lab
    lab.remove_containers()


@pytest.fixture
def far(engine: Lab) -> Iterator[Lab]:
    with FromOutside(engine) as lab:
        yield lab


def test_root_reads_the_engines_namespace_and_says_so(engine: Lab) -> None:
    assert engine.fetch(f"http://{HOST_IP}:8096/") == "far-web"
    truth, near = nat_rules(engine), engine.json("rules")
    assert "namespace" not in near
    with FromOutside(engine) as lab:
        assert lab.dockerd
        far: Any = lab.json("rules")
        assert [one["text"] for one in far["rules"]] == [one["text"] for one in near["rules"]]  # type: ignore[attr-defined]
        assert far["namespace"] == {"pid": lab.dockerd.pid, "command": "dockerd"}
        shown: Any = lab.json("show", "far-web")
        assert shown["unknown"] == {}
        published = ports(shown)["tcp", 8096]
        assert published["dnat"]["packets"] == truth[published["dnat"]["text"]].packets > 0
        assert published["listening"] is True
        assert out_by(shown, "bridge")["leaves_as"] == HOST_IP
        told = f"the network namespace of dockerd (pid {lab.dockerd.pid})"
        assert told in lab.netdash("rules").stderr
        assert told in lab.netdash("show", "far-web").stdout
        proxies: Any = lab.json("proxies")["proxies"]
        assert proxies
        assert {one["sockets"] for one in proxies} == {None}
        free = lab.netdash("ports", "--free", "80")  # the listeners are those of netdash's own namespace
        assert "python" in free.stdout


def test_a_recording_keeps_whose_namespace_it_was(far: Lab) -> None:
    bundle = far.folder / "far.tar.gz"
    assert far.netdash("record", str(bundle)).returncode == 0
    recorded, live = far.json("--from", str(bundle), "rules"), far.json("rules")
    assert recorded["namespace"] == live["namespace"]
    bundle.unlink()


def test_another_user_is_told_where_the_rules_are(far: Lab) -> None:
    for view in ("rules", "proxies"):
        done = ask(far, "docker group", view, "--json")
        answer = json.loads(done.stdout)
        assert (answer[view], done.returncode) == (None, 3)
        assert "could not be entered; run with sudo" in answer["unknown"][view]
    ledger: Any = json.loads(ask(far, "docker group", "ports", "--json").stdout)["ports"]
    (port,) = [one for one in ledger if one["host_port"] == 8096 and one["host_ip"] == "0.0.0.0"]
    assert (port["dnat"], port["holder"], port["listening"]) == (None, None, None)


def test_the_dashboard_shows_the_engines_rules_and_whose_they_are(far: Lab) -> None:
    assert far.dockerd
    with Terminal(far.netdash_argv(), far.environment) as terminal:
        assert terminal.wait_for(f"netns of pid {far.dockerd.pid}"), terminal.text
        for key in "4/dnat\r":  # both rules on screen, in whatever order the chains come
            terminal.press(key)
        assert terminal.wait_for("172.17.0.2:80"), terminal.text
        far.docker("run", "-d", "--name", "far-late", "-p", "8097:80", "netdash/busybox", "sleep", "99")
        assert terminal.wait_for("172.17.0.3:80"), terminal.text
        far.docker("rm", "-f", "far-late")
        terminal.write(b"q")
        assert terminal.end() is not None


ROOTLESS = """
import subprocess
import sys
import time
from pathlib import Path
from tests.support.read_engines import FakeEngine
rule = "add rule ip nat DOCKER tcp dport 8080 dnat to 10.9.9.9:80"
subprocess.run(["nft", f"add table ip nat; add chain ip nat DOCKER; {rule}"], check=True)
FakeEngine(Path(sys.argv[1])).start()
print("up", flush=True)
time.sleep(60)
"""


def test_the_user_of_a_rootless_engine_reads_its_namespace(lab: Lab) -> None:
    """Without any right but its own user's: by the user namespace that the engine's process is in."""
    folder = lab.folder / "rootless"
    folder.mkdir()
    folder.chmod(0o777)
    socket = folder / "docker.sock"
    within = ("unshare", "--user", "--map-root-user", "--net")
    started = command(lab, "neither", "-c", ROOTLESS, str(socket), within=within)
    with subprocess.Popen(started, env=environment(lab), cwd="/", stdout=subprocess.PIPE, text=True) as engine:
        try:
            assert engine.stdout
            assert engine.stdout.readline() == "up\n"
            done = ask(lab, "neither", "--docker-host", f"unix://{socket}", "rules", "--json")
        finally:
            engine.kill()
    answer = json.loads(done.stdout)
    assert [one["text"] for one in answer["rules"]] == ["tcp dport 8080 dnat to 10.9.9.9:80"]
    assert answer["namespace"]["command"].startswith("python")
