"""The log of --debug: what was asked of the engine, of the kernel and of tools, how long it took, and what failed. No
answer is in it, no body of a request, and no value of an environment. Costs nothing while nobody wants it."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from netdash.model.errors import Exit, NetdashError

if TYPE_CHECKING:
    from pathlib import Path

_P = ParamSpec("_P")
_R = TypeVar("_R")
_MOST = 2000  # characters of a line
_LOGIN = r"//[^/@\s]*@"  # who asks, and his password, in an address
_file: int | None = None


def begin(path: Path) -> None:
    """Everything that is asked from now on is told in a new file, which its owner alone can read. Raises
    NetdashError(USAGE)."""
    global _file
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        _file = os.open(path, flags, stat.S_IRUSR | stat.S_IWUSR)
    except FileExistsError:
        raise NetdashError(f"{path} is there already", "name a new file: --debug=FILE", Exit.USAGE) from None
    except OSError as error:
        raise NetdashError(f"cannot write {path}: {error.strerror}", code=Exit.USAGE) from error


def end() -> None:
    global _file
    file, _file = _file, None
    if file is not None:
        os.close(file)


class Asked:
    """One question, from its beginning to its end. `problem`: why there is no answer, where nothing is raised."""

    def __init__(self, kind: str, what: str) -> None:
        self._kind, self._what = kind, what
        self.problem = ""

    def __enter__(self) -> Asked:
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if kind is not None and kind is not GeneratorExit:
            self.problem = f"{kind.__name__}: {error}"
        _write(self._kind, self._what, time.monotonic() - self._began, self.problem)


class _Unasked(Asked):
    """Nobody wants to know."""

    def __enter__(self) -> Asked:
        return self

    def __exit__(self, *_: object) -> None:
        pass


_UNASKED = _Unasked("", "")


def asked(kind: str, *words: str) -> Asked:
    """`with asked(…) as question:` around what asks."""
    return _UNASKED if _file is None else Asked(kind, " ".join(words))


def logged(kind: str, what: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """The same for a function that asks always the same."""

    def around(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: _P.args, **named: _P.kwargs) -> _R:
            with asked(kind, what):
                return function(*args, **named)

        return call

    return around


def _write(kind: str, what: str, seconds: float, problem: str) -> None:
    """One line in printable ASCII, by one write: threads do not mix."""
    import threading

    now = time.time()
    when = time.strftime("%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}"
    record = f"{what} failed: {problem}" if problem else what
    text = re.sub(_LOGIN, "//...@", record)[:_MOST].encode("unicode_escape").decode("ascii")
    line = f"{when} {threading.current_thread().name:<12.12} {seconds * 1000:9.1f} ms  {kind:<8} {text}\n"
    file = _file
    if file is not None:
        with contextlib.suppress(OSError):  # a full disk does not end netdash
            os.write(file, line.encode("ascii", "backslashreplace"))
