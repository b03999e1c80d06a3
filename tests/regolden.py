"""Writes the golden files of the command line: `python -m tests.regolden`. Read what changed before you commit."""

from __future__ import annotations

import shutil

from tests.support.golden_commands import GOLDEN, OTHERS, SHOWN, commands, run


def main() -> None:
    for name in (*SHOWN, *OTHERS):
        shutil.rmtree(GOLDEN / name, ignore_errors=True)
    for file, arguments in commands():
        path = GOLDEN / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(run(arguments), "utf-8")


if __name__ == "__main__":
    main()
