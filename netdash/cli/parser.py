"""Reads the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from netdash import __version__
from netdash.cli import argument_types
from netdash.cli.arguments import Arguments
from netdash.cli.options import Collected, Once, Parser
from netdash.model.errors import NetdashError
from netdash.model.packet import GROUPINGS
from netdash.publish.request import GRACE, Mode, parse_duration, parse_lasting
from netdash.view.views import VIEWS


def parse(argv: Sequence[str]) -> Arguments:
    """Filter words may stand on both sides of an option. Raises NetdashError(USAGE)."""
    parser = command_line()
    argv = ["--debug=" if word == "--debug" else word for word in argv]  # what follows is not its value
    parser.check_leading(argv)
    arguments, rest = parser.parse_known_args(argv, Arguments())
    if arguments.hosts and arguments.bundle is not None:
        parser.error("--host and --from exclude each other")
    if arguments.wait is not None and arguments.command == "trace" and not arguments.prove:
        parser.error("--seconds is how long --prove awaits a packet")
    unknown = [word for word in rest if word.startswith("-")]
    if unknown or (rest and not arguments.view):
        word = (unknown or rest)[0]
        asked = parser.commands().get(arguments.command or "", parser)
        options = [option for action in asked.arguments() for option in action.option_strings]
        asked.refuse(f"unknown argument {word!r}", word.partition("=")[0], options)
    arguments.filter = [*arguments.filter, *rest]
    return arguments


_GROUPS = {
    "look": "containers ports networks rules routes proxies links drift flows drops map show",
    "ask": "doctor trace reach who what-if capture",
    "change": "publish unpublish published run undo recover",
    "keep": "record collector demo",
    "netdash itself": "config completion version",
}
_ABOUT = "How the containers of this host talk to the world. Without a command: the dashboard."
_LISTS = {
    "containers": "containers, their addresses and ports",
    "ports": "published and listening ports, and who has them",
    "networks": "the engine's networks, their bridges and subnets",
    "rules": "rules of iptables and nftables",
    "routes": "routes and policy rules",
    "proxies": "docker-proxy processes",
    "links": "network devices, veths with their containers",
    "drift": "rules that the engine should have written and that differ",
    "drops": "what loses packets: rules, policies and the kernel's counters",
    "flows": "connections through NAT and proxies, end to end",
}
_FOLDED = {
    "routes": "on a terminal also the local table and link-local routes",
    "drift": "on a terminal also each of many rules that differ alike",
    "ports": "on a terminal a row a socket, not one for IPv4 and IPv6",
}
"""Lists of which a terminal shows less: what --all is for."""
_EXAMPLES = """\
examples:
  netdash                          the dashboard; sudo netdash sees the rules too
  netdash doctor                   what is broken, why, and what mends it
  netdash trace outside :8080      which rule decides
  netdash --host ssh://box ports   any command on another host

exit codes:
  0 fine   1 findings   2 usage   3 nothing could be read   4 refused
  5 cannot be told   70 an error of netdash itself   74 output not written
"""


def command_line() -> Parser:
    """The parser of everything; its help lists the commands by what they are for."""
    shared = _shared()
    parser = Parser(
        prog="netdash",
        parents=[shared],
        usage="netdash [OPTION]... [COMMAND ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
    )
    parser.add_argument("-V", "--version", action="version", version=f"netdash {__version__}", help="the version")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    parser.add_argument("--no-first-frame", action="store_true", help="paint nothing before the whole screen is there")
    parser.add_argument("--demo-without-engine", action="store_true", help=argparse.SUPPRESS)  # of `make run`
    commands = parser.add_subparsers(
        dest="command", prog="netdash", metavar="COMMAND", parser_class=Parser, help=argparse.SUPPRESS
    )
    for view in VIEWS:
        listing = commands.add_parser(view.name, parents=[shared], help=_LISTS[view.name])
        listing.set_defaults(view=view.name)
        keys = ", ".join(column.key for column in view.columns if not column.screen)
        listing.add_argument("filter", nargs="*", metavar="FILTER", help=f"word, !word or key:value; keys: {keys}")
        listing.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="stable JSON, as -o json")
        listing.add_argument(
            "-o", "--output", choices=("json", "wide", "csv"), help="wide: nothing is cut; csv: for a spreadsheet"
        )
        listing.add_argument("--columns", metavar="KEY,...", type=_words, help="only these, in this order")
        listing.add_argument("--no-headers", action="store_true", help="no line with the columns' titles")
        if view.name in _FOLDED:
            listing.add_argument("--all", dest="every", action="store_true", help=_FOLDED[view.name])
        if view.name == "ports":
            listing.add_argument("--free", metavar="PORT", help="is this port free? 8080, or 53/udp")
        if view.name == "flows":
            listing.add_argument("--watch", action="store_true", help="go on, and print what begins and ends")
            listing.add_argument("--by", choices=GROUPINGS, default="", help="add up, the most first")
        if view.name == "drops":
            listing.add_argument("--watch", action="store_true", help="go on, and print which counters move")
            listing.add_argument(
                "--seconds",
                dest="wait",
                metavar="N",
                type=argument_types.seconds,
                help="between two readings; default 2",
            )
    _add_others(commands, shared)
    parser.description = "\n".join([_ABOUT, *_listed(commands)])
    return parser


def _listed(commands: argparse._SubParsersAction[Parser]) -> Iterator[str]:
    """The commands that exist, in their groups."""
    texts = {each.dest: each.help for each in commands._choices_actions}
    for title, names in _GROUPS.items():
        yield f"\n{title}:"
        yield from (f"  {name:<11} {texts[name]}" for name in names.split() if name in texts)


def _add_others(commands: argparse._SubParsersAction[Parser], shared: Parser) -> None:
    show = commands.add_parser("show", parents=[shared], help="one container: its packets' ways in and out")
    show.add_argument("container", metavar="CONTAINER", help="its name, or the start of its id")
    show.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="stable JSON")
    _add_trace(commands, shared)
    _add_capture(commands, shared)
    doctor = commands.add_parser("doctor", parents=[shared], help="what is broken, why, and what mends it")
    doctor.add_argument("container", metavar="CONTAINER", nargs="?", default="", help="only what hits this one")
    doctor.add_argument("--probe", action="store_true", help="confirm findings by a few real connections on this host")
    doctor.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="stable JSON")
    doctor.add_argument("--watch", action="store_true", help="go on, and print findings as they appear and go")
    doctor.add_argument("--report", type=Path, metavar="FILE.md", help="write what one pastes into an incident")
    doctor.add_argument("--mask", action="store_true", help="replace names and addresses, each always by the same")
    record = commands.add_parser("record", parents=[shared], help="write all that was read to a bundle")
    record.add_argument("target", metavar="BUNDLE", type=Path, help="a new folder, or a new .tar.gz")
    add_changes(commands, shared)
    commands.add_parser("collector", help="print the script that reads a host which one reaches by hand")
    commands.add_parser("demo", parents=[shared], help="open the dashboard on a recorded host")
    config = commands.add_parser("config", parents=[shared], help="print the configuration, its place, and every key")
    config.add_argument(
        "--install-docker-plugin", dest="install", action="store_true", help="have `docker netdash` run this program"
    )
    commands.add_parser("docker-cli-plugin-metadata")  # what docker asks of a plugin; without help: it is not listed
    completion = commands.add_parser("completion", help="print what a shell needs to complete netdash's words")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")
    commands.add_parser("version", help="print the version")


def _add_trace(commands: argparse._SubParsersAction[Parser], shared: Parser) -> None:
    trace = commands.add_parser(
        "trace",
        parents=[shared],
        help="what becomes of a packet and its answer, rule by rule",
        argument_default=argparse.SUPPRESS,
    )
    trace.add_argument("sender", metavar="FROM", help="host, outside, outside@IP, or a container")
    trace.add_argument("receiver", metavar="TO", help="IP:PORT, NAME:PORT, or :PORT for this host's own address")
    trace.add_argument("--proto", choices=("tcp", "udp", "icmp"), help="default tcp")
    trace.add_argument(
        "--size",
        type=argument_types.size,
        metavar="N",
        help="bytes of a udp or icmp packet and of its answer; default: a few",
    )
    trace.add_argument("--sport", type=argument_types.port, metavar="N", help="source port; default: an ephemeral one")
    trace.add_argument(
        "--mark", type=argument_types.mark, metavar="N", help="mark of the sending socket, or of the packet outside"
    )
    trace.add_argument("--iif", metavar="DEV", help="device that a packet from outside comes in by")
    trace.add_argument("-6", dest="ipv6", action="store_true", help="names and :PORT stand for IPv6 addresses")
    trace.add_argument(
        "--prove", action="store_true", help="have the kernel trace such a packet, and compare: sends one, or awaits it"
    )
    trace.add_argument(
        "--seconds", dest="wait", metavar="N", type=argument_types.seconds, help="that --prove awaits it; default 30"
    )
    reach = commands.add_parser("reach", parents=[shared], help="who reaches which port: containers, host, outside")
    reach.add_argument("container", metavar="CONTAINER", nargs="?", default="", help="its ports: who, who not, and why")
    reach.add_argument("--all", dest="every", action="store_true", help="the same of every port")
    who = commands.add_parser("who", parents=[shared], help="who reaches a container or its port, and whom it reaches")
    who.add_argument("receiver", metavar="CONTAINER[:PORT]", help="its name, or the start of its id; with /udp for UDP")
    who.add_argument("--all", dest="every", action="store_true", help="do not fold the rows that fare alike")
    picture = commands.add_parser("map", parents=[shared], help="how this host is wired, and what is broken")
    picture.add_argument("network", nargs="?", default="", metavar="NETWORK", help="only this one, all its containers")
    picture.add_argument("--all", dest="every", action="store_true", help="every container of every network")
    what_if = commands.add_parser(
        "what-if", parents=[shared], help="who would lose or win reach by commands; none of them is run"
    )
    what_if.add_argument(
        "changes", nargs="+", metavar="COMMAND", help="each in quotes: iptables, nft, ip, sysctl -w, docker; in order"
    )
    for command in (trace, reach, who, picture, what_if):
        command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="stable JSON")


def _words(text: str) -> list[str]:
    return [word.strip().casefold() for word in text.split(",") if word.strip()]


def _add_capture(commands: argparse._SubParsersAction[Parser], shared: Parser) -> None:
    capture = commands.add_parser(
        "capture",
        parents=[shared],
        help="a container's packets on both sides of NAT, and which rule loses one",
        argument_default=argparse.SUPPRESS,
    )
    capture.add_argument("container", metavar="CONTAINER", help="its name, or the start of its id")
    capture.add_argument("--peer", metavar="IP", help="only packets from and to this address")
    capture.add_argument(
        "--port",
        dest="number",
        metavar="N",
        type=argument_types.port,
        help="only this port: the container's, the host's, the peer's",
    )
    capture.add_argument(
        "-c", dest="packets", metavar="N", type=argument_types.packets, help="end after so many; default 100"
    )
    capture.add_argument(
        "--seconds", dest="wait", metavar="N", type=argument_types.seconds, help="end after so long; default 30"
    )
    capture.add_argument("-w", dest="write", metavar="FILE.pcapng", type=Path, help="save the packets in a new file")
    capture.add_argument("--force", action="store_true", help="-w overwrites a file that is there")
    capture.add_argument(
        "--snap", metavar="N", type=argument_types.snap, help="bytes of a packet that are saved; default 96"
    )
    capture.add_argument("--payload", action="store_true", help="show and save payload too, which may hold secrets")
    capture.add_argument("--json", action="store_true", help="stable JSON, a line a packet")


def _shared() -> Parser:
    """Options that may stand before and after the command."""
    shared = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument(
        "--from",
        dest="bundle",
        metavar="BUNDLE",
        type=_bundle,
        action=Once,
        const=[],
        help="read a recording, not this host; - for stdin",
    )
    named: list[str] = []
    shared.add_argument(
        "--host",
        dest="hosts",
        metavar="HOST",
        action=Collected,
        const=named,
        help="read ssh://user@host[:port], where only a shell is needed; may be repeated; local is this host",
    )
    shared.add_argument(
        "--sudo", action="store_true", help="read other hosts as root, where their sudo asks for no password"
    )
    shared.add_argument("--docker-host", metavar="URL", help="the engine's socket, as DOCKER_HOST")
    shared.add_argument(
        "--interval", metavar="SECONDS", type=argument_types.seconds, help="between two looks at counters"
    )
    shared.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=argument_types.seconds,
        help="for each call of the engine (default 3), each tool (5), another host's answers (30)",
    )
    shared.add_argument(
        "--debug",
        metavar="FILE",
        help="log what is asked, how long it takes, and what fails, in a new file (--debug=FILE)",
    )
    shared.add_argument("--config", metavar="FILE", help="the config file (TOML); netdash config says where it is")
    shared.add_argument("--read-only", action="store_true", help="change nothing; also read_only in the config file")
    return shared


def _bundle(text: str) -> Path:
    return Path("/dev/stdin" if text == "-" else text)


CHANGES = ("publish", "unpublish", "published", "run", "undo", "recover")


def add_changes(commands: argparse._SubParsersAction[Any], shared: Parser) -> None:
    def command(name: str, text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, parents=[shared], help=text)
        made.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="stable JSON")
        return made

    publish = command("publish", "publish a port of a running container")
    publish.add_argument("container", metavar="CONTAINER", help="its name, or the start of its id")
    publish.add_argument("port", metavar="[HOST:]PORT", help="8080:80, 80, 8000-8002:8000-8002; with /udp for UDP")
    publish.add_argument("--bind", metavar="IP", help="only on this address of the host")
    publish.add_argument("--for", dest="seconds", metavar="TIME", type=_lasting, help="30m: it ends by itself")
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
    recover.add_argument("--yes", "-y", action="store_true", help="as of the other commands; recover never asks")
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


def _lasting(text: str) -> float:
    return _duration(text, parse_lasting)


def _duration(text: str, parse: Callable[[str], float] = parse_duration) -> float:
    try:
        return parse(text)
    except NetdashError as error:
        raise argparse.ArgumentTypeError(f"{error.message} ({error.hint})") from error
