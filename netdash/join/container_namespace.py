"""What was read inside a container's network namespace beside its listeners: addresses, routes, sysctls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from netdash.model.host import Inside, Ruleset
from netdash.parse.json_values import decoded

T = TypeVar("T")
_LISTED = ("iptables-save.txt", "ip6tables-save.txt", "iptables-legacy-save.txt", "ip6tables-legacy-save.txt")
_RULES = ("nft.json", *_LISTED)


def parse_inside(answers: Mapping[str, object]) -> Inside | None:
    """`answers` by file name of the bundle; None when none of them was read. What is malformed counts as not read.
    Loads the parsers only for a container of which something was read: the screen shows containers before."""
    addresses, routes, sysctls = (answers.get(name) for name in ("addr.json", "route.json", "sysctl.txt"))
    sockets, rules = answers.get("proc-net.txt"), _rules(answers)
    if addresses is None and routes is None and sysctls is None and sockets is None and rules is None:
        return None
    from netdash.parse.iproute import parse_links, parse_neighbours, parse_policy, parse_routes
    from netdash.parse.proc import parse_names, parse_proc_routes, parse_resolver, parse_sysctls

    found = _parsed(lambda answer: parse_routes(answer, None), routes)
    if found is None and isinstance(sockets, str):
        found = parse_proc_routes(sockets)
    links = _parsed(lambda answer: parse_links(None, answer), addresses)
    pairs = tuple(parse_sysctls(sysctls).items()) if isinstance(sysctls, str) else ()
    rule4, rule6 = answers.get("rule4.json"), answers.get("rule6.json")
    policy = _parsed(lambda four: parse_policy(four, None if rule6 is None else decoded(rule6)), rule4)
    neighbours = _parsed(parse_neighbours, answers.get("neigh.json"))
    if links is None and found is None and not pairs and rules is None:
        return None
    resolver, names = answers.get("resolv.conf"), answers.get("hosts")
    return Inside(
        *(links, found, pairs, policy, neighbours, rules),
        resolver=parse_resolver(resolver) if isinstance(resolver, str) else None,
        names=parse_names(names) if isinstance(names, str) else None,
    )


def _rules(answers: Mapping[str, object]) -> Ruleset | None:
    """The rules inside: whole, or those of nat alone as iptables-save or `iptables -t nat -S` lists them (nat.txt)."""
    paths = {name: answers.get(name) for name in _RULES}
    nat = answers.get("nat.txt")
    if all(path is None for path in paths.values()):
        if not isinstance(nat, str) or not nat.strip():
            return None
        paths = {"iptables-save.txt": _as_saved(nat)}
    from netdash.bundle.recording import Recording
    from netdash.rules.ruleset import read_ruleset

    found = read_ruleset(Recording({f"rules/{name}": one for name, one in paths.items() if one is not None}))
    if found is None:
        return None
    if not found.unread and not any(chain.rules or chain.policy == "drop" for chain in found.chains):
        return _NOTHING
    return found if paths.get("nft.json") is not None else replace(found, unread=())


_NOTHING = Ruleset(())  # the same object for all containers whose rules were read and decide nothing


def _as_saved(listed: str) -> str:
    """`iptables -S` as iptables-save prints it, which stays as it is."""
    if "*nat" in listed.splitlines():
        return listed
    heads = {"-P": ":{} {} [0:0]", "-N": ":{} - [0:0]"}
    lines = ["*nat"]
    for line in listed.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in heads:
            lines.append(heads[words[0]].format(*words[1:3]))
        elif line.startswith("-A "):
            lines.append(line)
    return "\n".join((*lines, "COMMIT", ""))


def _parsed(parse: Callable[[object], T], answer: object) -> T | None:
    try:
        return None if answer is None else parse(decoded(answer))
    except ValueError:
        return None
