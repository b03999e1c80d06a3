"""Recorded hosts that somebody changed: rules, routes, sockets and switches go, move or turn, the same at each seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from netdash.bundle.recording import Recording
from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.host import Host
from tests.conftest import RECORDINGS

NAMES = sorted(path.parent.parent.name for path in RECORDINGS.glob("*/docker/containers.json"))
_CHANGES = 3  # at most, of one host
_TURNED = (("ACCEPT", "DROP"), ("tcp", "udp"), ("-i ", "! -i "), ("accept", "drop"), (" = 0", " = 1"), (" = 1", " = 0"))


@cache
def changed(seed: int) -> Host:
    """One recorded host, after a few changes."""
    dice = random.Random(seed)
    recording = _recording(dice.choice(NAMES))
    answers = dict(recording.answers)
    for _ in range(dice.randint(1, _CHANGES)):
        path = _chosen(sorted(answers), dice)
        old = answers[path]
        new = (_changed_json if path.endswith(".json") else _changed_text)(str(old), dice)
        # Containers with one network namespace have its files each; they say the same.
        alike = {other for other, answer in answers.items() if path.startswith("containers/") and answer == old}
        answers |= dict.fromkeys({path, *alike}, new)
    return Builder().build(replace(recording, answers=answers))


def _chosen(paths: list[str], dice: random.Random) -> str:
    """Of any folder but the engine's, so that the rules are not outnumbered by the files of containers."""
    folder = dice.choice(sorted({path.partition("/")[0] for path in paths} & {"rules", "ip", "host", "containers"}))
    return dice.choice([path for path in paths if path.startswith(f"{folder}/")])


@cache
def _recording(name: str) -> Recording:
    return load(RECORDINGS / name)


def _changed_text(answer: str, dice: random.Random) -> str:
    lines = answer.splitlines()
    _change(lines, dice, lambda line: _turned(line, dice))
    return "".join(f"{line}\n" for line in lines)


def _changed_json(answer: str, dice: random.Random) -> str:
    value: Any = json.loads(answer)
    rows = value["nftables"] if isinstance(value, dict) else value
    _change(rows, dice, lambda row: json.loads(_turned(json.dumps(row), dice)))
    return json.dumps(value)


def _change(rows: list[Any], dice: random.Random, turn: Callable[[Any], Any]) -> None:
    """Take a row away, move it, or turn what it says."""
    if not rows:
        return
    at, action = dice.randrange(len(rows)), dice.randrange(3)
    if action == 0:
        del rows[at]
    elif action == 1:
        rows.insert(dice.randrange(len(rows)), rows.pop(at))
    else:
        rows[at] = turn(rows[at])


def _turned(text: str, dice: random.Random) -> str:
    old, new = dice.choice(_TURNED)
    return text.replace(old, new, 1)
