"""Taking back the last change, and finishing or rolling back what was interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netdash.apply import publication
from netdash.cli import confirm, printing
from netdash.cli.arguments import Arguments
from netdash.model.errors import Exit, NetdashError
from netdash.publish.undo_check import Damaged
from netdash.publish.undoable import Choice
from netdash.view import json_changes as as_json
from netdash.view.json_host import SCHEMA
from netdash.view.text import clean


def undo(arguments: Arguments) -> int:
    """Take back the latest of the forwards, and of the containers whose grace time is not over."""
    found = publication.pending()
    publication.readable(found)
    last = found.last
    if last is None:
        raise NetdashError("there is nothing to take back", "see: netdash published", Exit.REFUSED)
    course = publication.course(last)
    if course.refusal:
        raise NetdashError(f"nothing was changed: {course.refusal}", "netdash published", Exit.REFUSED)
    said = course.steps
    if not confirm.confirmed(arguments, said, {"schema": SCHEMA, "steps": said, "done": False}):
        return Exit.FINE
    outage = publication.take_back(last, printing.note)
    return _done(arguments, said, as_json.outage(outage))


def _done(arguments: Arguments, said: Sequence[str], more: Mapping[str, object] | None = None) -> int:
    if arguments.json:
        confirm.write_json({"schema": SCHEMA, "steps": said, "done": True, **(more or {})})
    else:
        printing.write(map(clean, [*said, "done"]))
    return Exit.FINE


def recover(arguments: Arguments) -> int:
    """Without a way to go: what is pending; exit 1 when anything is, 4 where a record cannot be read."""
    if arguments.forget:
        publication.forget(arguments.forget, printing.note)
        return _done(arguments, [f"the record {arguments.forget} is forgotten; nothing else was changed"])
    if not (arguments.finish or arguments.rollback):
        return _pending(arguments)
    said = as_json.interrupted(publication.pending())
    failed = publication.recover_all(Choice.FINISH if arguments.finish else Choice.ROLLBACK, printing.note)
    if failed:
        raise NetdashError("; ".join(failed), "netdash recover tells what is there now", Exit.REFUSED)
    return _done(arguments, said)


def _pending(arguments: Arguments) -> int:
    found = publication.recoveries(confirm.engine(arguments))
    if arguments.json:
        records = [as_json.recovery(one) for one in found]
        confirm.write_json({"schema": SCHEMA, "pending": [as_json.title(one) for one in found], "records": records})
    else:
        for one in found:
            printing.write(map(clean, as_json.recovery_lines(one)))
        printing.note(
            "netdash recover --finish, or --rollback; --forget ID ends a record" if found else "nothing was interrupted"
        )
    if any(isinstance(one, Damaged) for one in found):
        return Exit.REFUSED
    return Exit.FINDINGS if found else Exit.FINE
