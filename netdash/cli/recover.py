"""Taking back the last change, and finishing or rolling back what was interrupted."""

from __future__ import annotations

from collections.abc import Sequence

from netdash.apply import publication
from netdash.cli import agree, printing
from netdash.cli.arguments import Arguments
from netdash.core.errors import Exit, NetdashError
from netdash.show import as_json_changes as as_json
from netdash.show.as_json import SCHEMA
from netdash.show.spans import clean


def undo(arguments: Arguments) -> int:
    """Take back the latest of the forwards, and of the containers whose grace time is not over."""
    last = publication.pending().last
    if last is None:
        raise NetdashError("there is nothing to take back", "see: netdash published", Exit.REFUSED)
    said = as_json.steps_back(last)
    if not agree.confirmed(arguments, said, {"schema": SCHEMA, "steps": said, "done": False}):
        return Exit.FINE
    publication.take_back(last, printing.note)
    return _done(arguments, said)


def _done(arguments: Arguments, said: Sequence[str]) -> int:
    if arguments.json:
        agree.write_json({"schema": SCHEMA, "steps": said, "done": True})
    else:
        printing.write(map(clean, [*said, "done"]))
    return Exit.FINE


def recover(arguments: Arguments) -> int:
    """Without a way to go: what is pending, exit 1 when anything is."""
    said = as_json.interrupted(publication.pending())
    if not (arguments.finish or arguments.rollback):
        if arguments.json:
            agree.write_json({"schema": SCHEMA, "pending": said})
        else:
            printing.write(map(clean, said))
            printing.note("netdash recover --finish, or --rollback" if said else "nothing was interrupted")
        return Exit.FINDINGS if said else Exit.FINE
    publication.recover(arguments.finish, printing.note)
    return _done(arguments, said)
