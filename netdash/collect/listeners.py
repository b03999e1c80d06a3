"""Who waits for peers on this host, in the shape of `ss -Hltnup`; owners are looked for when a socket came or went."""

from __future__ import annotations

from pathlib import Path

from netdash.collect.sockets import Waiting, listing, owners_of, waiting_sockets

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SELDOM = 12  # reads between two looks for owners that only clients' sockets asked for


class HostListeners:
    """The kernel tells the sockets in 0.3 ms; to find their owners takes a look at every process' files."""

    def __init__(self) -> None:
        self._low = _first_ephemeral()
        self._known: tuple[Waiting, ...] | None = None
        self._text = ""
        self._age = 0

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
