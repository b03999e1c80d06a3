"""The trace of a packet over the dashboard: above the questions, each with its verdict, below the path of the one under
the cursor, rule by rule. Follows the host as it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.strip import Strip

from netdash.model.host import Container, Host, Port, Proxy, Ref, Rule
from netdash.trace import default_questions
from netdash.trace.default_questions import Usual
from netdash.trace.model import Question, Trace
from netdash.trace.tracer import trace
from netdash.tui.host_view import HostView
from netdash.tui.popup import Overlay, Popup
from netdash.tui.surface import Bar, Box, ListWidget
from netdash.tui.theme import MARKER, strip
from netdash.tui.work import Steps, Work
from netdash.view import trace as walk
from netdash.view import unavailable
from netdash.view.text import Line, Span, Tone, clean, fit, safe, width

if TYPE_CHECKING:
    from netdash.tui.dashboard import Dashboard
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

    def __init__(self, usual: Sequence[Usual]) -> None:
        super().__init__(id="questions")
        self.usual = usual
        self.answers: list[Trace | None] = [None] * len(usual)  # None: not there yet

    def ask(self, usual: Sequence[Usual], again: bool) -> None:
        """Other questions, as more of the host is known: the cursor stays on its own, and with `again` each keeps its
        answer until there is a newer one."""
        before, answers, here = self.usual, self.answers, self.usual[self.cursor]
        known = {default.question: answer for default, answer in zip(before, answers, strict=True)} if again else {}
        self.usual, self.answers = usual, [known.get(default.question) for default in usual]
        self.place(next((at for at, default in enumerate(usual) if default.follows(here)), self.cursor))
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
        verdict: Line = (Span("…", Tone.DIM),) if answer is None else walk.verdict(answer)
        asked = min(round(wide * ASKED), max(width(clean(default.text)) for default in self.usual))
        mark = Span(MARKER if here else " ", Tone.TITLE)
        return strip(
            (mark, Span(" " + fit(clean(self.usual[at].text), asked), Tone.KEY), Span("  "), *verdict), wide, inks
        )

    def on_click(self, event: events.Click) -> None:
        self.focus()
        self.move(self.top + event.y)


class Walk(Overlay[Ref | None]):
    """Answers with what the user wants to go to, or None."""

    BINDINGS: ClassVar = [
        Binding("escape", "back", show=False),
        Binding("q,t", "close", show=False),
        Binding("tab,shift+tab", "pane", show=False),
        Binding("l,right", "part(1)", show=False),
        Binding("h,left", "part(-1)", show=False),
        Binding("enter", "follow", show=False),
        Binding("y", "copy", show=False),
    ]

    def __init__(self, host_view: HostView, asked: Callable[[HostView], Sequence[Usual]]) -> None:
        """`asked`: what is asked of a host."""
        super().__init__()
        self.head, self.tabs, self.foot = (
            Bar(id="walk-head", panel=True),
            Bar(id="walk-tabs"),
            Bar(id="walk-foot", panel=True),
        )
        self._asked = asked
        self.questions = Questions(asked(host_view))
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

    def on_mount(self) -> None:
        self.set_focus(self.questions)
        self._ask()

    def on_resize(self) -> None:
        self._repaint()

    def update_host(self, host_view: HostView) -> None:
        """A newer host: what is asked may be more, everything is asked again, and the old verdicts stay until the new
        ones are there; of a thing that is gone the old questions stay."""
        again, self._host = not self._host.pending, host_view.host
        self.questions.ask(self._asked(host_view) or self.questions.usual, again)
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
        for at in (here, *(at for at in range(len(usual)) if at != here)):
            self.questions.answers[at] = trace(host, usual[at].question)
            if at == here:
                self._repaint()
            yield
        self.questions.refresh()

    # --- what is shown ------------------------------------------------------------------------------------------------

    @property
    def answer(self) -> Trace | None:
        return self.questions.answers[self.questions.cursor]

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
        lines = (*part.lines, *(((), *walk.notes(answer, wide)) if self._part == 0 else ()))
        shown = (answer.question, self._part)
        self.box.show(lines, same=shown == self._shown)
        if shown != self._shown and part.deciding is not None:
            self.box.reveal(part.deciding, SEEN_BEFORE)
        self._shown = shown
        self.head.show((Span(" trace ", Tone.TITLE), *walk.head(self._host, answer)), (Span("Esc close ", Tone.DIM),))
        self.tabs.show(_tabs(parts, self._part))
        self.foot.show(_hints(len(parts) > 1, self.focused is self.box))
        self.questions.refresh()

    def _wait(self) -> None:
        """The question has no answer yet."""
        reason = unavailable.waiting(self._host) or "…"
        self.box.show(((), (Span(f" {reason}", Tone.DIM),)), same=False)
        self._shown = None
        self.head.show((Span(" trace ", Tone.TITLE),), (Span("Esc close ", Tone.DIM),))
        self.tabs.show(())
        self.foot.show((Span(" Esc", Tone.TITLE), Span(" close ", Tone.DIM)))
        self.questions.refresh()

    def on_questions_moved(self) -> None:
        self._part = 0
        self._repaint()

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
        name, glyph = f"{part.name} ", walk.glyph(part.verdict)
        opened, closed = ("[", "]") if at == current else (" ", " ")
        tone = Tone.TITLE if at == current else Tone.DIM
        spans += [Span(opened + name, tone, Ref("part", str(at))), glyph, Span(closed, tone), Span(" ")]
    return tuple(spans)


def _hints(several: bool, inside: bool) -> Line:
    """`inside`: the keys are the path's, and not the questions'."""
    keys = [("j k", "which rule"), ("⏎", "go there"), ("Tab", "packets")] if inside else [("j k", "which packet")]
    keys += [] if inside else [("⏎", "rule by rule")]
    keys += [("h l", "packet, answer")] if several else []
    keys += [("y", "copy"), ("Esc", "back" if inside else "close")]
    return tuple(span for key, word in keys for span in (Span(f" {key}", Tone.TITLE), Span(f" {word} ", Tone.DIM)))


MOST = 60  # questions that are asked at once


def ask(dashboard: Dashboard) -> None:
    """Traces the packets of the thing under the cursor, or between the two that are marked; says why where there are
    none."""
    host_view, panes = dashboard.host_view, dashboard.panes
    row = panes.grid.row
    if host_view is None or row is None:
        return
    ref = (panes.grid.target if dashboard.focused is panes.grid else None) or row.ref
    asked = partial(_asked, ref, panes.picked)
    if asked(host_view):
        dashboard.app.push_screen(Walk(host_view, asked), lambda target: dashboard.follow(target) if target else None)
    else:
        dashboard.say(_why_not(host_view, ref, len(panes.picked) == 2), Tone.DIM)


def _asked(ref: Ref, picked: tuple[Ref, ...], host_view: HostView) -> tuple[Usual, ...]:
    found = _between(host_view, *picked) if len(picked) == 2 else _of(host_view, ref)
    return found[:MOST]


def _why_not(host_view: HostView, ref: Ref, picked: bool) -> str:
    if host_view.host.pending:
        return f"{unavailable.waiting(host_view.host)}: no packet to ask of yet"
    if host_view.host.containers is None:
        return "which containers there are is not known: no packet to ask of"
    if picked:
        return "no packet goes between these two: each has to belong to a running container of its own"
    owners = [host_view.container(key) for key in host_view.containers(ref)]
    if any(owner is not None and owner.running for owner in owners):
        return "its container has no address: no packet to ask of"
    return f"belongs to no {'running ' if owners else ''}container: no packet to ask of"


def _between(host_view: HostView, sender: Ref, receiver: Ref) -> tuple[Usual, ...]:
    """Both directions, the first picked as the sender first."""
    first, second = _container(host_view, sender), _container(host_view, receiver)
    if first is None or second is None or first is second:
        return ()
    return (
        *default_questions.between(host_view.host, first, second),
        *default_questions.between(host_view.host, second, first),
    )


def _container(host_view: HostView, ref: Ref) -> Container | None:
    owners = host_view.containers(ref)
    return host_view.container(owners[0]) if owners else None


def _of(host_view: HostView, ref: Ref) -> tuple[Usual, ...]:
    """A port's and its rule's and proxy's own packets; of everything else, those of its containers."""
    host, thing = host_view.host, host_view.thing(ref)
    ports = host.ports or ()
    if isinstance(thing, Port):
        return default_questions.of_port(host, thing)
    if isinstance(thing, (Rule, Proxy)):
        own = [port for port in ports if port.dnat is thing or port.proxy is thing]
        if own:
            return tuple(default for port in own for default in default_questions.of_port(host, port))
    owners = [host_view.container(key) for key in host_view.containers(ref)]
    return tuple(
        default for owner in owners if owner is not None for default in default_questions.of_container(host, owner)
    )
