"""A command line as a person types it -> the changes that it would make. Runs nothing, and refuses what it cannot read
with certainty."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from netdash.change import docker_command, ip_command, iptables_command, nft_command, sysctl_command
from netdash.change.errors import CannotModel
from netdash.change.model import Change
from netdash.model.host import Host
from netdash.model.index import find_container
from netdash.model.numbers import decimal

Read = Callable[[Host, list[str], str | None], tuple[Change, ...]]
"""(host, the words behind the tool's name, the container in whose network namespace it runs) -> changes."""


def read_command(host: Host, command: str) -> tuple[Change, ...]:
    """`host`: as it is when the command is given. Raises CannotModel, and NetdashError for a name that is not there."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CannotModel(f"{command!r} cannot be read: {error}") from error
    for word in words:
        divides = word.endswith(";") and words[0] != "nft"
        if word in _SHELL or divides or _EXPANDED.search(word):
            raise CannotModel(f"{word!r} is for a shell: write one command a word, each in quotes, as it is executed")
    words, container = _within(host, words[1:] if words[:1] == ["sudo"] else words)
    if not words:
        raise CannotModel("an empty command")
    tool = PurePosixPath(words[0]).name
    read = _TOOLS.get(tool)
    if read is None:
        raise CannotModel(f"what {tool!r} changes is not known", f"these are: {', '.join(sorted(_TOOLS))}")
    return read(host, words, container)


_SHELL = frozenset(("&&", "||", "|", "&", ">", ">>", "<", "<<"))
_EXPANDED = re.compile(r"\$[({A-Za-z]|`")


def _within(host: Host, words: list[str]) -> tuple[list[str], str | None]:
    """The command itself, and the container in whose network namespace it runs: of `docker exec` and `nsenter`."""
    tool = PurePosixPath(words[0]).name if words else ""
    if tool in docker_command.ENGINES and words[1:2] == ["exec"]:
        rest = words[2:]
        while rest and rest[0].startswith("-"):
            rest = rest[2 if rest[0] in ("-u", "--user", "-e", "--env", "-w", "--workdir") else 1 :]
        return rest[1:], find_container(host, rest[0] if rest else "").id
    if tool != "nsenter":
        return words, None
    pid, entered, at = None, False, 1
    while at < len(words) and words[at].startswith("-"):
        named = _NAMESPACE.fullmatch(words[at])
        entered |= words[at].startswith(("-n", "--net", "-a", "--all"))
        if words[at] in ("-t", "--target"):
            pid, at = decimal((words[at + 1 : at + 2] or [""])[0]), at + 1
        elif named:
            pid = decimal(named[1] or named[2] or "") or pid
        at += 1
    found = next((one for one in host.containers or () if entered and pid and one.pid == pid), None)
    if found is None:
        raise CannotModel(f"{' '.join(words[:at])}: of which container the network namespace is cannot be told")
    return words[at:], found.id


_NAMESPACE = re.compile(r"--net=/proc/(\d+)/ns/net|--target=(\d+)|-n|--net|--")

_TOOLS: Mapping[str, Read] = {
    **dict.fromkeys(iptables_command.TOOLS, iptables_command.read),
    **dict.fromkeys(docker_command.ENGINES, docker_command.read),
    "nft": nft_command.read,
    "ip": ip_command.read,
    "sysctl": sysctl_command.read,
    "systemctl": docker_command.read_service,
    "service": docker_command.read_service,
}
