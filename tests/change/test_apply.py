"""A host after a change: what a packet meets there, and what of the host is left alone."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from netdash.change.apply import CannotModel, apply
from netdash.change.model import (
    ChainChange,
    ChainEdit,
    ChainPlace,
    Change,
    LinkChange,
    PolicyChange,
    PolicyRuleChange,
    RouteChange,
    RuleChange,
    RuleEdit,
    SysctlChange,
)
from netdash.model.host import Host, PolicyRule, Route, Rule
from netdash.rules.iptables_rule import parse_line
from netdash.trace.model import Verdict
from tests.support.trace_hosts import (
    IDS,
    MASQUERADED,
    OUTSIDE,
    PUBLISHED,
    WEB,
    from_host,
    from_outside,
    from_web,
    host,
    places,
    table,
)

FORWARD = ChainPlace("ip", "filter", "FORWARD", "iptables-legacy")
NAT = ChainPlace("ip", "nat", "PREROUTING", "iptables-legacy")
INSERT, APPEND, DELETE, REPLACE = RuleEdit.INSERT, RuleEdit.APPEND, RuleEdit.DELETE, RuleEdit.REPLACE


def _rule(text: str, place: ChainPlace = FORWARD) -> Rule:
    body = parse_line(f"-A {place.chain} {text}")
    where = (place.family, place.table, place.chain)
    return Rule(*where, 1, body.text, body.matches, body.target, None, None, place.backend, body.comment)


def _written(edit: RuleEdit, text: str = "", position: int | None = None, place: ChainPlace = FORWARD) -> RuleChange:
    return RuleChange(place, edit, _rule(text, place) if text else None, position)


def _published(*filters: str) -> Host:
    return host(PUBLISHED + MASQUERADED.replace(":PREROUTING ACCEPT [0:0]\n", "") + table("filter", *filters))


def _texts(on: Host, name: str = "FORWARD") -> list[str]:
    assert on.ruleset is not None
    chain = next(chain for chain in on.ruleset.chains if chain.name == name)
    assert [rule.position for rule in chain.rules] == [*range(1, len(chain.rules) + 1)]
    return [rule.text for rule in chain.rules]


# --- rules ------------------------------------------------------------------------------------------------------------


def test_a_rule_that_is_inserted_decides_before_the_others() -> None:
    before = _published("-A FORWARD -j ACCEPT")
    after = apply(before, (_written(INSERT, "-i eth0 -j DROP"),))
    assert from_outside(before).verdict is Verdict.DELIVERED
    assert from_outside(after).verdict is Verdict.DROPPED
    assert places(from_outside(after))[-1] == "filter/FORWARD #1"
    assert _texts(after) == ["-A FORWARD -i eth0 -j DROP", "-A FORWARD -j ACCEPT"]


def test_the_host_before_is_as_it_was() -> None:
    before = _published("-A FORWARD -j ACCEPT")
    ruleset, ports = before.ruleset, before.ports
    apply(before, (_written(INSERT, "-j DROP"), SysctlChange("net.ipv4.ip_forward", "0")))
    assert before.ruleset is ruleset
    assert before.ports is ports
    assert len(_texts(before)) == 1
    assert (before.sysctls or {})["net.ipv4.ip_forward"] == "1"


def test_changes_of_a_chain_in_order() -> None:
    start = _published("-A FORWARD -i a -j DROP", "-A FORWARD -i b -j DROP", "-A FORWARD -i c -j DROP")
    changes = (
        _written(APPEND, "-i d -j DROP"),
        _written(INSERT, "-i e -j DROP", 2),
        _written(DELETE, position=1),
        _written(REPLACE, "-i f -j DROP", 3),
        _written(DELETE, "-i b -j DROP"),
    )
    assert [text.split()[3] for text in _texts(apply(start, changes))] == ["e", "f", "d"]


def test_a_deletion_by_its_text_takes_the_first_that_means_the_same() -> None:
    start = _published(
        "-A FORWARD -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j DROP",
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -p tcp -j DROP",
    )
    after = apply(start, (_written(DELETE, "-p tcp -m conntrack --ctstate ESTABLISHED,RELATED -j DROP"),))
    assert _texts(after) == ["-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -p tcp -j DROP"]


def test_twins_are_counted_anew() -> None:
    start = _published("-A FORWARD -i a -j DROP", "-A FORWARD -i a -j DROP", "-A FORWARD -i a -j DROP")
    after = apply(start, (_written(DELETE, position=2),))
    assert after.ruleset is not None
    chain = next(chain for chain in after.ruleset.chains if chain.name == "FORWARD")
    assert [rule.occurrence for rule in chain.rules] == [1, 2]


def test_ports_follow_the_rules() -> None:
    start = _published()
    assert [port.host_port for port in start.ports or ()] == [22, 8080]
    after = apply(start, (ChainChange(NAT, ChainEdit.FLUSH),))
    assert [port.host_port for port in after.ports or ()] == [22]
    assert from_outside(after).verdict is not Verdict.DELIVERED


def test_a_policy_decides_where_no_rule_does() -> None:
    after = apply(_published(), (PolicyChange(FORWARD, "drop"),))
    assert from_outside(after).verdict is Verdict.DROPPED


def test_a_chain_of_ones_own() -> None:
    own = replace(FORWARD, chain="MINE")
    made = apply(
        _published("-A FORWARD -j ACCEPT"),
        (ChainChange(own, ChainEdit.NEW), _written(APPEND, "-j DROP", place=own), _written(INSERT, "-j MINE")),
    )
    assert places(from_outside(made))[-1] == "filter/MINE #1"
    with pytest.raises(CannotModel, match="not empty"):
        apply(made, (ChainChange(own, ChainEdit.REMOVE),))
    with pytest.raises(CannotModel, match="leads to chain filter/MINE"):
        apply(made, (ChainChange(own, ChainEdit.FLUSH), ChainChange(own, ChainEdit.REMOVE)))
    rest = (_written(DELETE, "-j MINE"), ChainChange(own, ChainEdit.FLUSH), ChainChange(own, ChainEdit.REMOVE))
    gone = apply(made, rest)
    assert gone.ruleset is not None
    assert all(chain.name != "MINE" for chain in gone.ruleset.chains)


def test_iptables_makes_its_own_chains_when_they_are_used() -> None:
    raw = ChainPlace("ip", "raw", "PREROUTING", "iptables-nft")
    after = apply(_published(), (_written(APPEND, f"-d {WEB} -j DROP", place=raw),))
    assert from_outside(after, WEB, 80).verdict is Verdict.DROPPED
    with pytest.raises(CannotModel, match="chain filter/MINE does not exist"):
        apply(_published(), (_written(APPEND, "-j DROP", place=replace(FORWARD, chain="MINE")),))


def test_all_of_nft_is_flushed_and_legacy_is_not() -> None:
    chain = {"family": "ip", "table": "t", "name": "c", "type": "filter", "hook": "forward", "prio": 0}
    drops = {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [{"drop": None}]}}
    nft = [{"table": {"family": "ip", "name": "t"}}, {"chain": {**chain, "policy": "accept"}}, drops]
    start = host(PUBLISHED + table("filter", "-A FORWARD -j ACCEPT"), nft=nft)
    assert from_outside(start).verdict is Verdict.DROPPED
    after = apply(start, (ChainChange(ChainPlace("", "", "", "nft"), ChainEdit.REMOVE),))
    assert from_outside(after).verdict is Verdict.DELIVERED
    assert after.ruleset is not None
    assert after.ruleset.tables == ()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_written(DELETE, "-j DROP"), "has no such rule"),
        (_written(DELETE, position=3), "has no rule 3"),
        (_written(INSERT, "-j DROP", 7), "no place 7"),
        (PolicyChange(replace(FORWARD, chain="DOCKER"), "drop"), "does not exist"),
        (ChainChange(FORWARD, ChainEdit.NEW), "is there already"),
        (SysctlChange("net.ipv4.conf.wlan0.rp_filter", "1"), "no device wlan0"),
        (LinkChange("wlan0", up=False), "there is no device wlan0"),
        (LinkChange("lo", up=False), "loopback"),
        (RouteChange(add=False, family=4, destination=ip_network("192.0.2.0/24")), "no such route"),
        (RouteChange(add=True, family=4, destination=None, gateway=ip_address("203.0.113.9")), "there already"),
        (RouteChange(add=True, family=4, destination=None, gateway=ip_address("192.0.2.1")), "refuses the gateway"),
        (PolicyRuleChange(False, PolicyRule(4, 77, "", None, ())), "no policy rule 77"),
    ],
)
def test_what_the_tool_would_refuse_has_no_model(change: Change, why: str) -> None:
    with pytest.raises(CannotModel, match=why):
        apply(_published(), (change,))


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("host/sysctl.txt", SysctlChange("net.ipv4.ip_forward", "0")),
        ("ip/route4.json", RouteChange(add=False, family=4, destination=None)),
        ("ip/addr.json", LinkChange("eth0", up=False)),
        ("rules/nft.json", _written(INSERT, "-j DROP")),
    ],
)
def test_what_was_not_read_has_no_model(source: str, change: Change) -> None:
    with pytest.raises(CannotModel, match="were not read"):
        apply(host(without=(source,)), (change,))


# --- sysctls ----------------------------------------------------------------------------------------------------------


def test_ip_forward_is_written_for_every_device() -> None:
    start = host(MASQUERADED, sysctls={"net.ipv4.conf.docker0.forwarding": "1"})
    after = apply(start, (SysctlChange("net.ipv4.ip_forward", "0"),))
    assert from_web(start).verdict.arrives
    assert from_web(after).verdict is Verdict.DROPPED
    known = after.sysctls or {}
    names = ("all", "default", "docker0", "eth0")
    assert [known[f"net.ipv4.conf.{name}.forwarding"] for name in names] == ["0"] * 4


def test_ip_forward_that_is_on_already_leaves_the_devices_alone() -> None:
    start = host(sysctls={"net.ipv4.conf.docker0.forwarding": "0"})
    known = apply(start, (SysctlChange("net.ipv4.ip_forward", "1"),)).sysctls or {}
    assert known["net.ipv4.conf.docker0.forwarding"] == "0"


def test_one_device_alone_forwards_no_more() -> None:
    after = apply(host(MASQUERADED), (SysctlChange("net.ipv4.conf.docker0.forwarding", "0"),))
    assert from_web(after).verdict is Verdict.DROPPED
    assert from_outside(apply(_published(), (SysctlChange("net.ipv4.conf.docker0.forwarding", "0"),))).verdict.arrives


def test_devices_follow_the_default_until_they_have_an_address_or_a_value_of_their_own() -> None:
    start = host(sysctls={"net.ipv4.conf.vweb.rp_filter": "2", "net.ipv4.conf.vdb.rp_filter": "0"})
    known = apply(start, (SysctlChange("net.ipv4.conf.default.rp_filter", "1"),)).sysctls or {}
    values = [known[f"net.ipv4.conf.{name}.rp_filter"] for name in ("all", "default", "eth0", "vweb", "vdb")]
    assert values == ["0", "1", "0", "2", "1"]


def test_a_sysctl_of_a_module_that_is_not_loaded() -> None:
    with pytest.raises(CannotModel, match="br_netfilter"):
        apply(host(), (SysctlChange("net.bridge.bridge-nf-call-ip6tables", "1"),))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net.ipv4.ip_forwad", "0"),
        ("net.ipv4.conf.eth0.rp_filtr", "1"),
        ("vm.swappiness", "1"),
        ("net.ipv4.ip_forward", "off"),
        ("net.ipv4.conf.eth0.rp_filter", ""),
    ],
)
def test_a_sysctl_that_is_not_known_or_no_number(name: str, value: str) -> None:
    with pytest.raises(CannotModel):
        apply(host(MASQUERADED), (SysctlChange(name, value),))


def test_a_sysctl_within_a_container() -> None:
    start = host(inner_sysctls="net.ipv4.conf.all.rp_filter = 0\n")
    after = apply(start, (SysctlChange("net.ipv4.conf.all.rp_filter", "1", IDS["web"]),))
    web = next(one for one in after.containers or () if one.name == "web")
    assert web.inside is not None
    assert dict(web.inside.sysctls)["net.ipv4.conf.all.rp_filter"] == "1"
    assert (after.sysctls or {})["net.ipv4.conf.all.rp_filter"] == "0"


# --- routes and devices -----------------------------------------------------------------------------------------------


def test_without_a_default_route_nothing_leaves() -> None:
    after = apply(host(MASQUERADED), (RouteChange(add=False, family=4, destination=None),))
    assert from_web(after).verdict is not Verdict.FORWARDED
    assert not from_host(after).verdict.arrives


def test_a_blackhole_and_another_way() -> None:
    blackhole = RouteChange(add=True, family=4, destination=ip_network("192.0.2.0/24"), kind="blackhole")
    closed = apply(host(), (blackhole,))
    assert not from_host(closed).verdict.arrives
    again = apply(closed, (RouteChange(add=False, family=4, destination=ip_network("192.0.2.0/24")),))
    assert again.routes == host().routes
    other = RouteChange(add=True, family=4, destination=ip_network("192.0.2.0/24"), gateway=ip_address("198.51.100.1"))
    made = (apply(host(), (other,)).routes or ())[-1]
    assert (made.dev, made.gateway) == ("eth1", ip_address("198.51.100.1"))


def test_a_policy_rule_without_a_priority_goes_before_the_main_table() -> None:
    rule = PolicyRule(4, 0, "from 172.17.0.0/16 lookup 52", "52", (("src", "172.17.0.0/16"),))
    void = RouteChange(add=True, family=4, destination=None, kind="blackhole", table="52")
    after = apply(host(MASQUERADED), (PolicyRuleChange(True, rule, named=False), void))
    assert [one.priority for one in after.policy or ()] == [0, 32765, 32766, 32767]
    assert not from_web(after).verdict.arrives
    assert from_host(after).verdict.arrives
    gone = apply(after, (PolicyRuleChange(False, replace(rule, text=""), named=False),))
    assert gone.policy == host().policy


def _by(routes: tuple[Route, ...] | None, device: str) -> list[tuple[str, str]]:
    return [(route.kind, str(route.dst)) for route in routes or () if route.dev == device]


def test_a_device_that_goes_down_takes_its_routes_with_it() -> None:
    after = apply(_published(), (LinkChange("eth0", up=False),))
    assert _by(after.routes, "eth0") == [("local", "203.0.113.2/32")]
    assert not from_web(after).verdict.arrives
    again = apply(after, (LinkChange("eth0", up=True),))
    assert _by(again.routes, "eth0") == [
        ("local", "203.0.113.2/32"),
        ("unicast", "203.0.113.0/24"),
        ("broadcast", "203.0.113.255/32"),
    ]
    assert not from_web(again, OUTSIDE).verdict.arrives


def test_a_bridge_that_goes_down() -> None:
    after = apply(_published(), (LinkChange("docker0", up=False),))
    assert from_outside(after).verdict is not Verdict.DELIVERED
    again = apply(after, (LinkChange("docker0", up=True),))
    assert from_outside(again).verdict is Verdict.DELIVERED


def test_a_veth_that_goes_down_leaves_the_other_end_without_carrier() -> None:
    after = apply(_published(), (LinkChange("vweb", up=False),))
    web, db = ({one.name: one for one in after.containers or ()}[name] for name in ("web", "db"))
    states = [[link.state for link in one.inside.links or ()] for one in (web, db) if one.inside is not None]
    assert states == [["UP", "LOWERLAYERDOWN"], ["UP", "UP"]]
    assert not from_outside(after).verdict.arrives


def test_a_containers_own_device() -> None:
    after = apply(_published(), (LinkChange("eth0", up=False, container=IDS["web"]),))
    veth = next(link for link in after.links or () if link.name == "vweb")
    assert veth.state == "LOWERLAYERDOWN"
    assert not from_outside(after).verdict.arrives
    assert not from_web(after).verdict.arrives
