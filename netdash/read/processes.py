"""docker-proxy processes of this network namespace, and whether a process belongs to a container."""

from __future__ import annotations

import os
from pathlib import Path

from netdash.core.publish.state import OWN_PROXY

_PROXIES = ("docker-proxy", OWN_PROXY)
_SPACES = str.maketrans(dict.fromkeys("\n\r\0", " "))


class Proxies:
    """Looks at each process the first two times that it sees it: the first time it may still be about to become another
    program (between fork and exec it has its parent's name, then none). Every `every`-th time at all of them, for their
    memory, and because a process id can come back as another process."""

    def __init__(self, every: int = 10) -> None:
        self._every = every
        self._times = 0
        self._seen: set[str] = set()
        self._settled: set[str] = set()  # seen twice
        self._lines: dict[str, str] = {}
        self._memory: dict[str, int] = {}

    def read(self) -> tuple[str, str]:
        """(host/docker-proxy.txt, host/memory.txt): a line `PID PPID ARGV`, and `PID BYTES`, each. Raises OSError."""
        pids = {name for name in os.listdir("/proc") if name.isdigit()}
        if self._times % self._every == 0:
            self._seen.clear()
            self._settled.clear()
            self._lines.clear()
            self._memory.clear()
        self._times += 1
        for gone in self._seen - pids:
            self._lines.pop(gone, None)
            self._memory.pop(gone, None)
        for pid in sorted(pids - self._settled, key=int):
            if _command(pid) in _PROXIES:
                self._look(pid)
        self._settled = pids & self._seen
        self._seen = pids
        lines = "".join(f"{line}\n" for line in self._lines.values())
        return lines, "".join(f"{pid} {size}\n" for pid, size in self._memory.items())

    def _look(self, pid: str) -> None:
        """/proc/PID/cmdline, and from /proc/PID/status the parent and the resident memory in KiB: the kernel adds its
        counters up for that file, the page counts in stat and statm lag behind."""
        argv = _file(pid, "cmdline").rstrip("\0").translate(_SPACES)
        status = dict(line.split(":", 1) for line in _file(pid, "status").splitlines() if ":" in line)
        parent, resident = status.get("PPid", "").strip(), status.get("VmRSS", "").removesuffix("kB").strip()
        if argv and parent and _ours(pid):
            self._lines[pid] = f"{pid} {parent} {argv}"
            if resident.isdigit():
                self._memory[pid] = int(resident) * 1024


def _ours(pid: str) -> bool:
    """Whether it lives in this network namespace: each has one inode for its tcp file, which anyone may look at
    (/proc/PID/ns/net may be read by root alone)."""
    try:
        return os.stat(f"/proc/{pid}/net/tcp").st_ino == os.stat("/proc/self/net/tcp").st_ino
    except OSError:
        return False


def _command(pid: str) -> str:
    return _file(pid, "comm", 64).strip()


def _file(pid: str, name: str, most: int = 1 << 16) -> str:
    """The beginning of /proc/PID/NAME; "" when the process is gone or may not be looked at."""
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""


def belongs(pid: int, identity: str) -> bool:
    """Whether the process is the container's: its control group names it. A process id that the engine tells may be
    another process by now, or, when the engine is far away, never have been one of this machine."""
    try:
        return identity in Path(f"/proc/{pid}/cgroup").read_text("utf-8", "replace")
    except OSError:
        return False
