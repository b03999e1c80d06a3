"""Every rule of a dump is read: as many per table and chain as the kernel's own listing has, in its hooks."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from netdash.bundle.storage import load
from netdash.rules.ruleset import read_ruleset

RECORDINGS = Path(__file__).parents[1] / "recordings"
BUNDLES = sorted(path.parent for path in RECORDINGS.glob("*/rules"))
SAVES = {"iptables-save": "ip", "ip6tables-save": "ip6"}
Key = tuple[str, str, str]


def _saved(path: Path, family: str) -> Counter[Key]:
    """Rules by chain, straight from the lines."""
    found: Counter[Key] = Counter()
    table = ""
    for line in path.read_text().splitlines():
        if line.startswith("*"):
            table = line[1:]
        words = line.partition("] ")[2].split() if line.startswith("[") else line.split()
        if words[:1] == ["-A"]:
            found[family, table, words[1]] += 1
    return found


def _listed(rules: Path) -> tuple[Counter[Key], Counter[Key]]:
    """(nft's rules, legacy rules) of a bundle; without nft's answer, those of iptables-save."""
    nft: Counter[Key] = Counter()
    legacy: Counter[Key] = Counter()
    for name, family in SAVES.items():
        old, new = rules / f"{name.replace('-save', '-legacy-save')}.txt", rules / f"{name}.txt"
        if old.exists():
            legacy += _saved(old, family)
        if new.exists() and not (rules / "nft.json").exists():
            nft += _saved(new, family)
    if (rules / "nft.json").exists():
        for member in json.loads((rules / "nft.json").read_text() or '{"nftables": []}')["nftables"]:
            rule = member.get("rule")
            if rule:
                nft[rule["family"], rule["table"], rule["chain"]] += 1
    return nft, legacy


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_as_many_rules_as_the_dump_has(bundle: Path) -> None:
    ruleset = read_ruleset(load(bundle))
    assert ruleset is not None
    assert ruleset.complete or not (bundle / "rules/nft.json").exists()
    nft, legacy = _listed(bundle / "rules")
    for is_legacy, wanted in ((False, nft), (True, legacy)):
        found = Counter(
            {
                (chain.family, chain.table, chain.name): len(chain.rules)
                for chain in ruleset.chains
                if chain.rules and (chain.backend == "iptables-legacy") is is_legacy
            }
        )
        assert found == wanted
    for chain in ruleset.chains:
        assert [rule.position for rule in chain.rules] == list(range(1, len(chain.rules) + 1))


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*/rules/nft.json")), ids=lambda path: path.parts[-3])
def test_every_chain_has_its_hook_priority_and_policy(path: Path) -> None:
    ruleset = read_ruleset(load(path.parents[1]))
    assert ruleset is not None
    chains = {(one.family, one.table, one.name): one for one in ruleset.chains if one.backend != "iptables-legacy"}
    for member in json.loads(path.read_text())["nftables"]:
        said = member.get("chain")
        if said:
            chain = chains.pop((said["family"], said["table"], said["name"]))
            assert (chain.kind, chain.hook, chain.priority, chain.policy) == tuple(
                said.get(key) for key in ("type", "hook", "prio", "policy")
            )
    assert not chains
