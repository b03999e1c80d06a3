"""Screens over the dashboard: a list of any kind, alone, or framed by its title and its keys and filtered."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen

from netdash.model.host import Ref
from netdash.tui.grid import Grid
from netdash.tui.surface import Bar, Box, ListWidget
from netdash.tui.text_field import TextField
from netdash.view.text import Line, Span, Tone, clean

Answer = TypeVar("Answer")


class Overlay(ModalScreen[Answer]):
    """A screen over the dashboard; the keys move in the list that it names."""

    BINDINGS: ClassVar = [
        Binding("j,down", "step(1)", show=False),
        Binding("k,up", "step(-1)", show=False),
        Binding("pagedown,ctrl+f,ctrl+d", "turn(1)", show=False),
        Binding("pageup,ctrl+b,ctrl+u", "turn(-1)", show=False),
        Binding("g,home", "edge(-1)", show=False),
        Binding("G,end", "edge(1)", show=False),
    ]

    @property
    def list(self) -> ListWidget:
        raise NotImplementedError

    def action_step(self, by: int) -> None:
        self.list.step(by)

    def action_turn(self, pages: int) -> None:
        self.list.turn(pages)

    def action_edge(self, side: int) -> None:
        self.list.edge(side)


class Framed(Overlay[Ref | None]):
    """A list between its title and its keys; answers with what the user wants to go to, or None."""

    BINDINGS: ClassVar = [
        Binding("l,right", "hop(1)", show=False),
        Binding("h,left", "hop(-1)", show=False),
        Binding("enter", "follow", show=False),
    ]
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, name: str, body: Grid | Box) -> None:
        super().__init__()
        self.head, self.foot = Bar(id=f"{name}-head", panel=True), Bar(id=f"{name}-foot", panel=True)
        self.body = body

    @property
    def list(self) -> Grid | Box:
        return self.body

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.body
        yield self.foot

    def on_mount(self) -> None:
        self.set_focus(self.body)
        spans = ((Span(f" {key}", Tone.TITLE), Span(f" {word} ", Tone.DIM)) for key, word in self.KEYS)
        self.foot.show(tuple(span for pair in spans for span in pair))
        self.begin()

    def begin(self) -> None:
        """The first thing shown."""
        raise NotImplementedError

    def action_hop(self, by: int) -> None:
        self.body.hop(by)

    def action_close(self) -> None:
        self.leave(None)

    def leave(self, target: Ref | None) -> None:
        self.dismiss(target)

    def say(self, text: str, tone: Tone) -> None:
        self.foot.show((Span(" "), Span(clean(text.partition("\n")[0], 200), tone)))


class LinkedText(Framed):
    """Text whose links the user follows."""

    BINDINGS: ClassVar = [
        Binding("tab", "hop(1)", show=False),
        Binding("shift+tab", "hop(-1)", show=False),
    ]

    def __init__(self, name: str) -> None:
        self.box = Box(id=f"{name}-box")
        super().__init__(name, self.box)

    def action_follow(self) -> None:
        if self.box.target is not None:
            self.leave(self.box.target)

    def on_box_followed(self, message: Box.Followed) -> None:
        message.stop()
        self.leave(message.ref)


class Search(TextField):
    """Words that the list of the screen is searched for."""

    PANEL = True

    def lead(self) -> Line:
        return (Span(" /", Tone.TITLE),)

    def tail(self, used: int) -> Line:  # noqa: ARG002
        return (Span("   Enter keeps it, Esc clears it", Tone.DIM),)

    async def action_submit(self) -> None:
        await self.run_action("screen.searched")

    async def action_leave(self) -> None:
        self.put("")
        await self.run_action("screen.searched")


class Filtered(Framed):
    """A framed list with a field below that filters it; Escape clears the filter before it closes the screen."""

    BINDINGS: ClassVar = [
        Binding("escape", "back", show=False),
        Binding("slash", "filter", show=False),
        Binding("y", "copy", show=False),
    ]

    def __init__(self, name: str, body: Grid | Box) -> None:
        super().__init__(name, body)
        self.field = Search("search")
        self.field.display = False

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield self.field

    def action_filter(self) -> None:
        self.field.display = True
        self.set_focus(self.field)

    def action_searched(self) -> None:
        self.field.display = bool(self.field.value)
        self.set_focus(self.body)
        self.refilter()

    def on_text_field_edited(self) -> None:
        self.refilter()

    def refilter(self) -> None:
        """The words of the filter are others now."""
        raise NotImplementedError

    def action_back(self) -> None:
        if self.field.value:
            self.field.put("")
            self.action_searched()
        else:
            self.action_close()
