"""Where netdash keeps what it published and has not finished, and who is writing. The only owner of those files.

Forwards end with the machine: /run/netdash, or $XDG_RUNTIME_DIR/netdash. Journals must outlive it: /var/lib/netdash, or
$XDG_STATE_HOME/netdash. $NETDASH_STATE_DIR stands for both."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from netdash.core.errors import Exit, NetdashError
from netdash.core.state import Process

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def forwards() -> Path:
    return _run() / "published"


def journals() -> Path:
    return _lasting() / "journal"


def _run() -> Path:
    told = os.environ.get("NETDASH_STATE_DIR")
    if told:
        return Path(told).absolute()
    if os.geteuid() == 0:
        return Path("/run/netdash")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if not runtime:
        raise NetdashError("there is no place for netdash's state", "set XDG_RUNTIME_DIR, or use sudo", Exit.REFUSED)
    return Path(runtime, "netdash")


def _lasting() -> Path:
    told = os.environ.get("NETDASH_STATE_DIR")
    if told:
        return Path(told).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/netdash")
    state = os.environ.get("XDG_STATE_HOME")
    return Path(state, "netdash") if state else Path.home() / ".local/state/netdash"


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


def alive(one: Process | None) -> bool:
    return one is not None and process(one.pid) == one


# --- files ------------------------------------------------------------------------------------------------------------


def ensure(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NetdashError(f"cannot make {folder}: {error.strerror}", code=Exit.REFUSED) from error
    return folder


def write(path: Path, text: str) -> None:
    """Replace the file as a whole, on disk when this returns. Raises NetdashError(REFUSED)."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync(path.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise NetdashError(f"cannot write {path}: {error.strerror}", code=Exit.REFUSED) from error


def sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def texts(folder: Path, suffix: str) -> Iterator[tuple[Path, str]]:
    """Every file of that kind; nothing where there is no folder. Raises NetdashError where it may not be read."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(suffix) and not name.startswith("."))
    except FileNotFoundError:
        return
    except OSError as error:
        raise NetdashError(f"cannot read {folder}: {error.strerror}", "use sudo", Exit.REFUSED) from error
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            yield folder / name, (folder / name).read_text("utf-8", "replace")


def empty() -> bool:
    """Whether there is no record at all, without what it takes to read one. Raises as `texts`."""
    return not any(True for folder in (forwards(), journals()) for _ in texts(folder, ""))


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Held while something is changed. Raises NetdashError(REFUSED) when another netdash holds it."""
    path = ensure(_run()) / "lock"
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise NetdashError(
                "another netdash is changing something", "try again when it is done", Exit.REFUSED
            ) from error
        yield
