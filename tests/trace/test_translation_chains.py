"""Which rule of many translates a packet: jumps, maps, marks, and what stays open."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from netdash.bundle.recording import Recording
from netdash.model.host import Chain, Effect, Match, Rule, Ruleset, Target, Verb
from netdash.model.packet import Packet
from netdash.rules.match import applies
from netdash.rules.ruleset import read_ruleset
from netdash.trace.nat_rules import DestinationNat
from tests.trace.test_translation import WEB


def _legacy(*lines: str) -> Ruleset:
    save = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
    ruleset = read_ruleset(Recording({"rules/iptables-legacy-save.txt": save + "\n".join(lines) + "\nCOMMIT\n"}))
    assert ruleset is not None
    return ruleset


TO_WEB = "-A X -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.2:80"
JUMP = "-A PREROUTING -j X"
WALKS: dict[str, tuple[tuple[str, ...], str | None, tuple[str, ...]]] = {
    "a jump and what follows it": ((JUMP, "-A X -p udp -j ACCEPT", TO_WEB), TO_WEB, ()),
    "return comes back": ((JUMP, "-A X -i eth0 -j RETURN", TO_WEB), None, ()),
    "goto does not come back": (
        ("-A PREROUTING -g Y", JUMP, "-A Y -p udp -j ACCEPT", TO_WEB),
        None,
        (),
    ),
    "accept ends": (("-A PREROUTING -i eth0 -j ACCEPT", JUMP, TO_WEB), None, ()),
    "marks do not end": (("-A PREROUTING -j MARK --set-xmark 0x1/0x1", JUMP, TO_WEB), TO_WEB, ()),
    "an open condition before it": (
        ("-A PREROUTING -m u32 --u32 0=1 -j ACCEPT", JUMP, TO_WEB),
        TO_WEB,
        ("-A PREROUTING -m u32 --u32 0=1 -j ACCEPT",),
    ),
    "an open condition that changes nothing": (("-A PREROUTING -m u32 --u32 0=1 -j ACCEPT",), None, ()),
    "an open condition before other things": (
        (
            "-A PREROUTING -m u32 --u32 0=1 -j LOG",
            "-A PREROUTING -m u32 --u32 0=1 -j Y",
            JUMP,
            "-A Y -p udp -j DROP",
            TO_WEB,
        ),
        TO_WEB,
        (),
    ),
    "an open jump to a translation": (
        ("-A PREROUTING -m u32 --u32 0=1 -j X", TO_WEB),
        None,
        ("-A PREROUTING -m u32 --u32 0=1 -j X", TO_WEB),
    ),
    "a return inside an open jump": (
        ("-A PREROUTING -m u32 --u32 0=1 -j X", "-A X -i eth0 -j RETURN", TO_WEB),
        None,
        (),
    ),
    "a chain that is not there": (("-A PREROUTING -j GONE", JUMP, TO_WEB), None, ("-A PREROUTING -j GONE",)),
    "a target that is not understood": (
        ("-A PREROUTING -p tcp -j TPROXY --on-port 1", JUMP, TO_WEB),
        None,
        ("-A PREROUTING -p tcp -j TPROXY --on-port 1",),
    ),
    "the first of two": ((JUMP, TO_WEB, "-A X -p tcp -j DNAT --to-destination 10.0.0.3"), TO_WEB, ()),
}


@pytest.mark.parametrize("name", WALKS)
@pytest.mark.parametrize("long", [False, True])
def test_walks(name: str, long: bool) -> None:
    lines, rule, unsure = WALKS[name]
    others = [
        f"-A {chain} -p tcp -m tcp --dport {port} -j ACCEPT" for port in range(12) for chain in ("PREROUTING", "X", "Y")
    ]
    others += [f"-A X -i docker{n} -j RETURN" for n in range(5)] + [
        f"-A X -s 10.9.0.{n}/32 -j RETURN" for n in range(5)
    ]
    found = DestinationNat(_legacy(*(others if long else ()), *lines)).find(WEB)
    assert (found.rule and found.rule.text, tuple(one.text for one in found.unsure)) == (rule, unsure)


def test_no_rule_is_passed_over_when_a_field_is_not_known() -> None:
    others = [f"-A X -p tcp -m tcp --dport {port} -j DNAT --to-destination 10.0.0.1" for port in range(1, 21)]
    found = DestinationNat(_legacy(JUMP, *others)).find(replace(WEB, dport=None))
    assert (found.rule, len(found.unsure)) == (None, 20)


def test_a_packet_of_the_host_itself_comes_in_by_no_device() -> None:
    ruleset = _legacy("-A OUTPUT -j X", "-A X -i eth0 -j RETURN", "-A X ! -i docker0 -j DNAT --to-destination 10.0.0.2")
    found = DestinationNat(ruleset).find(replace(WEB, iif=None), output=True)
    assert found.rule is not None
    assert found.unsure == ()


def test_chains_that_call_each_other_come_to_an_end() -> None:
    knot = [f"-A X{at} -j X{(at + step) % 40}" for at in range(40) for step in range(1, 9)]
    found = DestinationNat(_legacy("-A PREROUTING -j X0", *knot, TO_WEB)).find(WEB)
    assert found.rule is None
    assert found.unsure != ()


MARKED = "-A PREROUTING -m mark --mark 0x4000/0x4000 -j DNAT --to-destination 10.0.0.2"


def test_a_packet_has_no_mark_unless_a_rule_sets_it() -> None:
    marking = ("-A X -j MARK --set-xmark 0x4000/0x4000", MARKED)
    for lines, rule in (
        ((MARKED,), None),
        (("-A PREROUTING -i eth9 -j X", *marking), None),
        (("-A PREROUTING -i eth0 -j X", *marking), MARKED),
    ):
        found = DestinationNat(_legacy(*lines)).find(replace(WEB, mark=None))
        assert (found.rule and found.rule.text, found.unsure) == (rule, ())


def _native(*rules: list[object], **maps: object) -> Ruleset:
    place = {"family": "inet", "table": "t"}
    chain = {"chain": {**place, "name": "c", "type": "nat", "hook": "prerouting", "prio": -100}}
    target = {"rule": {**place, "chain": "web", "expr": [{"dnat": {"family": "ip", "addr": "10.0.0.2", "port": 80}}]}}
    made = [{"rule": {**place, "chain": "c", "expr": exprs}} for exprs in rules]
    ruleset = read_ruleset(Recording({"rules/nft.json": {"nftables": [chain, target, *made]}}))
    assert ruleset is not None
    return ruleset


def _vmap(key: dict[str, object], *elements: tuple[object, object]) -> list[object]:
    return [{"vmap": {"key": key, "data": {"set": [list(one) for one in elements]}}}]


IIF: dict[str, object] = {"meta": {"key": "iifname"}}
WEB_CHAIN = {"jump": {"target": "web"}}
VMAPS: list[tuple[list[object], int | None, int]] = [
    (_vmap(IIF, ("eth1", {"drop": None}), ("eth0", WEB_CHAIN)), 80, 0),
    (_vmap(IIF, ("eth*", {"goto": {"target": "web"}})), 80, 0),
    (_vmap(IIF, ("eth1", WEB_CHAIN)), None, 0),
    (_vmap(IIF, ("*", WEB_CHAIN), ("eth0", {"drop": None})), None, 0),
    (_vmap(IIF, ("*", WEB_CHAIN), ("eth1", {"drop": None})), 80, 0),
    (_vmap(IIF, ("eth0", {"return": None})), None, 0),
    (_vmap({"payload": {"protocol": "th", "field": "dport"}}, (8080, WEB_CHAIN)), 80, 0),
    (_vmap({"payload": {"protocol": "th", "field": "dport"}}, ({"range": [8000, 9000]}, WEB_CHAIN)), 80, 0),
    (_vmap({"ct": {"key": "mark"}}, (1, WEB_CHAIN)), None, 0),
    (_vmap({"ct": {"key": "mark"}}, *((n, WEB_CHAIN) for n in range(99))), 80, 0),
    (_vmap({"meta": {"key": "cpu"}}, *((n, WEB_CHAIN) for n in range(99))), None, 2),
]


@pytest.mark.parametrize(("exprs", "port", "unsure"), VMAPS)
def test_verdict_maps(exprs: list[object], port: int | None, unsure: int) -> None:
    found = DestinationNat(_native(exprs)).find(WEB)
    assert (found.rule and found.target[1], len(found.unsure)) == (port, unsure)


def test_an_unknown_shape_of_dnat_is_left_open() -> None:
    target = {"dnat": {"addr": {"map": {"key": IIF, "data": "@x"}}}}
    found = DestinationNat(_native([target])).find(WEB)
    assert found.rule is None
    assert [rule.target for rule in found.unsure] == [Target(Verb.DNAT)]


def test_a_mark_that_an_accepting_rule_sets_is_seen() -> None:
    marking = Rule(
        "ip", "m", "pre", 1, "meta mark set 1 accept", (), Target(Verb.ACCEPT, effects=(Effect("mark", xor=1),)),
        None, None, "nft",
    )  # fmt: skip
    asking = Rule(
        "ip", "n", "pre", 1, "meta mark 1 dnat to 10.0.0.1", (Match("mark", ("0x1",)),),
        Target(Verb.DNAT, address=ip_address("10.0.0.1")), None, None, "nft",
    )  # fmt: skip
    for dormant, rule in ((False, asking), (True, None)):
        before = Chain("ip", "m", "pre", "nft", (marking,), "filter", "prerouting", -150, "accept", None, dormant)
        nat = Chain("ip", "n", "pre", "nft", (asking,), "nat", "prerouting", -100, "accept")
        found = DestinationNat(Ruleset((before, nat))).find(Packet(4, "tcp", iif="eth0"))
        assert (found.rule, found.unsure) == (rule, ())


def test_a_translation_by_a_map_goes_where_its_element_says() -> None:
    case = ((Match("dport", ((80, 80),)),), Target(Verb.DNAT, address=ip_address("10.0.0.1")))
    rule = Rule("ip", "n", "pre", 1, "dnat to map", (), Target(Verb.DNAT, cases=(case,)), None, None, "nft")
    nat = Chain("ip", "n", "pre", "nft", (rule,), "nat", "prerouting", -100, "accept")
    found = DestinationNat(Ruleset((nat,))).find(Packet(4, "tcp", dport=80, iif="eth0"))
    assert (found.rule, found.unsure, found.target) == (rule, (), (ip_address("10.0.0.1"), 80))
    unknown = DestinationNat(Ruleset((nat,))).find(Packet(4, "tcp", iif="eth0"))
    assert (unknown.rule, unknown.unsure) == (None, (rule,))


@pytest.mark.parametrize(
    ("values", "answer"), [(("0x1", "0x2"), "yes"), (("0x3-0x9",), "no"), (("0x1-0x9",), "yes"), (("0x4/0x6",), "no")]
)
def test_a_mark_meets_one_of_several(values: tuple[str, ...], answer: str) -> None:
    rule = Rule("ip", "t", "c", 1, "", (Match("mark", values),), Target(Verb.ACCEPT), None, None, "nft")
    assert applies(rule, Packet(4, mark=2)).value == answer


def test_between_legacy_and_nft_at_one_priority_the_order_is_open() -> None:
    """The hook that was registered last is tried first (measured), and no tool tells when a table was registered."""
    to_other, to_same, elsewhere = (
        _legacy(f"-A PREROUTING -p tcp -m tcp --dport {port} -j DNAT --to-destination {target}:80").chains
        for port, target in ((8080, "172.17.0.9"), (8080, "172.17.0.2"), (81, "172.17.0.9"))
    )
    nft = tuple(
        replace(chain, backend="iptables-nft", rules=tuple(replace(one, backend="iptables-nft") for one in chain.rules))
        for chain in to_same
    )
    packet = Packet(family=4, proto="tcp", src=ip_address("203.0.113.9"), dport=8080, iif="eth0", dst_type="LOCAL")

    alone = DestinationNat(Ruleset((*nft, *elsewhere))).find(packet)
    assert alone.rule is nft[0].rules[0]
    assert not alone.unsure
    torn = DestinationNat(Ruleset((*nft, *to_other))).find(packet)
    assert torn.rule is None
    assert {rule.backend for rule in torn.unsure} == {"iptables-nft", "iptables-legacy"}
    same = DestinationNat(Ruleset((*nft, *to_same))).find(packet)
    assert same.rule is nft[0].rules[0]
    assert [rule.backend for rule in same.unsure] == ["iptables-legacy"]
