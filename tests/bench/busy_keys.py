"""Keys on a dashboard of many containers of which one comes or goes every second: `python tests/bench/busy_keys.py` as
root. Each key is checked: the cursor has not left its row before it, and is where the key leads from there after it.
Ends with 1 where that was not so. --containers, --keys and --seconds change the size; --plain does without tmux."""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "live"))

from bench import fill, spread  # noqa: E402
from lab import IMAGE, Lab, LabError, why_not  # noqa: E402
from terminal import Terminal  # noqa: E402

COLUMNS, ROWS = 120, 40
SEED = 14
KEYS = "jjjjjjjkkkkkk" + "  \r"  # moves, marks and unmarks, opens the card
ESCAPE = "\x1b"
SILENCE = 0.012  # seconds without a byte after which an answer is complete
LATE = 2.0  # seconds that an answer may take before its absence counts
CURSOR, PICKED = "▌", "◆"


class Churn(threading.Thread):
    """Every second a container comes, goes, stops or starts, in the middle of the list too."""

    def __init__(self, lab: Lab, count: int) -> None:
        super().__init__(daemon=True)
        self._lab, self._count = lab, count
        self._over = threading.Event()
        self._dice = random.Random(SEED)
        self.changes = 0
        self.problems: list[str] = []

    def run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            try:
                self._once(self.changes)
            except Exception as error:  # the report names it; the dashboard is what is tested
                self.problems.append(str(error))
            self.changes += 1
            self._over.wait(max(0.0, 1.0 - (time.monotonic() - began)))

    def _once(self, number: int) -> None:
        docker, some = self._lab.docker, self._dice.randrange(self._count)
        name = f"b-{some:03}-{number // 4}"
        if number % 4 == 0:
            self._made = name
            docker("run", "-d", "--name", name, "--network", "crowd", IMAGE, "sleep", "1000")
        elif number % 4 == 1:
            self._stopped = f"b-{some:03}"
            docker("kill", self._stopped)
        elif number % 4 == 2:
            docker("rm", "-f", self._made)
        else:
            docker("start", self._stopped)

    def stop(self) -> None:
        self._over.set()
        self.join(60)


class Watched:
    """The list on the screen, and what the keys did."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.times: list[float] = []
        self.wrong: list[str] = []

    def _list(self) -> list[str]:
        """The rows of the list, the marks before them included; StopIteration while the screen is half painted."""
        lines = self._terminal.text.splitlines()
        start = next(at for at, line in enumerate(lines) if line.lstrip().startswith("NAME"))
        end = next(at for at, line in enumerate(lines) if at > start and line.startswith("──"))
        return [line for line in lines[start + 1 : end] if line[2:].strip()]

    def _here(self) -> tuple[int, list[str], bool]:
        """Place of the cursor, the names on screen, and whether the row is marked, once the screen is whole."""
        if self._terminal.wait_for(lambda: self._state() is not None, LATE) is None:
            raise LabError(f"no list, or no cursor in it:\n{self._terminal.text}")
        return self._seen()

    def _seen(self) -> tuple[int, list[str], bool]:
        rows = self._list()
        at = next(at for at, row in enumerate(rows) if row[0] in (CURSOR, PICKED) and self._is_cursor(at))
        return at, [row[2:].split()[0] for row in rows], rows[at][0] == PICKED

    def _state(self) -> tuple[str, bool] | None:
        """Name and mark of the row under the cursor; None while the screen is half painted."""
        try:
            at, names, marked = self._seen()
        except StopIteration:
            return None
        return names[at], marked

    def _is_cursor(self, at: int) -> bool:
        """By its background: a marked row elsewhere has the same glyph."""
        lines = self._terminal.text.splitlines()
        start = next(number for number, line in enumerate(lines) if line.lstrip().startswith("NAME"))
        cells = self._terminal.screen.buffer[start + 1 + at]
        return cells[1].bg != "default" and cells[1].bg != self._terminal.screen.buffer[start][1].bg

    def press(self, key: str) -> None:
        before, names, marked = self._here()
        burst = self._terminal.press(key, silence=SILENCE)
        if burst is not None:
            self.times.append(burst.first)
        if key != "\r":
            self._terminal.wait_for(lambda: self._state() not in (None, (names[before], marked)), LATE)
        after, now, is_marked = self._here()
        name, there = names[before], now[after]
        if key in "jk":
            self._moved(key, name, after, now)
        elif there != name:
            self.wrong.append(f"{key!r} on {name}: the cursor is on {there}")
        elif key == " " and marked == is_marked:
            self.wrong.append(f"space on {name}: marked {marked} before and after")
        elif key == "\r":
            self._opened(name)

    def _moved(self, key: str, name: str, after: int, now: list[str]) -> None:
        """One row from there: the row before is its neighbour now, or has gone, or it is the list's end."""
        neighbour = after - 1 if key == "j" else after + 1
        beside = now[neighbour] if 0 <= neighbour < len(now) else None
        if name in now and beside != name:
            self.wrong.append(f"{key} on {name}: the cursor is on {now[after]}, beside {beside}")

    def _opened(self, name: str) -> None:
        if self._terminal.wait_for(lambda: self._card() == name, LATE) is None:
            self.wrong.append(f"Enter on {name}: the card is of {self._card()}")
        self._terminal.press(ESCAPE, silence=SILENCE)

    def _card(self) -> str:
        lines = self._terminal.text.splitlines()
        head = next((line for at, line in enumerate(lines) if at and lines[at - 1].startswith("──")), "")
        return (head.split() or [""])[0]

    def rest(self, seconds: float) -> None:
        """Nothing but a key moves the cursor."""
        before, names, _ = self._here()
        self._terminal.watch(seconds)
        after, now, _ = self._here()
        if now[after] != names[before]:
            self.wrong.append(f"without a key the cursor went from {names[before]} to {now[after]}")


@contextmanager
def opened(lab: Lab, tmux: bool) -> Iterator[Terminal]:
    """The dashboard, within tmux where that is wanted: it passes the keys on and paints what it is told."""
    argv, server = lab.netdash_argv(), f"{lab.tag}-keys"
    conf = lab.folder / "tmux.conf"
    conf.write_text("set -g status off\nset -sg escape-time 0\nset -g default-terminal tmux-256color\n")
    words = ["tmux", "-L", server, "-f", str(conf), "new-session", "--", *argv] if tmux else argv
    try:
        with Terminal(words, lab.environment, COLUMNS, ROWS) as terminal:
            yield terminal
    finally:
        if tmux:
            subprocess.run(["tmux", "-L", server, "kill-server"], capture_output=True)


def measure(lab: Lab, containers: int, keys: int, seconds: float, tmux: bool) -> Watched:
    churn = Churn(lab, containers)
    with opened(lab, tmux) as terminal:
        if terminal.wait_for(lambda: f"{containers} containers" in terminal.text, 60) is None:
            raise LabError(f"the dashboard did not show {containers} containers:\n{terminal.text}")
        terminal.settle(1.0)
        watched, dice = Watched(terminal), random.Random(SEED)
        for _ in range(containers // 2):  # rows come and go above and below
            terminal.write(b"j")
            terminal.settle(0.004, 0.05)
        terminal.settle(1.0)
        churn.start()
        try:
            for _ in range(keys):
                began = time.monotonic()
                watched.press(dice.choice(KEYS))
                watched.rest(max(0.01, seconds / keys - (time.monotonic() - began)))
        finally:
            churn.stop()
    print(
        f"{len(watched.times)} of {keys} keys answered while {churn.changes} containers came, went, stopped or started"
    )
    print(f"{'within tmux' if tmux else 'without tmux'}, to the first byte: {spread(watched.times)}   p95 ≤ 12 ms")
    for problem in churn.problems[:5]:
        print(f"the engine: {problem}")
    return watched


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", type=int, default=300)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--plain", action="store_true", help="without tmux")
    options = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"cannot measure here: {reason}", file=sys.stderr)
        return 1
    try:
        with Lab() as lab:
            fill(lab, options.containers)
            watched = measure(lab, options.containers, options.keys, options.seconds, not options.plain)
    except LabError as error:
        print(f"cannot measure here: {error}", file=sys.stderr)
        return 1
    for wrong in watched.wrong[:20]:
        print(f"wrong: {wrong}")
    print(f"{len(watched.wrong)} keys acted on another row, or found the cursor elsewhere")
    return 1 if watched.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
