"""Before a change: is it allowed, what is pending, the plan shown, its owner asked. After it: what became of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from netdash.cli import printing
from netdash.cli.arguments import Arguments
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Container, Host
from netdash.publish.connect_test import Outcome
from netdash.publish.plan import Plan
from netdash.publish.plan_text import lines
from netdash.view import json_changes as as_json
from netdash.view.json_host import dumps
from netdash.view.text import clean

_SOURCES = frozenset({"docker", "links", "routes", "rules", "proxies", "listeners", "sysctls"})


def local(arguments: Arguments) -> None:
    """Raises NetdashError for a recording and for another host: what netdash changed is kept on its own host."""
    if arguments.bundle is not None:
        raise NetdashError("a recording cannot be changed", code=Exit.USAGE)
    if any(host not in ("local", ".") for host in arguments.hosts):
        raise NetdashError("only this host can be changed", "run netdash on that one", Exit.USAGE)


def allowed(arguments: Arguments) -> None:
    """Raises NetdashError where nothing is to be changed."""
    from netdash.tui.config import load_config

    if arguments.read_only or load_config(arguments.config).read_only:
        raise NetdashError("read-only: nothing is changed", "--read-only or read_only in the config", Exit.REFUSED)


def read(arguments: Arguments) -> Host:
    from netdash.collect.once import read_once
    from netdash.join.host import Builder

    return Builder().build(read_once(arguments.options(_SOURCES)))


def found(host: Host, wanted: str) -> Container:
    from netdash.cli.lists import find

    return find(host, wanted)


def engine(arguments: Arguments) -> str:
    """Address of the engine that was read."""
    from netdash.engine.context import locate

    return locate(arguments.docker_host).address


def agreed(arguments: Arguments, made: Plan) -> bool:
    """Whether to go on with a plan: it is shown, and its owner asked where that is to be done."""
    told = lines(made)
    if not made.refusals:
        return confirmed(arguments, told, as_json.plan(made))
    if arguments.json:
        write_json(as_json.plan(made))
    else:
        for line in told:
            printing.note(line)
    return False


def confirmed(arguments: Arguments, told: Iterable[str], document: Mapping[str, object]) -> bool:
    """Raises NetdashError(REFUSED) where nobody agrees; False for a dry run, which is printed."""
    if arguments.dry_run:
        if arguments.json:
            write_json(document)
        else:
            printing.write(map(clean, told))
        return False
    if arguments.yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NetdashError("nothing was changed: nobody is here to agree", "--yes, or --dry-run", Exit.REFUSED)
    if printing.ask(told, "Do it? [y/N]") not in ("y", "yes"):
        raise NetdashError("nothing was changed", code=Exit.REFUSED)
    return True


def result(arguments: Arguments, made: Plan, outcome: Outcome) -> int:
    """What was done, how long it took, what the port answers, how to take it back."""
    if arguments.json:
        write_json({**as_json.plan(made), "done": True, **as_json.outcome(outcome)})
        return Exit.FINE
    down = outcome.downtime(made.downtime)
    said = [made.title, *([down] if down else []), *(proof.sentence for proof in outcome.proofs), *made.warnings]
    printing.write(map(clean, [*said, *(f"undo: {one}" for one in made.undo)]))
    return Exit.FINE


def write_json(document: Mapping[str, object]) -> None:
    printing.document(dumps(document))
