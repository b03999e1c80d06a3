"""`ipset save` -> the members of the sets that hold addresses or nets alone."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.model.addresses import subnet
from netdash.model.host import Net

_PLAIN = ("hash:ip", "hash:net", "bitmap:ip")


def parse_ipsets(text: str) -> Mapping[str, tuple[Net, ...]]:
    """Sets of other types, with `nomatch` or with a member that is not understood, are left out: not known."""
    found: dict[str, list[Net] | None] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) > 2 and words[0] == "create":
            found[words[1]] = [] if words[2] in _PLAIN else None
        elif len(words) > 2 and words[0] == "add":
            members, net = found.get(words[1]), subnet(words[2])
            if members is not None and net is not None and "nomatch" not in words:
                members.append(net)
            else:
                found[words[1]] = None
    return {name: tuple(members) for name, members in found.items() if members is not None}
