"""What the tests of the collector share: a recording as the stream that it would print, and an ssh that is none."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from netdash.bundle.collector_stream import ASKED
from netdash.bundle.recording import Recording
from netdash.collect.ssh import Address
from netdash.model.source import BY_PATH, Source

MARK = "abc123"
ANSWERS = 'eval "$command"'  # as sshd does, with the local shell
SLEEP = "exec sleep 300"
WHERE = Address("su1", "su1")
FILES = {"host/sysctl.txt": "net.ipv4.ip_forward = 1\n", "ip/route4.json": "[]"}


def section(path: str, text: str, status: int = 0, why: str = "", mark: str = MARK) -> list[str]:
    """The lines of one file, as `file` of collect.sh prints them."""
    told = [*text.split("\n"), str(status)]
    lines = [f"|{line}" for line in told]
    return [f"={mark} begin {path}", *lines[:-1], str(len(lines)), lines[-1], f"={mark} end {path} {why}"]


def stream(files: Mapping[str, str], asked: Iterable[str] = ASKED, mark: str = MARK) -> list[str]:
    """The lines of a whole stream."""
    lines = ["", f"netdash-collector 1 {mark}", f"={mark} asked {' '.join(asked)}", f"={mark} host su1"]
    lines += [f"={mark} taken 1700000000", f"={mark} privileged 1"]
    for source in asked:
        lines.append(f"={mark} source {source}")
        told = _inside(files)
        if source != Source.INSIDE:
            told = {path: files[path] for path in files if path in BY_PATH and BY_PATH[path].source == source}
        for path, text in told.items():
            lines += section(path, text, mark=mark)
    return [*lines, f"={mark} done", ""]


def _inside(files: Mapping[str, str]) -> dict[str, str]:
    """What is asked inside a container comes as one file."""
    found: dict[str, str] = {}
    for path, text in files.items():
        folder, _, name = path.rpartition("/")
        if folder.startswith("containers/") and name == "proc-net.txt":
            found[path] = text
        elif folder.startswith("containers/"):
            found[f"{folder}/inside.txt"] = found.get(f"{folder}/inside.txt", "") + f"## {name}\n{text}"
    return found


def texts(recording: Recording) -> dict[str, str]:
    return {
        path: answer if isinstance(answer, str) else json.dumps(answer) for path, answer in recording.answers.items()
    }


def fake_ssh(folder: Path, script: str) -> Path:
    """A folder whose `ssh` notes its arguments in `argv`, a line each, and runs `script`, which may
    look at $host and at $command, the remote one; `log_of "$@"` is the file for ssh's own words."""
    folder.mkdir(parents=True, exist_ok=True)
    note = f'printf "%s\\n" "$@" >> {shlex.quote(str(folder / "argv"))}'
    file = folder / "ssh"
    log = 'log_of() { while [ "$1" != -E ]; do shift; done; echo "$2"; }'
    file.write_text(f"#!/bin/sh\n{note}\n{log}\nfor word; do host=$command; command=$word; done\n{script}\n")
    file.chmod(0o755)
    return folder


def saying(text: str, folder: Path, name: str = "text") -> str:
    """A script for `fake_ssh` that prints a stream with the mark that it is given, to every `collect`, and goes on."""
    (folder / name).write_text(text)
    told = shlex.quote(str(folder / name))
    return f'while read -r word mark rest; do [ "$word" != collect ] || sed "s/{MARK}/$mark/g" {told}; done'
