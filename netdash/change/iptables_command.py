"""An iptables or ip6tables command -> changes (iptables(8)). Its rule is written as iptables-save would print it, and
read by the one reader of such lines."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from netdash.change.model import (
    CannotModel,
    ChainChange,
    ChainEdit,
    ChainPlace,
    Change,
    PolicyChange,
    RuleChange,
    RuleEdit,
)
from netdash.model.addresses import subnet
from netdash.model.host import Host, Match, Rule, Ruleset, Verb
from netdash.model.numbers import decimal
from netdash.model.records import dataclass
from netdash.rules.iptables_rule import parse_line
from netdash.rules.iptables_save import TABLES
from netdash.rules.merge import IPTABLES, LEGACY
from netdash.rules.parts import known_protocol

TOOLS = tuple(f"{tool}{backend}" for tool in ("iptables", "ip6tables") for backend in ("", "-nft", "-legacy"))


@dataclass(frozen=True, slots=True)
class _Where:
    """What all commands of one line act on."""

    family: str
    table: str
    backend: str
    container: str | None

    def chain(self, name: str) -> ChainPlace:
        return ChainPlace(self.family, self.table, name, self.backend, self.container)


def read(host: Host, words: list[str], container: str | None) -> tuple[Change, ...]:
    tool, args = words[0].rpartition("/")[2], list(_plain(words[1:]))
    table, args = _table(args)
    ruleset = _ruleset(host, container)
    family = "ip6" if tool.startswith("ip6") or "-6" in args else "ip"
    where = _Where(family, table, _backend(tool, ruleset), container)
    args = [arg for arg in args if arg not in ("-4", "-6", "-v", "-n", "--line-numbers")]
    commands = [at for at, arg in enumerate(args) if arg in _EDITS or arg in _CHAINS or arg in ("-P", *_READ)]
    if len(commands) != 1:
        raise CannotModel(f"{tool}: one command of -A -I -D -R -F -P -N -X is needed")
    command, rest = args[commands[0]], args[commands[0] + 1 :]
    if commands[0]:
        rest = [*rest[:1], *args[: commands[0]], *rest[1:]]  # `-s A -A CHAIN` is as good as `-A CHAIN -s A`
    if command in _READ:
        return ()
    if command in _EDITS:
        return tuple(_edit(where, command, rest))
    if command == "-P":
        if len(rest) != 2 or rest[1] not in ("ACCEPT", "DROP"):
            raise CannotModel(f"{tool} -P needs a chain, and ACCEPT or DROP")
        if table == "nat" and rest[1] == "DROP":
            raise CannotModel(f"{tool} refuses the policy DROP in the table nat")
        return (PolicyChange(where.chain(rest[0]), rest[1].lower()),)
    if len(rest) > 1 or (command == "-N" and not rest):
        raise CannotModel(f"{tool} {command} needs one chain")
    if command == "-X" and not rest:
        return tuple(ChainChange(where.chain(name), ChainEdit.REMOVE) for name in _own_chains(ruleset, where))
    return (ChainChange(where.chain(rest[0] if rest else ""), _CHAINS[command]),)


_EDITS = {"-A": RuleEdit.APPEND, "-I": RuleEdit.INSERT, "-D": RuleEdit.DELETE, "-R": RuleEdit.REPLACE}
_CHAINS = {"-N": ChainEdit.NEW, "-F": ChainEdit.FLUSH, "-X": ChainEdit.REMOVE}
_READ = ("-L", "-S", "-C", "-Z")  # they change no rule


def _ruleset(host: Host, container: str | None) -> Ruleset | None:
    if container is None:
        return host.ruleset
    inside = next((other.inside for other in host.containers or () if other.id == container), None)
    return inside.ruleset if inside else None


def _backend(tool: str, ruleset: Ruleset | None) -> str:
    """Which of the two `iptables` is, is not told: the one that has rules here."""
    if tool.endswith(("-nft", "-legacy")):
        return IPTABLES if tool.endswith("-nft") else LEGACY
    chains = [chain for chain in (ruleset.chains if ruleset else ()) if chain.table in TABLES]
    own = [chain for chain in chains if chain.family in ("ip", "ip6")]
    legacy = any(chain.rules for chain in own if chain.backend == LEGACY)
    nft = any(chain.rules for chain in own if chain.backend != LEGACY)
    if legacy and nft:
        raise CannotModel(f"both backends of {tool} have rules here", f"name one: {tool}-nft or {tool}-legacy")
    return LEGACY if legacy else IPTABLES


def _own_chains(ruleset: Ruleset | None, where: _Where) -> Iterator[str]:
    """Those that -X without a name removes: all that are not iptables' own."""
    for chain in ruleset.chains if ruleset else ():
        same = (chain.family, chain.table) == (where.family, where.table) and chain.hook is None
        if same and (chain.backend == LEGACY) is (where.backend == LEGACY):
            yield chain.name


# --- words ------------------------------------------------------------------------------------------------------------

_SHORT = {
    "--append": "-A", "--insert": "-I", "--delete": "-D", "--replace": "-R", "--flush": "-F", "--policy": "-P",
    "--new-chain": "-N", "--new": "-N", "--delete-chain": "-X", "--list": "-L", "--list-rules": "-S", "--zero": "-Z",
    "--check": "-C", "--table": "-t", "--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d",
    "--in-interface": "-i", "--out-interface": "-o", "--protocol": "-p", "--proto": "-p", "--jump": "-j",
    "--goto": "-g", "--match": "-m", "--destination-port": "--dport", "--source-port": "--sport",
    "--destination-ports": "--dports", "--source-ports": "--sports", "--fragment": "-f", "--wait": "-w",
    "--verbose": "-v", "--numeric": "-n", "--ipv4": "-4", "--ipv6": "-6",
}  # fmt: skip


def _plain(words: list[str]) -> Iterator[str]:
    """Options in the form that iptables-save prints; those of waiting left out."""
    skip = False
    for at, word in enumerate(words):
        if skip:
            skip = False
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        name = _SHORT.get(name, name)
        glued = re.fullmatch(r"(-[tsdiopjmAIDNFXP])([^-\s].*)", name)
        if name in ("-w", "-W", "--wait-interval"):
            skip = not equals and decimal((words[at + 1 : at + 2] or [""])[0]) is not None
        elif name == "--syn":
            yield from ("--tcp-flags", "FIN,SYN,RST,ACK", "SYN")
        elif glued:
            yield from (glued[1], glued[2])
        else:
            yield name
            if equals:
                yield value


def _table(args: list[str]) -> tuple[str, list[str]]:
    if "-t" not in args:
        return "filter", args
    at = args.index("-t")
    table = (args[at + 1 : at + 2] or [""])[0]
    if table not in TABLES:
        raise CannotModel(f"there is no table {table!r}")
    return table, args[:at] + args[at + 2 :]


# --- rules ------------------------------------------------------------------------------------------------------------


def _edit(where: _Where, command: str, args: list[str]) -> Iterator[Change]:
    if not args or args[0].startswith("-"):
        raise CannotModel(f"{command} needs a chain")
    chain, rest, edit = where.chain(args[0]), args[1:], _EDITS[command]
    position = None
    if command in ("-I", "-D", "-R") and rest and not rest[0].startswith(("-", "!")):
        position, rest = decimal(rest[0]), rest[1:]
        if not position:
            raise CannotModel(f"{command} {chain.chain}: {args[1]!r} is not the number of a rule")
    if command == "-D" and position and not rest:
        yield RuleChange(chain, edit, None, position)
        return
    if command == "-R" and not position:
        raise CannotModel(f"-R {chain.chain} needs the number of the rule")
    for spec in _each_address(rest):
        yield RuleChange(chain, edit, _rule(chain, spec), position)


def _each_address(args: list[str]) -> Iterator[list[str]]:
    """`-s A,B` and `-d A,B` are a rule for each."""
    sides = []
    for option in ("-s", "-d"):
        at = args.index(option) + 1 if option in args[:-1] else None
        sides.append([(at, text) for text in args[at].split(",")] if at is not None else [(None, "")])
    for pairs in itertools.product(*sides):
        made = list(args)
        for at, text in pairs:
            if at is not None:
                made[at] = text
        yield made


def _rule(chain: ChainPlace, args: list[str]) -> Rule:
    shown = [_quoted(word) for word in _completed(chain, _target_last(args))]
    body = parse_line(" ".join(["-A", chain.chain, *shown]))
    if body.not_understood or (body.target.verb is Verb.OTHER and not body.target.net):
        what = body.not_understood[0] if body.not_understood else body.target.detail
        raise CannotModel(f"{what!r} of the rule is not understood", "addresses and ports are written as numbers")
    _possible(chain, body.target.verb, [match.key for match in body.matches])
    _of_protocol(body.matches)
    place = (chain.family, chain.table, chain.chain)
    return Rule(*place, 1, body.text, body.matches, body.target, 0, 0, chain.backend, body.comment, body.not_understood)


def _target_last(args: list[str]) -> list[str]:
    """As iptables-save prints it. Behind a verdict, which has no options of its own, stand conditions."""
    at = next((at for at, word in enumerate(args) if word in ("-j", "-g")), len(args))
    option, name, rest = args[at : at + 1], args[at + 1 : at + 2], args[at + 2 :]
    if option and not name:
        raise CannotModel(f"{option[0]} needs a target")
    if option != ["-g"] and name not in (["ACCEPT"], ["DROP"], ["RETURN"], ["REJECT"]):
        return args
    own = 2 if name == ["REJECT"] and rest[:1] == ["--reject-with"] else 0
    return [*args[:at], *rest[own:], *option, *name, *rest[:own]]


def _completed(chain: ChainPlace, args: list[str]) -> Iterator[str]:
    """With what the tool adds by itself, and without what says nothing."""
    at, six = 0, chain.family == "ip6"
    while at < len(args):
        word, value = args[at], args[at + 1] if at + 1 < len(args) else ""
        if word in ("-s", "-d"):
            net = subnet(value)
            if net is None or net.version != (6 if six else 4):
                raise CannotModel(f"{word} {value}: not an IPv{6 if six else 4} address or network")
            if net.prefixlen or args[at - 1 : at] == ["!"]:
                yield from (word, str(net))
            at += 2
        elif (word, value) in (("-p", "all"), ("-p", "0")):
            at += 2
        elif word in ("--ctstate", "--state", "--src-type", "--dst-type"):
            yield from (word, value.upper())
            at += 2
        else:
            yield word
            at += 1
    if args[-2:] == ["-j", "REJECT"]:
        yield from ("--reject-with", "icmp6-port-unreachable" if six else "icmp-port-unreachable")


def _quoted(word: str) -> str:
    """As iptables-save writes a word."""
    return '"' + re.sub(r'(["\\])', r"\\\1", word) + '"' if not word or re.search(r"[\s\"'\\]", word) else word


_NAT = (Verb.DNAT, Verb.SNAT, Verb.MASQUERADE, Verb.REDIRECT)
_HOOKS = {
    Verb.DNAT: ("PREROUTING", "OUTPUT"),
    Verb.REDIRECT: ("PREROUTING", "OUTPUT"),
    Verb.SNAT: ("POSTROUTING", "INPUT"),
    Verb.MASQUERADE: ("POSTROUTING",),
}
_BASES = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_NO_DEVICE = {"iif": ("OUTPUT", "POSTROUTING"), "oif": ("PREROUTING", "INPUT")}


_PORTS = ("sport", "dport", "port")
_WITH_PORTS = ("tcp", "udp", "sctp", "dccp", "udplite")


def _of_protocol(matches: Sequence[Match]) -> None:
    """What the tool refuses: a protocol that nobody knows, and ports of one that has none."""
    protocols = [match for match in matches if match.key == "proto"]
    for name in (name for match in protocols for name in match.values):
        if not known_protocol(str(name)):
            raise CannotModel(f"-p {name}: not a protocol that is known here")
    ports = any(match.key in _PORTS for match in matches)
    if ports and not any(not match.negated and set(match.values) <= {*_WITH_PORTS} for match in protocols):
        raise CannotModel("a port needs its protocol: -p tcp or -p udp")


def _possible(chain: ChainPlace, verb: Verb, keys: list[str]) -> None:
    """What the kernel or the tool refuses for this chain."""
    wrong = (
        (verb in _NAT and chain.table != "nat")
        or (verb is Verb.REJECT and chain.table != "filter")
        or (verb is Verb.DROP and chain.table == "nat")
        or (verb in _HOOKS and chain.chain in _BASES and chain.chain not in _HOOKS[verb])
    )
    if wrong:
        raise CannotModel(f"iptables refuses {verb.name} in {chain.table}/{chain.chain}")
    device = next((key for key in keys if chain.chain in _NO_DEVICE.get(key, ())), None)
    if device:
        raise CannotModel(f"iptables refuses -{device[0]} in {chain.chain}")
