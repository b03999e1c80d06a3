"""What a plan needs beside the Host: what only the engine's full inspect and this process itself can say."""

from __future__ import annotations

from dataclasses import dataclass

from netdash.publish.payload import Volume
from netdash.publish.statement import Statement


@dataclass(frozen=True, slots=True)
class Details:
    """Of the container that is to be made anew. `changes`: files written outside its volumes, None: not known.
    `dependents`: what becomes of containers that use it. `missing`: containers of --volumes-from that are gone."""

    changes: int | None
    auto_remove: bool
    restart: tuple[str, int]
    health: bool  # whether it has a healthcheck
    stop_seconds: int | None  # its own stop timeout
    dependents: tuple[Statement, ...] = ()
    missing: tuple[str, ...] = ()
    anonymous: tuple[Volume, ...] = ()
    swarm_service: str | None = None
    image_moved: bool = False  # its image's name means another image by now
    random_ports: bool = False
    fixed_addresses: bool = True  # every address was asked for
    followers: tuple[str, ...] = ()  # containers that use its network namespace
    sharers: (
        tuple[tuple[int, str], ...] | None
    ) = ()  # (pid, name) of processes that do and are of none; None: not known
    tmpfs: tuple[str, ...] = ()  # where
    forwards: tuple[int, ...] = ()  # host ports that netdash forwards to it


@dataclass(frozen=True, slots=True)
class Facts:
    """`unable`: why nothing can be changed from here. `engine_here`: whether the engine shares this process's network
    namespace. `lowest_port`: the lowest that a process of this user may bind. `program`: path of docker-proxy."""

    unable: Statement | None = None
    engine_here: bool | None = True
    lowest_port: int | None = 0
    program: str | None = None
    details: Details | None = None
    image_here: bool | None = None  # of a new container
