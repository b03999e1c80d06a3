"""The card under the list, or of a thing that is followed: the cursor chooses the question whose path is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netdash.model.host import Ref
from netdash.tui.surface import Box
from netdash.view.card import MARKER
from netdash.view.text import Line


class CardBox(Box):
    """`rewrite` is called when another question is chosen."""

    def __init__(self, rewrite: Callable[[], None]) -> None:
        super().__init__(id="card")
        self.question: Ref | None = None  # None: the card chooses
        self._rewrite = rewrite

    def show(self, lines: Sequence[Line], same: bool) -> None:
        """Of another thing the cursor stands on the question that the card has chosen."""
        super().show(lines, same)
        chosen = next((at for at, line in enumerate(lines) if line and line[0].text.startswith(MARKER)), None)
        if chosen is not None and not same:
            self.stand_on(chosen)

    def moved(self) -> None:
        target = self.target
        if target is not None and target.kind == "question" and target != self.question:
            self.question = target
            self._rewrite()
