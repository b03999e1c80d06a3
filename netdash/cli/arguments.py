"""What can be asked for on the command line. Imports nothing: a plain `netdash` starts without a parser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from netdash.model.source import Options


class Arguments:
    """One command line. A plain `netdash` asks for nothing: the dashboard of this host."""

    command: str | None = None  # None: the dashboard
    view: str = ""  # name of the list that is asked for
    bundle: Path | None = None
    hosts: Sequence[str] = ()  # "ssh://user@host:port", or "local"; none: this host
    sudo: bool = False
    docker_host: str | None = None
    interval: float | None = None  # seconds
    timeout: float | None = None  # seconds
    config: str | None = None
    no_mouse: bool = False
    no_first_frame: bool = False
    debug: str | None = None  # a new file, or "": netdash chooses one
    demo_without_engine: bool = False
    filter: Sequence[str] = ()
    free: str | None = None  # a port, perhaps with its protocol
    json: bool = False
    container: str = ""
    read_only: bool = False
    port: str = ""
    bind: str | None = None
    protocol: str | None = None  # of a port that is published
    mode: str = ""
    seconds: float | None = None  # how long a forward lasts
    discard: bool = False
    grace: float = 0.0  # seconds
    force: bool = False
    dry_run: bool = False
    yes: bool = False
    image: str = ""
    publish: Sequence[str] = ()
    name: str | None = None
    finish: bool = False
    rollback: bool = False
    watch: bool = False  # go on, and tell what changes
    by: str = ""  # what connections are added up by
    report: Path | None = None
    mask: bool = False
    forget: str = ""  # the id of a record
    target: Path  # of a recording that is written: always given there
    every: bool = False  # nothing is folded
    network: str = ""  # of map: the only one that is drawn
    changes: Sequence[str] = ()  # of what-if: command lines
    sender: str = ""  # of a trace: host, outside, outside@IP or a container
    receiver: str = ""
    proto: str = "tcp"
    sport: int | None = None
    size: int | None = None
    mark: int = 0
    iif: str | None = None
    ipv6: bool = False  # names stand for IPv6 addresses
    output: str | None = None  # of a list: json, wide or csv
    columns: Sequence[str] = ()  # keys; none: all
    no_headers: bool = False
    install: bool = False  # as a plugin of docker
    shell: str = ""  # whose completion is printed
    probe: bool = False  # confirm findings by connections
    prove: bool = False  # compare the trace with what the kernel does
    wait: float | None = None  # seconds for that packet to come, or of a capture
    peer: str = ""  # of a capture: an address
    number: int | None = None  # of a capture: a port
    packets: int = 100  # of a capture: at most
    snap: int | None = None  # of a capture: bytes of a frame
    payload: bool = False
    write: Path | None = None  # of a capture: a new pcapng file

    def options(
        self, sources: frozenset[str] | None = None, whole: bool = False, containers: int | None = None
    ) -> Options:
        """What is to be read, all sources without a choice, and how long each answer may take."""
        from netdash.model.records import replace
        from netdash.model.source import Options

        named = frozenset({self.sender.removeprefix("/"), self.receiver.partition(":")[0], self.container} - {""})
        asked = Options(docker_host=self.docker_host, whole=whole, sudo=self.sudo, containers=containers, first=named)
        if sources is not None:
            asked = replace(asked, sources=sources)
        if self.timeout is None:
            return asked
        return replace(asked, limit=self.timeout, tool_limit=self.timeout, host_limit=self.timeout)
