"""How netdash starts a module of its own as another process: with its own code, whatever folder it was called in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_HOME = Path(__file__).parents[2]  # of the package
_KEPT = ("PATH", "LANG", "NETDASH_STATE_DIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "HOME")


def argv(module: str, *words: str) -> list[str]:
    """`python -P -m netdash.apply.MODULE WORDS`; -P: a folder that happens to be current must not lend it modules."""
    return [sys.executable, "-P", "-m", f"netdash.apply.{module}", *words]


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(_HOME), os.environ.get("PYTHONPATH"))))
    return {"PYTHONPATH": path, **{key: os.environ[key] for key in _KEPT if key in os.environ}}


def leave(module: str, *words: str) -> bool:
    """Start a module that leaves its caller at once; whether it did."""
    done = subprocess.run(
        argv(module, *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd="/",
        check=False,
    )
    return done.returncode == 0
