"""The command line: what can be typed after ":", its completion, and carrying it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from netdash.model.host import Ref
from netdash.model.numbers import port_and_protocol
from netdash.model.relations import ref_of
from netdash.tui import changing
from netdash.tui.host_view import BY_NAME
from netdash.view import free_ports
from netdash.view.text import Tone, clean

if TYPE_CHECKING:
    from netdash.tui.screen import Dashboard

PLAIN = {
    "all": ("action_linked", "all rows, or only what belongs to the selection"),
    "back": ("action_back", "back to where you came from"),
    "copy": ("action_copy", "copy something of the selection"),
    "help": ("action_help", "the keys that work here"),
    "pause": ("action_pause", "pause, or go on"),
    "refresh": ("action_refresh", "read everything again now"),
    "hosts": ("action_hosts", "the hosts, and another one on screen"),
    "everywhere": ("action_everywhere", "containers of all hosts"),
    "reach": ("action_reach", "who reaches which port, and which rule keeps who does not"),
    "quit": ("action_quit", "quit"),
}
WITH = ("filter", "free", "go", "host", "sort")
CHANGES = changing.COMMANDS
OFFERS = 8


def completer(screen: Dashboard) -> Callable[[str], Sequence[str]]:
    """Completions of what is typed so far, whole lines, the likeliest first."""
    verbs = (*BY_NAME, *WITH, *PLAIN, *CHANGES)

    def complete(typed: str) -> Sequence[str]:
        verb, blank, rest = typed.lstrip().partition(" ")
        if not blank:
            return [each for each in verbs if each.startswith(verb.casefold())][:OFFERS]
        near = rest.casefold()
        return [f"{verb} {word}" for word in _words(screen, verb) if word.casefold().startswith(near)][:OFFERS]

    return complete


def _words(screen: Dashboard, verb: str) -> Sequence[str]:
    if verb == "go":
        host = screen.sheet.host if screen.sheet else None
        return [container.name for container in (host.containers if host else None) or ()]
    if verb == "host":
        fleet = screen.netdash.fleet
        return [state.name for state in fleet.states()] if fleet else ()
    if verb == "sort":
        return [column.key for column in screen.places.view.columns]
    if verb == "filter":
        return [f"{column.key}:" for column in screen.places.view.columns]
    return ()


def execute(screen: Dashboard, line: str) -> None:
    """Carries out one line; what it does not know it says, with the nearest that it does."""
    verb, _, rest = line.strip().partition(" ")
    verb, rest = verb.casefold(), rest.strip()
    known = [each for each in (*BY_NAME, *WITH, *PLAIN, *CHANGES) if each.startswith(verb)]
    name = verb if verb in known else known[0] if known else ""
    if name in BY_NAME:
        screen.action_view(name)
        if rest:
            screen.narrow(text=rest)
    elif name in WITH:
        _RUN[name](screen, rest)
    elif name in CHANGES:
        changing.begin(screen, name)
    elif name == "quit":
        screen.run_worker(screen.action_quit())
    elif name:
        getattr(screen, PLAIN[name][0])()
    else:
        from difflib import get_close_matches

        near = get_close_matches(verb, (*BY_NAME, *WITH, *PLAIN, *CHANGES), 1)
        screen.say(
            f"no command {clean(verb, 30)}"
            + (f", did you mean {near[0]}?" if near else " (: and then Tab lists them)"),
            Tone.WARN,
        )


def _filter(screen: Dashboard, text: str) -> None:
    screen.narrow(text=text)


def _go(screen: Dashboard, name: str) -> None:
    """By name, or by the start of a name or an id."""
    host = screen.sheet.host if screen.sheet else None
    found = list((host.containers if host else None) or ())
    exact = [each for each in found if name and each.name == name]
    near = exact or [each for each in found if name and (each.name.startswith(name) or each.id.startswith(name))]
    if len(near) == 1 or exact:
        screen.follow(Ref("container", near[0].id))
    else:
        screen.say(f"{len(near) or 'no'} containers are called {clean(name, 40)}", Tone.WARN)


def _host(screen: Dashboard, name: str) -> None:
    """By name, or by any part of it that only one host has."""
    fleet = screen.netdash.fleet
    known = [state.name for state in fleet.states()] if fleet else []
    found = [each for each in known if each == name] or [each for each in known if name and name in each]
    if len(found) == 1:
        from netdash.tui.hosts_view import look_at

        look_at(screen, found[0])
    elif known:
        told = ", ".join(clean(each, 40) for each in known)
        screen.say(f"{len(found) or 'no'} hosts are called {clean(name, 40)}; there are {told}", Tone.WARN)
    else:
        screen.action_hosts()


def _sort(screen: Dashboard, key: str) -> None:
    columns = screen.places.view.columns
    found = [at for at, column in enumerate(columns) if key and column.key.startswith(key.casefold())]
    if found or not key:
        screen.narrow(sort=found[0] if found else None, down=False)
    else:
        screen.say(f"no column {clean(key, 30)}; there are {', '.join(column.key for column in columns)}", Tone.WARN)


def _free(screen: Dashboard, text: str) -> None:
    """Whether a host port is free, and who has it: `8080`, or `53/udp`."""
    port = port_and_protocol(text)
    host = screen.sheet.host if screen.sheet else None
    if port is None or port[1] not in ("tcp", "udp"):
        screen.say(":free takes a port from 1 to 65535, with /udp for UDP", Tone.WARN)
    elif host is not None:
        answer = free_ports.look(host, port[1], port[0])
        if answer.taken_by or answer.wanted_by:
            screen.follow(ref_of((*answer.taken_by, *answer.wanted_by)[0]))
        tone = {True: Tone.GOOD, False: Tone.WARN, None: Tone.UNKNOWN}[answer.free]
        screen.say(" · ".join(free_ports.sentences(host, answer)), tone)


_RUN: dict[str, Callable[[Dashboard, str], None]] = {
    "filter": _filter,
    "free": _free,
    "go": _go,
    "host": _host,
    "sort": _sort,
}
