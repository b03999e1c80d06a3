"""A session by ssh: answers again and again, events at the other end, and how it ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from netdash.bundle.collector_stream import ASKED
from netdash.bundle.recording import Recording
from netdash.collect.hosts import QUICK, SLOW, RemoteReader
from netdash.collect.ssh import Session, read_remote
from netdash.collect.ssh_reason import HostError
from netdash.model.source import SOURCES, Options
from tests.support.streams import ANSWERS, FILES, MARK, SLEEP, WHERE, saying, stream


def test_one_connection_answers_again_and_again(ssh: Callable[[str], Path]) -> None:
    folder = ssh(f'echo started >> "$(dirname "$0")/starts"; {ANSWERS}')
    session = Session(WHERE)
    answers = [session.ask(["sysctls"]).answers for _ in range(3)]
    session.close()
    assert all("host/sysctl.txt" in one for one in answers)
    assert (folder / "starts").read_text() == "started\n"


def test_a_session_that_ended_is_over(ssh: Callable[[str], Path]) -> None:
    ssh("exit 255")
    session = Session(WHERE)
    with pytest.raises(HostError):
        session.ask(ASKED)
    assert session.trouble
    session.close()
    session.close()


class Heard:
    """Takes recordings and lets a test wait for one."""

    def __init__(self) -> None:
        self.all: list[Recording] = []
        self._new = threading.Condition()

    def __call__(self, recording: Recording) -> None:
        with self._new:
            self.all.append(recording)
            self._new.notify_all()

    def until(self, condition: Callable[[Recording], bool]) -> Recording:
        with self._new:
            assert self._new.wait_for(lambda: bool(self.all) and condition(self.all[-1]), 20)
            return self.all[-1]


def test_a_reader_keeps_what_it_knew_and_comes_back(
    ssh: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netdash.collect.hosts._FIRST", 0.05)
    folder = ssh("")
    good = f"echo $$ > {folder}/pid; {saying(chr(10).join(stream(FILES)), folder)}"
    ssh(good)
    heard = Heard()
    reader = RemoteReader(WHERE, None, 0.05)
    reader.start(heard)
    first = heard.until(lambda one: "host" not in one.failures)
    ssh("echo 'ssh: connect to host su1 port 22: No route to host' >&2; exit 255")
    os.kill(int((folder / "pid").read_text()), 9)
    lost = heard.until(lambda one: "host" in one.failures and "No route" in one.failures["host"].reason)
    assert lost.answers == first.answers
    assert set(SOURCES) <= set(lost.failures)
    assert (lost.taken or 0) >= (first.taken or 0) > 0
    ssh(good)
    back = heard.until(lambda one: "host" not in one.failures)
    assert back.answers["host/sysctl.txt"] is first.answers["host/sysctl.txt"], "parsers go by identity"
    pid = int((folder / "pid").read_text())
    reader.stop()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("end", ["exit 0", SLEEP], ids=["cut", "hung"])
def test_an_answer_that_breaks_off_leaves_the_last_whole_one(
    ssh: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr("netdash.collect.hosts._FIRST", 0.05)
    folder = ssh("")
    text = "\n".join(stream(FILES))
    whole = f'sed "s/abc123/$mark/g" {folder}/text'
    cut = f'sed "s/abc123/$mark/g" {folder}/text | head -n 9; {end}'
    saying(text, folder)
    ssh(f'while read -r word mark rest; do [ "$word" != collect ] || if [ -e {folder}/bad ]; then {cut}; '
        f"else {whole}; fi; done")  # fmt: skip
    heard = Heard()
    reader = RemoteReader(WHERE, None, 0.05, limit=1.0)
    reader.start(heard)
    first = heard.until(lambda one: "host" not in one.failures)
    (folder / "bad").touch()
    lost = heard.until(lambda one: "host" in one.failures)
    assert lost.answers == first.answers
    assert ("ended with status" in lost.failures["host"].reason) is (end == "exit 0")
    (folder / "bad").unlink()
    assert heard.until(lambda one: "host" not in one.failures).answers == first.answers
    reader.stop()


class Engine:
    """An engine on a socket that has no containers, and tells of a start when it is told to."""

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        self.events = threading.Event()
        self._server = socket.create_server(str(path), family=socket.AF_UNIX)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            path = connection.recv(65536).split()[1].decode()
            self.asked.append(path.partition("?")[0])
            if path.startswith("/events"):
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b'{"Type":"container","Action":"exec_start: sh"}\n')
                self.events.wait(20)
                connection.sendall(b'{"Type":"container","Action":"start"}\n')
            body = b"{}" if path in ("/version", "/info") else b"[]"
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_events_are_waited_for_at_the_other_end(ssh: Callable[[str], Path], tmp_path: Path, shell: str) -> None:
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"{shell} is not installed")
    ssh(f"exec {shell}")
    engine = Engine(tmp_path / "sock")
    session = Session(WHERE, f"unix://{tmp_path}/sock")
    try:
        assert session.changed(1) is None, "before the engine was asked"
        assert session.ask(["docker"]).answers["docker/containers.json"] == []
        assert session.changed(1) is False, "what a health check starts is no change"
        engine.events.set()
        assert session.changed(15) is True
        assert session.ask(["docker"]).failures == {}, "and it can be asked again"
    finally:
        session.close()


def test_containers_are_not_read_again_until_the_engine_tells_of_a_change(
    ssh: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    monkeypatch.setattr("netdash.collect.hosts._PEACE", 0)
    ssh("exec sh")
    engine = Engine(tmp_path / "sock")
    heard = Heard()
    reader = RemoteReader(WHERE, f"unix://{tmp_path}/sock", 0.3)
    reader.start(heard)
    heard.until(lambda _: len(heard.all) >= 3)
    assert engine.asked.count("/containers/json") == 2, "once for the list, once for whom to inspect"
    assert heard.all[-1].answers["docker/containers.json"] == []
    assert heard.all[-1].answers["host/sysctl.txt"]
    engine.events.set()
    heard.until(lambda _: engine.asked.count("/containers/json") >= 4)
    reader.stop()


def test_a_host_at_rest_is_asked_for_less(ssh: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("_SLOW", 1.5), ("_ALL", 4.0), ("_RARELY", 0), ("_PEACE", 0)):
        monkeypatch.setattr(f"netdash.collect.hosts.{name}", seconds)
    folder = ssh("")
    text = "\n".join(stream(FILES)).replace(f"={MARK} done", f"={MARK} events 1\n={MARK} done")
    (folder / "text").write_text(text)
    ssh(
        f'while read -r word mark rest; do case $word in collect) echo "$(date +%s.%N) $rest" >>{folder}/asked; '
        f'sed "s/{MARK}/$mark/g" {folder}/text ;; await) sleep 0.1; '
        'printf "\\n=%s changed 0\\n=%s done\\n" "$mark" "$mark" ;; esac; done'
    )
    heard = Heard()
    reader = RemoteReader(WHERE, None, 0.3)
    reader.start(heard)
    rows: list[list[str]] = []
    asked: list[tuple[str, ...]] = []
    while asked.count(ASKED) < 2:
        threading.Event().wait(0.05)
        rows = [row.split() for row in (folder / "asked").read_text().splitlines()] if heard.all else []
        asked = [tuple(row[1:]) for row in rows]
    reader.stop()
    assert asked[:2] == [ASKED, QUICK]
    assert SLOW in asked
    assert set(asked) == {ASKED, SLOW, QUICK}
    times = [float(row[0]) for row in rows]
    assert times[4] - times[3] >= 0.8, "three times the interval, where nothing changes"
    assert heard.all[-1].answers["host/sysctl.txt"] == FILES["host/sysctl.txt"]


def test_a_reader_that_hangs_stops_at_once(ssh: Callable[[str], Path]) -> None:
    folder = ssh(f'echo $$ > "$(dirname "$0")/pid"; {SLEEP}')
    reader = RemoteReader(WHERE, None, 1.0)
    reader.start(lambda _: None)
    while not (folder / "pid").exists() or not (folder / "pid").read_text().strip():
        threading.Event().wait(0.02)
    pid = int((folder / "pid").read_text())
    reader.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_what_ssh_leaves_behind_is_ended_with_it(ssh: Callable[[str], Path]) -> None:
    """A command on the way to the host that hangs, when ssh itself gave up."""
    folder = ssh('sleep 300 </dev/null >/dev/null 2>&1 & echo $! > "$(dirname "$0")/pid"; exit 255')
    read_remote(WHERE, Options(sources=frozenset({"sysctls"})))
    pid = (folder / "pid").read_text().strip()
    for _ in range(200):
        if not Path("/proc", pid).exists() or ") Z" in Path("/proc", pid, "stat").read_text():
            break
        threading.Event().wait(0.02)
    else:
        os.kill(int(pid), 9)
        raise AssertionError("it is still there")


def test_ssh_does_not_outlive_netdash(ssh: Callable[[str], Path]) -> None:
    """Whatever ends the command, even a kill: the input of ssh ends, and so does its shell."""
    folder = ssh('echo $$ > "$(dirname "$0")/pid"; cat >/dev/null')
    netdash = subprocess.Popen([sys.executable, "-m", "netdash", "--host", "ssh://su1", "routes"])
    while not (folder / "pid").exists() or not (folder / "pid").read_text().strip():
        threading.Event().wait(0.02)
    pid = (folder / "pid").read_text().strip()
    netdash.kill()
    netdash.wait()
    for _ in range(200):
        if not Path("/proc", pid).exists() or "Z" in Path("/proc", pid, "stat").read_text():
            break
        threading.Event().wait(0.02)
    else:
        raise AssertionError("ssh is still there")
