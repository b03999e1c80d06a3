"""Processes that netdash starts: modules of its own, with its own code whatever folder it was called in; and a userland
proxy for a port."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from netdash.apply.state_directory import UntrustedError, trusted_program
from netdash.model.processes import OWN_PROXY
from netdash.publish.state import Opened

_HOME = Path(__file__).parents[2]  # of the package
_KEPT = ("PATH", "LANG", "NETDASH_STATE_DIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "HOME")


def argv(module: str, *words: str) -> list[str]:
    """`python -P -m netdash.apply.MODULE WORDS`; -P: a folder that happens to be current must not lend it modules."""
    return [sys.executable, "-P", "-m", f"netdash.apply.{module}", *words]


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(_HOME), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, **{key: os.environ[key] for key in _KEPT if key in os.environ}}


def leave(module: str, *words: str) -> bool:
    """Start a module that leaves its caller at once; whether it did."""
    done = subprocess.run(
        argv(module, *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd="/",
        check=False,
    )
    return done.returncode == 0


# --- a userland proxy -------------------------------------------------------------------------------------------------
# The engine's docker-proxy, or netdash's own forwarder where there is none. The docker-proxy is run by the descriptor
# that was checked (`trusted_program`), not by its path.

_PR_SET_PDEATHSIG = 1
_NOT_GIVEN_ANEW = 10
_BINDING = 10.0  # seconds until it has said whether it could bind
_LIBC = ctypes.CDLL(None)


class ProxyError(Exception):
    """It could not start; the message says why."""


def start_proxy(program: str, port: Opened, target: str) -> int:
    """Its pid, once it listens. It dies with this process: a forward that nobody watches could lead to a stranger who
    got the container's address. docker-proxy tells on descriptor 3: `0`, or `1` and a line with the reason."""
    executable = _executable(program)
    try:
        told, tell = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become(_argv(program, port, target), executable, tell, parent)
    finally:
        if executable is not None:
            os.close(executable)
    os.close(tell)
    try:
        answer = _answer(told)
    finally:
        os.close(told)
    if answer.startswith(b"0"):
        return pid
    stop_proxy(pid)
    raise ProxyError(" ".join(answer[1:].decode("utf-8", "replace").split())[:200] or "it ended without a word")


def _executable(program: str) -> int | None:
    """The docker-proxy as a descriptor; None for netdash's own forwarder. Raises ProxyError."""
    if not program:
        return None
    try:
        return trusted_program(Path(program))
    except UntrustedError as error:
        raise ProxyError(f"{program} is not run: {error}") from error
    except OSError as error:
        raise ProxyError(f"{program}: {error.strerror}") from error


def _argv(program: str, port: Opened, target: str) -> list[str]:
    options = {
        "-proto": port.proto,
        "-host-ip": port.host_ip,
        "-host-port": str(port.host_port),
        "-container-ip": target,
        "-container-port": str(port.container_port),
    }
    words = [word for pair in options.items() for word in pair]
    return [OWN_PROXY, *words] if program else argv("forwarder", OWN_PROXY, *words)


def _become(argv: list[str], executable: int | None, tell: int, parent: int) -> None:
    """In the child: what the engine would have given it, and nothing else."""
    try:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        # Numbers below 5 are given anew: what is needed of them is moved out of the way first.
        tell = fcntl.fcntl(tell, fcntl.F_DUPFD, _NOT_GIVEN_ANEW)
        moved = executable if executable is None else fcntl.fcntl(executable, fcntl.F_DUPFD, _NOT_GIVEN_ANEW)
        os.dup2(tell, 3)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        program = sys.executable if moved is None else os.dup2(moved, 4, inheritable=False)
        os.closerange(4 if moved is None else 5, 1024)
        os.execve(program, argv, environment())  # noqa: S606  # a list of arguments, no shell
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(3, f"1\n{argv[0]}: {error.strerror}".encode())
    finally:
        os._exit(127)


def _answer(told: int) -> bytes:
    answer = b""
    while select.select([told], [], [], _BINDING)[0]:
        piece = os.read(told, 4096)
        answer += piece
        if not piece or answer.startswith(b"0"):
            return answer
    return answer or b"1\nit did not say in time whether it listens"


def stop_proxy(pid: int) -> None:
    """End a child of this process, and wait for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
