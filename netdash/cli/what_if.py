"""`netdash what-if`: who would lose or win reach by commands, as text or JSON. Runs none of them."""

from __future__ import annotations

from netdash.change.difference import Difference, what_if
from netdash.cli.arguments import Arguments
from netdash.cli.lists import ALL_WAYS, PIPED, tell_missing, traced_host
from netdash.cli.printing import colour, document, room, write
from netdash.model.errors import Exit
from netdash.view import json_host, json_trace, terminal
from netdash.view.what_if import lines


def run(arguments: Arguments) -> int:
    """Exit 0 nobody loses or wins, 1 somebody does, 2 a command is not understood, 5 it cannot be told."""
    host = traced_host(arguments)
    found = what_if(host, arguments.changes)
    if arguments.json:
        document(json_host.dumps(json_trace.difference(found)))
    else:
        write(terminal.text(lines(found, room() or PIPED), colour()))
    tell_missing(host, sorted(ALL_WAYS))
    return exit_code(found)


def exit_code(found: Difference) -> int:
    if found.lost or found.gained:
        return Exit.FINDINGS
    return Exit.UNKNOWN if found.unknown or not found.complete else Exit.FINE
