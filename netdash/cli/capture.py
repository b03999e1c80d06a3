"""`netdash capture`: a container's packets at its own device and at the uplinks, in pairs, as text, JSON lines or a
file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from netdash.capture.model import SNAP, WHOLE, Fate, Limits, Pair, Plan
from netdash.capture.points import Wanted, plan
from netdash.cli.arguments import Arguments
from netdash.cli.lists import ALL_WAYS, tell_missing, traced_host
from netdash.cli.printing import asked_to_end, colour, document, flush, note, room, write
from netdash.cli.prove import same_namespace
from netdash.collect.netlink import changed_tables, generation, received, routing_events
from netdash.model.addresses import address
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import IP, Host
from netdash.model.index import find_container
from netdash.view import capture as words
from netdash.view import json_host, terminal
from netdash.view.text import safe

if TYPE_CHECKING:
    from netdash.collect.capture import Capture

_WAIT = 0.1  # seconds between two looks at the clock
SHOWN, LASTING = 10_000, 3600.0  # packets and seconds after which a capture in the dashboard ends by itself


def run(arguments: Arguments) -> int:
    """Exit 0, 1 where packets were lost, 3 where nothing was seen, 4 where capturing is refused, 5 where a packet was
    seen on one side only and nobody knows why."""
    if arguments.bundle is not None:
        raise NetdashError("nothing can be captured on a recording: it has no packets", code=Exit.USAGE)
    wanted = Wanted(_peer(arguments.peer), arguments.number)
    host = traced_host(arguments)
    made = plan(host, find_container(host, arguments.container), wanted)
    if any(name not in ("local", ".") for name in arguments.hosts):
        return _refused(arguments, made)
    same_namespace(host)
    return _captured(arguments, host, made)


def _peer(text: str) -> IP | None:
    ip = address(text) if text else None
    if text and ip is None:
        raise NetdashError(f"{text!r} is no address", "--peer 192.0.2.10", Exit.USAGE)
    return ip


def _refused(arguments: Arguments, made: Plan) -> int:
    """Another host: what does the same there, to copy."""
    from netdash.collect.hosts import named

    _, where = named(arguments.hosts, arguments.sudo)[0]
    note("capturing is for this host; these do the same on the other one:")
    for command in words.commands(made, arguments.packets, arguments.snap or SNAP):
        write([safe(where.there(command) if where is not None and not command.startswith("#") else command)])
    return Exit.REFUSED


def _captured(arguments: Arguments, host: Host, made: Plan) -> int:
    from netdash.collect.capture import Capture, PcapngFile

    snap = arguments.snap or (WHOLE if arguments.payload else SNAP)
    limits = Limits(arguments.packets, arguments.wait or 30.0, snap=snap, payload=arguments.payload)
    path = arguments.write
    save = None if path is None else partial(PcapngFile, path, arguments.force)
    with (
        asked_to_end() as end,
        closing(_Newest(arguments, host)) as newest,
        Capture(made, newest, limits, save) as capture,
    ):
        _begin(arguments, made)
        while not capture.ended and not end():
            _print(arguments, made, capture.step(_WAIT))
        if not capture.ended:
            _print(arguments, made, capture.rest())
        dropped = capture.dropped
    note(words.summary(capture.packets, capture.counts, dropped, capture.unread, capture.gone, capture.ended))
    if path is not None:
        note(f"saved in {path}")
    tell_missing(host, sorted(ALL_WAYS))
    return exit_code(capture.packets, capture.counts[Fate.LOST], capture.counts[Fate.UNKNOWN])


class _Newest:
    """Called: the host, read again where rules, links, addresses or routes changed since."""

    def __init__(self, arguments: Arguments, host: Host) -> None:
        self._arguments, self._host, self._generation = arguments, host, generation()
        self._events = routing_events()

    def __call__(self) -> Host:
        data, dropped = received(self._events) if self._events is not None else (b"", False)
        now = generation()
        if now != self._generation or dropped or changed_tables(data) - {"neighbours"}:
            self._generation, self._host = now, traced_host(self._arguments)
        return self._host

    def close(self) -> None:
        if self._events is not None:
            self._events.close()


def opened(plan: Plan, newest: Callable[[], Host]) -> Capture:
    """A capture for the dashboard. Raises NetdashError where its packets are not those of this namespace."""
    from netdash.collect.capture import Capture

    same_namespace(newest())
    return Capture(plan, newest, Limits(packets=SHOWN, seconds=LASTING))


def exit_code(packets: int, lost: int, unknown: int) -> int:
    if not packets:
        return Exit.UNREADABLE
    return Exit.FINDINGS if lost else Exit.UNKNOWN if unknown else Exit.FINE


def _begin(arguments: Arguments, made: Plan) -> None:
    if arguments.json:
        document(json_host.dumps(words.plan_json(made), None))
        flush()
    else:
        for line in terminal.text(words.head(made, room() or 120), False):
            note(line)


def _print(arguments: Arguments, made: Plan, pairs: list[Pair]) -> None:
    for pair in pairs:
        if arguments.json:
            document(json_host.dumps(words.pair_json(made, pair), None))
        else:
            write(terminal.text(words.lines(made, pair, room()), colour()))
    flush()
