"""What `--watch` of a command reads: one live host, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

from netdash.bundle.recording import Recording
from netdash.cli.arguments import Arguments
from netdash.model.errors import Exit, NetdashError
from netdash.model.kernel_state import NOTHING, Watched

if TYPE_CHECKING:
    from netdash.collect.hosts import RemoteReader
    from netdash.collect.live import LiveReader

_INTERVAL = 5.0  # seconds between two looks at what sends no events


@contextmanager
def recordings(arguments: Arguments, watched: Watched = NOTHING) -> Iterator[Iterator[Recording]]:
    """Of one live host, the newest whenever something changed, with what is `watched`."""
    news: SimpleQueue[Recording] = SimpleQueue()
    reader = _reader(arguments)
    if watched.flows and not reader.reads_flows:
        raise NetdashError("--watch shows the connections of this host only", "without --host", Exit.USAGE)
    if watched != NOTHING:
        reader.watch(watched)
    reader.start(news.put)
    try:
        yield _newest(news)
    finally:
        reader.stop()


def _newest(news: SimpleQueue[Recording]) -> Iterator[Recording]:
    while True:
        recording = news.get()
        while not news.empty():
            recording = news.get()
        yield recording


def _reader(arguments: Arguments) -> RemoteReader | LiveReader:
    from netdash.collect.hosts import named, reader

    if len(arguments.hosts) > 1:
        raise NetdashError(f"{arguments.command} --watch is for one host", "name one --host", Exit.USAGE)
    where = named(arguments.hosts, arguments.sudo)[0][1] if arguments.hosts else None
    return reader(where, arguments.options(), arguments.interval or _INTERVAL)
