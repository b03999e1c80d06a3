"""`forked.py SOCKET`: runs netdash's command line in a fork of a process that has its modules already.

A start of Python for every command is most of the time of the live tests. A request is one message: JSON, with the
open files of stdout and stderr. The answers are the process's id and its exit code (negative: the signal that ended
it)."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryFile

_LIMIT = 1 << 17  # bytes of a request
_UNUSED = ("netdash.tui", "netdash.__main__")


def serve(path: str) -> None:
    """Returns in the forks alone, and then runs what they were asked for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(path)
        server.listen(8)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel removes the forks that ended
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection:
        data, files, _, _ = socket.recv_fds(connection, _LIMIT, 2)
        pid = os.fork()
        if pid:
            connection.send(str(pid).encode())
            connection.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
            os._exit(0)
    for target, source in enumerate(files, 1):
        os.dup2(source, target)
        os.close(source)
    request = json.loads(data)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.exit(importlib.import_module(request["module"]).main(request["words"]))


def ask(
    path: Path, module: str, words: Sequence[str], environment: Mapping[str, str], cwd: Path, timeout: float
) -> CompletedProcess[str]:
    """Let the process behind the socket run the `main` of a module, as subprocess.run does with a program."""
    request = {"module": module, "words": words, "environment": dict(environment), "cwd": str(cwd)}
    with TemporaryFile() as out, TemporaryFile() as err, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as there:
        there.settimeout(timeout)
        there.connect(str(path))
        socket.send_fds(there, [json.dumps(request).encode()], [out.fileno(), err.fileno()])
        pid = int(there.recv(99))
        try:
            code = int(there.recv(99))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise TimeoutExpired([module, *words], timeout) from None
        texts = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (out, err)]
    return CompletedProcess([module, *words], code, *texts)


def load() -> None:
    import netdash

    for module in pkgutil.walk_packages(netdash.__path__, "netdash."):
        if not module.name.startswith(_UNUSED):
            importlib.import_module(module.name)
    assert threading.active_count() == 1, "a fork has one thread only"


if __name__ == "__main__":
    load()
    serve(sys.argv[1])
