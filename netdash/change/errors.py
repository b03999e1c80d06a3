"""Why a change has no model."""

from __future__ import annotations

from netdash.model.errors import Exit, NetdashError


class CannotModel(NetdashError):  # noqa: N818
    """What the host would be after a change is not known: what the change needs was not read, the command would fail,
    or netdash has no model of it."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint, Exit.USAGE)
