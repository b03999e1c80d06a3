"""Engines that speak TLS, and ports that are taken for the other kind: each is told by its own name."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from netdash.engine.client import EngineClient
from netdash.engine.errors import EngineError
from tests.support.read_engines import FakeEngine, running

FILES = Path(__file__).parents[1] / "tls"
LIMIT = 2.0


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the environment to a folder with some of the files."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)

    def give(*names: str) -> None:
        folder = tmp_path / "certificates"
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes((FILES / name).read_bytes())
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))

    return give


def served(path: Path, client_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path / "cert.pem", path / "key.pem")
    if client_certificate:
        context.load_verify_locations(path / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with running(tmp_path / "d.sock", tls=served(FILES)) as one:
        yield one


def ask(address: str) -> object:
    with closing(EngineClient(address, LIMIT)) as client:
        return client.get("/info")


def told(address: str) -> tuple[str, str]:
    with pytest.raises(EngineError) as raised:
        ask(address)
    error = raised.value
    assert "sudo" not in error.message + error.hint
    assert "permission" not in error.message
    return error.message, error.hint


def test_a_trusted_engine(engine: FakeEngine, certificates: Callable[..., None]) -> None:
    certificates("ca.pem")
    assert ask(engine.address)


def test_an_engine_that_is_not_checked(
    engine: FakeEngine, certificates: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates()
    monkeypatch.delenv("DOCKER_TLS_VERIFY")
    monkeypatch.setenv("DOCKER_TLS", "1")
    assert ask(engine.address)


def test_the_ca_of_the_environment_does_not_replace_the_engines(
    engine: FakeEngine, certificates: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificates("ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ssl.get_default_verify_paths().cafile or str(tmp_path))
    assert ask(engine.address)


def test_a_client_certificate(tmp_path: Path, certificates: Callable[..., None]) -> None:
    certificates("ca.pem", "cert.pem", "key.pem")
    with running(tmp_path / "d.sock", tls=served(FILES, client_certificate=True)) as engine:
        assert ask(engine.address)


def test_an_engine_that_wants_a_client_certificate(tmp_path: Path, certificates: Callable[..., None]) -> None:
    certificates("ca.pem")
    with running(tmp_path / "d.sock", tls=served(FILES, client_certificate=True)) as engine:
        message, hint = told(engine.address)
    assert message.startswith(f"TLS: {engine.address} ")  # its alert is lost where it closes before netdash reads it
    assert "does not accept netdash's certificate" in message
    assert "cert.pem" in hint


def test_a_certificate_of_nobody_known(engine: FakeEngine, certificates: Callable[..., None]) -> None:
    """OpenSSL's error 1 is not the kernel's error 1, no permission."""
    certificates()
    message, hint = told(engine.address)
    assert message.startswith(f"TLS: the certificate of {engine.address} is not trusted: ")
    assert message.endswith("(CERTIFICATE_VERIFY_FAILED)")
    assert "DOCKER_CERT_PATH" in hint
    assert "ca.pem" in hint


def test_tls_to_a_plain_port(tmp_path: Path, certificates: Callable[..., None]) -> None:
    certificates("ca.pem")
    with running(tmp_path / "d.sock", tcp=True) as engine:
        for address in (engine.address, engine.address.replace("tcp", "https")):
            assert told(address)[0].startswith(f"TLS: {address} does not speak TLS")


@pytest.mark.parametrize(
    "ending",
    [
        b"",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
    ],
)
def test_plain_http_to_a_tls_port(ending: bytes, certificates: Callable[..., None]) -> None:
    """Servers hang up, send an alert, or, as Go's do, answer in plain HTTP."""

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                with listener.accept()[0] as connection:
                    connection.recv(4096)
                    connection.sendall(ending)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        message, hint = told(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)
    assert "DOCKER_TLS_VERIFY=1" in hint, message


def test_a_name_that_nobody_knows(certificates: Callable[..., None]) -> None:
    assert "cannot be resolved" in told("tcp://nobody.invalid:2375")[0]
