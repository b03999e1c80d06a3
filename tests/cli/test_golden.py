"""Every list view and `show`, byte for byte, on recorded hosts. `python -m tests.regolden` writes the files anew."""

from __future__ import annotations

import pytest

from tests.support.golden_commands import GOLDEN, commands, run

COMMANDS = dict(commands())


@pytest.mark.parametrize("file", COMMANDS)
def test_the_command_says_what_it_said(file: str) -> None:
    assert run(COMMANDS[file]) == (GOLDEN / file).read_text("utf-8")


def test_no_golden_file_is_left_over() -> None:
    kept = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*") if path.suffix in (".txt", ".json")}
    assert {name for name in kept if not name.startswith("screens/")} == set(COMMANDS)
