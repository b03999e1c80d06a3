"""The commands that change the host, or tell what netdash changed. Each shows a plan, asks, does it, proves it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from netdash import cli_print
from netdash.apply import forward, places
from netdash.apply.proof import prove
from netdash.apply.survey import survey
from netdash.arguments import Arguments
from netdash.core.errors import Exit, NetdashError
from netdash.core.model import Container, Host
from netdash.core.publish.plan import Plan, plan
from netdash.core.publish.proof import Proof
from netdash.core.publish.request import Mode, Request, Spec, parse_spec
from netdash.core.publish.text import lines
from netdash.core.state import Forward
from netdash.show import as_json_changes as as_json
from netdash.show.as_json import SCHEMA, dumps
from netdash.show.spans import clean

_SOURCES = frozenset({"docker", "links", "routes", "rules", "proxies", "listeners", "sysctls"})
_PROOF = 5.0  # seconds for a port to answer


def run(arguments: Arguments) -> int:
    """One of cli_parser_changes.NAMES."""
    if arguments.command == "published":
        return published(arguments)
    _allowed(arguments)
    commands = {"publish": publish, "unpublish": unpublish}
    return commands[str(arguments.command)](arguments)


def _allowed(arguments: Arguments) -> None:
    """Raises NetdashError where nothing is to be changed: a recording, another host, read-only."""
    if arguments.bundle is not None:
        raise NetdashError("a recording cannot be changed", code=Exit.USAGE)
    if getattr(arguments, "hosts", ()):
        raise NetdashError("only this host can be changed", "run netdash on that one", Exit.USAGE)
    from netdash.tui.config import load_config

    if arguments.read_only or load_config(arguments.config).read_only:
        raise NetdashError("read-only: nothing is changed", "--read-only or read_only in the config", Exit.REFUSED)


# --- publish ----------------------------------------------------------------------------------------------------------


def publish(arguments: Arguments) -> int:
    spec = parse_spec(arguments.port, arguments.proto, arguments.bind)
    mode = Mode(arguments.mode)
    if mode is Mode.RECREATE and arguments.seconds is not None:
        raise NetdashError("--for ends a forward: a container that is made anew keeps its port", "", Exit.USAGE)
    host = _host(arguments)
    request = Request(
        container_id=_found(host, arguments.container).id,
        spec=spec,
        mode=mode,
        seconds=arguments.seconds,
        discard=arguments.discard,
        grace=arguments.grace,
        force=arguments.force,
    )
    address = _engine(arguments)
    facts = survey(address, host, request.container_id, mode is Mode.RECREATE)
    made = plan(request, host, facts)
    if not _agreed(arguments, made):
        return Exit.REFUSED if made.refusals else Exit.FINE
    with _changing():
        return _forward(arguments, made, address, facts.program or "")


def _forward(arguments: Arguments, made: Plan, address: str, program: str) -> int:
    record = forward.begin(made, address, program)
    proofs = prove(made.ports, _PROOF if made.answers else 0.0)
    if made.answers and any(one.works is False for one in proofs):
        forward.end_one(record)
        failed = next(one for one in proofs if one.works is False)
        raise NetdashError(f"taken back: {failed.sentence}", code=Exit.REFUSED)
    return _tell(arguments, made, proofs, f"undo: {made.undo[0]}")


# --- unpublish --------------------------------------------------------------------------------------------------------


def unpublish(arguments: Arguments) -> int:
    spec = parse_spec(arguments.port, arguments.proto)
    if any(one.host_port is not None for one in spec.ports):
        raise NetdashError(f"{arguments.port!r} is not the host's port", "as 8080 or 8000-8002", Exit.USAGE)
    numbers = {one.container_port for one in spec.ports}
    mine = [one for one in forward.listed() if _is(one, arguments.container) and _shares(one, spec, numbers)]
    if mine and arguments.mode != Mode.RECREATE.value:
        return _end_forwards(arguments, mine, numbers)
    raise NetdashError(
        f"netdash forwards no port {arguments.port} of {arguments.container}", "see: netdash published", Exit.REFUSED
    )


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
    said = [f"end the forward of {as_json.ports_text(one)} to {one.container}" for one in mine]
    if not _confirmed(arguments, said, as_json.forwards(mine, places.alive)):
        return Exit.FINE
    with _changing():
        for one in mine:
            forward.end_one(one)
    if arguments.json:
        _json({"schema": SCHEMA, "done": True, "ended": [one.id for one in mine]})
    else:
        cli_print.write(["done"])
    return Exit.FINE


# --- published --------------------------------------------------------------------------------------------------------


def published(arguments: Arguments) -> int:
    """What netdash published, as its records and processes are; changes nothing."""
    found = forward.listed()
    if arguments.json:
        _json(as_json.forwards(found, places.alive))
        return Exit.FINE
    lost = {one.id for one in forward.lost(found)}
    cli_print.write(clean(as_json.sentence(one, one.id in lost)) for one in found)
    if not found:
        cli_print.note("netdash has published nothing")
    return Exit.FINE


# --- asking and telling -----------------------------------------------------------------------------------------------


def _host(arguments: Arguments) -> Host:
    from netdash.core.join import Builder
    from netdash.read.once import Options, read_once

    return Builder().build(read_once(Options(sources=_SOURCES, docker_host=arguments.docker_host)))


def _found(host: Host, wanted: str) -> Container:
    from netdash.cli_commands import find

    return find(host, wanted)


def _engine(arguments: Arguments) -> str:
    """Address of the engine that was read."""
    from contextlib import closing

    from netdash.read.engine_api import EngineApi

    with closing(EngineApi(arguments.docker_host, 3.0)) as api:
        return api.address


def _changing() -> Any:
    return places.one_at_a_time()


def _agreed(arguments: Arguments, made: Plan) -> bool:
    """Whether to go on: the plan is shown, and its owner asked where that is to be done."""
    told = lines(made)
    if made.refusals:
        if arguments.json:
            _json(as_json.plan(made))
            return False
        for line in told:
            cli_print.note(line)
        return False
    return _confirmed(arguments, told, as_json.plan(made))


def _confirmed(arguments: Arguments, told: Iterable[str], document: Mapping[str, object]) -> bool:
    if arguments.dry_run:
        if arguments.json:
            _json(document)
        else:
            cli_print.write(map(clean, told))
        return False
    if arguments.yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NetdashError("nothing was changed: nobody is here to agree", "--yes, or --dry-run", Exit.REFUSED)
    sys.stderr.writelines(f"{clean(line)}\n" for line in told)
    sys.stderr.write("Do it? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NetdashError("nothing was changed", code=Exit.REFUSED)
    return True


def _tell(arguments: Arguments, made: Plan, proofs: tuple[Proof, ...], undo: str) -> int:
    if arguments.json:
        _json({**as_json.plan(made), "done": True, "proof": [as_json.proof(one) for one in proofs]})
        return Exit.FINE
    cli_print.write(clean(line) for line in (made.title, *(one.sentence for one in proofs), *made.warnings, undo))
    return Exit.FINE


def _json(document: Mapping[str, object]) -> None:
    cli_print.write([dumps(document)])
