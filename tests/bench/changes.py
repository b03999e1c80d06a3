"""What one container's change costs, and a list from a recording, with many containers: CPU of this process.

Each number is the median of several runs; the host is built as the dashboard builds it, on what was known before."""

from __future__ import annotations

import copy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from typing import Any

from netdash import __version__
from netdash.bundle.recording import Recording
from netdash.bundle.storage import dump
from netdash.doctor.examine import examine
from netdash.join.host import Builder
from netdash.model.belonging import related
from netdash.model.relations import ref_of
from netdash.tui.work import Collector
from tests.bench.many import many

SIZES = (300, 3000)
RUNS = 7
TEXTS = ("rules/iptables-legacy-save.txt", "host/docker-proxy.txt", "host/listeners.txt")


def _inspect(recording: Recording, number: int) -> tuple[dict[str, Any], list[Any], Any]:
    """The answers, the inspects, and that of container `number` as a copy: an answer is not changed in its place."""
    answers: dict[str, Any] = dict(recording.answers)
    listed = answers["docker/inspect.json"] = list(answers["docker/inspect.json"])
    at = next(at for at, raw in enumerate(listed) if raw["Name"] == f"/job{number}")
    listed[at] = copy.deepcopy(listed[at])
    return answers, listed, listed[at]


def _health(recording: Recording, number: int) -> Recording:
    answers, _, raw = _inspect(recording, number)
    raw["State"]["Health"] = {"Status": "unhealthy"}
    return replace(recording, answers=answers)


def stop(recording: Recording, number: int) -> Recording:
    """The container stops: its state, its veth, its rules, its proxy and its sockets are gone."""
    answers, _, raw = _inspect(recording, number)
    raw["State"].update(Status="exited", Running=False, Pid=0)
    endpoint = raw["NetworkSettings"]["Networks"]["bridge"]
    ip, port = endpoint["IPAddress"], 20_000 + number
    endpoint.update(IPAddress="", MacAddress="")
    raw["NetworkSettings"]["Ports"] = {}
    for path in ("ip/addr.json", "ip/bridge-link.json"):
        answers[path] = [link for link in answers[path] if link["ifname"] != f"veth{number:07x}"]
    for path in TEXTS:
        kept = (line for line in answers[path].splitlines(True) if f"{ip}/" not in line and f" {port} " not in line)
        answers[path] = "".join(line for line in kept if f"{ip}:" not in line and f":{port} " not in line)
    for file in ("addr.json", "route.json", "proc-net.txt"):
        del answers[f"containers/job{number}/{file}"]
    return replace(recording, answers=answers)


def _cost(recording: Recording, change: Callable[[Recording, int], Recording]) -> tuple[float, float]:
    """Milliseconds to build the host anew, and to find what belongs to a container after that."""
    builder, builds, relations = Builder(), [], []
    for number in range(RUNS + 1):
        host = builder.build(recording)
        related(host, ref_of((host.containers or ())[0]))
        recording = change(recording, 2 * number + 1)
        begin = time.process_time()
        host = builder.build(recording)
        built = time.process_time()
        related(host, ref_of((host.containers or ())[0]))
        builds.append(built - begin)
        relations.append(time.process_time() - built)
    return 1000 * median(builds[1:]), 1000 * median(relations[1:])


def _examined(recording: Recording) -> float:
    """Milliseconds for the doctor's findings of a host that is built."""
    host = Builder().build(recording)
    begin = time.process_time()
    examine(host)
    return 1000 * (time.process_time() - begin)


def _listed(recording: Recording) -> float:
    """Seconds of CPU of `netdash --from RECORDING containers`."""
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        dump(recording, bundle, __version__)
        spent = []
        for _ in range(3):
            before = getrusage(RUSAGE_CHILDREN)
            program = [sys.executable, "-m", "netdash", "--from", str(bundle), "containers"]
            subprocess.run(program, check=True, capture_output=True, timeout=60)
            after = getrusage(RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(spent)


def main() -> None:
    print(
        "containers  one's health: build, related   one stops: build, related   list from a recording   doctor   (CPU)"
    )
    Collector().begin()  # the garbage collector as the dashboard sets it
    for size in SIZES:
        recording = many(size)
        health, gone = _cost(recording, _health), _cost(recording, stop)
        print(
            f"{size:10}  {health[0]:17.1f} {health[1]:6.1f} ms  {gone[0]:18.1f} {gone[1]:6.1f} ms"
            f"  {_listed(recording):18.2f} s  {_examined(recording):8.0f} ms"
        )


if __name__ == "__main__":
    main()
