"""The dialogs without a form: `u` takes the last change back, or ends the forward under the cursor; recovery finishes
or rolls back what was interrupted, or forgets its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from textual.binding import Binding

from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Port
from netdash.publish.journal import Journal
from netdash.publish.statement import Kind, say
from netdash.publish.undo import Choice, Course, Damaged, Recovery, Taken
from netdash.tui.dialog import Dialog, Stage, Told, failure, good
from netdash.tui.interfaces import Changes
from netdash.view import changes
from netdash.view.changes import hanging
from netdash.view.statements import outage as outage_text
from netdash.view.text import Line, Span, Tone, clean

Found = TypeVar("Found")


class Asking(Dialog, Generic[Found]):
    """Reads what is pending first; without anything there is nothing to agree to."""

    def begin(self) -> None:
        self.background.start(self.read, self._read)

    def read(self) -> Found:
        """Called in a thread. Raises NetdashError."""
        raise NotImplementedError

    def known(self, found: Found) -> str:
        """Takes what was read; why there is nothing to agree to, "" where there is."""
        raise NotImplementedError

    def _read(self, found: Found | NetdashError) -> None:
        nothing = "" if isinstance(found, NetdashError) else self.known(found)
        if isinstance(found, NetdashError):
            wrong = found
            self.result = lambda wide: failure(wrong, wide)
        else:
            self.result = lambda _: ((Span(f" {clean(nothing)}"),),)
        self.enter(Stage.OVER if isinstance(found, NetdashError) or nothing else Stage.SURE)

    def sentences(self) -> Sequence[str]:
        """What it is about; empty while that is being read."""
        raise NotImplementedError

    def plan_lines(self) -> Sequence[Line]:
        if not self.sentences():
            return ((Span(" reading what netdash changed…", Tone.DIM),),)
        return [line for sentence in self.sentences() for line in hanging([Span(clean(sentence), Tone.KEY)], self.wide)]


class Undo(Asking[tuple[Taken | None, Course | None]]):
    def __init__(self, changes: Changes, port: Port | None) -> None:
        """`port`: one of netdash's own, whose forward is ended; else it is the last change."""
        super().__init__(changes, "take back")
        self.port = port
        self.chosen: Taken | None = None
        self.course: Course | None = None

    def read(self) -> tuple[Taken | None, Course | None]:
        found = self.changes.pending()
        port = self.port
        if found.unreadable and port is None:
            raise NetdashError(found.unreadable[0].sentence, ":recover tells what the engine shows of it", Exit.REFUSED)
        chosen = found.last if port is None else found.forward_of(port.proto, port.host_port, port.container_id)
        return chosen, self.changes.course(chosen) if chosen else None

    def known(self, found: tuple[Taken | None, Course | None]) -> str:
        self.chosen, self.course = found
        if self.course is not None:
            return f"nothing is changed: {self.course.refusal}" if self.course.refusal else ""
        another = "another user's netdash forwards this port: there is no record of it here"
        return another if self.port is not None else "there is nothing to take back"

    def sentences(self) -> Sequence[str]:
        return self.course.steps if self.course else ()

    def answers(self) -> dict[str, str]:
        return {"y": "yes, take it back"}

    def remakes(self) -> str:
        return self.chosen.change.name if isinstance(self.chosen, Journal) else ""

    def work(self, key: str) -> Told:  # noqa: ARG002
        chosen = self.chosen
        if chosen is None:
            raise NetdashError("there is nothing to take back")
        self.step(say(Kind.COURSE_STEP, text=self.sentences()[0]))
        outage = self.changes.take_back(chosen, self.step)
        down = f"; it was down for {outage_text(outage)}" if outage else ""
        return lambda wide: good(f"taken back{down}", wide)


_KEYS = {"f": Choice.FINISH, "r": Choice.ROLLBACK, "x": Choice.FORGET}
_WORDS = {Choice.FINISH: "finish", Choice.ROLLBACK: "roll back", Choice.FORGET: "forget the record"}
_DONE = {Choice.FINISH: "finished", Choice.ROLLBACK: "rolled back", Choice.FORGET: "forgotten"}


class Recover(Asking[Sequence[Recovery | Damaged]]):
    """One record at a time. A letter chooses, and `y` agrees: one key alone, typed ahead, changes nothing."""

    BINDINGS: ClassVar = [Binding("tab", "next", show=False)]

    def __init__(self, changes: Changes) -> None:
        super().__init__(changes, "what was interrupted")
        self.found: Sequence[Recovery | Damaged] = ()
        self.at = 0
        self.choice: Choice | None = None

    def read(self) -> Sequence[Recovery | Damaged]:
        return self.changes.recoveries()

    def known(self, found: Sequence[Recovery | Damaged]) -> str:
        self.found = found
        return "" if found else "nothing was interrupted"

    @property
    def record(self) -> Recovery | Damaged:
        return self.found[self.at]

    def sentences(self) -> Sequence[str]:
        if not self.found:
            return ()
        which = [f"{self.at + 1} of {len(self.found)}"] if len(self.found) > 1 else []
        return (*which, *changes.recovery_lines(self.record))

    def answers(self) -> dict[str, str]:
        if self.choice is not None:
            return {"y": f"yes, {_WORDS[self.choice]}"}
        words = {key: _WORDS[choice] for key, choice in _KEYS.items() if not self._refused(choice)}
        return {**words, **({"tab": "next"} if len(self.found) > 1 else {})}

    def _refused(self, choice: Choice) -> bool:
        record = self.record
        if choice is Choice.FORGET:
            return False
        return isinstance(record, Damaged) or bool(
            (record.finish if choice is Choice.FINISH else record.rollback).refusal
        )

    def action_answer(self, key: str) -> None:
        if self.stage is not Stage.SURE or (key == "y" and self.choice is not None):
            super().action_answer(key)
        elif key in self.answers() and self.choice is None:
            self._choose(_KEYS[key])
        elif self.choice is not None:
            self._choose(None)
        elif key == "n":
            super().action_answer(key)

    def _choose(self, choice: Choice | None) -> None:
        self.choice = choice
        self.enter(Stage.SURE)

    def action_next(self) -> None:
        if self.stage is Stage.SURE:
            self.at = (self.at + 1) % max(1, len(self.found))
            self._choose(None)

    def action_back(self) -> None:
        if self.stage is Stage.SURE and self.choice is not None:
            self._choose(None)
        else:
            super().action_back()

    def remakes(self) -> str:
        record = self.record.record
        return record.change.name if isinstance(record, Journal) else ""

    def work(self, key: str) -> Told:  # noqa: ARG002
        choice = self.choice
        if choice is None:
            raise NetdashError("nothing was chosen")
        self.changes.recover(self.record.record, choice, self.step)
        return lambda wide: good(_DONE[choice], wide)
