"""A host and a packet on disk, with what the kernel did: read again by the fast tests. What all hosts of the game have
in common lies once, in BASE; a case has only the files that differ from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from netdash.core.recording import Recording
from tests.fuzz.frames import Tuple
from tests.fuzz.kernel import Fate, Met
from tests.fuzz.make import Probe
from tests.fuzz.play import Game

ANSWER, BASE = "kernel.json", "base"
_UNUSED = ("ip/neigh.json", "ip/bridge-fdb.json")
_OF_THE_MOMENT = ("docker/", "containers/", "ip/netns.json", "ip/addr.json", "ip/bridge-link.json", "host/listeners")
"""Process ids and indices of devices differ from game to game, and mean the same."""


def save_base(game: Game, folder: Path) -> None:
    for name, text in _texts(game.recording).items():
        _write(folder / BASE / name, text)


def save(game: Game, folder: Path, name: str) -> Path:
    """The game's first round, beside the base in `folder`."""
    base = _files(folder / BASE)
    for path, text in _texts(game.recording).items():
        if base.get(path) != text and not path.startswith(_OF_THE_MOMENT):
            _write(folder / name / path, text)
    one = game.rounds[0]
    answer = {
        "lines": [f"{line.tool}: {line.text}" for line in game.lines],
        "probe": asdict(one.probe),
        "fate": asdict(one.fate),
    }
    _write(folder / name / ANSWER, json.dumps(answer, indent=1, default=str) + "\n")
    return folder / name


def load(folder: Path) -> tuple[Recording, Probe, Fate]:
    """A case out of its folder and the base beside it."""
    answers: dict[str, object] = {**_files(folder.parent / BASE), **_files(folder)}
    raw = json.loads(str(answers.pop(ANSWER)))
    for path in [path for path in answers if path.startswith("docker/")]:
        answers[path] = json.loads(str(answers[path]))
    packet = _tuple(raw["probe"]["packet"])
    assert packet is not None
    probe = Probe(raw["probe"]["sender"], packet, raw["probe"]["mark"])
    return Recording(answers, taken=0, hostname="fuzz", privileged=True), probe, _fate(raw["fate"])


def _fate(raw: dict[str, Any]) -> Fate:
    return Fate(
        tuple(Met(**step) for step in raw["steps"]),
        raw["end"],
        _tuple(raw["packet"]),
        raw["at"],
        tuple(raw["refused"]),
        tuple(raw["hooks"]),
        _fate(raw["answer"]) if raw.get("answer") else None,
    )


def _texts(recording: Recording) -> dict[str, str]:
    return {
        path: answer if isinstance(answer, str) else json.dumps(answer, separators=(",", ":")) + "\n"
        for path, answer in recording.answers.items()
        if path not in _UNUSED
    }


def _files(folder: Path) -> Mapping[str, str]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in paths}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


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
