"""The dialogs without a form: `u` takes the last change back, or ends the forward under the cursor; recovery finishes
or rolls back what was interrupted."""

from __future__ import annotations

from collections.abc import Sequence

from netdash.core.errors import NetdashError
from netdash.core.model import Port
from netdash.core.pending import Pending, Taken
from netdash.show import as_json_changes as told
from netdash.show.plan_lines import hanging
from netdash.show.spans import Line, Span, Tone, clean
from netdash.tui.changes import Changes
from netdash.tui.dialog import Dialog, Stage, Told, failure, good


class Asking(Dialog):
    """Reads what is pending first; without anything there is nothing to agree to."""

    NOTHING = ""

    def __init__(self, changes: Changes, title: str) -> None:
        super().__init__(changes, title)
        self.found: Pending | None = None
        self.wrong: NetdashError | None = None

    def begin(self) -> None:
        self.background.start(self.changes.pending, self._found)

    def _found(self, found: Pending | NetdashError) -> None:
        if isinstance(found, NetdashError):
            self.wrong = found
        else:
            self.found = found
        if self.sentences():
            self.enter(Stage.SURE)
        else:
            wrong, nothing = self.wrong, self.NOTHING
            self.result = lambda wide: failure(wrong, wide) if wrong else ((Span(f" {nothing}"),),)
            self.enter(Stage.OVER)

    def sentences(self) -> Sequence[str]:
        """What it is about; empty for nothing."""
        raise NotImplementedError

    def plan_lines(self) -> Sequence[Line]:
        if self.found is None:
            return ((Span(" reading what netdash changed…", Tone.DIM),),)
        return [line for one in self.sentences() for line in hanging([Span(clean(one), Tone.KEY)], self.wide)]


class Undo(Asking):
    NOTHING = "there is nothing to take back"

    def __init__(self, changes: Changes, port: Port | None) -> None:
        """`port`: one of netdash's own, whose forward is ended; else it is the last change."""
        super().__init__(changes, "take back")
        self.port = port

    @property
    def chosen(self) -> Taken | None:
        if self.found is None:
            return None
        port = self.port
        if port is None:
            return self.found.last
        return self.found.forward_of(port.proto, port.host_port, port.container_id)

    def sentences(self) -> Sequence[str]:
        if self.chosen is not None:
            return told.steps_back(self.chosen)
        if self.port is not None:
            self.NOTHING = "another user's netdash forwards this port: there is no record of it here"
        return ()

    def answers(self) -> dict[str, str]:
        return {"y": "yes, take it back"}

    def work(self, key: str) -> Told:  # noqa: ARG002
        one = self.chosen
        if one is None:
            raise NetdashError(self.NOTHING)
        self.step(told.steps_back(one)[0])
        self.changes.take_back(one, self.step)
        return lambda wide: good("taken back", wide)


class Recover(Asking):
    NOTHING = "nothing was interrupted"

    def __init__(self, changes: Changes) -> None:
        super().__init__(changes, "what was interrupted")

    def sentences(self) -> Sequence[str]:
        return told.interrupted(self.found) if self.found else ()

    def answers(self) -> dict[str, str]:
        return {"f": "finish", "r": "roll back"}

    def work(self, key: str) -> Told:
        self.changes.recover(key == "f", self.step)
        return lambda wide: good("finished" if key == "f" else "rolled back", wide)
