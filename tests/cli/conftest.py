"""What the tests of the command line share: a command that is run in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netdash.cli import main

Ran = tuple[int, str, str]
"""Exit code, stdout, stderr."""


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run(*arguments: str) -> Ran:
        code = main.main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
