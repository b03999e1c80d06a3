"""What can be wrong between netdash and an engine: one type of error, and its sentences. Calls nobody."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Failure, FailureKind
from netdash.model.records import dataclass
from netdash.model.source import Source

if TYPE_CHECKING:
    import ssl

_RUNNING = "is dockerd running? systemctl status docker"
_TLS_FILES = "DOCKER_CERT_PATH names the folder of ca.pem, cert.pem and key.pem"
_PLAIN_HTTP = "for plain HTTP: tcp:// without DOCKER_TLS_VERIFY"
_USE_TLS = "DOCKER_TLS_VERIFY=1, with the files' folder in DOCKER_CERT_PATH"
_CUT_OFF = ("RemoteDisconnected", "IncompleteRead", "ProtocolError", "ChunkedEncodingError")
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
)
_MOST = 200  # characters of another program's words


class EngineError(NetdashError):
    """The engine could not be asked, or did not answer as an engine does."""

    kind = FailureKind.OTHER

    def __init__(self, reason: str, remedy: str = "", code: Exit = Exit.UNREADABLE) -> None:
        super().__init__(reason, remedy, code)

    @property
    def failure(self) -> Failure:
        return Failure(Source.DOCKER, self.message, self.hint, self.kind)


class EngineGone(EngineError):  # noqa: N818  # it is what happened
    """No answer: nothing is known of what the engine did with the last call."""


class EngineAbsent(EngineGone):
    """Nothing is at the engine's address."""

    kind = FailureKind.NO_ENGINE


class EngineLate(EngineGone):
    """No answer in time."""


class Refused(EngineError):  # noqa: N818
    """An answer with an HTTP status that says no: the engine's own, or that of a proxy before it, which says nothing of
    the engine. `path`: what was asked for."""

    def __init__(self, address: str, path: str, status: int, words: str, proxy: bool, code: Exit) -> None:
        self.address = address
        self.path = path
        self.status = status
        self.words = words
        self.proxy = proxy
        super().__init__(*_sentences([self]), code)


def refused(address: str, path: str, status: int, body: bytes, code: Exit) -> EngineError:
    """The error for a status of 300 and more. An engine explains itself in JSON; other words are a proxy's."""
    if status == 400 and b"HTTPS" in body:
        return EngineGone(f"{address} speaks TLS, and was asked in plain HTTP", _USE_TLS, code)
    try:
        return Refused(address, path, status, one_line(str(json.loads(body)["message"])), False, code)
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    import html  # rarely needed, and the first rows wait for this module

    words = html.unescape(re.sub(r"<[^<>]*>", " ", body[:4096].decode("utf-8", "replace")))
    return Refused(address, path, status, one_line(words).removeprefix(f"{status} "), True, code)


@dataclass(frozen=True, slots=True)
class Joint:
    """Errors of several questions that say the same; `first`: the name of the first question."""

    first: str
    reason: str
    remedy: str


def joint(errors: Mapping[str, EngineError]) -> list[Joint]:
    """The errors in groups: what one proxy refuses in the same words is one group."""
    groups: dict[tuple[object, ...], list[tuple[str, EngineError]]] = {}
    for name, error in errors.items():
        key = (error.status, error.words) if isinstance(error, Refused) and error.proxy else (name,)
        groups.setdefault(key, []).append((name, error))
    return [Joint(group[0][0], *_sentences([error for _, error in group])) for group in groups.values()]


def _sentences(group: list[EngineError]) -> tuple[str, str]:
    """(reason, remedy) of errors that say the same."""
    first = group[0]
    if not isinstance(first, Refused):
        return first.message, first.hint
    if not first.proxy:
        return f"the engine on {first.address} answers {first.status}: {first.words}", ""
    paths = [error.path for error in group if isinstance(error, Refused)]
    verb = "is" if len(paths) == 1 else "are"
    reason = f"{' and '.join(paths)} {verb} refused with {first.status} by a proxy before the engine on {first.address}"
    if first.words:
        reason += f": {first.words}"
    sections = {path.strip("/").partition("/")[0].upper() for path in paths}
    allow = " ".join(f"{section}=1" for section in sorted(sections) if section.isalpha())
    return reason, f"docker-socket-proxy allows it with {allow}" if allow and first.status == 403 else ""


def late(address: str, limit: float, code: Exit) -> EngineLate:
    return EngineLate(f"the Docker engine does not answer on {address} within {limit:g} s", _RUNNING, code)


def explained(address: str, error: BaseException, limit: float, code: Exit) -> EngineError:
    """What the docker package, requests, urllib3 or the kernel raised, in plain words."""
    import ssl  # loaded by then; the first rows do not wait for it

    for cause in _causes(error):
        found = _of_tls(address, cause, code) if isinstance(cause, ssl.SSLError) else None
        found = found or _of_connection(address, cause, limit, code)
        if found:
            return found
    if isinstance(error, ValueError | RecursionError):
        return EngineGone(f"the answer of {address} is not a container engine's", "", code)
    reason = one_line(str(error)) or type(error).__name__
    return EngineGone(
        f"the engine on {address} cannot be asked: {reason}", "is the address right? docker context ls", code
    )


def _of_tls(address: str, error: ssl.SSLError, code: Exit) -> EngineError | None:
    """The errno of an SSLError is OpenSSL's own, not the kernel's."""
    import ssl

    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"{error.verify_message} (CERTIFICATE_VERIFY_FAILED)"
        return EngineGone(f"TLS: the certificate of {address} is not trusted: {why}", _TLS_FILES, code)
    if isinstance(error, TimeoutError):
        return None
    if reason in _NOT_TLS:
        return EngineGone(f"TLS: {address} does not speak TLS ({reason})", _PLAIN_HTTP, code)
    if isinstance(error, ssl.SSLEOFError):
        message = f"TLS: {address} hung up: it does not speak TLS, or does not accept netdash's certificate"
        return EngineGone(message, f"{_PLAIN_HTTP}; {_TLS_FILES}", code)
    if "ALERT" in reason:
        return EngineGone(f"TLS: {address} does not accept netdash's certificate ({reason})", _TLS_FILES, code)
    return EngineGone(f"TLS: no connection to {address} ({reason or one_line(str(error))})", _TLS_FILES, code)


def _of_connection(address: str, error: BaseException, limit: float, code: Exit) -> EngineError | None:
    import socket
    import ssl

    name = type(error).__name__
    if isinstance(error, TimeoutError) or "timeout" in name.lower():
        return late(address, limit, code)
    if isinstance(error, socket.gaierror):
        return EngineGone(f"the name of {address} cannot be resolved: {error.strerror}", "is the address right?", code)
    number = error.errno if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    if number in (errno.EACCES, errno.EPERM):
        return EngineGone(f"no permission to use {address}", "run with sudo, or join group docker", code)
    if number in (errno.ENOENT, errno.ENOTDIR):
        return EngineAbsent(f"there is no Docker engine on {address}", "is dockerd running? or set DOCKER_HOST", code)
    if number == errno.ECONNREFUSED:
        return EngineGone(f"the Docker engine refuses connections on {address}", _RUNNING, code)
    if number in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return EngineGone(f"{address} cannot be reached: {one_line(str(error))}", "is the address right?", code)
    plain = address.startswith(("tcp://", "http://"))
    perhaps_tls = f"it may speak TLS: {_USE_TLS}"
    if name == "BadStatusLine":
        return EngineGone(f"what answers on {address} does not speak HTTP", perhaps_tls if plain else "", code)
    if number in (errno.ECONNRESET, errno.EPIPE) or name in _CUT_OFF:
        message = f"the Docker engine on {address} cut its answer off"
        return EngineGone(message, f"{_RUNNING}; or {perhaps_tls}" if plain else _RUNNING, code)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it wraps, innermost first: the outer ones only say that something went wrong."""
    seen: list[BaseException] = []
    queue: list[BaseException] = [error]
    while queue and len(seen) < 20:
        outer = queue.pop(0)
        if outer in seen:
            continue
        seen.append(outer)
        queue += [
            inner
            for inner in (outer.__cause__, outer.__context__, getattr(outer, "reason", None), *outer.args)
            if isinstance(inner, BaseException)
        ]
    return reversed(seen)


def one_line(text: str) -> str:
    return " ".join(text.split())[:_MOST]
