"""Rules of every tool become one ruleset: none is dropped, none is taken from a tool that cannot show it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from netdash.bundle.recording import Recording
from netdash.model.host import Chain, Rule, Ruleset, Verb
from netdash.rules.parts import port_match
from netdash.rules.ruleset import RulesetReader, read_ruleset

RECORDINGS = Path(__file__).parents[1] / "recordings"
NAMES = sorted(path.parents[1].name for path in RECORDINGS.glob("*/rules/nft.json"))
Loader = Callable[[str], Recording]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "nft-incompatible-table"])
def test_what_is_not_understood_is_little_and_said(name: str, recording: Loader) -> None:
    ruleset = read_ruleset(recording(name))
    assert ruleset is not None
    assert {part for rule in ruleset.rules for part in rule.not_understood} <= {"-m rt --rt-type 0"}
    assert ruleset.notes == ()


def _rules(ruleset: Ruleset | None, family: str, table: str, chain: str) -> tuple[Rule, ...]:
    return _chain(ruleset, family, table, chain).rules


def _chain(ruleset: Ruleset | None, family: str, table: str, name: str) -> Chain:
    assert ruleset is not None
    return next(one for one in ruleset.chains if (one.family, one.table, one.name) == (family, table, name))


def test_an_iptables_rule_has_its_line_and_its_counters(recording: Loader) -> None:
    ruleset = read_ruleset(recording("docker20.10-nft-full"))
    rule = _rules(ruleset, "ip", "nat", "DOCKER")[6]
    assert rule.text == "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80"
    assert (rule.backend, rule.place, rule.target.verb) == ("iptables-nft", "nat/DOCKER #7", Verb.DNAT)
    assert rule.packets is not None
    assert rule.bytes is not None
    chain = _chain(ruleset, "ip", "nat", "POSTROUTING")
    assert (chain.kind, chain.hook, chain.priority, chain.policy) == ("nat", "postrouting", 100, "accept")
    assert chain.backend == "iptables-nft"


def test_native_rules_read_as_nft_writes_them(recording: Loader) -> None:
    ruleset = read_ruleset(recording("docker29.7-nftables-full"))
    rule = _rules(ruleset, "ip", "docker-bridges", "nat-prerouting-and-output")[0]
    assert rule.text == 'iifname != "docker0" tcp dport 8080 counter dnat to 172.17.0.2:80 comment "DNAT"'
    assert (rule.backend, rule.comment) == ("nft", "DNAT")
    jump = _rules(ruleset, "ip", "docker-bridges", "filter-FORWARD")[0]
    assert jump.target.verb is Verb.VMAP
    assert ("docker0", "filter-forward-in__docker0") in jump.target.elements
    podman = read_ruleset(recording("podman5.8-nftables"))
    assert podman is not None
    assert {rule.packets for rule in podman.rules} == {None}


def test_legacy_tables_stand_beside_the_others(recording: Loader) -> None:
    ruleset = read_ruleset(recording("docker20.10-legacy"))
    chain = _chain(ruleset, "ip", "nat", "PREROUTING")
    assert (chain.backend, chain.hook, chain.priority) == ("iptables-legacy", "prerouting", -100)
    both = read_ruleset(
        Recording(
            {"rules/nft.json": _NATIVE, "rules/iptables-save.txt": _LIES, "rules/iptables-legacy-save.txt": _LIES}
        )
    )
    assert both is not None
    assert [(chain.name, chain.backend) for chain in both.chains] == [
        ("FORWARD", "iptables-nft"),
        ("INPUT", "iptables-legacy"),
        ("FORWARD", "iptables-legacy"),
    ]


# --- what iptables-save does not say, or says wrongly -----------------------------------------------------------------


def test_a_table_that_iptables_save_leaves_out_is_shown_by_nft(recording: Loader) -> None:
    ruleset = read_ruleset(recording("nft-incompatible-table"))
    assert ruleset is not None
    rules = [rule for rule in ruleset.rules if rule.table == "filter"]
    assert {rule.backend for rule in rules} == {"nft"}
    assert any("left out table ip filter" in note for note in ruleset.notes)
    xt = [rule for rule in rules if rule.not_understood]
    assert [(rule.text, rule.not_understood) for rule in xt] == [
        ('oifname "docker0" xt match "conntrack" counter accept', ('xt match "conntrack"',))
    ]
    assert {rule.backend for rule in ruleset.rules if rule.table == "nat"} == {"iptables-nft"}


def _rule(*exprs: object) -> dict[str, object]:
    return {"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "expr": list(exprs)}}


def _field(protocol: str, field: str, right: object) -> dict[str, object]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


_COUNTER = {"counter": {"packets": 5, "bytes": 300}}
_FORWARD = {
    "chain": {"family": "ip", "table": "filter", "name": "FORWARD", "type": "filter", "hook": "forward", "prio": 0}
}
_NATIVE: dict[str, object] = {
    "nftables": [
        _FORWARD,
        _rule(_field("ip", "saddr", {"set": ["10.0.0.1", "10.0.0.2"]}), _COUNTER, {"drop": None}),
        _rule(
            _field("ip", "protocol", "tcp"),
            _field("ip", "saddr", {"prefix": {"addr": "10.0.0.0", "len": 8}}),
            _field("tcp", "dport", {"set": [22, 23]}),
            _COUNTER,
            {"accept": None},
        ),
        _rule(_field("ip", "saddr", "10.0.0.3"), _COUNTER, {"drop": None}),
        _rule({"xt": {"type": "match", "name": "conntrack"}}, _COUNTER, {"accept": None}),
    ]
}
_LIES = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
[7:420] -A FORWARD -j DROP
[7:420] -A FORWARD -s 10.0.0.0/8 -p tcp -j ACCEPT
[7:420] -A FORWARD -s 10.0.0.3/32 -j DROP
[7:420] -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""


def test_lines_that_say_less_than_nft_are_not_believed() -> None:
    ruleset = read_ruleset(Recording({"rules/nft.json": _NATIVE, "rules/iptables-save.txt": _LIES}))
    rules = _rules(ruleset, "ip", "filter", "FORWARD")
    assert [(rule.text, rule.backend, rule.packets) for rule in rules] == [
        ("ip saddr { 10.0.0.1, 10.0.0.2 } counter drop", "nft", 5),
        ("ip protocol tcp ip saddr 10.0.0.0/8 tcp dport { 22, 23 } counter accept", "nft", 5),
        ("-A FORWARD -s 10.0.0.3/32 -j DROP", "iptables-nft", 7),
        ("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "iptables-nft", 7),
    ]
    assert ruleset is not None
    assert [chain.name for chain in ruleset.chains] == ["FORWARD"]  # iptables-save prints an INPUT that does not exist


DIFFERENT = [
    "-A FORWARD -s 10.0.0.4/32 -j DROP",
    "-A FORWARD -s 10.0.0.3/32 -j ACCEPT",
    "-A FORWARD ! -s 10.0.0.3/32 -j DROP",
    "-A FORWARD -d 10.0.0.3/32 -j DROP",
    "-A FORWARD -s 10.0.0.3/32 -i eth0 -j DROP",
    "-A FORWARD -s 10.0.0.3/32 -m recent --update -j DROP",
    "-A FORWARD -s 10.0.0.3/32 -j DOCKER",
    "-A FORWARD -s 10.0.0.3/32",
    "-A FORWARD -s 10.0.0.3/32 -m conntrack --ctstate NEW -j DROP",
]


@pytest.mark.parametrize("line", DIFFERENT)
def test_a_line_that_differs_is_not_believed(line: str) -> None:
    native = {"nftables": [_FORWARD, _rule(_field("ip", "saddr", "10.0.0.3"), {"drop": None})]}
    save = f"*filter\n:FORWARD ACCEPT [0:0]\n{line}\nCOMMIT\n"
    rules = _rules(
        read_ruleset(Recording({"rules/nft.json": native, "rules/iptables-save.txt": save})), "ip", "filter", "FORWARD"
    )
    assert [(rule.text, rule.backend) for rule in rules] == [("ip saddr 10.0.0.3 drop", "nft")]


def test_listings_of_different_length_are_not_put_together() -> None:
    save = _LIES.replace("[7:420] -A FORWARD -j DROP\n", "")
    ruleset = read_ruleset(Recording({"rules/nft.json": _NATIVE, "rules/iptables-save.txt": save}))
    assert ruleset is not None
    assert [rule.backend for rule in ruleset.rules] == ["nft"] * 4
    assert ruleset.rules[3].not_understood == ('xt match "conntrack"',)
    assert ruleset.notes == ("iptables-save shows 3 rules in filter/FORWARD, nft 4: shown as nft does",)


def test_without_iptables_save_the_xt_parts_are_said_to_be_unknown() -> None:
    ruleset = read_ruleset(Recording({"rules/nft.json": _NATIVE}))
    assert ruleset is not None
    assert ruleset.complete
    assert ruleset.rules[3].not_understood == ('xt match "conntrack"',)
    assert [note.partition(":")[0] for note in ruleset.notes] == ["iptables-save was not read"]


def test_without_nft_the_ruleset_is_not_complete(recording: Loader) -> None:
    answers = {
        path: text for path, text in recording("docker20.10-nft-full").answers.items() if path != "rules/nft.json"
    }
    with_nft, without = read_ruleset(recording("docker20.10-nft-full")), read_ruleset(Recording(answers))
    assert with_nft is not None
    assert without is not None
    assert not without.complete
    assert without.notes
    assert sorted(rule.text for rule in without.rules) == sorted(rule.text for rule in with_nft.rules)
    chain = _chain(without, "ip", "nat", "POSTROUTING")
    assert (chain.kind, chain.hook, chain.priority, chain.backend) == ("nat", "postrouting", 100, "iptables-nft")


def test_nothing_read_is_none_and_nothing_said_is_empty() -> None:
    assert read_ruleset(Recording({})) is None
    empty = read_ruleset(Recording({"rules/nft.json": "", "rules/iptables-save.txt": ""}))
    assert empty is not None
    assert (empty.chains, empty.complete, empty.notes) == ((), True, ())


def test_base_chains_that_only_iptables_save_prints_do_not_exist() -> None:
    save = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"
    for nft in ("", {"nftables": []}):
        ruleset = read_ruleset(Recording({"rules/nft.json": nft, "rules/iptables-save.txt": save}))
        assert ruleset is not None
        assert ruleset.chains == ()


def test_rules_that_nft_did_not_show_are_kept_and_told() -> None:
    ruleset = read_ruleset(Recording({"rules/nft.json": {"nftables": []}, "rules/iptables-save.txt": _LIES}))
    assert ruleset is not None
    assert len(ruleset.rules) == 4
    assert ruleset.notes == ("nft did not show ip filter/FORWARD, iptables-save does",)


def test_a_host_without_nft_is_not_read_anew_each_time() -> None:
    reader = RulesetReader()
    answers = {"rules/iptables-legacy-save.txt": _LIES}
    first = reader.read(Recording(dict(answers), taken=1.0))
    assert reader.read(Recording(dict(answers), taken=2.0)) is first


def test_a_cut_answer_is_told() -> None:
    text = json.dumps(_NATIVE)
    ruleset = read_ruleset(Recording({"rules/nft.json": text[: len(text) - 90], "rules/iptables-save.txt": _LIES}))
    assert ruleset is not None
    assert not ruleset.complete
    assert len(ruleset.rules) == 3
    assert any("cut off" in note for note in ruleset.notes)


# --- one reading after the other --------------------------------------------------------------------------------------


class _Host:
    """The same rules read again and again, with other counters."""

    def __init__(self) -> None:
        self.reader = RulesetReader()
        self.nft: object = json.dumps(_NATIVE)

    def read(self, taken: float | None, packets: int, lines: str = _LIES) -> Ruleset:
        save = lines.replace("[7:420]", f"[{packets}:{packets * 60}]")
        ruleset = self.reader.read(
            Recording({"rules/nft.json": self.nft, "rules/iptables-save.txt": save}, taken=taken, live=True)
        )
        assert ruleset is not None
        return ruleset


def test_rates_are_packets_a_second_since_the_reading_before() -> None:
    host = _Host()
    assert [rule.rate for rule in host.read(10.0, 7).rules] == [None] * 4
    second = host.read(12.0, 17)
    assert [(rule.packets, rule.rate) for rule in second.rules] == [(5, None), (5, None), (17, 5.0), (17, 5.0)]
    third = host.read(13.0, 17)
    assert [rule.rate for rule in third.rules[2:]] == [0.0, 0.0]
    assert [rule.rate for rule in host.read(14.0, 3).rules[2:]] == [None, None]  # the counters began anew
    assert [rule.rate for rule in host.read(14.0, 4).rules[2:]] == [None, None]  # no time has passed
    assert [rule.rate for rule in host.read(None, 5).rules[2:]] == [None, None]


def test_counters_of_nft_have_no_new_rate_until_nft_is_asked_again() -> None:
    host = _Host()
    host.read(10.0, 7)
    host.nft = json.dumps(_NATIVE).replace('"packets": 5', '"packets": 25')
    assert [rule.rate for rule in host.read(20.0, 7).rules[:2]] == [2.0, 2.0]
    assert [rule.rate for rule in host.read(21.0, 8).rules[:2]] == [2.0, 2.0]


def test_what_did_not_change_is_the_same_object() -> None:
    host = _Host()
    first = host.read(10.0, 7)
    host.read(11.0, 7)
    third, fourth = host.read(12.0, 7), host.read(13.0, 7)
    assert fourth is third
    assert first.rules[0] is third.rules[0]
    changed = host.read(14.0, 8)
    assert changed is not third
    assert changed.rules[0] is third.rules[0]
    assert changed.rules[2] is not third.rules[2]


def test_a_rule_keeps_its_rate_when_others_are_inserted_before_it() -> None:
    host = _Host()
    host.read(10.0, 7)
    more = _rule(_field("ip", "saddr", "10.9.9.9"), _COUNTER, {"drop": None})
    host.nft = {"nftables": [_FORWARD, more, *_NATIVE["nftables"][1:]]}  # type: ignore[index]
    lines = _LIES.replace(
        "[7:420] -A FORWARD -j DROP", "[1:60] -A FORWARD -s 10.9.9.9/32 -j DROP\n[7:420] -A FORWARD -j DROP"
    )
    rules = host.read(11.0, 9, lines).rules
    assert [(rule.position, rule.rate) for rule in rules] == [(1, None), (2, 0.0), (3, 0.0), (4, 2.0), (5, 2.0)]


def test_equal_rules_of_a_chain_are_told_apart_by_their_number() -> None:
    save = "*filter\n:FORWARD ACCEPT [0:0]\n" + "[7:420] -A FORWARD -j DROP\n" * 2 + "COMMIT\n"
    ruleset = read_ruleset(Recording({"rules/iptables-legacy-save.txt": save}))
    assert ruleset is not None
    assert [(rule.occurrence, rule.packets) for rule in ruleset.rules] == [(1, 7), (2, 7)]


def _both(nft: str, save: str) -> Ruleset:
    listing = json.dumps({"nftables": json.loads(nft)})
    found = read_ruleset(Recording(answers={"rules/nft.json": listing, "rules/iptables-save.txt": save}))
    assert found is not None
    return found


def test_a_log_group_is_written_by_iptables_as_nft_does() -> None:
    place = {"family": "ip", "table": "filter", "chain": "INPUT"}
    limit = {"limit": {"rate": 3, "burst": 5, "per": "minute"}}
    counter = {"counter": {"packets": 1, "bytes": 60}}
    nft = json.dumps([{"rule": {**place, "expr": [limit, counter, {"log": {"prefix": "x", "group": 2}}]}}])
    line = "-A INPUT -m limit --limit 3/min -j NFLOG --nflog-prefix x --nflog-group 2"
    rule = _both(nft, f"*filter\n[1:60] {line}\nCOMMIT\n").rules[0]
    assert (rule.text, rule.backend, rule.target.effects[0].kind) == (line, "iptables-nft", "nflog")
    other = _both(nft.replace('"log": {"prefix": "x", "group": 2}', '"notrack": null'), f"*filter\n{line}\nCOMMIT\n")
    assert (other.rules[0].backend, other.rules[0].target.effects[0].kind) == ("nft", "notrack")


@pytest.mark.parametrize(("path", "priority"), [("iptables-save", 150), ("iptables-legacy-save", 50)])
def test_where_each_tool_hooks_its_security_table(path: str, priority: int) -> None:
    text = "*security\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n"
    ruleset = read_ruleset(Recording(answers={f"rules/{path}.txt": text}))
    assert _chain(ruleset, "ip", "security", "INPUT").priority == priority


def test_a_dormant_table_is_told() -> None:
    chain = {"family": "ip", "table": "t", "name": "c", "type": "filter", "hook": "input", "prio": 0}
    nft = [{"table": {"family": "ip", "name": "t", "flags": ["dormant"]}}, {"chain": chain}]
    ruleset = _both(json.dumps(nft), "")
    assert (ruleset.chains[0].dormant, ruleset.tables[0].flags) == (True, ("dormant",))
    assert ruleset.notes == ("table ip t is dormant: no packet meets its rules",)


def test_what_was_built_for_rules_that_are_gone_is_not_kept() -> None:
    reader = RulesetReader()
    for port in range(1, 1500):
        text = f"*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp -m tcp --dport {port} -j DROP\nCOMMIT\n"
        reader.read(Recording({"rules/iptables-save.txt": text}))
    assert port_match.cache_info().currsize < 1000
