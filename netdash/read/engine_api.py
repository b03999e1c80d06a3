"""The engine's HTTP API: where it is, one bounded call, the stream of events. Decides nothing about containers."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from netdash.core.model import Failure
from netdash.core.scrub import scrub
from netdash.read.unix_http import UnixHttp

if TYPE_CHECKING:
    import docker
    import urllib3

    Response = HTTPResponse | urllib3.HTTPResponse

DEFAULT = "unix:///var/run/docker.sock"
MAX_ANSWER = 64 << 20  # bytes of one answer
MAX_EVENT = 1 << 20  # bytes of one event
_CHUNK = 1 << 16

GATEWAYS = "docker_gwbridge"
_EVENTS = (
    "create start die stop pause unpause rename destroy restart health_status connect disconnect remove update".split()
)
"""`kill` and `exec_*` are left out: they change nothing that is shown, and health checks send them all the time."""


class EngineError(Exception):
    """The engine could not be asked, or did not answer as an engine does."""

    def __init__(self, reason: str, remedy: str = "", status: int | None = None) -> None:
        super().__init__(reason)
        self.failure = Failure("docker", reason, remedy)
        self.status = status  # the HTTP status, where there was one


class EngineApi:
    """One engine at one address; every call ends within `limit` seconds and `MAX_ANSWER` bytes.

    `option` is --docker-host; without it DOCKER_HOST, DOCKER_CONTEXT, the current context and the default socket
    count, in that order, as for the docker command. Used by one thread, but for `events`.
    """

    def __init__(self, option: str | None, limit: float) -> None:
        self.limit = limit
        self.address = option or os.environ.get("DOCKER_HOST") or DEFAULT
        with _told(self):
            self.address, tls = _where(option)
            self._engine = _caller(self.address, tls, limit)
        self.local = self.address.startswith(("unix://", "http+unix://"))
        self._prefix = ""
        self.since: int | None = None  # the engine's clock at the latest answer of `get`, in seconds
        self._podman = False

    @property
    def pid(self) -> int | None:
        """The process of an engine on a unix socket, known once it was asked."""
        return self._engine.pid

    def negotiate(self) -> object:
        """The answer of /version, whose ApiVersion all later calls use."""
        version = self.get("/version")
        number = version.get("ApiVersion") if isinstance(version, dict) else None
        if not isinstance(number, str) or not number.replace(".", "").isdigit():
            raise EngineError(f"what answers on {self.address} is not a container engine")
        self._prefix = f"/v{number}"
        components = version.get("Components") if isinstance(version, dict) else None
        self._podman = "podman" in json.dumps(components).lower()
        return version

    def get(self, path: str, **params: str | int) -> object:
        """The decoded answer. Raises EngineError."""
        end = time.monotonic() + self.limit
        with _told(self):
            with self._send(path, params, self.limit) as response:
                self.since = _clock(response) or self.since
                body = self._body(response, end)
                status = response.status
            if status >= 400:
                raise EngineError(f"the engine on {self.address} answers {status}: {_message(body)}", status=status)
            return json.loads(body)
        raise AssertionError("unreachable: _told raises whatever it stops")

    def ping(self) -> None:
        """Raises EngineError when the engine does not answer any more."""
        with _told(self), self._send("/_ping", {}, self.limit) as response:
            self._body(response, time.monotonic() + self.limit)

    def events(self, since: int | None = None) -> Iterator[Mapping[str, object]]:
        """Events of containers and networks from `since` on, in seconds of the engine's own clock, without end.

        Raises EngineError; ends when the engine closes the stream."""
        filters: dict[str, list[str]] = {"type": ["container", "network"]}
        if not self._podman:  # its own words differ: "died", "remove"
            filters["event"] = list(_EVENTS)
        params: dict[str, str | int] = {"filters": json.dumps(filters)}
        if since is not None:
            params["since"] = since
        with _told(self), self._send("/events", params, None) as response:
            if response.status >= 400:
                raise EngineError(f"the engine on {self.address} refuses to send events", status=response.status)
            yield from _lines(response)

    def close(self) -> None:
        """Also ends `events` in another thread."""
        self._engine.close()

    def _send(
        self, path: str, params: Mapping[str, str | int], wait: float | None
    ) -> contextlib.AbstractContextManager[Response]:
        query = f"?{urlencode(params)}" if params else ""
        return self._engine.get(f"{self._prefix}{path}{query}", wait)

    def _body(self, response: Response, end: float) -> bytes:
        body = bytearray()
        for chunk in _chunks(response):
            body += chunk
            if len(body) > MAX_ANSWER:
                raise EngineError(f"the engine on {self.address} answers with more than {MAX_ANSWER >> 20} MiB")
            if time.monotonic() > end:
                raise _too_late(self)
        return bytes(body)


def _chunks(response: Response) -> Iterator[bytes]:
    """What has come, as soon as it comes; urllib3 before 2 waits for a whole piece."""
    if isinstance(response, HTTPResponse):
        while chunk := response.read1(_CHUNK):
            yield chunk
        if response.length:
            raise IncompleteRead(b"", response.length)
    else:
        yield from response.stream(None if response.chunked else _CHUNK)


def _lines(response: Response) -> Iterator[Mapping[str, object]]:
    rest = b""
    for chunk in _chunks(response):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_EVENT:
            raise EngineError("the engine sends events that are none")
        for line in whole:
            event = json.loads(line) if line.strip() else None
            if isinstance(event, dict):
                yield event


def _clock(response: Response) -> int | None:
    """The engine's time in whole seconds: a remote engine's clock is not ours."""
    from email.utils import parsedate_to_datetime

    try:
        return int(parsedate_to_datetime(response.headers["Date"]).timestamp())
    except (KeyError, ValueError, TypeError):
        return None


def _message(body: bytes) -> str:
    try:
        message = json.loads(body)["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        message = body[:200].decode("utf-8", "replace")
    return " ".join(str(message).split())[:200]


def listed(api: EngineApi) -> list[object]:
    """The one list of all containers, with only what may be kept. Raises EngineError, also for what is no list."""
    answer = api.get("/containers/json", all=1)
    if not isinstance(answer, list):
        raise EngineError(f"what answers on {api.address} is not a container engine")
    kept = scrub("docker/containers.json", answer)
    return kept if isinstance(kept, list) else []


def allowed(api: EngineApi, path: str) -> object:
    """The answer; None where the engine, or a guard before it, refuses just this question."""
    try:
        return scrub(f"docker{path}.json", api.get(path))
    except EngineError as error:
        if error.status is None:
            raise
        return None


def networks(api: EngineApi) -> object:
    """The list of networks; None where it is refused. Only the detail of the bridge by which containers of overlay
    networks go out and publish their ports tells their addresses there."""
    found = allowed(api, "/networks")
    if not isinstance(found, list) or not any(isinstance(one, dict) and one.get("Name") == GATEWAYS for one in found):
        return found
    detail = scrub("docker/networks.json", allowed(api, f"/networks/{GATEWAYS}"))
    if not isinstance(detail, dict):
        return found
    return [detail if isinstance(one, dict) and one.get("Name") == GATEWAYS else one for one in found]


# --- where the engine is ----------------------------------------------------------------------------------------------


def _where(option: str | None) -> tuple[str, docker.TLSConfig | None]:
    """(address, TLS settings of a context) of the engine."""
    address, tls = option or os.environ.get("DOCKER_HOST"), None
    if not address:
        address, tls = _context()
    return DEFAULT if address in (None, "", "unix://") else address, tls


def _caller(address: str, tls: docker.TLSConfig | None, limit: float) -> UnixHttp | _Remote:
    scheme, _, path = address.partition("://")
    return UnixHttp(path, limit) if scheme == "unix" and path.startswith("/") else _Remote(address, tls, limit)


class _Remote:
    """Calls by the docker package, which knows TLS and ssh."""

    def __init__(self, address: str, tls: docker.TLSConfig | None, limit: float) -> None:
        import docker
        from docker.constants import DEFAULT_DOCKER_API_VERSION
        from docker.utils import kwargs_from_env

        self._limit = limit
        # The version is settled by `negotiate`; naming one here keeps the constructor from calling the engine.
        self._client = docker.APIClient(
            address,
            DEFAULT_DOCKER_API_VERSION,
            limit,  # type: ignore[arg-type]  # seconds as a float work; the stubs say int
            tls or kwargs_from_env().get("tls") or False,
        )
        self._endless: urllib3.HTTPResponse | None = None
        self._closed = False
        self.pid: int | None = None  # of another machine's engine nobody knows it

    @contextlib.contextmanager
    def get(self, target: str, wait: float | None) -> Iterator[urllib3.HTTPResponse]:
        """As `UnixHttp.get`."""
        answer = self._client.get(f"{self._client.base_url}{target}", stream=True, timeout=(self._limit, wait))
        response: urllib3.HTTPResponse = answer.raw
        try:
            if wait is None:
                self._endless = response
            if not self._closed:
                yield response
        finally:
            response.close()

    def close(self) -> None:
        """As `UnixHttp.close`."""
        self._closed = True
        connection = self._endless.connection if self._endless else None
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        self._client.close()


def _context() -> tuple[str | None, docker.TLSConfig | None]:
    """(address, TLS settings) of the docker context in use; (None, None) for the default one."""
    name = os.environ.get("DOCKER_CONTEXT") or _current_context()
    if not name or name == "default":
        return None, None
    from docker.context import ContextAPI

    context = ContextAPI.get_context(name)
    if context is None or not context.Host:
        raise EngineError(f"the docker context {name!r} does not exist", "docker context ls")
    return context.Host, context.TLSConfig


def _current_context() -> str | None:
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    try:
        config = json.loads(Path(folder, "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    name = config.get("currentContext") if isinstance(config, dict) else None
    return name if isinstance(name, str) else None


# --- in plain words ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _told(api: EngineApi) -> Iterator[None]:
    """Turns whatever the docker package, requests, urllib3 or a context file raise into EngineError."""
    try:
        yield
    except (EngineError, GeneratorExit):
        raise
    except (ValueError, RecursionError) as error:
        raise _explained(api, error) or EngineError(
            f"the answer of {api.address} is not a container engine's"
        ) from error
    except Exception as error:
        raise _explained(api, error) or EngineError(
            f"the engine on {api.address} cannot be asked: {_first_line(error)}",
            "is the address right? docker context ls",
        ) from error


def _explained(api: EngineApi, error: BaseException) -> EngineError | None:
    running = "is dockerd running? systemctl status docker"
    for cause in _causes(error):
        if isinstance(cause, TimeoutError) or "timeout" in type(cause).__name__.lower():
            return _too_late(api)
        number = cause.errno if isinstance(cause, OSError) else None
        if number in (errno.EACCES, errno.EPERM):
            return EngineError(f"no permission to use {api.address}", "run with sudo, or join group docker")
        if number in (errno.ENOENT, errno.ENOTDIR):
            return EngineError(f"there is no Docker engine on {api.address}", "is dockerd running? or set DOCKER_HOST")
        if number == errno.ECONNREFUSED:
            return EngineError(f"the Docker engine refuses connections on {api.address}", running)
        if number in (errno.ECONNRESET, errno.EPIPE) or type(cause).__name__ in _CUT_OFF:
            return EngineError(f"the Docker engine on {api.address} cut its answer off", running)
    return None


_CUT_OFF = ("RemoteDisconnected", "IncompleteRead", "ProtocolError", "ChunkedEncodingError", "BadStatusLine")


def _too_late(api: EngineApi) -> EngineError:
    return EngineError(
        f"the Docker engine does not answer on {api.address} within {api.limit:g} s",
        "is dockerd running? systemctl status docker",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it wraps, innermost first: the outer ones only say that something went wrong."""
    seen: list[BaseException] = []
    queue: list[BaseException] = [error]
    while queue and len(seen) < 20:
        one = queue.pop(0)
        if one in seen:
            continue
        seen.append(one)
        queue += [
            inner
            for inner in (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
            if isinstance(inner, BaseException)
        ]
    return reversed(seen)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
