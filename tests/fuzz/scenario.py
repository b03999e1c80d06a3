"""One host to be tried: its rules, routes and settings as lines that can be left out one by one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.fuzz.namespaces import CommandError, run

RESTORE = {
    "iptables": "iptables-nft-restore",
    "ip6tables": "ip6tables-nft-restore",
    "iptables-legacy": "iptables-legacy-restore",
    "ip6tables-legacy": "ip6tables-legacy-restore",
}
_FAILED_LINE = re.compile(r"(?:stdin:|line:? )(\d+)")
_PATIENCE = 30  # lines of one tool that may be refused


@dataclass(frozen=True, slots=True)
class Line:
    """`tool`: sysctl ("name value"), ip, bridge, nft, flow (conntrack -I), or one of RESTORE ("TABLE LINE"). Those with
    "in" are a peer's ("PEER …")."""

    tool: str
    text: str


Lines = tuple[Line, ...]


Enter = Callable[[str], AbstractContextManager[None]]
"""Works in a peer's namespace."""


def apply(lines: Lines, enter: Enter) -> Lines:
    """Put them into this namespace, or a peer's, in their order; those that were taken. A line that a tool refuses is
    left out."""
    taken: list[Line] = []
    for tool, group in groupby(lines, key=lambda line: line.tool):
        if tool.endswith(" in"):
            taken += [line for line in group if _inside(line, enter)]
        else:
            taken += _APPLY.get(tool, _restore)(list(group))
    return tuple(taken)


def _inside(line: Line, enter: Enter) -> bool:
    peer, _, text = line.text.partition(" ")
    tool = line.tool.removesuffix(" in")
    with enter(peer):
        return bool(_APPLY[tool]([Line(tool, text)]))


def _sysctls(lines: list[Line]) -> list[Line]:
    for line in lines:
        name, value = line.text.split()
        Path("/proc/sys/net", name).write_text(value, "ascii")
    return lines


def _words(lines: list[Line]) -> list[Line]:
    """What the kernel refuses (a route that leads nowhere) is left out."""
    taken = []
    for line in lines:
        with contextlib.suppress(CommandError):
            run(*_WORDS[line.tool], *line.text.split())
            taken.append(line)
    return taken


_WORDS = {"ip": ("ip",), "bridge": ("bridge",), "flow": ("conntrack", "-I")}


def _nft(lines: list[Line]) -> list[Line]:
    """One line at a time where the whole is refused: a rule that names a chain which was refused falls with it."""
    for _ in range(_PATIENCE):
        try:
            run("nft", "-f", "-", text="".join(f"{line.text}\n" for line in lines))
        except CommandError as error:
            at = [index for index, line in enumerate(lines) for _ in line.text.splitlines()]
            lines = _without(lines, {at[int(number) - 1] for number in _FAILED_LINE.findall(str(error))}, error)
        else:
            return lines
    raise CommandError("nft takes none of it")


def _without(lines: list[Line], failed: set[int], error: CommandError) -> list[Line]:
    left = [line for at, line in enumerate(lines) if at not in failed]
    if len(left) == len(lines):
        raise error
    return left


def _restore(lines: list[Line]) -> list[Line]:
    tool = lines[0].tool
    for _ in range(_PATIENCE):
        script = list(_script(lines))
        try:
            run(RESTORE[tool], "--noflush", text="".join(f"{text}\n" for _, text in script))
        except CommandError as error:
            failed = {script[int(number) - 1][0] for number in _FAILED_LINE.findall(str(error))[:1]}
            lines = _without(lines, failed, error)
        else:
            return lines
    raise CommandError(f"{tool} takes none of it")


def _script(lines: list[Line]) -> Iterator[tuple[int, str]]:
    """(index of the line or -1, text) as the tool reads it: table by table, the chains first."""
    parted = [(*line.text.split(" ", 1), at) for at, line in enumerate(lines)]
    for table in dict.fromkeys(table for table, _, _ in parted):
        yield -1, f"*{table}"
        ours = [(at, text) for name, text, at in parted if name == table]
        yield from sorted(ours, key=lambda one: not one[1].startswith(":"))
        yield -1, "COMMIT"


_APPLY = {"sysctl": _sysctls, "ip": _words, "bridge": _words, "flow": _words, "nft": _nft}
