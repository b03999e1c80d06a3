"""What another host pays for being looked at by ssh: `python tests/bench/remote.py` as root.

A real engine with many containers and a real sshd, both in namespaces. Bytes are those on the wire, processor time is
that of sshd's session, of the shell and of all that it runs there. --containers and --seconds change the size.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "live"))

from bench import engine_cpu, fill, say  # noqa: E402
from lab import Lab, LabError, why_not  # noqa: E402
from sshd import Sshd  # noqa: E402
from terminal import Terminal, cpu_seconds  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60, help="at rest")
    options = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"cannot measure here: {reason}", file=sys.stderr)
        return 1
    try:
        with Lab() as lab, Sshd(lab) as sshd:
            fill(lab, options.containers)
            measure(sshd, options.containers, options.seconds)
    except LabError as error:
        print(f"cannot measure here: {error}", file=sys.stderr)
        return 1
    return 0


def measure(sshd: Sshd, containers: int, seconds: float) -> None:
    lab = sshd.lab
    assert lab.dockerd
    before = on_the_wire(lab)
    with Terminal(lab.netdash_argv(*sshd.options()), sshd.environment, 160, 48) as terminal:
        if terminal.wait_for(lambda: f"{containers} containers" in terminal.text, 60) is None:
            raise LabError(f"the dashboard did not show {containers} containers:\n{terminal.text}")
        say("until all containers are shown", f"{time.monotonic() - terminal.started:.1f} s")
        say("sent by then", f"{(on_the_wire(lab) - before) / 1000:.0f} kB")
        say("processor time there by then", f"{there(sshd):.2f} s")
        terminal.watch(20)
        for what in ("at rest", "at rest once more"):
            sent, spent, engine, began = on_the_wire(lab), there(sshd), engine_cpu(lab.dockerd.pid), time.monotonic()
            terminal.watch(seconds)
            took = time.monotonic() - began
            say(what, f"{(on_the_wire(lab) - sent) / took:.0f} B/s")
            say("  processor there", f"{(there(sshd) - spent) / took * 100:.2f} % of a core")
            say("  the engine's, with its own work", f"{(engine_cpu(lab.dockerd.pid) - engine) / took * 100:.2f} %")
        sent = on_the_wire(lab)
        lab.docker("rm", "-f", "b-000")
        if terminal.wait_for(lambda: f"{containers - 1} containers" in terminal.text, 60) is None:
            raise LabError(f"the dashboard did not hear of it:\n{terminal.text}")
        terminal.watch(5)
        say("sent because one container went", f"{(on_the_wire(lab) - sent) / 1000:.0f} kB")


def on_the_wire(lab: Lab) -> int:
    """Bytes that the loopback of the host has carried: nothing but ssh talks on it."""
    return int(lab.on_host("cat", "/proc/net/dev").partition("lo:")[2].split()[0])


def there(sshd: Sshd) -> float:
    """Seconds of the processor for all sessions, with the children that have ended."""
    assert sshd.process
    return sum(cpu_seconds(pid) for pid in below(sshd.process.pid))


def below(pid: int) -> Iterator[int]:
    """All children of a process, theirs and so on."""
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield child
        yield from below(child)


if __name__ == "__main__":
    sys.exit(main())
