"""An nft command, in JSON or in the forms that people type -> changes (nft(8), libnftables-json(5))."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from netdash.change.model import CannotModel, ChainChange, ChainEdit, ChainPlace, Change, RuleChange, RuleEdit
from netdash.change.nft_statements import Words, statements
from netdash.model.host import Chain, Host, Rule, Ruleset
from netdash.parse.json_values import Json, integer, items, mapping, text
from netdash.rules.merge import NFT
from netdash.rules.nft_match import Draft
from netdash.rules.nft_rule import counters, read_rule

FAMILIES = ("ip", "ip6", "inet", "arp", "bridge", "netdev")
_HANDLE = "rules are not kept by their handles"


def read(host: Host, words: list[str], container: str | None) -> tuple[Change, ...]:
    args = words[1:]
    if container is not None:
        raise CannotModel("nft within a container is not modelled: iptables is")
    ruleset = host.ruleset
    if args and args[0] in ("-j", "--json"):
        return tuple(_of_json(ruleset, " ".join(args[1:])))
    while args and args[0] in ("-a", "-n", "--handle", "--numeric"):
        args = args[1:]
    if not args or args[0].startswith("-"):
        raise CannotModel("nft: a command is missing; a file is not read")
    return tuple(_of_text(ruleset, Words(" ".join(args))))


# --- text -------------------------------------------------------------------------------------------------------------


def _of_text(ruleset: Ruleset | None, words: Words) -> Iterator[Change]:
    """Several commands may stand there, divided by semicolons."""
    while not words.at_end:
        yield from _one(ruleset, words)
        if not words.at_end:
            words.expect(";")


def _one(ruleset: Ruleset | None, words: Words) -> Iterator[Change]:
    verb, thing = words.take(), words.take()
    if (verb, thing) == ("flush", "ruleset"):
        family = words.take() if not words.at_end and words.peek() in FAMILIES else ""
        yield ChainChange(ChainPlace(family, "", "", NFT), ChainEdit.REMOVE)
        return
    if verb not in _VERBS or thing not in ("table", "chain", "rule"):
        raise CannotModel(f"nft {verb} {thing}: not understood")
    family = words.take() if words.peek() in FAMILIES else "ip"
    table = words.take()
    if thing == "table":
        yield from _table(ChainPlace(family, table, "", NFT), verb)
        return
    place = ChainPlace(family, table, words.take(), NFT)
    if thing == "chain":
        base = _base(place, words) if not words.at_end and words.peek() == "{" else None
        yield from _chain(place, verb, base)
        return
    if verb not in ("add", "insert") or words.peek() in ("handle", "position", "index"):
        raise CannotModel(f"nft {verb} rule: {_HANDLE}", "iptables -D names a rule by what it says")
    said, comment = statements(words)
    said = [_REJECTS.get(family, value) if value == {"reject": None} else value for value in said]
    yield from _rule(ruleset, place, verb, {"expr": said, "comment": comment, "family": family})


_REJECTS: Mapping[str, object] = {
    family: {"reject": {"type": kind, "expr": "port-unreachable"}}
    for family, kind in (("ip", "icmp"), ("ip6", "icmpv6"), ("inet", "icmpx"), ("bridge", "icmpx"))
}
"""What nft makes of a plain `reject`."""

_VERBS = ("add", "create", "insert", "delete", "destroy", "flush")


def _table(place: ChainPlace, verb: str) -> Iterator[Change]:
    """A table without chains decides nothing."""
    if verb in ("delete", "destroy", "flush"):
        yield ChainChange(place, ChainEdit.FLUSH if verb == "flush" else ChainEdit.REMOVE)
    elif verb == "insert":
        raise CannotModel("nft insert table: not understood")


def _chain(place: ChainPlace, verb: str, base: Chain | None) -> Iterator[Change]:
    edits = {"flush": ChainEdit.FLUSH, "delete": ChainEdit.REMOVE, "destroy": ChainEdit.REMOVE}
    if verb == "insert":
        raise CannotModel("nft insert chain: not understood")
    yield ChainChange(place, edits.get(verb, ChainEdit.NEW), base)


_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
_BRIDGE = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}


def _base(place: ChainPlace, words: Words) -> Chain:
    """`{ type filter hook forward priority 0; policy drop; }`"""
    words.expect("{")
    said: dict[str, str] = {}
    while words.peek() != "}":
        name = words.take()
        if name == ";":
            continue
        if name not in ("type", "hook", "device", "priority", "policy"):
            raise CannotModel(f"nft chain … {name}: not understood")
        said[name] = words.take()
        if name == "priority" and words.peek() in ("+", "-"):
            sign = words.take()
            said[name] += f"{sign}{words.take()}"
    words.expect("}")
    if not {"type", "hook", "priority"} <= said.keys():
        raise CannotModel("nft chain: type, hook and priority are needed")
    return _based(place, said)


def _based(place: ChainPlace, said: dict[str, str]) -> Chain:
    names = _BRIDGE if place.family == "bridge" else _PRIORITIES
    shown = said["priority"]
    name = next((name for name in names if shown.startswith(name)), "")
    rest = shown.removeprefix(name)
    try:
        priority = names.get(name, 0) + (int(rest) if rest else 0)
    except ValueError:
        raise CannotModel(f"nft chain … priority {shown}: not understood") from None
    frame = (place.family, place.table, place.chain, NFT, ())
    policy = said.get("policy", "accept")
    return Chain(*frame, said["type"], said["hook"], priority, policy, said.get("device"))


# --- JSON -------------------------------------------------------------------------------------------------------------


def _of_json(ruleset: Ruleset | None, written: str) -> Iterator[Change]:
    try:
        commands = items(mapping(json.loads(written)).get("nftables"))
    except (ValueError, RecursionError) as error:
        raise CannotModel(f"nft: not JSON: {error}") from error
    for command in commands:
        if not isinstance(command, dict) or len(command) != 1:
            raise CannotModel("nft: a command in JSON is an object with one member")
        ((verb, what),) = command.items()
        for kind, value in mapping(what).items():
            yield from _of_object(ruleset, verb, kind, mapping(value))


def _of_object(ruleset: Ruleset | None, verb: str, kind: str, value: Json) -> Iterator[Change]:
    family, table, name = (text(value.get(key)) or "" for key in ("family", "table", "name"))
    if (verb, kind) == ("flush", "ruleset"):
        yield ChainChange(ChainPlace(family, "", "", NFT), ChainEdit.REMOVE)
    elif verb not in _VERBS or kind not in ("table", "chain", "rule") or not family:
        raise CannotModel(f"nft {verb} {kind}: not understood")
    elif kind == "table":
        yield from _table(ChainPlace(family, name, "", NFT), verb)
    elif kind == "chain":
        said = {to: str(value[key]) for key, to in _CHAIN_KEYS.items() if key in value}
        place = ChainPlace(family, table, name, NFT)
        yield from _chain(place, verb, _based(place, said) if "hook" in said else None)
    elif verb not in ("add", "insert") or "handle" in value or integer(value.get("index")) is not None:
        raise CannotModel(f"nft {verb} rule: {_HANDLE}", "iptables -D names a rule by what it says")
    else:
        yield from _rule(ruleset, ChainPlace(family, table, text(value.get("chain")) or "", NFT), verb, value)


_CHAIN_KEYS = {"type": "type", "hook": "hook", "prio": "priority", "policy": "policy", "dev": "device"}


def _rule(ruleset: Ruleset | None, place: ChainPlace, verb: str, raw: Json) -> Iterator[Change]:
    """`add` puts it at the end, `insert` first."""
    named = {
        named_set.name: named_set.elements
        for named_set in (ruleset.sets if ruleset else ())
        if (named_set.family, named_set.table) == (place.family, place.table)
    }
    draft: Draft = read_rule(raw, named)
    body = draft.body()
    if draft.missing or body.not_understood:
        what = body.not_understood[0] if body.not_understood else body.text
        raise CannotModel(f"nft … {what}: not understood")
    packets, size = counters(draft) or (None, None)
    where = (place.family, place.table, place.chain)
    rule = Rule(*where, 1, body.text, body.matches, body.target, packets, size, NFT, body.comment)
    yield RuleChange(place, RuleEdit.APPEND if verb == "add" else RuleEdit.INSERT, rule)
