"""What is told among the steps of a change without being a step of its own."""

from __future__ import annotations


class Note(str):
    """A sentence beside the steps: it is done when it is told."""

    __slots__ = ()


class Failed(Note):
    """Says what follows from it that the step before failed."""

    __slots__ = ()
