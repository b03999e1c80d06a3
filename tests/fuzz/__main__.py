"""`python -m tests.fuzz --seed S --packets N`: as root; works in network namespaces of its own only.
`--unread N`: recorded hosts with sources taken away."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.namespaces import CommandError, enter_own_namespace

_AT_ONCE = 30  # packets on one host
_PATIENCE = 5  # hosts that cannot be made


def main() -> int:
    options = _options()
    if options.unread:
        from tests.fuzz.unread import campaign

        return campaign(options.seed, options.unread)
    enter_own_namespace("tests.fuzz", sys.argv[1:])
    return _check() if options.check else _campaign(options)


def _check() -> int:
    from tests.fuzz.known import SITUATIONS, wrong

    found = wrong()
    print("\n".join(found) or f"{len(SITUATIONS)} known situations: the oracle sees them as they are")
    return 1 if found else 0


def _campaign(options: argparse.Namespace) -> int:
    from tests.fuzz.make import probes, scenario
    from tests.fuzz.play import play

    tally: Counter[str] = Counter()
    traced = sent = 0.0
    seed, begun, shrunk, without = options.seed, time.monotonic(), 0, 0
    while tally.total() < options.packets:
        wanted = min(_AT_ONCE, options.packets - tally.total())
        try:
            game = play(scenario(seed), probes(seed, wanted))
        except CommandError as error:
            print(f"seed {seed}: no host: {error}")
            seed, without = seed + 1, without + 1
            if without > _PATIENCE + tally.total() // _AT_ONCE:
                return 1
            continue
        traced, sent = traced + game.traced, sent + game.sent
        tally.update(one.judgement.word for one in game.rounds)
        wrong = [one for one in game.rounds if one.judgement.wrong]
        shown = {one.judgement.text: one for one in reversed(game.rounds) if _told(one.judgement.word, options)}
        for one in reversed(shown.values()):
            print(f"seed {seed}: {one.probe.sender} {one.probe.packet}: {one.judgement.word}: {one.judgement.text}")
        if wrong and shrunk < options.shrink:
            shrunk += 1
            _shrink(seed, game.lines, wrong[0], options.keep)
        seed += 1
    seconds = time.monotonic() - begun
    print(_summary(tally, seed - options.seed, seconds, traced, sent))
    return 1 if any(word.startswith("wrong") for word in tally) else 0


def _told(word: str, options: argparse.Namespace) -> bool:
    return word.startswith("wrong") or (word == "unknown" and options.unknown)


def _shrink(seed: int, lines: object, one: object, keep: Path | None) -> None:
    from tests.fuzz.play import Round, play, shrunk
    from tests.fuzz.saved import BASE, save, save_base

    assert isinstance(one, Round)
    assert isinstance(lines, tuple)
    game = shrunk(lines, one.probe, one.judgement.word)
    if game is None:
        print(f"seed {seed}: not seen again with that packet alone")
        return
    print(f"  shrunk: {one.probe.sender} {one.probe.packet} {game.rounds[0].judgement.text}")
    for line in game.lines:
        print(f"    {line.tool}: {line.text}")
    print(f"    steps: {' | '.join(map(str, game.rounds[0].fate.steps))}; {game.rounds[0].fate.end}")
    if keep is not None:
        if not (keep / BASE).exists():
            save_base(play((), []), keep)
        print(f"    saved as {save(game, keep, f'seed-{seed}')}")


def _summary(tally: Counter[str], hosts: int, seconds: float, traced: float, sent: float) -> str:
    total = tally.total()
    words = ", ".join(f"{count} {word}" for word, count in sorted(tally.items()))
    return (
        f"{total} packets on {hosts} hosts: {words}; {100 * tally['unknown'] / total:.1f} % unknown. "
        f"{seconds:.0f} s, {1000 * traced / total:.2f} ms a trace, {1000 * sent / total:.2f} ms a packet"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--packets", type=int, default=300)
    parser.add_argument("--shrink", type=int, default=3, metavar="N", help="shrink the first mistake on N hosts")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="save what was shrunk, beside a base")
    parser.add_argument("--check", action="store_true", help="only try the oracle on situations that are known")
    parser.add_argument("--unread", type=int, metavar="N", help="recorded hosts with sources taken away, instead")
    parser.add_argument("--unknown", action="store_true", help="tell what is unknown, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
