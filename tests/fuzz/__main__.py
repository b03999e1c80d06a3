"""`python -m tests.fuzz --seed S --packets N`: as root; works in network namespaces of its own only.
`--unread N`: recorded hosts with sources taken away; `--changes N`: changes that are made, beside their model."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.namespaces import CommandError, enter_own_namespace

if TYPE_CHECKING:
    from tests.fuzz.play import Game, Round
    from tests.fuzz.play_talk import TalkGame, TalkRound

_AT_ONCE = 30  # packets on one host
_PATIENCE = 5  # hosts that cannot be made


def main() -> int:
    options = _options()
    if options.unread:
        from tests.fuzz.unread import campaign

        return campaign(options.seed, options.unread)
    enter_own_namespace("tests.fuzz", sys.argv[1:])
    if options.prove:
        from tests.fuzz.prove import campaign as prove

        return prove(options.seed, options.prove)
    if options.changes:
        from tests.fuzz import changes

        return changes.campaign(options.seed, options.changes)
    return _check() if options.check else _campaign(options)


def _check() -> int:
    from tests.fuzz.known import SITUATIONS, wrong

    found = wrong()
    print("\n".join(found) or f"{len(SITUATIONS)} known situations: the oracle sees them as they are")
    return 1 if found else 0


def _campaign(options: argparse.Namespace) -> int:
    tally: Counter[str] = Counter()
    traced = sent = 0.0
    seed, begun, shrunk, without = options.seed, time.monotonic(), 0, 0
    while tally.total() < options.packets:
        wanted = min(_AT_ONCE, options.packets - tally.total())
        try:
            game = _game(seed, wanted)
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
            print(f"seed {seed}: {one.asked}: {one.judgement.word}: {one.judgement.text}", flush=True)
        if wrong and shrunk < options.shrink:
            shrunk += 1
            _shrink(seed, game, wrong[0], options.keep)
        seed += 1
    seconds = time.monotonic() - begun
    print(_summary(tally, seed - options.seed, seconds, traced, sent))
    return 1 if any(word.startswith("wrong") for word in tally) else 0


def _told(word: str, options: argparse.Namespace) -> bool:
    return word.startswith("wrong") or (word == "unknown" and options.unknown)


def _game(seed: int, wanted: int) -> Game | TalkGame:
    """By turns the first packet's way, rule by rule, and whether data comes back."""
    from tests.fuzz import make, make_talk, play, play_talk

    if seed % 2:
        return play.play(make.scenario(seed), make.probes(seed, wanted))
    return play_talk.play(make_talk.host(seed), make_talk.asks(seed, wanted))


def _shrink(seed: int, game: Game | TalkGame, one: Round | TalkRound, keep: Path | None) -> None:
    from tests.fuzz import play, play_talk, saved

    if isinstance(one, play_talk.TalkRound):
        least: Game | TalkGame | None = play_talk.shrunk(game.lines, one)
    else:
        least = play.shrunk(game.lines, one)
    if least is None:
        print(f"seed {seed}: not seen again with that packet alone")
        return
    print(f"  shrunk: {one.asked} {least.rounds[0].judgement.text}")
    for line in least.lines:
        print(f"    {line.tool}: {line.text}")
    if isinstance(least, play.Game):
        print(f"    steps: {' | '.join(map(str, least.rounds[0].fate.steps))}; {least.rounds[0].fate.end}")
    if keep is not None:
        print(f"    saved as {saved.keep(least, keep, f'seed-{seed}')}")


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
    parser.add_argument("--prove", type=int, metavar="N", help="packets with the code of `trace --prove`, instead")
    parser.add_argument("--changes", type=int, metavar="N", help="random changes of the hosts, instead of packets")
    parser.add_argument("--unknown", action="store_true", help="tell what is unknown, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
