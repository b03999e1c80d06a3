"""The commands that print: lists of one host or several, one container, whether a port is free, a recording. Data
to stdout, notes to stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from netdash import __version__
from netdash.bundle.recording import Recording
from netdash.cli.arguments import Arguments
from netdash.cli.printing import colour, document, note, room, write
from netdash.join.host import Builder
from netdash.model.errors import Exit, NetdashError
from netdash.model.finding import keep_health
from netdash.model.host import Host
from netdash.model.index import find_container
from netdash.model.numbers import port_and_protocol
from netdash.model.source import RECORDED, SOURCES, Options, Source
from netdash.view import terminal, unavailable
from netdash.view.table import Filter, Row, View
from netdash.view.text import safe

PIPED = 120  # cells of a card that goes to a file or a pipe

ALL_WAYS = frozenset(SOURCES) - {Source.NEIGHBOURS, Source.INSIDE}
_NEEDED = {
    "containers": frozenset({Source.DOCKER, Source.LINKS}),
    "ports": ALL_WAYS,
    "networks": frozenset({Source.DOCKER, Source.LINKS, Source.RULES, Source.PROXIES}),  # rules: for the marks
    # The engine: a rootless one has its rules elsewhere.
    "rules": frozenset({Source.RULES, Source.DOCKER, Source.LINKS}),
    "routes": frozenset({Source.ROUTES}),
    "proxies": frozenset({Source.PROXIES, Source.LISTENERS, Source.DOCKER}),
    "links": frozenset({Source.LINKS, Source.NEIGHBOURS, Source.DOCKER}),
    "drift": ALL_WAYS - {Source.SYSCTLS},
    "flows": ALL_WAYS | {Source.FLOWS},
    "drops": ALL_WAYS | {Source.DROPS},
}
"""Sources that a list needs; the JSON of containers tells their ways too."""


def run(arguments: Arguments) -> int:
    """One of the commands here; the name of a view lists it."""
    if arguments.command == "ports" and arguments.free is not None:
        return free(arguments)
    commands = {"collector": collector, "show": show, "record": record}
    several = len(arguments.hosts) > 1 and arguments.view
    return commands.get(str(arguments.command), list_several if several else list_view)(arguments)


def list_view(arguments: Arguments) -> int:
    """Print one view; exit 3 when its list could not be read, 1 when it lists what is wrong and there is some."""
    from netdash.view.views import BY_NAME

    view = BY_NAME[arguments.view]
    return print_view(arguments, listed_host(arguments, view), view, arguments.filter)


def _fares(arguments: Arguments, view: View) -> bool:
    """Whether the filter asks how rows fare, which only the doctor knows; of flows the list itself."""
    return view.name != "flows" and Filter.parse(" ".join(arguments.filter), view.columns).asks_how_rows_fare


def print_view(
    arguments: Arguments, host: Host, view: View, words: Sequence[str], among: Callable[[Any], bool] = lambda _: True
) -> int:
    """`words`: of the filter. `among`: which things are listed at all."""
    rows = view.rows(host)
    wanted = Filter.parse(" ".join(words), view.columns)
    if len(rows):
        wanted.check(view, rows)
    kept = [at for at, row in enumerate(rows) if wanted.matches(row) and among(rows.things[at])]
    if _as_json(arguments):
        from netdash.view import json_host

        document(json_host.dumps(json_host.list_view(host, view, (rows.things[at] for at in kept))))
    elif kept:
        print_rows(arguments, view, [rows[at] for at in kept])
    elif view.known(host):
        note("nothing matches the filter" if len(rows) else view.nothing(host))
    tell_missing(host, view.sources)
    if unavailable.namespace(host):
        note(unavailable.namespace(host))
    part = Source.DOCKER in view.sources and host.containers is None
    if part or not _known(host, view) or (view.doubt(host) and not len(rows)):
        return Exit.UNREADABLE
    return Exit.FINDINGS if view.findings and kept else Exit.FINE


def list_several(arguments: Arguments) -> int:
    """Print one view of all hosts; exit 1 when one of them lists what is wrong, else 3 when one is not known."""
    from netdash.collect.hosts import named, read_hosts
    from netdash.view import json_host, several_hosts
    from netdash.view.views import BY_NAME

    view = BY_NAME[arguments.view]
    if _fares(arguments, view):
        raise NetdashError("is: asks how the rows of one host fare", "name one --host", Exit.USAGE)
    wanted_hosts = named(arguments.hosts, arguments.sudo)
    recordings = read_hosts(wanted_hosts, _remote_options(arguments, view))
    hosts = [
        several_hosts.Named(name, Builder().build(recording))
        for (name, _), recording in zip(wanted_hosts, recordings, strict=True)
    ]
    wide = several_hosts.with_host(view)
    rows, things = several_hosts.rows(view, hosts)
    wanted = Filter.parse(" ".join(arguments.filter), wide.columns)
    if rows:
        wanted.check(wide, rows)
    kept = [at for at, row in enumerate(rows) if wanted.matches(row)]
    lost = [row for named in hosts if (row := several_hosts.lost(view, named))]
    if _as_json(arguments):
        document(json_host.dumps(several_hosts.json(view, hosts, (things[at] for at in kept))))
    elif kept or lost:
        print_rows(arguments, wide, [*(rows[at] for at in kept), *lost])
    else:
        note("nothing matches the filter" if rows else view.empty)
    for other in hosts:
        for failure in unavailable.failures(other.host, view.sources):
            note(f"{other.name}: {unavailable.sentence(failure).removeprefix('host: ')}")
    if view.findings and kept:
        return Exit.FINDINGS
    unsure = any(view.doubt(named.host) and not len(view.rows(named.host)) for named in hosts)
    return Exit.UNREADABLE if lost or unsure else Exit.FINE


def _as_json(arguments: Arguments) -> bool:
    return arguments.json or arguments.output == "json"


def print_rows(arguments: Arguments, view: View, rows: Sequence[Row]) -> None:
    headers = not arguments.no_headers
    if arguments.columns:
        view, rows = terminal.columns(view, rows, arguments.columns)
    if arguments.output == "csv":
        write(terminal.as_csv(view, rows, headers))
        return
    cells = None if arguments.output == "wide" else room()
    every = arguments.every or bool(arguments.filter)
    write(terminal.listing(view, rows, terminal.How(cells, colour(), headers, every, bool(arguments.columns))))


def listed_host(arguments: Arguments, view: View) -> Host:
    """The list of containers tells nothing of what is within them but who was left behind, nor of drift: of a recording
    of thousands that takes longer than the rest."""
    if _fares(arguments, view):
        from netdash.doctor.examine import examine

        host = whole_host(arguments)
        keep_health(host, examine(host))
        return host
    if view.name == "containers" and not _as_json(arguments) and arguments.bundle is not None:
        from netdash.bundle.storage import load

        return Builder(compare=False).build(load(arguments.bundle, ("netns.txt",)))
    if view.name == "flows":
        return flows_host(arguments)
    return host_of(arguments, needed(view, _as_json(arguments)))


def flows_host(arguments: Arguments) -> Host:
    """Of another host the connections come with what a trace needs, without a look into containers."""
    there = bool(arguments.hosts)
    return Builder().build(reading(arguments, _NEEDED["flows"], there, 0 if there else None))


def _remote_options(arguments: Arguments, view: View) -> Options:
    sources = needed(view, _as_json(arguments))
    return arguments.options(sources, True, 0) if Source.FLOWS in sources else arguments.options(sources)


def needed(view: View, json: bool) -> frozenset[str]:
    """Sources that a list needs."""
    return ALL_WAYS if view.name == "containers" and json else _NEEDED[view.name]


def _known(host: Host, view: View) -> bool:
    return view.known(host) or bool(len(view.rows(host)))


def show(arguments: Arguments) -> int:
    """Print one container's card, or its JSON."""
    if arguments.json:
        from netdash.view import json_host

        host = host_of(arguments, ALL_WAYS)
        document(json_host.dumps(json_host.show(host, find_container(host, arguments.container))))
        return Exit.FINE
    from netdash.doctor.examine import examine
    from netdash.view.card import card

    host = traced_host(arguments)
    container = find_container(host, arguments.container)
    keep_health(host, examine(host))

    write(terminal.text(card(host, container, room() or PIPED), colour()))
    return Exit.FINE


def free(arguments: Arguments) -> int:
    """Say whether a port is free: exit 0 free, 1 taken, 3 not known."""
    from netdash.view.columns_ports import PORTS
    from netdash.view.form_choices import look, sentences

    number, proto = _port(arguments.free or "")
    host = host_of(arguments, ALL_WAYS - {Source.SYSCTLS})
    answer = look(host, proto, number)
    if arguments.json:
        from netdash.view import json_host
        from netdash.view.changes import free_port

        document(json_host.dumps(free_port(host, answer)))
    else:
        write(map(safe, sentences(host, answer)))
    tell_missing(host, PORTS.sources)
    return Exit.UNREADABLE if answer.free is None else Exit.FINE if answer.free else Exit.FINDINGS


def _port(text: str) -> tuple[int, str]:
    port = port_and_protocol(text)
    if port is None or port[1] not in ("tcp", "udp"):
        raise NetdashError(f"{text!r} is not a port", "1 to 65535, with /udp where it is not tcp", Exit.USAGE)
    return port


def record(arguments: Arguments) -> int:
    """Write a bundle of all that could be read."""
    from netdash.bundle.storage import dump

    recording = reading(arguments, RECORDED, whole=True)
    lost = recording.failures.get("host")
    if lost is not None:
        raise NetdashError(f"{recording.hostname}: {lost.reason}", lost.remedy)
    if not recording.answers:
        raise NetdashError("nothing could be read", "; ".join(map(unavailable.sentence, recording.failures.values())))
    dump(recording, arguments.target, __version__)
    for failure in recording.failures.values():
        note(f"not in it: {unavailable.sentence(failure)}")
    note(f"recorded {len(recording.answers)} answers in {arguments.target}")
    return Exit.FINE


def collector(_: Arguments) -> int:
    """Print the script whose output `--from` opens."""
    from netdash.collect.ssh import script

    write(map(safe, script().splitlines()))
    return Exit.FINE


# --- reading and printing ---------------------------------------------------------------------------------------------


def host_of(arguments: Arguments, sources: frozenset[str]) -> Host:
    return Builder().build(reading(arguments, sources))


def traced_host(arguments: Arguments) -> Host:
    """The host as the trace of one packet needs it: also what is seen inside its containers."""
    return Builder().build(reading(arguments, ALL_WAYS | {Source.NEIGHBOURS}, True, LOOKED_INTO))


def whole_host(arguments: Arguments) -> Host:
    """The host by all that can be read, within all of its containers."""
    return Builder().build(reading(arguments, frozenset(SOURCES), whole=True))


LOOKED_INTO = 40  # containers: each takes some 10 ms


def reading(
    arguments: Arguments, sources: frozenset[str], whole: bool = False, containers: int | None = None
) -> Recording:
    if arguments.bundle is not None:
        from netdash.bundle.storage import load

        return load(arguments.bundle)
    if len(arguments.hosts) > 1:
        raise NetdashError(f"{arguments.command} is for one host", "name one --host", Exit.USAGE)
    if arguments.hosts:
        from netdash.collect.hosts import read_host

        return read_host(arguments.hosts[0], arguments.options(sources, whole, containers))
    from netdash.cli.own_records import with_own_records
    from netdash.collect.once import read_once

    return with_own_records(read_once(arguments.options(sources, whole, containers)))


def tell_missing(host: Host, sources: Iterable[str]) -> None:
    for failure in unavailable.failures(host, sources):
        note(unavailable.sentence(failure))
