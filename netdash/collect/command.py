"""Runs a tool of this machine and returns what it prints: with a time limit, a size limit and no shell. Asks for the
files of the table of sources that a tool prints."""

from __future__ import annotations

import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence

from netdash.collect.procfs import loaded
from netdash.engine.log import asked
from netdash.model.host import Failure
from netdash.model.records import dataclass
from netdash.model.source import Source, SourceFile, commands, without_timers

MAX_OUTPUT = 128 << 20  # bytes; 10,000 rules as JSON are 4.3 MB
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Output:
    """What a command wrote. `problem` is "" when it ended by itself with exit status 0."""

    text: str
    errors: str
    problem: str = ""


def find(tool: str) -> str | None:
    """The tool's path; also where a plain user's PATH does not lead."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:{_SBIN}")


def run(argv: Sequence[str], limit: float, most: int = MAX_OUTPUT) -> Output:
    """The command's output. After `limit` seconds or `most` bytes it is killed. Never raises."""
    with asked("command", *argv) as question:
        output = _run(argv, limit, most)
        question.problem = output.problem
    return output


def _run(argv: Sequence[str], limit: float, most: int) -> Output:
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        return Output("", "", f"cannot be run: {error.strerror or error}")
    with process:
        out, errors = bytearray(), bytearray()
        problem = _drain(process, out, errors, limit, most)
        if problem:
            process.kill()
        status = process.wait()
    if not problem and status:
        problem = _last_line(errors) or f"ended with status {status}"
    return Output(out.decode("utf-8", "replace"), errors.decode("utf-8", "replace"), problem)


def ask(
    files: Iterable[SourceFile], limit: float, enter: Sequence[str] = ()
) -> tuple[dict[str, object], dict[str, Failure]]:
    """The answers of the files' commands, by path, and failures by name. `enter`: the command that runs each of them in
    another namespace."""
    answers: dict[str, object] = {}
    failures: dict[str, Failure] = {}
    for file in files:
        tool = find(file.command[0])
        output = run((*enter, tool, *file.command[1:]), limit) if tool else None
        if output is not None and not output.problem:
            answers[file.path] = without_timers(file.path, output.text)
        elif failure := file.failure(output.problem) if output else file.not_installed():
            failures[failure.source] = failure
    return answers, failures


def read_drops(limit: float) -> tuple[dict[str, object], dict[str, Failure]]:
    """What the kernel counts of lost packets, in this network namespace."""
    return ask((file for file in commands(Source.DROPS) if not file.module or loaded(file.module)), limit)


def _drain(process: subprocess.Popen[bytes], out: bytearray, errors: bytearray, limit: float, most: int) -> str:
    """Reads both pipes to their end; the problem that stopped it, or ""."""
    end = time.monotonic() + limit
    with selectors.DefaultSelector() as ready:
        for pipe, sink in ((process.stdout, out), (process.stderr, errors)):
            if pipe is None:
                continue
            ready.register(pipe, selectors.EVENT_READ, sink)
        while ready.get_map():
            left = end - time.monotonic()
            if left <= 0:
                return f"did not end within {limit:g} s"
            for key, _ in ready.select(left):
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    ready.unregister(key.fileobj)
                key.data.extend(chunk)
                if len(key.data) > most:
                    return f"wrote more than {most >> 20} MiB"
    try:
        process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return f"did not end within {limit:g} s"
    return ""


def _last_line(errors: bytearray) -> str:
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:200] if lines else ""
