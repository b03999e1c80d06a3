"""Slims a recorded host to what the tests use: python tests/recordings/slim.py BUNDLE tests/recordings/NAME.

Keeps the files netdash reads; of `docker/` what `core.scrub` allows; of `proc-net.txt` the sockets and IPv4 routes.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from netdash.bundle.archive import META
from netdash.bundle.recording import scrub
from netdash.model.source import SOURCES

KEPT_IN_CONTAINERS = ("addr.json", "route.json", "listeners.txt", "proc-net.txt", "resolv.conf", "hosts", "sysctl.txt")
SECTIONS = ("tcp", "tcp6", "udp", "udp6", "route")
CASES = "trace-cases.json"
TRACE = "kernel-trace.txt"
HEADING = "## /proc/PID/net/"


def slim(source: Path, target: Path) -> int:
    """Write the slim bundle in place of `target`; the answer is its size in bytes."""
    shutil.rmtree(target, ignore_errors=True)
    written = 0
    for name in sorted(_wanted(source)):
        text = _slimmed(name, (source / name).read_text("utf-8", "surrogateescape"))
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        written += file.write_text(text, "utf-8", "surrogateescape")
    return written


def _wanted(source: Path) -> set[str]:
    names = {name for files in SOURCES.values() for name in files} | {META, CASES, TRACE}
    found = {name for name in names if (source / name).is_file()}
    for file in KEPT_IN_CONTAINERS:
        found |= {path.relative_to(source).as_posix() for path in source.glob(f"containers/*/{file}")}
    # A container that shares the host's namespace repeats the host's addresses.
    return found - {"containers/c-host/addr.json"}


def _slimmed(name: str, text: str) -> str:
    if name.endswith("/proc-net.txt"):
        return _sockets(text)
    if not name.endswith(".json") or not text.strip():
        return text
    answer = json.loads(text)
    if name == CASES:
        answer = [_case(case) for case in answer]
    if name == "docker/info.json":
        # The recording machine's own name and build say nothing of the engine.
        answer = {**answer, "ID": "", "Name": "dockerhost", "KernelVersion": answer["KernelVersion"].split("-")[0]}
    return json.dumps(scrub(name, answer), separators=(",", ":")) + "\n"


def _sockets(text: str) -> str:
    kept, keep = [], False
    for line in text.splitlines():
        if line.startswith(HEADING):
            keep = line.removeprefix(HEADING).strip() in SECTIONS
        if keep:
            kept.append(line.rstrip())
    return "\n".join(kept) + "\n"


def _case(case: dict[str, dict[str, object]]) -> dict[str, object]:
    """Without the headers seen on the way: the steps and the translation hold the answer."""
    kernel = {key: value for key, value in case["kernel"].items() if key != "packet_at"}
    return {**case, "kernel": kernel}


if __name__ == "__main__":
    print(slim(Path(sys.argv[1]), Path(sys.argv[2])), "characters")
