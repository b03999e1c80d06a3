"""Netdash and dockerd die by SIGKILL after every line of the journal: nothing is lost, and both ends are open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from lab import IMAGE, Lab, LabError, until

NAME = "kill-web"
STEPS = ("hold", "stop", "commit", "create", "connect:kill-net", "part", "name", "start", "verify", "release")
LINES = 1 + 2 * len(STEPS) + 1  # the head, two a step, and that it is settled
PUBLISH = ("publish", NAME, "8088:80", "--mode", "recreate", "--bind", "127.0.0.1", "--yes")


@contextmanager
def built() -> Iterator[Lab]:
    with Lab() as lab:
        lab.docker("network", "create", "kill-net")
        script = "echo hi >/www/index.html; exec httpd -f -p 80 -h /www"
        lab.docker(
            *("run", "-d", "--name", NAME, "--stop-signal", "KILL", "--restart", "always", "-v", "/data"),
            *("-v", "kill-named:/named", IMAGE, "sh", "-c", script),
        )
        lab.docker("network", "connect", "--alias", "kill-alias", "kill-net", NAME)
        lab.docker("exec", NAME, "sh", "-c", "echo data >/data/f; echo named >/named/f; echo layer >/etc/f")
        yield lab


class Houses:
    """One engine for all cases; a new one after a case that left it otherwise than it was."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lab: Lab | None = None
        self._original = ""

    def as_built(self) -> Lab:
        if self._lab is None or not self._is_as_built(self._lab):
            self.close()
            self._lab = self._stack.enter_context(built())
            self._original = identity(self._lab, NAME)
        return self._lab

    def _is_as_built(self, lab: Lab) -> bool:
        try:
            return identity(lab, NAME) == self._original and not leftovers(lab)
        except (LabError, subprocess.SubprocessError):
            return False

    def close(self) -> None:
        self._stack.close()
        self._lab = None


@pytest.fixture(scope="module")
def houses(possible: None) -> Iterator[Houses]:
    found = Houses()
    yield found
    found.close()


@pytest.fixture
def house(houses: Houses) -> Lab:
    return houses.as_built()


def run(lab: Lab, number: int, whom: str, *words: str) -> subprocess.CompletedProcess[str]:
    return lab.run_python("killed", str(number), whom, *words)


def identity(lab: Lab, name: str) -> str:
    return lab.docker("inspect", "-f", "{{.Id}}", name)


def files(lab: Lab, container: str) -> str:
    return lab.docker("exec", container, "cat", "/data/f", "/named/f", "/etc/f")


def served(lab: Lab) -> bool:
    return (
        subprocess.run(
            ["nsenter", f"--net=/run/netns/{lab.host_ns}", "curl", "-sS", "--max-time", "2", "http://127.0.0.1:8088/"],
            capture_output=True,
        ).returncode
        == 0
    )


def leftovers(lab: Lab) -> list[str]:
    names = lab.docker("ps", "-a", "--format", "{{.Names}}").split()
    images = lab.docker("images", "--format", "{{.Repository}}").split()
    journals = list((lab.folder / "state" / "journal").glob("*"))
    return [name for name in (*names, *images, *map(str, journals)) if "netdash-" in name or name.endswith(".jsonl")]


def settle_all(lab: Lab, original: str, way: str) -> None:
    """Recover in that way, and look whether that end is clean; afterwards the original is back."""
    ended = run(lab, 0, "netdash", "recover", f"--{way}")
    assert ended.returncode == 0, ended.stderr
    if way == "finish":
        assert until(lambda: served(lab))
        assert files(lab, NAME) == "data\nnamed\nlayer"
        assert identity(lab, NAME) != original
        assert lab.docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", NAME) == "always"
        assert identity(lab, original) == original  # until its time is over
        back = run(lab, 0, "netdash", "undo", "--yes")
        assert back.returncode == 0, back.stderr
    assert identity(lab, NAME) == original
    assert until(lambda: lab.docker("inspect", "-f", "{{.State.Running}}", NAME) == "true")
    assert lab.docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", NAME) == "always"
    assert files(lab, NAME) == "data\nnamed\nlayer"
    assert not served(lab)
    assert leftovers(lab) == []


@pytest.mark.parametrize("number", range(1, LINES))
@pytest.mark.parametrize("way", ["finish", "rollback"])
def test_netdash_dies_after_a_line(house: Lab, way: str, number: int) -> None:
    original = identity(house, NAME)
    _die(house, number)
    assert identity(house, original) == original
    waiting = house.netdash("recover")
    assert (waiting.returncode, NAME in waiting.stdout) == (1, True)
    settle_all(house, original, way)


def test_what_was_interrupted_comes_before_another_change(house: Lab) -> None:
    original = identity(house, NAME)
    _die(house, LINES // 2)
    refused = house.netdash(*PUBLISH)
    assert (refused.returncode, "was interrupted" in refused.stderr) == (4, True)
    settle_all(house, original, "rollback")


def _die(lab: Lab, number: int) -> None:
    died = run(lab, number, "netdash", *PUBLISH)
    assert died.returncode == -9, died.stderr


@pytest.mark.parametrize("number", range(1, 2 + 2 * len(STEPS), 2))
def test_netdash_dies_while_it_takes_back(house: Lab, number: int) -> None:
    original = identity(house, NAME)
    done = run(house, 0, "netdash", *PUBLISH)
    assert done.returncode == 0, done.stderr
    died = run(house, number, "netdash", "undo", "--yes")
    assert died.returncode == -9, died.stderr
    settle_all(house, original, "finish" if number % 4 == 1 else "rollback")


@pytest.mark.parametrize("number", range(1, LINES))
def test_dockerd_dies_after_a_line(house: Lab, number: int) -> None:
    original = identity(house, NAME)
    assert house.dockerd
    done = run(house, number, str(house.dockerd.pid), *PUBLISH)
    house.start_killed_engine()
    assert identity(house, original) == original
    assert done.returncode in (0, 4), done.stderr
    settle_all(house, original, "finish" if number % 2 else "rollback")


def test_a_change_that_fails_is_taken_back(house: Lab) -> None:
    """The new container's port is taken between the plan and the step: by a process that the plan could not see."""
    original = identity(house, NAME)
    program = "import socket; s = socket.create_server(('127.0.0.1', 8088)); print('up', flush=True); input()"
    argv = ["nsenter", f"--net=/run/netns/{house.host_ns}", sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as squatter:
        assert squatter.stdout
        assert squatter.stdin
        squatter.stdout.readline()
        refused = house.netdash(*PUBLISH)
        assert refused.returncode == 4
        assert "is held by" in refused.stderr
        squatter.stdin.close()
    assert identity(house, NAME) == original
    assert leftovers(house) == []
