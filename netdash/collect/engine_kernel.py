"""Whether the engine's kernel is this machine's: by what the engine says, held against what is here. A socket on this
machine may lead into a virtual machine or to another host. Changes nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import psutil

from netdash.collect.proxies import belongs
from netdash.model.engine_process import ANOTHER, PROVED
from netdash.parse.json_values import integer, items, mapping, text

_CLOSE = 5.0  # seconds between a process's start by the kernel and by the engine
_FIRST_PIDS = 0xEFFFFFFC  # inode of the first process namespace: include/linux/proc_ns.h


def kernel_of(answers: Mapping[str, object]) -> str | None:
    """The answer host/engine-kernel.txt: PROVED, or ANOTHER and the reason; None where neither can be told."""
    theirs = text(mapping(answers.get("docker/version.json")).get("KernelVersion"))
    ours = os.uname().release
    if theirs and theirs != ours:
        return f"{ANOTHER} it runs on kernel {theirs}, this machine on {ours}\n"
    running = list(_running(answers.get("docker/inspect.json")))
    if any(_is_here(*one) for one in running):
        return f"{PROVED}\n"
    if not running or _has_its_bridge(answers.get("docker/networks.json")) or not _sees_all_processes():
        return None
    return f"{ANOTHER} none of its {len(running)} running containers has a process here\n"


def _running(inspected: object) -> Iterator[tuple[int, str, str]]:
    """Process, id and time of the start of each running container."""
    for raw in map(mapping, items(inspected)):
        state = mapping(raw.get("State"))
        pid, identity = integer(state.get("Pid")), text(raw.get("Id"))
        if pid is not None and pid > 1 and identity and len(identity) >= 12:
            yield pid, identity, text(state.get("StartedAt")) or ""


def _is_here(pid: int, identity: str, started: str) -> bool:
    """Its control group names the container, or it began when the engine says."""
    if belongs(pid, identity):
        return True
    try:
        return abs(psutil.Process(pid).create_time() - datetime.fromisoformat(started).timestamp()) < _CLOSE
    except (ValueError, OverflowError, psutil.Error):
        return False


def _has_its_bridge(networks: object) -> bool:
    """A bridge that is named by the id of one of its networks; docker0 may be that of another engine."""
    ours = {name for _, name in socket.if_nameindex()}
    return any(f"br-{text(mapping(item).get('Id')) or ''}"[:15] in ours for item in items(networks))


def _sees_all_processes() -> bool:
    """False in a process namespace of its own, or where /proc is mounted with hidepid."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _FIRST_PIDS and Path("/proc/1").exists()
    except OSError:
        return False
