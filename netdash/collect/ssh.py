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
import threading
import time
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import IO

from netdash.bundle.collector_parts import Parts
from netdash.bundle.collector_stream import ASKED, TRACE, parse
from netdash.bundle.recording import Recording
from netdash.collect.command import find
from netdash.collect.ssh_reason import HostError, explained
from netdash.engine.log import asked
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Failure
from netdash.model.records import dataclass, replace
from netdash.model.source import SOURCES, Options, Source, commands

CONNECT = 8  # seconds that ssh may take for a connection
LIMIT = 30.0  # seconds for one collection
MAX_STREAM = 64 << 20  # bytes of one collection
MAX_STARTING = 8  # sessions that are not logged in yet, at a time: sshd drops some of more than ten (MaxStartups)
DROPS = 6  # times that a host is asked again at once after its sshd dropped the connection
ENGINE = Source.DOCKER  # the source that events tell of
HOST = "host"  # the source that a failure of the whole host is told under, besides every other one

_starting = threading.BoundedSemaphore(MAX_STARTING)
_CHUNK = 1 << 18
_ERRORS = 8 << 10  # bytes of ssh's complaints that are kept
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}"
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
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
    *("-o", "Compression=yes"),  # a tenth of the bytes
    *("-o", "ControlMaster=no"),  # a session of netdash ends with netdash, and starts no master that stays
)


# Any login shell takes these: a restricted one knows no exec, and fish and tcsh have a syntax of their own.
_AS_ROOT = "sh -c 'sudo -n true </dev/null && exec sudo -n sh; exec sh'"


@dataclass(frozen=True, slots=True)
class Address:
    """A host to reach by ssh; `name` is what it is called on screen."""

    name: str
    host: str
    user: str | None = None
    port: int | None = None
    sudo: bool = False  # whether to become root there, where sudo asks for no password

    def argv(self, ssh: str, log: str) -> list[str]:
        """One ssh to a shell that reads commands; the user's own config counts for all that is not said here. `log`: a
        file for ssh's own words."""
        return [
            ssh,
            *_OPTIONS,
            *(["-E", log] if os.access(log, os.W_OK) else []),
            *(["-l", self.user] if self.user else []),
            *(["-p", str(self.port)] if self.port else []),
            "--",
            self.host,
            _AS_ROOT if self.sudo else "sh",
        ]

    def there(self, command: str) -> str:
        """A command line that runs another one on this host."""
        return f"ssh {self._words} {shlex.quote(f'sudo {command}' if self.sudo else command)}"

    def commands(self) -> dict[str, str]:
        """What a remedy tells to type."""
        name = f"[{self.host}]:{self.port}" if self.port else self.host
        return {
            "login": f"ssh {self._words}",
            "copy_key": f"ssh-copy-id {self._words}",
            "forget": f"ssh-keygen -R {shlex.quote(name)}",
        }

    @property
    def _words(self) -> str:
        target = f"{self.user}@{self.host}" if self.user else self.host
        return " ".join([*(["-p", str(self.port)] if self.port else []), target])


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
    script, program = (files(__package__).joinpath(name).read_text("utf-8") for name in ("collect.sh", "sockets.py"))
    asking = "".join(map(_asking, (Source.LINKS, Source.ROUTES, Source.NEIGHBOURS, Source.DROPS, Source.TRACE)))
    return f"{script}{asking}\n# shellcheck disable=SC2016 # Python's own $\nsockets={shlex.quote(program)}\n"


def _asking(source: Source) -> str:
    """The function that asks for all that commands print for a source."""
    name = "ask_trace" if source is Source.TRACE else f"read_{source}"
    lines = (
        f"    {f'! loaded {file.module} || ' if file.module else ''}ask {file.path} {shlex.join(file.command)}\n"
        for file in commands(source)
    )
    return f"\n{name}() {{\n{''.join(lines)}}}\n"


def script() -> str:
    """The whole script, for a host that one can only reach by hand."""
    return f'{collector()}\n{{ collect "$$.$(date +%s)" {" ".join((*ASKED, Source.DROPS, TRACE))}; }}\n'


class Session:
    """One ssh process with a shell at its other end, which is asked again and again over the same connection. When its
    input ends, so does the shell. `docker_host`: as DOCKER_HOST, seen from there. For one thread, but for `kill`."""

    def __init__(self, where: Address, docker_host: str | None = None) -> None:
        self.trouble: HostError | None = None  # why it can be asked no more
        self._where = where
        self._errors = bytearray()
        self._login_errors = bytearray()
        self._words = bytearray()
        self._events = False  # whether the engine there tells events
        path = find("ssh")
        if path is None:
            raise HostError("ssh is not installed", "install openssh-client")
        _starting.acquire()
        self._waits = True  # holds one of the places of those that are not logged in
        self._log, self._log_end = os.pipe()  # ssh opens it by its name in /proc: it keeps no descriptor open
        try:
            self._process = subprocess.Popen(
                where.argv(path, f"/proc/{os.getpid()}/fd/{self._log_end}"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C in the terminal is netdash's to handle
            )
        except OSError as error:
            self._started()
            os.close(self._log)
            os.close(self._log_end)
            raise HostError(f"ssh cannot be run: {error.strerror or error}") from error
        atexit.register(self.kill)
        settings = f"DOCKER_HOST={shlex.quote(docker_host)}\nexport DOCKER_HOST\n" if docker_host else ""
        self._unsent = f"{settings}{collector()}\nkeep=1\n".encode()
        self._mark = secrets.token_hex(8)
        self._parts = Parts(MAX_STREAM)

    def ask(self, sources: Sequence[str], limit: float = LIMIT) -> Recording:
        """What the host says of these sources. Raises HostError; a stream that breaks off is a recording of what
        came before, and leaves `trouble`."""
        with asked("ssh", str(self._where.name), *sources) as question:
            found = self._asked(sources, limit)
            question.problem = str(self.trouble or "")
        return found

    def _asked(self, sources: Sequence[str], limit: float) -> Recording:
        mark = self._mark
        self._unsent += f"collect {mark} {' '.join(sources)}\n".encode()
        received = bytearray()
        self.trouble = HostError("did not end")
        try:
            self.trouble = self._exchange(received, f"\n={mark} done\n".encode(), limit)
        finally:
            self._started()
        trouble = self.trouble
        if trouble and len(received) > MAX_STREAM:
            raise trouble  # to read what so many bytes say would take many times their memory
        text = received.decode("utf-8", "replace")
        received.clear()
        if ENGINE in sources:
            self._events = f"\n={mark} events " in text
        try:
            cut = trouble.reason if trouble else ""
            return replace(parse(text, mark, self._as_root(), cut, self._parts), live=True)
        except NetdashError as error:
            if f"netdash-collector 1 {mark}" in text:
                raise trouble or HostError(f"the collector's answer is damaged: {error}") from None
            raise trouble or HostError("no answer of the collector", f"is there a POSIX shell? {self._login}") from None

    def look_closely_at(self, first: Iterable[str], few: int | None) -> None:
        """When asked for TRACE: these containers before others, and at most so many. `first`: names, or beginnings of
        ids; what is neither is left out."""
        words = " ".join(sorted(word for word in first if _CONTAINER.fullmatch(word)))
        self._unsent += f"first={shlex.quote(words)}\nfew={few or ''}\n".encode()

    def changed(self, seconds: int, limit: float = LIMIT) -> bool | None:
        """Waits until the engine there tells of a change since it was last asked for everything, at most so long. None
        where it tells no events. Raises HostError."""
        if not self._events:
            return None
        mark = self._mark
        self._unsent += f"await {mark} {seconds}\n".encode()
        received = bytearray()
        self.trouble = self._exchange(received, f"\n={mark} done\n".encode(), seconds + limit)
        if self.trouble:
            raise self.trouble
        flag = bytes(received.partition(f"\n={mark} changed ".encode())[2][:1])
        return {b"1": True, b"0": False}.get(flag)

    @property
    def _login(self) -> str:
        return self._where.commands()["login"]

    def _as_root(self) -> str:
        """What helps where root is needed."""
        if not self._where.sudo:
            return "log in as root, or use sudo there: --sudo"
        lines = [line for line in self._login_errors.decode("utf-8", "replace").splitlines() if "sudo" in line]
        return f"sudo there: {lines[-1][:100]}" if lines else "sudo there gives no root"

    def _started(self) -> None:
        """Gives its place to another that is not logged in."""
        waited, self._waits = self._waits, False
        if waited:
            _starting.release()

    def kill(self) -> None:
        """Ends the process and takes its status. May be called by any thread, and twice."""
        if self._process.returncode is None:  # its number is its own until its status is taken, also when it has ended
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)  # with what it runs to get through another host
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)

    def close(self) -> None:
        """For the thread that asks."""
        self.kill()
        atexit.unregister(self.kill)
        for end in (self._log, self._log_end):
            with contextlib.suppress(OSError):
                os.close(end)
        self._log = self._log_end = -1
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
            ready.register(self._log, selectors.EVENT_READ)
            while process.stdout in {key.fileobj for key in ready.get_map().values()}:
                left = until - time.monotonic()
                if left <= 0:
                    return HostError(f"did not answer within {limit:g} s", "is it busy, or the line slow?")
                for key, _ in ready.select(left):
                    if key.fileobj is process.stdin:
                        self._send(ready)
                    elif not self._take(key.fd, received):
                        ready.unregister(key.fileobj)
                if end in received[-_CHUNK:]:
                    return None
                if len(received) > MAX_STREAM:
                    return HostError(f"sent more than {MAX_STREAM >> 20} MiB")
        return self._ended(received)

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

    def _take(self, fd: int, received: bytearray) -> bool:
        """Reads from one of ssh's outputs; whether there may be more."""
        if fd == self._log:
            return _receive(fd, self._words, _ERRORS)
        if fd == _fd(self._process.stderr):
            return _receive(fd, self._errors, _ERRORS)
        more = _receive(fd, received)
        if more and self._waits:  # what is at the other end talks: this is logged in, and what came before was a banner
            self._login_errors, self._errors = self._errors, bytearray()
        self._started()
        return more

    def _ended(self, received: bytearray) -> HostError:
        status = 0
        if _has_ended(self._process.pid, 2):
            self.kill()  # what it ran to get through another host may be there still
            status = self._process.returncode or 0
        for fd, kept in ((self._log, self._words), (_fd(self._process.stderr), self._errors)):
            os.set_blocking(fd, False)
            with contextlib.suppress(OSError):
                _receive(fd, kept, _ERRORS)
        log, errors = (kept.decode("utf-8", "replace") for kept in (self._words, self._errors))
        output = "" if b"netdash-collector" in received else received[-_ERRORS:].decode("utf-8", "replace")
        return explained(log, errors, output, status, self._where.commands())


def _has_ended(pid: int, seconds: float) -> bool:
    """Whether a child ends in this time. Its status is not taken."""
    until = time.monotonic() + seconds
    with contextlib.suppress(ChildProcessError):  # another thread took it
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
    return True


def _fd(pipe: IO[bytes] | None) -> int:
    return pipe.fileno() if pipe else -1


def _receive(fd: int, received: bytearray, most: int | None = None) -> bool:
    """Adds what came, of which the last `most` bytes are kept; whether there may be more."""
    chunk = os.read(fd, _CHUNK)
    received += chunk
    if most is not None:
        del received[:-most]
    return bool(chunk)


# --- recordings -------------------------------------------------------------------------------------------------------


def read_remote(where: Address, options: Options) -> Recording:
    """One recording for one command. Never raises: a host that cannot be asked is one of which everything failed."""
    began = time.time()
    for _ in range(DROPS):
        try:
            return _asked(where, options)
        except HostError as error:
            last = error
            if not error.dropped:
                break
            time.sleep(again())
    return unreachable(where, last, began)


def _asked(where: Address, options: Options) -> Recording:
    wanted = [source for source in SOURCES if source in options.sources]
    wanted += [Source.INSIDE] if ENGINE in wanted else []
    wanted += [Source.DROPS] if Source.DROPS in options.sources else []
    wanted += [TRACE] if options.whole else []
    session = Session(where, options.docker_host)
    try:
        if options.whole:
            session.look_closely_at(options.first, options.containers)
        return session.ask(wanted, options.host_limit)
    finally:
        session.close()


def again() -> float:
    """Seconds until a host is asked again whose sshd dropped the connection; those that were dropped together come one
    after the other."""
    return 0.2 + secrets.randbelow(800) / 1000


def unreachable(where: Address, error: HostError, taken: float) -> Recording:
    return Recording(answers={}, failures=failures(error), taken=taken, hostname=where.name, live=True)


def failures(error: HostError) -> dict[str, Failure]:
    """The host's, and the same for every source."""
    return {source: Failure(source, error.reason, error.remedy) for source in (HOST, *SOURCES)}
