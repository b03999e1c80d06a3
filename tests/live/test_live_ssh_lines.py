"""Bad lines to a real sshd: slow, far, hung and cut midway, closed; and many hosts behind one other."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from lab import until
from sshd import PORT, Space, Sshd, why_not
from terminal import Terminal

from netdash.collect.ssh import DROPS
from tests.support.read_engines import container

RELAY = Path(__file__).with_name("relay.py")
FAR = "ssh://root@far"
MANY = 40


@pytest.fixture(scope="module")
def sshd(rule_tools: None) -> Iterator[Sshd]:
    """Its host `far` is behind a line of 50 kB/s and 300 ms; h01 to h40 are behind `bastion`."""
    reason = why_not()
    if reason:
        if os.environ.get("NETDASH_LIVE") == "required":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with Space() as space, Sshd(space) as server, Sshd(space, PORT + 1, MaxStartups="10:30:60") as bastion:
        server.knows(bastion)
        relay = f"{sys.executable} {RELAY} {server.folder} 127.0.0.1 {PORT} 50000 0.15"
        server.client(
            f"Host far\n HostKeyAlias [127.0.0.1]:{PORT}\n ProxyCommand {relay}\n"
            f"Host bastion\n HostName 127.0.0.1\n Port {PORT + 1}\n User root\n"
            f"Host h??\n HostName 127.0.0.1\n Port {PORT}\n User root\n ProxyJump bastion\n"
        )
        yield server


@pytest.fixture
def line(sshd: Sshd) -> Iterator[Path]:
    """The folder of the relay, with no trace of an earlier line."""
    for name in ("lines", "closed"):
        (sshd.folder / name).unlink(missing_ok=True)
    yield sshd.folder
    (sshd.folder / "closed").unlink(missing_ok=True)


def begun(folder: Path) -> list[tuple[int, float]]:
    """Process and time of each line."""
    path = folder / "lines"
    rows = [row.split() for row in path.read_text().splitlines()] if path.exists() else []
    return [(int(pid), float(when)) for pid, when in rows]


def dashboard(sshd: Sshd) -> Terminal:
    argv = sshd.lab.netdash_argv("--host", FAR, "--docker-host", f"unix://{sshd.lab.socket}")
    return Terminal(argv, sshd.environment)


def answers_keys(terminal: Terminal) -> None:
    """The help comes and goes."""
    terminal.write(b"?")
    assert terminal.wait_for("Keys"), terminal.text
    terminal.write(b"\x1b")
    assert terminal.wait_for(lambda: "Keys" not in terminal.text), terminal.text


def test_a_slow_line_shows_all_and_keeps_the_keys(sshd: Sshd, line: Path) -> None:
    with dashboard(sshd) as terminal:
        assert until(lambda: terminal.read(0.1) is not None and begun(line))
        answers_keys(terminal)
        assert terminal.wait_for("c3"), terminal.text
        assert "● live" in terminal.text
        late = container(9)
        sshd.lab.engine.containers[late["Id"]] = late
        assert terminal.wait_for(lambda: heard(sshd, "start", terminal, "4 containers")), terminal.text
        del sshd.lab.engine.containers[late["Id"]]
        assert terminal.wait_for(lambda: heard(sshd, "destroy", terminal, "3 containers")), terminal.text


def heard(sshd: Sshd, action: str, terminal: Terminal, words: str) -> bool:
    """Tells the event again and again, because this engine keeps none for who asks later; whether it is on screen."""
    sshd.lab.engine.emit("container", action, container(9)["Id"])
    return words in terminal.text


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["cut", "hung"])
def test_a_line_that_breaks_leaves_what_was_known(sshd: Sshd, line: Path, end: signal.Signals) -> None:
    with dashboard(sshd) as terminal:
        assert terminal.wait_for("c3"), terminal.text
        (line / "closed").touch()
        pid = begun(line)[-1][0]
        os.kill(pid, end)
        assert terminal.wait_for("host gone"), terminal.text
        assert "c3" in terminal.text
        assert "● live" not in terminal.text
        answers_keys(terminal)
        terminal.write(b"H")
        assert terminal.wait_for("closed" if end == signal.SIGKILL else "not responding"), terminal.text
        terminal.write(b"\x1b")
        (line / "closed").unlink()
        assert terminal.wait_for("● live", 90), terminal.text
        assert not Path(f"/proc/{pid}").exists(), "the process of a broken line is ended"


def test_a_closed_line_is_tried_less_and_less_often(sshd: Sshd, line: Path) -> None:
    (line / "closed").touch()
    with dashboard(sshd) as terminal:
        assert until(lambda: terminal.read(0.1) is not None and len(begun(line)) >= DROPS + 3, 90)
        assert "Connection closed by remote host" in terminal.text
    times = [when for _, when in begun(line)][DROPS - 1 :]
    pauses = [after - before for before, after in pairwise(times)]
    assert [pause >= least for pause, least in zip(pauses, (2, 4, 8), strict=False)] == [True] * 3, pauses


def test_many_hosts_behind_one_are_all_read(sshd: Sshd) -> None:
    hosts = [word for number in range(1, MANY + 1) for word in ("--host", f"ssh://h{number:02}")]
    began = time.monotonic()
    done = sshd.netdash(*hosts, "routes", "--json")
    print(f"{MANY} hosts: {time.monotonic() - began:.1f} s")
    answer = json.loads(done.stdout)
    assert [host.get("error") for host in answer["hosts"]] == [None] * MANY
    assert done.returncode == 0


def test_many_hosts_behind_one_become_live(sshd: Sshd) -> None:
    hosts = [word for number in range(1, MANY + 1) for word in ("--host", f"ssh://h{number:02}")]
    argv = sshd.lab.netdash_argv(*hosts, "--docker-host", f"unix://{sshd.lab.socket}")
    with Terminal(argv, sshd.environment, 120, 60) as terminal:
        terminal.write(b"H")
        assert terminal.wait_for(lambda: terminal.text.count("containers  ") >= MANY, 120), terminal.text
        assert not re.search(r"h[0-9]{2}.*[✗!]", terminal.text), terminal.text
        print(f"{MANY} hosts in the dashboard: {time.monotonic() - terminal.started:.1f} s")
        assert "MaxStartups" not in terminal.text
