"""`netdash map`: one picture of how a host is wired, as text or JSON."""

from __future__ import annotations

import shutil

from netdash.cli.arguments import Arguments
from netdash.cli.lists import PIPED, tell_missing, whole_host
from netdash.cli.printing import colour, document, room, write
from netdash.doctor.examine import examine
from netdash.model.errors import Exit
from netdash.model.finding import keep_health
from netdash.model.source import SOURCES
from netdash.view import json_host, terminal
from netdash.view.map import json, made, mapping, named
from netdash.view.map_lines import draw
from netdash.view.map_rows import Level

_PROMPT = 2  # lines of a terminal that are left for it
_ALL, _PIPED = Level(None, True), Level(3, True)


def run(arguments: Arguments) -> int:
    """Exit 3 where the containers were not read, else 0. On a terminal it takes one screen; `--all`, one network and a
    pipe have all of it."""
    host = whole_host(arguments)
    keep_health(host, examine(host))
    drawn = made(mapping(host))
    if arguments.network:
        drawn = named(drawn, arguments.network)
    if arguments.json:
        document(json_host.dumps(json(drawn)))
    else:
        wide, whole = room(), arguments.every or bool(arguments.network)
        high = shutil.get_terminal_size().lines - _PROMPT if wide is not None and not whole else None
        level = _ALL if whole else None if high is not None else _PIPED
        write(terminal.text(draw(drawn, wide or PIPED, high, level=level).lines, colour()))
    tell_missing(host, sorted(SOURCES))
    return Exit.UNREADABLE if drawn.blocks is None else Exit.FINE
