"""The table of actions: keys, `:` commands, palette, the hints at the foot and the help are made of it. Imports no
Textual."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, auto

from netdash.model.records import dataclass


class Needs(Enum):
    """What has to be there for an action to be of use."""

    NOTHING = auto()
    HOST = auto()  # something was read
    LIVE = auto()  # a host, not a recording
    ROW = auto()  # a row under the cursor that is not gone
    THING = auto()  # the same, and no headline of a group
    ORDER = auto()  # rows that are sorted by a column
    LINKED = auto()  # linked panes, or a list that can be narrowed
    FLEET = auto()  # several hosts
    CHANGES = auto()  # an engine that may be changed


@dataclass(frozen=True, slots=True)
class Action:
    """`id` is the name in the config file's [keys] table; `keys` are Textual's names, with commas between; `command` is
    what is typed after ":", `argument` what may follow it; `title` stands in the palette, `hint` at the foot. Each but
    `id` may be ""."""

    id: str
    keys: str
    help: str
    group: str
    needs: Needs = Needs.NOTHING
    hint: str = ""
    command: str = ""
    argument: str = ""
    title: str = ""


ACTIONS = (
    Action("down", "j,down", "next row, next line of the card", "Move"),
    Action("up", "k,up", "previous row", "Move"),
    Action("left", "h,left", "cell or link to the left", "Move"),
    Action("right", "l,right", "cell or link to the right", "Move"),
    Action("page_down", "pagedown,ctrl+f,ctrl+d", "a page down", "Move"),
    Action("page_up", "pageup,ctrl+b,ctrl+u", "a page up", "Move"),
    Action("first", "g,home", "first row", "Move"),
    Action("last", "G,end", "last row", "Move"),
    Action("next_pane", "tab", "next pane: list, card, linked panes", "Go", hint="pane"),
    Action("previous_pane", "shift+tab", "previous pane", "Go"),
    Action(
        "follow", "enter", "follow the address, port, chain, bridge or pid under the cursor", "Go", Needs.ROW, "follow"
    ),
    Action("back", "minus,backspace", "back to where you came from", "Go", command="back"),
    Action("escape", "escape", "back one level; never quits", "Go"),
    Action("go", "", "the container of this name or id", "Go", command="go", argument="NAME"),
    Action(
        "filter", "slash", "filter as you type: word  !word  key:value", "Look", Needs.HOST, "filter",
        "filter", "WORDS",
    ),
    Action("group", "z", "group: project, container, port, peer", "Look", Needs.HOST, command="group"),
    Action("columns", "vertical_line", "which columns this list shows", "Look", Needs.HOST, command="columns"),
    Action("linked", "a", "all, or only what is linked", "Look", Needs.LINKED, "all", "all"),
    Action("sort", "s", "sort by the next column", "Look", Needs.HOST, "sort", "sort", "COLUMN"),
    Action("reverse", "S", "reverse the order", "Look", Needs.ORDER),
    Action("pause", "p", "pause; again goes on", "Look", Needs.LIVE, "pause", "pause"),
    Action("refresh", "ctrl+r", "read everything again now", "Look", Needs.LIVE, command="refresh"),
    Action("trace", "t", "trace its packets rule by rule; with two marked, between those", "Do", Needs.THING, "trace"),
    Action(
        "who", "w", "who reaches this container, port or network; whom it reaches", "Do", Needs.THING, command="who"
    ),
    Action("capture", "c", "capture its packets on both sides of NAT", "Do", Needs.THING, command="capture"),
    Action("map", "m", "the map: how this host is wired, and what is broken", "Go", Needs.HOST, command="map"),
    Action("mark", "space", "mark two: t asks between them; Esc unmarks", "Do", Needs.ROW),
    Action("copy", "y", "copy an address, a rule, a command, JSON", "Do", Needs.THING, "copy", "copy"),
    Action(
        "publish", "P", "publish a port of this container, or of this port's", "Change", Needs.CHANGES, "publish",
        "publish", title="Publish…",
    ),
    Action(
        "run", "R", "run a new container with published ports", "Change", Needs.CHANGES, command="run", title="Run…"
    ),
    Action(
        "undo", "u", "take the last change back, or end netdash's forward under the cursor", "Change", Needs.CHANGES,
        command="undo",
    ),
    Action(
        "recover", "", "finish, roll back or forget what was interrupted", "Change", Needs.CHANGES, command="recover"
    ),
    Action(
        "hosts", "H", "the hosts: which answer, and another one on screen", "Look", Needs.FLEET, "hosts", "hosts"
    ),
    Action("host", "", "another one on screen", "Look", Needs.FLEET, command="host", argument="NAME"),
    Action("everywhere", "E", "containers of all hosts", "Look", Needs.FLEET, command="everywhere"),
    Action(
        "reach", "", "who reaches which port, and which rule keeps who does not", "Look", Needs.HOST, command="reach"
    ),
    Action(
        "what_if", "", "who would lose or win reach by a command, which is not run", "Look", Needs.HOST,
        command="what-if", argument="COMMAND",
    ),
    Action(
        "free", "", "whether a host port is free, and who has it", "Look", Needs.HOST, command="free", argument="PORT"
    ),
    Action("command", "colon", "command line: :rules  :free 8080  :q", "Do", hint="command"),
    Action("palette", "ctrl+p", "command palette", "Do"),
    Action("help", "question_mark,f1", "this help", "Do", hint="help", command="help"),
    Action("quit", "q", "quit (Ctrl-C too)", "Do", hint="quit", command="quit"),
)  # fmt: skip
BY_ID: Mapping[str, Action] = {action.id: action for action in ACTIONS}
KEYS = tuple(action for action in ACTIONS if action.keys)
COMMANDS: Mapping[str, Action] = {
    action.command: action for action in sorted(ACTIONS, key=lambda action: not action.argument) if action.command
}
"""Those that take an argument come first: they are the likelier completions."""
CHANGING = tuple(action.id for action in KEYS if action.needs is Needs.CHANGES)
IDS = (*(action.id for action in KEYS), *(f"view_{key}" for key in "0123456789D"))
"""What the config file may remap; view_N is the view with the key N."""

_SHOWN = {
    "slash": "/", "colon": ":", "question_mark": "?", "vertical_line": "|", "minus": "-", "escape": "Esc",
    "enter": "⏎", "tab": "Tab",
    "shift+tab": "Shift-Tab", "pagedown": "PgDn", "pageup": "PgUp", "down": "↓", "up": "↑", "left": "←", "right": "→",
    "home": "Home", "end": "End", "backspace": "Backspace", "space": "Space", "f1": "F1",
}  # fmt: skip


def keys_of(action: Action, remapped: Mapping[str, str]) -> str:
    """The keys of one action for people, two at most: `j ↓`; of one without keys its command."""
    if not action.keys:
        return f":{action.command} {action.argument}".rstrip()
    return " ".join(_name(key.strip()) for key in remapped.get(action.id, action.keys).split(",")[:2])


def first_key(identity: str, remapped: Mapping[str, str]) -> str:
    """The first key of one action, for the footer."""
    return keys_of(BY_ID[identity], remapped).split(" ")[0]


def groups(identities: Iterable[str]) -> dict[str, list[Action]]:
    """These actions by group, in the order of the table."""
    chosen = set(identities)
    found: dict[str, list[Action]] = {}
    for action in ACTIONS:
        if action.id in chosen:
            found.setdefault(action.group, []).append(action)
    return found


def _name(key: str) -> str:
    return _SHOWN.get(key) or (f"Ctrl-{key[5:]}" if key.startswith("ctrl+") else key)
