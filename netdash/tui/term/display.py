"""An application on a terminal: pictures that are written when the terminal can take them, keys one after the other."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from typing import ClassVar

from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.binding import Binding
from textual.events import InputEvent, Key, Paste
from textual.message import Message
from textual.screen import Screen

from netdash.model.turn import waits_by
from netdash.tui.term import modes
from netdash.tui.term.driver import Terminal
from netdash.tui.term.modes import Taken
from netdash.tui.term.picture import Picture
from netdash.tui.work import Turn

_WHOLE = "\x1b[?2026h", "\x1b[?2026l"
_LONGEST = 1.0  # seconds that a key waits for what the one before began
_MOST = 1000  # keys that wait; more have not been typed
_AT_ONCE = ("ctrl+c", "ctrl+q")  # quit, whatever is under way
_AGAIN = 0.005  # seconds between two looks whether keys can be handed on


class TerminalApp(App[int]):
    BINDINGS: ClassVar = [
        Binding("ctrl+l", "repaint", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
    ]

    def __init__(self, ansi_color: bool | None = None, taken: Taken | None = None) -> None:
        """`taken`: by whom the terminal was set up, and perhaps painted, before."""
        self.taken = taken
        super().__init__(driver_class=Terminal, ansi_color=ansi_color)
        self._picture = Picture(self.console.color_system, modes.erases(os.environ))
        self._keys: deque[Message] = deque(maxlen=_MOST)
        self._typing: asyncio.Task[None] | None = None
        self.turn = Turn()
        waits_by(self.turn.give_way)

    # --- pictures -----------------------------------------------------------------------------------------------------

    def _display(self, screen: Screen[object], renderable: object) -> None:
        if not isinstance(self._driver, Terminal):
            super()._display(screen, renderable)  # type: ignore[arg-type]
            return
        if renderable is not None and not self._batch_count and self._running and not self._closed:
            self._take(renderable)
            self._show()
        self.post_display_hook()

    def _take(self, renderable: object) -> None:
        picture = self._picture
        if isinstance(renderable, ChopsUpdate):
            for y, start, stop in renderable.spans:
                for (x, strip), end in zip(renderable.chops[y].items(), renderable.chop_ends[y], strict=False):
                    if strip is not None and x < stop and end > start:
                        strip = strip if x >= start else strip.crop(start - x)
                        picture.paint(y, max(x, start), strip, min(stop, end))
            return
        if not isinstance(renderable, LayoutUpdate):
            renderable = self.screen._compositor.render_full_update()
        picture.resize(*renderable.region.size)
        for y, strips in enumerate(renderable.strips):
            x = 0
            for strip in strips:
                picture.paint(y, x, strip, x + strip.cell_length)
                x += strip.cell_length

    def _show(self) -> None:
        """Writes the cells that differ, once the terminal has taken what came before; pictures in between are
        never written."""
        terminal = self._driver
        if isinstance(terminal, Terminal) and self._picture.differs and not terminal.busy and not self.withheld:
            data = self._picture.update()
            if data:
                data += self._resting_place()
                terminal.write(data.join(_WHOLE) if self._sync_available else data)

    @property
    def withheld(self) -> bool:
        """Whether what was painted before netdash's own screen stays: there is nothing better yet."""
        return False

    def _resting_place(self) -> str:
        """The terminal's cursor, which is not seen, goes to that of the widget with the focus: screen readers and
        Braille displays follow it."""
        offset = getattr(self.screen.focused, "cursor_screen_offset", None)
        return "" if offset is None else f"\x1b[{offset.y + 1};{offset.x + 1}H"

    def drained(self) -> None:
        self._show()

    def resumed(self) -> None:
        self._picture.forget()
        self._show()

    def action_repaint(self) -> None:
        """Something else wrote on the terminal."""
        self.resumed()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def typed(self, message: Message) -> None:
        """Hands a key on when the work of the one before is done: it acts on the result of that."""
        if not isinstance(message, (InputEvent, Paste)) or (isinstance(message, Key) and message.key in _AT_ONCE):
            self.post_message(message)
            return
        self._keys.append(message)
        self.turn.begin()  # the key before may have ended it meanwhile
        if self._typing is None or self._typing.done():
            self._typing = asyncio.get_running_loop().create_task(self._type())

    @property
    def ready(self) -> bool:
        """Whether there is something on screen that keys can act on."""
        return True

    async def _type(self) -> None:
        while self._keys:
            while not self.ready:
                await asyncio.sleep(_AGAIN)
            self.post_message(self._keys.popleft())
            until = time.monotonic() + _LONGEST
            quiet = 0
            while quiet < 3 and time.monotonic() < until:
                await asyncio.sleep(0)
                quiet = 0 if self._busy() else quiet + 1
        for screen in self.screen_stack[-1:]:
            screen._on_timer_update()  # now, and not with the next frame: other threads go on after it
        self.turn.end()

    def _busy(self) -> bool:
        screens = self.screen_stack
        if self.message_queue_size or any(not screen.is_mounted or screen.message_queue_size for screen in screens):
            return True
        return any(widget.message_queue_size for widget in screens[-1].walk_children())
