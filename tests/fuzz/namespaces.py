"""Network namespaces of this process's own: no name, no file; they are gone when the process is, however it ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_INSIDE = "NETDASH_FUZZ_NAMESPACE"


def enter_own_namespace(module: str, arguments: Sequence[str]) -> None:
    """Start this program again where it may do what it likes; returns when it runs there."""
    here = os.readlink("/proc/self/ns/net")
    outer = os.environ.get(_INSIDE)
    if outer is None:
        os.environ[_INSIDE] = here
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-m", module, *arguments])
    if outer == here:
        raise SystemExit("unshare gave no network namespace of its own")


def in_own_namespace() -> bool:
    """Whether this process may change rules and send packets: it is not where it was started."""
    outer = os.environ.get(_INSIDE)
    return outer is not None and outer != os.readlink("/proc/self/ns/net")


def renew() -> None:
    """Leave this namespace for a new one: nothing of the last game is left, no rule, no flow, no setting."""
    if not in_own_namespace():
        raise RuntimeError("this is not a namespace of one's own")
    if _LIBC.unshare(_CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Namespace:
    """A network namespace held by a process that waits for the end of this one."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec cat >/dev/null"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it is in its own namespace now
        self.pid = self._process.pid
        self._handle = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread works inside; sockets made there stay there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(self._handle)
            yield
        finally:
            _setns(home)
            os.close(home)

    def run(self, *words: str, text: str = "") -> str:
        return run("nsenter", f"--target={self.pid}", "--net", *words, text=text)

    def close(self) -> None:
        os.close(self._handle)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(5)


def _setns(handle: int) -> None:
    if _LIBC.setns(handle, _CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class CommandError(Exception):
    """A command that failed, with what it said."""


def run(*words: str, text: str = "") -> str:
    """The command's stdout."""
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise CommandError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
