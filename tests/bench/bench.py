"""Measures the dashboard from outside, on a private engine with many containers: `python tests/bench/bench.py` as root.

A report, not a test: medians of several runs beside what is aimed at. --containers, --runs and --idle change the size.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "live"))

from lab import IMAGE, Lab, LabError, run, until, why_not  # noqa: E402
from terminal import Burst, Terminal, cpu_seconds, family  # noqa: E402

COLUMNS, ROWS = 160, 48
FIRST_PORT = 20_000
CROWD_FIRST, CROWD = 30_000, 5_000
OTHERS = ("lazydocker", "oxker", "ctop")
BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("nothing but Textual")
Bare().run()
"""


def main() -> int:
    options = _options()
    reason = why_not()
    if reason:
        print(f"cannot measure here: {reason}", file=sys.stderr)
        return 1
    print(f"{_machine()}\n")
    try:
        with Lab() as lab:
            print(
                f"engine {lab.docker('version', '-f', '{{.Server.Version}}')}, {options.containers} containers, "
                f"half of them with a published port, {COLUMNS}x{ROWS}\n"
            )
            fill(lab, options.containers)
            first_paint(lab, options)
            others(lab, options)
            keys(lab, options)
            new_rows(lab, options)
            idle(lab, options)
            crowded(lab, options)
    except LabError as error:
        print(f"cannot measure here: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", type=int, default=300)
    parser.add_argument("--runs", type=int, default=7, help="of each measurement; medians are shown")
    parser.add_argument("--idle", type=float, default=60, help="seconds for processor time at rest")
    return parser.parse_args()


def _machine() -> str:
    models = [line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return (
        f"{len(models)} ×{models[0] if models else ' ?'}, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}"
    )


def say(what: str, value: str, aim: str = "") -> None:
    print(f"{what:<46}{value:>22}   {aim}", flush=True)


def fill(lab: Lab, count: int) -> None:
    """Create first, then start: creating is cheap, and the names sort as they are numbered."""
    lab.docker("network", "create", "--subnet", "10.200.0.0/20", "crowd")

    def start(number: int) -> None:
        published = ["-p", f"{FIRST_PORT + number}:80"] if number % 2 else []
        lab.docker("run", "-d", "--name", f"b-{number:03}", "--network", "crowd", *published, IMAGE, "sleep", "100000")

    began = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(start, range(count)))
    print(f"(started in {time.monotonic() - began:.0f} s)\n", flush=True)
    time.sleep(3)


@contextmanager
def dashboard(lab: Lab, count: int, *words: str) -> Iterator[Terminal]:
    with Terminal(lab.netdash_argv(*words), lab.environment, COLUMNS, ROWS) as terminal:
        if terminal.wait_for(lambda: all_there(terminal.text, count), 30) is None:
            raise LabError(f"the dashboard did not show {count} containers:\n{terminal.text}")
        yield terminal


def all_there(text: str, count: int) -> bool:
    return f"{count} containers" in text and f"b-{count - 1:03}" in text


# --- the measurements -------------------------------------------------------------------------------------------------


def first_paint(lab: Lab, options: argparse.Namespace) -> None:
    paints, sizes, later = [], [], []
    for _ in range(options.runs):
        with dashboard(lab, options.containers) as terminal:
            paints.append(terminal.last_read - terminal.started)
            terminal.settle(1.0)
            sizes.append(terminal.memory())
            terminal.watch(5)
            later.append(terminal.memory())
    say("first paint, all containers", milliseconds(paints), "≤ 400 ms")
    say("memory once everything is read", f"{statistics.median(sizes) / 2**20:.1f} MiB", "≤ 60 MiB")
    say("memory 5 s later", f"{statistics.median(later) / 2**20:.1f} MiB", "≤ 60 MiB")


def others(lab: Lab, options: argparse.Namespace) -> None:
    paints = []
    for _ in range(options.runs):
        with Terminal([sys.executable, "-c", BARE], lab.environment, COLUMNS, ROWS) as terminal:
            paints.append(terminal.wait_for("nothing but", 20) or float("nan"))
    say("  an empty Textual app, the floor here", milliseconds(paints))
    for name in OTHERS:
        if shutil.which(name) is None:
            continue
        paints = []
        for _ in range(options.runs):
            argv = [*lab.netdash_argv()[:2], name]
            with Terminal(argv, lab.environment, COLUMNS, ROWS) as terminal:
                paints.append(terminal.wait_for("b-0", 20) or float("nan"))
        say(f"  {name}: first paint of containers", milliseconds(paints))


def keys(lab: Lab, options: argparse.Namespace) -> None:
    with dashboard(lab, options.containers) as terminal:
        terminal.settle(1.0)
        bursts = press_all(terminal, "jjjjjjjjjkkkkk" * 15, 0.03)
    say("cursor key to screen, first byte", spread([burst.first for burst in bursts]), "p95 ≤ 8 ms")
    say("cursor key to screen, last byte", spread([burst.last for burst in bursts]), "p95 ≤ 8 ms")


def press_all(terminal: Terminal, sequence: str, pause: float) -> list[Burst]:
    """Each key when the screen is silent, so that an answer belongs to its key."""
    found = []
    for key in sequence:
        terminal.settle(pause, 1.0)
        burst = terminal.press(key, silence=0.012)
        if burst:
            found.append(burst)
    return found


class Events(threading.Thread):
    """When the engine told of each container's start, by name, on this machine's monotonic clock."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(daemon=True)
        words = ("events", "--filter", "event=start", "--format", "{{json .}}")
        self._process = subprocess.Popen(
            ["docker", "--host", f"unix://{lab.socket}", *words], stdout=subprocess.PIPE, text=True
        )
        self.seen: dict[str, float] = {}

    def run(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            now = time.monotonic()
            self.seen[json.loads(line)["Actor"]["Attributes"]["name"]] = now

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(5)


def new_rows(lab: Lab, options: argparse.Namespace) -> None:
    events = Events(lab)
    events.start()
    delays = []
    with dashboard(lab, options.containers) as terminal:
        terminal.settle(1.0)
        terminal.write(b"/zz-\r")
        terminal.settle(0.5)
        for number in range(options.runs):
            name = f"zz-{number}"
            lab.docker("create", "--name", name, "--network", "crowd", IMAGE, "sleep", "1000")
            terminal.wait_for(name, 5)
            terminal.settle(0.3)
            starter = threading.Thread(target=lab.docker, args=("start", name))
            starter.start()
            shown = terminal.wait_for(lambda name=name: is_up(terminal.text, name), 10)
            at = terminal.last_read
            starter.join()
            if shown is not None and until(lambda name=name: name in events.seen, 5):
                delays.append(at - events.seen[name])
    events.stop()
    lab.docker("rm", "-f", *(f"zz-{number}" for number in range(options.runs)))
    say("container's start event to its row", milliseconds(delays), "≤ 50 ms")


def is_up(text: str, name: str) -> bool:
    return any(name in line and "●" in line for line in text.splitlines()[2:])


def idle(lab: Lab, options: argparse.Namespace) -> None:
    assert lab.dockerd
    engine = lab.dockerd.pid
    alone = engine_work(engine, options.idle)
    with dashboard(lab, options.containers) as terminal:
        terminal.watch(8)
        before, before_engine = terminal.cpu(), engine_cpu(engine)
        sent = terminal.watch(options.idle)
        ours, engine_spent = terminal.cpu() - before, engine_cpu(engine) - before_engine
    share = 60 / options.idle
    say("processor time at rest, a minute", f"{ours * share:.2f} s", "≤ 0.5 s")
    say("dockerd's for us, a minute", f"{max(0.0, engine_spent - alone) * share:.2f} s", "≤ 0.1 s")
    say("  dockerd's without us, a minute", f"{alone * share:.2f} s")
    say("bytes to the terminal at rest, a minute", f"{sent * share:.0f}")


def engine_cpu(pid: int) -> float:
    """dockerd and its containerd; shims and proxies have nothing to do with our questions."""
    return sum(cpu_seconds(one) for one in family(pid)[:2])


def engine_work(pid: int, seconds: float) -> float:
    before = engine_cpu(pid)
    time.sleep(seconds)
    return engine_cpu(pid) - before


def crowded(lab: Lab, options: argparse.Namespace) -> None:
    """5,000 listeners and 10,000 more rules in the host's namespace; keys are pressed while it is read again."""
    enter = lab.netdash_argv()[:2]
    script = [sys.executable, str(HERE / "crowd.py")]
    rules = run(*script, "rules", str(CROWD_FIRST), str(CROWD))
    subprocess.run([*enter, "iptables-restore", "--noflush"], input=rules, text=True, check=True)
    holder = subprocess.Popen([*enter, *script, "listen", str(CROWD_FIRST), str(CROWD)], stdout=subprocess.PIPE)
    assert holder.stdout
    holder.stdout.readline()
    try:
        with dashboard(lab, options.containers, "--interval", "2") as terminal:
            terminal.watch(6)
            for digit, pane in (("1", "containers"), ("2", "ports"), ("4", "rules")):
                terminal.write(digit.encode())
                terminal.settle(0.5, 3)
                gaps = hammer(terminal, 12)
                say(f"10,000 rules, 5,000 ports: worst key in {pane}", f"{max(gaps) * 1000:.1f} ms", "≤ 20 ms")
                say("  keys answered later than 20 ms", f"{sum(gap > 0.02 for gap in gaps)} of {len(gaps)}")
            say("memory then", f"{terminal.memory() / 2**20:.1f} MiB")
    finally:
        holder.terminate()
        holder.wait(10)


def hammer(terminal: Terminal, seconds: float) -> list[float]:
    """Times to the first byte of the answer to a key every 25 ms, whatever else is being painted."""
    found, end, number = [], time.monotonic() + seconds, 0
    while time.monotonic() < end:
        began = time.monotonic()
        burst = terminal.press("jjjjjkkkk"[number % 9], silence=0.004)
        number += 1
        if burst:
            found.append(burst.first)
        terminal.watch(max(0.0, 0.025 - (time.monotonic() - began)))
    return found


# --- numbers ----------------------------------------------------------------------------------------------------------


def milliseconds(values: Sequence[float]) -> str:
    if not values:
        return "?"
    return f"{statistics.median(values) * 1000:.0f} ms ({min(values) * 1000:.0f}-{max(values) * 1000:.0f})"


def spread(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "?"
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49] * 1000:.1f}  p95 {cuts[94] * 1000:.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
