"""Lists of several hosts at once. Data to stdout, notes to stderr."""

from __future__ import annotations

from netdash.cli.arguments import Arguments
from netdash.cli.lists import needed
from netdash.cli.printing import colour, document, note, room, write
from netdash.join.host import Builder
from netdash.model.errors import Exit
from netdash.view import json_host, several_hosts, terminal, unavailable
from netdash.view.filter import Filter
from netdash.view.views import BY_NAME


def list_view(arguments: Arguments) -> int:
    """Print one view of all hosts; exit 1 when one of them lists what is wrong, else 3 when one is not known."""
    from netdash.collect.several import named, read_hosts

    view = BY_NAME[arguments.view]
    wanted_hosts = named(arguments.hosts, arguments.sudo)
    recordings = read_hosts(wanted_hosts, arguments.options(needed(view, arguments.json)))
    told = [
        several_hosts.Named(name, Builder().build(one)) for (name, _), one in zip(wanted_hosts, recordings, strict=True)
    ]
    wide = several_hosts.with_host(view)
    rows, things = several_hosts.rows(view, told)
    wanted = Filter.parse(" ".join(arguments.filter), wide.columns)
    if rows:
        wanted.check(wide, rows)
    kept = [at for at, row in enumerate(rows) if wanted.matches(row)]
    lost = [row for one in told if (row := several_hosts.lost(view, one))]
    if arguments.json:
        document(json_host.dumps(several_hosts.json(view, told, (things[at] for at in kept))))
    elif kept or lost:
        write(terminal.table(wide, [*(rows[at] for at in kept), *lost], room(), colour()))
    else:
        note("nothing matches the filter" if rows else view.empty)
    for one in told:
        for failure in unavailable.told(one.host, view.sources):
            note(f"{one.name}: {unavailable.sentence(failure).removeprefix('host: ')}")
    if view.findings and kept:
        return Exit.FINDINGS
    unsure = any(view.doubt(one.host) and not len(view.rows(one.host)) for one in told)
    return Exit.UNREADABLE if lost or unsure else Exit.FINE
