"""Hostile bytes in every field of every source, and what a terminal or a clipboard would get of them: nothing but text
and netdash's own sequences. `python -m tests.byte_fuzz --seed 1 --mutations 20000`"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from netdash.apply import journal_files, state_directory
from netdash.bundle import collector_stream
from netdash.bundle.recording import Recording
from netdash.bundle.storage import load
from netdash.cli import lists, printing
from netdash.cli import main as cli
from netdash.collect.ssh import Address, failures
from netdash.collect.ssh_reason import explained
from netdash.join.host import Builder
from netdash.model.errors import NetdashError
from netdash.model.host import Failure, Host
from netdash.model.source import SOURCES
from netdash.tui.copy import choices, osc52
from netdash.view.card import card
from netdash.view.detail import detail
from netdash.view.views import VIEWS
from tests.conftest import bundle
from tests.publish.test_state import CHANGE, RECORD
from tests.support.hostile_text import PAYLOADS, FoundError, Terminal, check
from tests.support.streams import stream, texts

HOSTS = "docker20.10-legacy docker28.5-nft-full docker29.7-nftables-full podman5.8-nftables docker20.10-swarm".split()
AT_ONCE = 50  # mutations of one host
SCREENS = 25  # every so many hosts the dashboard is walked through as well
THINGS = 12  # of a view, whose cards and copies are looked at

_STYLE = re.compile(r"\x1b\[[0-9;]*[mHK]|\x1b\[\d+;\d+H")  # what the dashboard paints with


# --- mutations --------------------------------------------------------------------------------------------------------


def spoiled(dice: random.Random, text: str) -> str:
    """A payload in place of the text, before it, behind it, or somewhere within."""
    payload = dice.choice(PAYLOADS)
    at = dice.choice((0, len(text), dice.randint(0, len(text))))
    return payload if dice.random() < 0.2 else text[:at] + payload + text[at:]


def spoiled_word(dice: random.Random, text: str) -> str:
    """One word of the text spoiled: a name, an address, an argument."""
    words = list(re.finditer(r"[^\s\"'=,]+", text))
    if not words:
        return spoiled(dice, text)
    word = dice.choice(words)
    return text[: word.start()] + spoiled(dice, word.group()) + text[word.end() :]


def leaves(value: object, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every text of a JSON value, and to every key."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*way, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from leaves(inner, (*way, at))
    elif way:
        yield way


def spoiled_json(dice: random.Random, value: object, way: Sequence[str | int]) -> object:
    """A copy whose leaf at the end of the way, or seldom a key on it, is spoiled."""
    if not way:
        return spoiled(dice, value if isinstance(value, str) else json.dumps(value))
    first, rest = way[0], way[1:]
    if isinstance(value, dict):
        key = spoiled(dice, str(first)) if dice.random() < 0.03 else first
        return {key if each == first else each: spoiled_json(dice, inner, rest) if each == first else inner
                for each, inner in value.items()}  # fmt: skip
    assert isinstance(value, list)
    return [spoiled_json(dice, inner, rest) if at == first else inner for at, inner in enumerate(value)]


@dataclass(slots=True)
class Source:
    """A recorded host whose answers can be spoiled."""

    recording: Recording
    answers: dict[str, object]
    ways: dict[str, list[tuple[str | int, ...]]]

    @classmethod
    def of(cls, name: str) -> Source:
        recording = load(bundle(name))
        answers = {
            path: recording.json(path) if path.endswith(".json") else answer
            for path, answer in recording.answers.items()
        }
        ways = {path: list(leaves(answer)) for path, answer in answers.items() if path.endswith(".json")}
        return cls(recording, answers, ways)

    def spoiled(self, dice: random.Random, count: int, tally: Counter[str]) -> Recording:
        """`count` mutations, each of a folder and then a source drawn first, so that a small one is hit as often as a
        large one."""
        answers = dict(self.answers)
        folders = sorted({path.split("/")[0] for path in answers})
        for _ in range(count):
            folder = dice.choice(folders)
            path = dice.choice([path for path in answers if path.startswith(folder + "/")])
            answer = answers[path]
            if isinstance(answer, str):
                answers[path] = spoiled_word(dice, answer)
            elif self.ways[path]:
                answers[path] = spoiled_json(dice, answer, dice.choice(self.ways[path]))
            tally[path.split("/")[0] + "/" + path.split("/")[-1]] += 1
        failures = dict(self.recording.failures)
        if dice.random() < 0.3:
            source = dice.choice(list(SOURCES))
            failures[source] = Failure(source, spoiled(dice, "not found"), spoiled(dice, "install it"))
            answers = {path: answer for path, answer in answers.items() if path not in SOURCES[source]}
        return replace(self.recording, answers=answers, failures=failures, hostname=spoiled(dice, "su1"))


# --- surfaces ---------------------------------------------------------------------------------------------------------


class Looker:
    """Runs every command on a host, and looks at every card, copy and screen of it."""

    def __init__(self, dice: random.Random, folder: Path) -> None:
        self.dice = dice
        self.folder = folder
        self.out, self.err = Terminal(), Terminal()
        self.seen = 0  # escapes that stood where a payload would have: the payloads arrive

    def command(self, *words: str) -> None:
        """One command line, its two streams looked at."""
        streams = mock.patch.multiple(sys, stdout=self.out, stderr=self.err)
        with streams, contextlib.suppress(SystemExit):  # --help
            cli.main(words)
        for text in (self.out.taken(), self.err.taken()):
            check(" ".join(map(repr, words)), text)
            self.seen += len(_ESCAPE.findall(text))

    def error(self, told: NetdashError) -> None:
        with mock.patch.object(sys, "stderr", self.err):
            printing.print_error(told)
        check("error", self.err.taken())

    def commands(self, host: Host) -> None:
        """Every list, card, trace and refusal of the command line."""
        payload = self.dice.choice(PAYLOADS)
        built = mock.Mock(return_value=mock.Mock(build=mock.Mock(return_value=host)))
        with mock.patch.object(lists, "reading"), mock.patch.object(lists, "Builder", built):
            for view in VIEWS:
                self.command(view.name)
                self.command(view.name, "--json")
            self.command("containers", f"name:{payload.replace(' ', '')}")
            for container in self.dice.sample(host.containers or (), min(2, len(host.containers or ()))):
                self.command("show", container.id)
                self.command("show", container.id, "--json")
                for sender, receiver in ((container.id[:12], "outside:443"), ("outside", f"{container.id[:12]}:80")):
                    self.command("trace", sender, receiver)
                    self.command("trace", sender, receiver, "--json")
            self.command("reach")
            for port in (host.ports or ())[:2]:
                self.command("ports", "--free", str(port.host_port))
            for words in (("show", payload), ("trace", payload, f"{payload}:80"), ("trace", "host", payload)):
                self.command(*words)
        for words in (("--host", payload), ("ports", "--free", payload), (payload,), ("--interval", payload)):
            self.command(*words, *(() if "ports" in words else ("containers",)))

    def cards(self, host: Host) -> None:
        """Cards, details and what `y` copies, of some things of each view."""
        for view in VIEWS:
            things = view.rows(host).things
            for thing in self.dice.sample(things, min(THINGS, len(things))):
                for line in detail(host, thing, 80):
                    self.line(f"detail of {view.name}", line)
                for label, text in choices(host, view, thing):
                    self.copied(f"{label} of {view.name}", text)
        for container in (host.containers or ())[:THINGS]:
            for line in card(host, container, 100):
                self.line("card", line)

    def line(self, where: str, line: Sequence[object]) -> None:
        text = "".join(span.text for span in line)  # type: ignore[attr-defined]
        check(where, text, _NONE)
        if "\n" in text:
            raise FoundError(f"{where}: a line break in {text!r}")

    def copied(self, where: str, text: str) -> None:
        if not text.isprintable() and any(not one.isprintable() for one in text):
            raise FoundError(f"copied {where}: {text!r}")
        sequence = osc52(text, {})  # type: ignore[arg-type]
        sent = base64.b64decode(sequence.removeprefix("\x1b]52;c;").removesuffix("\x07")).decode()
        if sent != text:
            raise FoundError(f"copied {where}: {sent!r}")

    def state(self) -> None:
        """What netdash itself keeps: forwards, journals, the config file."""
        folder = state_directory.ensure(state_directory.forwards())
        record, journal = replace(RECORD, until=None).dumps(), journal_files.path_of(CHANGE)
        state_directory.write(folder / "1-a.json", json.dumps(self._object(json.loads(record))))
        state_directory.ensure(journal.parent)
        state_directory.write(journal, json.dumps(self._object(json.loads(CHANGE.line()))) + "\n")
        for words in (
            ["published"],
            ["published", "--json"],
            ["recover"],
            ["recover", "--json"],
            ["undo", "--dry-run"],
        ):
            self.command(*words)
        journal.unlink()
        self.command("undo", "--dry-run")
        (folder / "1-a.json").unlink()
        config = self.folder / "config.toml"
        kept = spoiled_word(self.dice, self.dice.choice(_CONFIG))
        config.write_text(kept, "utf-8", "surrogatepass")
        self.command("--config", str(config), "undo", "--dry-run")
        name = re.sub(r"[/\0\ud800-\udbff]", "", spoiled(self.dice, "no"))  # what no argument can hold
        self.command("--from", str(self.folder / name), "ports")

    def _object(self, raw: object) -> object:
        return spoiled_json(self.dice, raw, self.dice.choice(list(leaves(raw))))

    def remote(self, source: Source) -> None:
        """The collector's stream of another host, and what ssh says."""
        lines = stream(texts(source.recording))
        at = self.dice.randrange(len(lines))
        lines[at] = spoiled(self.dice, lines[at])
        try:
            for failure in collector_stream.parse("\n".join(lines)).failures.values():
                self.error(NetdashError(failure.reason, failure.remedy))
        except NetdashError as error:
            self.error(error)
        told = "ssh: connect to host su1 port 22: No route"
        words = (spoiled(self.dice, told) if self.dice.randrange(2) else "" for _ in range(3))
        lost = explained(*words, self.dice.choice((1, 255)), Address("su1", "su1").commands())
        for failure in failures(lost).values():
            self.error(NetdashError(failure.reason, failure.remedy))


_NONE = re.compile(r"(?!)")
_ESCAPE = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_CONFIG = ("interval = 2.0\n", "read_only = true\n", "theme = 'dark'\n", "[keys]\ndown = 'j'\n", "hosts = ['local']\n")


def screens(dice: random.Random, host: Host) -> None:
    """The dashboard on the host: every view, its card, menus, the walk, the forms; the bytes of every screen."""
    from tests.support.publish_stage import Fake
    from tests.support.tui_stage import press, show

    async def scene(pilot: object, app: object) -> None:
        for key in dice.choice(_WALKS):
            await press(pilot, key)  # type: ignore[arg-type]
            update = app.screen._compositor.render_update(full=True)  # type: ignore[attr-defined]
            check(f"screen after {key}", update.render_segments(app.console), _STYLE)  # type: ignore[attr-defined]

    size = dice.choice(((80, 24), (120, 40), (160, 48)))
    show(replace(host, live=True), scene, size, changes=Fake())  # type: ignore[arg-type]


_WALKS = (
    [*"12345678", "question_mark", "escape", "1", "t", "j", "tab", "y", "escape", "escape"],
    ["1", "j", "y", "j", "j", "enter", "P", "tab", "enter", "escape", "escape", "ctrl+p", "escape", "H", "escape"],
    ["2", "enter", "y", "escape", "4", "j", "y", "escape", "tab", "enter", "minus", "R", "escape", "7", "y", "escape"],
    ["1", "slash", *"web", "enter", "colon", *"xyz", "enter", "colon", *"reach", "enter", "j", "escape", "u", "escape"],
)


# --- the campaign -----------------------------------------------------------------------------------------------------


def campaign(seed: int, mutations: int, folder: Path, tell: Callable[..., None] = print) -> Counter[str]:
    """Spoils hosts and looks at all of each. Raises FoundError, or what netdash raised, with the seed of that host."""
    sources = [Source.of(name) for name in HOSTS]
    tally: Counter[str] = Counter()
    for number in range(-(-mutations // AT_ONCE)):
        dice = random.Random(f"{seed}.{number}")
        source = dice.choice(sources)
        try:
            looker = Looker(dice, folder)
            host = Builder().build(source.spoiled(dice, AT_ONCE, tally))
            looker.commands(host)
            looker.cards(host)
            looker.state()
            looker.remote(source)
            if number % SCREENS == 0:
                screens(dice, host)
            tally["escapes seen"] += looker.seen
        except Exception as error:
            error.add_note(f"host {number} of seed {seed}")
            raise
        if number % 50 == 49:
            tell(f"{(number + 1) * AT_ONCE} mutations, {tally['escapes seen']} escapes seen")
    return tally


def surroundings(folder: Path) -> dict[str, str]:
    """The environment in which nothing of this user is read or changed, and colours are on."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TMUX", "STY")}
    own = {
        "NETDASH_STATE_DIR": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "none"),
        "TERM": "xterm-256color",
    }
    return {**kept, **own, "DOCKER_HOST": f"unix://{folder}/none.sock", "COLUMNS": "120"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutations", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ, surroundings(Path(name)), clear=True):
        tally = campaign(options.seed, options.mutations, Path(name))
    print("\n".join(f"{count:8d} {what}" for what, count in tally.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
