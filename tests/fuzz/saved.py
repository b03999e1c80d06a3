"""A mistake on disk: the host as a recording, the packet, and the kernel's answer; read again by the fast tests."""

from __future__ import annotations

import json
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path

from netdash.core.recording import dump
from tests.fuzz.frames import Tuple
from tests.fuzz.kernel import Fate, Met
from tests.fuzz.make import Probe
from tests.fuzz.play import Game

ANSWER = "kernel.json"


def save(game: Game, folder: Path) -> None:
    """The game's first round. The folder must not exist."""
    dump(game.recording, folder, "fuzz")
    one = game.rounds[0]
    answer = {
        "probe": asdict(one.probe),
        "fate": asdict(one.fate),
        "lines": [f"{line.tool}: {line.text}" for line in game.lines],
    }
    (folder / ANSWER).write_text(json.dumps(answer, indent=1, default=str) + "\n", "utf-8")


def load_answer(folder: Path) -> tuple[Probe, Fate]:
    raw = json.loads((folder / ANSWER).read_text("utf-8"))
    probe, fate = raw["probe"], raw["fate"]
    packet = _tuple(probe["packet"])
    assert packet is not None
    return (
        Probe(probe["sender"], packet, probe["mark"]),
        Fate(
            tuple(Met(**step) for step in fate["steps"]),
            fate["end"],
            _tuple(fate["packet"]),
            fate["at"],
            tuple(fate["refused"]),
            tuple(fate["hooks"]),
        ),
    )


def _tuple(raw: dict[str, object] | None) -> Tuple | None:
    if raw is None:
        return None
    return Tuple(
        str(raw["proto"]),
        ip_address(str(raw["src"])),
        ip_address(str(raw["dst"])),
        int(str(raw["sport"])),
        int(str(raw["dport"])),
    )
