"""Processes that netdash starts: modules of its own, with its own code whatever folder it was called in, and a
userland proxy for a port; and forwards as a whole: begin one, end one, list them, and bring records and processes
together again."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from netdash.apply import state_directory
from netdash.apply.state_directory import Records, UntrustedError, trusted_program
from netdash.model.errors import Exit, NetdashError
from netdash.model.processes import OWN_PROXY
from netdash.model.records import replace
from netdash.publish.journal import Forward, Opened, load_forward, verdict
from netdash.publish.statement import Kind, Statement, say

if TYPE_CHECKING:
    from netdash.publish.plan import Plan

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
        answered, tell = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become(_argv(program, port, target), executable, tell, parent)
    finally:
        if executable is not None:
            os.close(executable)
    os.close(tell)
    try:
        answer = _answer(answered)
    finally:
        os.close(answered)
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


def _answer(descriptor: int) -> bytes:
    answer = b""
    while select.select([descriptor], [], [], _BINDING)[0]:
        piece = os.read(descriptor, 4096)
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


_PATIENCE = 20.0  # seconds for a keeper to begin, or to end
_PAUSE = 0.02
_RECORDS = Records(state_directory.forwards, ".json", load_forward, lambda forward: forward.created)
listed, unreadable = _RECORDS.listed, _RECORDS.unreadable


def begin(plan: Plan, engine: str, program: str) -> Forward:
    """Start what the plan says, and answer when the port is open. Raises NetdashError(REFUSED), and leaves nothing."""
    now = time.time()
    record = Forward(
        id=f"{int(now)}-{secrets.token_hex(4)}",
        engine=engine,
        container_id=plan.container_id,
        container=plan.container,
        network=plan.network,
        program=program,
        ports=plan.ports,
        created=now,
        boot=state_directory.boot_id(),
        until=now + plan.seconds if plan.seconds else None,
    )
    return _start(record)


def _start(record: Forward) -> Forward:
    state_directory.ensure(state_directory.forwards())
    path = _RECORDS.path(record.id)
    state_directory.write(path, record.dumps())
    if not leave("forward_daemon", str(path)):
        state_directory.remove(path)
        raise NetdashError("the process that keeps the port does not start", code=Exit.REFUSED)
    return _begun(path)


def _begun(path: Path) -> Forward:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        record = _RECORDS.load(path)
        if record is None:
            raise NetdashError("the container is gone", code=Exit.REFUSED)
        if record.phase == "failed":
            state_directory.remove(path)
            raise NetdashError(f"the port could not be opened: {record.problem}", code=Exit.REFUSED)
        if record.phase != "starting":
            return record
        time.sleep(_PAUSE)
    record = _RECORDS.load(path)
    if record is not None:
        end_one(record)
    raise NetdashError("the port did not open in time", code=Exit.REFUSED)


def end_one(record: Forward) -> None:
    """End its keeper, which ends the proxies, and forget it. Raises NetdashError(REFUSED) when the keeper stays."""
    path = _RECORDS.path(record.id)
    keeper = record.keeper
    if keeper is not None and record.boot == state_directory.boot_id():
        state_directory.end(keeper)
        end = time.monotonic() + _PATIENCE
        while state_directory.alive(keeper):
            if time.monotonic() > end:
                raise NetdashError(f"process {keeper.pid}, which keeps the port, does not end", code=Exit.REFUSED)
            time.sleep(_PAUSE)
    state_directory.remove(path)


def state(forward: Forward) -> str:
    """starting, up, waiting; `lost` when its keeper died or a reboot ended it, `over` when its time came besides."""
    found = verdict(forward, state_directory.boot_id(), state_directory.alive(forward.keeper), time.time())
    return forward.phase if state_directory.alive(forward.keeper) and found != "lost" else found


def waiting() -> Iterator[Forward]:
    """Those of which a port may be closed, and is opened again."""
    return (forward for forward in listed() if state(forward) in ("waiting", "lost"))


def lost(records: Iterable[Forward]) -> tuple[Forward, ...]:
    """Those whose keeper died, or that a reboot ended."""
    return tuple(record for record in records if state(record) == "lost")


def reconcile() -> tuple[Statement, ...]:
    """Records and processes made to agree: what was lost is started again, or dropped with a reason. What was done."""
    notes = []
    for forward in listed():
        if state(forward) == "over":
            end_one(forward)
            notes.append(_say(Kind.FORWARD_OVER, forward))
        elif state(forward) == "lost":
            notes.append(again(forward))
    return tuple(notes)


def again(forward: Forward) -> Statement:
    """Start it anew: its keeper died. A port that is to be had no more is dropped, and said."""
    end_one(forward)
    try:
        _start(replace(forward, phase="starting", target=(), problem="", keeper=None, boot=state_directory.boot_id()))
    except NetdashError as error:
        return _say(Kind.FORWARD_DROPPED, forward, reason=error.message)
    return _say(Kind.FORWARD_REOPENED, forward)


def _say(kind: Kind, forward: Forward, **values: str) -> Statement:
    ports = tuple(str(number) for number in sorted({port.host_port for port in forward.ports}))
    return say(kind, container=forward.container, ports=ports, **values)
