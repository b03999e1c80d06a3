"""A host and a packet on disk, with what the kernel did: read again by the fast tests. What all hosts of a game have
in common lies once, in BASE or TALK; a case has only the files that differ from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from netdash.bundle.recording import Recording
from tests.fuzz import make_talk, play, play_talk
from tests.fuzz.frames import Tuple
from tests.fuzz.kernel import Fate, Met
from tests.fuzz.make import Probe
from tests.fuzz.play import Game
from tests.fuzz.play_talk import TalkGame, TalkRound
from tests.fuzz.scenario import Lines
from tests.fuzz.talk import Ask, Heard

ANSWER, BASE, TALK = "kernel.json", "base", "talk"
_OF_THE_MOMENT = ("docker/", "containers/", "ip/netns.json", "ip/addr.json", "ip/bridge-", "ip/neigh", "host/listeners")
"""Process ids and indices of devices differ from game to game, and mean the same."""


def keep(game: Game | TalkGame, folder: Path, name: str) -> Path:
    """The game's first round, beside a base of its kind in `folder`, which is made where there is none."""
    one = game.rounds[0]
    if isinstance(one, TalkRound):
        base, name, asked = TALK, f"{TALK}-{name}", {"ask": asdict(one.ask), "heard": asdict(one.heard)}
    else:
        base, asked = BASE, {"probe": asdict(one.probe), "fate": asdict(one.fate)}
    if not (folder / base).exists():
        usual = play_talk.play(make_talk.usual(), []) if base == TALK else play.play((), [])
        for path, text in _texts(usual.recording).items():
            _write(folder / base / path, text)
    common = _files(folder / base)
    for path, text in _texts(game.recording).items():
        if common.get(path) != text and (not path.startswith(_OF_THE_MOMENT) or _made(path, game.lines)):
            _write(folder / name / path, text)
    told = {"lines": [f"{line.tool}: {line.text}" for line in game.lines], **asked}
    _write(folder / name / ANSWER, json.dumps(told, indent=1, default=str) + "\n")
    return folder / name


def _made(path: str, lines: Lines) -> bool:
    """Whether a line of the game has made the difference of such a file."""
    if path.endswith("listeners.txt"):
        return False
    if path.startswith("containers/"):
        return any(line.tool.endswith(" in") and path.split("/")[1] == line.text.split()[0] for line in lines)
    words = {"ip/neigh.json": "neigh ", "ip/addr.json": "link set ", "ip/bridge-link.json": "link set "}
    return path in words and any(line.text.startswith(words[path]) for line in lines)


def load(folder: Path) -> tuple[Recording, Probe, Fate]:
    """A case out of its folder and the base beside it."""
    recording, raw = _read(folder, BASE)
    packet = _tuple(raw["probe"]["packet"])
    assert packet is not None
    probe = Probe(raw["probe"]["sender"], packet, raw["probe"]["mark"])
    return recording, probe, _fate(raw["fate"])


def load_talk(folder: Path) -> tuple[Recording, Ask, Heard]:
    recording, raw = _read(folder, TALK)
    told = raw["ask"]
    ends = {name: ip_address(told[name]) if told[name] else None for name in ("src", "dst")}
    return recording, Ask(**{**told, **ends}), Heard(**raw["heard"])


def _read(folder: Path, base: str) -> tuple[Recording, dict[str, Any]]:
    answers: dict[str, object] = {**_files(folder.parent / base), **_files(folder)}
    raw = json.loads(str(answers.pop(ANSWER)))
    for path in [path for path in answers if path.startswith("docker/")]:
        answers[path] = json.loads(str(answers[path]))
    return Recording(answers, taken=0, hostname="fuzz", privileged=True), raw


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
