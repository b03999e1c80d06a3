"""The command line of what changes the host: publish, unpublish, published, run, undo, recover."""

from __future__ import annotations

import argparse
from typing import Any

from netdash.model.errors import NetdashError
from netdash.publish.request import GRACE, Mode, parse_duration

NAMES = ("publish", "unpublish", "published", "run", "undo", "recover")


def add_changes(commands: argparse._SubParsersAction[Any], shared: argparse.ArgumentParser) -> None:
    def command(name: str, text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, parents=[shared], help=text)
        made.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="stable JSON")
        return made

    publish = command("publish", "publish a port of a running container")
    publish.add_argument("container", metavar="CONTAINER", help="its name, or the start of its id")
    publish.add_argument("port", metavar="[HOST:]PORT", help="8080:80, 80, 8000-8002:8000-8002; with /udp for UDP")
    publish.add_argument("--bind", metavar="IP", help="only on this address of the host")
    publish.add_argument("--for", dest="seconds", metavar="TIME", type=_duration, help="30m: it ends by itself")
    _mode(publish, Mode.FORWARD)
    _shared_by_changes(publish)
    unpublish = command("unpublish", "take a published port back")
    unpublish.add_argument("container", metavar="CONTAINER")
    unpublish.add_argument("port", metavar="PORT", help="the host's port, or its range; with /udp for UDP")
    _mode(unpublish, None)
    _shared_by_changes(unpublish)
    command("published", "list what netdash published")
    start = command("run", "start a new container with published ports")
    start.add_argument("image", metavar="IMAGE", help="is pulled where it is not here")
    start.add_argument(
        "-p",
        dest="publish",
        action="append",
        default=[],
        metavar="[IP:][HOST:]PORT[/PROTO]",
        help="a port to publish; may be repeated",
    )
    start.add_argument("--name", metavar="NAME", help="of the new container")
    _confirmed(start)
    undo = command("undo", "take back the last change")
    _confirmed(undo)
    recover = command("recover", "finish or roll back what was interrupted")
    way = recover.add_mutually_exclusive_group()
    way.add_argument("--finish", action="store_true", help="do the rest")
    way.add_argument("--rollback", action="store_true", help="take back what was done")
    way.add_argument("--forget", metavar="ID", default="", help="end this record, and change nothing else")


def _mode(parser: argparse.ArgumentParser, default: Mode | None) -> None:
    names = [mode.value for mode in Mode]
    how = "forward: the container is not touched; recreate: it is made anew with the port, and restarts"
    parser.add_argument("--mode", choices=names, default=default.value if default else "", help=how)
    parser.add_argument("--proto", dest="protocol", choices=("tcp", "udp"))


def _shared_by_changes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--discard-changes",
        dest="discard",
        action="store_true",
        help="recreate: lose what the container wrote outside its volumes, instead of keeping it in an image",
    )
    parser.add_argument(
        "--grace",
        metavar="TIME",
        type=_duration,
        default=GRACE,
        help="recreate: keep the old container so long (10m); 0 removes it at once",
    )
    parser.add_argument("--force", action="store_true", help="past the refusals that say so")
    _confirmed(parser)


def _confirmed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except NetdashError as error:
        raise argparse.ArgumentTypeError(f"{error.message} ({error.hint})") from error
