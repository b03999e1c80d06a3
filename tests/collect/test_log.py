"""The log of --debug: what was asked, how long it took and what failed, without what is nobody's business."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from netdash.cli.main import main
from netdash.collect.command import run
from netdash.engine import log
from netdash.model.errors import Exit, NetdashError
from tests.support.read_engines import FakeEngine


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "new.log"
    log.begin(path)
    yield path
    log.end()


def test_a_command_and_why_it_failed(logged: Path) -> None:
    run(["true", "one", "two"], 3)
    run(["sh", "-c", "echo no such table >&2; exit 1"], 3)
    first, second = logged.read_text("ascii").splitlines()
    assert " ms  command  true one two" in first
    assert "failed" not in first
    assert second.endswith("failed: no such table")


def test_an_exception_goes_on_and_is_told(logged: Path) -> None:
    with pytest.raises(OSError, match="gone"), log.asked("files", "/proc/1"):
        raise OSError("gone")
    assert logged.read_text("ascii").rstrip().endswith("files    /proc/1 failed: OSError: gone")


def test_hostile_text_is_escaped_and_a_password_is_not_told(logged: Path) -> None:
    with log.asked("engine", "GET", "tcp://me:secret@box/\x1b[2J\n\u202eé", "x" * 9000):
        pass
    text = logged.read_bytes()
    assert text.count(b"\n") == 1
    assert all(32 <= byte < 127 for byte in text.rstrip(b"\n"))
    assert b"secret" not in text
    assert len(text) < 3000


def test_the_file_is_new_and_its_owners_alone(tmp_path: Path) -> None:
    path, link, there = tmp_path / "new.log", tmp_path / "link.log", tmp_path / "there.log"
    there.write_text("mine")
    link.symlink_to(tmp_path / "elsewhere")
    for wrong in (link, there, tmp_path / "none" / "x.log"):
        with pytest.raises(NetdashError) as caught:
            log.begin(wrong)
        assert caught.value.code is Exit.USAGE
    assert there.read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    log.begin(path)
    log.end()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_kept_while_nobody_wants_it() -> None:
    assert log.asked("command", "one") is log.asked("engine", "two")


@pytest.mark.parametrize(
    ("command", "told"),
    [("networks", "GET /v1.51/networks"), ("containers", "GET /containers/json?all=1")],
    ids=["all that is read", "the engine alone"],
)
@pytest.mark.parametrize("given", [["--debug=FILE"], ["--debug"]], ids=["named", "unnamed"])
def test_the_command_line_logs_the_calls_of_the_engine_without_values(
    engine: FakeEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    command: str,
    told: str,
) -> None:
    monkeypatch.setenv("NETDASH_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    monkeypatch.setenv("SECRET", "hunter3")
    words = [word.replace("FILE", str(tmp_path / "new.log")) for word in given]
    try:
        main([*words, command])
    finally:
        log.end()
    (path,) = [*tmp_path.glob("*.log"), *tmp_path.glob("state/debug-*.log")]
    text = path.read_text("ascii")
    assert str(path) in capsys.readouterr().err
    assert f"engine   {told}" in text
    assert ("command  " in text) == (command == "networks")
    assert "hunter" not in text
