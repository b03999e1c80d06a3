"""The commands that change the host, or tell what netdash changed. Each shows a plan, asks, does it, proves it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from netdash.apply import change, forward, publication, state_directory
from netdash.apply.preflight import preflight
from netdash.cli import printing
from netdash.cli.arguments import Arguments
from netdash.cli.lists import ALL_WAYS
from netdash.model.addresses import Spec, parse_spec
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Container, Host
from netdash.model.index import begins_id
from netdash.model.records import replace
from netdash.publish.journal import Forward, Outcome
from netdash.publish.plan import Plan, configured, plan, plan_without
from netdash.publish.plan_new import fresh_name, plan_new
from netdash.publish.request import Mode, Request
from netdash.publish.statement import Statement
from netdash.publish.undo import Choice, Damaged
from netdash.view import changes as as_json
from netdash.view.changes import measured_downtime, plain
from netdash.view.json_host import SCHEMA, dumps
from netdash.view.statements import text
from netdash.view.text import clean, safe


def run(arguments: Arguments) -> int:
    """One of parser.CHANGES."""
    command = str(arguments.command)
    local(arguments)
    if command == "published":
        return published(arguments)
    allowed(arguments)
    commands = {
        "publish": publish,
        "unpublish": unpublish,
        "run": start,
        "undo": undo,
        "recover": recover,
    }
    return commands[command](arguments)


# --- publish ----------------------------------------------------------------------------------------------------------


def report(statement: Statement) -> None:
    """What a running change says: on stderr."""
    printing.note(text(statement))


def publish(arguments: Arguments) -> int:
    spec = parse_spec(arguments.port, arguments.protocol, arguments.bind)
    mode = Mode(arguments.mode)
    if mode is Mode.RECREATE and arguments.seconds is not None:
        raise NetdashError("--for ends a forward: a container that is made anew keeps its port", "", Exit.USAGE)
    publication.untouched(arguments.container)
    host = read(arguments)
    container = found(host, arguments.container)
    request = _request(arguments, container, spec, mode)
    address = engine(arguments)
    facts = preflight(address, host, request.container_id, mode is Mode.RECREATE)
    made = plan(request, host, facts)
    if not agreed(arguments, made):
        return Exit.REFUSED if made.refusals else Exit.FINE
    return result(arguments, made, publication.publish(made, request, address, facts, report))


def _request(arguments: Arguments, container: Container, spec: Spec, mode: Mode) -> Request:
    return Request(
        container_id=container.id,
        spec=spec,
        mode=mode,
        seconds=arguments.seconds,
        discard=arguments.discard,
        grace=arguments.grace,
        force=arguments.force,
    )


# --- unpublish --------------------------------------------------------------------------------------------------------


def unpublish(arguments: Arguments) -> int:
    spec = parse_spec(arguments.port, arguments.protocol)
    if any(port.host_port is not None for port in spec.ports):
        raise NetdashError(f"{arguments.port!r} is not the host's port", "as 8080 or 8000-8002", Exit.USAGE)
    publication.untouched(arguments.container)
    numbers = {port.container_port for port in spec.ports}
    of_container = [other for other in publication.forwards_now() if _is(other, arguments.container)]
    mine = [other for other in of_container if _shares(other, spec, numbers)]
    if mine and arguments.mode != Mode.RECREATE.value:
        return _end_forwards(arguments, mine, numbers)
    other = replace(spec, proto="udp" if spec.proto == "tcp" else "tcp")
    return _without(arguments, spec, other, any(_shares(value, other, numbers) for value in of_container))


def _is(running: Forward, wanted: str) -> bool:
    wanted = wanted.removeprefix("/")
    return running.container == wanted or begins_id(running.container_id, wanted)


def _shares(running: Forward, spec: Spec, numbers: set[int]) -> bool:
    return any(port.proto == spec.proto and port.host_port in numbers for port in running.ports)


def _end_forwards(arguments: Arguments, mine: list[Forward], numbers: set[int]) -> int:
    for other in mine:
        whole = {port.host_port for port in other.ports}
        if not whole <= numbers:
            span = f"{min(whole)}-{max(whole)}"
            raise NetdashError(
                f"it was published as {span}", f"netdash unpublish {other.container} {span}", Exit.REFUSED
            )
    said = [line for other in mine for line in publication.course(other).steps]
    if not confirmed(arguments, said, as_json.forwards(mine, forward.state)):
        return Exit.FINE
    with state_directory.one_at_a_time():
        for other in mine:
            forward.end_one(other)
    if arguments.json:
        write_json({"schema": SCHEMA, "done": True, "ended": [other.id for other in mine]})
    else:
        printing.write([safe("done")])
    return Exit.FINE


def _without(arguments: Arguments, spec: Spec, other: Spec, forwarded: bool) -> int:
    """A port that the engine publishes goes only with its container: that is made anew. `other`: the same port of the
    other protocol; whether that is forwarded."""
    host = read(arguments)
    container = found(host, arguments.container)
    ports = configured(container, spec)
    if not ports:
        number = arguments.port.partition("/")[0]
        there = forwarded or configured(container, other)
        hint = f"netdash unpublish {container.name} {number}/{other.proto}" if there else "see: netdash ports"
        has = f"; it publishes {number}/{other.proto}" if there else ""
        raise NetdashError(f"{container.name} publishes no port {number}/{spec.proto}{has}", hint, Exit.REFUSED)
    if arguments.mode != Mode.RECREATE.value:
        raise NetdashError(
            f"the engine publishes port {arguments.port} of {container.name}: it goes only with a restart",
            "--mode recreate makes the container anew without it",
            Exit.REFUSED,
        )
    request = _request(arguments, container, spec, Mode.RECREATE)
    address = engine(arguments)
    made = plan_without(request, preflight(address, host, container.id, details=True), container)
    if not agreed(arguments, made):
        return Exit.REFUSED if made.refusals else Exit.FINE
    with state_directory.one_at_a_time():
        publication.tidy(report)
        publication.untouched(container.name)
        outage = change.recreate(made, request, address, ports, report).outage
    return result(arguments, made, Outcome(outage=outage))


# --- run --------------------------------------------------------------------------------------------------------------


def start(arguments: Arguments) -> int:
    specs = tuple(parse_spec(word) for word in arguments.publish)
    host = read(arguments)
    address = engine(arguments)
    name = arguments.name or fresh_name(arguments.image, secrets.token_hex(2))
    facts = preflight(address, host, None, details=False, image=arguments.image)
    made = plan_new(arguments.image, name, specs, host, facts)
    if not agreed(arguments, made):
        return Exit.REFUSED if made.refusals else Exit.FINE
    outcome = publication.start(made, arguments.image, address, facts, report, printing.progress)
    return result(arguments, made, outcome)


# --- published --------------------------------------------------------------------------------------------------------


def published(arguments: Arguments) -> int:
    """What netdash published and can take back, as its records and processes are; changes nothing."""
    pending = publication.pending()
    found, journals = pending.forwards, pending.journals
    ends = Exit.REFUSED if pending.unreadable else Exit.FINE
    if arguments.json:
        document = as_json.forwards(found, forward.state)
        unreadable = [asdict(unreadable) for unreadable in pending.unreadable]
        write_json(
            {**document, "changes": [as_json.journal(journal) for journal in journals], "unreadable": unreadable}
        )
        return ends
    printing.write(clean(as_json.sentence(other, forward.state(other))) for other in found)
    printing.write(clean(as_json.journal_sentence(journal)) for journal in journals)
    for other in pending.unreadable:
        printing.note(f"{other.sentence} (netdash recover)")
    if not (found or journals or pending.unreadable):
        printing.note("nothing is published by netdash, for this user")
    return ends


def local(arguments: Arguments) -> None:
    """Raises NetdashError for a recording and for another host: what netdash changed is kept on its own host."""
    if arguments.bundle is not None:
        what = "has no records of netdash's own changes" if arguments.command == "published" else "cannot be changed"
        raise NetdashError(f"a recording {what}", f"without --from: netdash {arguments.command}", Exit.USAGE)
    if any(host not in ("local", ".") for host in arguments.hosts):
        raise NetdashError("only this host can be changed", "run netdash on that one", Exit.USAGE)


def allowed(arguments: Arguments) -> None:
    """Raises NetdashError where nothing is to be changed."""
    from netdash.tui.config import load_config

    if arguments.read_only or load_config(arguments.config).read_only:
        raise NetdashError("read-only: nothing is changed", "--read-only or read_only in the config", Exit.REFUSED)


def read(arguments: Arguments) -> Host:
    from netdash.cli.own_records import with_own_records
    from netdash.collect.once import read_once
    from netdash.join.host import Builder

    return Builder().build(with_own_records(read_once(arguments.options(ALL_WAYS))))


def found(host: Host, wanted: str) -> Container:
    from netdash.model.index import find_container

    return find_container(host, wanted)


def engine(arguments: Arguments) -> str:
    """Address of the engine that was read."""
    from netdash.engine.context import locate

    return locate(arguments.docker_host).address


def agreed(arguments: Arguments, made: Plan) -> bool:
    """Whether to go on with a plan: it is shown, and its owner asked where that is to be done."""
    lines = plain(made)
    if not made.refusals:
        return confirmed(arguments, lines, as_json.plan(made))
    if arguments.json:
        write_json(as_json.plan(made))
    else:
        for line in lines:
            printing.problem(line)
    return False


def confirmed(arguments: Arguments, lines: Iterable[str], document: Mapping[str, object]) -> bool:
    """Raises NetdashError(REFUSED) where nobody agrees; False for a dry run, which is printed."""
    if arguments.dry_run:
        if arguments.json:
            write_json(document)
        else:
            printing.write(map(clean, lines))
        return False
    if arguments.yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NetdashError("nothing was changed: nobody is here to agree", "--yes, or --dry-run", Exit.REFUSED)
    if printing.ask(lines, "Do it? [y/N]") not in ("y", "yes"):
        raise NetdashError("nothing was changed", code=Exit.REFUSED)
    return True


def result(arguments: Arguments, made: Plan, outcome: Outcome) -> int:
    """What was done, how long it took, what the port answers, how to take it back."""
    if arguments.json:
        write_json({**as_json.plan(made), "done": True, **as_json.outcome(outcome)})
        return Exit.FINE
    down = measured_downtime(made, outcome)
    proofs = (proof.sentence for proof in outcome.proofs)
    said = [text(made.title), *([down] if down else []), *proofs, *map(text, made.warnings)]
    printing.write(map(clean, [*said, *(f"undo: {text(undo)}" for undo in made.undo)]))
    return Exit.FINE


def write_json(document: Mapping[str, object]) -> None:
    printing.document(dumps(document))


def undo(arguments: Arguments) -> int:
    """Take back the latest of the forwards, and of the containers whose grace time is not over."""
    found = publication.pending()
    publication.readable(found)
    last = found.last
    if last is None:
        printing.note("there is nothing to take back")
        if arguments.json:
            write_json({"schema": SCHEMA, "steps": [], "done": False})
        return Exit.FINE
    course = publication.course(last)
    if course.refusal:
        raise NetdashError(f"nothing was changed: {course.refusal}", "netdash published", Exit.REFUSED)
    said = course.steps
    if not confirmed(arguments, said, {"schema": SCHEMA, "steps": said, "done": False}):
        return Exit.FINE
    outage = publication.take_back(last, report)
    return _done(arguments, said, as_json.outage(outage))


def _done(arguments: Arguments, said: Sequence[str], more: Mapping[str, object] | None = None) -> int:
    if arguments.json:
        write_json({"schema": SCHEMA, "steps": said, "done": True, **(more or {})})
    else:
        printing.write(map(clean, [*said, "done"]))
    return Exit.FINE


def recover(arguments: Arguments) -> int:
    """Without a way to go: what is pending; exit 1 when anything is, 4 where a record cannot be read."""
    if arguments.forget:
        publication.forget(arguments.forget, report)
        return _done(arguments, [f"the record {arguments.forget} is forgotten; nothing else was changed"])
    if not (arguments.finish or arguments.rollback):
        return _pending(arguments)
    said = as_json.interrupted(publication.pending())
    outages, failed = publication.recover_all(Choice.FINISH if arguments.finish else Choice.ROLLBACK, report)
    if failed:
        raise NetdashError("; ".join(failed), "netdash recover tells what is there now", Exit.REFUSED)
    longest = max(outages, key=lambda outage: outage.seconds, default=None)
    return _done(arguments, said, as_json.outage(longest))


def _pending(arguments: Arguments) -> int:
    found = publication.recoveries(engine(arguments))
    if arguments.json:
        records = [as_json.recovery(value) for value in found]
        write_json({"schema": SCHEMA, "pending": [as_json.title(value) for value in found], "records": records})
    else:
        for value in found:
            printing.write(map(clean, as_json.recovery_lines(value)))
        printing.note(
            "netdash recover --finish, or --rollback; --forget ID ends a record" if found else "nothing was interrupted"
        )
    if any(isinstance(value, Damaged) for value in found):
        return Exit.REFUSED
    return Exit.FINDINGS if found else Exit.FINE
