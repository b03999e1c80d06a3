"""What iptables-save lists, legacy or nft: tables, chains, and rules as text. Interprets no rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(slots=True)
class SavedChain:
    policy: str | None = None
    texts: list[str] = field(default_factory=list)  # "-A CHAIN …", without counters
    counters: list[str] = field(default_factory=list)  # "packets:bytes"; "" where the line has none


Saved = dict[tuple[str, str], SavedChain]
"""By (table, chain), in the order of the listing."""


@dataclass(frozen=True, slots=True)
class Listing:
    chains: Saved
    left_out: tuple[str, ...]  # tables that iptables-save named as incompatible and did not print
    whole: bool  # False when the last table has no COMMIT (the answer was cut off), or a line is no rule


_INCOMPATIBLE = re.compile(r"# Table [`'](.+?)' is incompatible")


def parse_save(text: str) -> Listing:
    """The listing of iptables-save, with or without -c."""
    chains: Saved = {}
    left_out: list[str] = []
    table: str | None = None
    whole = True
    for line in text.split("\n"):
        first = line[:1]
        if first == "[" or first == "-":
            whole = _rule_line(line, table, chains) and whole
        elif first == ":":
            name, _, rest = line[1:].partition(" ")
            policy = rest.split(" ", 1)[0].lower()
            chains.setdefault((table or "", name), SavedChain()).policy = policy if policy in _POLICIES else None
        elif first == "*":
            table = line[1:].strip()
        elif line.startswith("COMMIT"):
            table = None
        elif found := _INCOMPATIBLE.match(line):
            left_out.append(found[1])
    return Listing(chains, tuple(left_out), whole and table is None)


_POLICIES = ("accept", "drop")


def _rule_line(line: str, table: str | None, chains: Saved) -> bool:
    """Put a rule into its chain; False when the line is none."""
    counters = ""
    if line[0] == "[":
        end = line.find("] ")
        counters, line = line[1:end], line[end + 2 :]
    name = line[3:].partition(" ")[0]
    if table is None or not name or not line.startswith("-A "):
        return False
    chain = chains.get((table, name))
    if chain is None:
        chain = chains.setdefault((table, name), SavedChain())
    chain.texts.append(line)
    chain.counters.append(counters)
    return True


def counters_of(text: str) -> tuple[int | None, int | None]:
    """(packets, bytes) of "6:360"; (None, None) for anything else."""
    packets, _, size = text.partition(":")
    try:
        return int(packets), int(size)
    except ValueError:
        return None, None
