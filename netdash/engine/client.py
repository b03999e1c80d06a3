"""The one client of an engine: the docker package's, with a limit of time and of bytes for every answer. Knows how to
ask, decides nothing about containers.

The answers are not read by the package's own methods, because those read any number of bytes for any time."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from netdash.engine.context import Endpoint, Tls, locate, usual_sockets
from netdash.engine.errors import EngineError, EngineGone, Refused, explained, late, refused
from netdash.engine.log import asked
from netdash.model.errors import Exit

if TYPE_CHECKING:
    import docker
    import requests
    import urllib3

MAX_ANSWER = 64 << 20  # bytes of one answer
MAX_EVENT = 1 << 20  # bytes of one event
_CHUNK = 1 << 16
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_AS_IT_WAS = 304  # of a start or a stop: it runs, or is stopped, already
_FALLBACK = ("1.44", "1.40")  # versions that engines since 2019 take between them, for a proxy that tells none

_EVENTS = (
    "create start die stop pause unpause rename destroy restart health_status connect disconnect remove update".split()
)
"""`kill` and `exec_*` are left out: they change nothing that is shown, and health checks send them all the time."""


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class EngineClient:
    """One engine at one address; every call ends within `limit` seconds and `MAX_ANSWER` bytes.

    `option` is --docker-host, None for what the docker command would use. Every error is an EngineError with the exit
    code `code`. For one thread, but for `events` and `lines`."""

    def __init__(self, option: str | None, limit: float, code: Exit = Exit.UNREADABLE) -> None:
        endpoint = locate(option)
        self.address = endpoint.address
        self.socket = endpoint.socket
        self.local = self.socket is not None
        self.limit = limit
        self.since: int | None = None  # the engine's clock at the latest answer, in seconds
        self.api: tuple[int, ...] = ()
        self._named = endpoint.named
        self._code = code
        self._prefix = ""
        self._podman = False
        self._endless: urllib3.BaseHTTPResponse | None = None
        self._closed = False
        if endpoint.ssh:
            raise EngineError(f"{self.address} is another host", f"netdash --host {self.address}", code)
        with self._explained():
            self._client = _session(endpoint, limit)
            if endpoint.socket is not None:
                _mount(self._client, endpoint.socket, limit)

    # --- asking -------------------------------------------------------------------------------------------------------

    def get(self, path: str, **params: str | int) -> Any:
        """The decoded answer. Raises EngineError."""
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **params: str) -> Any:
        return self.call("POST", path, body, params)

    def delete(self, path: str, **params: str) -> Any:
        return self.call("DELETE", path, params=params)

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str | int] | None = None,
        limit: float | None = None,
    ) -> Any:
        """The decoded answer, None for an empty one. Raises Refused, EngineGone and EngineError."""
        self.negotiate()
        answer = self._ask(method, f"{self._prefix}{path}", body, params, limit or self.limit)
        if not answer.body.strip():
            return None
        with self._explained():
            return json.loads(answer.body)

    def ping(self) -> None:
        """Raises EngineError when the engine does not answer, or refuses."""
        self._ask("GET", f"{self._prefix}/_ping")

    def events(self, since: int | None = None) -> Iterator[Mapping[str, object]]:
        """Events of containers and networks from `since` on, in seconds of the engine's own clock, without end.

        Raises EngineError; ends when the engine closes the stream."""
        self.negotiate()
        filters: dict[str, list[str]] = {"type": ["container", "network"]}
        if not self._podman:  # its own words differ: "died", "remove"
            filters["event"] = list(_EVENTS)
        params = {"filters": json.dumps(filters), **({} if since is None else {"since": str(since)})}
        return self.lines("GET", "/events", None, **params)

    def lines(self, method: str, path: str, limit: float | None, **params: str) -> Iterator[Mapping[str, object]]:
        """A stream of JSON objects, one a line; `limit` seconds between two of them, None for any time. Raises as
        `call`."""
        self.negotiate()
        question = asked("engine", method, path, "(a stream)")
        with question, self._explained(), self._sent(method, f"{self._prefix}{path}", None, params, limit) as response:
            if response.status_code >= 300:
                body = self._body(response.raw, time.monotonic() + self.limit)
                raise refused(self.address, path, response.status_code, body, self._code)
            self._endless = response.raw
            if not self._closed:
                yield from self._objects(response.raw)

    def close(self) -> None:
        """Also ends `lines` in another thread."""
        self._closed = True
        if self._endless is not None:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # it has ended by itself
                self._endless.shutdown()
        self._client.close()

    # --- the version --------------------------------------------------------------------------------------------------

    def negotiate(self) -> None:
        """Learn the engine's API version, which later calls use. A proxy may refuse any of these questions, and the
        paths without a version: the docker command works through those, too. Raises EngineError."""
        if self._prefix:
            return
        first: Refused | None = None
        for path, meant in _questions():
            try:
                answer = self._ask("GET", path)
            except Refused as error:
                first = first or error
                continue
            number = self._number(answer, path) or meant
            if number:
                self._prefix = f"/v{number}"
                self.api = tuple(int(part) for part in number.split("."))
                return
        raise first or self._no_engine()

    def _number(self, answer: _Answer, path: str) -> str | None:
        self._podman = any(name.lower().startswith("libpod") for name in answer.headers) or self._podman
        number: object = answer.headers.get("Api-Version")
        if path.endswith("/version"):
            with self._explained():
                version = json.loads(answer.body)
            if not isinstance(version, dict):
                raise self._no_engine()
            self._podman = "podman" in json.dumps(version.get("Components")).lower() or self._podman
            number = number or version.get("ApiVersion")
            if not _is_version(number):
                raise self._no_engine()
        return str(number) if _is_version(number) else None

    def _no_engine(self) -> EngineGone:
        return EngineGone(f"what answers on {self.address} is not a container engine", "", self._code)

    # --- one exchange -------------------------------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str | int] | None = None,
        limit: float | None = None,
    ) -> _Answer:
        limit = limit or self.limit
        end = time.monotonic() + limit
        question = asked("engine", method, target, *(f"{name}={value}" for name, value in (params or {}).items()))
        with question, self._explained(limit), self._sent(method, target, body, params, limit) as response:
            self.since = clock(response.headers.get("Date")) or self.since
            content = self._body(response.raw, end, limit)
            if response.status_code >= 300 and response.status_code != _AS_IT_WAS:
                path = target.removeprefix(self._prefix)
                raise refused(self.address, path, response.status_code, content, self._code)
            return _Answer(response.status_code, response.headers, content)
        raise AssertionError("unreachable: _explained raises whatever it stops")

    def _sent(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | None,
        params: Mapping[str, str | int] | None,
        limit: float | None,
    ) -> contextlib.closing[requests.Response]:
        response = self._client.request(
            method,
            f"{self._client.base_url}{target}",
            params=params,
            data=None if body is None else json.dumps(body).encode(),
            headers=None if body is None else {"Content-Type": "application/json"},
            timeout=(self.limit, limit),
            stream=True,
            allow_redirects=False,
            verify=self._client.verify,  # where it is not said, REQUESTS_CA_BUNDLE takes the place of ca.pem
        )
        return contextlib.closing(response)

    def _body(self, raw: urllib3.BaseHTTPResponse, end: float, limit: float | None = None) -> bytes:
        body = bytearray()
        while chunk := raw.read1(_CHUNK):
            body += chunk
            if len(body) > MAX_ANSWER:
                message = f"the engine on {self.address} answers with more than {MAX_ANSWER >> 20} MiB"
                raise EngineGone(message, "", self._code)
            if time.monotonic() > end:
                raise late(self.address, limit or self.limit, self._code)
        return bytes(body)

    def _objects(self, raw: urllib3.BaseHTTPResponse) -> Iterator[Mapping[str, object]]:
        rest = b""
        while chunk := raw.read1(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            if len(rest) > MAX_EVENT:
                raise EngineGone(
                    f"the engine on {self.address} sends an event of more than {MAX_EVENT >> 20} MiB", "", self._code
                )
            for line in whole:
                event = json.loads(line) if line.strip() else None
                if isinstance(event, dict):
                    yield event

    @contextlib.contextmanager
    def _explained(self, limit: float | None = None) -> Iterator[None]:
        """Turns whatever the docker package, requests, urllib3 or the kernel raise into EngineError."""
        try:
            yield
        except (EngineError, GeneratorExit):
            raise
        except Exception as error:
            found = explained(self.address, error, limit or self.limit, self._code)
            if isinstance(found, EngineGone) and not self._named:
                found.hint = _others() or found.hint
            raise found from error


def _questions() -> Iterator[tuple[str, str | None]]:
    """(path, API version to use where the answer names none), in the order to try them."""
    yield "/_ping", None
    yield "/version", None
    for number in _FALLBACK:
        for path in ("_ping", "version", "containers/json?limit=1"):
            yield f"/v{number}/{path}", number


def _is_version(value: object) -> bool:
    parts = value.split(".") if isinstance(value, str) else []
    return len(parts) == 2 and all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts)


def clock(date: str | None) -> int | None:
    """An answer's header Date as the engine's time in whole seconds: a remote engine's clock is not ours."""
    try:
        _, day, month, year, time_of_day, zone = (date or "").split()
        hour, minute, second = map(int, time_of_day.split(":"))
        answered = datetime(int(year), _MONTHS.index(month) + 1, int(day), hour, minute, min(second, 59), tzinfo=UTC)
        return int(answered.timestamp()) if zone == "GMT" else None
    except (ValueError, OverflowError):
        return None


def _session(endpoint: Endpoint, limit: float) -> docker.APIClient:
    from docker import APIClient
    from docker.constants import DEFAULT_DOCKER_API_VERSION

    # The version is settled by `negotiate`; naming one here keeps the constructor from calling the engine.
    client = APIClient(
        endpoint.address,
        DEFAULT_DOCKER_API_VERSION,
        limit,  # type: ignore[arg-type]  # seconds as a float work; the stubs say int
        _tls(endpoint.tls) if endpoint.tls and endpoint.socket is None else False,
    )
    client.headers["Accept-Encoding"] = "identity"  # a small answer must not unpack to a large one
    client.trust_env = endpoint.socket is None  # proxies of the environment, as the docker command takes them
    return client


def _mount(client: docker.APIClient, path: str, limit: float) -> None:
    """Let the client reach a unix socket."""
    from netdash.engine.unix_socket import Adapter

    client.mount("http+docker://", Adapter(path, limit))


def _tls(tls: Tls) -> docker.TLSConfig:
    import urllib3
    from docker import TLSConfig

    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # it would be written over the screen
    return TLSConfig(tls.cert, tls.ca, tls.verify)


def local(address: str, limit: float = 30.0) -> EngineClient:
    """The client for changes, with the exit code of a change that failed. Raises EngineError for an engine that is not
    on a socket of this machine."""
    if not address.startswith(("unix:///", "http+unix:///")):
        message = f"the engine on {address} is not on a socket of this machine"
        raise EngineError(message, "change it where it runs", Exit.REFUSED)
    return EngineClient(address, limit, Exit.REFUSED)


# --- sockets ----------------------------------------------------------------------------------------------------------


def _others() -> str:
    """What to do where nobody answers on the default socket, but somebody does on another usual one. It is named, not
    taken: what is shown must be the engine that the docker command shows."""
    found = [path for path in usual_sockets() if _is_socket(path)]
    if not found:
        return ""
    heard = next(filter(_accepts, found), None)
    path, does = (heard, "answers") if heard else (found[0], "may be")
    return f"an engine {does} on {path}: DOCKER_HOST=unix://{path}"


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _accepts(path: str) -> bool:
    """Whether somebody listens there; not tried on a socket of another user, who would be told that root came by."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.2)
        try:
            if os.stat(path).st_uid != os.geteuid():
                return False
            connection.connect(path)
        except OSError:
            return False
    return True
