"""Reads the command line. Of the commands only those that are named get their arguments: the help, and completion,
come in the time that one needs."""

from __future__ import annotations

import argparse
from collections.abc import Container, Iterator, Mapping, Sequence

from netdash import __version__
from netdash.cli.arguments import Arguments
from netdash.cli.command_arguments import ARGUMENTS, shared
from netdash.cli.options import Parser


def parse(argv: Sequence[str]) -> Arguments:
    """Filter words may stand on both sides of an option. Raises NetdashError(USAGE)."""
    parser = command_line(argv)
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


_GROUPS: Mapping[str, Mapping[str, str]] = {
    "look": {
        "containers": "containers, their addresses and ports",
        "ports": "published and listening ports, and who has them",
        "networks": "the engine's networks, their bridges and subnets",
        "rules": "rules of iptables and nftables",
        "routes": "routes and policy rules",
        "proxies": "docker-proxy processes",
        "links": "network devices, veths with their containers",
        "drift": "rules that the engine should have written and that differ",
        "flows": "connections through NAT and proxies, end to end",
        "drops": "what loses packets: rules, policies and the kernel's counters",
        "map": "how this host is wired, and what is broken",
        "show": "one container: its packets' ways in and out",
    },
    "ask": {
        "doctor": "what is broken, why, and what mends it",
        "trace": "what becomes of a packet and its answer, rule by rule",
        "reach": "who reaches which port: containers, host, outside",
        "who": "who reaches a container or its port, and whom it reaches",
        "what-if": "who would lose or win reach by commands; none of them is run",
        "capture": "a container's packets on both sides of NAT, and which rule loses one",
    },
    "change": {
        "publish": "publish a port of a running container",
        "unpublish": "take a published port back",
        "published": "list what netdash published",
        "run": "start a new container with published ports",
        "undo": "take back the last change",
        "recover": "finish or roll back what was interrupted",
    },
    "keep": {
        "record": "write all that was read to a bundle",
        "collector": "print the script that reads a host which one reaches by hand",
        "demo": "open the dashboard on a recorded host",
    },
    "netdash itself": {
        "config": "print the configuration, its place, and every key",
        "completion": "print what a shell needs to complete netdash's words",
        "version": "print the version",
    },
}
"""Commands by what they are for, and what each does."""
CHANGES = tuple(_GROUPS["change"])
_PLUGIN = "docker-cli-plugin-metadata"  # what docker asks of a plugin; it is not listed
_ALONE = ("collector", "completion", "version", _PLUGIN)  # without the options that all others have
_ABOUT = "How the containers of this host talk to the world. Without a command: the dashboard."
_EXIT_CODES = """\
exit codes:
  0 fine   1 findings   2 usage   3 not read, not known   4 refused
  5 cannot be told   70 an error of netdash itself   74 output not written
"""
_EXAMPLES = {
    "": (
        ("netdash", "the dashboard; sudo netdash sees the rules too"),
        ("netdash doctor", "what is broken, why, and what mends it"),
        ("netdash trace outside :8080", "which rule decides"),
        ("netdash --host ssh://box ports", "any command on another host"),
    ),
    "containers": (("netdash containers web", "those with a word in their row"), ("netdash containers -o json", "")),
    "ports": (("netdash ports 8080", "who has it"), ("netdash ports --free 8080", "is it free, and which is next")),
    "rules": (("netdash rules chain:DOCKER-USER", "one chain"), ("netdash rules 172.17.0.2", "rules about an address")),
    "drift": (("netdash drift", "exit code 1: something differs"),),
    "flows": (("netdash flows web", "of one container"), ("netdash flows --by container --watch", "")),
    "drops": (("netdash drops --watch", "which counters move"),),
    "show": (("netdash show web", ""),),
    "doctor": (("netdash doctor", "the whole host"), ("netdash doctor web --probe", "one container, and try it")),
    "trace": (
        ("netdash trace outside :8080", "from outside to a published port"),
        ("netdash trace web 1.1.1.1:53 --proto udp", "from a container"),
        ("netdash trace web db:5432 --prove", "and have the kernel confirm it"),
    ),
    "reach": (("netdash reach", "every port"), ("netdash reach web", "who, who not, and why")),
    "who": (("netdash who db:5432", ""),),
    "what-if": (("netdash what-if 'iptables -I DOCKER-USER -j DROP'", "nothing is run"),),
    "capture": (("netdash capture web --port 80 -c 20", ""), ("netdash capture web -w web.pcapng", "for Wireshark")),
    "publish": (
        ("netdash publish web 8080:80 --dry-run", "what would be done"),
        ("netdash publish web 8080:80 --for 30m", "ends by itself"),
    ),
    "unpublish": (("netdash unpublish web 8080", ""),),
    "run": (("netdash run -p 8080:80 nginx", ""),),
    "record": (("netdash record host.tar.gz", "netdash --from host.tar.gz shows it"),),
    "completion": (('eval "$(netdash completion bash)"', "in ~/.bashrc"),),
}


def command_line(named: Container[str] | None = None) -> Parser:
    """The parser; its help lists the commands by what they are for. `named`: words among which the command is; None for
    all that the manual describes."""
    common = shared()
    parser = Parser(
        prog="netdash",
        parents=[common],
        usage="netdash [OPTION]... [COMMAND ...]",
        description="\n".join([_ABOUT, *_listed()]),
        epilog=_epilog(""),
    )
    parser.add_argument("-V", "--version", action="version", version=f"netdash {__version__}", help="the version")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
    parser.add_argument("--no-first-frame", action="store_true", help="paint nothing before the whole screen is there")
    parser.add_argument("--demo-without-engine", action="store_true", help=argparse.SUPPRESS)  # of `make run`
    listed = "the commands" if named is None else argparse.SUPPRESS  # the manual describes each, the help lists them
    commands = parser.add_subparsers(
        dest="command", prog="netdash", metavar="COMMAND", parser_class=Parser, help=listed
    )
    texts = {name: does for group in _GROUPS.values() for name, does in group.items()}
    if named is not None:
        texts[_PLUGIN] = ""
    for name, does in texts.items():
        if named is not None and name not in named:
            commands.add_parser(name, help=does, add_help=False)
            continue
        command = commands.add_parser(
            name,
            parents=[] if name in _ALONE else [common],
            help=does,
            description=f"{does[:1].upper()}{does[1:]}." if does else None,
            epilog=_epilog(name),
            argument_default=argparse.SUPPRESS if name in ("trace", "capture") else None,
        )
        if name in ARGUMENTS:
            ARGUMENTS[name](command)
        if named is None and command.before_help is not None:
            command.before_help()
    return parser


def _listed() -> Iterator[str]:
    """The commands, in their groups."""
    for title, commands in _GROUPS.items():
        yield f"\n{title}:"
        yield from (f"  {name:<11} {does}" for name, does in commands.items())


def _epilog(name: str) -> str:
    given = _EXAMPLES.get(name, ())
    wide = max((len(command) for command, _ in given), default=0)
    examples = [f"  {command:<{wide}}   {what}".rstrip() for command, what in given]
    return "\n".join([*(["examples:", *examples, ""] if examples else []), _EXIT_CODES])
