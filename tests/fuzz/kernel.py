"""What the kernel did with one probe: the rules by their place, how it ended, and the packet as it was then."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from netdash.parse.netfilter import nft_tables
from netdash.rules.nft_listing import positions
from tests.fuzz.frames import Tuple
from tests.fuzz.make import Probe
from tests.fuzz.oracle import Event, Oracle, Sight
from tests.fuzz.world import Arrival, World

_QUIET = 0.02


@dataclass(frozen=True, slots=True)
class Places:
    """What the listings say of where rules stand."""

    rules: Mapping[tuple[str, str, str, int], int]  # (family, table, chain, handle) -> 1-based position
    tables: frozenset[tuple[str, str]]  # (family, name)
    legacy: Mapping[tuple[str, str, str], int]  # (family, table, chain) -> number of rules

    def family(self, event: Event) -> str:
        """The table's own: an event tells the packet's."""
        known = (event.family, event.table) in self.tables or ("inet", event.table) not in self.tables
        return event.family if known else "inet"


@dataclass(frozen=True, slots=True)
class Met:
    """A rule that matched, or a policy (rule None)."""

    family: str
    table: str
    chain: str
    rule: int | None
    legacy: bool

    def __str__(self) -> str:
        return f"{'legacy ' if self.legacy else ''}{self.family} {self.table}/{self.chain} {self.rule or 'policy'}"


@dataclass(frozen=True, slots=True)
class Fate:
    """`end`: delivered (to this host), received (by the peer `at`), gone (sent to nobody), dropped (by a rule), lost
    (by the kernel, with no rule), unsent (it never came to a hook)."""

    steps: tuple[Met, ...]
    end: str
    packet: Tuple | None  # as it ended
    at: str = ""
    refused: tuple[str, ...] = ()  # answers that refuse
    hooks: tuple[str, ...] = ()  # those that it came to
    answer: Fate | None = None  # of the first packet back: SYN and ACK, or an echo reply


def places(answers: Mapping[str, object]) -> Places:
    """`answers` of a recording."""
    listing = answers["rules/nft.json"]
    rules = {(*chain, handle): position for (chain, handle), position in positions(listing).items()}
    return Places(rules, nft_tables(str(listing)), {**_legacy("ip", answers), **_legacy("ip6", answers)})


def _legacy(family: str, answers: Mapping[str, object]) -> dict[tuple[str, str, str], int]:
    """(family, table, chain) -> number of rules."""
    count: dict[tuple[str, str, str], int] = {}
    table = ""
    for line in str(answers.get(f"rules/{'ip6' if family == 'ip6' else 'ip'}tables-legacy-save.txt", "")).splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            count[family, table, line[1:].split()[0]] = 0
        elif " -A " in f" {line}":
            count[family, table, line.partition("-A ")[2].split()[0]] += 1
    return count


def try_out(world: World, oracle: Oracle, where: Places, probe: Probe, quiet: float = _QUIET) -> Fate:
    """Send it and watch, the answer too. `quiet`: seconds without a word after which nothing more is expected."""
    list(oracle.events())
    oracle.forget_flows()
    world.received()
    world.send(probe.sender, probe.packet, probe.mark)
    sight = Sight()
    arrived, refused = world.received()
    for event in oracle.events():
        sight.take(event)
    if quiet > _QUIET or not (arrived or sight.dropped or _delivered(sight)):
        time.sleep(quiet if quiet > _QUIET else 0)
        more, again = world.received(_QUIET)
        arrived, refused = arrived + more, refused + again
        for event in oracle.events():
            sight.take(event)
    there = [one for one in arrived if not one.answer]
    back = [one for one in arrived if one.answer]
    fate = _fate(sight, there, tuple(refused), where)
    if sight.answer is not None or back:
        fate = replace(fate, answer=_fate(sight.answer or Sight(), back, (), where))
    return fate


def _fate(sight: Sight, arrived: list[Arrival], refused: tuple[str, ...], where: Places) -> Fate:
    steps = tuple(_met(event, where) for event in sight.events if not _end_of_own_chain(event, where))
    hooks = tuple(hook for hook, _ in sight.entered)
    if arrived:
        return Fate(steps, "received", arrived[-1].packet, arrived[-1].at, refused, hooks)
    if _delivered(sight):
        return Fate(steps, "delivered", _last(sight), "", refused, hooks)
    end = "dropped" if sight.dropped or _stopped(sight) else "lost" if hooks else "unsent"
    if end == "lost" and _sent(sight):
        end = "gone"
    return Fate(steps, end, _last(sight), "", refused, hooks)


def _end_of_own_chain(event: Event, where: Places) -> bool:
    """The end of a chain that has no policy, of a legacy table."""
    built_in = event.chain in ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
    last = where.legacy.get((event.family, event.table, event.chain), 0)
    return event.legacy and not built_in and (event.position or 0) > last


def _last(sight: Sight) -> Tuple | None:
    seen = [packet for _, packet in sight.passed + sight.entered if packet]
    passed = [packet for _, packet in sight.passed if packet]
    return passed[-1] if passed else seen[-1] if seen else None


def _delivered(sight: Sight) -> bool:
    return any(hook == "input" for hook, _ in sight.passed)


def _sent(sight: Sight) -> bool:
    return bool(sight.passed) and sight.passed[-1][0].endswith("postrouting")


def _stopped(sight: Sight) -> bool:
    """A hook of IP that it came to and did not get through, with a legacy rule as the last: the kernel does not report
    its drop as one."""
    return (
        bool(sight.events)
        and sight.events[-1].legacy
        and any(
            sum(1 for one, _ in sight.passed if one == hook) < sum(1 for one, _ in sight.entered if one == hook)
            for hook, _ in sight.entered
            if not hook.startswith("bridge ")
        )
    )


def _met(event: Event, where: Places) -> Met:
    if event.legacy:
        last = where.legacy[event.family, event.table, event.chain]
        position = event.position if (event.position or 0) <= last else None
        return Met(event.family, event.table, event.chain, position, legacy=True)
    family = where.family(event)
    rule = None if event.handle is None else where.rules[family, event.table, event.chain, event.handle]
    return Met(family, event.table, event.chain, rule, legacy=False)
