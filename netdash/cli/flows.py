"""`netdash flows`: the connections that this host tracks: listed, added up, or as they begin and end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

from netdash.cli import lists
from netdash.cli.arguments import Arguments
from netdash.cli.printing import colour, document, note, write
from netdash.join.flows import of_container
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Host
from netdash.model.index import called, find_container
from netdash.model.kernel_state import Tracking, Watched
from netdash.model.packet import Flow
from netdash.model.records import replace
from netdash.view import groups, json_host, terminal
from netdash.view.columns_flows import FLOW_WORDS, FLOWS, change, notes
from netdash.view.table import Filter

Among = Callable[[Flow], bool]
_SHORT_ID = 12  # characters of an id that `docker ps` shows
_NAME = re.compile(r"/?[a-zA-Z][\w.-]*")


def run(arguments: Arguments) -> int:
    """Exit 0, 3 where they could not be read."""
    if arguments.watch:
        return _watch(arguments)
    if len(arguments.hosts) > 1:
        return lists.list_several(arguments)
    host = lists.listed_host(arguments, FLOWS)
    words, among = _asked(arguments, host)
    if FLOWS.known(host):
        _check(host, words)
    if arguments.by:
        code = _grouped(arguments, host, words, among)
    else:
        code = lists.print_view(arguments, host, FLOWS, words, among)
    for text in notes(host):
        note(text)
    return code


def _asked(arguments: Arguments, host: Host) -> tuple[list[str], Among]:
    """The filter, and which connections are meant: a first word that is a container's name or id stands for all of
    it."""
    words = list(arguments.filter)
    named = called(host.containers or (), words[0]) if words else []
    if len(named) == 1 and (named[0].name == words[0].removeprefix("/") or len(words[0]) >= _SHORT_ID):
        return words[1:], of_container(host, named[0])
    return words, lambda _: True


def _check(host: Host, words: list[str]) -> None:
    """Raises NetdashError(USAGE) where the first word can only be the name of a container, and is none."""
    if not words or not _NAME.fullmatch(words[0]) or any(words[0].casefold() in word for word in FLOW_WORDS):
        return
    found = Filter.parse(words[0], FLOWS.columns)
    if not any(map(found.matches, FLOWS.rows(host))):
        find_container(host, words[0])


def _grouped(arguments: Arguments, host: Host, words: list[str], among: Among) -> int:
    found = groups.groups(host, _matching(host, words, among), arguments.by)
    if arguments.json:
        document(json_host.dumps(groups.json(host, found, arguments.by)))
    elif found:
        view = replace(FLOWS, columns=groups.columns(arguments.by))
        lists.print_rows(arguments, view, groups.rows(found))
    lists.tell_missing(host, FLOWS.sources)
    return Exit.FINE if FLOWS.known(host) else Exit.UNREADABLE


def _matching(host: Host, words: Iterable[str], among: Among) -> list[Flow]:
    rows = FLOWS.rows(host)
    wanted = Filter.parse(" ".join(words), FLOWS.columns)
    return [flow for at, flow in enumerate(rows.things) if among(flow) and wanted.matches(rows[at])]


def _watch(arguments: Arguments) -> int:
    """A line or, with --json, an object for each connection that begins or ends; ends with Ctrl-C."""
    from netdash.cli.watching import recordings
    from netdash.join.host import Builder

    if arguments.bundle is not None:
        raise NetdashError("a recording does not change", "--watch is for a live host", Exit.USAGE)
    builder, before, reported = Builder(compare=False), dict[str, Flow](), set[str]()
    begun, last, checked = False, None, False
    with recordings(arguments, Watched(flows=True)) as found:
        for recording in found:
            host = builder.build(recording)
            for text in (*notes(host), *_unread(host)):
                if text not in reported:
                    note(text)
                    reported.add(text)
            if host.pending or host.flows is None:
                continue
            words, among = _asked(arguments, host)
            if not checked and (checked := host.containers is not None):
                _check(host, words)
            now = {flow.key: flow for flow in _matching(host, words, among)}
            if begun:
                new = [flow for key, flow in now.items() if key not in before]
                _tell(arguments, host, _beginning(new, last, host.tracking), True)
                _tell(arguments, host, [flow for key, flow in before.items() if key not in now], False)
            else:
                note(f"watching {len(now)} connections")
            before, begun, last = now, True, host.tracking
    return Exit.FINE


def _beginning(new: list[Flow], last: Tracking | None, now: Tracking | None) -> list[Flow]:
    """Those of the new ones that have just begun: where not all are kept, an older one may have taken the place of one
    that ended."""
    if last is None or now is None or not (last.left_out or now.left_out):
        return new
    return [flow for flow in new if flow.entry.age is not None and flow.entry.age <= now.at - last.at + 1]


def _unread(host: Host) -> list[str]:
    failure = host.failures.get("flows")
    return [f"{failure.source}: {failure.reason}"] if failure is not None else []


def _tell(arguments: Arguments, host: Host, changed: list[Flow], begins: bool) -> None:
    for flow in changed:
        if arguments.json:
            head = {"schema": json_host.SCHEMA, "change": "begins" if begins else "ends"}
            document(json_host.dumps({**head, **json_host.record(host, flow)}, None))
        else:
            write(terminal.text((change(host, flow, begins, time.time()),), colour()))
