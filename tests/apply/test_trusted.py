"""What decides what is run, ended or removed is read only from where nobody else can write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netdash.apply import forward, journal_files, preflight, state_directory
from netdash.engine.context import EnginePeer, engine_peer
from netdash.model.errors import Exit, NetdashError
from netdash.publish.journal import Forward, Opened, Process

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make files of another user")
RECORD = Forward(
    id="1-a",
    engine="unix:///none",
    container_id="f" * 64,
    container="web",
    network="bridge",
    program="",
    ports=(Opened("tcp", "127.0.0.1", 8080, 80),),
    created=1.0,
    boot=state_directory.boot_id(),
)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NETDASH_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def refused_everywhere(reason: str) -> None:
    """Every entry that reads or writes the state."""
    entries = (
        lambda: list(forward.listed()),
        lambda: list(journal_files.listed()),
        lambda: state_directory.ensure(state_directory.forwards()),
        lambda: state_directory.one_at_a_time().__enter__(),
        lambda: state_directory.write(state_directory.forwards() / "1-a.json", RECORD.dumps()),
    )
    for entry in entries:
        with pytest.raises(NetdashError, match=reason) as caught:
            entry()
        assert caught.value.code is Exit.REFUSED
        assert "\n" not in caught.value.message


def test_a_state_folder_that_others_can_write_is_refused(state: Path) -> None:
    for mode in (0o777, 0o770):
        for folder in (state, state / "published", state / "journal"):
            folder.mkdir(exist_ok=True)
        state.chmod(mode)
        refused_everywhere("can be written by other users")


@as_root
def test_a_state_folder_of_another_user_is_refused(state: Path) -> None:
    for folder in (state / "published", state / "journal"):
        folder.mkdir(parents=True)
    os.chown(state, NOBODY, NOBODY)
    refused_everywhere("belongs to user 65534")
    os.chown(state, 0, 0)
    os.chown(state.parent, NOBODY, NOBODY)
    refused_everywhere("belongs to user 65534")
    os.chown(state.parent, 0, 0)


def test_a_link_on_the_way_to_the_state_is_refused(state: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "published").mkdir(parents=True)
    (tmp_path / "other" / "journal").mkdir()
    state.symlink_to(tmp_path / "other")
    refused_everywhere("is not a folder, or is a link")


def test_the_state_is_made_for_its_owner_alone_whatever_the_umask(state: Path) -> None:
    before = os.umask(0)
    try:
        state_directory.write(state_directory.ensure(state_directory.forwards()) / "1-a.json", RECORD.dumps())
        with state_directory.one_at_a_time():
            pass
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o777 for path in (state, *state.rglob("*"))}
    assert found == {"state": 0o700, "published": 0o700, "1-a.json": 0o600, "lock": 0o600}


def refused() -> str:
    """Why the one record there is not read; it is named, and nothing of it is taken over."""
    (lost,) = forward.unreadable()
    assert forward.listed() == ()
    assert lost.names == ()
    return lost.reason


def test_a_record_is_a_regular_file(state: Path, tmp_path: Path) -> None:
    folder = state_directory.ensure(state_directory.forwards())
    (tmp_path / "record").write_text(RECORD.dumps())
    (folder / "2.json").symlink_to(tmp_path / "record")
    assert "is a link" in refused()
    (folder / "2.json").unlink()
    os.mkfifo(folder / "2.json", 0o600)
    assert "is not a regular file" in refused()


@as_root
def test_a_record_of_another_user_is_not_read(state: Path) -> None:
    path = state_directory.ensure(state_directory.forwards()) / "1-a.json"
    path.write_text(RECORD.dumps())
    os.chown(path, NOBODY, NOBODY)
    assert "belongs to user 65534" in refused()


def test_a_journal_that_was_exchanged_for_a_link_is_not_written(state: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    link = state_directory.ensure(state_directory.journals()) / "1.jsonl"
    link.symlink_to(victim)
    with pytest.raises(NetdashError, match="is a link"):
        state_directory.append(link, "{}")
    state_directory.write(link, "new")  # replaces the link itself
    assert (victim.read_text(), link.is_symlink()) == ("mine\n", False)


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_a_process_that_took_over_the_number_is_not_ended(state: Path, sleeper: subprocess.Popen[bytes]) -> None:
    seen = state_directory.process(sleeper.pid)
    assert seen is not None
    state_directory.end(Process(seen.pid, seen.ticks - 1))
    assert sleeper.poll() is None
    state_directory.end(seen)
    assert sleeper.wait(10) == -signal.SIGTERM


def test_a_record_of_another_boot_ends_nothing(state: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """Numbers and start times begin anew with each boot."""
    from dataclasses import replace

    forward.end_one(replace(RECORD, boot="another", keeper=state_directory.process(sleeper.pid)))
    assert sleeper.poll() is None


# --- programs ---------------------------------------------------------------------------------------------------------


def program(path: Path, text: str = "#!/bin/sh\nexit 0\n") -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_program_that_others_can_write_is_not_run(tmp_path: Path) -> None:
    path = program(tmp_path / "docker-proxy")
    assert preflight.find_docker_proxy(str(path), (), None) == str(path)
    for mode in (0o775, 0o757, 0o644):
        path.chmod(mode)
        assert preflight.find_docker_proxy(str(path), (), None) != str(path)
        with pytest.raises(forward.ProxyError):
            forward.start_proxy(str(path), RECORD.ports[0], "192.0.2.1")


def test_a_program_in_a_folder_that_others_can_write_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    path = program(folder / "docker-proxy")
    for mode in (0o777, 0o1777):
        folder.chmod(mode)
        assert preflight.find_docker_proxy(str(path), (), None) != str(path)


@as_root
def test_a_program_of_another_user_is_not_run(tmp_path: Path) -> None:
    path = program(tmp_path / "docker-proxy")
    os.chown(path, NOBODY, NOBODY)
    assert preflight.find_docker_proxy(str(path), (), None) != str(path)
    with pytest.raises(forward.ProxyError, match="belongs to user 65534"):
        forward.start_proxy(str(path), RECORD.ports[0], "192.0.2.1")


@pytest.mark.parametrize("named", ["", "/none/docker-proxy", "docker-proxy", "/proc/self/fd/0", "/dev/null", "/"])
def test_an_engine_that_names_no_program(named: str) -> None:
    assert preflight.find_docker_proxy(named, (), None) in (None, "/usr/sbin/docker-proxy", "/usr/bin/docker-proxy")


def test_what_was_checked_is_what_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is exchanged between the check and the start."""
    path = tmp_path / "docker-proxy"
    path.write_bytes(Path("/bin/true").resolve().read_bytes())
    path.chmod(0o755)
    opened = state_directory.trusted_program

    def exchanged(which: Path) -> int:
        handle = opened(which)
        path.unlink()
        program(path, f"#!/bin/sh\ntouch {tmp_path}/forged\n")
        return handle

    monkeypatch.setattr(forward, "trusted_program", exchanged)
    with pytest.raises(forward.ProxyError, match="ended without a word"):
        forward.start_proxy(str(path), RECORD.ports[0], "192.0.2.1")
    assert not (tmp_path / "forged").exists()


@pytest.fixture
def own_proxy(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A process whose executable is called docker-proxy."""
    path = tmp_path / "docker-proxy"
    path.write_bytes(Path("/bin/sleep").resolve().read_bytes())
    path.chmod(0o755)
    with subprocess.Popen([path, "60"]) as process:
        yield path, process
        process.kill()


def test_only_the_engines_own_child_names_a_program(own_proxy: tuple[Path, subprocess.Popen[bytes]]) -> None:
    path, process = own_proxy
    engine = EnginePeer(os.getpid(), os.geteuid())
    assert preflight.find_docker_proxy(None, [process.pid], engine) == str(path)
    for wrong in (None, EnginePeer(None, 0), EnginePeer(1, os.geteuid()), EnginePeer(os.getpid(), 1)):
        assert preflight.find_docker_proxy(None, [process.pid], wrong) != str(path)
    path.chmod(0o777)
    assert preflight.find_docker_proxy(None, [process.pid], engine) != str(path)


# --- who the engine is ------------------------------------------------------------------------------------------------

SERVER = """
import socket, sys
listening = socket.socket(fileno=int(sys.argv[1]))
while True:
    connection, _ = listening.accept()
    if connection.recv(100): connection.send(b"HTTP")
    if connection.recv(100): pass
"""


def test_the_engine_is_who_holds_the_other_end_where_another_made_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with systemd's socket activation, where the kernel names init as the one that listens."""
    import socket

    from netdash.engine import context

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "engine.sock"))
        listening.listen()
        number = listening.fileno()
        with subprocess.Popen([sys.executable, "-c", SERVER, str(number)], pass_fds=[number]) as server:
            try:
                plain = engine_peer(str(tmp_path / "engine.sock"), 5.0)
                monkeypatch.setattr(context, "_INIT", os.getpid())
                found = engine_peer(str(tmp_path / "engine.sock"), 5.0)
            finally:
                server.kill()
    assert plain == EnginePeer(os.getpid(), os.geteuid())
    assert found == EnginePeer(server.pid, os.geteuid())


def test_nobody_answers(tmp_path: Path) -> None:
    assert engine_peer(str(tmp_path / "none"), 0.2) is None
