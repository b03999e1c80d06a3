"""The first frame: what Textual will show first, painted before it is loaded, which takes four times as long as to ask
the engine. Only where nothing is unusual: else the screen comes when Textual does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from netdash.tui import frame, header, inks
from netdash.tui.actions import BY_ID, Needs, first_key
from netdash.tui.config import WIDTHS, Options
from netdash.tui.host_view import Ask, HostView, Listing, arrange
from netdash.tui.inks import RGB, Ink, Palette, Part, bar, sealed
from netdash.tui.list_lines import ListLines, fill
from netdash.tui.term import modes
from netdash.view.card import card
from netdash.view.text import Line
from netdash.view.views import BY_NAME, LINKED_VIEWS, VIEWS

if TYPE_CHECKING:
    from netdash.model.host import Host, Ref
    from netdash.tui.work import Steps

_UNUSUAL = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "TEXTUAL_COLOR_SYSTEM", "TEXTUAL_THEME")
_KNOWN = ("xterm", "screen", "tmux", "rxvt", "kitty", "alacritty", "foot")

Code = Callable[[RGB], str]
"""A colour in the terms of SGR, after 38 or 48."""


class FirstFrame:
    """What stands on the terminal until Textual paints."""

    def __init__(self, terminal: modes.Taken) -> None:
        self.terminal = terminal
        self.host_view: HostView | None = None  # None: nothing was painted
        self.light = False  # the terminal's background

    def paint(self, host: Host, options: Options, wide: int, high: int, code: Code) -> None:
        host_view = HostView(host)
        ground = self.terminal.ground()
        self.light = bool(ground) and modes.is_light(ground)
        name = options.theme or ("netdash-light" if self.light else "netdash")
        lines = _lines(host_view, options, inks.palette(name), wide, high)
        self.terminal.paint("".join(_encoded(lines, code)))
        self.host_view = host_view


def code_of(environ: Mapping[str, str], options: Options, wide: int, high: int) -> Code | None:
    """How colours are written on this terminal; None where the first frame is left to Textual."""
    name = environ.get("TERM", "")
    if (
        any(text in environ for text in _UNUSUAL)
        or not name.startswith(_KNOWN)
        or frame.is_small(wide, high)
        or not options.first_frame
        or options.ambiguous != WIDTHS[0]
        or (options.theme is not None and options.theme not in inks.THEMES)
        or (sys.stdout.encoding or "").lower() not in ("utf-8", "utf8")
    ):
        return None
    if environ.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit"):
        return lambda colour: "2;{};{};{}".format(*colour)
    return _of_256 if name.endswith("-256color") else None


def _of_256(colour: RGB) -> str:
    from rich.color import Color, ColorSystem

    return f"5;{Color.from_rgb(*colour).downgrade(ColorSystem.EIGHT_BIT).number}"


class _List(ListLines[Ink]):
    """A list whose cursor stands on the first row."""

    cursor = top = 0
    faded = False

    def __init__(self, palette: Palette[Ink], wide: int, high: int, titled: bool = False, joint: bool = False) -> None:
        self.begin(titled, joint)
        self.colours, self.inks = palette, palette.ground
        self.wide, self.page = wide, max(1, high - 1)
        self.has_focus = not titled

    def mark(self, linked: frozenset[Ref]) -> None:
        self.linked = linked


def _lines(
    host_view: HostView, options: Options, palette: Palette[Ink], wide: int, high: int
) -> Iterator[Iterable[Part[Ink]]]:
    """The lines of the screen from above."""
    host, view = host_view.host, VIEWS[0]
    listing = _to_the_end(arrange(host_view, Ask(view)))
    cards = [_card(host_view, listing, at, wide) for at in frame.sample(len(listing))]
    changeable = not options.read_only
    run = first_key("run", options.keys) if changeable else ""
    notice = () if len(listing) else header.notice(view, host, "", "", wide, run)
    linked = frame.linked_fit(wide, high)
    need = frame.card_need(cards) if cards else frame.EMPTY_CARD
    heights = frame.heights(high - frame.BARS, max(len(listing), len(notice)), need, linked)

    yield bar(*header.header(host, False, None, wide, "", options.read_only), wide, palette.panel)
    yield bar(header.tabs(host, view, wide, wide), (), wide, palette.ground)
    first = _List(palette, wide, heights.grid)
    first.hidden = frame.hidden(view, options.columns.get(view.name))
    first.listing, first.notice = listing, notice
    ref = listing[0].ref if len(listing) else None
    first.mark(host_view.related(ref) if ref else frozenset())
    yield from (first.parts(y, wide) for y in range(heights.grid))
    text = cards[0] if cards else ()
    edge, more = palette.ground.rule, frame.MORE
    for y in range(heights.card):
        yield [frame.text_line(text, y, wide, heights.card, palette.ground, edge, more)]
    panes = list(_linked(host_view, ref, palette, wide, heights.linked))
    yield from ([part for pane in panes for part in pane.parts(y, pane.wide)] for y in range(heights.linked))

    def works(identity: str) -> bool:
        return _works(BY_ID[identity].needs, ref is not None, ref is not None and linked, changeable)

    yield bar(*frame.foot(frame.State(works, wide), 0, len(listing), options.keys), wide, palette.panel)


def _to_the_end(steps: Steps[Listing]) -> Listing:
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            listing: Listing = ended.value
            return listing


def _card(host_view: HostView, listing: Listing, at: int, wide: int) -> Sequence[Line]:
    container = host_view.container(listing[at].ref.key)
    return card(host_view.host, container, wide, None, on_screen=True) if container is not None else ()


def _linked(
    host_view: HostView, ref: Ref | None, palette: Palette[Ink], wide: int, high: int
) -> Iterator[ListLines[Ink]]:
    if not high:
        return
    for at, name in enumerate(LINKED_VIEWS[VIEWS[0].name]):
        left, right = wide * at // 3, wide * (at + 1) // 3
        pane = _List(palette, right - left, high, titled=True, joint=at > 0)
        pane.listing, pane.cursor, pane.notice = fill(pane, host_view, BY_NAME[name], ref, False, wide)
        yield pane


def _works(needs: Needs, row: bool, linked: bool, changeable: bool) -> bool:
    """Whether an action does something on the first row, or without rows."""
    of_row = {Needs.ROW: row, Needs.THING: row, Needs.LINKED: linked, Needs.CHANGES: changeable}
    return of_row.get(needs, needs in (Needs.NOTHING, Needs.HOST, Needs.LIVE))


def _encoded(lines: Iterable[Iterable[Part[Ink]]], code: Code) -> Iterator[str]:
    """What writes the lines, each from its beginning."""
    known: dict[Ink, str] = {}
    now: Ink | None = None
    for y, parts in enumerate(lines):
        yield f"\x1b[{y + 1};1H"
        for text, ink in sealed(parts):
            alike = now is not None and not text.strip(" ") and ink.back == now.back and not now.underline
            if ink is not now and not alike:
                now = ink
                yield known.get(ink) or known.setdefault(ink, _sgr(ink, code))
            yield text
    yield "\x1b[0m"


def _sgr(ink: Ink, code: Code) -> str:
    on = {"1": ink.bold, "3": ink.italic, "4": ink.underline, "9": ink.strike}
    colours = [f"{ground};{code(colour)}" for ground, colour in ((38, ink.fore), (48, ink.back)) if colour]
    return f"\x1b[{';'.join(['0', *(number for number, yes in on.items() if yes), *colours])}m"
