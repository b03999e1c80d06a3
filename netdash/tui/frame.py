"""What stands where on the dashboard: how the panes share the lines, the lines of a text, what the foot names. Loads no
Textual: the first frame is laid out by the same functions as all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set

from netdash.model.records import dataclass
from netdash.tui import header
from netdash.tui.actions import BY_ID
from netdash.tui.inks import Inks, Part, Style, blank, part, piece
from netdash.view.table import View
from netdash.view.text import Line, Span, Tone

LINKED_FROM = (120, 30)
MORE = "Tab, then j"  # how to see what is below in a pane of text
SAMPLE = 3  # rows whose cards say how high the card is to be
BARS = 3  # lines of the header, the tabs and the foot
EMPTY_CARD = 2  # lines
WIDE = 90  # columns from which the foot names sorting
HINTS = ("follow", "next_pane", "filter", "linked", "sort", "pause", "hosts", "trace", "publish")
LAST_HINTS = ("pause", "copy", "command", "help", "quit")


LEAST = (60, 15)  # columns and lines below which nothing can be read


def is_small(wide: int, high: int) -> bool:
    return wide < LEAST[0] or high < LEAST[1]


def too_small(wide: int, high: int) -> list[str]:
    """Why nothing is shown, in lines that fit; where not all fit, only the size that is needed."""
    need = f"{LEAST[0]}x{LEAST[1]}"
    for words in (f"{wide}x{high} is too small: netdash needs {need}", f"needs {need}", need):
        lines = [""]
        for word in words.split():
            longer = f"{lines[-1]} {word}".lstrip()
            lines = [*lines[:-1], longer] if len(longer) < wide else [*filter(None, lines), word]
        if len(lines) <= high and all(len(line) < wide for line in lines):
            return lines
    return [need]


def hidden(view: View, shown: Sequence[str] | None) -> Set[str]:
    """The columns of a view that the user does not want; its first ones always stay. `shown`: those that were chosen;
    None: all that are not counted."""
    if shown is None:
        return {column.key for column in view.columns if column.counted}
    return {column.key for column in view.columns[view.keeps :]} - set(shown)


@dataclass(frozen=True, slots=True)
class Heights:
    """Lines."""

    grid: int
    card: int
    linked: int


def linked_fit(wide: int, high: int) -> bool:
    """Whether there is room for the linked panes."""
    return wide >= LINKED_FROM[0] and high >= LINKED_FROM[1]


def heights(body: int, rows: int, card: int, with_linked: bool) -> Heights:
    """The list of so many rows and the card share the lines of the body by what each needs, the linked panes take their
    share."""
    linked = max(6, round(body * 0.24)) if with_linked else 0
    grid = min(rows + 2, max(round((body - linked) * 0.4), body - linked - card))
    spare = max(0, body - grid - linked - card) if linked else 0
    linked += min(spare, linked)
    return Heights(grid, body - grid - linked, linked)


def sample(rows: int) -> range:
    """The rows whose cards say how high the card is to be."""
    return range(0, rows, max(1, rows // SAMPLE))


def card_need(cards: Iterable[Sequence[Line]]) -> int:
    """Lines that most of some cards need, with the card's own edge."""
    needs = sorted(map(len, cards))
    return needs[len(needs) * 3 // 4] + 1


def text_line(
    lines: Sequence[Line],
    y: int,
    wide: int,
    high: int,
    inks: Inks[Style],
    edge: Style,
    more: str,
    top: int = 0,
    chosen: tuple[int, int] | None = None,
) -> Part[Style]:
    """Line `y` of a pane of text below its edge. `more`: the key that shows what is below. `chosen`: line and span of
    what Enter would follow."""
    if y == 0:
        return Part([piece("─" * wide, edge)], wide, inks.blank)
    at = top + y - 1
    if at >= len(lines):
        return blank(wide, inks)
    below = len(lines) - at - 1
    if y == high - 1 and below:
        return part((Span(f"   … {below + 1} more lines: {more}", Tone.DIM),), wide, inks)
    return part(lines[at], wide, inks, chosen[1] if chosen is not None and chosen[0] == at else -1)


@dataclass(frozen=True, slots=True)
class State:
    """What the foot depends on."""

    works: Callable[[str], bool]  # whether an action does something here
    wide: int
    paused: bool = False
    narrowed: bool = False  # by a filter, or to what belongs to a thing
    linked: bool = False  # the key of the linked panes goes back to what belongs
    headline: bool = False  # the cursor of the list stands on the headline of a group
    elsewhere: bool = False  # another pane than the list has the keys
    marked: Sequence[str] = ()  # names


def hints(state: State) -> Iterator[tuple[str, str]]:
    """Actions and their words, those first that are most wanted; of those that change, only what works."""
    marked = state.marked
    words = {identity: BY_ID[identity].hint for identity in HINTS}
    words["linked"] = "linked" if state.linked else words["linked"]
    words["pause"] = "go on" if state.paused else ""
    if state.wide < WIDE:
        words["sort"] = ""
    if state.headline:
        words["follow"] = "fold, unfold"
    if len(marked) == 2:
        yield "trace", f"trace {' → '.join(marked)}"
        words["trace"] = ""
    if state.elsewhere:
        yield "escape", "back"
    elif marked:
        yield "escape", f"unmark {marked[0]}" if len(marked) == 1 else "unmark"
    elif state.narrowed:
        yield "escape", "clear"
    if len(marked) == 1:
        yield "mark", "mark another"
    yield from ((identity, word) for identity, word in words.items() if word and state.works(identity))
    last = LAST_HINTS[1:] if state.paused else LAST_HINTS
    yield from ((identity, BY_ID[identity].hint) for identity in last if state.works(identity))


def foot(state: State, cursor: int, rows: int, keys: Mapping[str, str]) -> tuple[Line, Line]:
    """Left and right part of the last line. `rows`: 0 where there is none, or nothing is known."""
    where = f"{cursor + 1}/{rows} " if rows else ""
    left = header.hints(hints(state), keys, state.wide - len(where) - 2)
    return left, (Span(where, Tone.DIM),)
