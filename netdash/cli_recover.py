"""Taking back the last change, and finishing or rolling back what was interrupted."""

from __future__ import annotations

from netdash import cli_agree, cli_print
from netdash.apply import change, forward, logbook, places
from netdash.apply.engine_socket import Engine
from netdash.arguments import Arguments
from netdash.core.errors import Exit, NetdashError
from netdash.core.journal import Journal
from netdash.core.state import Forward
from netdash.show import as_json_changes as as_json
from netdash.show.as_json import SCHEMA
from netdash.show.spans import clean


def forward_ends(one: Forward) -> str:
    return f"end the forward of {as_json.ports_text(one)} to {one.container}"


def undo(arguments: Arguments) -> int:
    """Take back the latest of the forwards, and of the containers whose grace time is not over."""
    last = _last()
    if last is None:
        raise NetdashError("there is nothing to take back", "see: netdash published", Exit.REFUSED)
    said = [forward_ends(last)] if isinstance(last, Forward) else _steps_back(last)
    if not cli_agree.confirmed(arguments, said, {"schema": SCHEMA, "steps": said, "done": False}):
        return Exit.FINE
    with places.one_at_a_time():
        if isinstance(last, Forward):
            forward.end_one(last)
        else:
            now = logbook.load(logbook.path_of(last.change))
            if now is None:
                raise NetdashError("its time to be taken back is over", code=Exit.REFUSED)
            change.rollback(Engine(last.change.engine), now, cli_print.note)
    return _done(arguments, said)


def _last() -> Forward | Journal | None:
    forwards, journals = forward.listed(), change.pending()
    newest = max(forwards, key=lambda one: one.created, default=None)
    journal = max(journals, key=lambda one: one.change.created, default=None)
    if newest is None or (journal is not None and journal.change.created > newest.created):
        return journal
    return newest


def _steps_back(journal: Journal) -> list[str]:
    one = journal.change
    if one.kind == "run":
        return [f"stop and remove {one.name}, with its volumes"]
    return [
        f"stop and remove the new {one.name}: what it wrote outside its volumes is lost",
        f"rename {one.backup} to {one.name}, and start it",
    ]


def _done(arguments: Arguments, said: list[str]) -> int:
    if arguments.json:
        cli_agree.write_json({"schema": SCHEMA, "steps": said, "done": True})
    else:
        cli_print.write([*map(clean, said), "done"])
    return Exit.FINE


def recover(arguments: Arguments) -> int:
    """Without a way to go: what is pending, exit 1 when anything is."""
    journals, lost = change.unfinished(), forward.lost(forward.listed())
    said = [*(as_json.journal_sentence(one) for one in journals), *(as_json.sentence(one, "lost") for one in lost)]
    if not (arguments.finish or arguments.rollback):
        if arguments.json:
            cli_agree.write_json({"schema": SCHEMA, "pending": said})
        else:
            cli_print.write(map(clean, said))
            cli_print.note("netdash recover --finish, or --rollback" if said else "nothing was interrupted")
        return Exit.FINDINGS if said else Exit.FINE
    with places.one_at_a_time():
        for note in change.overdue():
            cli_print.note(note)
        for journal in change.unfinished():
            _recover(journal, arguments.finish)
        if arguments.finish:
            for note in forward.reconcile():
                cli_print.note(note)
        else:
            for one in forward.lost(forward.listed()):
                forward.end_one(one)
    return _done(arguments, said)


def _recover(journal: Journal, finish: bool) -> None:
    engine = Engine(journal.change.engine)
    if finish:
        change.resume(engine, journal, cli_print.note)
    else:
        change.rollback(engine, journal, cli_print.note)
