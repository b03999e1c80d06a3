"""The arguments of each command, and what a number or a time among them may be: who reads one raises ArgumentTypeError
with what it should have been."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from netdash.cli.options import Collected, Once, Parser, path
from netdash.model.errors import NetdashError
from netdash.model.numbers import decimal, port_number

if TYPE_CHECKING:
    from pathlib import Path

    from netdash.publish.request import Mode

LISTS = ("containers", "ports", "networks", "rules", "routes", "proxies", "links", "drift", "flows", "drops")
_FOLDED = {
    "routes": "on a terminal also the local table and link-local routes",
    "drift": "on a terminal also each of many rules that differ alike",
    "ports": "on a terminal a row a socket, not one for IPv4 and IPv6",
}
"""Lists of which a terminal shows less: what --all is for."""


def _json(command: Parser) -> None:
    command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="stable JSON")


def _of_list(name: str, command: Parser) -> None:
    command.set_defaults(view=name)
    words = command.add_argument("filter", nargs="*", metavar="FILTER", help="word, !word or key:value")

    def name_keys() -> None:
        from netdash.view.views import BY_NAME  # all that netdash shows

        keys = ", ".join(column.key for column in BY_NAME[name].columns if not column.screen)
        words.help = f"word, !word or key:value; keys: {keys}"

    command.before_help = name_keys
    command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="stable JSON, as -o json")
    command.add_argument(
        "-o", "--output", choices=("json", "wide", "csv"), help="wide: nothing is cut; csv: for a spreadsheet"
    )
    command.add_argument("--columns", metavar="KEY,...", type=_words, help="only these, in this order")
    command.add_argument("--no-headers", action="store_true", help="no line with the columns' titles")
    if name in _FOLDED:
        command.add_argument("--all", dest="every", action="store_true", help=_FOLDED[name])


def _words(text: str) -> list[str]:
    return [word.strip().casefold() for word in text.split(",") if word.strip()]


def _of_ports(command: Parser) -> None:
    _of_list("ports", command)
    command.add_argument("--free", metavar="PORT", help="is this port free? 8080, or 53/udp")


def _of_flows(command: Parser) -> None:
    from netdash.model.packet import GROUPINGS

    _of_list("flows", command)
    command.add_argument("--watch", action="store_true", help="go on, and print what begins and ends")
    command.add_argument("--by", choices=GROUPINGS, default="", help="add up, the most first")


def _of_drops(command: Parser) -> None:
    _of_list("drops", command)
    command.add_argument("--watch", action="store_true", help="go on, and print which counters move")
    _seconds(command, "between two readings; default 2")


def _seconds(command: Parser, what: str) -> None:
    command.add_argument("--seconds", dest="wait", metavar="N", type=seconds, help=what)


def _of_show(command: Parser) -> None:
    command.add_argument("container", metavar="CONTAINER", help="its name, or the start of its id")
    _json(command)


def _of_map(command: Parser) -> None:
    command.add_argument("network", nargs="?", default="", metavar="NETWORK", help="only this one, all its containers")
    command.add_argument("--all", dest="every", action="store_true", help="every container of every network")
    _json(command)


def _of_doctor(command: Parser) -> None:
    command.add_argument("container", metavar="CONTAINER", nargs="?", default="", help="only what hits this one")
    command.add_argument("--probe", action="store_true", help="confirm findings by a few real connections on this host")
    _json(command)
    command.add_argument("--watch", action="store_true", help="go on, and print findings as they appear and go")
    command.add_argument("--report", type=path, metavar="FILE.md", help="write what one pastes into an incident")
    command.add_argument("--mask", action="store_true", help="replace names and addresses, each always by the same")


def _of_trace(command: Parser) -> None:
    command.add_argument("sender", metavar="FROM", help="host, outside, outside@IP, or a container")
    command.add_argument("receiver", metavar="TO", help="IP:PORT, NAME:PORT, or :PORT for this host's own address")
    command.add_argument("--proto", choices=("tcp", "udp", "icmp"), help="default tcp")
    command.add_argument(
        "--size",
        type=size,
        metavar="N",
        help="bytes of a udp or icmp packet and of its answer; default: a few",
    )
    command.add_argument("--sport", type=port, metavar="N", help="source port; default: an ephemeral one")
    command.add_argument("--mark", type=mark, metavar="N", help="mark of the sending socket, or of the packet outside")
    command.add_argument("--iif", metavar="DEV", help="device that a packet from outside comes in by")
    command.add_argument("-6", dest="ipv6", action="store_true", help="names and :PORT stand for IPv6 addresses")
    command.add_argument(
        "--prove", action="store_true", help="have the kernel trace such a packet, and compare: sends one, or awaits it"
    )
    command.add_argument("--seconds", dest="wait", metavar="N", type=seconds, help="that --prove awaits it; default 30")
    _json(command)


def _of_reach(command: Parser) -> None:
    command.add_argument(
        "container", metavar="CONTAINER", nargs="?", default="", help="its ports: who, who not, and why"
    )
    command.add_argument("--all", dest="every", action="store_true", help="the same of every port")
    _json(command)


def _of_who(command: Parser) -> None:
    command.add_argument(
        "receiver", metavar="CONTAINER[:PORT]", help="its name, or the start of its id; with /udp for UDP"
    )
    command.add_argument("--all", dest="every", action="store_true", help="do not fold the rows that fare alike")
    _json(command)


def _of_what_if(command: Parser) -> None:
    command.add_argument(
        "changes", nargs="+", metavar="COMMAND", help="each in quotes: iptables, nft, ip, sysctl -w, docker; in order"
    )
    _json(command)


def _of_capture(command: Parser) -> None:
    command.add_argument("container", metavar="CONTAINER", help="its name, or the start of its id")
    command.add_argument("--peer", metavar="IP", help="only packets from and to this address")
    command.add_argument(
        "--port",
        dest="number",
        metavar="N",
        type=port,
        help="only this port: the container's, the host's, the peer's",
    )
    command.add_argument("-c", dest="packets", metavar="N", type=packets, help="end after so many; default 100")
    command.add_argument("--seconds", dest="wait", metavar="N", type=seconds, help="end after so long; default 30")
    command.add_argument("-w", dest="write", metavar="FILE.pcapng", type=path, help="save the packets in a new file")
    command.add_argument("--force", action="store_true", help="-w overwrites a file that is there")
    command.add_argument("--snap", metavar="N", type=snap, help="bytes of a packet that are saved; default 96")
    command.add_argument("--payload", action="store_true", help="show and save payload too, which may hold secrets")
    command.add_argument("--json", action="store_true", help="stable JSON, a line a packet")


def _of_record(command: Parser) -> None:
    command.add_argument("target", metavar="BUNDLE", type=path, help="a new folder, or a new .tar.gz")


def _of_config(command: Parser) -> None:
    command.add_argument(
        "--install-docker-plugin", dest="install", action="store_true", help="have `docker netdash` run this program"
    )


def _of_completion(command: Parser) -> None:
    command.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")


def _of_publish(command: Parser) -> None:
    from netdash.publish.request import Mode

    _json(command)
    command.add_argument("container", metavar="CONTAINER", help="its name, or the start of its id")
    command.add_argument("port", metavar="[HOST:]PORT", help="8080:80, 80, 8000-8002:8000-8002; with /udp for UDP")
    command.add_argument("--bind", metavar="IP", help="only on this address of the host")
    command.add_argument("--for", dest="seconds", metavar="TIME", type=_lasting, help="30m: it ends by itself")
    _mode(command, Mode.FORWARD)
    _shared_by_changes(command)


def _of_unpublish(command: Parser) -> None:
    _json(command)
    command.add_argument("container", metavar="CONTAINER")
    command.add_argument("port", metavar="PORT", help="the host's port, or its range; with /udp for UDP")
    _mode(command, None)
    _shared_by_changes(command)


def _of_run(command: Parser) -> None:
    _json(command)
    command.add_argument("image", metavar="IMAGE", help="is pulled where it is not here")
    command.add_argument(
        "-p",
        dest="publish",
        action="append",
        default=[],
        metavar="[IP:][HOST:]PORT[/PROTO]",
        help="a port to publish; may be repeated",
    )
    command.add_argument("--name", metavar="NAME", help="of the new container")
    _confirmed(command)


def _of_undo(command: Parser) -> None:
    _json(command)
    _confirmed(command)


def _of_recover(command: Parser) -> None:
    _json(command)
    way = command.add_mutually_exclusive_group()
    way.add_argument("--finish", action="store_true", help="do the rest")
    way.add_argument("--rollback", action="store_true", help="take back what was done")
    command.add_argument("--yes", "-y", action="store_true", help="as of the other commands; recover never asks")
    way.add_argument("--forget", metavar="ID", default="", help="end this record, and change nothing else")


ARGUMENTS: Mapping[str, Callable[[Parser], None]] = {
    **{name: partial(_of_list, name) for name in LISTS},
    "ports": _of_ports,
    "flows": _of_flows,
    "drops": _of_drops,
    "map": _of_map,
    "show": _of_show,
    "doctor": _of_doctor,
    "trace": _of_trace,
    "reach": _of_reach,
    "who": _of_who,
    "what-if": _of_what_if,
    "capture": _of_capture,
    "publish": _of_publish,
    "unpublish": _of_unpublish,
    "published": _json,
    "run": _of_run,
    "undo": _of_undo,
    "recover": _of_recover,
    "record": _of_record,
    "config": _of_config,
    "completion": _of_completion,
}


# --- what several commands have ---------------------------------------------------------------------------------------


def shared() -> Parser:
    """Options that may stand before and after the command."""
    shared = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument(
        "--from",
        dest="bundle",
        metavar="BUNDLE",
        type=bundle,
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
    shared.add_argument("--interval", metavar="SECONDS", type=seconds, help="between two looks at counters")
    shared.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
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


def bundle(text: str) -> Path:
    return path("/dev/stdin" if text == "-" else text)


def _mode(parser: argparse.ArgumentParser, default: Mode | None) -> None:
    from netdash.publish.request import Mode

    names = [mode.value for mode in Mode]
    how = "forward: the container is not touched; recreate: it is made anew with the port, and restarts"
    parser.add_argument("--mode", choices=names, default=default.value if default else "", help=how)
    parser.add_argument("--proto", dest="protocol", choices=("tcp", "udp"))


def _shared_by_changes(parser: argparse.ArgumentParser) -> None:
    from netdash.publish.request import GRACE

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
    from netdash.publish.request import parse_lasting

    return _duration(text, parse_lasting)


def _duration(text: str, parse: Callable[[str], float] | None = None) -> float:
    from netdash.publish.request import parse_duration

    try:
        return (parse or parse_duration)(text)
    except NetdashError as error:
        raise argparse.ArgumentTypeError(f"{error.message} ({error.hint})") from error


# --- numbers ----------------------------------------------------------------------------------------------------------


def packets(text: str) -> int:
    number = decimal(text, 7)
    if not number or number > 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of packets: 1 to 1000000")
    return number


def snap(text: str) -> int:
    number = decimal(text, 5)
    if number is None or not 64 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes: 64 to 65535")
    return number


def port(text: str) -> int:
    port = port_number(text)
    if port is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return port


def size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 28 <= int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not the size of a packet: 28 to 65535 bytes")
    return int(text)


def mark(text: str) -> int:
    try:
        mark = int(text, 0)
    except ValueError:
        mark = -1
    if not 0 <= mark <= 0xFFFFFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not a mark")
    return mark


def seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.2 to 3600")
    return seconds
