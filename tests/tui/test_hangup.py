"""A terminal that goes away, as with a lost connection, takes netdash with it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path


def test_netdash_ends_with_its_terminal_although_nobody_tells_it() -> None:
    """The hangup signal goes to the leader of the session: a make or sudo that waits for netdash keeps it to itself."""
    master, terminal = pty.openpty()
    argv = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-m", "netdash", "demo"]
    root = Path(__file__).parents[2]
    env = {**os.environ, "TERM": "xterm-256color"}
    with subprocess.Popen(argv, stdin=terminal, stdout=terminal, stderr=terminal, cwd=root, env=env) as process:
        os.close(terminal)
        try:
            seen = b""
            while b"youthful_volhard" not in seen:
                assert select.select([master], [], [], 60)[0], "nothing painted"
                seen += os.read(master, 65536)
            os.close(master)
            assert process.wait(60) == 129
        finally:
            process.kill()
