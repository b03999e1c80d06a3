"""`netdash who`: who reaches a container or one of its ports, and whom it reaches, as text or JSON."""

from __future__ import annotations

from netdash.cli.arguments import Arguments
from netdash.cli.lists import ALL_WAYS, tell_missing, traced_host
from netdash.cli.printing import colour, document, note, room, write
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Container, Host
from netdash.model.index import find_container, sharing
from netdash.model.numbers import port_and_protocol
from netdash.trace.who import Who, of_container, who
from netdash.view import json_host, terminal
from netdash.view import who as rows
from netdash.view.text import safe


def run(arguments: Arguments) -> int:
    """Exit 0, 3 where its ports are not known, 5 where nothing can be told."""
    name, port = _target(arguments.receiver)
    host = traced_host(arguments)
    container = find_container(host, name)
    found = who(host, of_container(host, container, port))
    if arguments.json:
        document(json_host.dumps(rows.json(host, found)))
    else:
        _print(host, found if arguments.every else found.folded(host))
    for sentence in _notes(host, container, found):
        note(sentence)
    tell_missing(host, sorted(ALL_WAYS))
    return exit_code(host, container, found)


def _target(text: str) -> tuple[str, tuple[int, str] | None]:
    name, colon, digits = text.partition(":")
    port = port_and_protocol(digits) if colon else None
    if colon and (port is None or port[1] not in ("tcp", "udp")):
        raise NetdashError(f"{digits!r} is not a port", "1 to 65535, with /udp where it is not tcp", Exit.USAGE)
    return name, port


def _print(host: Host, found: Who) -> None:
    for at, (title, view) in enumerate(rows.sections(host, found)):
        write([safe(""), safe(title)] if at else [safe(title)])
        write(terminal.table(view, list(view.rows(host)), room(), colour()))


def _notes(host: Host, container: Container, found: Who) -> list[str]:
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


def exit_code(host: Host, container: Container, found: Who) -> int:
    if container.running and not found.subject.aims and sharing(host, container).listeners is None:
        return Exit.UNREADABLE
    answers = [row.reach.reaches for row in (*found.reached_by, *found.reaches)]
    return Exit.UNKNOWN if answers and all(one is None for one in answers) else Exit.FINE
