"""Completion in shells, by argcomplete: a shell runs netdash with _ARGCOMPLETE set, and netdash answers with the words
that may follow. Names of containers and networks are asked of this host's engine, which has a second for it."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import argcomplete
from argcomplete.finders import safe_actions
from argcomplete.shell_integration import shellcode

from netdash.cli.arguments import Arguments
from netdash.cli.options import Collected, Once, Parser
from netdash.cli.parser import command_line
from netdash.model.errors import NetdashError
from netdash.view.text import clean

if TYPE_CHECKING:
    from netdash.model.host import Host

_PATIENCE = 1.0  # seconds
_FIXED = {"sender": ("host", "outside"), "receiver": (), "container": (), "network": ()}


def script(shell: str) -> str:
    """What `eval "$(netdash completion bash)"` runs; zsh alike, fish by `netdash completion fish | source`."""
    return shellcode(["netdash"], shell=shell)


def answer() -> None:
    """Prints the words that may follow, and ends the process."""
    safe_actions.update({Once, Collected})  # those that only store
    parser = command_line(os.environ.get("COMP_LINE", "").split())
    for command in (parser, *parser.commands().values()):
        _complete(command)
    argcomplete.autocomplete(parser, always_complete_options=False)


def _complete(command: Parser) -> None:
    for action in command.arguments():
        if action.dest in _FIXED:
            action.completer = _names(action.dest)  # type: ignore[attr-defined]
        elif action.dest == "hosts":
            action.completer = _hosts  # type: ignore[attr-defined]
        elif action.dest == "columns":
            action.completer = _columns  # type: ignore[attr-defined]


def _names(of: str) -> Callable[..., Sequence[str]]:
    def completer(parsed_args: argparse.Namespace, **_: object) -> Sequence[str]:
        if set(getattr(parsed_args, "hosts", None) or ()) - {"local", "."}:
            return _FIXED[of]  # another host has other names
        host = _listed(parsed_args) if of != "network" else None
        host = host or _host(parsed_args)
        things = host.networks if of == "network" else host.containers
        return [*_FIXED[of], *(clean(thing.name) for thing in things or ())]

    return completer


def _hosts(**_: object) -> Sequence[str]:
    from netdash.tui.config import load_config

    with contextlib.suppress(NetdashError):
        return ["local", *load_config().hosts]
    return ["local"]


def _columns(prefix: str, parsed_args: argparse.Namespace, **_: object) -> Sequence[str]:
    """The last of the keys, between commas."""
    from netdash.view.views import BY_NAME

    before = prefix[: prefix.rfind(",") + 1]
    return [f"{before}{column.key}" for column in BY_NAME[parsed_args.view].columns]


def _listed(parsed: argparse.Namespace) -> Host | None:
    """With the containers alone, as they come before the first frame: without what reads all else."""
    if getattr(parsed, "bundle", None) is not None:
        return None
    from netdash.engine.first_answer import FirstAnswers
    from netdash.join.host import Builder

    first = FirstAnswers(getattr(parsed, "docker_host", None), _PATIENCE).take()
    return Builder().build(first.recording()) if first is not None else None


def _host(parsed: argparse.Namespace) -> Host:
    from netdash.cli.lists import host_of
    from netdash.model.source import Source

    asked = Arguments()
    asked.timeout = _PATIENCE
    asked.docker_host = getattr(parsed, "docker_host", None)
    asked.bundle = getattr(parsed, "bundle", None)
    return host_of(asked, frozenset({Source.DOCKER}))
