"""`conntrack -L` -> the connections that the kernel tracks. A line that is no entry is left out, and so is an entry of
a zone: only packets that rules put there find it."""

from __future__ import annotations

import re

from netdash.model.addresses import address
from netdash.model.host import TrackedFlow
from netdash.model.packet import Ends

_PAIR = re.compile(r"\b(src|dst|sport|dport|type|code|id)=(\S+)")


def parse_conntrack(text: str) -> tuple[TrackedFlow, ...]:
    """`PROTO NUMBER SECONDS [STATE] src= dst= sport= dport= [UNREPLIED] src= dst= sport= dport= …` a line."""
    return tuple(flow for line in text.splitlines() if (flow := _flow(line)))


def _flow(line: str) -> TrackedFlow | None:
    words = line.split(None, 4)
    if len(words) < 5 or not words[1].isdigit() or not words[2].isdigit():
        return None
    halves = line.split(" src=")
    if len(halves) != 3 or " zone" in line:
        return None
    original, reply = (_ends(f"src={half}") for half in halves[1:])
    if original is None or reply is None:
        return None
    state = "" if "=" in words[3] or words[3].startswith("[") else words[3]
    return TrackedFlow(words[0], original, reply, "[UNREPLIED]" not in line, state, int(words[2]))


def _ends(text: str) -> Ends | None:
    found = dict(_PAIR.findall(text))
    src, dst = address(found.get("src")), address(found.get("dst"))
    return None if src is None or dst is None else Ends(src, _port(found, "sport"), dst, _port(found, "dport"))


def _port(found: dict[str, str], name: str) -> int | None:
    text = found.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
