"""`tc qdisc` -> the devices whose queue does more than to wait for the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LINE = re.compile(r"^qdisc (\S+) \S+ dev (\S+) (?:root|parent \S+)(?: refcnt \d+)? ?(.*)$", re.MULTILINE)
_PLAIN = frozenset("noqueue pfifo_fast pfifo bfifo mq mqprio fq fq_codel codel cake sfq clsact ingress noop".split())


def parse_qdiscs(text: str) -> Mapping[str, str]:
    """By device: the kind and its options, as `tc` writes them. Of several on one device the last, nearest the wire."""
    found = _LINE.findall(text)
    return {device: f"{kind} {options}".strip() for kind, device, options in found if kind not in _PLAIN}
