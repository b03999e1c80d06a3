"""Runs the dashboard for a long time on a private engine whose containers, networks and rules come and go, and reports
memory, errors and the time of keys: `python tests/bench/soak.py --minutes 30` as root. Ends with 1 where something went
wrong: the dashboard ended, told of an error of its own, or does not show what the engine has in the end."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "live"))

from bench import fill  # noqa: E402
from lab import IMAGE, Lab, LabError, why_not  # noqa: E402
from terminal import Terminal, resident  # noqa: E402

COLUMNS, ROWS = 120, 40
STANDING = 10  # containers that stay: all are on the screen in the end
FIRST_PORT = 30_000
KEYS = [*"jjjjjkkkk12345678", "\t", "\r", "\x1b", "\x1b"]  # views, walks into them and back
KEYS_AT_ONCE, PAUSE = 20, 4.0  # then somebody reads for some seconds
SEED = 7
ALLOWED = 1.10  # of the memory after the warm-up
WARM_UP = 60.0  # seconds


class Churn(threading.Thread):
    """Starts and kills containers with a published port, one after the other; now and then a network and a rule."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(daemon=True)
        self._lab = lab
        self._over = threading.Event()
        self.count = 0
        self.problems: list[str] = []

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._once(self.count)
            except Exception as error:  # the report names it; the dashboard is what is tested
                self.problems.append(str(error))
                time.sleep(1)
            self.count += 1

    def _once(self, number: int) -> None:
        lab, name = self._lab, f"job-{number}"
        published = f"{FIRST_PORT + number % 1000}:80/{'udp' if number % 3 else 'tcp'}"
        lab.docker("run", "-d", "--name", name, "-p", published, IMAGE, "sleep", "1000")
        lab.docker("rm", "-f", name)
        if number % 20 == 0:
            lab.docker("network", "create", f"net-{number}")
            lab.docker("network", "rm", f"net-{number}")
        if number % 10 == 0:
            rule = ("FORWARD", "-p", "tcp", "--dport", str(FIRST_PORT + number % 1000), "-j", "ACCEPT")
            lab.on_host("iptables", "-A", *rule)
            lab.on_host("iptables", "-D", *rule)

    def stop(self) -> None:
        self._over.set()
        self.join(60)


class Watch:
    """Presses keys at random and keeps what the dashboard did with them."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._choice = random.Random(SEED)
        self.times: list[float] = []
        self.errors: list[str] = []

    def minute(self, seconds: float) -> None:
        self.times = []
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.ended():
            for _ in range(KEYS_AT_ONCE):
                burst = self._terminal.press(self._choice.choice(KEYS), silence=0.01)
                if burst:
                    self.times.append(burst.first)
                self._terminal.watch(0.2)
            self._terminal.watch(PAUSE)
        if "internal error" in self._terminal.text or "Traceback" in self._terminal.text:
            self.errors.append(self._terminal.text)

    def ended(self) -> bool:
        return self._terminal.process.poll() is not None

    def memory(self) -> float:
        """MiB of the dashboard itself, without the tools that it runs."""
        return resident(self._terminal.process.pid) / 2**20


def soak(lab: Lab, minutes: float) -> list[str]:
    """What went wrong."""
    fill(lab, STANDING)
    churn = Churn(lab)
    with Terminal(lab.netdash_argv(), lab.environment, COLUMNS, ROWS) as terminal:
        watch = Watch(terminal)
        churn.start()
        watch.minute(WARM_UP)
        start, worst = watch.memory(), 0.0
        print(f"{'minute':>6} {'MiB':>6} {'starts':>6} {'keys':>5} {'p50 ms':>7} {'p95 ms':>7} {'worst':>7}")
        for minute in range(1, max(1, round(minutes)) + 1):
            watch.minute(60)
            if watch.ended():
                return [f"the dashboard ended with {terminal.process.returncode}:\n{terminal.text}"]
            worst = max(worst, watch.memory())
            cuts = statistics.quantiles(watch.times, n=20)
            times = [f"{seconds * 1000:7.1f}" for seconds in (cuts[9], cuts[18], max(watch.times))]
            print(f"{minute:6} {watch.memory():6.1f} {churn.count:6} {len(watch.times):5}", *times, flush=True)
        churn.stop()
        wrong = watch.errors + churn.problems[:5] + _last_screen(lab, terminal)
    if worst > start * ALLOWED:
        wrong.append(f"memory grew from {start:.1f} to {worst:.1f} MiB")
    return wrong


def _last_screen(lab: Lab, terminal: Terminal) -> list[str]:
    """Whether the dashboard shows the containers that the engine has, once nothing moves any more."""
    names = lab.docker("ps", "-a", "--format", "{{.Names}}").split()
    for key in ("\x1b", "\x1b", "\x1b", "1", "g"):
        terminal.write(key.encode())
        terminal.settle(0.3, 3)
    said = f"{len(names)} containers"
    if terminal.wait_for(lambda: said in terminal.text and all(one in terminal.text for one in names), 20) is None:
        return [f"the engine has {said}, the screen:\n{terminal.text}"]
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"cannot run here: {reason}", file=sys.stderr)
        return 1
    try:
        with Lab() as lab:
            wrong = soak(lab, options.minutes)
    except LabError as error:
        print(f"cannot run here: {error}", file=sys.stderr)
        return 1
    print("\n".join(wrong) or "nothing went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
