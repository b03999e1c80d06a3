"""What keys and command lines do. What only one of them needs is imported when it is asked for: the first paint waits
for it otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module

from netdash.model.errors import did_you_mean
from netdash.model.host import Ref
from netdash.tui import list_layout
from netdash.tui.actions import ACTIONS, BY_ID, COMMANDS, Needs, first_key
from netdash.tui.dashboard import Dashboard
from netdash.tui.grid import Grid
from netdash.tui.panes import HEADLINE
from netdash.tui.surface import Box, ListWidget
from netdash.view.text import Tone, clean
from netdash.view.views import BY_NAME

FILTER_HINT = "words   !without   key:value      Enter keeps it, Esc clears it"
COMMAND_HINT = "rules   ports   free 8080   go NAME   help   q      Tab completes"
OFFERS = 8
_SAY_IT = (Needs.CHANGES, Needs.FLEET)  # what needs these says itself what is missing


def perform(dashboard: Dashboard, identity: str) -> None:
    needs, why_not = BY_ID[identity].needs, dashboard.why_not(identity)
    says_it = needs in _SAY_IT or (needs in (Needs.ROW, Needs.THING) and dashboard.panes.grid.on_struck)
    if why_not and not says_it:
        dashboard.say(why_not, Tone.DIM)
    else:
        _ACTIONS[identity](dashboard)


# --- moving -----------------------------------------------------------------------------------------------------------


def _move(step: Callable[[ListWidget], None], dashboard: Dashboard) -> None:
    if isinstance(dashboard.focused, ListWidget):
        step(dashboard.focused)


def _hop(step: int, dashboard: Dashboard) -> None:
    if isinstance(dashboard.focused, (Grid, Box)):
        dashboard.focused.hop(step)


def _pane(step: int, dashboard: Dashboard) -> None:
    """The panes in a ring, without those that have nothing to stand on."""
    ring = dashboard.panes.ring
    at = ring.index(dashboard.focused) if dashboard.focused in ring else 0
    dashboard.focus_on(ring[(at + step) % len(ring)])


# --- going ------------------------------------------------------------------------------------------------------------


def _target(dashboard: Dashboard) -> Ref | None:
    """The link under the cursor."""
    pane = dashboard.focused
    return pane.target if isinstance(pane, (Grid, Box)) else None


def _follow(dashboard: Dashboard) -> None:
    """The link under the cursor; on a row itself, its containers, and on a container its card."""
    panes, host_view = dashboard.panes, dashboard.host_view
    if panes.lost():
        return
    target = _target(dashboard)
    if target is None:
        dashboard.say("nothing here leads anywhere else", Tone.DIM)
        return
    if dashboard.focused is panes.grid and panes.on_headline:
        list_layout.fold(panes)
        return
    if target.kind == "question":
        from netdash.tui import asking

        asking.walk_of(dashboard, target)
        return
    if dashboard.focused is panes.grid and panes.grid.row and target == panes.grid.row.ref:
        if target.kind == "container":
            dashboard.focus_on(panes.card)
            return
        lead = host_view.leads_to(target) if host_view else None
        if lead is None:
            known = host_view is not None and host_view.host.containers is not None
            dashboard.say("belongs to no container" if known else "which containers there are is not known", Tone.DIM)
            return
        target = lead
    dashboard.follow(target)


def _back(dashboard: Dashboard) -> None:
    if dashboard.panes.places.back():
        dashboard.panes.anew()
        dashboard.focus_on(dashboard.panes.grid)
    else:
        dashboard.say("this is where you began", Tone.DIM)


def _escape(dashboard: Dashboard) -> None:
    """One level back: the pane, the marks, the filter, the narrowing, the place before. Never out."""
    panes = dashboard.panes
    ask = panes.places.here.ask
    if dashboard.focused is not panes.grid:
        dashboard.focus_on(panes.grid)
    elif panes.picked:
        panes.picked = ()
        panes.mark()
        dashboard.write_footer()
    elif ask.text or ask.within:
        dashboard.narrow(text="") if ask.text else dashboard.narrow(within=None)
    elif panes.places.back():
        panes.anew()
    else:
        dashboard.say(f"{first_key('quit', dashboard.netdash.options.keys)} quits", Tone.DIM)


# --- looking ----------------------------------------------------------------------------------------------------------


def _sort_next(dashboard: Dashboard) -> None:
    """The next column, and after the last the view's own order. Where rows have a verdict, the worst come first."""
    ask = dashboard.panes.places.here.ask
    shown = [index for index, size in enumerate(dashboard.panes.grid.sizes()) if size]
    shown.sort(key=lambda index: ask.view.columns[index].key != "in")
    after = shown[shown.index(ask.sort) + 1 :] if ask.sort in shown else shown
    dashboard.narrow(sort=after[0] if after else None, down=False)


def _reverse(dashboard: Dashboard) -> None:
    dashboard.narrow(down=not dashboard.panes.places.here.ask.down)


def _columns(dashboard: Dashboard) -> None:
    from netdash.tui import list_layout

    list_layout.choose(dashboard)


def _linked(dashboard: Dashboard) -> None:
    """In the containers, and in a linked pane, it is the linked panes that show all; elsewhere the list does."""
    panes = dashboard.panes
    if dashboard.focused is not panes.grid or panes.places.view.kind == "container":
        panes.everything = not panes.everything
        panes.selected()
    else:
        row, ask = panes.grid.row, panes.places.here.ask
        dashboard.narrow(within=None if ask.within else row and row.ref)
    dashboard.write_footer()


def _pause(dashboard: Dashboard) -> None:
    dashboard.netdash.paused = not dashboard.netdash.paused
    dashboard.write_header()


def _refresh(dashboard: Dashboard) -> None:
    dashboard.netdash.feed.refresh()
    dashboard.say("reading everything again…", Tone.DIM)


def _hosts(dashboard: Dashboard) -> None:
    from netdash.tui import hosts_view

    hosts_view.choose(dashboard)


def _everywhere(dashboard: Dashboard) -> None:
    from netdash.tui import hosts_view

    hosts_view.everywhere(dashboard)


# --- doing ------------------------------------------------------------------------------------------------------------


def _help(dashboard: Dashboard) -> None:
    from netdash.tui.popup import show_help

    app = dashboard.netdash
    works = [action.id for action in ACTIONS if dashboard.works(action.id)]
    show_help(app, works, app.options.keys, dashboard.panes.extent.width, app.unchangeable)


def _copy(dashboard: Dashboard) -> None:
    if not dashboard.panes.lost():
        from netdash.tui import copy

        row = dashboard.panes.grid.row
        ref = _target(dashboard)
        copy.choose(dashboard, row.ref if row and (ref is None or ref.kind == "question") else ref)


def _mark(dashboard: Dashboard) -> None:
    """The newest two stay marked; a headline is folded, or unfolded."""
    panes = dashboard.panes
    if panes.on_headline:
        list_layout.fold(panes)
        return
    if panes.grid.row is not None and not panes.lost():
        ref = panes.grid.row.ref
        kept = tuple(picked for picked in panes.picked if picked != ref)
        panes.picked = kept if ref in panes.picked else (*kept, ref)[-2:]
        panes.mark()
        dashboard.write_footer()


def _trace(dashboard: Dashboard) -> None:
    if not dashboard.panes.lost() or len(dashboard.panes.picked) == 2:
        from netdash.tui import asking

        asking.ask(dashboard)


def _show(view: str, dashboard: Dashboard) -> None:
    """A view over the dashboard."""
    import_module(f"netdash.tui.{view}").show(dashboard)


def _change(what: str, dashboard: Dashboard) -> None:
    if what == "publish" and dashboard.panes.on_headline:
        dashboard.say(HEADLINE, Tone.DIM)
    elif what != "publish" or not dashboard.panes.lost():
        from netdash.tui import changing

        changing.begin(dashboard, what)


# --- commands with an argument ----------------------------------------------------------------------------------------


def _go(dashboard: Dashboard, name: str) -> None:
    """By name, or by the start of a name or an id."""
    host = dashboard.host_view.host if dashboard.host_view else None
    found = list((host.containers if host else None) or ())
    exact = [container for container in found if name and container.name == name]
    near = exact or [
        container for container in found if name and (container.name.startswith(name) or container.id.startswith(name))
    ]
    if len(near) == 1 or exact:
        dashboard.follow(Ref("container", near[0].id))
    else:
        dashboard.say(f"{len(near) or 'no'} containers are called {clean(name, 40)}", Tone.WARN)


def _what_if(dashboard: Dashboard, text: str) -> None:
    if dashboard.host_view is not None:
        from netdash.tui import what_if_view

        what_if_view.show(dashboard, dashboard.host_view.host, text)


def _host(dashboard: Dashboard, name: str) -> None:
    """By name, or by any part of it that only one host has."""
    known = _hosts_known(dashboard)
    found = [text for text in known if text == name] or [text for text in known if name and name in text]
    if len(found) == 1:
        from netdash.tui.hosts_view import look_at

        look_at(dashboard, found[0])
    elif known:
        names = ", ".join(clean(text, 40) for text in known)
        dashboard.say(f"{len(found) or 'no'} hosts are called {clean(name, 40)}; there are {names}", Tone.WARN)
    else:
        _hosts(dashboard)


def _hosts_known(dashboard: Dashboard) -> list[str]:
    fleet = dashboard.netdash.fleet
    return [state.name for state in fleet.states()] if fleet else []


def _sort(dashboard: Dashboard, key: str) -> None:
    columns = dashboard.panes.places.view.columns
    found = [at for at, column in enumerate(columns) if key and column.key.startswith(key.casefold())]
    if found or not key:
        dashboard.narrow(sort=found[0] if found else None, down=False)
    else:
        names = ", ".join(column.key for column in columns)
        dashboard.say(f"no column {clean(key, 30)}; there are {names}", Tone.WARN)


def _free(dashboard: Dashboard, text: str) -> None:
    from netdash.tui import asking

    asking.free(dashboard, text)


# --- the tables -------------------------------------------------------------------------------------------------------

_ACTIONS: Mapping[str, Callable[[Dashboard], object]] = {
    "down": partial(_move, lambda pane: pane.step(1)),
    "up": partial(_move, lambda pane: pane.step(-1)),
    "left": partial(_hop, -1),
    "right": partial(_hop, 1),
    "page_down": partial(_move, lambda pane: pane.turn(1)),
    "page_up": partial(_move, lambda pane: pane.turn(-1)),
    "first": partial(_move, lambda pane: pane.edge(-1)),
    "last": partial(_move, lambda pane: pane.edge(1)),
    "next_pane": partial(_pane, 1),
    "previous_pane": partial(_pane, -1),
    "follow": _follow,
    "back": _back,
    "escape": _escape,
    "filter": lambda dashboard: dashboard.ask("/", dashboard.panes.places.here.ask.text, FILTER_HINT),
    "columns": _columns,
    "group": list_layout.group,
    "linked": _linked,
    "sort": _sort_next,
    "reverse": _reverse,
    "pause": _pause,
    "refresh": _refresh,
    "trace": _trace,
    "who": partial(_show, "who_view"),
    "capture": partial(_show, "capture_view"),
    "map": partial(_show, "map_view"),
    "mark": _mark,
    "copy": _copy,
    "publish": partial(_change, "publish"),
    "run": partial(_change, "run"),
    "undo": partial(_change, "undo"),
    "recover": partial(_change, "recover"),
    "hosts": _hosts,
    "everywhere": _everywhere,
    "reach": partial(_show, "reach_view"),
    "command": lambda dashboard: dashboard.ask(":", "", COMMAND_HINT),
    "palette": lambda dashboard: dashboard.app.action_command_palette(),
    "help": _help,
    "quit": lambda dashboard: dashboard.netdash.quit(),
}
_WITH_ARGUMENT: Mapping[str, Callable[[Dashboard, str], None]] = {
    "filter": lambda dashboard, text: dashboard.narrow(text=text),
    "free": _free,
    "what_if": _what_if,
    "go": _go,
    "host": _host,
    "sort": _sort,
}
_ARGUMENTS: Mapping[str, Callable[[Dashboard], Sequence[str]]] = {
    "go": lambda dashboard: [
        container.name for container in (dashboard.host_view.host.containers if dashboard.host_view else None) or ()
    ],
    "host": _hosts_known,
    "sort": lambda dashboard: [column.key for column in dashboard.panes.places.view.columns],
    "filter": lambda dashboard: [f"{column.key}:" for column in dashboard.panes.places.view.columns],
}
"""What may be completed after a command."""


def complete(dashboard: Dashboard, typed: str) -> Sequence[str]:
    verb, blank, rest = typed.lstrip().partition(" ")
    if not blank:
        return [name for name in (*BY_NAME, *COMMANDS) if name.startswith(verb.casefold())][:OFFERS]
    near = rest.casefold()
    words = _ARGUMENTS[verb](dashboard) if verb in _ARGUMENTS else ()
    return [f"{verb} {word}" for word in words if word.casefold().startswith(near)][:OFFERS]


def execute(dashboard: Dashboard, line: str) -> None:
    """A command may be shortened; one that is not known is answered with the nearest that is."""
    verb, _, rest = line.strip().partition(" ")
    verb, rest = verb.casefold(), rest.strip()
    if not verb:
        return
    known = [name for name in (*BY_NAME, *COMMANDS) if name.startswith(verb)]
    name = verb if verb in known else known[0] if known else ""
    if name in BY_NAME:
        dashboard.action_view(name)
        if rest:
            dashboard.narrow(text=rest)
    elif name:
        action = COMMANDS[name]
        if action.argument:
            _WITH_ARGUMENT[action.id](dashboard, rest)
        else:
            perform(dashboard, action.id)
    else:
        near = did_you_mean(verb, (*BY_NAME, *COMMANDS)) or ": and then Tab lists them"
        dashboard.say(f"no command {clean(verb, 30)} ({near})", Tone.WARN)
