"""Loads generated rules, reads them back with netdash's reader, and tells where the two are not the same."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from netdash.model.host import Chain, Rule, Ruleset
from tests.rulegen import native, xt
from tests.rulegen.dice import Dice
from tests.rulegen.namespace import RESTORE, Namespace
from tests.rulegen.wanted import Wanted, WantedChain, differences, lies

Ask = Callable[[Wanted, Rule], list[str]]


@dataclass(slots=True)
class Result:
    rules: int = 0
    refused: list[str] = field(default_factory=list)  # by the tool or this kernel: no word of it was loaded
    features: int = 0  # conditions and targets that were taken; of mixed chains, nft's own rules
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.rules += other.rules
        self.features += other.features
        self.refused += other.refused
        self.wrong += other.wrong


def everything(space: Namespace, seed: int, count: int) -> Iterator[tuple[str, Result]]:
    """(tool, result) of every tool that this machine has, each with the namespace to itself."""
    for family, backend in RESTORE:
        if shutil.which(RESTORE[family, backend]):
            yield f"{backend} {family}", xt_rules(space, seed, count, family, backend)
        space.flush()
    yield "nft", nft_rules(space, seed, count)
    for number in range(max(2, count // 100)):
        space.flush()
        yield f"mixed {number + 1}", mixed_rules(space, seed + number, 60)


def xt_rules(space: Namespace, seed: int, count: int, family: str, backend: str) -> Result:
    dice = Dice(seed)
    dice.v6 = family == "ip6"
    tool, result = RESTORE[family, backend], Result()
    asked: dict[tuple[str, str], bool] = {}
    for feature in xt.features(dice):
        if feature.key not in asked:
            text = f"*{feature.table}\n:leaf-1 - [0:0]\n:leaf-2 - [0:0]\n:leaf-3 - [0:0]\n{feature.line}\nCOMMIT\n"
            complaint = space.refused(tool, "--test", text=text)
            asked[feature.key] = not complaint
            if complaint:
                result.refused.append(f"{feature.line}: {complaint.splitlines()[0]}")
    result.features = sum(asked.values())
    text, chains = xt.ruleset(dice, count, lambda kind, name: asked.get((kind, name), False), "legacy" in backend)
    _load(space, tool, text, chains, result)
    _compare(space.read(), chains, result, "legacy" in backend)
    return result


def nft_rules(space: Namespace, seed: int, count: int) -> Result:
    dice, result = Dice(seed), Result()
    asked: dict[str, bool] = {}
    for name, text in native.features(dice):
        if name in asked:
            continue
        complaint = space.refused("nft", "--check", "-f", "-", text=text)
        asked[name] = not complaint
        if complaint:
            result.refused.append(f"{name}: {complaint.splitlines()[0]}")
    result.features = sum(asked.values())
    text, chains = native.ruleset(dice, count, lambda name: asked.get(name, False))
    _load_native(space, text, chains, result)
    _compare(space.read(), chains, result, False)
    return result


def mixed_rules(space: Namespace, seed: int, count: int) -> Result:
    """nft's own rules after those of iptables in one chain: iptables-save leaves parts of them out and exits with 0,
    or leaves the table out. What is read of a rule may then be less than was written, and says so, but never other."""
    dice, result = Dice(seed), Result()
    text, chains = xt.ruleset(dice, count, lambda _, name: name in _PLAIN, False)
    _load(space, RESTORE["ip", "iptables-nft"], text, chains, result)
    bases = [one for one in chains if one.table == "filter" and one.hook]
    for chain in bases:
        for _ in range(dice.number(0, max(1, count // 30))):
            rule = native.half_shown(dice) if seed % 2 else native.rule(dice, "ip", "filter", str(chain.hook), _alone)
            complaint = space.refused("nft", "-f", "-", text=f"add rule ip filter {chain.name} {rule.words}\n")
            if complaint:
                result.refused.append(f"{rule.words}: {complaint.splitlines()[0]}")
            else:
                chain.rules.append(rule)
                result.features += 1
    _compare(space.read(), chains, result, False, lies)
    return result


_PLAIN = frozenset(
    ("count", "accept", "drop", "return", "jump", "src", "dst", "iif", "oif", "ctstate", "mark", "tcp dport")
)


def _alone(name: str) -> bool:
    """Whether the condition or target needs no named set."""
    return name not in ("named set", "named devices", "empty set", "add")


def _load(space: Namespace, tool: str, text: str, chains: list[WantedChain], result: Result) -> None:
    """A rule that the tool refuses is taken out, and the rest tried again."""
    for _ in range(200):
        complaint = space.refused(tool, text=text)
        line = re.search(r"line:? (\d+)", complaint)
        if not complaint:
            return
        lines = text.split("\n")
        if line is None or not lines[int(line[1]) - 1].startswith("-A "):
            result.wrong.append(f"{tool} took none: {complaint[:500]}")
            return
        _take_out(lines, int(line[1]) - 1, chains)
        result.refused.append(f"{text.splitlines()[int(line[1]) - 1]}: {complaint.splitlines()[0]}")
        text = "\n".join(lines)
    result.wrong.append(f"{tool} refused too many rules")


def _load_native(space: Namespace, text: str, chains: list[WantedChain], result: Result) -> None:
    rules = {rule.words: chain for chain in chains for rule in chain.rules}
    lines = text.split("\n")
    for _ in range(50):
        complaint = space.refused("nft", "-f", "-", text="\n".join(lines))
        if not complaint:
            return
        found = re.search(r"/dev/stdin:(\d+):", complaint)
        said = lines.pop(int(found[1]) - 1) if found else ""
        chain = rules.get(said)
        if chain is None:
            result.wrong.append(f"nft took none: {complaint[:500]}")
            return
        chain.rules.remove(next(rule for rule in chain.rules if rule.words == said))
        result.refused.append(f"{said}: {complaint.splitlines()[0]}")
    result.wrong.append("nft refused too many rules")


def _take_out(lines: list[str], at: int, chains: list[WantedChain]) -> None:
    table = next(line[1:] for line in reversed(lines[:at]) if line.startswith("*"))
    name, words = lines[at].removeprefix("-A ").split(" ", 1)
    chain = next(one for one in chains if (one.table, one.name) == (table, name))
    chain.rules.remove(next(rule for rule in chain.rules if rule.words == words))
    del lines[at]


def _compare(
    ruleset: Ruleset, chains: Iterable[WantedChain], result: Result, legacy: bool, ask: Ask = differences
) -> None:
    read = {
        (one.family, one.table, one.name): one for one in ruleset.chains if (one.backend == "iptables-legacy") is legacy
    }
    for want in chains:
        chain = read.get((want.family, want.table, want.name))
        if chain is None:
            if want.rules:
                result.wrong.append(f"{want.family} {want.table} {want.name}: not read")
            continue
        result.rules += len(want.rules)
        result.wrong += list(_chain_differs(want, chain, ask))


def _chain_differs(want: WantedChain, chain: Chain, ask: Ask) -> Iterable[str]:
    place = f"{want.family} {want.table} {want.name}"
    one = (want.kind, want.hook, want.priority, want.policy)
    two = (chain.kind, chain.hook, chain.priority, chain.policy)
    if one != two:
        yield f"{place}: wrote {one}, read {two}"
    if len(want.rules) != len(chain.rules):
        yield f"{place}: wrote {len(want.rules)} rules, read {len(chain.rules)}"
        return
    for number, (wanted, rule) in enumerate(zip(want.rules, chain.rules, strict=True), 1):
        if rule.position != number:
            yield f"{place} #{number}: is said to be #{rule.position}"
        for said in ask(wanted, rule):
            yield f"{place} #{number} `{wanted.words}` read as `{rule.text}`: {said}"
