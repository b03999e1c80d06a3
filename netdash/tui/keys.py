"""The table of keys: ids that a config file may name, default keys, actions, help. Imports no Textual."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """`id` is the name in the config file's [keys] table; `keys` are Textual's names, with commas between."""

    id: str
    keys: str
    action: str
    help: str
    group: str


KEYS = (
    Key("down", "j,down", "cursor(1)", "next row, next line of the card", "Move"),
    Key("up", "k,up", "cursor(-1)", "previous row", "Move"),
    Key("left", "h,left", "hop(-1)", "cell or link to the left", "Move"),
    Key("right", "l,right", "hop(1)", "cell or link to the right", "Move"),
    Key("page_down", "pagedown,ctrl+f,ctrl+d", "page(1)", "a page down", "Move"),
    Key("page_up", "pageup,ctrl+b,ctrl+u", "page(-1)", "a page up", "Move"),
    Key("first", "g,home", "edge(-1)", "first row", "Move"),
    Key("last", "G,end", "edge(1)", "last row", "Move"),
    Key("next_pane", "tab", "pane(1)", "next pane: list, path card, linked panes", "Go"),
    Key("previous_pane", "shift+tab", "pane(-1)", "previous pane", "Go"),
    Key("follow", "enter", "follow", "follow the address, port, chain, bridge or pid under the cursor", "Go"),
    Key("back", "minus,backspace", "back", "back to where you came from", "Go"),
    Key("escape", "escape", "escape", "back one level; never quits", "Go"),
    Key("filter", "slash", "filter", "filter as you type: word  !word  key:value", "Look"),
    Key("linked", "a", "linked", "all, or only what belongs to the selection", "Look"),
    Key("sort", "s", "sort", "sort by the next column", "Look"),
    Key("reverse", "S", "reverse", "reverse the order", "Look"),
    Key("pause", "p", "pause", "pause; again goes on", "Look"),
    Key("refresh", "ctrl+r", "refresh", "read everything again now", "Look"),
    Key("trace", "t", "trace", "trace its packets rule by rule; with two marked, between those", "Do"),
    Key("mark", "space", "pick", "mark this one, and another: t asks between the two; Esc unmarks", "Do"),
    Key("copy", "y", "copy", "copy an address, a rule, a command, JSON", "Do"),
    Key("publish", "P", "change('publish')", "publish a port of this container, or of this port's", "Change"),
    Key("run", "R", "change('run')", "run a new container with published ports", "Change"),
    Key(
        "undo", "u", "change('undo')", "take the last change back, or end netdash's forward under the cursor", "Change"
    ),
    Key("hosts", "H", "hosts", "the hosts: which answer, and another one on screen", "Look"),
    Key("everywhere", "E", "everywhere", "containers of all hosts", "Look"),
    Key("command", "colon", "command", "command line: :rules  :free 8080  :q", "Do"),
    Key("palette", "ctrl+p", "palette", "command palette", "Do"),
    Key("help", "question_mark,f1", "help", "this help", "Do"),
    Key("quit", "q", "quit", "quit (Ctrl-C too)", "Do"),
)

IDS = (*(key.id for key in KEYS), *(f"view_{digit}" for digit in range(1, 10)))
"""What the config file may remap; view_N is the view with the digit N."""

_SHOWN = {
    "slash": "/", "colon": ":", "question_mark": "?", "minus": "-", "escape": "Esc", "enter": "⏎", "tab": "Tab",
    "shift+tab": "Shift-Tab", "pagedown": "PgDn", "pageup": "PgUp", "down": "↓", "up": "↑", "left": "←", "right": "→",
    "home": "Home", "end": "End", "backspace": "Backspace", "space": "Space", "f1": "F1",
}  # fmt: skip


def shown(key: Key, remapped: Mapping[str, str]) -> str:
    """The keys of one action for people, two at most: `j ↓`."""
    return " ".join(_name(each.strip()) for each in remapped.get(key.id, key.keys).split(",")[:2])


def first(identity: str, remapped: Mapping[str, str]) -> str:
    """The first key of one action, for the footer."""
    return next(shown(key, remapped).split(" ")[0] for key in KEYS if key.id == identity)


def groups(allowed: Iterable[str]) -> dict[str, list[Key]]:
    """The keys that work, by group, in the order of the table."""
    works = set(allowed)
    made: dict[str, list[Key]] = {}
    for key in KEYS:
        if key.id in works:
            made.setdefault(key.group, []).append(key)
    return made


def _name(key: str) -> str:
    if key in _SHOWN:
        return _SHOWN[key]
    return key.replace("ctrl+", "Ctrl-") if key.startswith("ctrl+") else key
