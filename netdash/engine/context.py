"""Where the engine is, by the rules of the docker command, and which process answers there. Changes nothing.

The docker package finds no context where there is no config.json, and takes one for TLS only where all of its files
are there: the command asks for neither, so the few files are read here."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Mapping

from netdash.bundle.archive import read_regular
from netdash.engine.errors import EngineError
from netdash.model.records import dataclass
from netdash.parse.json_values import load_json

DEFAULT = "unix:///var/run/docker.sock"
_MAX_CONFIG = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Tls:
    """Files by their paths; `verify`: whether the engine's certificate is checked."""

    verify: bool
    ca: str | None = None
    cert: tuple[str, str] | None = None  # certificate and key


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`named`: whether somebody chose this address; False for the default socket."""

    address: str
    tls: Tls | None = None
    named: bool = True

    @property
    def socket(self) -> str | None:
        """Path of a unix socket; None for an address of another kind."""
        scheme, found, path = self.address.partition("://")
        return f"/{path.lstrip('/')}" if found and scheme in ("unix", "http+unix") else None

    @property
    def ssh(self) -> tuple[tuple[str], str | None] | None:
        """(names of hosts as --host takes them, the engine's address seen from there or None for its default one) of an
        engine on another host, over ssh."""
        scheme, _, rest = self.address.partition("://")
        host, slash, path = rest.partition("/")
        return ((f"ssh://{host}",), f"unix:///{path}" if slash and path else None) if scheme == "ssh" else None


def locate(option: str | None) -> Endpoint:
    """The engine that the docker command would use: `option` is --docker-host, then DOCKER_HOST, DOCKER_CONTEXT, the
    current context and the default socket count, in that order. Raises EngineError."""
    address = (option or os.environ.get("DOCKER_HOST") or "").strip()
    if address and address != "unix://":
        return Endpoint(address if "://" in address else f"tcp://{address}", _tls_of_environment())
    name = "" if address else os.environ.get("DOCKER_CONTEXT") or _current_context()
    if name and name != "default":
        return _context(name)
    return Endpoint(DEFAULT, named=False)


def _folder() -> str:
    return os.environ.get("DOCKER_CONFIG") or _of_home(".docker")


def _of_home(name: str) -> str:
    """Never below the current folder, whoever's that is: a user without a home has none below the root either."""
    return os.path.join("/", os.path.expanduser(f"~/{name}"))


def _tls_of_environment() -> Tls | None:
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not verify and not os.environ.get("DOCKER_TLS"):
        return None
    return _files(os.environ.get("DOCKER_CERT_PATH") or _folder(), verify)


def _files(folder: str, verify: bool) -> Tls:
    ca, cert, key = (f"{folder}/{name}" for name in ("ca.pem", "cert.pem", "key.pem"))
    pair = (cert, key) if os.path.isfile(cert) and os.path.isfile(key) else None
    return Tls(verify, ca if os.path.isfile(ca) else None, pair)


def _current_context() -> str:
    """ "" also where the file cannot be read: the docker command warns, and takes its default."""
    try:
        name = _json(f"{_folder()}/config.json").get("currentContext")
    except (OSError, ValueError):
        return ""
    return name if isinstance(name, str) else ""


def _context(name: str) -> Endpoint:
    import hashlib  # only where there is a context

    identity = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    contexts = f"{_folder()}/contexts"
    path = f"{contexts}/meta/{identity}/meta.json"
    try:
        endpoints = _json(path).get("Endpoints")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise EngineError(f"the docker context {name!r} does not exist", "docker context ls") from error
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise EngineError(f"the docker context {name!r} cannot be read: {path}: {reason}") from error
    engine = endpoints.get("docker") if isinstance(endpoints, dict) else None
    host = engine.get("Host") if isinstance(engine, dict) else None
    if not isinstance(engine, dict) or not isinstance(host, str) or not host:
        raise EngineError(f"the docker context {name!r} names no engine", "docker context ls")
    folder = f"{contexts}/tls/{identity}/docker"
    skip = engine.get("SkipTLSVerify") is True
    return Endpoint(host, _files(folder, not skip) if skip or os.path.isdir(folder) else None)


def _json(path: str) -> Mapping[str, object]:
    """Raises OSError and ValueError."""
    found = load_json(read_regular(path, _MAX_CONFIG).decode("utf-8"))
    return found if isinstance(found, dict) else {}


# --- engines on other sockets -----------------------------------------------------------------------------------------


def usual_sockets() -> tuple[str, ...]:
    """Sockets beside the default one where rootless Docker, Podman and Docker in a virtual machine usually listen."""
    user = os.environ.get("SUDO_UID") or str(os.getuid())
    run = [os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}", f"/run/user/{user}"]
    found = [f"{folder}/{name}" for folder in run for name in ("docker.sock", "podman/podman.sock")]
    inner = (".docker/run/docker.sock", ".docker/desktop/docker.sock", ".colima/default/docker.sock")
    found += ["/run/podman/podman.sock", *map(_of_home, inner)]
    return tuple(dict.fromkeys(found))


# --- which process answers on the engine's socket, and as whom: told by the kernel, by no name ------------------------

_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST = 1  # NLM_F_REQUEST
_SHOW_PEER = 4  # UDIAG_SHOW_PEER
_PEER = 2  # UNIX_DIAG_PEER
_NLMSGHDR = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=BBBBIII")  # struct unix_diag_msg
_NO_COOKIE = 0xFFFFFFFF
_INIT = 1
_PING = b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n"


@dataclass(frozen=True, slots=True)
class EnginePeer:
    """`pid`: of the process, None where it is not known. `uid`: the one under which the socket was made."""

    pid: int | None
    uid: int


def engine_peer(path: str, limit: float) -> EnginePeer | None:
    """Who answers on a unix socket; None where nobody does. SO_PEERCRED tells who called listen(2): the engine, or
    init where systemd made the socket. Then the engine is who holds the other end, which only root sees."""
    import socket  # not on the way to the first frame

    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(limit)
        try:
            connection.connect(path)
            pid, uid, _ = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if pid == _INIT:
                connection.sendall(_PING)
                connection.recv(1)  # before it accepts a connection, nobody holds the other end
                return EnginePeer(_holder(_other_end(os.fstat(connection.fileno()).st_ino)), uid)
        except (OSError, struct.error):
            return None
    return EnginePeer(pid if pid > _INIT else None, uid)


def engine_pid(path: str | None, limit: float) -> int | None:
    """Of the process of an engine on this unix socket; None for one that is not on any, or where it is not known."""
    peer = engine_peer(path, limit) if path else None
    return peer.pid if peer is not None else None


def _other_end(inode: int) -> int | None:
    """The inode of the socket that a connected unix socket leads to. Raises OSError and struct.error."""
    import socket

    request = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, _NO_COOKIE, inode, _SHOW_PEER, _NO_COOKIE, _NO_COOKIE)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as link:
        link.settimeout(1.0)
        link.send(_NLMSGHDR.pack(_NLMSGHDR.size + len(request), _BY_FAMILY, _REQUEST, 1, 0) + request)
        answer = link.recv(1 << 14)
    size, kind, *_ = _NLMSGHDR.unpack_from(answer)
    at = _NLMSGHDR.size + _MESSAGE.size
    while kind == _BY_FAMILY and at + 8 <= min(size, len(answer)):
        length, attribute, value = struct.unpack_from("=HHI", answer, at)
        if attribute == _PEER:
            return int(value) or None
        at += max(4, length + 3 & ~3)
    return None


def _holder(inode: int | None) -> int | None:
    """The only process that has this socket open; None where there are several, or they may not be looked at."""
    if inode is None:
        return None
    pids = {int(name) for name in os.listdir("/proc") if name.isdigit()} - {os.getpid()}
    found = {pid for pid in pids if _holds(pid, f"socket:[{inode}]")}
    return found.pop() if len(found) == 1 else None


def _holds(pid: int, link: str) -> bool:
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{name}") == link:
                    return True
    return False
