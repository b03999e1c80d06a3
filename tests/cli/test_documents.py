"""The commands that the documents show are commands: those that only look run on a recorded host, all others parse."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from netdash.cli import main
from netdash.cli.parser import command_line, parse
from netdash.model.errors import Exit
from netdash.tui.actions import KEYS
from tests.conftest import RECORDINGS

ROOT = RECORDINGS.parents[1]
HOST = str(RECORDINGS / "forward-drop-ahead")
LOOKING = (
    "containers ports networks rules routes proxies links drift flows map show doctor trace reach who what-if".split()
)
_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)
_COMMENT = re.compile(r"(?: {2,}|\s#).*")


def shown(document: str) -> Iterator[str]:
    """Commands of netdash in the blocks of a document, and in its tables and sentences."""
    text = (ROOT / document).read_text("utf-8")
    lines = [
        line.removeprefix("$ ").removeprefix("sudo ") for block in _BLOCK.findall(text) for line in block.splitlines()
    ]
    found = [_COMMENT.sub("", line) for line in lines if re.match(r"netdash(?! demo$) [a-z-]", line)]
    found += re.findall(r"`(netdash [a-z-][^`]*)`", _BLOCK.sub("", text))
    for command in found:
        yield re.sub(r"\s*…|\s*\|.*source$", "", command).strip()


EXAMPLES = sorted({command for document in ("README.md", "docs/install.md") for command in shown(document)})


def test_the_first_page_shows_commands() -> None:
    assert len(EXAMPLES) >= 8, EXAMPLES


@pytest.mark.parametrize("command", EXAMPLES)
def test_a_command_of_the_first_pages_works(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command)[1:]
    arguments = parse(words)
    if arguments.command in LOOKING and not arguments.hosts and arguments.bundle is None:
        code = main.main(["--from", HOST, *words])
        assert code in (Exit.FINE, Exit.FINDINGS, Exit.UNKNOWN), capsys.readouterr().err
        assert capsys.readouterr().out


@pytest.mark.parametrize("document", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_the_other_pages_name_commands_and_options_that_there_are(document: str) -> None:
    known = command_line().commands()
    for command in shown(f"docs/{document}"):
        words = re.split(r"[\s\[\]|=]+", command)[1:]
        named = [word for word in words if word in known]
        assert named or words[0].startswith("-"), command
        parsers = [command_line(), *(known[name] for name in named)]
        options = {option for one in parsers for action in one.arguments() for option in action.option_strings}
        assert not [word for word in words if word.startswith("--") and word not in options], command


def test_the_keys_of_the_first_page_are_keys() -> None:
    text = Path(ROOT / "README.md").read_text("utf-8").partition("## What to press")[2].partition("## More")[0]
    keys = {"0": "0", "Enter": "enter", "-": "minus", "/": "slash", "?": "question_mark"}
    known = {key for action in KEYS for key in re.split(r"[,\s]+", action.keys)} | set("0123456789D")
    pressed = [key for key in re.findall(r"`([^`\s]+)`", text) if len(key) == 1 or key in keys]
    assert len(pressed) >= 8
    assert not [key for key in pressed if keys.get(key, key) not in known and key not in known]
