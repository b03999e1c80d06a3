"""Keys on the list of connections while many come: `python tests/bench/flows.py` as root. The host has 20,000 tracked
connections, and 2,000 new ones come each second from the namespace outside, for 20 s. Ends with 1 where more came than
are kept and the screen does not say so. --entries, --rate and --seconds change the size."""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "live"))

from bench import fill, spread  # noqa: E402
from lab import HOST_IP, Lab, LabError, until, why_not  # noqa: E402
from terminal import Terminal  # noqa: E402

COLUMNS, ROWS = 120, 40
CONTAINERS = 20
KEYS = "jjjjjjjkkkkkk"
EACH = 0.1  # seconds from key to key
FIRST_PORT, PORTS = 1024, 60_000
TICKS = 100  # a second, in which connections are begun together
KEPT = 20_000  # connections that the dashboard keeps
TELLS = "are not kept"


def begin(address: str, count: int, rate: float) -> None:
    """Begins so many connections: a datagram each, to a port of its own where nobody listens."""
    began, sent = time.monotonic(), 0
    while sent < count:
        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for port in range(FIRST_PORT, FIRST_PORT + min(PORTS, count - sent)):
            source.sendto(b"", (address, port))
            sent += 1
            if rate and not sent % (rate // TICKS):
                time.sleep(max(0.0, began + sent / rate - time.monotonic()))
        source.close()


def started(lab: Lab, count: int, rate: float) -> subprocess.Popen[bytes]:
    """`begin` in the namespace outside."""
    words = [sys.executable, __file__, "--begin", HOST_IP, str(count), str(rate)]
    return subprocess.Popen(["nsenter", f"--net=/run/netns/{lab.outside_ns}", *words])


def tracked(lab: Lab) -> int:
    return int(lab.on_host("conntrack", "-C").split()[0])


def measure(lab: Lab, options: argparse.Namespace) -> bool:
    """Whether the screen said what it did not keep."""
    with Terminal(lab.netdash_argv(), lab.environment, COLUMNS, ROWS) as terminal:
        if terminal.wait_for(lambda: f"{CONTAINERS} containers" in terminal.text, 60) is None:
            raise LabError(f"the dashboard did not show {CONTAINERS} containers:\n{terminal.text}")
        terminal.watch(3)
        before = terminal.memory()
        started(lab, options.entries, 0).wait(60)
        terminal.write(b"9")
        if terminal.wait_for(lambda: HOST_IP in terminal.text, 30) is None:
            raise LabError(f"no connection is listed:\n{terminal.text}")
        terminal.watch(3)
        there, listed = tracked(lab), terminal.memory()
        sender = started(lab, int(options.rate * options.seconds), options.rate)
        times, most, said, number = [], listed, False, 0
        while sender.poll() is None:
            due = time.monotonic() + EACH
            burst = terminal.press(KEYS[number % len(KEYS)], silence=0.012)
            times += [burst.first] if burst is not None else []
            number += 1
            if not number % 20:
                most = max(most, terminal.memory())
            terminal.watch(max(0.01, due - time.monotonic()))
            said = said or TELLS in terminal.text
        after = tracked(lab)
    print(f"{there} connections, {after} after {options.seconds:.0f} s with {options.rate:.0f} new ones a second")
    print(f"{len(times)} of {number} keys answered, to the first byte: {spread(times)}   p95 ≤ 20 ms")
    mebi = [f"{size / 2**20:.0f}" for size in (before, listed, most)]
    print(f"memory without the list, with it, and at most then: {' '.join(mebi)} MiB")
    print(f"the screen {'says' if said else 'does not say'} that more came than are kept")
    return said or after <= KEPT


def main() -> int:
    if sys.argv[1:2] == ["--begin"]:
        begin(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=2_000)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    reason = why_not()
    if reason:
        print(f"cannot measure here: {reason}", file=sys.stderr)
        return 1
    try:
        with Lab() as lab:
            fill(lab, CONTAINERS)
            if not until(lambda: tracked(lab) >= 0):
                raise LabError("conntrack does not count")
            return 0 if measure(lab, options) else 1
    except LabError as error:
        print(f"cannot measure here: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
