"""Files whose name or content others chose: only regular ones are read, up to a limit, and none is waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def open_regular(path: Path | str, *, follow: bool = True, dir_fd: int | None = None) -> int:
    """A descriptor of a regular file; the last part of `path` may be a link only with `follow`. Raises OSError.

    The kind is asked of the descriptor: a name can come to mean another file. O_NONBLOCK: a FIFO without a writer would
    keep the caller waiting at open()."""
    handle = os.open(path, _OPEN if follow else _OPEN | os.O_NOFOLLOW, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return handle


def read_regular(path: Path | str, most: int) -> bytes:
    """All of a regular file of at most `most` bytes. Raises OSError, of the number EFBIG when it is larger."""
    handle = open_regular(path)
    try:
        return _read(handle, most)
    finally:
        os.close(handle)


def read_below(root: Path | str, name: str, most: int) -> bytes:
    """The same for a file below the folder `root`: no part of `name` may be a link, which could lead out of it. Raises
    OSError, of the number ELOOP for a link."""
    *folders, file = name.split("/")
    handles = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for folder in folders:
            handles.append(os.open(folder, _OPEN | os.O_NOFOLLOW, dir_fd=handles[-1]))
        handles.append(open_regular(file, follow=False, dir_fd=handles[-1]))
        return _read(handles[-1], most)
    finally:
        for handle in handles:
            os.close(handle)


def _read(handle: int, most: int) -> bytes:
    """What an open regular file holds. No more is read than its size says: the files of /proc say 0, and some of them
    (kmsg) never end and lose what is read."""
    size = os.fstat(handle).st_size
    if size > most:
        raise too_large(most)
    content = bytearray()
    while len(content) < size and (chunk := os.read(handle, size - len(content))):
        content += chunk
    return bytes(content)


def too_large(most: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {size_text(most)}")


def size_text(size: int) -> str:
    return f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB"
