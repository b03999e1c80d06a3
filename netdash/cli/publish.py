"""The commands that change the host, or tell what netdash changed. Each shows a plan, asks, does it, proves it."""

from __future__ import annotations

import secrets
from dataclasses import asdict

from netdash.apply import change, forward, publication, state_directory
from netdash.apply.preflight import survey
from netdash.cli import confirm, printing, recover
from netdash.cli.arguments import Arguments
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Container
from netdash.publish.connect_test import Outcome
from netdash.publish.plan import plan
from netdash.publish.plan_others import configured, fresh_name, plan_new, plan_without
from netdash.publish.request import Mode, Request, Spec, parse_spec
from netdash.publish.state import Forward
from netdash.view import json_changes as as_json
from netdash.view.json_host import SCHEMA
from netdash.view.text import clean, safe


def run(arguments: Arguments) -> int:
    """One of parser_changes.NAMES."""
    command = str(arguments.command)
    confirm.local(arguments)
    if command == "published":
        return published(arguments)
    confirm.allowed(arguments)
    commands = {
        "publish": publish,
        "unpublish": unpublish,
        "run": start,
        "undo": recover.undo,
        "recover": recover.recover,
    }
    return commands[command](arguments)


# --- publish ----------------------------------------------------------------------------------------------------------


def publish(arguments: Arguments) -> int:
    spec = parse_spec(arguments.port, arguments.protocol, arguments.bind)
    mode = Mode(arguments.mode)
    if mode is Mode.RECREATE and arguments.seconds is not None:
        raise NetdashError("--for ends a forward: a container that is made anew keeps its port", "", Exit.USAGE)
    publication.untouched(arguments.container)
    host = confirm.read(arguments)
    container = confirm.found(host, arguments.container)
    request = _request(arguments, container, spec, mode)
    address = confirm.engine(arguments)
    facts = survey(address, host, request.container_id, mode is Mode.RECREATE)
    made = plan(request, host, facts)
    if not confirm.agreed(arguments, made):
        return Exit.REFUSED if made.refusals else Exit.FINE
    return confirm.result(arguments, made, publication.publish(made, request, address, facts, printing.note))


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
    mine = [one for one in forward.listed() if _is(one, arguments.container) and _shares(one, spec, numbers)]
    if mine and arguments.mode != Mode.RECREATE.value:
        return _end_forwards(arguments, mine, numbers)
    return _without(arguments, spec)


def _is(one: Forward, wanted: str) -> bool:
    wanted = wanted.removeprefix("/")
    return one.container == wanted or (len(wanted) >= 4 and one.container_id.startswith(wanted.lower()))


def _shares(one: Forward, spec: Spec, numbers: set[int]) -> bool:
    return any(port.proto == spec.proto and port.host_port in numbers for port in one.ports)


def _end_forwards(arguments: Arguments, mine: list[Forward], numbers: set[int]) -> int:
    for one in mine:
        whole = {port.host_port for port in one.ports}
        if not whole <= numbers:
            span = f"{min(whole)}-{max(whole)}"
            raise NetdashError(f"it was published as {span}", f"netdash unpublish {one.container} {span}", Exit.REFUSED)
    said = [line for one in mine for line in publication.course(one).steps]
    if not confirm.confirmed(arguments, said, as_json.forwards(mine, forward.state)):
        return Exit.FINE
    with state_directory.one_at_a_time():
        for one in mine:
            forward.end_one(one)
    if arguments.json:
        confirm.write_json({"schema": SCHEMA, "done": True, "ended": [one.id for one in mine]})
    else:
        printing.write([safe("done")])
    return Exit.FINE


def _without(arguments: Arguments, spec: Spec) -> int:
    """A port that the engine publishes goes only with its container: that is made anew."""
    host = confirm.read(arguments)
    container = confirm.found(host, arguments.container)
    ports = configured(container, spec)
    if not ports:
        raise NetdashError(f"{container.name} publishes no port {arguments.port}", "see: netdash ports", Exit.REFUSED)
    if arguments.mode != Mode.RECREATE.value:
        raise NetdashError(
            f"the engine publishes port {arguments.port} of {container.name}: it goes only with a restart",
            "--mode recreate makes the container anew without it",
            Exit.REFUSED,
        )
    request = _request(arguments, container, spec, Mode.RECREATE)
    address = confirm.engine(arguments)
    made = plan_without(request, survey(address, host, container.id, details=True), container)
    if not confirm.agreed(arguments, made):
        return Exit.REFUSED if made.refusals else Exit.FINE
    with state_directory.one_at_a_time():
        publication.tidy(printing.note)
        publication.untouched(container.name)
        outage = change.recreate(made, request, address, ports, printing.note).outage
    return confirm.result(arguments, made, Outcome(outage=outage))


# --- run --------------------------------------------------------------------------------------------------------------


def start(arguments: Arguments) -> int:
    specs = tuple(parse_spec(one) for one in arguments.publish)
    host = confirm.read(arguments)
    address = confirm.engine(arguments)
    name = arguments.name or fresh_name(arguments.image, secrets.token_hex(2))
    facts = survey(address, host, None, details=False, image=arguments.image)
    made = plan_new(arguments.image, name, specs, host, facts)
    if not confirm.agreed(arguments, made):
        return Exit.REFUSED if made.refusals else Exit.FINE
    outcome = publication.start(made, arguments.image, address, facts, printing.note, printing.progress)
    return confirm.result(arguments, made, outcome)


# --- published --------------------------------------------------------------------------------------------------------


def published(arguments: Arguments) -> int:
    """What netdash published and can take back, as its records and processes are; changes nothing."""
    pending = publication.pending()
    found, journals = pending.forwards, pending.journals
    ends = Exit.REFUSED if pending.unreadable else Exit.FINE
    if arguments.json:
        document = as_json.forwards(found, forward.state)
        unreadable = [asdict(one) for one in pending.unreadable]
        confirm.write_json(
            {**document, "changes": [as_json.journal(journal) for journal in journals], "unreadable": unreadable}
        )
        return ends
    printing.write(clean(as_json.sentence(one, forward.state(one))) for one in found)
    printing.write(clean(as_json.journal_sentence(journal)) for journal in journals)
    for one in pending.unreadable:
        printing.note(f"{one.sentence} (netdash recover)")
    if not (found or journals or pending.unreadable):
        printing.note("nothing is published by netdash, for this user")
    return ends
