"""The trace of a packet over the dashboard: above the questions, each with its verdict, below the path of the one under
the cursor, rule by rule; others are typed. Follows the host as it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip

from netdash.model.errors import NetdashError
from netdash.model.host import Host, Ref
from netdash.trace.default_questions import Usual
from netdash.trace.model import Question, Trace
from netdash.trace.tracer import trace
from netdash.tui.host_view import HostView
from netdash.tui.inks import MARKER
from netdash.tui.overlay import Overlay
from netdash.tui.popup import Popup
from netdash.tui.surface import Bar, Box, ListWidget
from netdash.tui.text_field import Prompt
from netdash.tui.theme import strip
from netdash.tui.work import Steps, Work
from netdash.view import layout, marks, typed_question, unavailable
from netdash.view import trace as walk
from netdash.view.questions import ref_of
from netdash.view.text import Line, Span, Tone, clean, fit, safe, width

if TYPE_CHECKING:
    from netdash.tui.host_view import HostView


SHARE = 0.35  # of the lines that the questions may take
ASKED = 0.45  # of the width that a question may take
SEEN_BEFORE = 3  # lines above the deciding one that stay in view


class Questions(ListWidget):
    """What may be asked, a line each: verdict, words, what decides."""

    HEAD = 0
    WHEEL = 1

    class Moved(Message):
        """Another question is under the cursor."""

    def __init__(self, host: Host, usual: Sequence[Usual], at: Ref | None) -> None:
        super().__init__(id="questions")
        self.host, self.usual = host, usual
        self.cursor = next((place for place, other in enumerate(usual) if ref_of(other.question) == at), 0)
        self.answers: list[Trace | None] = [None] * len(usual)  # None: not there yet

    def ask(self, usual: Sequence[Usual], again: bool) -> None:
        """Other questions, as more of the host is known: the cursor stays on its own, and with `again` each keeps its
        answer until there is a newer one."""
        here = self.usual[self.cursor] if self.usual else None
        pairs = zip(self.usual, self.answers, strict=True)
        known = {default.question: answer for default, answer in pairs} if again else {}
        self.usual, self.answers = usual, [known.get(default.question) for default in usual]
        self.place(
            next((at for at, other in enumerate(usual) if here is not None and other.follows(here)), self.cursor)
        )
        self.refresh()

    @property
    def count(self) -> int:
        return len(self.usual)

    def moved(self) -> None:
        self.post_message(self.Moved())

    def scroll(self, by: int) -> None:
        self.step(by)

    def line(self, y: int, wide: int) -> Strip:
        at = self.top + y
        if at >= len(self.usual):
            return Strip.blank(wide, self.inks.blank)
        here = at == self.cursor
        inks = (self.colours.cursor if self.has_focus else self.colours.idle) if here else self.inks
        answer = self.answers[at]
        verdict: Line = (Span("…", Tone.DIM),)
        if answer is not None:
            verdict = walk.verdict_of(self.host, self.usual[at], answer)
        asked = self._asked(wide)
        mark = Span(MARKER if here else " ", Tone.TITLE)
        return strip(
            (mark, Span(" " + fit(clean(self.usual[at].text), asked, middle=True), Tone.KEY), Span("  "), *verdict),
            wide,
            inks,
        )

    def _asked(self, wide: int) -> int:
        """Cells of the questions' words."""
        return min(round(wide * ASKED), max(width(clean(usual.text)) for usual in self.usual))

    def fits(self, verdict: Line, wide: int) -> bool:
        """Whether the line of a question has room for all of it."""
        return self._asked(wide) + 4 + layout.size(verdict) <= wide

    def on_click(self, event: events.Click) -> None:
        self.focus()
        self.move(self.top + event.y)


class Walk(Overlay[Ref | None]):
    """Answers with what the user wants to go to, or None."""

    BINDINGS: ClassVar = [
        Binding("escape", "back", show=False),
        Binding("q", "close", show=False),
        Binding("t", "type", show=False),
        Binding("tab,shift+tab", "pane", show=False),
        Binding("l,right", "part(1)", show=False),
        Binding("h,left", "part(-1)", show=False),
        Binding("enter", "follow", show=False),
        Binding("y", "copy", show=False),
    ]

    def __init__(
        self, host_view: HostView, asked: Callable[[HostView], Sequence[Usual]], at: Ref | None = None, why: str = ""
    ) -> None:
        """`asked`: what is asked of a host; `at`: the question under the cursor; `why` there is none, which is then
        typed."""
        super().__init__()
        self.head, self.tabs, self.foot = (
            Bar(id="walk-head", panel=True),
            Bar(id="walk-tabs"),
            Bar(id="walk-foot", panel=True),
        )
        self._asked = asked
        self.questions = Questions(host_view.host, asked(host_view), at)
        self.prompt = Prompt(id="ask")
        self._typed: tuple[Usual, ...] = ()
        self._why = why
        self.box = Box(id="walk-box")
        self.work: Work[None] = Work()
        self._host: Host = host_view.host
        self._part = 0
        self._shown: tuple[Question, int] | None = None  # the question and the part in the box

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.questions
        yield self.tabs
        yield self.box
        yield self.foot
        yield self.prompt

    def on_mount(self) -> None:
        self.set_focus(self.questions)
        self._ask()
        if self._why:
            self.action_type()
            self.box.show(((), (Span(f" {self._why}", Tone.DIM),)), same=False)

    def on_resize(self) -> None:
        self._repaint()

    def update_host(self, host_view: HostView) -> None:
        """A newer host: what is asked may be more, everything is asked again, and the old verdicts stay until the new
        ones are there; of a thing that is gone the old questions stay."""
        again, self._host = not self._host.pending, host_view.host
        self.questions.host = host_view.host
        self.questions.ask((*self._typed, *self._asked(host_view)) or self.questions.usual, again)
        self._ask()

    def _ask(self) -> None:
        """Nothing is answered before every source was read, or has failed: a verdict could be another one then."""
        self.questions.styles.height = max(1, min(len(self.questions.usual), round(self.app.size.height * SHARE)))
        if self._host.pending:
            self.work.stop()
            self._repaint()
            return
        self.work.start(self._answering(self._host), lambda _: self._repaint())

    def _answering(self, host: Host) -> Steps[None]:
        """The question under the cursor first: its path is on screen."""
        usual = self.questions.usual
        here = self.questions.cursor
        for at in () if not usual else (here, *(at for at in range(len(usual)) if at != here)):
            self.questions.answers[at] = trace(host, usual[at].question)
            if at == here:
                self._repaint()
            yield
        self.questions.refresh()

    # --- what is shown ------------------------------------------------------------------------------------------------

    @property
    def answer(self) -> Trace | None:
        return self.questions.answers[self.questions.cursor] if self.questions.answers else None

    def _repaint(self) -> None:
        answer = self.answer
        if not self.is_mounted:
            return
        if answer is None:
            self._wait()
            return
        wide = self.app.size.width
        parts = walk.parts(answer, wide)
        self._part = min(self._part, len(parts) - 1)
        part = parts[self._part]
        above = self._reason(answer, wide)
        lines = (*above, *part.lines, *(((), *walk.notes(answer, wide)) if self._part == 0 else ()))
        shown = (answer.question, self._part)
        self.box.show(lines, same=shown == self._shown)
        if shown != self._shown and part.deciding is not None:
            self.box.reveal(len(above) + part.deciding, len(above) + SEEN_BEFORE)
        self._shown = shown
        self.head.show((Span(" trace ", Tone.TITLE), *walk.head(self._host, answer)), (Span("Esc close ", Tone.DIM),))
        self.tabs.show(_tabs(parts, self._part))
        self.foot.show(_hints(len(parts) > 1, self.focused is self.box))
        self.questions.refresh()

    def _reason(self, answer: Trace, wide: int) -> Sequence[Line]:
        """The verdict in full, where the line of its question has no room for it."""
        usual = self.questions.usual[self.questions.cursor]
        verdict = walk.verdict_of(self._host, usual, answer)
        if self.questions.fits(verdict, wide):
            return ()
        return layout.hanging((Span(" "), verdict[0], Span("  ")), layout.in_words(verdict[2:]), wide, 3)

    def _wait(self) -> None:
        """The question has no answer yet."""
        reason = unavailable.waiting(self._host) or ("…" if self.questions.usual else self._why)
        self.box.show(((), (Span(f" {reason}", Tone.DIM),)), same=False)
        self._shown = None
        self.head.show((Span(" trace ", Tone.TITLE),), (Span("Esc close ", Tone.DIM),))
        self.tabs.show(())
        self.foot.show((Span(" Esc", Tone.TITLE), Span(" close ", Tone.DIM)))
        self.questions.refresh()

    def on_questions_moved(self) -> None:
        self._part = 0
        self._repaint()

    # --- a question that is typed -------------------------------------------------------------------------------------

    def action_type(self) -> None:
        self.foot.display, self.prompt.display = False, True
        self.prompt.open("trace ", "", typed_question.HINT, lambda text: typed_question.completions(self._host, text))

    def on_prompt_entered(self, message: Prompt.Entered) -> None:
        message.stop()
        if message.text is None or not message.text.strip():
            self._leave_prompt()
            return
        try:
            usual, notes = typed_question.understood(self._host, message.text)
        except NetdashError as error:
            hint = f": {error.hint}" if error.hint else ""
            self.box.show(((), (Span(f" ✗ {clean(error.message, 200)}{clean(hint, 100)}", Tone.BAD),)), same=False)
            self._shown = None
            return
        self._typed = (usual, *(other for other in self._typed if other.question != usual.question))
        others = [other for other in self.questions.usual if other.question != usual.question]
        self.questions.ask((usual, *others), again=True)
        self.questions.place(0)
        self._leave_prompt()
        self._ask()
        if notes:
            self._say("; ".join(notes), Tone.DIM)

    def _leave_prompt(self) -> None:
        self.foot.display, self.prompt.display = True, False
        self._focus(self.questions)

    # --- keys ---------------------------------------------------------------------------------------------------------

    @property
    def list(self) -> ListWidget:
        return self.box if self.focused is self.box else self.questions

    def action_turn(self, pages: int) -> None:
        self.box.turn(pages)

    def action_pane(self) -> None:
        self._focus(self.questions if self.focused is self.box else self.box)

    def _focus(self, pane: ListWidget) -> None:
        self.set_focus(pane)
        self._repaint()

    def action_part(self, step: int) -> None:
        answer = self.answer
        if answer is not None:
            count = len(walk.parts(answer, self.app.size.width))
            self._part = (self._part + step) % count
            self._repaint()

    def action_follow(self) -> None:
        if self.focused is self.questions:
            self._focus(self.box)
        elif self.box.target is not None:
            self.dismiss(self.box.target)

    def on_box_followed(self, message: Box.Followed) -> None:
        message.stop()
        if message.ref.kind == "part":
            self._part = int(message.ref.key)
            self._repaint()
        else:
            self.dismiss(message.ref)

    def action_copy(self) -> None:
        answer = self.answer
        if answer is None:
            return
        from netdash.tui import copy
        from netdash.view import json_host, json_trace

        offers = (
            ("command", walk.command(self._host, answer.question)),
            ("JSON", json_host.dumps(json_trace.trace(answer), None)),
        )

        def copied(text: str | None) -> None:
            if text is not None:
                copy.put(self, safe(text), self._say)

        self.app.push_screen(Popup("Copy", offers=offers), copied)

    def _say(self, text: str, tone: Tone) -> None:
        self.foot.show((Span(" "), Span(text, tone)))

    def action_back(self) -> None:
        if self.focused is self.box:
            self._focus(self.questions)
        else:
            self.action_close()

    def action_close(self) -> None:
        self.work.stop()
        self.dismiss(None)


def _tabs(parts: Sequence[walk.Part], current: int) -> Line:
    spans: list[Span] = [Span(" ")]
    for at, part in enumerate(parts):
        name, way = f"{part.name} ", marks.way(part.verdict)
        opened, closed = ("[", "]") if at == current else (" ", " ")
        tone = Tone.TITLE if at == current else Tone.DIM
        spans += [
            Span(opened + name, tone, Ref("part", str(at))),
            way.with_text(way.text[:1]),
            Span(closed, tone),
            Span(" "),
        ]
    return tuple(spans)


def _hints(several: bool, inside: bool) -> Line:
    """`inside`: the keys are the path's, and not the questions'."""
    keys = [("j k", "which rule"), ("⏎", "go there"), ("Tab", "packets")] if inside else [("j k", "which packet")]
    keys += [] if inside else [("⏎", "rule by rule")]
    keys += [("h l", "packet, answer")] if several else []
    keys += [("t", "type"), ("y", "copy"), ("Esc", "back" if inside else "close")]
    return tuple(span for key, word in keys for span in (Span(f" {key}", Tone.TITLE), Span(f" {word} ", Tone.DIM)))
