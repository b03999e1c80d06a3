"""What a reading is asked for, and how long each answer may take."""

from __future__ import annotations

from dataclasses import dataclass

from netdash.model.source import SOURCES


@dataclass(frozen=True, slots=True)
class Options:
    """`sources`: names of recording.SOURCES. `docker_host`: as --docker-host. `limit`, `tool_limit`, `host_limit`:
    seconds for a call of the engine, for a tool, and for all answers of another host. `whole`: also what only a
    recording needs, from inside every container. `sudo`: other hosts are read as root by their sudo."""

    sources: frozenset[str] = frozenset(SOURCES)
    docker_host: str | None = None
    limit: float = 3.0
    tool_limit: float = 5.0
    host_limit: float = 30.0
    whole: bool = False
    sudo: bool = False
    containers: int | None = None  # into how many is looked then; None: all
    first: frozenset[str] = frozenset()  # names or beginnings of ids of those that are looked into before others
