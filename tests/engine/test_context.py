"""Where the engine is: the docker command's rules."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from netdash.engine.client import EngineClient
from netdash.engine.context import Tls, locate, usual_sockets
from netdash.engine.errors import EngineError
from netdash.tui.config import config_path
from tests.support.read_engines import running


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker configuration with the context "far"."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    meta = tmp_path / "contexts" / "meta" / sha256(b"far").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    (tmp_path / "config.json").write_text("{}")
    meta.write_text('{"Name": "far", "Metadata": {}, "Endpoints": {"docker": {"Host": "tcp://192.0.2.7:2375"}}}')
    return tmp_path


def test_the_default_socket(config: Path) -> None:
    assert locate(None).address == "unix:///var/run/docker.sock"


def test_without_a_home_the_current_folder_is_not_asked(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns the current folder would choose the engine by a folder that is named ~."""
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # KeyError: no such user
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / ".docker").symlink_to(tmp_path)
    (config / "config.json").write_text('{"currentContext": "far"}')
    assert locate(None).address == "unix:///var/run/docker.sock"
    assert all(path.startswith("/") for path in (config_path(), *usual_sockets()))


def test_the_current_context(config: Path) -> None:
    (config / "config.json").write_text('{"currentContext": "far"}')
    found = locate(None)
    assert (found.address, found.socket, found.tls) == ("tcp://192.0.2.7:2375", None, None)


def test_the_environment_names_a_context(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    assert locate(None).address == "tcp://192.0.2.7:2375"


def test_docker_host_comes_before_the_context(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/docker.sock")
    assert locate(None).socket == "/run/user/1000/docker.sock"


def test_the_option_comes_first(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///a")
    assert locate("unix:///b").address == "unix:///b"


@pytest.mark.parametrize("content", ["{", '{"currentContext": 3}'])
def test_a_broken_config_is_no_context(config: Path, content: str) -> None:
    (config / "config.json").write_text(content)
    assert locate(None).address == "unix:///var/run/docker.sock"


def test_a_config_that_is_no_file_is_not_waited_for(config: Path) -> None:
    (config / "config.json").unlink()
    os.mkfifo(config / "config.json")
    argv = [sys.executable, "-c", "from netdash.engine.context import locate; print(locate(None).address)"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    assert done.stdout == "unix:///var/run/docker.sock\n"


def test_a_context_that_cannot_be_read_is_not_said_to_be_missing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    meta = next(config.glob("contexts/meta/*/meta.json"))
    meta.write_text("{")
    with pytest.raises(EngineError, match=r"the docker context 'far' cannot be read: .*meta.json: Expecting "):
        locate(None)
    meta.unlink()
    meta.mkdir()
    with pytest.raises(EngineError, match=r"the docker context 'far' cannot be read: .* not a regular file"):
        locate(None)


def test_a_context_that_does_not_exist(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    with pytest.raises(EngineError, match="the docker context 'nowhere' does not exist"):
        locate(None)


def test_a_context_needs_no_config(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (config / "config.json").unlink()
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    assert locate(None).address == "tcp://192.0.2.7:2375"


def test_a_context_in_the_home_folder(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (config / "config.json").unlink()
    (config / "home").mkdir()
    (config / "contexts").rename(config / "home" / "contexts")
    (config / "home").rename(config / ".docker")
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", str(config))
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    assert locate(None).address == "tcp://192.0.2.7:2375"


def test_the_files_of_a_context_that_speaks_tls(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The docker command takes a context with a ca.pem alone; no client certificate need be there."""
    folder = config / "contexts" / "tls" / sha256(b"far").hexdigest() / "docker"
    folder.mkdir(parents=True)
    (folder / "ca.pem").touch()
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    assert locate(None).tls == Tls(True, str(folder / "ca.pem"))


def test_tls_of_the_environment(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.7:2376")
    assert locate(None).tls is None
    monkeypatch.setenv("DOCKER_TLS", "1")
    assert locate(None).tls == Tls(False)
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (config / name).touch()
    pair = (str(config / "cert.pem"), str(config / "key.pem"))
    assert locate(None).tls == Tls(True, str(config / "ca.pem"), pair)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("unix:///a/b", "/a/b"),
        ("http+unix:///a", "/a"),
        ("tcp://h:1", None),
        ("192.0.2.7:2375", None),
        ("ssh://h", None),
    ],
)
def test_which_addresses_are_sockets(config: Path, address: str, path: str | None) -> None:
    assert locate(address).socket == path


def test_an_address_without_a_scheme_is_tcp(config: Path) -> None:
    assert locate("192.0.2.7:2375").address == "tcp://192.0.2.7:2375"


def test_another_host_over_ssh(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@there:2222")
    assert locate(None).ssh == (("ssh://me@there:2222",), None)


def test_another_usual_socket_is_named_and_not_taken(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown must be the engine that the docker command shows."""
    monkeypatch.setattr("netdash.engine.context.DEFAULT", f"unix://{config}/none.sock")
    monkeypatch.setenv("HOME", str(config))
    for name in ("SUDO_UID", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(config))
    with running(config / "docker.sock") as engine, pytest.raises(EngineError) as raised:
        EngineClient(None, 1).negotiate()
    assert raised.value.message == f"there is no Docker engine on unix://{config}/none.sock"
    assert raised.value.hint == f"an engine answers on {config}/docker.sock: DOCKER_HOST=unix://{config}/docker.sock"
    assert not engine.calls
    with pytest.raises(EngineError) as raised:
        EngineClient(f"unix://{config}/none.sock", 1).negotiate()
    assert "answers on" not in raised.value.hint
