"""Arguments, exit codes and who is called: the only module that knows everybody. Imports each room when it is used."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from netdash import __version__
from netdash.core.errors import Exit, NetdashError

if TYPE_CHECKING:
    from netdash.feed import LiveFeed, StillFeed

_NO_TERMINAL = NetdashError("the dashboard needs a terminal", "try: netdash containers", Exit.USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (core.errors.Exit). Never raises for what a user did."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a locale without arrows shows "?" instead of failing
    try:
        code = _run(_parse(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except NetdashError as error:
        return _tell(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
        return Exit.FINE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return code


def _tell(error: NetdashError) -> int:
    from netdash.show.spans import clean

    line = clean(error.message)
    if error.hint:
        line += f" ({clean(error.hint)})"
    print(f"netdash: {line}", file=sys.stderr)
    return error.code


def _run(arguments: argparse.Namespace) -> int:
    command = arguments.command
    if command in (None, "demo"):
        return _dashboard(arguments)
    from netdash import cli_commands

    if command == "show":
        return cli_commands.show(arguments)
    if command == "record":
        return cli_commands.record(arguments)
    if command == "ports" and arguments.free is not None:
        return cli_commands.free(arguments)
    return cli_commands.list_view(arguments)


# --- the dashboard ----------------------------------------------------------------------------------------------------


def _dashboard(arguments: argparse.Namespace) -> int:
    """Reading starts before Textual is imported: both take their time, side by side."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise _NO_TERMINAL
    from dataclasses import replace

    from netdash.tui.config import load_config

    options = load_config(arguments.config)
    if arguments.interval is not None:
        options = replace(options, interval=arguments.interval)
    if arguments.no_mouse:
        options = replace(options, mouse=False)
    feed = _feed(arguments, options.interval)
    from netdash.tui.app import run

    return run(feed, options)


def _feed(arguments: argparse.Namespace, interval: float) -> LiveFeed | StillFeed:
    """A live feed, or the still one of a recording."""
    from netdash.feed import LiveFeed, StillFeed

    bundle = demo_bundle() if arguments.command == "demo" else arguments.bundle
    if bundle is None and arguments.demo_without_engine and _engine_is_missing(arguments.docker_host):
        bundle = demo_bundle()
    if bundle is not None:
        from netdash.core.join import Builder
        from netdash.core.recording import load

        return StillFeed(Builder().build(load(bundle)))
    from netdash.read.live import LiveReader

    return LiveFeed(LiveReader(docker_host=arguments.docker_host, interval=interval))


def _engine_is_missing(docker_host: str | None) -> bool:
    """Whether no engine answers; says so."""
    from netdash.read.once import Options, read_once

    failure = read_once(Options(sources=frozenset({"docker"}), docker_host=docker_host)).failures.get("docker")
    if failure is not None:
        print(f"netdash: {failure.reason}; opening the demo host instead", file=sys.stderr)
    return failure is not None


def demo_bundle() -> Path:
    """The recorded host that ships in the package."""
    return Path(__file__).parent / "demo" / "su1"


# --- arguments --------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise NetdashError(message, f"see: {self.prog} --help", Exit.USAGE)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Filter words may stand on both sides of an option."""
    defaults = argparse.Namespace(
        command=None,
        bundle=None,
        docker_host=None,
        interval=None,
        config=None,
        no_mouse=False,
        demo_without_engine=False,
        filter=[],
        free=None,
        json=False,
    )
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv, defaults)
    unknown = [word for word in rest if word.startswith("-")]
    if unknown or (rest and not hasattr(arguments, "view")):
        parser.error(f"unknown argument {(unknown or rest)[0]!r}")
    arguments.filter = [*arguments.filter, *rest]
    return arguments


def _parser() -> argparse.ArgumentParser:
    from netdash.show.views import VIEWS

    shared = _shared()
    parser = _Parser(
        prog="netdash",
        parents=[shared],
        description="How the containers of this host talk to the world. Without a command: the dashboard.",
    )
    parser.add_argument("--version", action="version", version=f"netdash {__version__}")
    parser.add_argument("--config", metavar="FILE", help="the dashboard's config file (TOML)")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    parser.add_argument(
        "--demo-without-engine", action="store_true", help="open the demo host where no container engine answers"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for view in VIEWS:
        listing = commands.add_parser(view.name, parents=[shared], help=f"list {view.title.lower()}")
        listing.set_defaults(view=view.name)
        keys = ", ".join(column.key for column in view.columns)
        listing.add_argument("filter", nargs="*", metavar="FILTER", help=f"word, !word or key:value; keys: {keys}")
        listing.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="stable JSON")
        if view.name == "ports":
            listing.add_argument("--free", metavar="PORT", help="is this port free? 8080, or 53/udp")
    _add_others(commands, shared)
    return parser


def _add_others(commands: argparse._SubParsersAction[_Parser], shared: _Parser) -> None:
    show = commands.add_parser("show", parents=[shared], help="one container: its packets' ways in and out")
    show.add_argument("container", metavar="CONTAINER", help="its name, or the start of its id")
    show.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="stable JSON")
    record = commands.add_parser("record", parents=[shared], help="write all that was read to a bundle")
    record.add_argument("target", metavar="BUNDLE", type=Path, help="a new folder, or a new .tar.gz")
    commands.add_parser("demo", parents=[shared], help="open the dashboard on a recorded host")


def _shared() -> _Parser:
    """Options that may stand before and after the command."""
    shared = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--from", dest="bundle", metavar="BUNDLE", type=Path, help="read a recording, not this host")
    shared.add_argument("--docker-host", metavar="URL", help="the engine's socket, as DOCKER_HOST")
    shared.add_argument("--interval", metavar="SECONDS", type=_seconds, help="between two looks at counters")
    return shared


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.2 to 3600")
    return seconds
