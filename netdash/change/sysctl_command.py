"""`sysctl -w NAME=VALUE …` -> changes (sysctl(8))."""

from __future__ import annotations

from netdash.change.errors import CannotModel
from netdash.change.model import Change, SysctlChange
from netdash.model.host import Host

_QUIET = ("-w", "--write", "-q", "--quiet", "-qw", "-wq", "-e", "--ignore")


def read(_host: Host, words: list[str], container: str | None) -> tuple[Change, ...]:
    found = []
    for word in words[1:]:
        if word in _QUIET:
            continue
        name, equals, value = word.partition("=")
        if word.startswith("-") or not equals or not name.strip():
            raise CannotModel(f"sysctl {word}: only NAME=VALUE changes something")
        found.append(SysctlChange(_dotted(name.strip()), value.strip(), container))
    if not found:
        raise CannotModel("sysctl: a NAME=VALUE is missing")
    return tuple(found)


def _dotted(name: str) -> str:
    """With the separator that comes first a name may have the other one in it: net/ipv4/conf/eth0.1/forwarding."""
    first = next((letter for letter in name if letter in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))
