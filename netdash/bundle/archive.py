"""The files of a bundle as they lie on disk, a directory or an archive, and the collector's stream: read within limits.
Whoever made it is not trusted: what is too large, a link or a device is not read, and `refused` says so."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from io import BufferedReader
from typing import TYPE_CHECKING, Protocol

from netdash.model.records import dataclass, field

if TYPE_CHECKING:
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


META = "netdash.json"
MAX_FILE = 64 << 20  # bytes of one answer; 10,000 rules as JSON are 4.3 MB
MAX_BUNDLE = 128 << 20  # bytes of all of them, unpacked
MAX_FILES = 20_000
_BEGINNING = 1 << 16  # bytes in which the collector's first line is looked for
_CHUNK = 1 << 18
_STDIN = "/dev/stdin"
_FOLDERS = ("docker", "ip", "rules", "host", "containers")
_ZIPPED = b"\x1f\x8b"
_TAR = slice(257, 262), b"ustar"  # where the magic of an archive stands, and what it is


@dataclass(slots=True)
class Files:
    """By path in the bundle: texts, and why others could not be read."""

    texts: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    size: int = 0  # bytes taken so far

    def take(self, name: str, content: bytes) -> None:
        self.size += len(content)
        self.texts[name] = content.decode("utf-8", "replace")

    def refuse(self, name: str, error: OSError) -> None:
        why = "it is a link" if error.errno == errno.ELOOP else error.strerror or str(error)
        if error.errno == errno.EFBIG and self.most < MAX_FILE:
            why = f"the whole recording is larger than {size_text(MAX_BUNDLE)}"
        self.refused[name] = why

    @property
    def most(self) -> int:
        """Bytes that the next file may have."""
        return min(MAX_FILE, MAX_BUNDLE - self.size)


def read_files(
    path: Path, known: frozenset[str], inside: tuple[str, ...], is_stream: Callable[[str], bool]
) -> Files | str:
    """The bundle's files: those `known`, and those named as in `inside` of each container. A text when the file is what
    the collector printed, which `is_stream` tells by its beginning. Raises OSError, EOFError, tarfile.TarError,
    zlib.error."""
    if path.is_dir():
        return _of_directory(path, known, inside)
    with os.fdopen(_open(path), "rb") as file:
        content = _Content(file)
        beginning = content.beginning(_BEGINNING)
        where, magic = _TAR
        if beginning[where] == magic:
            return _of_archive(content, known, inside)
        if is_stream(beginning.decode("utf-8", "replace")):
            return content.rest().decode("utf-8", "replace")
    from tarfile import ReadError  # only a recording needs it, and loading it takes long

    raise ReadError("it is neither an archive nor what the collector printed")


def _open(path: Path) -> int:
    """Standard input may be a pipe: whoever names it sends something."""
    if str(path) != _STDIN:
        return open_regular(path)
    kind = os.fstat(0).st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        raise OSError(errno.EINVAL, "it is neither a file nor a pipe")
    return os.dup(0)


# --- a directory ------------------------------------------------------------------------------------------------------


def _of_directory(path: Path, known: frozenset[str], inside: tuple[str, ...]) -> Files:
    files = Files()
    for name in (META, *sorted(known), *_of_containers(path / "containers", inside)):
        try:
            files.take(name, read_below(path, name, files.most))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            files.refuse(name, error)
    return files


def _of_containers(folder: Path, inside: tuple[str, ...]) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for name in sorted(names)[: MAX_FILES // len(inside)]:
        yield from (f"containers/{name}/{file}" for file in inside)


# --- an archive -------------------------------------------------------------------------------------------------------


def _of_archive(content: _Content, known: frozenset[str], inside: tuple[str, ...]) -> Files:
    """Read from its beginning to its end: nothing of it is written, and members are not looked for by their place."""
    import tarfile

    files = Files()
    with tarfile.open(fileobj=content, mode="r|", bufsize=_CHUNK) as archive:  # type: ignore[call-overload]  # has read()
        for count, member in enumerate(archive):
            if count >= MAX_FILES:
                raise OSError(errno.EFBIG, f"it has more than {MAX_FILES} files")
            name = _bundle_name(member.name)
            if not (name in known or name == META or _of_container(name, inside)) or member.isdir():
                continue
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                files.refused[name] = "it is a link or a device"
            elif member.size > files.most:
                files.refuse(name, too_large(files.most))
            elif (opened := archive.extractfile(member)) is not None:
                files.take(name, opened.read())
    content.finish()
    return files


def _bundle_name(name: str) -> str:
    """The path inside the bundle, whether or not the archive has a folder around it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    for start, part in enumerate(parts):
        if part in _FOLDERS or part == META:
            return "/".join(parts[start:])
    return "/".join(parts)


def _of_container(name: str, inside: tuple[str, ...]) -> bool:
    parts = name.split("/")
    return len(parts) == 3 and parts[0] == "containers" and parts[2] in inside


class _Source(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class _Content:
    """What a file holds, unpacked, as something to read from. Raises OSError above MAX_BUNDLE bytes."""

    def __init__(self, file: BufferedReader) -> None:
        self._source: _Source = file
        if file.peek(len(_ZIPPED))[: len(_ZIPPED)] == _ZIPPED:
            import gzip

            self._source = gzip.GzipFile(fileobj=file)
        self._ahead = b""
        self._left = MAX_BUNDLE
        self._cut = False

    def beginning(self, size: int) -> bytes:
        """The first bytes, which `read` gives once more."""
        self._ahead = self.read(size)
        return self._ahead

    def read(self, size: int) -> bytes:
        """As many bytes, or fewer at the end."""
        found = bytearray(self._ahead[:size])
        self._ahead = self._ahead[size:]
        while len(found) < size and (chunk := self._chunk(size - len(found))):
            found += chunk
        return bytes(found)

    def rest(self) -> bytes:
        """What came of it, also when its end is missing: the collector's stream itself tells that."""
        return self.read(MAX_BUNDLE + 1)

    def finish(self) -> None:
        """Reads to the end. Raises EOFError when that is missing."""
        while self.read(_CHUNK):
            pass
        if self._cut:
            raise EOFError("it is cut off")

    def _chunk(self, size: int) -> bytes:
        try:
            chunk = self._source.read1(size)
        except EOFError:
            self._cut = True
            return b""
        self._left -= len(chunk)
        if self._left < 0:
            raise too_large(MAX_BUNDLE)
        return chunk
