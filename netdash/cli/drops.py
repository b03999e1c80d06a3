"""`netdash drops`: what loses packets, by two readings of the counters; or which of them move, again and again."""

from __future__ import annotations

import time
from collections.abc import Sequence

from netdash.cli import lists
from netdash.cli.arguments import Arguments
from netdash.cli.printing import colour, document, note, write
from netdash.doctor.examine import examine
from netdash.join.drops import drops
from netdash.join.host import Builder
from netdash.model.errors import Exit, NetdashError
from netdash.model.finding import keep_health
from netdash.model.host import Host
from netdash.model.kernel_state import Drop, Watched
from netdash.model.records import replace
from netdash.model.relations import ref_of
from netdash.model.source import SOURCES, Source
from netdash.view import json_host, terminal, unavailable
from netdash.view.columns_kernel import DROPS, change, notes, row_of
from netdash.view.table import Filter

_SECONDS = 2.0
_COUNTERS = frozenset((Source.DOCKER, Source.RULES, Source.DROPS))  # the engine: it may have its rules elsewhere


def run(arguments: Arguments) -> int:
    """Exit 0, 3 where nothing could be read."""
    if arguments.watch:
        return _watch(arguments)
    if len(arguments.hosts) > 1:
        note("of several hosts the counters are read once: whether they move is not known")
        return lists.list_several(arguments)
    host = _host(arguments)
    keep_health(host, examine(host))
    code = lists.print_view(arguments, host, DROPS, arguments.filter)
    for text in notes(host):
        note(text)
    return code


def _host(arguments: Arguments) -> Host:
    """With rates, but for a recording, which has one reading."""
    builder = Builder()
    if arguments.bundle is not None:
        return builder.build(lists.reading(arguments, frozenset()))
    began = time.time()
    builder.build(replace(lists.reading(arguments, _COUNTERS), taken=began))
    time.sleep(max(0.0, began + (arguments.wait or _SECONDS) - time.time()))
    again = time.time()  # the clock of another host is told in whole seconds
    sources = frozenset(SOURCES) | {Source.DROPS}
    return builder.build(replace(lists.reading(arguments, sources, True, lists.LOOKED_INTO), taken=again))


def _watch(arguments: Arguments) -> int:
    """A line or, with --json, an object for each counter that moved; ends with Ctrl-C."""
    from netdash.cli.watching import recordings

    if arguments.bundle is not None:
        raise NetdashError("a recording does not change", "--watch is for a live host", Exit.USAGE)
    arguments.interval = arguments.wait or arguments.interval
    builder, reported = Builder(), set[str]()
    before: dict[str, int | None] | None = None
    with recordings(arguments, Watched(drops=True)) as found:
        for recording in found:
            host = builder.build(recording)
            if host.pending or host.counters is None:
                continue
            for failure in unavailable.failures(host, DROPS.sources):
                if failure.source not in reported:
                    reported.add(failure.source)
                    note(unavailable.sentence(failure))
            now = drops(host)
            if before is None:
                note(f"watching; {sum(drop.count is not None for drop in now)} counters of lost packets are above 0")
            else:
                _tell(arguments, host, [drop for drop in now if drop.moving and before.get(_key(drop)) != drop.count])
            before = {_key(drop): drop.count for drop in now}
    return Exit.FINE


def _key(drop: Drop) -> str:
    return ref_of(drop).key


def _tell(arguments: Arguments, host: Host, moved: Sequence[Drop]) -> None:
    if moved:
        keep_health(host, examine(host))
    wanted = Filter.parse(" ".join(arguments.filter), DROPS.columns)
    for drop, row in zip(moved, map(row_of(host), moved), strict=True):
        if not wanted.matches(row):
            continue
        if arguments.json:
            entry = json_host.record(host, drop)
            document(json_host.dumps({"schema": json_host.SCHEMA, "taken": host.taken, **entry}, None))
        else:
            write(terminal.text((change(host, drop),), colour()))
