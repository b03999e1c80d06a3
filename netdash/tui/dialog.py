"""A change over the dashboard, from its form to its proof: what is asked for, the plan, one question, the steps as they
happen. What it is that changes is a subclass's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.events import Key

from netdash.model.errors import NetdashError
from netdash.publish.statement import Statement
from netdash.tui.form import Form
from netdash.tui.interfaces import Made
from netdash.tui.overlay import Overlay
from netdash.tui.surface import Bar, Box
from netdash.tui.work import Background
from netdash.view.changes import hanging
from netdash.view.statements import text
from netdash.view.text import Line, Span, Tone, clean

if TYPE_CHECKING:
    from netdash.tui.host_app import HostApp
    from netdash.tui.interfaces import Changes


Told = Callable[[int], Sequence[Line]]
"""What became of a change, for a width."""


_FAILED = Span("✗ ", Tone.BAD)
SLOW = 2  # seconds from which a step tells how long it has taken so far


class Stage(Enum):
    ASKING = "asking"  # the form, or what has to be read first
    SURE = "sure"  # the plan stands, and waits for a yes
    BUSY = "busy"
    OVER = "over"


class Dialog(Overlay[Made | None]):
    """Answers with the container that it made or brought back."""

    BINDINGS: ClassVar = [
        Binding("escape", "back", show=False),
        Binding("q", "back", show=False),
        Binding("enter", "enter", show=False),
        Binding("y", "answer('y')", show=False),
        Binding("n", "answer('n')", show=False),
        Binding("f", "answer('f')", show=False),
        Binding("r", "answer('r')", show=False),
        Binding("x", "answer('x')", show=False),
    ]

    def __init__(self, changes: Changes, title: str, form: Form | None = None) -> None:
        super().__init__()
        self.changes = changes
        self.title_text = title
        self.head, self.box, self.foot = Bar(id="dialog-head", panel=True), Box(id="dialog-box"), Bar(id="dialog-foot")
        self.foot.PANEL = True
        self.box.more = "PgDn"
        self.form = form
        self.background: Background[Any] = Background(self)
        self.stage = Stage.ASKING
        self.steps: list[Statement] = []
        self.failed: set[int] = set()  # places among the steps
        self.counted = ""
        self._held = False
        self._since = 0.0  # when the last step began, on the monotonic clock
        self._painted: float | None = 0.0  # when the question was, on the monotonic clock; None: not yet
        self.result: Told = lambda _: ()
        self.made_container: Made | None = None

    @property
    def netdash(self) -> HostApp:
        return self.app  # type: ignore[return-value]

    @property
    def wide(self) -> int:
        return self.app.size.width

    def compose(self) -> ComposeResult:
        yield self.head
        if self.form is not None:
            yield self.form
        yield self.box
        yield self.foot

    def on_mount(self) -> None:
        self.enter(Stage.ASKING)
        self.set_interval(1.0, self._tick)
        self.begin()

    def on_resize(self) -> None:
        self.repaint()

    def _seen(self) -> None:
        self._painted = time.monotonic()

    def on_key(self, event: Key) -> None:
        """A key that was pressed before the question was on the screen is no answer to it."""
        if self._painted is None or event.time < self._painted:
            event.stop()

    # --- what a subclass decides --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Called once, when it is on screen."""

    def plan_lines(self) -> Sequence[Line]:
        """What will be done, or why it will not be."""
        return ()

    def ready(self) -> bool:
        """Whether there is something to agree to; says in the foot why not."""
        return True

    def answers(self) -> dict[str, str]:
        """Keys that agree, and what they do."""
        return {"y": "yes, do it"}

    def remakes(self) -> str:
        """The name of the container that it makes or brings back; "" for none."""
        return ""

    def work(self, key: str) -> Told:
        """Does it, in a thread; answers with what became of it. Raises NetdashError."""
        raise NotImplementedError

    # --- stages -------------------------------------------------------------------------------------------------------

    def enter(self, stage: Stage) -> None:
        self.stage = stage
        if self.form is not None:
            self.form.display = stage is Stage.ASKING  # what is agreed to is the plan: it gets the room
        self.set_focus(self.form.here if stage is Stage.ASKING and self.form is not None else self.box)
        self._painted = None if stage is Stage.SURE else 0.0
        self.repaint()
        if stage is Stage.SURE:
            self.box.scroll(-len(self.box.lines))
            self.call_after_refresh(self._seen)

    def repaint(self, note: str = "") -> None:
        """Everything anew; `note` stands in the foot until the next key."""
        if not self.is_mounted:
            return
        mark = {Stage.SURE: "  sure?", Stage.BUSY: "  under way…"}.get(self.stage, "")
        close = () if self.stage is Stage.BUSY else (Span("Esc close ", Tone.DIM),)
        self.head.show((Span(f" {clean(self.title_text)}", Tone.TITLE), Span(mark, Tone.WARN)), close)
        lines = self.plan_lines() if self.stage in (Stage.ASKING, Stage.SURE) else self._progress()
        self.box.show(lines, same=True)
        self.foot.show((Span(f" {note}", Tone.WARN),) if note else self.hints())

    def caution(self) -> str:
        """What is to be known before the yes, of what may not be in view."""
        return ""

    def hints(self) -> Line:
        if self.stage is Stage.SURE:
            pairs = [*self.answers().items(), ("n", "no")]
        elif self.stage is Stage.ASKING and self.form is not None:
            pairs = [
                ("↑ ↓", "field"),
                ("← →", "choose"),
                ("⏎", "do it"),
                ("PgDn", "more of the plan"),
                ("Esc", "leave"),
            ]
        elif self.stage is Stage.BUSY:
            return (Span(" it is being done; the steps are above", Tone.DIM),)
        else:
            pairs = [("⏎ Esc", "close")]
        asked = (Span(f" Do it?{self.caution()} ", Tone.WARN),) if self.stage is Stage.SURE else ()
        return (
            *asked,
            *(span for key, word in pairs for span in (Span(f" {key}", Tone.TITLE), Span(f" {word} ", Tone.DIM))),
        )

    def _progress(self) -> Sequence[Line]:
        """The steps so far, the last one under way, each that failed marked; then what became of it."""
        over = self.stage is Stage.OVER
        lines: list[Line] = []
        for at, step in enumerate(self.steps):
            last = at == len(self.steps) - 1 and not over
            glyph = Span("▸ ", Tone.TITLE) if last else _FAILED if at in self.failed else Span("· ", Tone.DIM)
            count = f"  {self.counted}" if last and self.counted else ""
            waited = int(time.monotonic() - self._since) if last else 0
            count += f"  {waited} s" if waited >= SLOW else ""
            lines += hanging([glyph, Span(clean(text(step)) + count)], self.wide)
        return [*lines, *([()] if lines and over else []), *(self.result(self.wide) if over else ())]

    # --- doing --------------------------------------------------------------------------------------------------------

    def act(self, key: str) -> None:
        self.steps, self.failed, self.counted = [], set(), ""
        self.enter(Stage.BUSY)
        host_view, name = self.netdash.host_view, self.remakes()
        containers = (host_view.host.containers if host_view else None) or ()
        before = next((container.id for container in containers if container.name == name), None)
        self.background.start(lambda: self.work(key), partial(self.done, Made(name, before) if name else None))

    def step(self, statement: Statement) -> None:
        """Called from the thread before a step is done."""
        self.call_later(self._step, statement)

    def _step(self, statement: Statement) -> None:
        if statement.failed:
            self._last_failed()
        self.steps.append(statement)
        self.counted, self._since = "", time.monotonic()
        self.repaint()
        self.box.scroll(len(self.steps))

    def _last_failed(self) -> None:
        """Marks the last step; after a sentence that is none, nothing was under way."""
        if self.steps and self.steps[-1].is_step:
            self.failed.add(len(self.steps) - 1)

    def _tick(self) -> None:
        """The step under way tells how long it has been."""
        if self.stage is Stage.BUSY:
            self.repaint()

    def count(self, text: str) -> None:
        """Called from the thread: how far the step under way has come."""
        self.call_later(self._count, text)

    def _count(self, text: str) -> None:
        self.counted = text
        self.repaint()

    def done(self, made: Made | None, result: Told | NetdashError) -> None:
        if isinstance(result, NetdashError):
            error = result
            self._last_failed()
            self.result = lambda wide: failure(error, wide)
        else:
            self.result, self.made_container = result, made
        self.netdash.feed.refresh()
        self.enter(Stage.OVER)
        self.box.scroll(len(self.box.lines))

    # --- keys ---------------------------------------------------------------------------------------------------------

    def action_enter(self) -> None:
        if self.stage is Stage.OVER:
            self.dismiss(self.made_container)
        elif self.stage is Stage.ASKING and self.ready():
            self.enter(Stage.SURE)

    def action_answer(self, key: str) -> None:
        if self.stage is not Stage.SURE:
            return
        if key == "n":
            self.action_back()
        elif key in self.answers():
            self.act(key)

    def action_back(self) -> None:
        """One level back; what is being done is not left alone."""
        if self.stage is Stage.BUSY:
            self.repaint("it is being done, and ends first")
        elif self.stage is Stage.SURE and self.form is not None:
            self.enter(Stage.ASKING)
        else:
            self.dismiss(self.made_container)

    @property
    def working(self) -> bool:
        return self.stage is Stage.BUSY

    def holds(self) -> bool:
        """What is being done is not left alone, unless that is asked for twice; then it is for recovery."""
        if not self.working or self._held:
            return False
        self._held = True
        self.repaint("it is being done; once more quits all the same, and leaves the rest to netdash recover")
        return True

    @property
    def list(self) -> Box:
        return self.box


def failure(error: NetdashError, wide: int) -> tuple[Line, ...]:
    text = clean(error.message) + (f" ({clean(error.hint)})" if error.hint else "")
    return tuple(hanging([Span(f"✗ {text}", Tone.BAD)], wide))


def good(text: str, wide: int) -> tuple[Line, ...]:
    return tuple(hanging([Span(f"✓ {clean(text)}", Tone.GOOD)], wide))
