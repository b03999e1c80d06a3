"""`netdash trace` and `netdash reach`: what the rules do with a packet, as text or JSON."""

from __future__ import annotations

from dataclasses import replace

from netdash.cli.arguments import Arguments
from netdash.cli.lists import ALL_WAYS, PIPED, host_of, tell_missing, traced_host
from netdash.cli.printing import colour, document, room, write
from netdash.model.errors import Exit
from netdash.model.host import Host
from netdash.trace.model import Question, Trace
from netdash.trace.question import Asked, question
from netdash.trace.reachability import reach
from netdash.trace.tracer import trace
from netdash.view import json_host, json_trace, reachability, terminal
from netdash.view import trace as walk


def run_trace(arguments: Arguments) -> int:
    """Print one trace: exit 0 the asker gets its answer, 1 it does not, 5 cannot be told."""
    host = traced_host(arguments)
    wanted, notes = asked(host, arguments)
    answer = trace(host, wanted)
    answer = replace(answer, assumed=(*notes, *answer.assumed))
    if arguments.json:
        document(json_host.dumps(json_trace.trace(answer)))
    else:
        write(terminal.text(walk.lines(host, answer, room() or PIPED), colour()))
    tell_missing(host, sorted(ALL_WAYS))
    return exit_code(answer)


def asked(host: Host, arguments: Arguments) -> tuple[Question, tuple[str, ...]]:
    """The question of the command line, and sentences on how its words were understood."""
    family = 6 if arguments.ipv6 else 4
    beside = Asked(arguments.proto, arguments.sport, arguments.mark, arguments.iif, family, arguments.size)
    return question(host, arguments.sender, arguments.receiver, beside)


def run_reach(arguments: Arguments) -> int:
    """Print who reaches what; exit 3 when there is nothing to ask."""
    host = host_of(arguments, ALL_WAYS)
    matrix = reach(host)
    if arguments.json:
        document(json_host.dumps(json_trace.reach(matrix)))
    else:
        write(terminal.text(reachability.lines(host, matrix, room() or PIPED), colour()))
    tell_missing(host, sorted(ALL_WAYS))
    return Exit.FINE if matrix.aims else Exit.UNREADABLE


def exit_code(answer: Trace) -> int:
    if answer.answered is None:
        return Exit.UNKNOWN
    return Exit.FINE if answer.answered else Exit.FINDINGS
