"""The system's own ssh, and the collector at its other end. Owns where a host may be named and what ssh is told; parses
no answer, and never waits longer than its limits."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import secrets
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from netdash.core.errors import Exit, NetdashError
from netdash.core.model import Failure
from netdash.core.parse.collected import ASKED, parse
from netdash.core.recording import SOURCES, Recording
from netdash.read.command import find

CONNECT = 8  # seconds that ssh may take for a connection
LIMIT = 30.0  # seconds for one collection
MAX_STREAM = 64 << 20  # bytes of one collection
HOST = "host"  # the source that a failure of the whole host is told under, besides every other one

_CHUNK = 1 << 18
_ERRORS = 8 << 10  # bytes of ssh's complaints that are kept
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}"
_ADDRESS = re.compile(rf"ssh://(?:({_NAME})@)?({_NAME}|\[[0-9A-Fa-f:.]+(?:%{_NAME})?\])(?::([0-9]{{1,5}}))?/?")
_OPTIONS = (
    "-T",  # no terminal, so no message of the day and no echo
    "-a",
    "-x",
    *("-o", "BatchMode=yes"),  # a question for a password would wait for ever
    *("-o", f"ConnectTimeout={CONNECT}"),
    *("-o", "ServerAliveInterval=5"),
    *("-o", "ServerAliveCountMax=3"),
    *("-o", "ClearAllForwardings=yes"),
    *("-o", "PermitLocalCommand=no"),
    *("-o", "RemoteCommand=none"),
    *("-o", "ControlMaster=no"),  # a session of netdash ends with netdash, and starts no master that stays
)


@dataclass(frozen=True, slots=True)
class Address:
    """A host to reach by ssh; `name` is what it is called on screen."""

    name: str
    host: str
    user: str | None = None
    port: int | None = None

    def argv(self, ssh: str) -> list[str]:
        """One ssh to a shell that reads commands; the user's own config counts for all that is not said here."""
        return [
            ssh,
            *_OPTIONS,
            *(["-l", self.user] if self.user else []),
            *(["-p", str(self.port)] if self.port else []),
            "--",
            self.host,
            "exec sh",
        ]


def address(text: str) -> Address:
    """`ssh://[USER@]HOST[:PORT]`; HOST may be a name of ~/.ssh/config. Raises NetdashError(USAGE)."""
    found = _ADDRESS.fullmatch(text)
    port = int(found[3]) if found and found[3] else None
    if found is None or (port is not None and not 0 < port < 65536):
        raise NetdashError(f"{text[:200]!r} is not a host", "ssh://user@host, ssh://host:2222, or local", Exit.USAGE)
    name = text.removeprefix("ssh://").rstrip("/")
    return Address(name, found[2].strip("[]"), found[1], port)


def collector() -> str:
    """The script's functions, which do nothing by themselves, with the program that lists sockets where Python is."""
    script, program = (Path(__file__).with_name(name).read_text("utf-8") for name in ("collect.sh", "sockets.py"))
    return f"{script}\n# shellcheck disable=SC2016 # Python's own $\nsockets={shlex.quote(program)}\n"


def script() -> str:
    """The whole script, for a host that one can only reach by hand."""
    return f'{collector()}\ncollect "$$.$(date +%s)" {" ".join(ASKED)}\n'


class HostError(Exception):
    """The host could not be asked, in one line, and what can be done."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class Session:
    """One ssh process with a shell at its other end, which is asked again and again over the same connection. When its
    input ends, so does the shell. `docker_host`: as DOCKER_HOST, seen from there. For one thread, but for `kill`."""

    def __init__(self, where: Address, docker_host: str | None = None) -> None:
        self.over = False  # whether it can be asked no more
        self._where = where
        self._errors = bytearray()
        path = find("ssh")
        if path is None:
            raise HostError("ssh is not installed", "install openssh-client")
        try:
            self._process = subprocess.Popen(
                where.argv(path),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C in the terminal is netdash's to handle
            )
        except OSError as error:
            raise HostError(f"ssh cannot be run: {error.strerror or error}") from error
        atexit.register(self.kill)
        settings = f"DOCKER_HOST={shlex.quote(docker_host)}\nexport DOCKER_HOST\n" if docker_host else ""
        self._unsent = (settings + collector() + "\n").encode()

    def ask(self, sources: Sequence[str], limit: float = LIMIT) -> Recording:
        """What the host says of these sources. Raises HostError; a stream that breaks off is a recording of what
        came before."""
        mark = secrets.token_hex(8)
        self._unsent += f"collect {mark} {' '.join(sources)}\n".encode()
        received = bytearray()
        self.over = True
        trouble = self._exchange(received, f"\n={mark} done\n".encode(), limit)
        self.over = trouble is not None
        if trouble and len(received) > MAX_STREAM:
            raise trouble  # to read what so many bytes say would take many times their memory
        text = received.decode("utf-8", "replace")
        received.clear()
        try:
            return replace(parse(text, mark), live=True)
        except NetdashError:
            raise trouble or HostError(_no_shell(text), f"is there a POSIX shell? ssh {self._where.name}") from None

    def kill(self) -> None:
        """Ends the process and takes its status. May be called by any thread, and twice."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)  # with what it runs to get through another host
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)

    def close(self) -> None:
        """For the thread that asks."""
        self.kill()
        atexit.unregister(self.kill)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _exchange(self, received: bytearray, end: bytes, limit: float) -> HostError | None:
        """Sends what is unsent and reads until `end`; what kept it from coming, if something did."""
        process = self._process
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise AssertionError("the pipes were asked for")
        until = time.monotonic() + limit
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdin, selectors.EVENT_WRITE)
            ready.register(process.stdout, selectors.EVENT_READ)
            ready.register(process.stderr, selectors.EVENT_READ)
            while process.stdout in {key.fileobj for key in ready.get_map().values()}:
                left = until - time.monotonic()
                if left <= 0:
                    return HostError(f"did not answer within {limit:g} s", "is it busy, or the line slow?")
                for key, _ in ready.select(left):
                    if key.fileobj is process.stdin:
                        self._send(ready)
                    elif not self._receive(key.fd, received if key.fileobj is process.stdout else None):
                        ready.unregister(key.fileobj)
                if end in received[-_CHUNK:]:
                    return None
                if len(received) > MAX_STREAM:
                    return HostError(f"sent more than {MAX_STREAM >> 20} MiB")
        return self._ended()

    def _send(self, ready: selectors.BaseSelector) -> None:
        stdin = self._process.stdin
        if stdin is None:
            return
        try:
            self._unsent = self._unsent[os.write(stdin.fileno(), self._unsent[:4096]) :]
        except OSError:
            self._unsent = b""  # ssh has gone: its own words say why
        if not self._unsent:
            ready.unregister(stdin)

    def _receive(self, fd: int, received: bytearray | None) -> bool:
        chunk = os.read(fd, _CHUNK)
        if received is not None:
            received += chunk
        else:
            self._errors = (self._errors + chunk)[-_ERRORS:]
        return bool(chunk)

    def _ended(self) -> HostError:
        try:
            status = self._process.wait(2)
        except subprocess.TimeoutExpired:
            status = 0
        if self._process.stderr:
            os.set_blocking(self._process.stderr.fileno(), False)
            with contextlib.suppress(OSError):
                self._errors += os.read(self._process.stderr.fileno(), _ERRORS)
        return explained(self._errors.decode("utf-8", "replace"), status, self._where.name)


def explained(errors: str, status: int, name: str) -> HostError:
    """Why ssh ended, in its own last words, and what can be done about it."""
    lines = [line.strip() for line in errors.replace("\r", "\n").split("\n") if line.strip()]
    told = [line for line in lines if any(words in line for words, _ in _REMEDIES)] or lines
    reason = told[-1][:200].removeprefix("ssh: ") if told else f"ssh ended with status {status}"
    remedy = next((hint for words, hint in _REMEDIES if words in reason), "")
    return HostError(reason, remedy.replace("HOST", name))


_REMEDIES = (
    ("Permission denied", "netdash cannot type a password: give it a key (ssh-copy-id HOST) or an agent"),
    ("Host key verification failed", "log in once by hand and look at its key: ssh HOST"),
    ("Too many authentication failures", "name the right key in ~/.ssh/config: IdentitiesOnly yes"),
    ("Could not resolve hostname", "is the name right?"),
    ("Connection refused", "is sshd running there, on that port?"),
    ("timed out", "is the host up, and the way to it open?"),
    ("No route to host", "is the host up, and the way to it open?"),
    ("Network is unreachable", "is this host's own network up?"),
    ("not found", "a POSIX shell is needed there"),
)


def _no_shell(text: str) -> str:
    """What came instead of the collector's answer."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"no answer of the collector, but {lines[0][:100]!r}" if lines else "no answer of the collector"


# --- recordings -------------------------------------------------------------------------------------------------------


def read_remote(where: Address, sources: frozenset[str], docker_host: str | None, limit: float = LIMIT) -> Recording:
    """One recording for one command. Never raises: a host that cannot be asked is one of which everything failed."""
    wanted = [source for source in ASKED if source in sources or (source == ASKED[-1] and "docker" in sources)]
    began = time.time()
    try:
        session = Session(where, docker_host)
    except HostError as error:
        return unreachable(where, error, began)
    try:
        return session.ask(wanted, limit)
    except HostError as error:
        return unreachable(where, error, began)
    finally:
        session.close()


def unreachable(where: Address, error: HostError, taken: float) -> Recording:
    return Recording(answers={}, failures=failures(error), taken=taken, hostname=where.name, live=True)


def failures(error: HostError) -> dict[str, Failure]:
    """The host's, and the same for every source."""
    return {source: Failure(source, error.reason, error.remedy) for source in (HOST, *SOURCES)}
