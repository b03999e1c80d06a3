"""Which address of a range the kernel takes for a translation: find_best_ips_proto of nf_nat_core.c, with its hash
(include/linux/jhash.h), which has no secret in it."""

from __future__ import annotations

import struct

from netdash.model.host import IP

_ALL = 0xFFFFFFFF
_FIRST = 0xDEADBEEF  # JHASH_INITVAL


def of_range(low: IP, high: IP, src: IP, dst: IP, persistent: bool) -> IP:
    """The same source and destination get the same one; with `persistent` the same source alone. IPv4 only."""
    number = _hash(_word(src), 0 if persistent else _word(dst))
    return type(low)(int(low) + ((number * (int(high) - int(low) + 1)) >> 32))


def _word(ip: IP) -> int:
    """The address as it lies in memory."""
    return int(struct.unpack("=I", ip.packed)[0])


def _hash(word: int, start: int) -> int:
    """jhash2 of an address and the three empty words of union nf_inet_addr behind it."""
    first = (_FIRST + (4 << 2) + start) & _ALL
    a, b, c = _mix((first + word) & _ALL, first, first)
    return _final(a, b, c)


def _rotated(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & _ALL


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for by in (4, 6, 8, 16, 19, 4):
        a, c = ((a - c) & _ALL) ^ _rotated(c, by), (c + b) & _ALL
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotated(b, by)) & _ALL
        a, b, c = b, c, a
    return b
