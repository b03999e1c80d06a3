"""Commands of docker and podman that change which packets pass -> changes; and the restart of the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from netdash.change.model import (
    AttachmentChange,
    CannotModel,
    Change,
    ContainerChange,
    ContainerEdit,
    ContainerRun,
    EngineRestart,
)
from netdash.model.addresses import parse_spec
from netdash.model.engine_state import Binding
from netdash.model.host import Host, Network
from netdash.model.index import find_container

ENGINES = ("docker", "podman")
_SERVICES = ("docker", "docker.service", "podman", "podman.service")

_EDITS = {
    "stop": ContainerEdit.STOP,
    "kill": ContainerEdit.STOP,
    "start": ContainerEdit.START,
    "restart": ContainerEdit.RESTART,
    "pause": ContainerEdit.PAUSE,
    "unpause": ContainerEdit.UNPAUSE,
    "rm": ContainerEdit.REMOVE,
}


def read(host: Host, words: list[str], container: str | None) -> tuple[Change, ...]:
    args = words[1:]
    if container is not None:
        raise CannotModel("an engine within a container is not read")
    if args[:1] == ["container"]:
        args = args[1:]
    if not args:
        raise CannotModel(f"{words[0]}: a command is missing")
    if args[0] in _EDITS:
        names = list(_names(args[1:], ("-t", "--time", "--timeout", "-s", "--signal")))
        if not names:
            raise CannotModel(f"docker {args[0]}: a container is missing")
        _refused(host, args, names)
        return tuple(ContainerChange(find_container(host, name).id, _EDITS[args[0]]) for name in names)
    if args[0] == "network" and args[1:2] and args[1] in ("connect", "disconnect"):
        return (_attachment(host, args[1] == "connect", args[2:]),)
    if args[0] == "run":
        return (_run(host, args[1:]),)
    raise CannotModel(
        f"docker {' '.join(args[:2])}: not understood",
        f"these are: run, {', '.join(_EDITS)}, network connect, network disconnect",
    )


_ENDING = ("KILL", "TERM", "9", "15")


def _refused(host: Host, args: list[str], names: list[str]) -> None:
    """A container that runs is removed by force only; what it does with most signals is its own."""
    signal = next(_values(args, "--signal", "-s"), "KILL")
    if args[0] == "kill" and signal.upper().removeprefix("SIG") not in _ENDING:
        raise CannotModel(f"docker kill: what a container does with {signal} is not known")
    forced = any(arg.startswith("--force") or re.fullmatch("-[a-z]*f[a-z]*", arg) for arg in args)
    running = next((name for name in names if find_container(host, name).running), None)
    if args[0] == "rm" and running is not None and not forced:
        raise CannotModel(f"docker rm {running}: it runs", "the engine removes it with -f only")


def _values(args: list[str], long: str, short: str) -> Iterator[str]:
    for at, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if name in (long, short):
            yield value if equals else "".join(args[at + 1 : at + 2])


def read_service(_host: Host, words: list[str], _container: str | None) -> tuple[Change, ...]:
    args = [word for word in words[1:] if not word.startswith("-")]
    if set(args) == {"restart", next(iter({*args} & {*_SERVICES}), "")} and len(args) == 2:
        return (EngineRestart(),)
    raise CannotModel(f"{' '.join(words)}: of services only the engine's restart is understood")


def _names(args: list[str], valued: tuple[str, ...]) -> Iterator[str]:
    """The words that are no options; `valued` take a word of their own."""
    skip = False
    for arg in args:
        if skip:
            skip = False
        elif arg in valued:
            skip = True
        elif not arg.startswith("-"):
            yield arg


def _network(host: Host, word: str) -> Network:
    found = [network for network in host.networks or () if word in (network.name, network.id)]
    found = found or [network for network in host.networks or () if len(word) >= 3 and network.id.startswith(word)]
    if len(found) != 1:
        raise CannotModel(f"there is no network {word!r}", "see: netdash networks")
    return found[0]


def _attachment(host: Host, connect: bool, args: list[str]) -> AttachmentChange:
    chosen = [arg for arg in args if arg.startswith(("--ip", "--gw-priority", "--link", "--driver-opt"))]
    names = list(_names(args, ("--alias",)))
    if chosen or len(names) != 2:
        raise CannotModel(f"docker network: {f'{chosen[0]} is not modelled' if chosen else 'NETWORK CONTAINER'}")
    return AttachmentChange(_network(host, names[0]).id, find_container(host, names[1]).id, connect)


# --- docker run -------------------------------------------------------------------------------------------------------

_ALONE = ("-d", "--detach", "-i", "-t", "-it", "-ti", "-di", "-dit", "-itd", "-td", "--rm", "--init", "--read-only")
_NAMED = ("--name", "--network", "--net", "-p", "--publish")
_WITHOUT_EFFECT = (
    *("-e", "--env", "--env-file", "-v", "--volume", "--mount", "--restart", "-w", "--workdir", "-u", "--user", "-l"),
    *("--label", "-m", "--memory", "--cpus", "--entrypoint", "-h", "--hostname", "--pull", "--platform", "--log-opt"),
    *("--log-driver", "--health-cmd", "--tmpfs", "--shm-size", "--ulimit", "--network-alias", "--dns", "--add-host"),
)


def _run(host: Host, args: list[str]) -> ContainerRun:
    said: dict[str, list[str]] = {}
    at = 0
    while at < len(args) and args[at].startswith("-"):
        name, equals, value = args[at].partition("=")
        if name[:2] == "-p" and not name.startswith("--") and len(name) > 2:
            name, equals, value = "-p", "=", args[at][2:]
        at += 1
        if name in _ALONE:
            continue
        if name not in _NAMED and name not in _WITHOUT_EFFECT:
            raise CannotModel(f"docker run {name}: not understood")
        if not equals:
            value, at = (args[at] if at < len(args) else ""), at + 1
        said.setdefault(_LONG.get(name, name), []).append(value)
    if at >= len(args):
        raise CannotModel("docker run: an image is missing")
    network = _network(host, said.get("--network", ["bridge"])[-1])
    bindings = tuple(binding for value in said.get("--publish", ()) for binding in _bindings(value))
    return ContainerRun(said.get("--name", ["new"])[-1], args[at], network.id, bindings)


_LONG: Mapping[str, str] = {"-p": "--publish", "--net": "--network"}


def _bindings(text: str) -> Iterator[Binding]:
    spec = parse_spec(text, most=_MOST)
    for port in spec.ports:
        if port.host_port is None:
            raise CannotModel(f"docker run -p {text}: a host port is missing: which one the engine takes is not known")
        yield Binding(spec.proto, port.container_port, spec.bind, port.host_port)


_MOST = 65535
