"""What /proc says of this host: docker-proxy processes, who has the sockets that wait for peers, sysctls under net."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import psutil

from netdash.collect.sockets import Waiting, listing, owners_of, waiting_sockets
from netdash.engine.log import logged
from netdash.model.processes import HOLDERS, OWN_PROXY, OWNERS, PROXIES, SELF, STOPPED
from netdash.model.records import dataclass

_SPACES = str.maketrans(dict.fromkeys("\n\r\0", " "))


@dataclass(slots=True)
class _Known:
    """One process of interest, as it was when it was looked at; `line` is "" for one that is no proxy."""

    process: psutil.Process
    owner: str
    line: str
    memory: int


class Proxies:
    """Looks at each process the first two times that it sees it: the first time it may still be about to become another
    program (between fork and exec it has its parent's name, then none). Every `every`-th time at all of them, for their
    memory, and because a process id can come back as another process."""

    def __init__(self, every: int = 10) -> None:
        self._every = every
        self._times = 0
        self._seen: set[int] = set()
        self._settled: set[int] = set()  # seen twice
        self._known: dict[int, _Known] = {}

    @logged("files", "/proc/PID/cmdline and others of docker-proxy")
    def read(self) -> Mapping[str, object]:
        """By bundle path: the proxies' arguments, their memory, and who runs them and other holders of ports, and which
        of all these are stopped. Raises OSError."""
        pids = set(psutil.pids())
        if self._times % self._every == 0:
            self._seen.clear()
            self._settled.clear()
            self._known.clear()
        self._times += 1
        for pid in [pid for pid, known in self._known.items() if not known.process.is_running()]:
            del self._known[pid]
            self._settled.discard(pid)
        for pid in sorted(pids - self._settled):
            found = _look(pid) if _port_holder(pid) else None
            if found is not None:
                self._known[pid] = found
        self._settled = pids & self._seen
        self._seen = pids
        proxies = [known for known in self._known.values() if known.line]
        uid = os.geteuid()
        return {
            PROXIES: "".join(f"{proxy.line}\n" for proxy in proxies),
            "host/memory.txt": "".join(f"{proxy.process.pid} {proxy.memory}\n" for proxy in proxies),
            OWNERS: "".join(
                [f"{SELF} {uid} - {_user(uid)}\n", *(f"{known.owner}\n" for known in self._known.values())]
            ),
            STOPPED: "".join(f"{pid}\n" for pid, known in self._known.items() if _is_stopped(known.process)),
        }


def _look(pid: int) -> _Known | None:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            argv = "\0".join(process.cmdline()).translate(_SPACES)
            name, uid, memory = process.name(), process.uids().real, process.memory_info().rss
            owner = f"{pid} {uid} {_executable(pid)} {_user(uid)}"
            if not argv or not (name in HOLDERS or _is_own(argv)):
                return None
            line = f"{pid} {process.ppid()} {argv}" if _is_proxy(name, argv) and _ours(pid) else ""
        return _Known(process, owner, line, memory)
    except (OSError, psutil.Error):
        return None


def _is_stopped(process: psutil.Process) -> bool:
    """Not while a debugger looks at it, which lets it go on."""
    try:
        return process.status() == psutil.STATUS_STOPPED
    except (OSError, psutil.Error):
        return False


def _port_holder(pid: int) -> str:
    """The name of a process that may hold ports, which costs a fifth of what psutil takes for one process; "" for
    others. A program that was started by its descriptor has the number of that for its name, on kernels before 6.14."""
    name = _file(pid, "comm", 64).strip()
    return name if name in HOLDERS or name.isdigit() else ""


def proxy_pids() -> list[int]:
    """Processes of this network namespace that look like userland proxies, as those do whose lines are read."""
    return [
        pid
        for pid in psutil.pids()
        if (name := _port_holder(pid)) and _is_proxy(name, _file(pid, "cmdline").translate(_SPACES)) and _ours(pid)
    ]


def _is_proxy(name: str, argv: str) -> bool:
    return "proxy" in name or _is_own(argv)


def _is_own(argv: str) -> bool:
    return argv.startswith(f"{OWN_PROXY} ")


def _executable(pid: int) -> str:
    """`UID:MODE` of the executable's owner, "-" where it may not be looked at."""
    try:
        handle = os.open(f"/proc/{pid}/exe", os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return "-"
    try:
        found = os.fstat(handle)
    finally:
        os.close(handle)
    return f"{found.st_uid}:{found.st_mode & 0o7777:o}"


@lru_cache(maxsize=256)
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name.translate(_SPACES) or str(uid)
    except KeyError:
        return str(uid)


def _ours(pid: int) -> bool:
    """Whether it lives in this network namespace: each has one inode for its tcp file, which anyone may look at
    (/proc/PID/ns/net may be read by root alone)."""
    try:
        return os.stat(f"/proc/{pid}/net/tcp").st_ino == os.stat("/proc/self/net/tcp").st_ino
    except OSError:
        return False


def _file(pid: int, name: str, most: int = 1 << 16) -> str:
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


_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SELDOM = 12  # reads between two looks for owners that only clients' sockets asked for


class HostListeners:
    """The kernel tells the sockets in 0.3 ms; to find their owners takes a look at every process' files."""

    def __init__(self) -> None:
        self._low = _first_ephemeral()
        self._known: tuple[Waiting, ...] | None = None
        self._text = ""
        self._age = 0

    @logged("netlink", "waiting sockets (SOCK_DIAG_BY_FAMILY), and /proc/PID/fd of their owners")
    def read(self) -> str:
        """The very same text while nothing changed. Raises OSError."""
        now = waiting_sockets()
        self._age += 1
        before = self._known
        if before is None or self._of_servers(now) != self._of_servers(before) or self._overdue(now, before):
            self._known, self._age = now, 0
            text = listing(now, owners_of(now))
            if text != self._text:
                self._text = text
        return self._text

    def _overdue(self, now: tuple[Waiting, ...], before: tuple[Waiting, ...]) -> bool:
        return self._age >= _SELDOM and now != before

    def _of_servers(self, sockets: tuple[Waiting, ...]) -> frozenset[int]:
        """Inodes. UDP sockets on a port that the kernel chose come and go with every look-up of a name."""
        return frozenset(socket.inode for socket in sockets if socket.proto == "tcp" or socket.port < self._low)


def _first_ephemeral() -> int:
    try:
        return int(_RANGE.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32768  # the kernel's default


_ROOT = Path("/proc/sys/net")
_SINGLE = (
    "ipv4/ip_forward",
    "ipv4/ip_local_port_range",
    "ipv4/ip_unprivileged_port_start",
    "ipv4/icmp_echo_ignore_all",
    "ipv4/icmp_echo_ignore_broadcasts",
    "ipv6/icmp/echo_ignore_all",
    "netfilter/nf_conntrack_tcp_loose",
    "netfilter/nf_conntrack_count",
    "netfilter/nf_conntrack_max",
    "netfilter/nf_conntrack_tcp_timeout_syn_sent",
    "netfilter/nf_conntrack_tcp_timeout_syn_recv",
    "netfilter/nf_conntrack_udp_timeout",
    "netfilter/nf_conntrack_icmp_timeout",
    "netfilter/nf_conntrack_icmpv6_timeout",
    "netfilter/nf_conntrack_acct",
    "netfilter/nf_conntrack_timestamp",
)
_PER_DEVICE = {
    "ipv4": (
        *("forwarding", "rp_filter", "route_localnet", "accept_local", "src_valid_mark"),
        *("ignore_routes_with_linkdown", "proxy_arp", "arp_ignore", "arp_filter"),
    ),
    "ipv6": ("forwarding", "disable_ipv6", "proxy_ndp", "accept_ra"),
}


@logged("files", "/proc/sys/net")
def read_sysctls(devices: Iterable[str], root: Path = _ROOT) -> str:
    """`name = value` a line, for all, default and each device. What this kernel does not have is left out. Raises
    OSError when there is nothing to read at all."""
    lines = [f"{name} = {value}\n" for name, value in _values(tuple(devices), root)]
    if not lines:
        raise OSError(f"{root} cannot be read")
    return "".join(lines)


def _values(devices: tuple[str, ...], root: Path) -> Iterator[tuple[str, str]]:
    for name in (*_SINGLE, *(f"bridge/{path.name}" for path in sorted(root.glob("bridge/bridge-nf-call-*")))):
        value = _value(root / name)
        if value is not None:
            yield f"net.{name.replace('/', '.')}", value
    for family, keys in _PER_DEVICE.items():
        for device in dict.fromkeys(("all", "default", *devices)):
            if "/" in device or device in (".", ".."):
                continue
            for key in keys:
                value = _value(root / family / "conf" / device / key)
                if value is not None:
                    # sysctl writes a device's own dots as slashes
                    yield f"net.{family}.conf.{device.replace('.', '/')}.{key}", value


def _value(path: Path) -> str | None:
    try:
        return path.read_text("ascii", "replace").strip().replace("\t", " ")
    except OSError:
        return None


def loaded(module: str) -> bool:
    """Whether the kernel has it already; one without modules has what it has."""
    try:
        with open("/proc/modules", encoding="ascii") as modules:
            names = {line.partition(" ")[0] for line in modules}
    except OSError:
        return True
    return not names or module in names or os.path.isdir(f"/sys/module/{module}")
