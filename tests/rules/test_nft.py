"""nft's JSON: what it means, how it reads, and that no shape of it is an error."""

from __future__ import annotations

import copy
import json
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netdash.model.host import Effect, Match, NamedObject, Table, Target, Verb
from netdash.rules.nft_listing import Listing, elements, parse_nft
from netdash.rules.nft_match import Draft
from netdash.rules.nft_rule import read_rule
from tests.support import nft_shapes

RECORDINGS = Path(__file__).parents[1] / "recordings"
LISTINGS = sorted(RECORDINGS.glob("*/rules/nft.json"))


def _meta(key: str, right: object, op: str = "==") -> dict[str, object]:
    return {"match": {"op": op, "left": {"meta": {"key": key}}, "right": right}}


def _field(name: str, right: object, op: str = "==") -> dict[str, object]:
    protocol, field = name.split()
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


def _read(*exprs: object, comment: str | None = None, sets: Any = None) -> Draft:
    return read_rule({"expr": list(exprs), "comment": comment}, sets or {})


TCP = Match("proto", ("tcp",))
RULES: dict[str, tuple[list[object], tuple[Match, ...]]] = {
    'iifname != "docker0" tcp dport 8080': (
        [_meta("iifname", "docker0", "!="), _field("tcp dport", 8080)],
        (Match("iif", ("docker0",), True), TCP, Match("dport", ((8080, 8080),))),
    ),
    'iifname "cni0@x"': ([_meta("iifname", "cni0@x")], (Match("iif", ("cni0@x",)),)),
    'oifname "br-*"': ([_meta("oifname", "br-*")], (Match("oif", ("br-+",)),)),
    "ip daddr != 127.0.0.0/8": (
        [_field("ip daddr", {"prefix": {"addr": "127.0.0.0", "len": 8}}, "!=")],
        (Match("dst", (ip_network("127.0.0.0/8"),), True),),
    ),
    "ip saddr { 10.0.0.1, 10.1.0.0/16 }": (
        [_field("ip saddr", {"set": ["10.0.0.1", {"prefix": {"addr": "10.1.0.0", "len": 16}}]})],
        (Match("src", (ip_network("10.0.0.1"), ip_network("10.1.0.0/16"))),),
    ),
    "ip6 saddr fd00::1-fd00::2": (
        [_field("ip6 saddr", {"range": ["fd00::1", "fd00::2"]})],
        (Match("src", (ip_network("fd00::1"), ip_network("fd00::2"))),),
    ),
    "tcp sport 1 tcp dport 9000-9002": (
        [_field("tcp sport", 1), _field("tcp dport", {"range": [9000, 9002]})],
        (TCP, Match("sport", ((1, 1),)), Match("dport", ((9000, 9002),))),
    ),
    "tcp dport > 1023": ([_field("tcp dport", 1023, ">")], (TCP, Match("dport", ((1024, 65535),)))),
    "meta l4proto { tcp, udp } th dport 53": (
        [_meta("l4proto", {"set": ["tcp", "udp"]}), _field("th dport", 53)],
        (Match("proto", ("tcp", "udp")), Match("dport", ((53, 53),))),
    ),
    "ip protocol icmp": ([_field("ip protocol", "icmp")], (Match("proto", ("icmp",)),)),
    "fib daddr type local": (
        [{"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}}, "right": "local"}}],
        (Match("dst_type", ("LOCAL",)),),
    ),
    "ct state established,related": (
        [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}],
        (Match("ctstate", ("ESTABLISHED", "RELATED")),),
    ),
    "meta mark & 8192 8192": (
        [{"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 8192]}, "right": 8192}}],
        (Match("mark", ("0x2000/0x2000",)),),
    ),
    "meta nfproto ipv4": ([_meta("nfproto", "ipv4")], (Match("family", ("ipv4",)),)),
    "limit rate 3/minute burst 10 packets": (
        [{"limit": {"rate": 3, "burst": 10, "per": "minute"}}],
        (Match("limit", ("3/minute burst 10",)),),
    ),
    **{text: ([expr], matches) for text, (expr, matches) in nft_shapes.CONDITIONS.items()},
}


@pytest.mark.parametrize(("text", "rule"), RULES.items())
def test_conditions_and_their_text(text: str, rule: tuple[list[object], tuple[Match, ...]]) -> None:
    for _ in range(2):  # the second time from what was kept of the first
        body = _read(*rule[0], {"counter": {"packets": 1, "bytes": 60}}, {"drop": None}).body()
        assert body.text == f"{text} counter drop"
        assert (body.matches, body.target, body.not_understood) == (rule[1], Target(Verb.DROP), ())


TARGETS: dict[str, tuple[object, Target]] = {
    "dnat to 172.17.0.2:80": (
        {"dnat": {"addr": "172.17.0.2", "port": 80}},
        Target(Verb.DNAT, address=ip_address("172.17.0.2"), ports=(80, 80)),
    ),
    "dnat ip6 to [fd00::2]:80": (
        {"dnat": {"family": "ip6", "addr": "fd00::2", "port": 80}},
        Target(Verb.DNAT, address=ip_address("fd00::2"), ports=(80, 80)),
    ),
    "snat to 203.0.113.2": ({"snat": {"addr": "203.0.113.2"}}, Target(Verb.SNAT, address=ip_address("203.0.113.2"))),
    "masquerade": ({"masquerade": None}, Target(Verb.MASQUERADE)),
    "masquerade random": ({"masquerade": {"flags": "random"}}, Target(Verb.MASQUERADE, detail="random")),
    "redirect to :8080": ({"redirect": {"port": 8080}}, Target(Verb.REDIRECT, ports=(8080, 8080))),
    "reject with icmpx admin-prohibited": (
        {"reject": {"type": "icmpx", "expr": "admin-prohibited"}},
        Target(Verb.REJECT, detail="icmpx admin-prohibited"),
    ),
    "goto x": ({"goto": {"target": "x"}}, Target(Verb.GOTO, chain="x")),
    "return": ({"return": None}, Target(Verb.RETURN)),
    'log prefix "a " group 2': (
        {"log": {"prefix": "a ", "group": 2}},
        Target(
            Verb.CONTINUE,
            detail='log prefix "a " group 2',
            effects=(Effect("nflog", detail='prefix "a " group 2'),),
        ),
    ),
    "meta mark set meta mark | 8192": (
        {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"meta": {"key": "mark"}}, 8192]}}},
        Target(Verb.CONTINUE, detail="meta mark set meta mark | 8192", effects=(Effect("mark", 0xFFFFDFFF, 0x2000),)),
    ),
    'iifname vmap { "a" : jump b, "c" : drop }': (
        {
            "vmap": {
                "key": {"meta": {"key": "iifname"}},
                "data": {"set": [["a", {"jump": {"target": "b"}}], ["c", {"drop": None}]]},
            }
        },
        Target(
            Verb.VMAP,
            elements=(("a", "b"), ("c", "drop")),
            detail="iif",
            cases=(
                ((Match("iif", ("a",)),), Target(Verb.JUMP, chain="b")),
                ((Match("iif", ("c",)),), Target(Verb.DROP)),
            ),
        ),
    ),
    **nft_shapes.TARGETS,
}


@pytest.mark.parametrize(("text", "rule"), TARGETS.items())
def test_targets_and_their_text(text: str, rule: tuple[object, Target]) -> None:
    body = _read(rule[0]).body()
    assert (body.text.replace("{ a : jump b, c : drop }", '{ "a" : jump b, "c" : drop }'), body.target) == (
        text,
        rule[1],
    )
    assert body.not_understood == ()


UNKNOWN = {
    'xt match "addrtype"': {"xt": {"type": "match", "name": "addrtype"}},
    "tcp option maxseg size 1": _field("tcp option", 1)
    | {"match": {"op": "==", "left": {"tcp option": {"name": "maxseg", "field": "size"}}, "right": 1}},
    **nft_shapes.UNKNOWN,
    "ip saddr @gone": _field("ip saddr", "@gone"),
}


@pytest.mark.parametrize(("text", "expr"), UNKNOWN.items())
def test_what_is_not_interpreted_is_said(text: str, expr: object) -> None:
    body = _read(expr, {"accept": None}).body()
    assert len(body.not_understood) == 1
    assert body.matches == ()
    assert body.not_understood[0] in body.text
    if "option" not in text:
        assert body.not_understood == (text,)


def test_a_verdict_after_other_statements_keeps_them_in_order() -> None:
    mark = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}
    early = Effect("mark", xor=1, after=0)
    late = Effect("mark", xor=1)
    log = Effect("log", detail='prefix "x"')
    body = _read(mark, _field("tcp dport", 80), {"log": {"prefix": "x"}}, {"accept": None}).body()
    assert body.target == Target(Verb.ACCEPT, effects=(early, log))
    body = _read(_field("tcp dport", 80), {"log": {"prefix": "x"}}, mark, {"drop": None}).body()
    assert body.target == Target(Verb.DROP, effects=(log, late))


def test_a_table_of_both_versions_passes_over_what_is_not_of_its_version() -> None:
    four, six = Match("family", ("ipv4",)), Match("family", ("ipv6",))
    log: dict[str, object] = {"log": {"group": 5}}
    answers: dict[str, tuple[object, Match, int | None]] = {
        "a translation of the port": ({"dnat": {"family": "ip", "port": 80}}, four, 0),
        "an answer of ICMPv6": ({"reject": {"type": "icmpv6", "expr": "no-route"}}, six, None),
    }
    for shape, version, after in answers.values():
        body = read_rule({"family": "inet", "expr": [log, shape]}, {}).body()
        assert body.matches == (version,)
        assert body.target.effects == (Effect("nflog", detail="group 5", after=after),)
        assert read_rule({"family": "ip", "expr": [log, shape]}, {}).body().matches == ()


def test_a_map_by_address_is_for_one_version_even_where_nothing_else_fits() -> None:
    key = {"payload": {"protocol": "ip6", "field": "daddr"}}
    shape = {"vmap": {"key": key, "data": {"set": [["fd00::1", {"accept": None}], ["*", {"drop": None}]]}}}
    assert read_rule({"family": "inet", "expr": [shape]}, {}).body().matches == (Match("family", ("ipv6",)),)


def test_a_reset_is_for_tcp_before_anything_is_done() -> None:
    reset: dict[str, object] = {"reject": {"type": "tcp reset"}}
    body = _read({"log": {"group": 5}}, reset).body()
    assert (body.matches, body.target.effects) == ((TCP,), (Effect("nflog", detail="group 5"),))


def test_what_nft_only_names_may_have_set_any_mark() -> None:
    body = _read({"xt": {"type": "target", "name": "CONNMARK"}}).body()
    assert body.target.effects == (Effect("mark", None), Effect("connmark", None))
    assert body.not_understood == ('xt target "CONNMARK"',)


def test_tables_without_rules_and_named_objects_are_listed() -> None:
    listing = _listing(
        {"table": {"family": "ip", "name": "off", "handle": 1, "flags": ["dormant"]}},
        {"table": {"family": "bridge", "name": "empty", "handle": 2}},
        {"table": {"family": "bridge", "name": "odd", "handle": 2, "flags": "odd"}},
        {"chain": {"family": "bridge", "table": "odd", "name": "c"}},
        {"chain": {"family": "ip", "table": "off", "name": "c", "type": "filter", "hook": "input", "prio": 0}},
        {"flowtable": {"family": "ip", "name": "ft", "table": "off", "hook": "ingress", "prio": 0, "dev": ["a", "b"]}},
        {"counter": {"family": "ip", "name": "cn", "table": "off", "handle": 3, "packets": 1, "bytes": 60}},
        {"map": {"family": "ip", "table": "off", "name": "m", "type": "mark", "map": "verdict", "flags": ["interval"]}},
    )
    assert listing.problems == ()
    assert listing.tables == (
        Table("ip", "off", ("dormant",)),
        Table("bridge", "empty"),
        Table("bridge", "odd", ("?",)),
    )
    assert [(one.hook, one.dormant) for one in listing.chains] == [(None, None), ("input", True)]
    assert listing.objects == (
        NamedObject("ip", "off", "flowtable", "ft", "hook ingress, prio 0, dev a,b"),
        NamedObject("ip", "off", "counter", "cn"),
    )
    assert (listing.sets[0].value_type, listing.sets[0].flags) == ("verdict", ("interval",))


def test_a_comment_stands_last() -> None:
    assert _read({"accept": None}, comment='say "x"').body().text == 'accept comment "say \\"x\\""'


def _listing(*members: object) -> Listing:
    return parse_nft(json.dumps({"nftables": list(members)}), lambda *_: None)


def test_named_sets_and_maps_are_resolved_wherever_they_stand() -> None:
    place = {"family": "ip", "table": "t"}
    rules = [
        {"rule": {**place, "chain": "c", "expr": [_field("ip saddr", "@bad"), {"drop": None}]}},
        {"rule": {**place, "chain": "c", "expr": [{"vmap": {"key": {"meta": {"key": "oifname"}}, "data": "@out"}}]}},
    ]
    sets = [
        {"set": {**place, "name": "bad", "type": "ipv4_addr", "elem": ["10.0.0.1", {"elem": {"val": "10.0.0.2"}}]}},
        {
            "map": {
                **place,
                "name": "out",
                "type": "ifname",
                "map": "verdict",
                "elem": [["a", {"jump": {"target": "b"}}]],
            }
        },
    ]
    for members in (sets + rules, rules + sets):
        listing = _listing(*members)
        blocked, jumps = listing.chains[0].bodies
        assert blocked.matches == (Match("src", (ip_network("10.0.0.1"), ip_network("10.0.0.2"))),)
        assert blocked.text == "ip saddr @bad drop"
        assert (jumps.target.elements, jumps.target.detail) == ((("a", "b"),), "oif")
        assert jumps.target.cases == (((Match("oif", ("a",)),), Target(Verb.JUMP, chain="b")),)
        assert jumps.not_understood == blocked.not_understood == ()
        assert [(one.name, one.elements) for one in listing.sets] == [
            ("bad", (("10.0.0.1", None), ("10.0.0.2", None))),
            ("out", (("a", "b"),)),
        ]


@pytest.mark.parametrize("path", LISTINGS, ids=lambda path: path.parts[-3])
def test_member_by_member_is_the_same_as_at_once(path: Path) -> None:
    text = path.read_text()
    whole = json.loads(text)
    assert list(elements(text)) == list(elements(whole)) == whole["nftables"]
    assert list(elements(json.dumps(whole, indent=2))) == whole["nftables"]
    assert parse_nft(text, lambda *_: None).problems == ()


_DEEP = '{"nftables": [' + "[" * 100_000


@pytest.mark.parametrize(
    "answer",
    [
        "{}",
        "[]",
        "null",
        "x",
        '{"nftables"',
        '{"nftables": [',
        '{"nftables": [{"rule": {',
        '{"nftables": [1 2',
        3,
        [1],
        {"a": 1},
        _DEEP,
        {"nftables": [{"rule": 1}]},
        {"nftables": ["x", {"rule": {"family": 1}}]},
    ],
)
def test_a_malformed_answer_is_a_problem_and_no_error(answer: object) -> None:
    assert parse_nft(answer, lambda *_: None).problems


def test_an_empty_answer_is_an_empty_ruleset() -> None:
    for answer in ("", "\n", '{"nftables": []}'):
        listing = parse_nft(answer, lambda *_: None)
        assert (listing.chains, listing.problems) == ((), ())


def test_a_cut_answer_keeps_what_came_before() -> None:
    text = (RECORDINGS / "docker29.7-nftables-full/rules/nft.json").read_text()
    whole, half = (parse_nft(one, lambda *_: None) for one in (text, text[: len(text) // 2]))
    assert half.problems
    kept = [body for chain in half.chains for body in chain.bodies]
    assert 10 < len(kept) < sum(len(chain.bodies) for chain in whole.chains)


# --- shapes that nft would never write --------------------------------------------------------------------------------

_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["", "@x", "a,b", "::", "1.2.3.4/99", "\x1b[2J", "*", "-"]),
    st.just([]),
    st.just({}),
    st.just([[], {}]),
    st.just({"set": [{"set": [None]}]}),
    st.just({"elem": {"val": {"prefix": {"addr": [], "len": {}}}}}),
)


def _paths(value: object, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, one in inner for path in _paths(one, (*here, key)))]


_SAMPLE = [
    {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [*exprs, {"counter": {"packets": 1, "bytes": 2}}]}}
    for exprs in [
        *(rule[0] for rule in RULES.values()),
        *([one[0]] for one in TARGETS.values()),
        *([x] for x in UNKNOWN.values()),
    ]
] + [
    {"chain": {"family": "ip", "table": "t", "name": "c", "type": "nat", "hook": "prerouting", "prio": -100}},
    {"map": {"family": "ip", "table": "t", "name": "x", "type": ["a"], "elem": [["a", {"goto": {"target": "b"}}]]}},
]


@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_shape_is_an_error(data: st.DataObject) -> None:
    member = copy.deepcopy(data.draw(st.sampled_from(_SAMPLE)))
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(_paths(member)[1:] or [("rule",)]))
        place: Any = member
        for key in way:
            place = place[key]
        place[last] = copy.deepcopy(data.draw(_ODD))
    listing = parse_nft({"nftables": [member, _SAMPLE[-1]]}, lambda *_: None)
    for chain in listing.chains:
        for body in chain.bodies:
            assert isinstance(body.text, str)


def test_a_translation_to_an_address_matches_packets_of_the_other_version_too() -> None:
    """The kernel's trace shows the rule, which does nothing then (nft_nat.c)."""
    body = read_rule({"family": "inet", "expr": [{"dnat": {"family": "ip", "addr": "10.0.0.1"}}]}, {}).body()
    assert body.matches == ()


def test_a_port_that_nft_shows_without_its_type() -> None:
    original = {"ct": {"key": "proto-dst", "dir": "original"}}
    body = read_rule({"family": "ip", "expr": [{"match": {"op": "!=", "left": original, "right": _HEX}}]}, {}).body()
    assert body.matches == (Match("ctorigdstport", ((8080, 8080),), True),)
    assert body.not_understood == ()


_HEX = "0x1f90 [invalid type]"
"""As nft 1.0.6 prints 8080 there."""
