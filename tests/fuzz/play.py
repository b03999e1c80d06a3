"""One game: a new host with these rules, these packets sent through it, each compared with what netdash says."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from netdash.trace.model import Trace
from tests.fuzz.judge import Judgement, ask, compare
from tests.fuzz.kernel import Fate, places, try_out
from tests.fuzz.make import Probe
from tests.fuzz.namespaces import CommandError, renew
from tests.fuzz.oracle import Oracle
from tests.fuzz.recorded import record
from tests.fuzz.scenario import Line, Lines, apply
from tests.fuzz.world import World


@dataclass(frozen=True, slots=True)
class Round:
    """A probe, what netdash said of it, and what the kernel did."""

    probe: Probe
    said: Trace
    fate: Fate
    judgement: Judgement

    @property
    def asked(self) -> str:
        return f"{self.probe.sender} {self.probe.packet}"


@dataclass(frozen=True, slots=True)
class Game:
    lines: Lines  # those that the tools took
    recording: Recording
    rounds: tuple[Round, ...]
    traced: float  # seconds that netdash took for all its answers
    sent: float  # seconds that the kernel's answers took


def play(lines: Lines, probes: Sequence[Probe]) -> Game:
    renew()
    with closing(World()) as world, closing(Oracle()) as oracle:
        taken = apply(lines, world.entered)
        recording = record(world)
        host = Builder().build(recording)
        begun = time.monotonic()
        said = [ask(host, probe) for probe in probes]
        asked = time.monotonic()
        where = places(recording.answers)
        oracle.mark(_devices(taken), bridge=any(_bridged(line) for line in taken))
        fates = [try_out(world, oracle, where, probe) for probe in probes]
        ended = time.monotonic()
        rounds = [Round(*one, compare(one[1], one[2])) for one in zip(probes, said, fates, strict=True)]
        watch = partial(try_out, world, oracle, where, quiet=_PATIENCE)
        rounds = [_again(watch, one) if one.judgement.wrong else one for one in rounds]
    return Game(taken, recording, tuple(rounds), asked - begun, ended - asked)


_AGAIN, _PATIENCE = 3, 0.3  # times, seconds


def _again(watch: Callable[[Probe], Fate], one: Round) -> Round:
    """A mismatch counts only where it comes back each time: on a loaded machine the kernel's word may come late."""
    for _ in range(_AGAIN):
        fate = watch(one.probe)
        one = replace(one, fate=fate, judgement=compare(one.said, fate))
        if not one.judgement.wrong:
            break
    return one


def _bridged(line: Line) -> bool:
    return line.tool == "nft" and line.text.startswith("add chain bridge ")


def _devices(lines: Lines) -> list[str]:
    """Those with an ingress hook."""
    words = [line.text.split() for line in lines if line.tool == "nft" and " hook ingress " in line.text]
    return sorted({one[one.index("device") + 1] for one in words})


def shrunk(lines: Lines, one: Round) -> Game | None:
    """The same mistake with as few lines as can be found by leaving out ever smaller parts; None when the packet alone
    does not show it."""
    probe, kind = one.probe, one.judgement.word
    best = _shows(lines, probe, kind)
    size = len(lines) // 2
    while best is not None and size >= 1:
        at = 0
        while at < len(best.lines):
            less = best.lines[:at] + best.lines[at + size :]
            found = _shows(less, probe, kind)
            if found is None:
                at += size
            else:
                best = found
        size = min(size // 2, len(best.lines) // 2) if size > 1 else 0
    return best


def _shows(lines: Lines, probe: Probe, kind: str) -> Game | None:
    try:
        game = play(lines, [probe])
    except CommandError:
        return None
    return game if game.rounds[0].judgement.word == kind else None
