"""What the kernel counts of packets that it loses -> (device, name) -> count. An answer that is cut off, damaged or
empty raises ValueError: a sum of a part of it would be too low."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from netdash.model.numbers import decimal
from netdash.parse.json_values import integer, mapping, objects, text

Counts = Mapping[tuple[str, str], int]
_HEXADECIMAL = re.compile("[0-9a-f]{8,16}")
_LOST = {"rx": ("errors", "dropped", "missed_errors"), "tx": ("errors", "dropped")}
_BACKLOG, _LIMITED = 1, 10  # columns of softnet_seq_show()


def parse_nstat(answer: str) -> Counts:
    """`nstat -asz`: NAME, COUNT and a rate in a line."""
    rows = (line.split() for line in answer.split("\n"))
    found = {("", row[0]): count for row in rows if len(row) == 3 and (count := decimal(row[1], 20)) is not None}
    return _some(found)


def parse_conntrack(answer: str) -> Counts:
    """/proc/net/stat/nf_conntrack: the names of its columns, and a line a processor."""
    names, *rows = [line.split() for line in answer.split("\n") if line] or [[]]
    found = {("", name): _sum(rows, at, len(names)) for at, name in enumerate(names) if name != "entries"}
    return _some(found if rows else {})


def parse_tool(answer: str) -> Counts:
    """`conntrack -S`."""
    from netdash.parse.netfilter import parse_counts

    return _some({("", name): count for name, count in parse_counts(answer).items()})


def parse_softnet(answer: str) -> Counts:
    """/proc/net/softnet_stat: a line a processor, without names."""
    rows = [line.split() for line in answer.split("\n") if line]
    size = len(rows[0]) if rows else 0
    found = {("", "softnet_dropped"): _sum(rows, _BACKLOG, size)}
    if size > _LIMITED:
        found["", "softnet_flow_limit"] = _sum(rows, _LIMITED, size)
    return _some(found if rows else {})


def parse_links(answer: str) -> Counts:
    """`ip -j -s -s link`: what a device of this network namespace lost."""
    found = {}
    for row in map(mapping, objects(answer) or ()):
        device, told = text(row.get("ifname")), mapping(row.get("stats64"))
        for way, names in _LOST.items() if device else ():
            for name in names:
                count = integer(mapping(told.get(way)).get(name))
                if count is not None and count >= 0:
                    found[device or "", f"{way}_{name.removesuffix('_errors')}"] = count
    return _some(found)


def _sum(rows: Iterable[list[str]], at: int, size: int) -> int:
    total = 0
    for row in rows:
        if len(row) != size or at >= size or not all(map(_HEXADECIMAL.fullmatch, row)):
            raise ValueError("a line of it is damaged")
        total += int(row[at], 16)
    return total


def _some(found: Counts) -> Counts:
    if not found:
        raise ValueError("no counter is in it")
    return found
