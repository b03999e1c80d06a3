"""`ip xfrm policy` -> which packets IPsec takes."""

from __future__ import annotations

import re

from netdash.model.addresses import subnet
from netdash.model.host import IpsecPolicy

_SELECTOR = re.compile(r"^src (\S+) dst (\S+)", re.MULTILINE)


def parse_policies(text: str) -> tuple[IpsecPolicy, ...]:
    """A policy without a template lets packets pass as they are, and is left out; of its other selectors (ports,
    protocols, marks) nothing is said, so that it may take a packet."""
    found = []
    starts = [match.start() for match in _SELECTOR.finditer(text)]
    for start, end in zip(starts, [*starts, len(text)][1:], strict=True):
        part = text[start:end]
        selector = _SELECTOR.match(part)
        direction = re.search(r"\bdir (in|out|fwd)\b", part)
        if selector is None or direction is None or not ("\ttmpl " in part or " action block" in part):
            continue
        src, dst = subnet(selector[1]), subnet(selector[2])
        if src is not None and dst is not None:
            found.append(IpsecPolicy(direction[1], src, dst, "action block" in part))
    return tuple(found)
