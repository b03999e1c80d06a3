"""Long work takes turns with a screen that shares its interpreter: it gives way between pieces of a millisecond or two.
How it waits says whoever has the screen."""

from __future__ import annotations

from collections.abc import Callable

_waits: list[Callable[[], None]] = []


def give_way() -> None:
    """Between two pieces of work. Whoever calls it holds no lock that the screen's thread takes."""
    for wait in _waits:
        wait()


def waits_by(wait: Callable[[], None]) -> None:
    """What `give_way` calls from now on, from any thread."""
    _waits[:] = [wait]
