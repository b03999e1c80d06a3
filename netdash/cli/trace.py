"""`netdash trace`, `reach`, `who` and `what-if`: what the rules do with packets, who reaches whom, and what commands
would change of that, as text or JSON. Sends nothing and runs no command."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netdash.change import difference
from netdash.change.difference import Difference
from netdash.cli.arguments import Arguments
from netdash.cli.lists import ALL_WAYS, PIPED, host_of, tell_missing, traced_host
from netdash.cli.printing import colour, document, note, room, write
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Container, Host
from netdash.model.index import find_container, sharing
from netdash.model.numbers import port_and_protocol
from netdash.model.records import replace
from netdash.trace.model import Question, Trace
from netdash.trace.question import Asked, question
from netdash.trace.reachability import aims_of, reach
from netdash.trace.tracer import trace
from netdash.trace.who import Who, of_container, who
from netdash.view import json_host, json_trace, reachability, terminal, what_if
from netdash.view import trace as walk
from netdash.view import who as who_view
from netdash.view.text import Line, safe


def run_trace(arguments: Arguments) -> int:
    """Print one trace: exit 0 the asker gets its answer, 1 it does not, 5 cannot be told."""
    host = traced_host(arguments)
    wanted, notes = asked(host, arguments)
    answer = trace(host, wanted)
    answer = replace(answer, assumed=(*notes, *answer.assumed))
    _print(arguments, host, lambda: json_trace.trace(answer), lambda wide: walk.lines(host, answer, wide))
    return exit_code(answer)


def asked(host: Host, arguments: Arguments) -> tuple[Question, tuple[str, ...]]:
    """The question of the command line, and sentences on how its words were understood."""
    family = 6 if arguments.ipv6 else 4
    beside = Asked(arguments.proto, arguments.sport, arguments.mark, arguments.iif, family, arguments.size)
    return question(host, arguments.sender, arguments.receiver, beside)


def run_reach(arguments: Arguments) -> int:
    """Print who reaches what: a line a port, or all that is known of those of one container; exit 3 when there is
    nothing to ask, or the engine was not read."""
    host = host_of(arguments, ALL_WAYS)
    asked = find_container(host, arguments.container) if arguments.container else None
    owners = {asked.id, sharing(host, asked).id} if asked is not None else None
    matrix = reach(host, aims=[aim for aim in aims_of(host) if owners is None or aim.container in owners])
    if arguments.json or arguments.every or asked is not None:
        _print(
            *(arguments, host, lambda: json_trace.reach(matrix)),
            lambda wide: reachability.lines(host, matrix, wide, whole=True),
        )
    else:
        if not matrix.aims:
            note("no port is known that could be reached")
        view = reachability.summary(host, matrix)
        write(terminal.table(view, list(view.rows(host)), room(), colour()))
        tell_missing(host, sorted(ALL_WAYS))
    return Exit.FINE if matrix.aims and host.containers is not None else Exit.UNREADABLE


def _print(
    arguments: Arguments, host: Host, as_json: Callable[[], json_host.Json], lines: Callable[[int], Iterable[Line]]
) -> None:
    if arguments.json:
        document(json_host.dumps(as_json()))
    else:
        write(terminal.text(lines(room() or PIPED), colour()))
    tell_missing(host, sorted(ALL_WAYS))


def exit_code(answer: Trace) -> int:
    if answer.answered is None:
        return Exit.UNKNOWN
    return Exit.FINE if answer.answered else Exit.FINDINGS


# --- who --------------------------------------------------------------------------------------------------------------


def run_who(arguments: Arguments) -> int:
    """Exit 0, 3 where its ports are not known, 5 where nothing can be told."""
    name, port = _who_target(arguments.receiver)
    host = traced_host(arguments)
    container = find_container(host, name)
    found = who(host, of_container(host, container, port))
    if arguments.json:
        document(json_host.dumps(who_view.json(host, found)))
    else:
        _print_who(host, found if arguments.every else found.folded(host))
    for sentence in _who_notes(host, container, found):
        note(sentence)
    tell_missing(host, sorted(ALL_WAYS))
    return who_exit_code(host, container, found)


def _who_target(text: str) -> tuple[str, tuple[int, str] | None]:
    name, colon, digits = text.partition(":")
    port = port_and_protocol(digits) if colon else None
    if colon and (port is None or port[1] not in ("tcp", "udp")):
        raise NetdashError(f"{digits!r} is not a port", "1 to 65535, with /udp where it is not tcp", Exit.USAGE)
    return name, port


def _print_who(host: Host, found: Who) -> None:
    for at, (title, view) in enumerate(who_view.sections(host, found)):
        write([safe(""), safe(title)] if at else [safe(title)])
        write(terminal.table(view, list(view.rows(host)), room(), colour()))


def _who_notes(host: Host, container: Container, found: Who) -> list[str]:
    owner = sharing(host, container)
    notes = [] if owner is container else [f"{container.name} uses the network of {owner.name}"]
    if not container.running:
        notes.append(f"{container.name} is not running")
    elif owner.listeners is None:
        notes.append(
            f"what listens inside {owner.name} was not read: the ports that its image and the engine name are asked"
        )
    elif not found.subject.aims:
        notes.append(f"nothing listens inside {owner.name} that others could reach")
    return notes


def who_exit_code(host: Host, container: Container, found: Who) -> int:
    if container.running and not found.subject.aims and sharing(host, container).listeners is None:
        return Exit.UNREADABLE
    answers = [row.reach.reaches for row in (*found.reached_by, *found.reaches)]
    return Exit.UNKNOWN if answers and all(answer is None for answer in answers) else Exit.FINE


# --- what-if ----------------------------------------------------------------------------------------------------------


def run_what_if(arguments: Arguments) -> int:
    """Exit 0 nobody loses or wins, 1 somebody does, 2 a command is not understood, 5 it cannot be told."""
    host = traced_host(arguments)
    found = difference.what_if(host, arguments.changes)
    _print(arguments, host, lambda: json_trace.difference(found), lambda wide: what_if.lines(found, wide))
    return what_if_exit_code(found)


def what_if_exit_code(found: Difference) -> int:
    if found.lost or found.gained:
        return Exit.FINDINGS
    return Exit.UNKNOWN if found.unknown or not found.complete else Exit.FINE
