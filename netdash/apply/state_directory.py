"""Where netdash keeps what it published and has not finished, and who is writing. The only owner of those files.

Forwards end with the machine: /run/netdash, or $XDG_RUNTIME_DIR/netdash. Journals must outlive it: /var/lib/netdash, or
$XDG_STATE_HOME/netdash. $NETDASH_STATE_DIR stands for both."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from netdash.model.errors import Exit, NetdashError
from netdash.publish.journal import Process
from netdash.publish.undo import Unreadable

T = TypeVar("T")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def forwards() -> Path:
    return _run() / "published"


def journals() -> Path:
    return _lasting() / "journal"


def log() -> Path:
    """Of a new log, whose folder is there. Raises NetdashError(REFUSED)."""
    return ensure(_lasting()) / time.strftime(f"debug-%Y%m%d-%H%M%S-{os.getpid()}.log")


def _run() -> Path:
    found = _chosen("/run/netdash", "XDG_RUNTIME_DIR")
    if found is None:
        raise NetdashError("there is no place for netdash's state", "set XDG_RUNTIME_DIR, or use sudo", Exit.REFUSED)
    return found


def _lasting() -> Path:
    return _chosen("/var/lib/netdash", "XDG_STATE_HOME") or Path.home() / ".local/state/netdash"


def _chosen(of_root: str, variable: str) -> Path | None:
    """`variable`: of the environment, which names the folder above a user's own."""
    everything = os.environ.get("NETDASH_STATE_DIR")
    if everything:
        return Path(everything).absolute()
    if os.geteuid() == 0:
        return Path(of_root)
    above = os.environ.get(variable)
    return Path(above, "netdash") if above else None


def boot_id() -> str:
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""


# --- processes --------------------------------------------------------------------------------------------------------


def process(pid: int) -> Process | None:
    """The process that has this number now; None when there is none, or only what is left of one."""
    try:
        after = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if len(after) < 20 or after[0] in (b"Z", b"X") else Process(pid, int(after[19]))


def alive(owner: Process | None) -> bool:
    return owner is not None and process(owner.pid) == owner


def end(owner: Process) -> None:
    """Send SIGTERM to this very process: one that has taken over its number meanwhile is not met. Raises
    NetdashError(REFUSED) where that is not allowed."""
    try:
        handle = os.pidfd_open(owner.pid)
    except OSError:
        return
    try:
        if alive(owner):
            signal.pidfd_send_signal(handle, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise NetdashError(f"process {owner.pid} is another user's", "use sudo", Exit.REFUSED) from error
    finally:
        os.close(handle)


# --- files ------------------------------------------------------------------------------------------------------------
# What stands in them decides which process is ended and which container removed: a folder or a file that others can
# write is refused.

_MOST = 16 << 20  # bytes of one file
_HEAD = 1 << 20  # characters
_PAIR = re.compile(r'"(name|backup|temporary|container|engine)": "([\w.:/-]{1,300})"', re.ASCII)
_HINT = "netdash keeps its state where nobody else can write; NETDASH_STATE_DIR names another place"


class PathError(NetdashError):
    """What is wrong with a path: `reason`."""

    def __init__(self, path: Path, doing: str, reason: object, hint: str = "") -> None:
        super().__init__(f"cannot {doing} {path}: {reason}", hint, Exit.REFUSED)
        self.reason = str(reason)


@contextlib.contextmanager
def _path_errors(path: Path, doing: str) -> Iterator[None]:
    """Raises PathError for what is wrong with a path; FileNotFoundError is the caller's."""
    try:
        yield
    except UntrustedError as error:
        raise PathError(path, doing, error, _HINT) from error
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise PathError(path, doing, error.strerror, "use sudo") from error
    except OSError as error:
        raise PathError(path, doing, error.strerror) from error


def ensure(folder: Path) -> Path:
    """Make the folder where there is none. Raises NetdashError(REFUSED)."""
    with _path_errors(folder, "use"):
        os.close(trusted_folder(folder, make=True))
    return folder


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace the file as a whole, on disk when this returns. Raises NetdashError(REFUSED)."""
    beside = f".{path.name}.{os.getpid()}"
    try:
        with _path_errors(path, "write"), _folder(path.parent) as folder:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with open(os.open(beside, flags, mode, dir_fd=folder), "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(beside, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(beside, dir_fd=folder)
                raise
        sync(path.parent)
    except FileNotFoundError as error:
        raise PathError(path, "write", error.strerror) from error


def append(path: Path, line: str) -> None:
    """Add a line, on disk when this returns; one that was cut off before stays by itself. Raises
    NetdashError(REFUSED), also where there is no such file."""
    try:
        with _path_errors(path, "write"), open(trusted_file(path, os.O_RDWR | os.O_APPEND), "r+b", buffering=0) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(f"{line}\n".encode())
            os.fsync(file.fileno())
    except FileNotFoundError as error:
        raise PathError(path, "write", error.strerror) from error


def read(path: Path) -> str:
    """Raises FileNotFoundError, and NetdashError(REFUSED) for a file that is not to be relied on."""
    with _path_errors(path, "read"), open(trusted_file(path), "rb") as file:
        text = file.read(_MOST + 1)
    if len(text) > _MOST:
        raise PathError(path, "read", f"it has more than {_MOST >> 20} MiB")
    return text.decode("utf-8", "replace")


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    handle = trusted_folder(path)
    try:
        yield handle
    finally:
        os.close(handle)


def sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def texts(folder: Path, suffix: str) -> Iterator[tuple[Path, str | PathError]]:
    """Every file of that kind, or why it cannot be read; nothing where there is no folder. Raises NetdashError where
    the folder may not be read."""
    try:
        with _path_errors(folder, "read"), _folder(folder) as parent:
            listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
            try:
                names = sorted(name for name in os.listdir(listed) if name.endswith(suffix) and name[0] != ".")
            finally:
                os.close(listed)
    except FileNotFoundError:
        return
    for name in names:
        try:
            yield folder / name, read(folder / name)
        except FileNotFoundError:
            continue  # another netdash has ended it meanwhile
        except PathError as error:
            yield folder / name, error


class Records(Generic[T]):
    """The files of one kind: `FOLDER/ID SUFFIX`, each read by `parse`, which gives None for what is damaged."""

    def __init__(
        self, folder: Callable[[], Path], suffix: str, parse: Callable[[str], T | None], created: Callable[[T], float]
    ) -> None:
        self.folder, self._suffix, self._parse, self._created = folder, suffix, parse, created

    def path(self, identity: str) -> Path:
        return self.folder() / f"{identity}{self._suffix}"

    def load(self, path: Path) -> T | None:
        """None where there is none. Raises NetdashError(REFUSED) for a file that is not to be relied on."""
        try:
            return self._parse(read(path))
        except FileNotFoundError:
            return None

    def listed(self) -> tuple[T, ...]:
        """As they are on disk, oldest first, those that can be read."""
        found = (self._parse(text) for _, text in texts(self.folder(), self._suffix) if isinstance(text, str))
        return tuple(sorted((record for record in found if record is not None), key=self._created))

    def unreadable(self) -> tuple[Unreadable, ...]:
        """The others: what such a record was about is not known, and must not be taken for nothing."""
        found = (self._unread(path, text) for path, text in texts(self.folder(), self._suffix))
        return tuple(record for record in found if record is not None)

    def _unread(self, path: Path, text: str | PathError) -> Unreadable | None:
        """What is known of a record without its meaning; None where it has one."""
        identity = path.name.partition(".")[0]
        if isinstance(text, PathError):
            return Unreadable(identity, str(path), text.reason)
        if self._parse(text) is not None:
            return None
        words = dict(_PAIR.findall(text[:_HEAD]))
        names = tuple(words[key] for key in ("name", "backup", "temporary", "container") if words.get(key))
        reason = "it is not a record of this version of netdash, or is damaged"
        return Unreadable(identity, str(path), reason, names, words.get("engine", ""))


def remove(path: Path) -> None:
    """A record that is over. Raises NetdashError(REFUSED)."""
    with contextlib.suppress(FileNotFoundError), _path_errors(path, "remove"):
        path.unlink()
        sync(path.parent)


def set_aside(path: Path) -> None:
    """A record that cannot be read, whatever lies there: it keeps its content under a name that is not looked at.
    Raises NetdashError(REFUSED)."""
    with _path_errors(path, "rename"):
        path.rename(path.with_name(f".{path.name}.forgotten"))
        sync(path.parent)


def empty() -> bool:
    """Whether there is no record at all, without what it takes to read one. Raises as `texts`."""
    return not any(True for folder in (forwards(), journals()) for _ in texts(folder, ""))


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Held while something is changed. Raises NetdashError(REFUSED) when another netdash holds it."""
    path = ensure(_run()) / "lock"
    with _path_errors(path, "use"):
        handle = trusted_file(path, os.O_WRONLY | os.O_CREAT)
    with open(handle, "w"):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise NetdashError(
                "another netdash is changing something", "try again when it is done", Exit.REFUSED
            ) from error
        yield


# --- files and folders that nobody but root and this user can have put there ------------------------------------------
# What is checked is the descriptor that is then used: a path that is looked up twice can lead to two files.

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # not to wait for a FIFO that lies there instead
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(Exception):
    """Somebody else could have written there; the message names the path and says why."""


def trusted_folder(path: Path, make: bool = False) -> int:
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


def trusted_file(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """A descriptor of the regular file, in a folder as `trusted_folder` wants it. Raises UntrustedError and OSError."""
    parent = trusted_folder(path.parent)
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


def trusted_program(path: Path) -> int:
    """A descriptor of an executable file, to be run by that descriptor. Links on the way to it are resolved first.
    Raises UntrustedError and OSError."""
    handle = trusted_file(path.resolve(strict=True))
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
