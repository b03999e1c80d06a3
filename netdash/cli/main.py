"""Runs one command line: which module carries it out, and the exit code. Imports each module when it is used."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from netdash.cli import printing
from netdash.cli.arguments import Arguments
from netdash.model.errors import Exit, NetdashError
from netdash.view.text import safe

if TYPE_CHECKING:
    from pathlib import Path

    from netdash.capture.model import Plan
    from netdash.cli.feeds import FleetFeed, LiveFeed, LocalChanges, StillFeed
    from netdash.collect.capture import Capture
    from netdash.collect.live import LiveReader
    from netdash.collect.ssh import Address
    from netdash.model.host import Host
    from netdash.model.source import Options as Reading
    from netdash.tui.config import Options
    from netdash.tui.first_frame import FirstFrame
    from netdash.tui.term.modes import Taken

_SOON = 0.3  # seconds that the first frame waits for them
_FIRST = 3.0  # seconds that the screen waits for the engine's first answers
_YOUNG = 200_000  # new objects until cycles are looked for: at 700, a list of 10,000 ports took a fifth longer
_EVERYWHERE = "netdash containers, ports, rules, routes, trace, drift; netdash --help"
_NO_TERMINAL = NetdashError("the dashboard needs a terminal", "try: netdash containers", Exit.USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (model.errors.Exit). Raises only errors of netdash itself, and only with
    NETDASH_DEBUG."""
    printing.prepare()
    with printing.interruptible():
        try:
            printing.open_all()
            code = _ended(_given() if argv is None else argv)
            sys.stdout.flush()
        except KeyboardInterrupt:
            return Exit.INTERRUPTED
        except Exception as error:
            return printing.report(error)
        return code


def _given() -> Sequence[str]:
    if not sys.argv[0].endswith("docker-netdash"):
        return sys.argv[1:]
    from netdash.cli.docker_plugin import arguments

    return arguments(sys.argv[1:])


def _ended(argv: Sequence[str]) -> int:
    try:
        return _run(_parsed(argv))
    except SystemExit as ended:  # argparse has printed the help
        return ended.code if isinstance(ended.code, int) else Exit.FAULT


def _parsed(argv: Sequence[str]) -> Arguments:
    if "_ARGCOMPLETE" in os.environ:
        from netdash.cli.completion import answer

        answer()
    made = Arguments()
    if not argv:
        return made
    if [*argv] in _VERSION:
        made.command = "version"
        return made
    from netdash.cli.parser import parse

    return parse(argv)


def _run(arguments: Arguments) -> int:
    if arguments.debug is not None:
        _log(arguments.debug)
    _look_over_ssh(arguments)
    if arguments.hosts and not arguments.sudo:
        from netdash.tui.config import load_config

        arguments.sudo = load_config(arguments.config).sudo
    command = arguments.command
    if command in (None, "demo"):
        return _dashboard(arguments)
    if command in _ABOUT_ITSELF:
        printing.write(map(safe, _ABOUT_ITSELF[command](arguments)))
        return Exit.FINE
    gc.set_threshold(_YOUNG)
    gc.enable()
    gc.freeze()  # what was loaded stays to the end: no look at it there either
    from netdash.cli.parser import CHANGES

    if command == "trace" and arguments.prove:
        command = "prove"
    module, function = ("publish", "run") if command in CHANGES else _COMMANDS.get(str(command), ("lists", "run"))
    carried_out: Callable[[Arguments], int] = getattr(import_module(f"netdash.cli.{module}"), function)
    return carried_out(arguments)


def _log(name: str) -> None:
    """Into a new file; without a name where netdash keeps its own."""
    from pathlib import Path

    from netdash.apply import state_directory
    from netdash.engine import log

    path = Path(name) if name else state_directory.log()
    log.begin(path)
    printing.note(f"what is asked is logged in {safe(str(path))}")


_COMMANDS = {
    "containers": ("containers", "run"),
    "trace": ("trace", "run_trace"),
    "prove": ("prove", "run"),
    "reach": ("trace", "run_reach"),
    "who": ("trace", "run_who"),
    "what-if": ("trace", "run_what_if"),
    "doctor": ("doctor", "run"),
    "map": ("map", "run"),
    "flows": ("flows", "run"),
    "drops": ("drops", "run"),
    "capture": ("capture", "run"),
}
"""Command -> the module that carries it out, and its function; the others are lists."""


_VERSION = (["version"], ["--version"], ["-V"])  # as the parser has them, which takes three times as long to load


def _version(_: Arguments) -> Iterable[str]:
    from netdash import __version__

    return (f"netdash {__version__}",)


def _completion(arguments: Arguments) -> Iterable[str]:
    from netdash.cli.completion import script

    return script(arguments.shell).splitlines()


def _configuration(arguments: Arguments) -> Iterable[str]:
    if arguments.install:
        from netdash.cli.docker_plugin import install

        return (install(),)
    from netdash.tui.config import lines

    return lines(arguments.config)


def _metadata(_: Arguments) -> Iterable[str]:
    from netdash.cli.docker_plugin import metadata

    return (metadata(),)


_ABOUT_ITSELF = {
    "version": _version,
    "completion": _completion,
    "config": _configuration,
    "docker-cli-plugin-metadata": _metadata,
}


def _look_over_ssh(arguments: Arguments) -> None:
    """An engine on another host, of DOCKER_HOST, --docker-host or the context: that host is looked at as --host does.
    A context that does not exist is reported by whoever asks the engine."""
    if arguments.bundle is not None or arguments.hosts or arguments.command in ("demo", "collector", *_ABOUT_ITSELF):
        return
    from netdash.engine.context import locate

    with contextlib.suppress(NetdashError):
        where = locate(arguments.docker_host).ssh
        if where is not None:
            arguments.hosts, arguments.docker_host = where


# --- the dashboard ----------------------------------------------------------------------------------------------------


def _dashboard(arguments: Arguments) -> int:
    """The engine is asked while the screen is loaded, and all else is loaded after that."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise _NO_TERMINAL
    from netdash.tui.term import modes

    if reason := modes.why_not(os.environ, sys.stdout.fileno()):
        raise NetdashError(reason, f"these work here: {_EVERYWHERE}", Exit.USAGE)
    gc.disable()  # until the first paint
    if arguments.command == "demo" or arguments.bundle or arguments.hosts or arguments.demo_without_engine:
        return _shown(arguments, None)
    taken = modes.Taken(sys.stdin.fileno(), sys.stdout.fileno())

    def fail(error: BaseException) -> None:
        taken.leave()
        try:
            printing.note(f"internal error: {type(error).__name__}: {error}")
        finally:
            os._exit(Exit.FAULT)

    with modes.restoring(taken.leave, lambda: None, fail):
        return _shown(arguments, taken)


def _shown(arguments: Arguments, taken: Taken | None) -> int:
    make = _feed(arguments)
    from netdash.model.records import replace
    from netdash.tui.config import load_config

    options = load_config(arguments.config)
    if printing.monochrome():
        os.environ["NO_COLOR"] = "1"  # as Textual reads it
    if options.ambiguous == "wide":
        printing.prepare("ascii")
    if arguments.interval is not None:
        options = replace(options, interval=arguments.interval)
    if arguments.read_only:
        options = replace(options, read_only=True)
    if arguments.no_mouse:
        options = replace(options, mouse=False)
    if arguments.no_first_frame:
        options = replace(options, first_frame=False)
    feed = make(options)
    first = _first_frame(taken, feed, options) if taken is not None else None
    _share_one_heap()
    from netdash.cli.examination import Examination
    from netdash.tui.app import run

    changes, keep = _changes(arguments) if feed.live else None, partial(_keep_columns, arguments.config)
    examination = Examination()
    try:
        return run(feed, options, changes, keep, _open_capture if feed.live else None, examination, first)
    finally:
        examination.close()


def _first_frame(taken: Taken, feed: LiveFeed | StillFeed | FleetFeed, options: Options) -> FirstFrame:
    """Paints it as soon as the engine has listed its containers; a slow one is not waited for."""
    from netdash.cli.feeds import LiveFeed
    from netdash.tui.term import modes

    wide, high = modes.size(sys.stdout.fileno(), os.environ)
    from netdash.tui import first_frame

    first = first_frame.FirstFrame(taken)
    code = first_frame.code_of(os.environ, options, wide, high)
    if code is not None and isinstance(feed, LiveFeed):
        taken.ask_ground()
        host = feed.listed(_SOON)
        if host is not None:
            first.paint(host, options, wide, high, code)
    return first


def _open_capture(plan: Plan, newest: Callable[[], Host]) -> Capture:
    from netdash.cli import capture

    return capture.opened(plan, newest)


def _keep_columns(config: Path | str | None, view: str, keys: Sequence[str]) -> None:
    """Into the config file, which stays its user's: comments, its mode, and where a link leads."""
    from pathlib import Path

    from netdash.apply import state_directory
    from netdash.bundle.archive import read_regular
    from netdash.tui.config import MOST, config_path, with_columns

    path = Path(config or config_path()).resolve()
    try:
        text, mode = read_regular(path, MOST).decode("utf-8"), path.stat().st_mode & 0o777
    except FileNotFoundError:
        state_directory.ensure(path.parent)
        text, mode = "", 0o600
    except (OSError, UnicodeDecodeError) as error:
        raise NetdashError(f"cannot read {path}: {error}") from error
    state_directory.write(path, with_columns(path, text, view, keys), mode)


def _changes(arguments: Arguments) -> LocalChanges:
    from netdash.cli.feeds import LocalChanges

    return LocalChanges(arguments.docker_host)


_M_ARENA_MAX = -8  # of glibc's malloc.h


def _share_one_heap() -> None:
    """Before the first thread: glibc gives each a heap of its own, so that they need not wait for each other. Python's
    threads wait anyway, and what is free in one heap serves no other: 3 MiB. Other C libraries have no such option."""
    import ctypes

    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _feed(arguments: Arguments) -> Callable[[Options], LiveFeed | StillFeed | FleetFeed]:
    """Begins to read; what is returned makes the feed."""
    bundle = demo_bundle() if arguments.command == "demo" else arguments.bundle
    if bundle is None and arguments.hosts:
        from netdash.collect.hosts import named

        hosts = named(arguments.hosts, arguments.sudo)
        return lambda options: _fleet(hosts, arguments.options(), options.interval)
    if bundle is None and arguments.demo_without_engine and _engine_is_missing(arguments):
        bundle = demo_bundle()
    if bundle is not None:
        still = _still(bundle)
        return lambda _: still
    from netdash.engine.first_answer import First, FirstAnswers

    asked = FirstAnswers(arguments.docker_host, arguments.timeout or _FIRST)

    def live(options: Options) -> LiveFeed | FleetFeed:
        if options.hosts and arguments.docker_host is None:
            from netdash.collect.hosts import named

            return _fleet(named(options.hosts, arguments.sudo or options.sudo), arguments.options(), options.interval)
        from netdash.cli.feeds import LiveFeed

        def reader(first: First | None) -> LiveReader:
            from netdash.collect.live import LiveReader

            asked_for = arguments.options()
            return LiveReader(asked_for.docker_host, options.interval, asked_for.limit, asked_for.tool_limit, first)

        return LiveFeed(reader, asked)

    return live


def _fleet(hosts: Sequence[tuple[str, Address | None]], reading: Reading, interval: float) -> FleetFeed:
    from netdash.cli.feeds import FleetFeed
    from netdash.collect.hosts import reader

    there = {name: where.there for name, where in hosts if where is not None}
    return FleetFeed([(name, reader(where, reading, interval)) for name, where in hosts], there)


def _still(bundle: Path) -> StillFeed:
    from netdash.bundle.storage import load
    from netdash.cli.feeds import StillFeed
    from netdash.join.host import Builder

    return StillFeed(Builder().build(load(bundle)))


def _engine_is_missing(arguments: Arguments) -> bool:
    """Whether no engine answers; says so."""
    from netdash.collect.once import read_once
    from netdash.model.source import Source

    failure = read_once(arguments.options(frozenset({Source.DOCKER}))).failures.get(Source.DOCKER)
    if failure is not None:
        printing.note(f"{failure.reason}; opening the demo host instead")
    return failure is not None


def demo_bundle() -> Path:
    """The recorded host that ships in the package, which is always unpacked: psutil cannot be loaded from a zip."""
    from importlib.resources import files
    from pathlib import Path

    return Path(str(files("netdash"))) / "demo" / "su1"
