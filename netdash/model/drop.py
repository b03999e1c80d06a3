"""What loses packets: a rule, a policy or a counter of the kernel, how often it did, and how fast it does now."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from netdash.model.records import dataclass
from netdash.model.rules import Chain, Rule


class DropKind(StrEnum):
    RULE = "rule"
    POLICY = "policy"  # of a base chain
    ROUTING = "routing"
    IP = "ip"
    TCP = "tcp"
    UDP = "udp"
    CONNTRACK = "conntrack"
    LINK = "link"
    SOFTNET = "softnet"  # the queues of the processors
    UNREAD = "unread"  # counters that could not be read: what they lost is not known


@dataclass(frozen=True, slots=True)
class Counter:
    """`rate`: a second since the reading before; None in the first one, and where the counter began anew."""

    count: int
    rate: float | None = None


Counters = Mapping[tuple[str, str], Counter]
"""By device ("" for none) and name."""


@dataclass(frozen=True, slots=True)
class Drop:
    """`name`: the counter's, as the kernel or its tool calls it; "" of rules and policies. `count`: packets since the
    counter began; None where that is not known, `why` says why. `place`: the rule, or the chain of the policy."""

    kind: DropKind
    name: str
    count: int | None
    rate: float | None
    place: Rule | Chain | None = None
    device: str = ""
    why: str = ""

    @property
    def moving(self) -> bool:
        return bool(self.rate)
