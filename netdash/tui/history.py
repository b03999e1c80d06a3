"""Where the user is and was: per view the cursor, filter and order, and the way that led there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from netdash.model.host import Ref
from netdash.tui.host_view import Ask
from netdash.view.table import View

LONGEST = 100  # steps back that are kept


@dataclass(frozen=True, slots=True)
class Place:
    """A view as the user left it."""

    ask: Ask
    ref: Ref | None = None  # the row under the cursor; None where the cursor has not been yet
    at: int = 0  # its number, for when the row is gone
    cell: int = -1


class Places:
    """The place in every view, and the history of follows."""

    def __init__(self, first: View) -> None:
        self.view = first
        self._places: dict[str, Place] = {}
        self._history: list[Place] = []

    @property
    def here(self) -> Place:
        return self.of(self.view)

    def of(self, view: View) -> Place:
        return self._places.get(view.name) or Place(Ask(view))

    def put(self, place: Place) -> None:
        self._places[place.ask.view.name] = place

    def change(self, **values: object) -> None:
        """Changes what is asked of the view on screen."""
        self.put(replace(self.here, ask=replace(self.here.ask, **values)))  # type: ignore[arg-type]

    def remember(self) -> None:
        """Makes the present place one to come back to."""
        self._history.append(self.here)
        del self._history[:-LONGEST]

    def back(self) -> bool:
        """Returns to the place before; False when there is none."""
        if not self._history:
            return False
        place = self._history.pop()
        self.put(place)
        self.view = place.ask.view
        return True
