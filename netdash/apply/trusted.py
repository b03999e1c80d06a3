"""Opens files and folders that nobody but root and this user can have put there. What is checked is the descriptor that
is then used: a path that is looked up twice can lead to two files."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # not to wait for a FIFO that lies there instead
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(Exception):
    """Somebody else could have written there; the message names the path and says why."""


def folder(path: Path, make: bool = False) -> int:
    """A descriptor (O_PATH) of the folder, for use as dir_fd. Each component must be a folder, not a link, of root or
    this user, that others cannot write: a sticky one such as /tmp may only stand above. `make` creates what is missing,
    with mode 0700. Raises UntrustedError and OSError."""
    handle, seen = os.open("/", _FOLDER), Path("/")
    try:
        for name in path.parts[1:]:
            _check(seen, os.fstat(handle), above=True)
            seen /= name
            below = _below(handle, seen, make)
            os.close(handle)
            handle = below
        _check(seen, os.fstat(handle), above=False)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _below(handle: int, path: Path, make: bool) -> int:
    try:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path.name, 0o700, dir_fd=handle)
        return os.open(path.name, _FOLDER, dir_fd=handle)
    except NotADirectoryError as error:
        raise UntrustedError(f"{path} is not a folder, or is a link") from error


def file(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """A descriptor of the regular file, in a folder as `folder` wants it. Raises UntrustedError and OSError."""
    parent = folder(path.parent)
    try:
        handle = os.open(path.name, flags | _FILE, mode, dir_fd=parent)
    except OSError as error:
        if os.path.islink(path):
            raise UntrustedError(f"{path} is a link") from error
        raise
    finally:
        os.close(parent)
    try:
        _check(path, os.fstat(handle), above=False)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UntrustedError(f"{path} is not a regular file")
    except BaseException:
        os.close(handle)
        raise
    return handle


def program(path: Path) -> int:
    """A descriptor of an executable file, to be run by that descriptor. Links on the way to it are resolved first.
    Raises UntrustedError and OSError."""
    handle = file(path.resolve(strict=True))
    if not os.fstat(handle).st_mode & stat.S_IXUSR:
        os.close(handle)
        raise UntrustedError(f"{path} is not executable")
    return handle


def is_safe(found: os.stat_result) -> bool:
    """Whether only root and this user can have written what was opened."""
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & _OTHERS_WRITE


def _check(path: Path, found: os.stat_result, above: bool) -> None:
    """`above`: it only leads to what is meant. In a sticky folder nobody can exchange what is another's."""
    if found.st_uid not in (0, os.geteuid()):
        raise UntrustedError(f"{path} belongs to user {found.st_uid}")
    if found.st_mode & _OTHERS_WRITE and not (above and found.st_mode & stat.S_ISVTX):
        raise UntrustedError(f"{path} can be written by other users")
