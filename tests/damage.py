"""Recorded hosts that are damaged at random: `python -m tests.damage --seed S --bundles N`. Whatever is in a file, a
host is built of what can be read, and every view, card, trace and JSON is made of it without an exception."""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path

from netdash.bundle.storage import dump, load
from netdash.join.host import Builder
from netdash.model.errors import NetdashError
from netdash.model.host import Host
from netdash.trace.reachability import reach
from netdash.trace.tracer import trace
from netdash.view import json_host, json_trace, reachability, terminal
from netdash.view import trace as walk
from netdash.view.card import card
from netdash.view.detail import detail
from netdash.view.views import VIEWS
from tests.conftest import RECORDINGS
from tests.support.trace_hosts import questions_of

SMALL = 150_000  # bytes of a recording
ODD_VALUES: tuple[object, ...] = (
    *(None, True, -1, 0, 1 << 70, 1e999, 0.5, "", [], {}, [[]], [None], {"": None}),
    *(
        "²",
        "\ud800",
        "\x1b]0;x\x07",
        "x" * 3000,
        "-1",
        "9" * 5000,
        "::ffff:1.2.3.4",
        "fe80::1%x/64",
        "0.0.0.0/0",
        "1/2",
    ),
)
ODD_BYTES = (
    b"\0",
    b"\n",
    b"\r",
    b'"',
    b"\\",
    b"\xff",
    b"\xc2\xb2",
    b"\xe2\x80\xa8",
    b"-",
    b" ",
    b"9" * 5000,
    b"[[",
    b":",
)
WIDTH = 80


@cache
def recordings() -> tuple[Path, ...]:
    """The small ones, each with one file a source."""
    folders = (path.parent.parent for path in RECORDINGS.rglob("docker/containers.json"))
    return tuple(sorted(path for path in folders if sum(len(text) for text in contents(path).values()) < SMALL))


@cache
def contents(folder: Path) -> Mapping[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def damaged(files: Mapping[str, bytes], dice: random.Random) -> dict[str, bytes]:
    """The same files, some of them removed, cut off, or with odd bytes and values in them."""
    made = dict(files)
    for _ in range(dice.randint(1, 4)):
        name = dice.choice(sorted(made))
        action = dice.randrange(10)
        if action == 0 and len(made) > 1:
            del made[name]
        elif action == 1:
            made[name] = made[name][: dice.randint(0, len(made[name]))]
        elif action < 7 and name.endswith(".json") and made[name]:
            made[name] = _with_odd_values(made[name], dice)
        else:
            made[name] = _with_odd_bytes(made[name], dice)
    return made


def _with_odd_values(content: bytes, dice: random.Random) -> bytes:
    try:
        root = json.loads(content)
    except ValueError:
        return content
    for _ in range(dice.randint(1, 3)):
        places = list(_places(root))
        if places:
            owner, key = dice.choice(places)
            owner[key] = copy.deepcopy(dice.choice(ODD_VALUES))
    return json.dumps(root).encode()


def _places(value: object) -> Iterator[tuple[dict[object, object], object]]:
    """Everything that can be replaced, as its owner and its key there."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield value, key  # type: ignore[misc]  # a list is taken for a mapping of its indexes
        yield from _places(inner)


def _with_odd_bytes(content: bytes, dice: random.Random) -> bytes:
    made = bytearray(content)
    for _ in range(dice.randint(1, 8)):
        at = dice.randint(0, len(made))
        if dice.random() < 0.5:
            made[at : at + dice.randint(0, 3)] = dice.choice(ODD_BYTES)
        elif at < len(made):
            made[at] ^= 1 << dice.randrange(8)
    return bytes(made)


def look(folder: Path, whole: bool) -> None:
    """What a person may ask of this recording; who reaches what, and the recording written again, only when `whole`."""
    try:
        recording = load(folder)
    except NetdashError:  # it says in one line why this is no recording
        return
    host = Builder().build(recording)
    for view in VIEWS:
        rows = view.rows(host)
        terminal.table(view, list(rows), WIDTH, False)
        json_host.dumps(json_host.list_view(host, view, rows.things))
        for thing in rows.things[:3]:
            terminal.text(detail(host, thing, WIDTH), False)
    _look_at_containers(host)
    if not whole:
        return
    matrix = reach(host)
    terminal.text(reachability.lines(host, matrix, WIDTH), False)
    json_host.dumps(json_trace.reach(matrix))
    with tempfile.TemporaryDirectory() as written:
        dump(recording, Path(written, "again"), "0")


def _look_at_containers(host: Host) -> None:
    for container in (host.containers or ())[:3]:
        terminal.text(card(host, container, WIDTH), False)
        json_host.dumps(json_host.show(host, container))
        for asked in islice(questions_of(host, container), 2):
            answer = trace(host, asked.question)
            terminal.text(walk.lines(host, answer, WIDTH), False)
            json_host.dumps(json_trace.trace(answer))


def check(seed: int, number: int) -> str | None:
    """One damaged recording: the traceback, if there is one."""
    dice = random.Random(f"{seed}.{number}")
    chosen = dice.choice(recordings())
    with tempfile.TemporaryDirectory() as folder:
        for name, content in damaged(contents(chosen), dice).items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        try:
            look(Path(folder), number % 4 == 0)
        except Exception:
            return f"seed {seed}.{number}, {chosen.name}:\n{traceback.format_exc()}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.damage")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bundles", type=int, default=5000)
    options = parser.parse_args()
    places: Counter[str] = Counter()
    for number in range(options.bundles):
        problem = check(options.seed, number)
        if problem:
            place = " | ".join(problem.splitlines()[-4:][::3])
            if not places[place]:
                print(problem)
            places[place] += 1
    print(f"{options.bundles} damaged recordings, {places.total()} exceptions at {len(places)} places")
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
